/*
 * pickle_dump.c - values to pickles, protocol 4, byte for byte as CPython's C pickler
 *
 * Frames    opened by the first byte after the last one was closed; closed at the first value that
 *           starts at or after FRAME_TARGET bytes, and before a text of that size, which is written
 *           outside of frames; one of less than FRAME_MIN bytes loses its header again
 * Memo      every text and container has a number.  Those with one reference cannot come again,
 *           so only the others are looked up.
 */
#include "object/object.h"

#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "object/pickle.h"

#define FRAME_HEADER 9
#define FRAME_MIN    4
#define FRAME_TARGET 65536
#define BATCH        1000
#define NO_FRAME     SIZE_MAX
#define SCRATCH      1024 /* a pickle up to this size is made without growing a buffer */
#define SMALL_MEMO   16

typedef struct memo_slot {
    const void *what; /* NULL: free */
    size_t number;
} memo_slot;

typedef struct out {
    unsigned char *buf;
    size_t len, cap;
    bool owned;   /* buf is of malloc() */
    bool framing; /* off while a large text is written */
    size_t frame; /* where the open frame's header is, or NO_FRAME */
    const mp__obj_handles *handles;
    unsigned depth;
    size_t memo_next; /* next memo number */
    memo_slot *memo;  /* by address, at most half full; NULL: nothing in it */
    size_t memo_mask, memo_used;
    mp__kept *kept; /* made for this pickle: the memo knows them by address */
    memo_slot small_memo[SMALL_MEMO];
} out;

/* ---- bytes ----------------------------------------------------------------------------------- */

static int
grow(out *w, size_t n)
{
    if (n > PTRDIFF_MAX / 2 || w->len > PTRDIFF_MAX / 4) {
        return mp__error(MP_ENOMEM, "pickle: too large");
    }
    size_t cap = w->cap * 2 > w->len + n ? w->cap * 2 : w->len + n + SCRATCH;
    unsigned char *buf = realloc(w->owned ? w->buf : NULL, cap);
    if (!buf) {
        return mp__error(MP_ENOMEM, "pickle: no memory for %zu bytes", cap);
    }
    if (!w->owned && w->len) {
        memcpy(buf, w->buf, w->len);
    }
    w->buf = buf;
    w->cap = cap;
    w->owned = true;
    return 0;
}

/* Room for the next n bytes, in a frame; the caller adds what it wrote to len. */
static inline unsigned char *
room(out *w, size_t n)
{
    if (n + FRAME_HEADER > w->cap - w->len && grow(w, n + FRAME_HEADER)) {
        return NULL;
    }
    if (w->frame == NO_FRAME && w->framing) {
        w->frame = w->len;
        w->len += FRAME_HEADER;
    }
    return w->buf + w->len;
}

static inline int
put1(out *w, int byte)
{
    unsigned char *to = room(w, 1);
    if (!to) {
        return MP_ENOMEM;
    }
    *to = (unsigned char)byte;
    w->len++;
    return 0;
}

static void
little(unsigned char *to, uint64_t x, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        to[i] = (unsigned char)(x >> (8 * i));
    }
}

static void
close_frame(out *w)
{
    if (w->frame == NO_FRAME) {
        return;
    }
    unsigned char *header = w->buf + w->frame;
    size_t n = w->len - w->frame - FRAME_HEADER;
    if (n >= FRAME_MIN) {
        header[0] = OP_FRAME;
        little(header + 1, n, 8);
    } else {
        memmove(header, header + FRAME_HEADER, n);
        w->len -= FRAME_HEADER;
    }
    w->frame = NO_FRAME;
}

/* ---- memo ------------------------------------------------------------------------------------ */

static memo_slot *
memo_slot_of(const out *w, const void *what)
{
    size_t i = (size_t)((uint64_t)(uintptr_t)what * UINT64_C(0x9E3779B97F4A7C15) >> 32);
    for (i &= w->memo_mask; w->memo[i].what && w->memo[i].what != what;) {
        i = (i + 1) & w->memo_mask;
    }
    return &w->memo[i];
}

static int
memo_grow(out *w)
{
    memo_slot *old = w->memo;
    size_t old_size = old ? w->memo_mask + 1 : 0;
    if (!old) {
        memset(w->small_memo, 0, sizeof w->small_memo);
        w->memo = w->small_memo;
        w->memo_mask = SMALL_MEMO - 1;
        return 0;
    }
    memo_slot *table = calloc(old_size * 4, sizeof *table);
    if (!table) {
        return mp__error(MP_ENOMEM, "pickle: no memory for %zu values", old_size * 2);
    }
    w->memo = table;
    w->memo_mask = old_size * 4 - 1;
    for (size_t i = 0; i < old_size; i++) {
        if (old[i].what) {
            *memo_slot_of(w, old[i].what) = old[i];
        }
    }
    if (old != w->small_memo) {
        free(old);
    }
    return 0;
}

/* Write MEMOIZE; remember the number when `what` may come again. */
static int
memoize(out *w, const void *what, bool again)
{
    if (again) {
        if ((!w->memo || w->memo_used * 2 > w->memo_mask) && memo_grow(w)) {
            return MP_ENOMEM;
        }
        *memo_slot_of(w, what) = (memo_slot){.what = what, .number = w->memo_next};
        w->memo_used++;
    }
    w->memo_next++;
    return put1(w, OP_MEMOIZE);
}

static inline bool
may_come_again(mp__body *b)
{
    return mp__body_refs(b) > 1;
}

/* Refer to what is in the memo already.  1: done; 0: it is not there; or an error. */
static int
put_get(out *w, const void *what)
{
    if (!w->memo) {
        return 0;
    }
    const memo_slot *m = memo_slot_of(w, what);
    if (!m->what) {
        return 0;
    }
    unsigned char *to = room(w, 5);
    if (!to) {
        return MP_ENOMEM;
    }
    if (m->number < 256) {
        to[0] = OP_BINGET;
        to[1] = (unsigned char)m->number;
        w->len += 2;
        return 1;
    }
    if (m->number > UINT32_MAX) {
        return mp__error(MP_EENCODING, "pickle: more than 2**32 values");
    }
    to[0] = OP_LONG_BINGET;
    little(to + 1, m->number, 4);
    w->len += 5;
    return 1;
}

/* ---- numbers and text ------------------------------------------------------------------------ */

static int
put_int(out *w, int64_t i)
{
    unsigned char *to = room(w, 10);
    if (!to) {
        return MP_ENOMEM;
    }
    if (i >= 0 && i < 256) {
        to[0] = OP_BININT1;
        to[1] = (unsigned char)i;
        w->len += 2;
    } else if (i >= 0 && i < 65536) {
        to[0] = OP_BININT2;
        little(to + 1, (uint64_t)i, 2);
        w->len += 3;
    } else if (i >= INT32_MIN && i <= INT32_MAX) {
        to[0] = OP_BININT;
        little(to + 1, (uint64_t)i, 4);
        w->len += 5;
    } else {
        unsigned n = 5; /* the fewest bytes of two's complement */
        while (n < 8 && (i >= INT64_C(1) << (8 * n - 1) || i < -(INT64_C(1) << (8 * n - 1)))) {
            n++;
        }
        to[0] = OP_LONG1;
        to[1] = (unsigned char)n;
        little(to + 2, (uint64_t)i, n);
        w->len += 2 + n;
    }
    return 0;
}

static int
put_double(out *w, double d)
{
    unsigned char *to = room(w, 9);
    if (!to) {
        return MP_ENOMEM;
    }
    uint64_t bits;
    memcpy(&bits, &d, sizeof bits);
    to[0] = OP_BINFLOAT;
    for (unsigned i = 0; i < 8; i++) {
        to[1 + i] = (unsigned char)(bits >> (56 - 8 * i));
    }
    w->len += 9;
    return 0;
}

/* Opcode, length and data; ops are those for lengths of one, four and eight bytes. */
static int
put_data(out *w, const int ops[3], const void *data, size_t len)
{
    bool large = len >= FRAME_TARGET;
    if (large) {
        close_frame(w);
        w->framing = false;
    }
    if (len > PTRDIFF_MAX / 4) {
        return mp__error(MP_ENOMEM, "pickle: too large");
    }
    unsigned char *to = room(w, 9 + len);
    if (!to) {
        return MP_ENOMEM;
    }
    unsigned size = len < 256 ? 1 : len <= UINT32_MAX ? 4 : 8;
    to[0] = (unsigned char)ops[size / 4];
    little(to + 1, len, size);
    if (len) {
        memcpy(to + 1 + size, data, len);
    }
    w->len += 1 + size + len;
    w->framing = true;
    return 0;
}

static const int str_ops[] = {OP_SHORT_BINUNICODE, OP_BINUNICODE, OP_BINUNICODE8};
static const int bytes_ops[] = {OP_SHORT_BINBYTES, OP_BINBYTES, OP_BINBYTES8};

/* ---- globals --------------------------------------------------------------------------------- */

/* Module and class names are constants of ours, so their addresses stand for them in the memo. */
static int
put_name(out *w, const char *name)
{
    int rc = put_get(w, name);
    if (rc) {
        return rc < 0 ? rc : 0;
    }
    rc = put_data(w, str_ops, name, strlen(name));
    return rc ? rc : memoize(w, name, true);
}

/* `whole` stands for the class itself in the memo. */
static int
put_global(out *w, const char *module, const char *name, const void *whole)
{
    int rc = put_get(w, whole);
    if (rc) {
        return rc < 0 ? rc : 0;
    }
    rc = put_name(w, module);
    rc = rc ? rc : put_name(w, name);
    rc = rc ? rc : put1(w, OP_STACK_GLOBAL);
    return rc ? rc : memoize(w, whole, true);
}

static int put_value(out *w, mp_obj o);

/* Python 3.8 to 3.13 write a bytearray as a call of its class. */
static int
put_bytearray(out *w, const mp__text *t, bool again)
{
    static const char name[] = "bytearray";
    int rc = put_global(w, mp__builtins, name, &name[1]);
    if (rc == 0 && t->len == 0) {
        rc = put1(w, OP_EMPTY_TUPLE);
    } else if (rc == 0) {
        rc = put_data(w, bytes_ops, t->data, t->len);
        rc = rc ? rc : memoize(w, t, false);
        rc = rc ? rc : put1(w, OP_TUPLE1);
        rc = rc ? rc : memoize(w, t, false);
    }
    rc = rc ? rc : put1(w, OP_REDUCE);
    return rc ? rc : memoize(w, t, again);
}

static int
put_text(out *w, mp_obj o)
{
    mp__text *t = o.mp__u.p;
    bool again = may_come_again(&t->body);
    if (again) {
        int rc = put_get(w, t);
        if (rc) {
            return rc < 0 ? rc : 0;
        }
    }
    if (t->body.flags & MP__MUTABLE) {
        return put_bytearray(w, t, again);
    }
    int rc = put_data(w, o.mp__kind == MP_KIND_STR ? str_ops : bytes_ops, t->data, t->len);
    return rc ? rc : memoize(w, t, again);
}

static int
put_error(out *w, mp_obj o, bool again)
{
    const mp__failure *e = o.mp__u.p;
    const mp__exception *class;
    mp_obj args = mp__exception_args(e, &class);
    if (args.mp__kind == MP_KIND_FAILED) {
        return mp__obj_failure(args);
    }
    int rc = put_global(w, class->module, class->name, class);
    rc = rc ? rc : put_value(w, args);
    rc = rc ? rc : put1(w, OP_REDUCE);
    rc = rc ? rc : memoize(w, e, again);
    if (rc == 0 && e->state.mp__kind != MP_KIND_NONE) {
        rc = put_value(w, e->state);
        rc = rc ? rc : put1(w, OP_BUILD);
    }
    mp_obj_free(args);
    return rc;
}

static int
put_typed(out *w, mp_obj o, bool again)
{
    const mp__instance *v = o.mp__u.p;
    mp_obj args = mp__instance_reduce(v, &w->kept);
    if (args.mp__kind == MP_KIND_FAILED) {
        return mp__obj_failure(args);
    }
    int rc = put_global(w, v->type->module, v->type->name, v->type);
    rc = rc ? rc : put_value(w, args);
    rc = rc ? rc : put1(w, OP_REDUCE);
    return rc ? rc : memoize(w, v, again);
}

/* The number that a handle is sent as. */
static int
handle_number(out *w, mp_obj o, int64_t *ret)
{
    const mp__obj_handles *h = w->handles;
    bool connection = o.mp__handle == MP_HANDLE_CONNECTION, fd = o.mp__handle == MP_HANDLE_FD;
    if (connection && h && h->connection_out) {
        return h->connection_out(h->ctx, o.mp__u.p, ret);
    }
    if (fd && h && h->fd_out) {
        return h->fd_out(h->ctx, (int)o.mp__u.i, ret);
    }
    if (connection || fd) {
        return mp__error(MP_ERUNTIME,
                         "pickle: a %s cannot be sent: it travels only as an argument of a new "
                         "process",
                         connection ? "connection" : "descriptor");
    }
    *ret = (int64_t)(uintptr_t)o.mp__u.p;
    return h ? 0
             : mp__error(MP_ERUNTIME,
                         "pickle: a %s at %p cannot be sent: a shared object travels only within "
                         "the family, through queues, pipes and arguments",
                         mp_obj_type_name(o), o.mp__u.p);
}

static int
put_handle(out *w, mp_obj o)
{
    static const char module[] = MP__HANDLE_MODULE, name[] = MP__HANDLE_NAME;
    int64_t address = 0;
    int rc = handle_number(w, o, &address);
    rc = rc ? rc : put_global(w, module, name, &name[1]);
    rc = rc ? rc : put_int(w, o.mp__handle);
    rc = rc ? rc : put_int(w, address);
    rc = rc ? rc : put1(w, OP_TUPLE2);
    rc = rc ? rc : memoize(w, w, false);
    rc = rc ? rc : put1(w, OP_REDUCE);
    return rc ? rc : memoize(w, w, false);
}

/* ---- containers ------------------------------------------------------------------------------ */

static int
put_list(out *w, const mp__seq *s, bool again)
{
    int rc = put1(w, OP_EMPTY_LIST);
    rc = rc ? rc : memoize(w, s, again);
    if (s->len == 1) {
        rc = rc ? rc : put_value(w, s->items[0]);
        return rc ? rc : put1(w, OP_APPEND);
    }
    for (size_t i = 0; rc == 0 && i < s->len;) {
        rc = put1(w, OP_MARK);
        size_t end = s->len - i > BATCH ? i + BATCH : s->len;
        for (; rc == 0 && i < end; i++) {
            rc = put_value(w, s->items[i]);
        }
        rc = rc ? rc : put1(w, OP_APPENDS);
    }
    return rc;
}

static int
put_tuple(out *w, const mp__seq *s, bool again)
{
    static const unsigned char ops[] = {OP_EMPTY_TUPLE, OP_TUPLE1, OP_TUPLE2, OP_TUPLE3, OP_TUPLE};
    bool marked = s->len > 3;
    int rc = marked ? put1(w, OP_MARK) : 0;
    for (size_t i = 0; rc == 0 && i < s->len; i++) {
        rc = put_value(w, s->items[i]);
    }
    if (rc || s->len == 0) {
        return rc ? rc : put1(w, OP_EMPTY_TUPLE);
    }
    if (again && w->memo && memo_slot_of(w, s)->what) {
        /* It is inside itself, by way of a list: drop the items, take it from the memo. */
        for (size_t i = 0; rc == 0 && i < (marked ? 1 : s->len); i++) {
            rc = put1(w, marked ? OP_POP_MARK : OP_POP);
        }
        rc = rc ? rc : put_get(w, s);
        return rc < 0 ? rc : 0;
    }
    rc = put1(w, ops[marked ? 4 : s->len]);
    return rc ? rc : memoize(w, s, again);
}

static int
put_dict(out *w, const mp__table *t, bool again)
{
    int rc = put1(w, OP_EMPTY_DICT);
    rc = rc ? rc : memoize(w, t, again);
    if (t->len == 1) {
        rc = rc ? rc : put_value(w, t->entries[0].key);
        rc = rc ? rc : put_value(w, t->entries[0].value);
        return rc ? rc : put1(w, OP_SETITEM);
    }
    size_t i = 0, end = 0;
    while (rc == 0 && t->len &&
           i == end) { /* as CPython: a full last batch has an empty one after */
        rc = put1(w, OP_MARK);
        end += BATCH;
        for (; rc == 0 && i < end && i < t->len; i++) {
            rc = put_value(w, t->entries[i].key);
            rc = rc ? rc : put_value(w, t->entries[i].value);
        }
        rc = rc ? rc : put1(w, OP_SETITEMS);
    }
    return rc;
}

static int
put_set(out *w, const mp__table *t, bool again)
{
    if (t->body.flags & MP__FROZEN) {
        int rc = put1(w, OP_MARK);
        for (size_t i = 0; rc == 0 && i < t->len; i++) {
            rc = put_value(w, t->entries[i].key);
        }
        rc = rc ? rc : put1(w, OP_FROZENSET);
        return rc ? rc : memoize(w, t, again);
    }
    int rc = put1(w, OP_EMPTY_SET);
    rc = rc ? rc : memoize(w, t, again);
    size_t i = 0, end = 0;
    while (rc == 0 && t->len && i == end) {
        rc = put1(w, OP_MARK);
        end += BATCH;
        for (; rc == 0 && i < end && i < t->len; i++) {
            rc = put_value(w, t->entries[i].key);
        }
        rc = rc ? rc : put1(w, OP_ADDITEMS);
    }
    return rc;
}

static int
put_container(out *w, mp_obj o)
{
    mp__body *b = mp__obj_body(o);
    bool again = may_come_again(b);
    int rc = again ? put_get(w, b) : 0;
    if (rc) {
        return rc < 0 ? rc : 0;
    }
    unsigned levels = o.mp__kind >= MP_KIND_ERROR ? 2 : 1;
    if (w->depth + levels > MP__DEPTH_MAX) {
        return mp__error(MP_EENCODING, "pickle: the value nests deeper than %d", MP__DEPTH_MAX);
    }
    w->depth += levels;
    switch (o.mp__kind) {
    case MP_KIND_LIST:
        rc = put_list(w, o.mp__u.p, again);
        break;
    case MP_KIND_TUPLE:
        rc = put_tuple(w, o.mp__u.p, again);
        break;
    case MP_KIND_DICT:
        rc = put_dict(w, o.mp__u.p, again);
        break;
    case MP_KIND_SET:
        rc = put_set(w, o.mp__u.p, again);
        break;
    case MP_KIND_TYPED:
        rc = put_typed(w, o, again);
        break;
    default:
        rc = put_error(w, o, again);
        break;
    }
    w->depth -= levels;
    return rc;
}

static int
put_value(out *w, mp_obj o)
{
    if (w->frame != NO_FRAME && w->len - w->frame >= FRAME_TARGET + FRAME_HEADER) {
        close_frame(w);
    }
    switch (o.mp__kind) {
    case MP_KIND_NONE:
        return put1(w, OP_NONE);
    case MP_KIND_BOOL:
        return put1(w, o.mp__u.i ? OP_NEWTRUE : OP_NEWFALSE);
    case MP_KIND_INT:
        return put_int(w, o.mp__u.i);
    case MP_KIND_FLOAT:
        return put_double(w, o.mp__u.f);
    case MP_KIND_STR:
    case MP_KIND_BYTES:
        return put_text(w, o);
    case MP_KIND_HANDLE:
        return put_handle(w, o);
    case MP_KIND_FAILED:
        return mp__obj_failure(o);
    default:
        return put_container(w, o);
    }
}

/* ---- pickles --------------------------------------------------------------------------------- */

/* w has its buffer; on error a buffer of malloc() is freed. */
static int
pickle(out *w, mp_obj o)
{
    unsigned char *to = room(w, 2); /* framing is off here: PROTO is outside of frames */
    int rc = to ? 0 : MP_ENOMEM;
    if (rc == 0) {
        to[0] = OP_PROTO;
        to[1] = 4;
        w->len += 2;
        w->framing = true;
        rc = put_value(w, o);
        rc = rc ? rc : put1(w, OP_STOP);
    }
    if (rc == 0) {
        close_frame(w);
    }
    if (w->memo && w->memo != w->small_memo) {
        free(w->memo);
    }
    mp__kept_free(w->kept);
    if (rc && w->owned) {
        free(w->buf);
    }
    return rc;
}

static void
start(out *w, void *buf, size_t cap, const mp__obj_handles *handles)
{
    w->buf = buf;
    w->len = 0;
    w->cap = cap;
    w->owned = false;
    w->framing = false;
    w->frame = NO_FRAME;
    w->handles = handles;
    w->depth = 0;
    w->memo_next = 0;
    w->kept = NULL;
    w->memo = NULL;
    w->memo_mask = w->memo_used = 0;
}

int
mp__obj_dump_into(mp_obj o, const mp__obj_handles *h, void *buf, size_t cap, size_t *ret_len,
                  void **ret_spill)
{
    out w;
    start(&w, buf, cap, h);
    *ret_spill = NULL;
    *ret_len = 0;
    int rc = pickle(&w, o);
    if (rc) {
        return rc;
    }
    *ret_len = w.len;
    if (w.owned && w.len <= cap) {
        memcpy(buf, w.buf, w.len); /* only the room kept in reserve was missing */
        free(w.buf);
    } else if (w.owned) {
        *ret_spill = w.buf;
    }
    return 0;
}

int
mp__obj_dump(mp_obj o, const mp__obj_handles *h, void **ret_data, size_t *ret_len)
{
    unsigned char scratch[SCRATCH];
    void *spill;
    size_t len;
    *ret_data = NULL;
    *ret_len = 0;
    int rc = mp__obj_dump_into(o, h, scratch, sizeof scratch, &len, &spill);
    if (rc) {
        return rc;
    }
    if (!spill) {
        spill = malloc(len);
        if (!spill) {
            return mp__error(MP_ENOMEM, "pickle: no memory for %zu bytes", len);
        }
        memcpy(spill, scratch, len);
    }
    *ret_data = spill;
    *ret_len = len;
    return 0;
}

int
mp_obj_dump(mp_obj o, void **ret_data, size_t *ret_len)
{
    if (!ret_data || !ret_len) {
        return mp__error(MP_EVALUE, "mp_obj_dump: NULL for the result");
    }
    return mp__obj_dump(o, mp__obj_spawning, ret_data, ret_len);
}
