/* pickle_text.c - the forms of protocol 0, which are lines of text. */
#include "object/pickle_load.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

const char *
mp__read_line(mp__reader *r, size_t *ret_len)
{
    const char *line = (const char *)r->at;
    const unsigned char *newline = memchr(r->at, '\n', (size_t)(r->end - r->at));
    if (!newline) {
        mp__read_bad(r, "a line without end");
        return NULL;
    }
    *ret_len = (size_t)(newline - r->at);
    r->at = newline + 1;
    return line;
}

/* Digits with a sign; LONG has an L after them, INT has 00 and 01 for False and True. */
int
mp__read_decimal(mp__reader *r, bool is_long, int64_t *ret, bool *ret_bool)
{
    size_t len = 0;
    const char *s = mp__read_line(r, &len);
    if (!s) {
        return MP_EUNPICKLING;
    }
    if (is_long && len && s[len - 1] == 'L') {
        len--;
    }
    *ret_bool = !is_long && len == 2 && s[0] == '0' && (s[1] == '0' || s[1] == '1');
    bool negative = len && s[0] == '-';
    uint64_t x = 0, limit = (uint64_t)INT64_MAX + negative;
    size_t i = len && (s[0] == '-' || s[0] == '+');
    if (i == len) {
        return mp__read_bad(r, "an int without digits");
    }
    for (; i < len; i++) {
        unsigned digit = (unsigned)(unsigned char)s[i] - '0';
        if (digit > 9) {
            return mp__read_bad(r, "an int that is none");
        }
        if (x > (limit - digit) / 10) {
            return mp__error(MP_EOVERFLOW, "pickle: an int beyond 64 bits, at byte %td",
                             r->op - r->start);
        }
        x = x * 10 + digit;
    }
    *ret = negative ? (int64_t)-x : (int64_t)x;
    return 0;
}

/* The locale may have another radix than the point; a number of our own shows it. */
static void
with_radix(char *form, size_t size, const char *s, size_t len)
{
    char sample[16];
    size_t n = 0;
    snprintf(sample, sizeof sample, "%.1f", 0.5);
    sample[strlen(sample) - 1] = 0; /* 0, radix, 5 */
    for (size_t i = 0; i < len && n + sizeof sample < size; i++) {
        if (s[i] == '.') {
            strcpy(form + n, sample + 1);
            n += strlen(sample + 1);
        } else {
            form[n++] = s[i];
        }
    }
    form[n] = 0;
}

int
mp__read_float_line(mp__reader *r)
{
    char form[400], *end;
    size_t len = 0;
    const char *s = mp__read_line(r, &len);
    if (!s) {
        return MP_EUNPICKLING;
    }
    for (size_t i = 0; i < len; i++) {
        if (!memchr("0123456789.+-einfa", s[i], 18) || len > 300) {
            return mp__read_bad(r, "a float that is none");
        }
    }
    with_radix(form, sizeof form, s, len);
    int saved = errno;
    double d = strtod(form, &end);
    errno = saved;
    if (len == 0 || *end) {
        return mp__read_bad(r, "a float that is none");
    }
    return mp__read_push(r, mp_from_double(d));
}

static size_t
encode(char *to, uint32_t c)
{
    if (c < 0x80) {
        to[0] = (char)c;
        return 1;
    }
    size_t n = c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    static const unsigned char leads[] = {0, 0, 0xC0, 0xE0, 0xF0};
    for (size_t i = n; i-- > 1; c >>= 6) {
        to[i] = (char)(0x80 | (c & 0x3F));
    }
    to[0] = (char)(leads[n] | c);
    return n;
}

/* n hexadecimal digits at s; false when they are none. */
static bool
hex(const char *s, size_t left, size_t n, uint32_t *ret)
{
    *ret = 0;
    for (size_t i = 0; i < n; i++) {
        static const char digits[] = "0123456789abcdef0123456789ABCDEF";
        const char *d = i < left && s[i] ? strchr(digits, s[i]) : NULL;
        if (!d) {
            return false;
        }
        *ret = *ret << 4 | (uint32_t)((d - digits) & 15);
    }
    return true;
}

/* Latin-1 with escapes of four and eight digits. */
int
mp__read_unicode_line(mp__reader *r)
{
    size_t len = 0, n = 0;
    const char *s = mp__read_line(r, &len);
    if (!s) {
        return MP_EUNPICKLING;
    }
    char *text = malloc(len * 2 + 1);
    if (!text) {
        return mp__error(MP_ENOMEM, "pickle: no memory for %zu bytes", len * 2);
    }
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < len;) {
        uint32_t c = (unsigned char)s[i++];
        if (c == '\\' && i < len && (s[i] == 'u' || s[i] == 'U')) {
            size_t size = s[i++] == 'u' ? 4 : 8;
            if (!hex(s + i, len - i, size, &c) || c > 0x10FFFF) {
                rc = mp__read_bad(r, "a str with a bad escape");
                break;
            }
            i += size;
        }
        n += encode(text + n, c);
    }
    rc = rc ? rc : mp__read_push_new(r, mp__text_new(MP_KIND_STR, text, n));
    free(text);
    return rc;
}

/* The character of an escape after the backslash at s[*i - 1]; false when it is none. */
static bool
unescape(const char *s, size_t len, size_t *i, uint32_t *ret)
{
    static const char from[] = "\\'\"ntrabfv", to[] = "\\'\"\n\t\r\a\b\f\v";
    char c = s[(*i)++];
    if (c == 'x') {
        bool good = hex(s + *i, len - *i, 2, ret);
        *i += 2;
        return good;
    }
    const char *at = c ? strchr(from, c) : NULL;
    *ret = at ? (uint32_t)to[at - from] : 0;
    return at != NULL;
}

/* A str of Python 2 as its repr(); only ASCII is taken. */
int
mp__read_string_line(mp__reader *r)
{
    size_t len = 0, n = 0;
    const char *s = mp__read_line(r, &len);
    if (!s) {
        return MP_EUNPICKLING;
    }
    if (len < 2 || s[0] != s[len - 1] || (s[0] != '\'' && s[0] != '"')) {
        return mp__read_bad(r, "a str without quotes");
    }
    char *text = malloc(len);
    if (!text) {
        return mp__error(MP_ENOMEM, "pickle: no memory for %zu bytes", len);
    }
    int rc = 0;
    len--; /* the closing quote */
    for (size_t i = 1; rc == 0 && i < len;) {
        uint32_t c = (unsigned char)s[i++];
        bool good = c != '\\' || (i < len && unescape(s, len, &i, &c));
        if (!good || c >= 0x80) {
            rc = mp__read_bad(r, "a str of Python 2 that is not ASCII");
        }
        text[n++] = (char)c;
    }
    rc = rc ? rc : mp__read_push_new(r, mp__text_new(MP_KIND_STR, text, n));
    free(text);
    return rc;
}
