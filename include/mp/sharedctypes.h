/*
 * mp/sharedctypes.h: numbers, structs and arrays that all processes see, with their lock.
 *
 * A shared counter:
 *
 *     mp_value *hits = mp_value_new('l', 0);
 *     ...                                                    // in any process
 *     MP_WITH(hits) { *(long *)mp_value_data(hits) += 1; }
 *
 * A shared struct:
 *
 *     struct stats { long hits; double sum; };
 *     mp_value *v = mp_value_new_struct(sizeof(struct stats), NULL);
 *     ...
 *     struct stats *s = mp_value_data(v), now;
 *     MP_WITH(v) { s->hits++; s->sum += x; }
 *     mp_value_read(v, &now);                                // a copy, all of one moment
 *
 * A shared matrix, and one row of it:
 *
 *     mp_array *m = mp_array_new('d', ROWS * COLS, NULL);
 *     double (*cell)[COLS] = mp_array_data(m), row[COLS];
 *     MP_WITH(m) { cell[i][j] += x; }
 *     mp_array_get_slice(m, i * COLS, (i + 1) * COLS, 1, row, COLS, NULL);
 *
 * A shared string:
 *
 *     mp_array *name = mp_array_new('c', 64, NULL);          // init would be 64 bytes
 *     char text[65];
 *     mp_array_set_string(name, "worker 3");
 *     mp_array_get_string(name, text, sizeof text);
 *
 * Mirrors   multiprocessing.Value, Array, and multiprocessing.sharedctypes
 * Sharing   they live in the family's heap.  Data pointers are plain C pointers, valid in every
 *           process of the family and aligned for their type.  A pointer stored in them is good
 *           elsewhere only if it points into the heap too
 * Locking   each has a recursive lock, unless the options say otherwise.  get, set and the copying
 *           calls take it for one access; a read-modify-write needs it around both: MP_WITH(v), or
 *           mp_value_acquire() and mp_value_release().  With a plain mp_lock, which is not
 *           recursive, use the data pointer inside MP_WITH(), not the calls that lock
 * Threads   every call from any thread of any process, except the free
 * Fork      a child of fork() shares them, and does not hold what its parent holds
 * Death     of a process that holds the lock, in one of these calls or in MP_WITH():
 *             - a number is never torn, neither alone nor in a slice: it is old or new
 *             - a slice, a string, a struct may be half old and half new
 *             - the next to take the lock is told, once, within 0.1 s: MP_OWNER_DIED (positive:
 *               the call did its work) from acquire, read, write, slice, string and raw calls;
 *               mp_with_news() in MP_WITH()
 *             - get and set of one number, tolist and repr go on and leave the news to the next of
 *               those
 *           Whoever is told by a call that copies has let go of the lock again when it returns.
 *           Where nobody must see half a change, work inside MP_WITH() and repair there
 */
#ifndef MP_SHAREDCTYPES_H
#define MP_SHAREDCTYPES_H

#include <mp/context.h>
#include <mp/error.h>
#include <mp/object.h>
#include <mp/synchronize.h>

/* Python's type codes. */
enum mp_typecode {
    MP_TYPE_CHAR = 'c',  /* char: one byte of bytes; an int of 0 to 255 is taken too */
    MP_TYPE_WCHAR = 'u', /* wchar_t: a str of one character */
    MP_TYPE_INT8 = 'b',
    MP_TYPE_UINT8 = 'B',
    MP_TYPE_SHORT = 'h',
    MP_TYPE_USHORT = 'H',
    MP_TYPE_INT = 'i',
    MP_TYPE_UINT = 'I',
    MP_TYPE_LONG = 'l',
    MP_TYPE_ULONG = 'L',
    MP_TYPE_LLONG = 'q',
    MP_TYPE_ULLONG = 'Q',
    MP_TYPE_FLOAT = 'f',
    MP_TYPE_DOUBLE = 'd'
};

/*
 * The type code of a struct, or of any C type that can be copied byte by byte:
 *
 *     mp_array *path = mp_array_new(MP_STRUCT(struct point), 100, NULL);
 *
 * A type of 512 MiB or more does not compile.
 */
#define MP_STRUCT(type)                                                                            \
    (MP__STRUCT + (int)(sizeof(type) + 0 * sizeof(char[sizeof(type) < MP__STRUCT_LIMIT ? 1 : -1])))
#define MP__STRUCT       0x40000000
#define MP__STRUCT_LIMIT 0x20000000

/*
 * What else can be chosen.  Zero what you do not set; NULL in place of the struct means all
 * defaults.  At most one of the first three.
 */
typedef struct mp_shared_options {
    mp_lock *lock;        /* this lock guards it; it stays yours, and may guard others too       */
    mp_rlock *rlock;      /* the same with a recursive one; neither: a new mp_rlock of its own   */
    bool unlocked;        /* no lock at all (Python: lock=False)                                 */
    bool page_aligned;    /* the data begin on a page, and nothing else is on any of their pages */
    size_t align;         /* of the data: a power of two up to 1 MiB; 64 keeps a number on a
                             cache line of its own.  0: of a number its size, of a struct up to
                             16 bytes 16, else 64                                                */
    uint64_t reserved[4]; /* must be 0, else MP_EVALUE */
} mp_shared_options;

MP_BEGIN_DECLS

/* ---- Value -----------------------------------------------------------------------------------*/

/*
 * A shared number of a type code, with its own lock; Python: Value(typecode, init).  init is
 * consumed; None is zero.  A struct (MP_STRUCT) takes None or bytes of its size.
 * NULL: MP_ETYPE (unknown code, or init of another type), MP_ENOMEM.
 */
MP_API mp_value *mp_value_new(int typecode, mp_obj init);

/* The same with options; Python: lock=.  MP_EVALUE too: options that contradict, no live lock. */
MP_API mp_value *mp_value_new_with(int typecode, mp_obj init, const mp_shared_options *options);

/*
 * A shared struct of size bytes, zeroed or copied from init.  NULL: MP_EVALUE (size 0),
 * MP_EOVERFLOW (512 MiB or more), MP_ENOMEM.
 */
MP_API mp_value *mp_value_new_struct(size_t size, const void *init);

/* As mp_value_new_with(); Python: ctx.Value().  It works with every start method, whatever ctx. */
MP_API mp_value *mp_context_value(const mp_context *ctx, int typecode, mp_obj init,
                                  const mp_shared_options *options);

/*
 * Give it back, with the lock that it made.  NULL is fine.  MP_EVALUE when it is no live value.
 * A process killed in here has freed it, or somebody else may still do so.
 */
MP_API int mp_value_free(mp_value *v);

/*
 * Python's v.value, read and written under the lock.  Integers wrap to the C type's width; a float
 * for an integer is MP_ETYPE.  x is consumed; *ret is yours to free, None on error.
 * 0; MP_EVALUE (no live value, NULL, or a wchar_t that is no character); MP_ETYPE; MP_ENOMEM;
 * MP_EATTR (a struct); MP_EOVERFLOW: an unsigned number above INT64_MAX does not fit an object,
 * read it as C data.
 */
MP_API int mp_value_get(mp_value *v, mp_obj *ret);
MP_API int mp_value_set(mp_value *v, mp_obj x);

/*
 * The whole value, struct or number, copied out or in under the lock.  The macros of the same name
 * take the size from the pointer's type: mp_value_read(v, &now).
 * 0; MP_OWNER_DIED; MP_EVALUE (no live value, NULL, or the size is not the value's).
 */
MP_API int mp_value_read(mp_value *v, void *ret, size_t size);
MP_API int mp_value_write(mp_value *v, const void *from, size_t size);

/* The data themselves; NULL: MP_EVALUE.  get_obj is Python's name for them: the bare object. */
MP_API void *mp_value_data(mp_value *v);
MP_API void *mp_value_get_obj(mp_value *v);

/*
 * The lock that guards v; one of its own goes with v.  NULL: MP_EVALUE; MP_EATTR (it has none);
 * MP_ETYPE (it was given an mp_lock: MP_WITH(v) takes that).
 */
MP_API mp_rlock *mp_value_get_lock(mp_value *v);

/* Take and release the lock, whichever it is: as mp_rlock_acquire() or mp_lock_acquire(), and
   MP_EATTR when there is none. */
MP_API int mp_value_acquire(mp_value *v, double timeout);
MP_API int mp_value_release(mp_value *v);

/* Its text, Python's repr(): "<Synchronized wrapper for c_int(5)>"; as mp_lock_repr(), and
   MP_EVALUE (a wchar_t that is no character), MP_ENOMEM. */
MP_API int mp_value_repr(mp_value *v, char *buf, size_t size);

/* ---- Array -----------------------------------------------------------------------------------*/

/*
 * A shared array of length numbers or structs (MP_STRUCT), zeroed or, with init, copied from the
 * length elements there; Python: Array(typecode, n or sequence).  Length 0 is fine.
 * NULL: MP_ETYPE (unknown code), MP_EOVERFLOW (no memory could hold it: a negative length too),
 * MP_ENOMEM.
 */
MP_API mp_array *mp_array_new(int typecode, size_t length, const void *init);

/* With options and with a context, as of mp_value_new(). */
MP_API mp_array *mp_array_new_with(int typecode, size_t length, const void *init,
                                   const mp_shared_options *options);
MP_API mp_array *mp_context_array(const mp_context *ctx, int typecode, size_t length,
                                  const void *init, const mp_shared_options *options);

MP_API int mp_array_free(mp_array *a); /* as mp_value_free() */

/* Python's a[i], under the lock; a negative index counts from the end; MP_EINDEX outside, else as
   mp_value_get() and mp_value_set(); of structs MP_ETYPE. */
MP_API int mp_array_get(mp_array *a, ptrdiff_t index, mp_obj *ret);
MP_API int mp_array_set(mp_array *a, ptrdiff_t index, mp_obj x);

/* One element as C data, as mp_value_read() and mp_value_write(); MP_EINDEX. */
MP_API int mp_array_read(mp_array *a, ptrdiff_t index, void *ret, size_t size);
MP_API int mp_array_write(mp_array *a, ptrdiff_t index, const void *from, size_t size);

/*
 * Python's a[start:stop:step] as C data, under one hold of the lock.  Negative ends count from the
 * array's end and what lies outside is cut off, as in Python; a[:] is MP_SLICE_BEGIN,
 * MP_SLICE_END, 1 and a[::-1] is MP_SLICE_END, MP_SLICE_BEGIN, -1.
 *
 * get: room is in elements; *ret_count, which may be NULL, is how many the slice has, also when
 * room is too small.  set: count must be what the slice has.  User memory must not overlap a's.
 *   0; MP_OWNER_DIED
 *   MP_EBUFFERTOOSHORT  more than room elements; nothing was copied
 *   MP_EVALUE           count is not the slice's, step 0, NULL, or no live array
 */
MP_API int mp_array_get_slice(mp_array *a, ptrdiff_t start, ptrdiff_t stop, ptrdiff_t step,
                              void *ret, size_t room, size_t *ret_count);
MP_API int mp_array_set_slice(mp_array *a, ptrdiff_t start, ptrdiff_t stop, ptrdiff_t step,
                              const void *from, size_t count);
#define MP_SLICE_BEGIN PTRDIFF_MIN
#define MP_SLICE_END   PTRDIFF_MAX

/*
 * Python's a.value of an array of 'c': the bytes up to the first NUL.  get adds a NUL behind them;
 * mp_array_len() + 1 bytes are always room enough.  set adds one if there is room for it, and
 * leaves what is behind.
 *   0; MP_OWNER_DIED
 *   MP_EBUFFERTOOSHORT  get: longer than cap - 1; nothing was copied
 *   MP_EVALUE           set: longer than the array; NULL; no live array
 *   MP_EATTR            an array of another type
 */
MP_API int mp_array_get_string(mp_array *a, char *ret, size_t cap);
MP_API int mp_array_set_string(mp_array *a, const char *s);

/*
 * Python's a.raw, of every type: get copies all bytes (MP_EBUFFERTOOSHORT: more than cap), set
 * overwrites the first len, a whole number of elements (MP_EVALUE: it is not, or more than there
 * are).  0; MP_OWNER_DIED; MP_EVALUE.
 */
MP_API int mp_array_get_raw(mp_array *a, void *ret, size_t cap);
MP_API int mp_array_set_raw(mp_array *a, const void *from, size_t len);

MP_API int64_t mp_array_len(mp_array *a);   /* elements; MP_EVALUE when it is no live array */
MP_API void *mp_array_data(mp_array *a);    /* the first element; NULL: MP_EVALUE */
MP_API void *mp_array_get_obj(mp_array *a); /* the same, by Python's name */

/* As of a value. */
MP_API mp_rlock *mp_array_get_lock(mp_array *a);
MP_API int mp_array_acquire(mp_array *a, double timeout);
MP_API int mp_array_release(mp_array *a);
MP_API int mp_array_repr(mp_array *a, char *buf, size_t size);

/*
 * Python's for x in a, which locks for each element alone: start with *pos = 0; true while there
 * is one in *ret, yours to free.
 */
MP_API bool mp_array_next(mp_array *a, size_t *pos, mp_obj *ret);

/* Python's list(a), all of one moment, under the lock.  MP_KIND_FAILED on error. */
MP_API mp_obj mp_array_tolist(mp_array *a);

/* ---- raw objects: data without a lock --------------------------------------------------------*/

/*
 * Python's RawValue and RawArray: the pointer is the data, `int *x = mp_raw_value_new('i', 7)`,
 * and mp_free(x) gives them back.  Arguments and errors as of mp_value_new(), mp_array_new().
 * They know what they are, as does what mp_value_get_obj() and mp_array_get_obj() give.
 */
MP_API void *mp_raw_value_new(int typecode, mp_obj init);
MP_API void *mp_raw_array_new(int typecode, size_t length, const void *init);

/* Elements, and their type code; MP_EVALUE when it is no raw object. */
MP_API int64_t mp_raw_len(const void *raw);
MP_API int mp_raw_typecode(const void *raw);

/* A new raw object of the same type with the same bytes; Python: copy().  MP_EVALUE, MP_ENOMEM. */
MP_API void *mp_raw_value_copy(const void *raw);

/*
 * A value or an array around a raw object, with a lock as the options say (align must be 0).  Free
 * it first; the raw object stays yours.
 * NULL: MP_ESTATE (raw is a value or an array itself), MP_EVALUE (no raw object), MP_ETYPE (an
 * array for mp_synchronized(), or the other way round), MP_ENOMEM.
 */
MP_API mp_value *mp_synchronized(void *raw, const mp_shared_options *options);
MP_API mp_array *mp_synchronized_array(void *raw, const mp_shared_options *options);

MP_END_DECLS

#ifndef __cplusplus
#define mp_value_new(typecode, init) (mp_value_new)((typecode), mp_from(init))
#define mp_value_new_with(typecode, init, ...)                                                     \
    (mp_value_new_with)((typecode), mp_from(init), __VA_ARGS__)
#define mp_context_value(ctx, typecode, init, ...)                                                 \
    (mp_context_value)((ctx), (typecode), mp_from(init), __VA_ARGS__)
#define mp_raw_value_new(typecode, init) (mp_raw_value_new)((typecode), mp_from(init))
#define mp_value_set(v, x)               (mp_value_set)((v), mp_from(x))
#define mp_array_set(a, i, x)            (mp_array_set)((a), (i), mp_from(x))
#define mp_value_read(v, to)             (mp_value_read)((v), (to), sizeof *(to))
#define mp_value_write(v, ...)           (mp_value_write)((v), (__VA_ARGS__), sizeof *(__VA_ARGS__))
#define mp_array_read(a, i, to)          (mp_array_read)((a), (i), (to), sizeof *(to))
#define mp_array_write(a, i, ...)        (mp_array_write)((a), (i), (__VA_ARGS__), sizeof *(__VA_ARGS__))
#endif

#endif
