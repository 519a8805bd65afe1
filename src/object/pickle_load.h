/*
 * object/pickle_load.h: the machine that reads a pickle: its stack, its memo, its place in the
 * input.  pickle_load.c runs the opcodes, pickle_build.c makes values of what is on the stack,
 * pickle_text.c reads the forms of protocol 0.
 *
 * Always    every item on the stack and in the memo holds a reference
 *           stack[fence - 1] is the latest MARK, or fence is 0
 */
#ifndef MP_OBJECT_PICKLE_LOAD_H
#define MP_OBJECT_PICKLE_LOAD_H

#include <string.h>

#include "base/error.h"
#include "object/object.h"
#include "object/pickle.h"

/* Kinds of items that are not values. */
enum mp__item_kind {
    MP__ITEM_FIRST = MP_KIND_FAILED + 1,
    MP__ITEM_MARK = MP__ITEM_FIRST, /* mp__u.i: the fence before it */
    MP__ITEM_GLOBAL, /* mp__handle: enum mp__maker; mp__u.p: the exception class or type */
    MP__ITEM_EMPTY   /* of the memo */
};

/* What the globals that we know make when they are called. */
enum mp__maker {
    MP__MAKE_ERROR,
    MP__MAKE_SET,
    MP__MAKE_FROZENSET,
    MP__MAKE_LIST,
    MP__MAKE_TUPLE,
    MP__MAKE_BYTES,
    MP__MAKE_BYTEARRAY,
    MP__MAKE_ENCODED, /* _codecs.encode(str, 'latin1'): bytes of protocols below 3 */
    MP__MAKE_HANDLE,
    MP__MAKE_TYPED /* mp__u.p: the mp__type */
};

#define MP__SMALL_STACK 40
#define MP__SMALL_MEMO  24

typedef struct mp__reader {
    const unsigned char *start, *at, *end;
    const unsigned char *op; /* the opcode that runs, for texts */
    mp_obj *stack;
    size_t top, cap, fence;
    mp_obj *memo;
    size_t memo_cap; /* slots, those from memo_end on were never used */
    size_t memo_end;
    size_t memo_len; /* slots in use: the next number of MEMOIZE */
    const mp__obj_handles *handles;
    mp__walk walk; /* what hashing and comparing keys may cost, by the length of the input */
    size_t copied; /* items and bytes that calls have copied, at most four times the input */
    mp_obj small_stack[MP__SMALL_STACK];
    mp_obj small_memo[MP__SMALL_MEMO];
} mp__reader;

/* MP_EUNPICKLING with "pickle: what, at byte N". */
int mp__read_bad(const mp__reader *r, const char *what);

int mp__read_grow(mp__reader *r);

/* Push an item that is ours; it is freed when there is no memory. */
static inline int
mp__read_push(mp__reader *r, mp_obj o)
{
    if (r->top == r->cap) {
        int rc = mp__read_grow(r);
        if (rc) {
            mp_obj_free(o);
            return rc;
        }
    }
    r->stack[r->top++] = o;
    return 0;
}

/* The same for a new value, which may be FAILED. */
static inline int
mp__read_push_new(mp__reader *r, mp_obj o)
{
    return o.mp__kind == MP_KIND_FAILED ? mp__obj_failure(o) : mp__read_push(r, o);
}

/* Levels of a value: 0 for a number or text. */
static inline unsigned
mp__read_height(mp_obj o)
{
    return mp__kind_is_container(o.mp__kind) ? mp__obj_body(o)->height : 0;
}

/*
 * Check the top n items of the stack, which are to go into container: that they are values, do not
 * nest too deep, and that nothing else holds the container, so that it cannot get into itself.
 * Raises its height.
 */
int mp__read_admit(mp__reader *r, size_t n, mp__body *container);

/* pickle_build.c.  Each takes its items off the stack, and pushes what it makes. */
int mp__read_tuple(mp__reader *r, size_t n);
int mp__read_list(mp__reader *r, size_t n); /* a new one of the top n items */
int mp__read_dict(mp__reader *r, size_t n);
int mp__read_frozenset(mp__reader *r, size_t n);
int mp__read_append(mp__reader *r, size_t n);
int mp__read_set_items(mp__reader *r, size_t n);
int mp__read_add_items(mp__reader *r, size_t n);
int mp__read_global(mp__reader *r, const char *module, size_t module_len, const char *name,
                    size_t name_len);
int mp__read_stack_global(mp__reader *r);
int mp__read_call(mp__reader *r); /* REDUCE, NEWOBJ */
int mp__read_build(mp__reader *r);

/* pickle_text.c.  Each reads one line; it is not terminated. */
const char *mp__read_line(mp__reader *r, size_t *ret_len);
int mp__read_decimal(mp__reader *r, bool is_long, int64_t *ret, bool *ret_bool);
int mp__read_float_line(mp__reader *r);
int mp__read_unicode_line(mp__reader *r);
int mp__read_string_line(mp__reader *r);

#endif
