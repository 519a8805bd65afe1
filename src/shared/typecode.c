/*
 * typecode.c - size of and conversion between C numbers and mp_obj
 *
 * Conversions are those of ctypes, which Python's Value and Array store through: an integer wraps
 * silently to the C width, an integer or a bool may become a float, a float may not become an
 * integer, 'c' is one byte of bytes (or its number), 'u' is a str of one character.
 */
#include "shared/typecode.h"

#include <stdatomic.h>
#include <stdint.h>
#include <string.h>

#include <mp/error.h>
#include <mp/sharedctypes.h>

#include "base/error.h"
#include "object/object.h"

bool
mp__typecode_is_struct(int typecode)
{
    return typecode > MP__STRUCT && typecode < MP__STRUCT + MP__STRUCT_LIMIT;
}

size_t
mp__typecode_size(int typecode, const char *call)
{
    if (mp__typecode_is_struct(typecode)) {
        return (size_t)(typecode - MP__STRUCT);
    }
    switch (typecode) {
    case MP_TYPE_CHAR:
    case MP_TYPE_INT8:
    case MP_TYPE_UINT8:
        return 1;
    case MP_TYPE_WCHAR:
        return sizeof(wchar_t);
    case MP_TYPE_SHORT:
    case MP_TYPE_USHORT:
        return sizeof(short);
    case MP_TYPE_INT:
    case MP_TYPE_UINT:
        return sizeof(int);
    case MP_TYPE_LONG:
    case MP_TYPE_ULONG:
        return sizeof(long);
    case MP_TYPE_LLONG:
    case MP_TYPE_ULLONG:
        return sizeof(long long);
    case MP_TYPE_FLOAT:
        return sizeof(float);
    case MP_TYPE_DOUBLE:
        return sizeof(double);
    default:
        break;
    }
    if (typecode > ' ' && typecode < 0x7f) {
        mp__error(MP_ETYPE, "%s: bad type code '%c'", call, typecode);
    } else {
        mp__error(MP_ETYPE, "%s: bad type code %d", call, typecode);
    }
    return 0;
}

const char *
mp__typecode_name(int typecode)
{
    switch (typecode) {
    case MP_TYPE_CHAR:
        return "c_char";
    case MP_TYPE_WCHAR:
        return "c_wchar";
    case MP_TYPE_INT8:
        return "c_byte";
    case MP_TYPE_UINT8:
        return "c_ubyte";
    case MP_TYPE_SHORT:
        return "c_short";
    case MP_TYPE_USHORT:
        return "c_ushort";
    case MP_TYPE_INT:
        return "c_int";
    case MP_TYPE_UINT:
        return "c_uint";
    case MP_TYPE_LONG:
        return "c_long";
    case MP_TYPE_ULONG:
        return "c_ulong";
    case MP_TYPE_LLONG: /* ctypes has one class for both where they are alike */
        return sizeof(long) == sizeof(long long) ? "c_long" : "c_longlong";
    case MP_TYPE_ULLONG:
        return sizeof(long) == sizeof(long long) ? "c_ulong" : "c_ulonglong";
    case MP_TYPE_FLOAT:
        return "c_float";
    case MP_TYPE_DOUBLE:
        return "c_double";
    default:
        return "struct";
    }
}

/* ---- from an object ---------------------------------------------------------------------------*/

static int
wrong_type(const char *call, const char *wanted, mp_obj x)
{
    return mp__error(MP_ETYPE, "%s: %s expected, not %s", call, wanted, mp_obj_type_name(x));
}

static int
char_from(mp_obj x, unsigned char *ret, const char *call)
{
    static const char wanted[] = "bytes of length 1";
    size_t len = 1;
    if (mp_obj_kind(x) == MP_KIND_INT) {
        int64_t i = mp_as_int(x);
        if (i < 0 || i > UINT8_MAX) {
            return mp__error(MP_ETYPE, "%s: %s or an int below 256 expected, not %lld", call,
                             wanted, (long long)i);
        }
        *ret = (unsigned char)i;
        return 0;
    }
    if (mp_obj_kind(x) != MP_KIND_BYTES) {
        return wrong_type(call, wanted, x);
    }
    const unsigned char *data = mp_as_bytes(x, &len);
    if (len != 1) {
        return mp__error(MP_ETYPE, "%s: %s expected, not of length %zu", call, wanted, len);
    }
    *ret = data[0];
    return 0;
}

/* The only character of a str; its text is valid UTF-8 by construction. */
static int
wchar_from(mp_obj x, wchar_t *ret, const char *call)
{
    static const char wanted[] = "a str of one character";
    if (mp_obj_kind(x) != MP_KIND_STR) {
        return wrong_type(call, wanted, x);
    }
    const unsigned char *s = (const unsigned char *)mp_as_str(x);
    size_t len = (size_t)mp_obj_len(x);
    size_t need = s[0] < 0x80 ? 1 : s[0] < 0xe0 ? 2 : s[0] < 0xf0 ? 3 : 4;
    if (len != need) {
        return mp__error(MP_ETYPE, "%s: %s expected, not one of %zu bytes", call, wanted, len);
    }
    uint32_t c = need == 1 ? s[0] : s[0] & (0x7fU >> need);
    for (size_t i = 1; i < need; i++) {
        c = c << 6 | (s[i] & 0x3fU);
    }
    *ret = (wchar_t)c;
    return 0;
}

static int
float_from(mp_obj x, double *ret, const char *call)
{
    enum mp_kind kind = mp_obj_kind(x);
    if (kind != MP_KIND_FLOAT && kind != MP_KIND_INT && kind != MP_KIND_BOOL) {
        return wrong_type(call, "a float", x);
    }
    *ret = mp_as_double(x);
    return 0;
}

/* Any of the integer codes: the low bytes of two's complement. */
static int
integer_from(int typecode, mp_obj x, mp__element *ret, const char *call)
{
    enum mp_kind kind = mp_obj_kind(x);
    if (kind != MP_KIND_INT && kind != MP_KIND_BOOL) {
        return wrong_type(call, "an int", x);
    }
    int64_t i = mp_as_int(x);
    switch (mp__typecode_size(typecode, call)) {
    case 1:
        ret->B = (unsigned char)i;
        break;
    case sizeof(short):
        ret->H = (unsigned short)i;
        break;
    case sizeof(int):
        ret->I = (unsigned int)i;
        break;
    default:
        ret->Q = (unsigned long long)i;
        break;
    }
    return 0;
}

int
mp__element_from(int typecode, mp_obj x, mp__element *ret, const char *call)
{
    double d = 0;
    int rc;
    if (mp_obj_kind(x) == MP_KIND_FAILED) {
        return mp__obj_failure(x);
    }
    switch (typecode) {
    case MP_TYPE_CHAR:
        return char_from(x, &ret->c, call);
    case MP_TYPE_WCHAR:
        return wchar_from(x, &ret->u, call);
    case MP_TYPE_FLOAT:
        rc = float_from(x, &d, call);
        ret->f = (float)d;
        return rc;
    case MP_TYPE_DOUBLE:
        return float_from(x, &ret->d, call);
    default:
        return integer_from(typecode, x, ret, call);
    }
}

/* ---- to an object -----------------------------------------------------------------------------*/

static mp_obj
wchar_to(wchar_t element, const char *call)
{
    static const unsigned char lead[] = {0, 0, 0xc0, 0xe0, 0xf0};
    uint32_t c = (uint32_t)element;
    char s[4];
    size_t len = c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    if (c > 0x10ffff) {
        return mp__obj_failed(
            mp__error(MP_EVALUE, "%s: the wchar_t %#lx is no character", call, (unsigned long)c));
    }
    for (size_t i = len - 1; i > 0; i--) {
        s[i] = (char)(0x80 | (c & 0x3f));
        c >>= 6;
    }
    s[0] = (char)(lead[len] | c);
    return mp_from_strn(s, len);
}

static mp_obj
element_to(int typecode, const mp__element *e, const char *call)
{
    switch (typecode) {
    case MP_TYPE_CHAR:
        return mp_bytes(&e->c, 1);
    case MP_TYPE_WCHAR:
        return wchar_to(e->u, call);
    case MP_TYPE_INT8:
        return mp_from_int(e->b);
    case MP_TYPE_UINT8:
        return mp_from_int(e->B);
    case MP_TYPE_SHORT:
        return mp_from_int(e->h);
    case MP_TYPE_USHORT:
        return mp_from_int(e->H);
    case MP_TYPE_INT:
        return mp_from_int(e->i);
    case MP_TYPE_UINT:
        return mp_from_int(e->I);
    case MP_TYPE_LONG:
        return mp_from_int(e->l);
    case MP_TYPE_ULONG:
        return mp_from_uint(e->L);
    case MP_TYPE_LLONG:
        return mp_from_int(e->q);
    case MP_TYPE_ULLONG:
        return mp_from_uint(e->Q);
    case MP_TYPE_FLOAT:
        return mp_from_double((double)e->f);
    default:
        return mp_from_double(e->d);
    }
}

int
mp__element_to(int typecode, const mp__element *element, mp_obj *ret, const char *call)
{
    mp_obj o = element_to(typecode, element, call);
    if (mp_obj_kind(o) != MP_KIND_FAILED) {
        *ret = o;
        return 0;
    }
    *ret = mp_none();
    return mp__obj_failure(o);
}

/* ---- in shared memory -------------------------------------------------------------------------*/

void
mp__element_store(void *shared, size_t size, const mp__element *from)
{
    uint16_t two;
    uint32_t four;
    uint64_t eight;
    switch (size) {
    case 1:
        atomic_store_explicit((_Atomic unsigned char *)shared, from->c, memory_order_relaxed);
        break;
    case 2:
        memcpy(&two, from, 2);
        atomic_store_explicit((_Atomic uint16_t *)shared, two, memory_order_relaxed);
        break;
    case 4:
        memcpy(&four, from, 4);
        atomic_store_explicit((_Atomic uint32_t *)shared, four, memory_order_relaxed);
        break;
    default:
        memcpy(&eight, from, 8);
        atomic_store_explicit((_Atomic uint64_t *)shared, eight, memory_order_relaxed);
        break;
    }
}

void
mp__element_load(const void *shared, size_t size, mp__element *to)
{
    uint16_t two;
    uint32_t four;
    uint64_t eight;
    switch (size) {
    case 1:
        to->c = atomic_load_explicit((const _Atomic unsigned char *)shared, memory_order_relaxed);
        break;
    case 2:
        two = atomic_load_explicit((const _Atomic uint16_t *)shared, memory_order_relaxed);
        memcpy(to, &two, 2);
        break;
    case 4:
        four = atomic_load_explicit((const _Atomic uint32_t *)shared, memory_order_relaxed);
        memcpy(to, &four, 4);
        break;
    default:
        eight = atomic_load_explicit((const _Atomic uint64_t *)shared, memory_order_relaxed);
        memcpy(to, &eight, 8);
        break;
    }
}

void
mp__elements_store(void *shared, size_t size, const void *from, size_t count)
{
    unsigned char *to = shared;
    const unsigned char *p = from;
    mp__element e;
    /* Whole words, wherever elements begin and end with them. */
    while (size < 8 && count > 0 && ((uintptr_t)to % 8 || count < 8 / size)) {
        memcpy(&e, p, size);
        mp__element_store(to, size, &e);
        to += size;
        p += size;
        count--;
    }
    size_t words = count * size / 8;
    for (size_t i = 0; i < words; i++) {
        uint64_t word;
        memcpy(&word, p + i * 8, 8);
        atomic_store_explicit((_Atomic uint64_t *)(void *)to + i, word, memory_order_relaxed);
    }
    if (size < 8 && count % (8 / size)) {
        mp__elements_store(to + words * 8, size, p + words * 8, count % (8 / size));
    }
}
