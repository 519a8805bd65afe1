/*
 * shared/typecode.h: Python's type codes: the C type behind each, and one element of it as an
 * object and back.
 */
#ifndef MP_SHARED_TYPECODE_H
#define MP_SHARED_TYPECODE_H

#include <stdbool.h>
#include <stddef.h>
#include <wchar.h>

#include <mp/object.h>

/* One element of any type code, private to a thread; the member's name is the code. */
typedef union mp__element {
    unsigned char c;
    wchar_t u;
    signed char b;
    unsigned char B;
    short h;
    unsigned short H;
    int i;
    unsigned int I;
    long l;
    unsigned long L;
    long long q;
    unsigned long long Q;
    float f;
    double d;
} mp__element;

/*
 * Bytes of an element: of a number 1, 2, 4 or 8, and that is its alignment too; of a struct as the
 * code says.  0 with MP_ETYPE and text for `call`: no such code.
 */
size_t mp__typecode_size(int typecode, const char *call);

/* Whether it is the code of a struct, MP_STRUCT(); nothing of the following is for those. */
bool mp__typecode_is_struct(int typecode);

/* The name of ctypes' class. */
const char *mp__typecode_name(int typecode);

/*
 * The element that x, which stays the caller's, stands for; integers wrap.
 * 0; MP_ETYPE (another kind); the code of a failed value.
 */
int mp__element_from(int typecode, mp_obj x, mp__element *ret, const char *call);

/*
 * An element as an object.  0; MP_EOVERFLOW (an unsigned number above INT64_MAX), MP_EVALUE (no
 * character), MP_ENOMEM; *ret is None then.
 */
int mp__element_to(int typecode, const mp__element *element, mp_obj *ret, const char *call);

/*
 * Copy an element of size bytes to or from its place in shared memory in one access, so that
 * nobody sees it torn, whoever is killed.
 */
void mp__element_store(void *shared, size_t size, const mp__element *from);
void mp__element_load(const void *shared, size_t size, mp__element *to);

/* Numbers in a row, each of them so stored. */
void mp__elements_store(void *shared, size_t size, const void *from, size_t count);

#endif
