/*
 * process/tracker_line.c: requests to the resource tracker, as lines of CPython's wire.
 *
 *     REGISTER:/name:shared_memory
 *     {"cmd":"REGISTER","rtype":"shared_memory","base64_name":"L25hbWU="}
 *
 * Whoever holds the pipe's writing end can write anything, so the reader takes nothing for granted.
 */
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "process/tracker.h"

/* What Python takes as a name in the newer form. */
#define ENCODED_NAME 255

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/* ---- writing --------------------------------------------------------------------------------- */

static bool
is_word(const char *type)
{
    static const char others[] = "_-.";
    for (; *type; type++) {
        char lower = (char)(*type | 0x20);
        if (!(lower >= 'a' && lower <= 'z') && !(*type >= '0' && *type <= '9') &&
            !strchr(others, *type)) {
            return false;
        }
    }
    return true;
}

/* Whether every version of Python understands the name in the older form. */
static bool
is_simple(const char *name)
{
    for (; *name; name++) {
        if (*name == ':' || *name == '\n' || (unsigned char)*name >= 0x80) {
            return false;
        }
    }
    return true;
}

static size_t
append(char *line, size_t at, const char *text)
{
    size_t len = strlen(text);
    memcpy(line + at, text, len);
    return at + len;
}

static size_t
append_base64(char *line, size_t at, const char *name, size_t len)
{
    const unsigned char *s = (const unsigned char *)name;
    for (size_t i = 0; i < len; i += 3) {
        size_t n = len - i < 3 ? len - i : 3;
        uint32_t bits = (uint32_t)s[i] << 16 | (n > 1 ? (uint32_t)s[i + 1] << 8 : 0) |
                        (n > 2 ? (uint32_t)s[i + 2] : 0);
        for (size_t k = 0; k < 4; k++) {
            line[at++] = k <= n ? alphabet[bits >> (18 - 6 * k) & 63] : '=';
        }
    }
    return at;
}

int
mp__tracker_format(char line[MP__TRACKER_LINE], const char *command, const char *name,
                   const char *type)
{
    static const char open[] = "{\"cmd\":\"", middle[] = "\",\"rtype\":\"",
                      encoded[] = "\",\"base64_name\":\"", end[] = "\"}\n";
    if (!name || !type) {
        return mp__error(MP_EVALUE, "resource_tracker: NULL in place of a name or type");
    }
    if (!is_word(type)) {
        return mp__error(MP_EVALUE, "resource_tracker: '%.80s' is no resource type", type);
    }
    size_t name_len = strlen(name), words = strlen(command) + strlen(type), at = 0;
    bool simple = is_simple(name);
    size_t need = simple ? words + name_len + 3
                         : words + sizeof open + sizeof middle + sizeof encoded + sizeof end - 4 +
                               (name_len + 2) / 3 * 4;
    if (!simple && name_len > ENCODED_NAME) {
        return mp__error(MP_EVALUE,
                         "resource_tracker: the name is too long (%zu bytes, %d at most)", name_len,
                         ENCODED_NAME);
    }
    if (need > MP__TRACKER_LINE) {
        return mp__error(MP_EVALUE,
                         "resource_tracker: msg too long: the name's %zu bytes make a line of %zu, "
                         "%d at most",
                         name_len, need, MP__TRACKER_LINE);
    }
    at = simple ? 0 : append(line, at, open);
    at = append(line, at, command);
    at = append(line, at, simple ? ":" : middle);
    if (simple) {
        at = append(line, at, name);
        line[at++] = ':';
        at = append(line, at, type);
        line[at++] = '\n';
    } else {
        at = append(line, at, type);
        at = append(line, at, encoded);
        at = append_base64(line, at, name, name_len);
        at = append(line, at, end);
    }
    return (int)at;
}

/* ---- reading --------------------------------------------------------------------------------- */

static bool
is_space(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

static void
copy(char *to, const char *from, size_t len)
{
    memcpy(to, from, len);
    to[len] = '\0';
}

/* COMMAND:NAME:TYPE; the name may have colons, nothing may be beyond ASCII. */
static bool
parse_simple(const char *line, size_t len, struct mp__tracker_request *ret)
{
    while (len > 0 && is_space(line[len - 1])) {
        len--;
    }
    while (len > 0 && is_space(*line)) {
        line++;
        len--;
    }
    const char *first = memchr(line, ':', len), *last = NULL;
    for (size_t i = 0; i < len; i++) {
        if ((unsigned char)line[i] >= 0x80 || line[i] == '\0') {
            return false;
        }
        last = line[i] == ':' ? line + i : last;
    }
    if (!first || first == last) {
        return false;
    }
    copy(ret->command, line, (size_t)(first - line));
    copy(ret->name, first + 1, (size_t)(last - first - 1));
    copy(ret->type, last + 1, (size_t)(line + len - last - 1));
    ret->name_len = (size_t)(last - first - 1);
    return true;
}

/* What is left of a line in JSON; failed: something in it was not as it must be. */
struct reader {
    const char *at, *end;
    bool failed;
};

static char
peek(struct reader *r)
{
    while (r->at < r->end && is_space(*r->at)) {
        r->at++;
    }
    return r->at < r->end ? *r->at : '\0';
}

static void
expect(struct reader *r, char c)
{
    if (peek(r) == c && c) {
        r->at++;
    } else {
        r->failed = true;
    }
}

/* What \u stands for, of ASCII: nothing else can be in what we look for. */
static char
unicode_escape(struct reader *r)
{
    unsigned value = 0;
    for (int i = 0; i < 4; i++) {
        char c = r->at < r->end ? *r->at++ : '\0', lower = (char)(c | 0x20);
        if (c >= '0' && c <= '9') {
            value = value << 4 | (unsigned)(c - '0');
        } else if (lower >= 'a' && lower <= 'f') {
            value = value << 4 | (unsigned)(lower - 'a' + 10);
        } else {
            r->failed = true;
        }
    }
    r->failed |= value == 0 || value >= 0x80;
    return (char)value;
}

static char
escape(struct reader *r)
{
    static const char letters[] = "\"\\/bfnrt", meanings[] = "\"\\/\b\f\n\r\t";
    char c = r->at < r->end ? *r->at++ : '\0';
    if (c == 'u') {
        return unicode_escape(r);
    }
    const char *place = c ? strchr(letters, c) : NULL;
    r->failed |= !place;
    return place ? meanings[place - letters] : '\0';
}

/* A string into buf, which has room for any that fits the line. */
static size_t
string(struct reader *r, char buf[MP__TRACKER_LINE])
{
    size_t len = 0;
    expect(r, '"');
    while (!r->failed && r->at < r->end && *r->at != '"') {
        char c = *r->at++;
        if ((unsigned char)c < 0x20 || (unsigned char)c >= 0x80) {
            r->failed = true;
        }
        buf[len++] = c == '\\' ? escape(r) : c;
    }
    buf[len] = '\0';
    if (r->at == r->end) {
        r->failed = true; /* no end of it */
    } else {
        r->at++;
    }
    return len;
}

static int
digit(char c)
{
    const char *place = c ? strchr(alphabet, c) : NULL;
    return place ? (int)(place - alphabet) : c == '+' ? 62 : c == '/' ? 63 : -1;
}

/* In either alphabet, padded.  A name has no NUL in it. */
static bool
decode_base64(const char *text, size_t len, struct mp__tracker_request *ret)
{
    size_t n = 0;
    for (size_t i = 0; i < len; i += 4) {
        uint32_t bits = 0;
        size_t digits = 4;
        if (len - i < 4) {
            return false;
        }
        if (i + 4 == len && text[i + 3] == '=') {
            digits = text[i + 2] == '=' ? 2 : 3;
        }
        for (size_t k = 0; k < digits; k++) {
            int d = digit(text[i + k]);
            if (d < 0) {
                return false;
            }
            bits |= (uint32_t)d << (18 - 6 * k);
        }
        for (size_t k = 0; k + 1 < digits; k++) {
            ret->name[n] = (char)(bits >> (16 - 8 * k));
            if (ret->name[n++] == '\0') {
                return false;
            }
        }
    }
    ret->name[n] = '\0';
    ret->name_len = n;
    return true;
}

/* An object of strings; what else is in it does not matter.  "cmd" and "rtype" must be there. */
static bool
parse_encoded(const char *line, size_t len, struct mp__tracker_request *ret)
{
    struct reader r = {line, line + len, false};
    char key[MP__TRACKER_LINE], encoded[MP__TRACKER_LINE], other[MP__TRACKER_LINE];
    bool has_command = false, has_type = false;
    size_t encoded_len = 0;
    expect(&r, '{');
    for (bool more = peek(&r) != '}'; more && !r.failed;) {
        string(&r, key);
        expect(&r, ':');
        if (strcmp(key, "cmd") == 0) {
            string(&r, ret->command);
            has_command = true;
        } else if (strcmp(key, "rtype") == 0) {
            string(&r, ret->type);
            has_type = true;
        } else if (strcmp(key, "base64_name") == 0) {
            encoded_len = string(&r, encoded);
        } else {
            string(&r, other);
        }
        more = peek(&r) == ',';
        if (more) {
            r.at++;
        }
    }
    expect(&r, '}');
    if (r.failed || peek(&r) != '\0' || r.at != r.end || !has_command || !has_type) {
        return false;
    }
    return decode_base64(encoded, encoded_len, ret);
}

bool
mp__tracker_parse(const char *line, size_t len, struct mp__tracker_request *ret)
{
    if (len >= MP__TRACKER_LINE) {
        return false;
    }
    return len > 0 && *line == '{' ? parse_encoded(line, len, ret) : parse_simple(line, len, ret);
}
