/*
 * text.c - Python's repr(), str() and print()
 *
 * A container inside itself prints as [...], as in Python; so does what nests deeper than
 * MP__DEPTH_MAX, and what a value with shared parts has beyond VISITS of them.
 */
#include "object/object.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "object/printable.h"

#define VISITS ((size_t)1 << 22)

typedef struct text {
    char *data;
    size_t len, cap;
    size_t limit;  /* from here on, no item is added any more */
    size_t visits; /* of containers with several references that are left */
    bool failed;   /* no memory; data is as it was */
} text;

/* The containers that we are in. */
typedef struct outer {
    const struct outer *up;
    const void *body;
    unsigned depth;
} outer;

/* Room for n more bytes and a NUL, or NULL. */
static char *
room(text *t, size_t n)
{
    if (t->failed) {
        return NULL;
    }
    if (n >= t->cap - t->len) {
        size_t cap = t->cap * 2 > t->len + n + 1 ? t->cap * 2 : t->len + n + 64;
        char *data = n < PTRDIFF_MAX / 2 ? realloc(t->data, cap) : NULL;
        if (!data) {
            t->failed = true;
            return NULL;
        }
        t->data = data;
        t->cap = cap;
    }
    return t->data + t->len;
}

static void
put(text *t, const char *s, size_t n)
{
    char *to = room(t, n);
    if (to) {
        memcpy(to, s, n);
        t->len += n;
    }
}

static void
put_z(text *t, const char *s)
{
    put(t, s, strlen(s));
}

/* ---- numbers --------------------------------------------------------------------------------- */

/* n significant digits of |d|, correctly rounded: d[0].d[1]d[2].. times ten to the exponent. */
typedef struct decimal {
    char digits[24];
    int n, exponent;
} decimal;

static decimal
decimal_of(double d, int n)
{
    char form[48];
    decimal x = {.n = 0};
    snprintf(form, sizeof form, "%.*e", n - 1, d);
    const char *s = form;
    for (; *s && *s != 'e'; s++) { /* skips sign and radix, whatever the locale has for it */
        if (*s >= '0' && *s <= '9') {
            x.digits[x.n++] = *s;
        }
    }
    x.exponent = *s ? atoi(s + 1) : 0;
    return x;
}

/* The next decimal of as many digits, away from zero. */
static decimal
next_decimal(decimal x)
{
    int i = x.n - 1;
    while (i >= 0 && x.digits[i] == '9') {
        x.digits[i--] = '0';
    }
    if (i >= 0) {
        x.digits[i]++;
    } else {
        x.digits[0] = '1';
        x.exponent++;
    }
    return x;
}

static bool
reads_back(const decimal *x, double d)
{
    char form[48];
    snprintf(form, sizeof form, "%.*se%d", x->n, x->digits, x->exponent - x->n + 1);
    return strtod(form, NULL) == d;
}

/*
 * The shortest decimal that reads back as d, the closest of these.  15 digits always survive the
 * way through a normal double, so when 15 do, shorter ones are these without their zeros; only
 * subnormals have fewer.  Below a power of two the doubles are twice as dense as above, so the
 * closest decimal can be too far off below when the next one above is not.
 */
static decimal
shortest(double d)
{
    int exponent;
    double positive = fabs(d);
    bool power = frexp(positive, &exponent) == 0.5;
    decimal x = decimal_of(positive, positive < 0x1p-1022 ? 1 : 15);
    while (!reads_back(&x, positive) && x.n < 17) {
        decimal above = next_decimal(x);
        if (power && reads_back(&above, positive)) {
            x = above;
            break;
        }
        x = decimal_of(positive, x.n + 1);
    }
    while (x.n > 1 && x.digits[x.n - 1] == '0') {
        x.n--;
    }
    x.digits[x.n] = 0;
    return x;
}

static void
put_double(text *t, double d)
{
    char form[64];
    if (isnan(d) || isinf(d)) {
        put_z(t, isnan(d) ? "nan" : d < 0 ? "-inf" : "inf");
        return;
    }
    if (signbit(d)) {
        put(t, "-", 1);
    }
    if (d == 0) {
        put_z(t, "0.0");
        return;
    }
    decimal x = shortest(d);
    if (x.exponent < -4 || x.exponent >= 16) {
        snprintf(form, sizeof form, "%c%s%se%+03d", x.digits[0], x.n > 1 ? "." : "", x.digits + 1,
                 x.exponent);
    } else if (x.exponent < 0) {
        snprintf(form, sizeof form, "0.%.*s%s", -x.exponent - 1, "000", x.digits);
    } else if (x.exponent + 1 >= x.n) {
        snprintf(form, sizeof form, "%s%.*s.0", x.digits, x.exponent + 1 - x.n, "0000000000000000");
    } else {
        snprintf(form, sizeof form, "%.*s.%s", x.exponent + 1, x.digits, x.digits + x.exponent + 1);
    }
    put_z(t, form);
}

static void
put_int(text *t, int64_t i)
{
    char form[24];
    snprintf(form, sizeof form, "%" PRId64, i);
    put_z(t, form);
}

/* ---- text ------------------------------------------------------------------------------------ */

/* Single quotes, unless there are some inside and no double ones. */
static char
quote_for(const char *s, size_t len)
{
    return memchr(s, '\'', len) && !memchr(s, '"', len) ? '"' : '\'';
}

/* A character that both str and bytes escape; false: it is printed as it is. */
static bool
put_escape(text *t, unsigned char c, char quote)
{
    char form[8];
    const char *s = form;
    if (c == '\n') {
        s = "\\n";
    } else if (c == '\r') {
        s = "\\r";
    } else if (c == '\t') {
        s = "\\t";
    } else if (c == '\\' || c == (unsigned char)quote) {
        snprintf(form, sizeof form, "\\%c", c);
    } else if (c < 0x20 || c == 0x7f) {
        snprintf(form, sizeof form, "\\x%02x", c);
    } else {
        return false;
    }
    put_z(t, s);
    return true;
}

static void
put_bytes(text *t, const mp__text *b)
{
    char quote = quote_for(b->data, b->len), form[8];
    char escaped = b->body.flags & MP__MUTABLE ? '\'' : quote; /* bytearray escapes needlessly */
    put(t, "b", 1);
    put(t, &quote, 1);
    for (size_t i = 0; i < b->len && t->len < t->limit; i++) {
        unsigned char c = (unsigned char)b->data[i];
        if (c >= 0x80) {
            snprintf(form, sizeof form, "\\x%02x", c);
            put_z(t, form);
        } else if (!put_escape(t, c, escaped)) {
            put(t, &b->data[i], 1);
        }
    }
    put(t, &quote, 1);
}

/* The code point at s, valid UTF-8 of two bytes or more; its length. */
static size_t
decode(const char *s, uint32_t *ret)
{
    const unsigned char *u = (const unsigned char *)s;
    if (u[0] < 0xE0) {
        *ret = (uint32_t)(u[0] & 0x1F) << 6 | (u[1] & 0x3F);
        return 2;
    }
    if (u[0] < 0xF0) {
        *ret = (uint32_t)(u[0] & 0x0F) << 12 | (uint32_t)(u[1] & 0x3F) << 6 | (u[2] & 0x3F);
        return 3;
    }
    *ret = (uint32_t)(u[0] & 0x07) << 18 | (uint32_t)(u[1] & 0x3F) << 12 |
           (uint32_t)(u[2] & 0x3F) << 6 | (u[3] & 0x3F);
    return 4;
}

/* Whether the number of borders up to c is even: the table starts where printable ones end. */
static bool
is_printable(uint32_t c)
{
    size_t low = 0, high = sizeof mp__printable_borders / sizeof *mp__printable_borders;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (mp__printable_borders[middle] <= c) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low % 2 == 0;
}

static void
put_str(text *t, const char *s, size_t len)
{
    char quote = quote_for(s, len), form[16];
    put(t, &quote, 1);
    for (size_t i = 0; i < len && t->len < t->limit;) {
        if ((unsigned char)s[i] < 0x80) {
            if (!put_escape(t, (unsigned char)s[i], quote)) {
                put(t, s + i, 1);
            }
            i++;
            continue;
        }
        uint32_t c;
        size_t n = decode(s + i, &c);
        if (is_printable(c)) {
            put(t, s + i, n);
        } else {
            snprintf(form, sizeof form,
                     c < 0x100     ? "\\x%02" PRIx32
                     : c < 0x10000 ? "\\u%04" PRIx32
                                   : "\\U%08" PRIx32,
                     c);
            put_z(t, form);
        }
        i += n;
    }
    put(t, &quote, 1);
}

/* ---- containers ------------------------------------------------------------------------------ */

static void put_leaf(text *t, mp_obj o);
static void put_repr(text *t, mp_obj o, const outer *up);

static void
put_items(text *t, const mp_obj *items, size_t n, const outer *here)
{
    for (size_t i = 0; i < n && t->len < t->limit; i++) {
        if (i) {
            put_z(t, ", ");
        }
        put_repr(t, items[i], here);
    }
}

static void
put_seq(text *t, mp_obj o, const outer *here)
{
    const mp__seq *s = o.mp__u.p;
    bool list = o.mp__kind == MP_KIND_LIST;
    put_z(t, list ? "[" : "(");
    put_items(t, s->items, s->len, here);
    put_z(t, list ? "]" : s->len == 1 ? ",)" : ")");
}

static void
put_table(text *t, mp_obj o, const outer *here)
{
    const mp__table *d = o.mp__u.p;
    bool dict = o.mp__kind == MP_KIND_DICT, frozen = d->body.flags & MP__FROZEN;
    if (!dict && d->len == 0) {
        put_z(t, frozen ? "frozenset()" : "set()");
        return;
    }
    put_z(t, frozen ? "frozenset({" : "{");
    for (size_t i = 0; i < d->len && t->len < t->limit; i++) {
        if (i) {
            put_z(t, ", ");
        }
        put_repr(t, d->entries[i].key, here);
        if (dict) {
            put_z(t, ": ");
            put_repr(t, d->entries[i].value, here);
        }
    }
    put_z(t, frozen ? "})" : "}");
}

/* What Python prints for a container that holds itself. */
static void
put_inner(text *t, mp_obj o)
{
    switch (mp_obj_kind(o)) {
    case MP_KIND_LIST:
        put_z(t, "[...]");
        break;
    case MP_KIND_TUPLE:
        put_z(t, "(...)");
        break;
    case MP_KIND_DICT:
        put_z(t, "{...}");
        break;
    default:
        put_z(t, mp_obj_type_name(o));
        put_z(t, "(...)");
        break;
    }
}

/* ---- errors ---------------------------------------------------------------------------------- */

static bool
has_errno(const mp__failure *e)
{
    return e->known && e->known->shape == MP__OS && e->code < 0 && e->code > -4096;
}

/* Arguments are (errno, text, file name, None, second file name), or only the first of these. */
static bool
is_os_form(const mp__failure *e, const mp__seq *args)
{
    return e->known->shape == MP__OS && args->len >= 2 && args->len <= 5;
}

static bool
has_item(const mp__seq *args, size_t i)
{
    return args->len > i && args->items[i].mp__kind != MP_KIND_NONE;
}

static void
put_error(text *t, mp_obj o, const outer *here)
{
    const mp__failure *e = o.mp__u.p;
    put_z(t, mp_obj_type_name(o));
    put_z(t, "(");
    if (e->args.mp__kind == MP_KIND_TUPLE) {
        const mp__seq *args = e->args.mp__u.p;
        /* Python takes the file names of an OSError out of its args. */
        bool named = is_os_form(e, args) && has_item(args, 2);
        put_items(t, args->items, named ? 2 : args->len, here);
    } else {
        if (has_errno(e)) {
            put_leaf(t, mp_from_int(-e->code));
            put_z(t, ", ");
        }
        if (*e->message) {
            put_leaf(t, e->text);
        }
    }
    put_z(t, ")");
}

static void put_plain(text *t, mp_obj o);

/* str() of an error that kept its arguments. */
static void
put_arguments(text *t, const mp__failure *e)
{
    const mp__seq *args = e->args.mp__u.p;
    const mp_obj *a = args->items;
    bool key_error = strcmp(e->type, "KeyError") == 0;
    if (is_os_form(e, args)) {
        put_z(t, "[Errno ");
        put_plain(t, a[0]);
        put_z(t, "] ");
        put_plain(t, a[1]);
        if (has_item(args, 2)) {
            put_z(t, ": ");
            put_repr(t, a[2], NULL);
        }
        if (has_item(args, 2) && has_item(args, 4)) {
            put_z(t, " -> ");
            put_repr(t, a[4], NULL);
        }
    } else if (args->len == 1 && !key_error) {
        put_plain(t, a[0]);
    } else if (args->len) {
        put_repr(t, args->len == 1 ? a[0] : e->args, NULL);
    }
}

static void
put_error_text(text *t, const mp__failure *e)
{
    if (e->args.mp__kind == MP_KIND_TUPLE) {
        put_arguments(t, e);
    } else if (strcmp(e->type, "KeyError") == 0 && *e->message) {
        put_str(t, e->message, strlen(e->message));
    } else {
        if (has_errno(e)) {
            put_z(t, "[Errno ");
            put_int(t, -e->code);
            put_z(t, "] ");
        }
        put_z(t, e->message);
    }
}

/* ---- all kinds ------------------------------------------------------------------------------- */

static void
put_container(text *t, mp_obj o, const outer *up)
{
    const outer here = {.up = up, .body = o.mp__u.p, .depth = up ? up->depth + 1 : 1};
    bool inside = here.depth > MP__DEPTH_MAX;
    for (const outer *i = up; i && !inside; i = i->up) {
        inside = i->body == here.body;
    }
    if (!inside && mp__body_refs(mp__obj_body(o)) > 1) {
        inside = t->visits == 0;
        t->visits -= !inside;
    }
    if (inside) {
        put_inner(t, o);
    } else if (o.mp__kind == MP_KIND_ERROR) {
        put_error(t, o, &here);
    } else if (o.mp__kind == MP_KIND_LIST || o.mp__kind == MP_KIND_TUPLE) {
        put_seq(t, o, &here);
    } else {
        put_table(t, o, &here);
    }
}

static void
put_handle(text *t, mp_obj o)
{
    static const char *const modules[] = {
        [MP_HANDLE_POINTER] = "multiprocessing.heap.",
        [MP_HANDLE_QUEUE] = "multiprocessing.queues.",
        [MP_HANDLE_LOCK] = "multiprocessing.synchronize.",
        [MP_HANDLE_RLOCK] = "multiprocessing.synchronize.",
        [MP_HANDLE_SEMAPHORE] = "multiprocessing.synchronize.",
        [MP_HANDLE_CONDITION] = "multiprocessing.synchronize.",
        [MP_HANDLE_EVENT] = "multiprocessing.synchronize.",
        [MP_HANDLE_BARRIER] = "multiprocessing.synchronize.",
        [MP_HANDLE_VALUE] = "multiprocessing.sharedctypes.",
        [MP_HANDLE_ARRAY] = "multiprocessing.sharedctypes.",
        [MP_HANDLE_CONNECTION] = "multiprocessing.connection.",
        [MP_HANDLE_FD] = "multiprocessing.reduction.",
    };
    char form[128];
    bool known = o.mp__handle && o.mp__handle < sizeof modules / sizeof *modules;
    snprintf(form, sizeof form, "<%s%s object at 0x%" PRIxPTR ">",
             known ? modules[o.mp__handle] : "", mp_obj_type_name(o), (uintptr_t)o.mp__u.p);
    put_z(t, form);
}

/* As an object whose class says nothing of itself. */
static void
put_typed(text *t, const mp__instance *v)
{
    char address[40];
    snprintf(address, sizeof address, " object at 0x%" PRIxPTR ">", (uintptr_t)v);
    put_z(t, "<");
    put_z(t, v->type->module);
    put_z(t, ".");
    put_z(t, v->type->name);
    put_z(t, address);
}

/* Out of line: its buffers would be in every level's frame, and threads can have small stacks. */
__attribute__((noinline)) static void
put_leaf(text *t, mp_obj o)
{
    switch (mp_obj_kind(o)) {
    case MP_KIND_NONE:
        put_z(t, "None");
        break;
    case MP_KIND_BOOL:
        put_z(t, o.mp__u.i ? "True" : "False");
        break;
    case MP_KIND_INT:
        put_int(t, o.mp__u.i);
        break;
    case MP_KIND_FLOAT:
        put_double(t, o.mp__u.f);
        break;
    case MP_KIND_STR:
        put_str(t, ((mp__text *)o.mp__u.p)->data, ((mp__text *)o.mp__u.p)->len);
        break;
    case MP_KIND_BYTES:
        put_z(t, mp__obj_body(o)->flags & MP__MUTABLE ? "bytearray(" : "");
        put_bytes(t, o.mp__u.p);
        put_z(t, mp__obj_body(o)->flags & MP__MUTABLE ? ")" : "");
        break;
    case MP_KIND_TYPED:
        put_typed(t, o.mp__u.p);
        break;
    case MP_KIND_HANDLE:
        put_handle(t, o);
        break;
    default:
        put_z(t, "<failed value>");
        break;
    }
}

static void
put_repr(text *t, mp_obj o, const outer *up)
{
    if (mp__kind_is_container(o.mp__kind)) {
        put_container(t, o, up);
    } else {
        put_leaf(t, o);
    }
}

static void
put_plain(text *t, mp_obj o)
{
    if (o.mp__kind == MP_KIND_STR) {
        put(t, ((mp__text *)o.mp__u.p)->data, ((mp__text *)o.mp__u.p)->len);
    } else if (o.mp__kind == MP_KIND_ERROR) {
        put_error_text(t, o.mp__u.p);
    } else {
        put_repr(t, o, NULL);
    }
}

char *
mp__obj_text(mp_obj o, bool repr, size_t limit, size_t *ret_len)
{
    text t = {.limit = limit, .visits = VISITS};
    if (repr) {
        put_repr(&t, o, NULL);
    } else {
        put_plain(&t, o);
    }
    if (!room(&t, 0)) {
        free(t.data);
        mp__error(MP_ENOMEM, "mp_obj: no memory for the text of a %s", mp_obj_type_name(o));
        return NULL;
    }
    while (t.len > limit && (t.data[limit] & 0xC0) == 0x80) {
        limit++; /* not inside a character */
    }
    t.len = t.len > limit ? limit : t.len;
    t.data[t.len] = 0;
    *ret_len = t.len;
    return t.data;
}

char *
mp_obj_repr(mp_obj o)
{
    size_t len;
    return mp__obj_text(o, true, SIZE_MAX, &len);
}

char *
mp_obj_str(mp_obj o)
{
    size_t len;
    return mp__obj_text(o, false, SIZE_MAX, &len);
}

int
mp_print(mp_obj o)
{
    if (o.mp__kind == MP_KIND_FAILED) {
        return mp__obj_failure(o);
    }
    size_t len;
    char *s = mp__obj_text(o, false, SIZE_MAX, &len);
    if (!s) {
        return MP_ENOMEM;
    }
    s[len++] = '\n'; /* in place of the NUL */
    errno = 0;
    int rc = fwrite(s, 1, len, stdout) == len ? 0 : errno ? errno : EIO;
    free(s);
    return rc ? mp__error_os(rc, "mp_print: stdout") : 0;
}
