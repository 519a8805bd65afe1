/*
 * pickle_load.c - pickles to values: a safe reader of protocols 0 to 5
 *
 * It calls nothing that a pickle names: a closed table maps a few globals to constructors of ours.
 * Every length is compared with what is left before anything is allocated; memo numbers are
 * bounded by the bytes read; so memory is proportional to the input.  Nesting is bounded.  A
 * container that something else holds already cannot be added to, so cycles cannot come about.
 */
#include "object/pickle_load.h"

#include <stdio.h>
#include <stdlib.h>

/* ---- the machine ----------------------------------------------------------------------------- */

int
mp__read_bad(const mp__reader *r, const char *what)
{
    return mp__error(MP_EUNPICKLING, "pickle: %s, at byte %td of %td", what, r->op - r->start,
                     r->end - r->start);
}

int
mp__read_grow(mp__reader *r)
{
    size_t cap = r->cap * 2;
    bool small = r->stack == r->small_stack;
    mp_obj *stack = realloc(small ? NULL : r->stack, cap * sizeof *stack);
    if (!stack) {
        return mp__error(MP_ENOMEM, "pickle: no memory for %zu items", cap);
    }
    if (small) {
        memcpy(stack, r->small_stack, sizeof r->small_stack);
    }
    r->stack = stack;
    r->cap = cap;
    return 0;
}

int
mp__read_admit(mp__reader *r, size_t n, mp__body *container)
{
    unsigned highest = 0;
    for (size_t i = r->top - n; i < r->top; i++) {
        if (r->stack[i].mp__kind >= MP__ITEM_FIRST) {
            return mp__read_bad(r, "a global or mark in place of a value");
        }
        unsigned height = mp__read_height(r->stack[i]);
        highest = height > highest ? height : highest;
    }
    if (highest >= MP__DEPTH_MAX) {
        return mp__read_bad(r, "values nest too deep");
    }
    size_t ours = container->flags & MP__IN_MEMO ? 2 : 1; /* the stack's, the memo's */
    if (highest > 0 && mp__body_refs(container) > ours) {
        return mp__read_bad(r, "a container that holds itself, which libmp does not read");
    }
    if (highest >= container->height) {
        container->height = (uint16_t)(highest + 1);
    }
    return 0;
}

/* Items above the latest mark, which goes; -1 when there is no mark. */
static ptrdiff_t
unmark(mp__reader *r)
{
    if (r->fence == 0) {
        mp__read_bad(r, "no mark on the stack");
        return -1;
    }
    size_t first = r->fence, n = r->top - first;
    r->fence = (size_t)r->stack[first - 1].mp__u.i;
    if (n) {
        memmove(&r->stack[first - 1], &r->stack[first], n * sizeof *r->stack);
    }
    r->top--;
    return (ptrdiff_t)n;
}

static int
need(mp__reader *r, size_t items)
{
    return r->top - r->fence < items ? mp__read_bad(r, "the stack is empty") : 0;
}

/* ---- input ----------------------------------------------------------------------------------- */

static inline bool
left(const mp__reader *r, uint64_t n)
{
    return (uint64_t)(r->end - r->at) >= n;
}

/* An unsigned little-endian number of n bytes; false with the error noted. */
static inline bool
take(mp__reader *r, unsigned n, uint64_t *ret)
{
    uint64_t x = 0;
    if (!left(r, n)) {
        mp__read_bad(r, "the input ends early");
        return false;
    }
    for (unsigned i = 0; i < n; i++) {
        x |= (uint64_t)r->at[i] << (8 * i);
    }
    r->at += n;
    *ret = x;
    return true;
}

/* A length of size bytes, and that many bytes of data; NULL with the error noted. */
static inline const unsigned char *
take_data(mp__reader *r, unsigned size, size_t *ret_len)
{
    uint64_t n;
    if (!take(r, size, &n)) {
        return NULL;
    }
    if (!left(r, n)) {
        mp__read_bad(r, "a length beyond the end of the input");
        return NULL;
    }
    const unsigned char *data = r->at;
    *ret_len = (size_t)n;
    r->at += n;
    return data;
}

static int
read_str(mp__reader *r, unsigned size)
{
    size_t len = 0;
    const unsigned char *data = take_data(r, size, &len);
    if (!data) {
        return MP_EUNPICKLING;
    }
    if (!mp__utf8_valid(data, len)) {
        return mp__read_bad(r, "a str that is not UTF-8");
    }
    return mp__read_push_new(r, mp__text_new(MP_KIND_STR, data, len));
}

static int
read_bytes(mp__reader *r, unsigned size, bool mutable)
{
    size_t len = 0;
    const unsigned char *data = take_data(r, size, &len);
    if (!data) {
        return MP_EUNPICKLING;
    }
    mp_obj o = mp__text_new(MP_KIND_BYTES, data, len);
    if (mutable && o.mp__kind == MP_KIND_BYTES) {
        mp__obj_body(o)->flags |= MP__MUTABLE;
    }
    return mp__read_push_new(r, o);
}

/* A str of Python 2: its encoding is not known, so only ASCII is taken. */
static int
read_ascii(mp__reader *r, unsigned size)
{
    size_t len = 0;
    const unsigned char *data = take_data(r, size, &len);
    if (!data) {
        return MP_EUNPICKLING;
    }
    for (size_t i = 0; i < len; i++) {
        if (data[i] >= 0x80) {
            return mp__read_bad(r, "a str of Python 2 that is not ASCII");
        }
    }
    return mp__read_push_new(r, mp__text_new(MP_KIND_STR, data, len));
}

static int
read_double(mp__reader *r)
{
    if (!left(r, 8)) {
        return mp__read_bad(r, "the input ends early");
    }
    uint64_t bits = 0;
    for (unsigned i = 0; i < 8; i++) {
        bits = bits << 8 | r->at[i];
    }
    r->at += 8;
    double d;
    memcpy(&d, &bits, sizeof d);
    return mp__read_push(r, mp_from_double(d));
}

/* Two's complement, little endian, of any length; it has to fit 64 bits. */
static int
read_long(mp__reader *r, unsigned size)
{
    size_t len = 0;
    const unsigned char *s = take_data(r, size, &len);
    if (!s) {
        return MP_EUNPICKLING;
    }
    bool negative = len && s[len - 1] & 0x80;
    uint64_t x = negative ? UINT64_MAX : 0; /* bytes that are not there repeat the sign */
    bool fits = true;
    for (size_t i = 0; i < len; i++) {
        if (i < 8) {
            x = (x & ~(UINT64_C(0xff) << (8 * i))) | (uint64_t)s[i] << (8 * i);
        } else {
            fits = fits && s[i] == (negative ? 0xff : 0);
        }
    }
    if (!fits || (x >> 63 != 0) != negative) {
        return mp__error(MP_EOVERFLOW, "pickle: an int beyond 64 bits, at byte %td",
                         r->op - r->start);
    }
    int64_t i;
    memcpy(&i, &x, sizeof i);
    return mp__read_push(r, mp_from_int(i));
}

/* ---- memo ------------------------------------------------------------------------------------ */

static int
memo_grow(mp__reader *r, size_t number)
{
    size_t cap = r->memo_cap * 2 > number ? r->memo_cap * 2 : number + 1;
    bool small = r->memo == r->small_memo;
    mp_obj *memo = realloc(small ? NULL : r->memo, cap * sizeof *memo);
    if (!memo) {
        return mp__error(MP_ENOMEM, "pickle: no memory for a memo of %zu", cap);
    }
    if (small) {
        memcpy(memo, r->small_memo, sizeof r->small_memo);
    }
    r->memo = memo;
    r->memo_cap = cap;
    return 0;
}

/* Nobody else knows the bodies yet, so their counts need no atomic addition. */
static inline mp_obj
share(mp_obj o)
{
    if (mp__kind_has_body(o.mp__kind)) {
        mp__body *b = mp__obj_body(o);
        atomic_store_explicit(&b->refs, mp__body_refs(b) + 1, memory_order_relaxed);
    }
    return o;
}

static int
memo_put(mp__reader *r, uint64_t number)
{
    int rc = need(r, 1);
    if (rc) {
        return rc;
    }
    if (number > (uint64_t)(r->at - r->start)) {
        return mp__read_bad(r, "a memo number without reason");
    }
    if (number >= r->memo_cap && (rc = memo_grow(r, (size_t)number)) != 0) {
        return rc;
    }
    while (r->memo_end <= number) {
        r->memo[r->memo_end++] = (mp_obj){.mp__kind = MP__ITEM_EMPTY};
    }
    mp_obj *slot = &r->memo[number], top = r->stack[r->top - 1];
    if (slot->mp__kind != MP__ITEM_EMPTY) {
        return mp__read_bad(r, "a memo number that is in use");
    }
    *slot = share(top);
    r->memo_len++;
    if (mp__kind_has_body(top.mp__kind)) {
        mp__obj_body(top)->flags |= MP__IN_MEMO;
    }
    return 0;
}

static int
memo_get(mp__reader *r, uint64_t number)
{
    if (number >= r->memo_end || r->memo[number].mp__kind == MP__ITEM_EMPTY) {
        return mp__read_bad(r, "a memo number that holds nothing");
    }
    return mp__read_push(r, share(r->memo[number]));
}

static void
memo_free(mp__reader *r)
{
    for (size_t i = 0; i < r->memo_end; i++) {
        mp_obj o = r->memo[i];
        if (!mp__kind_has_body(o.mp__kind)) {
            continue;
        }
        mp__body *b = mp__obj_body(o);
        size_t refs = mp__body_refs(b);
        b->flags &= (uint16_t)~MP__IN_MEMO;
        if (refs > 1) {
            atomic_store_explicit(&b->refs, refs - 1, memory_order_relaxed);
        } else {
            mp_obj_free(o);
        }
    }
    if (r->memo != r->small_memo) {
        free(r->memo);
    }
}

/* ---- opcodes --------------------------------------------------------------------------------- */

/* Items above the mark go into something, or become something. */
static int
with_marked(mp__reader *r, int (*build)(mp__reader *r, size_t n))
{
    ptrdiff_t n = unmark(r);
    return n < 0 ? MP_EUNPICKLING : build(r, (size_t)n);
}

static int
with_top(mp__reader *r, size_t n, int (*build)(mp__reader *r, size_t n))
{
    int rc = need(r, n);
    return rc ? rc : build(r, n);
}

static int
read_mark(mp__reader *r)
{
    mp_obj mark = {.mp__kind = MP__ITEM_MARK, .mp__u.i = (int64_t)r->fence};
    int rc = mp__read_push(r, mark);
    r->fence = rc ? r->fence : r->top;
    return rc;
}

/* A new list; small ones get their items in the same piece of memory. */
static int
read_empty_list(mp__reader *r)
{
    const unsigned char *next = r->at + (r->at < r->end && *r->at == OP_MEMOIZE);
    mp__seq *s = mp__list_new(next < r->end && *next == OP_MARK ? 4 : 0);
    return s ? mp__read_push(r, mp__obj_of(s)) : MP_ENOMEM;
}

static int
read_empty_table(mp__reader *r, enum mp_kind kind)
{
    mp__table *t = mp__table_new(kind);
    return t ? mp__read_push(r, mp__obj_of(t)) : MP_ENOMEM;
}

static int
read_pop(mp__reader *r)
{
    if (r->fence && r->top == r->fence) { /* as CPython: POP takes a mark, too */
        return unmark(r) < 0 ? MP_EUNPICKLING : 0;
    }
    int rc = need(r, 1);
    if (rc == 0) {
        mp_obj_free(r->stack[--r->top]);
    }
    return rc;
}

static int
read_pop_mark(mp__reader *r)
{
    ptrdiff_t n = unmark(r);
    if (n < 0) {
        return MP_EUNPICKLING;
    }
    r->top -= (size_t)n;
    mp__obj_free_all((size_t)n, &r->stack[r->top]);
    return 0;
}

static int
read_dup(mp__reader *r)
{
    int rc = need(r, 1);
    return rc ? rc : mp__read_push(r, share(r->stack[r->top - 1]));
}

/* Frames need no attention, once it is clear that this one ends within the input. */
static int
read_frame(mp__reader *r)
{
    uint64_t n;
    if (!take(r, 8, &n)) {
        return MP_EUNPICKLING;
    }
    return left(r, n) ? 0 : mp__read_bad(r, "a frame beyond the end of the input");
}

static int
read_proto(mp__reader *r)
{
    uint64_t version;
    if (!take(r, 1, &version)) {
        return MP_EUNPICKLING;
    }
    return version <= 5 ? 0 : mp__read_bad(r, "a protocol above 5");
}

static inline int
read_int(mp__reader *r, unsigned size)
{
    uint64_t x;
    if (!take(r, size, &x)) {
        return MP_EUNPICKLING;
    }
    int64_t i = (int64_t)x;
    if (size == 4 && i > INT32_MAX) {
        i -= INT64_C(1) << 32;
    }
    return mp__read_push(r, mp_from_int(i));
}

static int
read_int_line(mp__reader *r, bool is_long)
{
    int64_t i = 0;
    bool boolean = false;
    int rc = mp__read_decimal(r, is_long, &i, &boolean);
    return rc ? rc : mp__read_push(r, boolean ? mp_bool(i) : mp_from_int(i));
}

static int
memo_by(mp__reader *r, unsigned size, int (*use)(mp__reader *r, uint64_t number))
{
    uint64_t number;
    return take(r, size, &number) ? use(r, number) : MP_EUNPICKLING;
}

static int
memo_by_line(mp__reader *r, int (*use)(mp__reader *r, uint64_t number))
{
    int64_t number = 0;
    bool boolean;
    int rc = mp__read_decimal(r, false, &number, &boolean);
    if (rc == 0 && number < 0) {
        return mp__read_bad(r, "a negative memo number");
    }
    return rc ? rc : use(r, (uint64_t)number);
}

/* GLOBAL: module and name are two lines. */
static int
read_global_lines(mp__reader *r)
{
    size_t module_len = 0, name_len = 0;
    const char *module = mp__read_line(r, &module_len);
    const char *name = module ? mp__read_line(r, &name_len) : NULL;
    return name ? mp__read_global(r, module, module_len, name, name_len) : MP_EUNPICKLING;
}

/* Opcodes that old protocols have, and rare ones. */
static int
run_other(mp__reader *r, unsigned op)
{
    char text[64];
    switch (op) {
    case OP_INT:
        return read_int_line(r, false);
    case OP_LONG:
        return read_int_line(r, true);
    case OP_FLOAT:
        return mp__read_float_line(r);
    case OP_UNICODE:
        return mp__read_unicode_line(r);
    case OP_STRING:
        return mp__read_string_line(r);
    case OP_BINSTRING:
        return read_ascii(r, 4);
    case OP_SHORT_BINSTRING:
        return read_ascii(r, 1);
    case OP_GET:
        return memo_by_line(r, memo_get);
    case OP_PUT:
        return memo_by_line(r, memo_put);
    case OP_POP:
        return read_pop(r);
    case OP_POP_MARK:
        return read_pop_mark(r);
    case OP_DUP:
        return read_dup(r);
    case OP_LIST:
        return with_marked(r, mp__read_list);
    case OP_DICT:
        return with_marked(r, mp__read_dict);
    case OP_GLOBAL:
        return read_global_lines(r);
    case OP_STACK_GLOBAL:
        return mp__read_stack_global(r);
    case OP_REDUCE:
    case OP_NEWOBJ:
        return mp__read_call(r);
    case OP_BUILD:
        return mp__read_build(r);
    case OP_FROZENSET:
        return with_marked(r, mp__read_frozenset);
    case OP_BYTEARRAY8:
        return read_bytes(r, 8, true);
    case OP_BINUNICODE8:
        return read_str(r, 8);
    case OP_BINBYTES8:
        return read_bytes(r, 8, false);
    case OP_LONG4:
        return read_long(r, 4);
    default:
        snprintf(text, sizeof text, "opcode 0x%02x, which libmp does not read", op);
        return mp__read_bad(r, text);
    }
}

static int
run(mp__reader *r, unsigned op)
{
    switch (op) {
    case OP_PROTO:
        return read_proto(r);
    case OP_FRAME:
        return read_frame(r);
    case OP_NONE:
        return mp__read_push(r, mp_none());
    case OP_NEWTRUE:
        return mp__read_push(r, mp_bool(true));
    case OP_NEWFALSE:
        return mp__read_push(r, mp_bool(false));
    case OP_BININT1:
        return read_int(r, 1);
    case OP_BININT2:
        return read_int(r, 2);
    case OP_BININT:
        return read_int(r, 4);
    case OP_LONG1:
        return read_long(r, 1);
    case OP_BINFLOAT:
        return read_double(r);
    case OP_SHORT_BINUNICODE:
        return read_str(r, 1);
    case OP_BINUNICODE:
        return read_str(r, 4);
    case OP_SHORT_BINBYTES:
        return read_bytes(r, 1, false);
    case OP_BINBYTES:
        return read_bytes(r, 4, false);
    case OP_MEMOIZE:
        return memo_put(r, r->memo_len);
    case OP_BINPUT:
        return memo_by(r, 1, memo_put);
    case OP_LONG_BINPUT:
        return memo_by(r, 4, memo_put);
    case OP_BINGET:
        return memo_by(r, 1, memo_get);
    case OP_LONG_BINGET:
        return memo_by(r, 4, memo_get);
    case OP_MARK:
        return read_mark(r);
    case OP_EMPTY_LIST:
        return read_empty_list(r);
    case OP_APPEND:
        return with_top(r, 1, mp__read_append);
    case OP_APPENDS:
        return with_marked(r, mp__read_append);
    case OP_EMPTY_TUPLE:
        return mp__read_tuple(r, 0);
    case OP_TUPLE1:
        return with_top(r, 1, mp__read_tuple);
    case OP_TUPLE2:
        return with_top(r, 2, mp__read_tuple);
    case OP_TUPLE3:
        return with_top(r, 3, mp__read_tuple);
    case OP_TUPLE:
        return with_marked(r, mp__read_tuple);
    case OP_EMPTY_DICT:
        return read_empty_table(r, MP_KIND_DICT);
    case OP_SETITEM:
        return with_top(r, 2, mp__read_set_items);
    case OP_SETITEMS:
        return with_marked(r, mp__read_set_items);
    case OP_EMPTY_SET:
        return read_empty_table(r, MP_KIND_SET);
    case OP_ADDITEMS:
        return with_marked(r, mp__read_add_items);
    default:
        return run_other(r, op);
    }
}

/* Run up to STOP; the value on top is *ret's. */
static int
run_all(mp__reader *r, mp_obj *ret)
{
    while (r->at < r->end) {
        r->op = r->at++;
        if (*r->op != OP_STOP) {
            int rc = run(r, *r->op);
            if (rc) {
                return rc;
            }
            continue;
        }
        int rc = need(r, 1);
        if (rc == 0 && r->stack[r->top - 1].mp__kind >= MP__ITEM_FIRST) {
            rc = mp__read_bad(r, "a global in place of a value");
        }
        if (rc == 0) {
            *ret = r->stack[--r->top];
        }
        return rc;
    }
    r->op = r->end;
    return mp__read_bad(r, "the input ends without STOP");
}

int
mp__obj_load(const void *data, size_t len, const mp__obj_handles *h, mp_obj *ret)
{
    mp__reader r;
    *ret = mp_none();
    if (!data && len) {
        return mp__error(MP_EVALUE, "mp_obj_load: NULL with length %zu", len);
    }
    static const unsigned char nothing[1];
    r.start = r.at = r.op = data ? data : nothing;
    r.end = r.start + len;
    r.stack = r.small_stack;
    r.cap = MP__SMALL_STACK;
    r.top = r.fence = 0;
    r.memo = r.small_memo;
    r.memo_cap = MP__SMALL_MEMO;
    r.memo_end = r.memo_len = 0;
    r.handles = h;
    r.walk = (mp__walk){.budget = len < MP__WALK_BUDGET / 16 ? len * 16 + 65536 : MP__WALK_BUDGET};
    r.copied = 0;
    int rc = run_all(&r, ret);
    for (size_t i = 0; i < r.top; i++) {
        mp_obj_free(r.stack[i]);
    }
    if (r.stack != r.small_stack) {
        free(r.stack);
    }
    memo_free(&r);
    return rc;
}

int
mp_obj_load(const void *data, size_t len, mp_obj *ret)
{
    return ret ? mp__obj_load(data, len, mp__obj_spawning, ret)
               : mp__error(MP_EVALUE, "mp_obj_load: NULL for the result");
}
