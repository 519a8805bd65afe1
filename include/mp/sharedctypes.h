/*
 * mp/sharedctypes.h: numbers and arrays that all processes see, with their lock.
 *
 * Mirrors   multiprocessing.Value, multiprocessing.Array
 * Sharing   they live in the family's heap; data pointers are plain C pointers, valid in every
 *           process of the family and aligned for their type
 * Locking   each has a recursive lock.  get and set take it for one access; a read-modify-write
 *           needs it around both, on the data pointer:
 *               MP_WITH(mp_value_get_lock(x)) { *(int *)mp_value_data(x) += 1; }
 * Death     get and set of a number whose lock's holder died take the lock over and go on: a
 *           number is never torn.  MP_WITH around several steps tells (mp_with_news()).
 */
#ifndef MP_SHAREDCTYPES_H
#define MP_SHAREDCTYPES_H

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

MP_BEGIN_DECLS

/*
 * A shared number of a type code, with its own lock; Python: Value(typecode, init).  init is
 * consumed; None is zero.  NULL: MP_ETYPE (unknown code, or init of another type), MP_ENOMEM.
 */
MP_API mp_value *mp_value_new(int typecode, mp_obj init);

/* Give it back, lock and all.  NULL is fine.  MP_EVALUE when it is no live value. */
MP_API int mp_value_free(mp_value *v);

/*
 * Python's v.value, read and written under the lock.  Integers wrap to the C type's width; a float
 * for an integer is MP_ETYPE.  x is consumed; *ret is yours to free, None on error.
 * 0; MP_EVALUE (no live value, NULL, or a wchar_t that is no character); MP_ETYPE; MP_ENOMEM;
 * MP_EOVERFLOW: an unsigned number above INT64_MAX does not fit an object, read it as C data.
 */
MP_API int mp_value_get(mp_value *v, mp_obj *ret);
MP_API int mp_value_set(mp_value *v, mp_obj x);

MP_API void *mp_value_data(mp_value *v);         /* the number itself; NULL: MP_EVALUE */
MP_API mp_rlock *mp_value_get_lock(mp_value *v); /* belongs to v; NULL: MP_EVALUE */

/*
 * A shared array of length numbers, zeroed or, with init, copied from the length C numbers there;
 * Python: Array(typecode, n or sequence).  NULL: MP_ETYPE (unknown code), MP_EOVERFLOW, MP_ENOMEM.
 */
MP_API mp_array *mp_array_new(int typecode, size_t length, const void *init);
MP_API int mp_array_free(mp_array *a); /* NULL is fine; MP_EVALUE when it is no live array */

/* Python's a[i], under the lock; a negative index counts from the end; MP_EINDEX outside, else as
   mp_value_get() and mp_value_set(). */
MP_API int mp_array_get(mp_array *a, ptrdiff_t index, mp_obj *ret);
MP_API int mp_array_set(mp_array *a, ptrdiff_t index, mp_obj x);

MP_API int64_t mp_array_len(mp_array *a);        /* MP_EVALUE when it is no live array */
MP_API void *mp_array_data(mp_array *a);         /* the first number; NULL: MP_EVALUE */
MP_API mp_rlock *mp_array_get_lock(mp_array *a); /* belongs to a */

/* Python's list(a), all of one moment, under the lock.  MP_KIND_FAILED on error. */
MP_API mp_obj mp_array_tolist(mp_array *a);

MP_END_DECLS

#ifndef __cplusplus
#define mp_value_new(typecode, init) (mp_value_new)((typecode), mp_from(init))
#define mp_value_set(v, x)           (mp_value_set)((v), mp_from(x))
#define mp_array_set(a, i, x)        (mp_array_set)((a), (i), mp_from(x))
#endif

#endif
