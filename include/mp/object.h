/*
 * mp/object.h: mp_obj, the one value type: what Python would put in a queue, send, or map.
 *
 * A small tagged value: None, bool, int, float, str, bytes, list, tuple, dict, set, an error, or a
 * handle of a shared object.  It belongs to one process; queues, pipes and pools carry it to
 * others as a pickle, so a Python peer reads the same bytes.
 *
 *     mp_obj o = mp_list(42, mp_none(), "hello");
 *     mp_print(o);                                   // [42, None, 'hello']
 *     mp_obj_free(o);
 *
 * Ownership  Calls that keep or send a value consume it, whatever they return: put, send, map,
 *            mp_list(), mp_dict_put() ...  mp_obj_ref(o) keeps one for yourself.  Calls that only
 *            look (mp_as_int, mp_print, mp_obj_len, mp_list_get ...) leave it with you.  A value
 *            that a call gives you is yours to free, unless it says "borrowed".
 * Failure    A constructor that runs out of memory returns a value of kind MP_KIND_FAILED; any
 *            call that takes it returns MP_ENOMEM.  So calls nest and are checked once, at the end.
 * Threads    Counting references is atomic; changing one container from two threads is not safe.
 * Zero       A zeroed mp_obj is None.
 */
#ifndef MP_OBJECT_H
#define MP_OBJECT_H

#include <mp/config.h>
#include <mp/sugar.h>

enum mp_kind {
    MP_KIND_NONE = 0,
    MP_KIND_BOOL,
    MP_KIND_INT,   /* 64-bit signed */
    MP_KIND_FLOAT, /* double */
    MP_KIND_STR,   /* UTF-8 */
    MP_KIND_BYTES,
    MP_KIND_LIST,
    MP_KIND_TUPLE,
    MP_KIND_DICT, /* keeps insertion order */
    MP_KIND_SET,
    MP_KIND_ERROR,  /* code, type name, message: an exception that travels */
    MP_KIND_TYPED,  /* a type of your own; see mp_register_type() */
    MP_KIND_HANDLE, /* a pointer to a shared object, or a connection */
    MP_KIND_FAILED  /* a constructor ran out of memory */
};

/* What a handle points to. */
enum mp_handle_type {
    MP_HANDLE_POINTER = 1, /* memory of mp_malloc() */
    MP_HANDLE_QUEUE,
    MP_HANDLE_LOCK,
    MP_HANDLE_RLOCK,
    MP_HANDLE_SEMAPHORE, /* of either kind */
    MP_HANDLE_CONDITION,
    MP_HANDLE_EVENT,
    MP_HANDLE_BARRIER,
    MP_HANDLE_VALUE,
    MP_HANDLE_ARRAY,
    MP_HANDLE_CONNECTION, /* of one process: travels only as an argument of a new process */
    MP_HANDLE_FD          /* a descriptor: likewise */
};

/* The fields are the library's; use the calls. */
typedef struct mp_obj {
    uint32_t mp__kind;   /* enum mp_kind */
    uint32_t mp__handle; /* enum mp_handle_type of a handle, else 0 */
    union {
        int64_t i;
        double f;
        void *p;
    } mp__u;
} mp_obj;

typedef struct mp_args mp_args;
typedef struct mp_queue mp_queue;
typedef struct mp_lock mp_lock;
typedef struct mp_rlock mp_rlock;
typedef struct mp_semaphore mp_semaphore;
typedef struct mp_condition mp_condition;
typedef struct mp_event mp_event;
typedef struct mp_barrier mp_barrier;
typedef struct mp_value mp_value;
typedef struct mp_array mp_array;
typedef struct mp_connection mp_connection;

/* A descriptor as a type of its own: mp_from() takes one, mp_args_get() fills one in. */
typedef struct mp_fd {
    int fd;
} mp_fd;

/* What mp_struct() makes: C data that travel as their bytes. */
typedef struct mp_struct_ref {
    void *data;
    size_t size;
} mp_struct_ref;

/* A type of your own; see mp_register_type(). */
typedef struct mp_type {
    const char *name;                                  /* with its module: "app.Point" */
    int (*reduce)(const void *data, mp_obj *ret_args); /* data to arguments, a tuple */
    int (*rebuild)(mp_obj args, void **ret_data);      /* and back; args is borrowed */
    void (*release)(void *data);                       /* of a value that is freed; may be NULL */
} mp_type;

MP_BEGIN_DECLS

/* ---- making values ---------------------------------------------------------------------------*/

MP_API mp_obj mp_none(void);
MP_API mp_obj mp_bool(bool b); /* C's `true` is an int: mp_from(true) would be 1 */
MP_API mp_obj mp_from_int(int64_t i);
MP_API mp_obj mp_from_uint(uint64_t u); /* above INT64_MAX: MP_KIND_FAILED with MP_EOVERFLOW */
MP_API mp_obj mp_from_double(double d);
MP_API mp_obj mp_from_str(const char *s); /* copied; NULL is None; must be UTF-8 (MP_EVALUE) */
MP_API mp_obj mp_from_strn(const char *s, size_t len);
MP_API mp_obj mp_bytes(const void *data, size_t len);

/* A list, tuple or set of the n values in items, each consumed.  n 0 is an empty one. */
MP_API mp_obj mp_list_of(size_t n, const mp_obj *items);
MP_API mp_obj mp_tuple_of(size_t n, const mp_obj *items);
MP_API mp_obj mp_set_of_n(size_t n, const mp_obj *items); /* unhashable item: MP_ETYPE */

/* A dict of key, value, key, value ...: n counts both, so it is even (else MP_EVALUE). */
MP_API mp_obj mp_dict_of(size_t n, const mp_obj *keys_and_values);

/*
 * An error that can be stored, sent and returned by a task.  code is an MP_E code or -errno; type
 * is Python's class name, NULL for mp_err_name(code); message NULL for mp_strerror(code).
 */
MP_API mp_obj mp_error_new(int code, const char *type, const char *message);

/* Handles; NULL gives None.  mp_from_pointer takes memory of mp_malloc(). */
MP_API mp_obj mp_from_pointer(void *heap_memory);
MP_API mp_obj mp_from_queue(mp_queue *q);
MP_API mp_obj mp_from_lock(mp_lock *l);
MP_API mp_obj mp_from_rlock(mp_rlock *l);
MP_API mp_obj mp_from_semaphore(mp_semaphore *s);
MP_API mp_obj mp_from_condition(mp_condition *c);
MP_API mp_obj mp_from_event(mp_event *e);
MP_API mp_obj mp_from_barrier(mp_barrier *b);
MP_API mp_obj mp_from_value(mp_value *v);
MP_API mp_obj mp_from_array(mp_array *a);
MP_API mp_obj mp_from_connection(mp_connection *c);

/*
 * A descriptor as an argument of a new process.  The child gets one of its own for the same open
 * file, which stays open until it closes it; fd stays yours, and must be open until
 * mp_process_start() has returned.  mp_dup_fd_detach() is the child's number; in the parent, fd.
 * MP_KIND_FAILED with MP_EVALUE: negative.  mp_dup_fd_detach: MP_ETYPE when it is no descriptor.
 */
MP_API mp_obj mp_dup_fd(int fd);
MP_API int mp_dup_fd_detach(mp_obj o);

/* ---- keeping and letting go ------------------------------------------------------------------*/

/* One more reference to the same value; free both. */
MP_API mp_obj mp_obj_ref(mp_obj o);

/* Let go of one reference.  What a handle points to is not freed.  Preserves errno. */
MP_API void mp_obj_free(mp_obj o);

/* ---- looking ---------------------------------------------------------------------------------*/

MP_API enum mp_kind mp_obj_kind(mp_obj o);
MP_API const char *mp_obj_type_name(mp_obj o); /* Python's: "int", "NoneType" ... */
MP_API bool mp_is_none(mp_obj o);

/*
 * The value as a C value.  Of another kind: 0, false or NULL, and mp_last_error() is MP_ETYPE with
 * a text naming both types.  A bool counts as int, an int as float, as in Python.
 * mp_as_bool is Python's truth: of numbers not 0, of containers and text not empty.
 */
MP_API int64_t mp_as_int(mp_obj o);
MP_API double mp_as_double(mp_obj o);
MP_API bool mp_as_bool(mp_obj o);
MP_API const char *mp_as_str(mp_obj o);                    /* borrowed, NUL after the last byte */
MP_API const void *mp_as_bytes(mp_obj o, size_t *ret_len); /* borrowed; bytes or str */
MP_API void *mp_as_handle(mp_obj o, enum mp_handle_type type);
MP_API int mp_error_code(mp_obj error);            /* 0 and MP_ETYPE when it is no error */
MP_API const char *mp_error_type(mp_obj error);    /* borrowed */
MP_API const char *mp_error_message(mp_obj error); /* borrowed */

/* Number of items (pairs of a dict, bytes of str and bytes); MP_ETYPE for what has no length. */
MP_API int64_t mp_obj_len(mp_obj o);

/* Python's ==: 1 == 1.0 == True, containers by content.  false when it nests deeper than 1000. */
MP_API bool mp_obj_equal(mp_obj a, mp_obj b);

/* ---- containers ------------------------------------------------------------------------------*/

/* Borrowed item of a list or tuple; a negative index counts from the end.  Outside, or no list or
   tuple: None with mp_last_error() MP_EINDEX or MP_ETYPE. */
MP_API mp_obj mp_list_get(mp_obj list, ptrdiff_t index);

/* 0, MP_ETYPE (not a list), MP_EINDEX, MP_ENOMEM.  item is consumed either way. */
MP_API int mp_list_append(mp_obj list, mp_obj item);
MP_API int mp_list_set(mp_obj list, ptrdiff_t index, mp_obj item);

/* Borrowed value of a key that is only looked at; absent: None with mp_last_error() MP_EKEY. */
MP_API mp_obj mp_dict_get(mp_obj dict, mp_obj key);
MP_API bool mp_dict_has(mp_obj dict, mp_obj key);

/* Insert or replace; both consumed.  0, MP_ETYPE (no dict, or unhashable key), MP_ENOMEM. */
MP_API int mp_dict_put(mp_obj dict, mp_obj key, mp_obj value);

/* Insert into a set, consumed.  0 also when it is in already; MP_ETYPE, MP_ENOMEM. */
MP_API int mp_set_add(mp_obj set, mp_obj item);
MP_API bool mp_set_has(mp_obj set, mp_obj item);

/*
 * Walk a dict (key and value) or a set (key only) in order: start with *pos = 0; true while there
 * is a pair, borrowed.  value may be NULL.  Do not insert meanwhile.
 */
MP_API bool mp_dict_next(mp_obj dict_or_set, size_t *pos, mp_obj *key, mp_obj *value);

/* ---- text ------------------------------------------------------------------------------------*/

/* What Python's repr() and str() give, in memory of malloc(); NULL on MP_ENOMEM. */
MP_API char *mp_obj_repr(mp_obj o);
MP_API char *mp_obj_str(mp_obj o);

/* Python's print(o): str(o) and a newline on stdout.  0, or -errno of the stream. */
MP_API int mp_print(mp_obj o);

/* ---- pickle ----------------------------------------------------------------------------------*/

/*
 * The pickle of o (protocol 4, byte for byte what CPython writes for plain values), in memory of
 * malloc().  Errors become instances of Python's exception classes.
 * 0, MP_ENOMEM, MP_EENCODING (nests deeper than 1000), MP_ERUNTIME (a handle: shared objects
 * travel only through queues, pipes and arguments; a connection only as an argument of a new
 * process; so in a reducer's or type's functions that run for one, see mp_is_spawning(), handles are
 * fine).
 */
MP_API int mp_obj_dump(mp_obj o, void **ret_data, size_t *ret_len);

/*
 * Read a pickle of protocol 0 to 5 made of plain values and exceptions.  Safe on hostile input: it
 * calls nothing, and bounds depth, size and memo by the input's length.
 * A bytearray comes as bytes, a frozenset as a set that cannot be changed; both know what they
 * were.  A value that holds itself is not read.
 * 0, MP_EUNPICKLING (not a pickle, or holds what libmp does not read; the text says what and
 * where), MP_EOVERFLOW (an int beyond 64 bits), MP_ENOMEM.  *ret is None on error.
 */
MP_API int mp_obj_load(const void *data, size_t len, mp_obj *ret);

/* ---- types of your own -----------------------------------------------------------------------*/

/*
 * Make values of a type known, which travel like all others: through queues, pipes, pools, as
 * arguments, and in mp_obj_dump().  On the wire they are Python's: the class of that name, called
 * with the arguments that reduce() gives, so that a Python program with such a class reads them
 * (def __init__(self, x, y)), and writes them if its __reduce__() gives the class and a tuple, or it
 * is a namedtuple.
 *
 *     static int reduce(const void *data, mp_obj *ret) { const struct point *p = data;
 *         *ret = mp_tuple(p->x, p->y); return 0; }
 *     mp_register_type(&(mp_type){"app.Point", reduce, rebuild, free});
 *     mp_queue_put(q, mp_from_typed("app.Point", p), MP_FOREVER);
 *
 * reduce    0 and a tuple, new; or the error of the dump.  It may hold values of all kinds, other
 *           typed ones too; connections and descriptors while a child is being launched
 *           (mp_is_spawning()).
 * rebuild   0 and the data; or the error of the load.  Bytes may come from anybody: it checks what
 *           it is given.  Called in the process and thread that reads.
 * Both sides register; a child that gets such values as arguments does before mp_freeze_support(),
 * where this call may stand.  Two values are equal, and one key, when they are the same one.
 *
 * Again, with the same functions: nothing changes.  With others: from now on they count; values
 * that are there keep theirs.  The struct and name are copied.
 * 0; MP_EVALUE: no name, reduce or rebuild, a name without a module, or of what libmp reads itself;
 * MP_ENOMEM.
 */
MP_API int mp_register_type(const mp_type *type);

/*
 * A value of that type, which owns data: it is released with the last reference.
 * MP_KIND_FAILED: MP_EVALUE, not registered, and data is still yours; MP_ENOMEM, and it is released.
 */
MP_API mp_obj mp_from_typed(const char *name, void *data);

/* Its data, borrowed; NULL with MP_ETYPE: it is not of that type. */
MP_API void *mp_as_typed(mp_obj o, const char *name);

/* ---- arguments of a process ------------------------------------------------------------------*/

/*
 * mp_args: the arguments a process starts with, a tuple in its own type.  mp_process_new()
 * consumes it; the target gets it as const mp_args * for as long as it runs.
 */
MP_API mp_args *mp_args_of(size_t n, const mp_obj *items); /* consumes items; NULL on failure */
MP_API void mp_args_free(mp_args *args);                   /* NULL is fine */
MP_API size_t mp_args_len(const mp_args *args);            /* 0 for NULL */
MP_API mp_obj mp_args_item(const mp_args *args, size_t i); /* borrowed; None outside */

/* Where one argument is to go: a C type and the address of a variable of that type. */
enum mp_slot_type {
    MP_SLOT_OBJ, /* mp_obj: a reference of your own, free it */
    MP_SLOT_BOOL,
    MP_SLOT_CHAR,
    MP_SLOT_SCHAR,
    MP_SLOT_SHORT,
    MP_SLOT_INT,
    MP_SLOT_LONG,
    MP_SLOT_LLONG,
    MP_SLOT_UCHAR,
    MP_SLOT_USHORT,
    MP_SLOT_UINT,
    MP_SLOT_ULONG,
    MP_SLOT_ULLONG,
    MP_SLOT_FLOAT,
    MP_SLOT_DOUBLE,
    MP_SLOT_STR,     /* const char *: borrowed from the arguments */
    MP_SLOT_POINTER, /* void *: memory of mp_malloc() */
    MP_SLOT_QUEUE,
    MP_SLOT_LOCK,
    MP_SLOT_RLOCK,
    MP_SLOT_SEMAPHORE,
    MP_SLOT_CONDITION,
    MP_SLOT_EVENT,
    MP_SLOT_BARRIER,
    MP_SLOT_VALUE,
    MP_SLOT_ARRAY,
    MP_SLOT_CONNECTION,
    MP_SLOT_FD,    /* mp_fd: the child's own; -1 for None */
    MP_SLOT_STRUCT /* size bytes, which must be as many as were sent */
};
typedef struct mp_slot {
    enum mp_slot_type type;
    void *to;
    size_t size; /* of MP_SLOT_STRUCT, else not looked at */
} mp_slot;

/*
 * Unpack all arguments into n slots.  0; MP_ETYPE when the number or a type differs, MP_EOVERFLOW
 * when an int does not fit its variable: the text names the argument and both types, and nothing
 * was stored.
 */
MP_API int mp_args_unpack(const mp_args *args, size_t n, const mp_slot *slots);

/*
 * The same, for the target of a process: a mismatch ends the child as an uncaught TypeError ends
 * a Python child, with "Process NAME:" and the text on stderr and exit code 1.  Elsewhere it
 * returns the error.
 */
MP_API int mp_args_unpack_or_exit(const mp_args *args, size_t n, const mp_slot *slots);

MP_END_DECLS

/* ---- sugar -----------------------------------------------------------------------------------*/

/*
 * mp_from(x)            the value of any C number, text, shared object, mp_fd or mp_obj
 * mp_struct(&s)         C data by their bytes: a value for mp_args(), a place for mp_args_get().  No
 *                       pointers in them, but to the heap; both sides must be of one size
 * mp_list(a, b, ...)    also mp_tuple, mp_set_of; up to 32 values, converted by mp_from; none is fine
 * mp_dict(k, v, ...)    up to 16 pairs
 * mp_args(a, b, ...)    the arguments of a process
 * mp_args_get(args, &a, &b, ...)   unpack them; the C type of each variable says what must be there
 */
#ifndef __cplusplus

static inline mp_obj
mp__from_obj(mp_obj o)
{
    return o;
}

static inline mp_obj
mp__from_char(char c)
{
    return mp_from_int(c);
}

static inline mp_obj
mp__from_fd(mp_fd d)
{
    return mp_dup_fd(d.fd);
}

static inline mp_obj
mp__from_struct(mp_struct_ref s)
{
    return mp_bytes(s.data, s.size);
}

static inline mp_slot
mp__slot_of(enum mp_slot_type type, void *to)
{
    mp_slot slot = {type, to, 0};
    return slot;
}

static inline mp_slot
mp__slot_of_struct(enum mp_slot_type type, mp_struct_ref s)
{
    mp_slot slot = {type, s.data, s.size};
    return slot;
}

/* clang-format off */
#define mp_struct(ptr) ((mp_struct_ref){(void *)(uintptr_t)(ptr), sizeof *(ptr)})

#define mp_from(x)                                                                              \
    _Generic((x),                                                                               \
        mp_obj: mp__from_obj, bool: mp_bool, char: mp__from_char,                               \
        signed char: mp_from_int, short: mp_from_int, int: mp_from_int, long: mp_from_int,      \
        long long: mp_from_int, unsigned char: mp_from_uint, unsigned short: mp_from_uint,      \
        unsigned int: mp_from_uint, unsigned long: mp_from_uint,                                \
        unsigned long long: mp_from_uint, float: mp_from_double, double: mp_from_double,        \
        char *: mp_from_str, const char *: mp_from_str, void *: mp_from_pointer,                \
        mp_queue *: mp_from_queue, mp_lock *: mp_from_lock, mp_rlock *: mp_from_rlock,          \
        mp_semaphore *: mp_from_semaphore, mp_condition *: mp_from_condition,                   \
        mp_event *: mp_from_event, mp_barrier *: mp_from_barrier,                               \
        mp_value *: mp_from_value, mp_array *: mp_from_array,                                   \
        mp_connection *: mp_from_connection, mp_fd: mp__from_fd,                                \
        mp_struct_ref: mp__from_struct)(x)

#define MP__SLOT(ptr)                                                                           \
    _Generic((ptr), mp_struct_ref: mp__slot_of_struct, default: mp__slot_of)(                   \
        _Generic((ptr),                                                                         \
        mp_obj *: MP_SLOT_OBJ, bool *: MP_SLOT_BOOL, char *: MP_SLOT_CHAR,                      \
        signed char *: MP_SLOT_SCHAR, short *: MP_SLOT_SHORT, int *: MP_SLOT_INT,                \
        long *: MP_SLOT_LONG, long long *: MP_SLOT_LLONG, unsigned char *: MP_SLOT_UCHAR,       \
        unsigned short *: MP_SLOT_USHORT, unsigned int *: MP_SLOT_UINT,                         \
        unsigned long *: MP_SLOT_ULONG, unsigned long long *: MP_SLOT_ULLONG,                   \
        float *: MP_SLOT_FLOAT, double *: MP_SLOT_DOUBLE, const char **: MP_SLOT_STR,           \
        void **: MP_SLOT_POINTER, mp_queue **: MP_SLOT_QUEUE, mp_lock **: MP_SLOT_LOCK,         \
        mp_rlock **: MP_SLOT_RLOCK, mp_value **: MP_SLOT_VALUE, mp_array **: MP_SLOT_ARRAY,     \
        mp_semaphore **: MP_SLOT_SEMAPHORE, mp_condition **: MP_SLOT_CONDITION,                 \
        mp_event **: MP_SLOT_EVENT, mp_barrier **: MP_SLOT_BARRIER,                             \
        mp_connection **: MP_SLOT_CONNECTION, mp_fd *: MP_SLOT_FD,                              \
        mp_struct_ref: MP_SLOT_STRUCT), (ptr))

#define mp_list(...)   MP__APPLY(mp_list_of, mp_obj, mp_from, __VA_ARGS__)
#define mp_tuple(...)  MP__APPLY(mp_tuple_of, mp_obj, mp_from, __VA_ARGS__)
#define mp_set_of(...) MP__APPLY(mp_set_of_n, mp_obj, mp_from, __VA_ARGS__)
#define mp_dict(...)   MP__APPLY(mp_dict_of, mp_obj, mp_from, __VA_ARGS__)
#define mp_args(...)   MP__APPLY(mp_args_of, mp_obj, mp_from, __VA_ARGS__)
#define mp_args_get(args, ...)                                                                  \
    mp_args_unpack_or_exit((args), MP__COUNT_1UP(__VA_ARGS__),                                  \
                           (const mp_slot[]){MP__MAP(MP__SLOT, __VA_ARGS__)})
/* clang-format on */

#else
#include <mp/sugar.hpp>
#endif

#endif
