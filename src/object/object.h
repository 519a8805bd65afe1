/*
 * object/object.h: bodies of values, and what other rooms use of them.
 *
 * Layout    an mp_obj is 16 bytes: kind and either the number itself or a pointer to a body of
 *           malloc() memory that starts with mp__body
 * Sharing   of this process alone; bodies count their references atomically
 * Depth     everything that descends into a value stops at MP__DEPTH_MAX, except freeing, which
 *           does not descend: it keeps the bodies to free in a list of their own
 * Cycles    a list that holds itself can be built by hand, printed and pickled; it is never freed.
 *           The reader refuses them, so a pickle from outside cannot leak.
 */
#ifndef MP_OBJECT_OBJECT_H
#define MP_OBJECT_OBJECT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <mp/error.h>
#include <mp/object.h>

#define MP__DEPTH_MAX 1000

/* ---- handles and pickles: for queue, connection, pool, process ------------------------------- */

/* How handles travel; a NULL member refuses its part. */
typedef struct mp__obj_handles {
    int (*connection_out)(void *ctx, mp_connection *c, int64_t *ret_index); /* dump: its number */
    int (*connection_in)(void *ctx, int64_t index, mp_connection **ret);    /* load */
    int (*fd_out)(void *ctx, int fd, int64_t *ret_index);
    int (*fd_in)(void *ctx, int64_t index, int *ret);
    int (*check)(void *ctx, enum mp_handle_type type,
                 void *address); /* load: live, of that type? */
    void *ctx;
} mp__obj_handles;

/*
 * The pickle of o, which stays the caller's.  h NULL: handles are MP_ERUNTIME.
 * 0; MP_ENOMEM; MP_EENCODING; MP_ERUNTIME; the code of a FAILED value; what connection_out returned.
 */
int mp__obj_dump(mp_obj o, const mp__obj_handles *h, void **ret_data, size_t *ret_len);

/*
 * The same into buf when it fits in cap bytes: then *ret_spill is NULL.  Else *ret_spill is memory
 * of malloc() with all *ret_len bytes; buf may have been written to.
 */
int mp__obj_dump_into(mp_obj o, const mp__obj_handles *h, void *buf, size_t cap, size_t *ret_len,
                      void **ret_spill);

/*
 * While this thread dumps or loads what a child is started with: how handles travel there, also for
 * mp_obj_dump() and mp_obj_load() in functions of the program's that it calls.  Else NULL.
 */
extern _Thread_local const mp__obj_handles *mp__obj_spawning;

/* As mp_obj_load().  h NULL: handles are MP_EUNPICKLING. */
int mp__obj_load(const void *data, size_t len, const mp__obj_handles *h, mp_obj *ret);

/* ---- arguments: for process ------------------------------------------------------------------ */

/* tuple is consumed.  NULL: MP_ENOMEM, MP_ETYPE, or the code of a FAILED value. */
mp_args *mp__args_from_tuple(mp_obj tuple);

/* The tuple, borrowed; empty for NULL. */
mp_obj mp__args_tuple(const mp_args *args);

/* Whether descriptors are among them: what mp__args_own_fds() would find work in. */
bool mp__args_may_have_fds(const mp_args *args);

/* In a child of fork: each descriptor becomes one of the child's own.  0 or an error with text. */
int mp__args_own_fds(mp_args *args);

extern _Atomic bool mp__fds_were_made; /* value.c: by this process or one it is a copy of */

/* Set in a child by the process room: reports mp_last_error_text() and leaves with exit_code. */
extern void (*mp__args_exit_hook)(int exit_code);

/* ---- failed values --------------------------------------------------------------------------- */

static inline mp_obj
mp__obj_failed(int code)
{
    mp_obj o = {.mp__kind = MP_KIND_FAILED, .mp__u.i = code};
    return o;
}

/* The code of a FAILED value, noted as last error (its own text, when that is still there). */
int mp__obj_failure(mp_obj failed);

/* ---- bodies: for this room ------------------------------------------------------------------- */

enum mp__body_flag {
    MP__FROZEN = 1,  /* a set is a frozenset */
    MP__MUTABLE = 2, /* bytes are a bytearray */
    MP__IN_MEMO = 4  /* the reader's memo holds a reference */
};

typedef struct mp__body {
    atomic_size_t refs; /* when 0: link of the list of bodies to free */
    uint32_t kind;      /* enum mp_kind */
    uint16_t flags;     /* enum mp__body_flag */
    uint16_t height;    /* of containers that are being read: levels below and with it */
} mp__body;

typedef struct mp__text { /* str, bytes */
    mp__body body;
    size_t len;
    char data[]; /* and a NUL */
} mp__text;

typedef struct mp__seq { /* list, tuple */
    mp__body body;
    size_t len;
    union {
        size_t cap;            /* of a list */
        _Atomic uint64_t hash; /* of a tuple, 0: not known yet */
    } u;
    mp_obj *items; /* in_place, or of malloc() */
    mp_obj in_place[];
} mp__seq;

typedef struct mp__entry {
    uint64_t hash;
    mp_obj key;
    mp_obj value; /* None in a set */
} mp__entry;

typedef struct mp__table { /* dict, set */
    mp__body body;
    size_t len, cap;    /* of entries */
    mp__entry *entries; /* in order of insertion */
    uint32_t *index;    /* entry number + 1 by hash, 0: free; NULL while cap is small */
    size_t mask;
    _Atomic uint64_t hash; /* of a frozenset, 0: not known yet */
} mp__table;

struct mp__exception;

typedef struct mp__failure { /* error */
    mp__body body;
    int code;
    const char *type;                  /* of the class, or in type_text */
    const char *message;               /* in text */
    const struct mp__exception *known; /* the class, or NULL */
    mp_obj type_text;                  /* str of a type that is no known class, else None */
    mp_obj text;                       /* str */
    mp_obj args;                       /* the tuple as read, when it says more; else None */
    mp_obj state;                      /* dict of BUILD, or None */
} mp__failure;

typedef struct mp__type { /* of the program's own; type.c */
    const struct mp__type *older;
    const char *module, *name;
    mp_type given; /* but for its name */
} mp__type;

typedef struct mp__instance { /* a value of one */
    mp__body body;
    const mp__type *type;
    void *data;
} mp__instance;

static inline mp__body *
mp__obj_body(mp_obj o)
{
    return o.mp__u.p;
}

static inline bool
mp__kind_has_body(uint32_t kind)
{
    return kind >= MP_KIND_STR && kind <= MP_KIND_TYPED;
}

static inline bool
mp__kind_is_container(uint32_t kind)
{
    return kind >= MP_KIND_LIST && kind <= MP_KIND_ERROR;
}

static inline mp_obj
mp__obj_of(void *body)
{
    mp_obj o = {.mp__kind = ((mp__body *)body)->kind, .mp__u.p = body};
    return o;
}

static inline size_t
mp__body_refs(mp__body *b)
{
    return atomic_load_explicit(&b->refs, memory_order_relaxed);
}

/* value.c.  A body with one reference; NULL with MP_ENOMEM noted. */
void *mp__body_new(size_t size, enum mp_kind kind);
mp_obj mp__text_new(enum mp_kind kind, const void *data, size_t len); /* data NULL: not filled */
bool mp__utf8_valid(const void *data, size_t len);
void mp__obj_free_all(size_t n, const mp_obj *items);

/* containers.c.  New bodies are empty; NULL or FAILED with MP_ENOMEM noted. */
mp__seq *mp__list_new(size_t in_place);
mp__seq *mp__tuple_new(size_t len); /* items are the caller's to fill */
mp__table *mp__table_new(enum mp_kind kind);
int mp__list_reserve(mp__seq *list, size_t more);
int mp__table_reserve(mp__table *t, size_t more);

/*
 * compare.c.  What a comparison may still do: only what has several references costs, for nothing
 * else can be met again and again.
 */
typedef struct mp__walk {
    unsigned depth; /* containers we are in */
    size_t budget;  /* one for a container, one for 64 bytes of text */
} mp__walk;
#define MP__WALK_BUDGET ((size_t)1 << 28)

/* Take cost from the budget; false when that is more than there was. */
static inline bool
mp__walk_pay(mp__walk *walk, size_t cost)
{
    bool enough = cost <= walk->budget;
    walk->budget = enough ? walk->budget - cost : 0;
    return enough;
}

/* Python's ==, with identity first, as containers compare their items. */
bool mp__obj_same(mp_obj a, mp_obj b, mp__walk *walk);

/* 0, or MP_ETYPE with text. */
int mp__obj_hash(mp_obj o, uint64_t *ret);

/* containers.c.  Entry of the key, or NULL; insertion consumes key and value, and keeps an equal
   key that is there already. */
mp__entry *mp__table_find(mp__table *t, mp_obj key, uint64_t hash, mp__walk *walk);
int mp__table_put(mp__table *t, mp_obj key, mp_obj value, mp__walk *walk);

/* exception.c.  Python's exception classes and the codes they stand for. */
typedef struct mp__exception {
    const char *module; /* as it is pickled */
    const char *name;
    const char *type; /* as mp_error_type() gives it */
    int code;         /* of an instance that says no other */
    uint8_t shape;    /* enum mp__exception_shape */
} mp__exception;

enum mp__exception_shape {
    MP__PLAIN,      /* takes any arguments */
    MP__OS,         /* (errno, text) */
    MP__TWO,        /* exactly two arguments */
    MP__PARTICULAR, /* arguments of its own: cannot be made from code and message */
    MP__ALIAS       /* another place of a class; read, not written */
};

extern const char mp__builtins[]; /* "builtins" */

const mp__exception *mp__exception_by_type(const char *type);
const mp__exception *mp__exception_by_global(const char *module, size_t module_len,
                                             const char *name, size_t name_len);

/* The class and the arguments (a new tuple) that e is pickled with; FAILED with text. */
mp_obj mp__exception_args(const mp__failure *e, const mp__exception **ret_class);

/* An error from a class and its arguments, a tuple that is consumed; FAILED with text. */
mp_obj mp__exception_make(const mp__exception *class, mp_obj args);

/* type.c.  new consumes data; failed is the code of one of its functions, with a text. */
const mp__type *mp__type_by_global(const char *module, size_t module_len, const char *name,
                                   size_t name_len);
mp_obj mp__instance_new(const mp__type *type, void *data);
void mp__type_release(const mp__type *type, void *data);
int mp__type_failed(const mp__type *type, int status, const char *what);

/*
 * The tuple of arguments that v is pickled with, borrowed from *kept: what is made for a pickle stays
 * until it is done, else another value could have its address in the memo.  FAILED with text.
 */
typedef struct mp__kept {
    struct mp__kept *next;
    mp_obj o;
} mp__kept;
mp_obj mp__instance_reduce(const mp__instance *v, mp__kept **kept);
void mp__kept_free(mp__kept *kept);

/* pickle_build.c.  Whether the reader makes something of its own of this global. */
bool mp__global_is_ours(const char *module, size_t module_len, const char *name, size_t name_len);

/* text.c.  repr(o) or str(o), cut near limit bytes; NULL with MP_ENOMEM noted. */
char *mp__obj_text(mp_obj o, bool repr, size_t limit, size_t *ret_len);

#endif
