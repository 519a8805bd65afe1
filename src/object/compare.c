/*
 * compare.c - Python's == and hash()
 *
 * Equal values have equal hashes: 1, 1.0 and True; a set and a frozenset; bytes and bytearray.
 * Hashes are keyed with random numbers of this process, so nobody outside can make keys collide.
 * A comparison of values that share parts can be exponential in their size; a budget bounds it.
 */
#include "object/object.h"

#include <math.h>
#include <pthread.h>
#include <string.h>
#include <time.h>

#include "base/error.h"
#include "platform/platform.h"

/* ---- hash ------------------------------------------------------------------------------------ */

static uint64_t key[2];
static pthread_once_t key_once = PTHREAD_ONCE_INIT;

static void
make_key(void)
{
    if (mp__plat_random(key, sizeof key)) {
        /* No source of random numbers: times and addresses are harder to guess than nothing. */
        struct timespec now = {0};
        clock_gettime(CLOCK_REALTIME, &now);
        key[0] = (uint64_t)now.tv_nsec * UINT64_C(0x9E3779B97F4A7C15) + (uint64_t)now.tv_sec;
        key[1] = (uint64_t)(uintptr_t)&now ^ (uint64_t)(uintptr_t)key << 17;
    }
}

static uint64_t
rotate(uint64_t x, unsigned bits)
{
    return x << bits | x >> (64 - bits);
}

static void
sip_round(uint64_t v[4])
{
    v[0] += v[1];
    v[2] += v[3];
    v[1] = rotate(v[1], 13) ^ v[0];
    v[3] = rotate(v[3], 16) ^ v[2];
    v[0] = rotate(v[0], 32);
    v[2] += v[1];
    v[0] += v[3];
    v[1] = rotate(v[1], 17) ^ v[2];
    v[3] = rotate(v[3], 21) ^ v[0];
    v[2] = rotate(v[2], 32);
}

static void
sip_word(uint64_t v[4], uint64_t word)
{
    v[3] ^= word;
    sip_round(v);
    v[0] ^= word;
}

/* SipHash with one round a word and three at the end; words are read in the machine's order. */
static uint64_t
hash_bytes(const void *data, size_t len)
{
    const unsigned char *s = data;
    uint64_t v[4] = {key[0] ^ UINT64_C(0x736f6d6570736575), key[1] ^ UINT64_C(0x646f72616e646f6d),
                     key[0] ^ UINT64_C(0x6c7967656e657261), key[1] ^ UINT64_C(0x7465646279746573)};
    uint64_t word, last = (uint64_t)len << 56;
    size_t left = len;
    for (; left >= 8; left -= 8, s += 8) {
        memcpy(&word, s, 8);
        sip_word(v, word);
    }
    for (size_t i = 0; i < left; i++) {
        last |= (uint64_t)s[i] << (8 * i);
    }
    sip_word(v, last);
    v[2] ^= 0xff;
    sip_round(v);
    sip_round(v);
    sip_round(v);
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}

/* A keyed one-to-one scramble of a word. */
static uint64_t
hash_word(uint64_t x)
{
    x = (x ^ key[0]) * UINT64_C(0xBF58476D1CE4E5B9);
    x = (x ^ x >> 29 ^ key[1]) * UINT64_C(0x94D049BB133111EB);
    return x ^ x >> 32;
}

static uint64_t
hash_double(double d)
{
    static _Atomic uint64_t nans; /* no NaN equals another, so each may have a hash of its own */
    if (isnan(d)) {
        return hash_word(UINT64_C(0x7ff8000000000000) + atomic_fetch_add(&nans, 1));
    }
    if (d >= -0x1p63 && d < 0x1p63 && d == (double)(int64_t)d) {
        return hash_word((uint64_t)(int64_t)d);
    }
    uint64_t bits;
    memcpy(&bits, &d, sizeof bits);
    return hash_word(bits ^ UINT64_C(0x5bd1e995));
}

static int hash_at(mp_obj o, unsigned depth, uint64_t *ret);

static int
hash_tuple(mp__seq *s, unsigned depth, uint64_t *ret)
{
    uint64_t h = atomic_load_explicit(&s->u.hash, memory_order_relaxed);
    if (h == 0) {
        h = hash_word(s->len);
        for (size_t i = 0; i < s->len; i++) {
            uint64_t one;
            int rc = hash_at(s->items[i], depth + 1, &one);
            if (rc) {
                return rc;
            }
            h = hash_word(h ^ one);
        }
        h += h == 0;
        atomic_store_explicit(&s->u.hash, h, memory_order_relaxed);
    }
    *ret = h;
    return 0;
}

static uint64_t
hash_frozenset(mp__table *t)
{
    uint64_t h = atomic_load_explicit(&t->hash, memory_order_relaxed);
    if (h == 0) {
        h = t->len;
        for (size_t i = 0; i < t->len; i++) {
            h += hash_word(t->entries[i].hash); /* the order must not matter */
        }
        h = hash_word(h);
        h += h == 0;
        atomic_store_explicit(&t->hash, h, memory_order_relaxed);
    }
    return h;
}

static int
hash_at(mp_obj o, unsigned depth, uint64_t *ret)
{
    const mp__body *b = mp__kind_has_body(o.mp__kind) ? mp__obj_body(o) : NULL;
    switch (mp_obj_kind(o)) {
    case MP_KIND_NONE:
        *ret = hash_word(UINT64_C(0xfca86420));
        return 0;
    case MP_KIND_BOOL:
    case MP_KIND_INT:
        *ret = hash_word((uint64_t)o.mp__u.i);
        return 0;
    case MP_KIND_FLOAT:
        *ret = hash_double(o.mp__u.f);
        return 0;
    case MP_KIND_HANDLE:
    case MP_KIND_ERROR:
    case MP_KIND_TYPED:
        *ret = hash_word((uint64_t)(uintptr_t)o.mp__u.p);
        return 0;
    case MP_KIND_FAILED:
        return mp__obj_failure(o);
    case MP_KIND_TUPLE:
        if (depth >= MP__DEPTH_MAX) {
            return mp__error(MP_ETYPE, "hash: a key nests deeper than %d", MP__DEPTH_MAX);
        }
        return hash_tuple(o.mp__u.p, depth, ret);
    case MP_KIND_STR:
    case MP_KIND_BYTES:
        if (!(b->flags & MP__MUTABLE)) {
            const mp__text *t = o.mp__u.p;
            *ret = hash_bytes(t->data, t->len);
            return 0;
        }
        break;
    case MP_KIND_SET:
        if (b->flags & MP__FROZEN) {
            *ret = hash_frozenset(o.mp__u.p);
            return 0;
        }
        break;
    default:
        break;
    }
    return mp__error(MP_ETYPE, "unhashable type: '%s'", mp_obj_type_name(o));
}

int
mp__obj_hash(mp_obj o, uint64_t *ret)
{
    pthread_once(&key_once, make_key);
    return hash_at(o, 0, ret);
}

/* ---- equality -------------------------------------------------------------------------------- */

/* As Python does it: exactly, not by making a double of the int. */
static bool
int_equals_double(int64_t i, double d)
{
    return d >= -0x1p63 && d < 0x1p63 && (int64_t)d == i && d == (double)(int64_t)d;
}

static bool
numbers_equal(mp_obj a, mp_obj b)
{
    bool a_float = a.mp__kind == MP_KIND_FLOAT, b_float = b.mp__kind == MP_KIND_FLOAT;
    if (a_float && b_float) {
        return a.mp__u.f == b.mp__u.f;
    }
    if (a_float || b_float) {
        return a_float ? int_equals_double(b.mp__u.i, a.mp__u.f)
                       : int_equals_double(a.mp__u.i, b.mp__u.f);
    }
    return a.mp__u.i == b.mp__u.i;
}

static bool
is_number(mp_obj o)
{
    return o.mp__kind >= MP_KIND_BOOL && o.mp__kind <= MP_KIND_FLOAT;
}

static bool
seqs_equal(const mp__seq *a, const mp__seq *b, mp__walk *walk)
{
    if (a->len != b->len) {
        return false;
    }
    for (size_t i = 0; i < a->len; i++) {
        if (!mp__obj_same(a->items[i], b->items[i], walk)) {
            return false;
        }
    }
    return true;
}

static bool
tables_equal(mp__table *a, mp__table *b, mp__walk *walk)
{
    if (a->len != b->len) {
        return false;
    }
    for (size_t i = 0; i < a->len; i++) {
        const mp__entry *one = &a->entries[i];
        const mp__entry *other = mp__table_find(b, one->key, one->hash, walk);
        if (!other || !mp__obj_same(one->value, other->value, walk)) {
            return false;
        }
    }
    return true;
}

bool
mp__obj_same(mp_obj a, mp_obj b, mp__walk *walk)
{
    if (is_number(a) && is_number(b)) {
        return numbers_equal(a, b);
    }
    if (a.mp__kind != b.mp__kind || a.mp__kind == MP_KIND_FAILED) {
        return false;
    }
    if (a.mp__kind == MP_KIND_NONE) {
        return true;
    }
    if (a.mp__u.p == b.mp__u.p) {
        return a.mp__handle == b.mp__handle;
    }
    if (a.mp__kind == MP_KIND_STR || a.mp__kind == MP_KIND_BYTES) {
        mp__text *s = a.mp__u.p, *t = b.mp__u.p;
        bool paid = s->len < 64 || mp__body_refs(&s->body) == 1 || mp__body_refs(&t->body) == 1 ||
                    mp__walk_pay(walk, s->len / 64);
        return s->len == t->len && paid && memcmp(s->data, t->data, s->len) == 0;
    }
    if (a.mp__kind == MP_KIND_HANDLE || a.mp__kind == MP_KIND_ERROR ||
        a.mp__kind == MP_KIND_TYPED) {
        return false; /* by identity */
    }
    bool shared = mp__body_refs(mp__obj_body(a)) > 1 && mp__body_refs(mp__obj_body(b)) > 1;
    if ((shared && !mp__walk_pay(walk, 1)) || walk->depth >= MP__DEPTH_MAX) {
        return false;
    }
    walk->depth++;
    bool same = a.mp__kind <= MP_KIND_TUPLE ? seqs_equal(a.mp__u.p, b.mp__u.p, walk)
                                            : tables_equal(a.mp__u.p, b.mp__u.p, walk);
    walk->depth--;
    return same;
}

bool
mp_obj_equal(mp_obj a, mp_obj b)
{
    mp__walk walk = {.budget = MP__WALK_BUDGET};
    return mp__obj_same(a, b, &walk);
}
