/* value.c - tagged values: numbers in place, the rest in bodies that count their references. */
#include "object/object.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"

/* ---- bodies ---------------------------------------------------------------------------------- */

void *
mp__body_new(size_t size, enum mp_kind kind)
{
    mp__body *b = malloc(size);
    if (!b) {
        mp__error(MP_ENOMEM, "mp_obj: no memory for a value of %zu bytes", size);
        return NULL;
    }
    atomic_init(&b->refs, 1);
    b->kind = (uint32_t)kind;
    b->flags = 0;
    b->height = 1;
    return b;
}

int
mp__obj_failure(mp_obj failed)
{
    int code = failed.mp__u.i ? (int)failed.mp__u.i : MP_ENOMEM;
    if (mp_last_error() != code) {
        mp__error(code, "mp_obj: the value could not be made: %s", mp_strerror(code));
    }
    return code;
}

mp_obj
mp_obj_ref(mp_obj o)
{
    if (mp__kind_has_body(o.mp__kind)) {
        atomic_fetch_add_explicit(&mp__obj_body(o)->refs, 1, memory_order_relaxed);
    }
    return o;
}

/* One reference less; true when it was the last.  With only one, nobody else can add another. */
static bool
release(mp__body *b)
{
    return atomic_load_explicit(&b->refs, memory_order_acquire) == 1 ||
           atomic_fetch_sub_explicit(&b->refs, 1, memory_order_acq_rel) == 1;
}

/* The bodies whose last reference went, linked through their counts. */
static void
release_to(mp__body **list, size_t n, const mp_obj *items)
{
    for (size_t i = 0; i < n; i++) {
        if (mp__kind_has_body(items[i].mp__kind)) {
            mp__body *b = mp__obj_body(items[i]);
            if (!release(b)) {
                continue;
            }
            if (!mp__kind_is_container(b->kind) && b->kind != MP_KIND_TYPED) {
                free(b);
                continue;
            }
            atomic_store_explicit(&b->refs, (size_t)(uintptr_t)*list, memory_order_relaxed);
            *list = b;
        }
    }
}

static void
free_table(mp__body **list, mp__table *t)
{
    for (size_t i = 0; i < t->len; i++) {
        const mp_obj pair[] = {t->entries[i].key, t->entries[i].value};
        release_to(list, 2, pair);
    }
    free(t->entries);
    free(t->index);
}

static void
free_seq(mp__body **list, mp__seq *s)
{
    release_to(list, s->len, s->items);
    if (s->items != s->in_place) {
        free(s->items);
    }
}

static void
free_bodies(mp__body *list)
{
    int saved = errno;
    while (list) {
        mp__body *b = list;
        list = (mp__body *)(uintptr_t)atomic_load_explicit(&b->refs, memory_order_relaxed);
        if (b->kind == MP_KIND_LIST || b->kind == MP_KIND_TUPLE) {
            free_seq(&list, (mp__seq *)b);
        } else if (b->kind == MP_KIND_DICT || b->kind == MP_KIND_SET) {
            free_table(&list, (mp__table *)b);
        } else if (b->kind == MP_KIND_ERROR) {
            const mp__failure *e = (mp__failure *)b;
            const mp_obj parts[] = {e->type_text, e->text, e->args, e->state};
            release_to(&list, 4, parts);
        } else if (b->kind == MP_KIND_TYPED) {
            mp__type_release(((mp__instance *)b)->type, ((mp__instance *)b)->data);
        }
        free(b);
    }
    errno = saved;
}

void
mp_obj_free(mp_obj o)
{
    if (mp__kind_has_body(o.mp__kind) && release(mp__obj_body(o))) {
        mp__body *b = mp__obj_body(o);
        atomic_store_explicit(&b->refs, 0, memory_order_relaxed); /* the end of the list */
        free_bodies(b);
    }
}

void
mp__obj_free_all(size_t n, const mp_obj *items)
{
    for (size_t i = 0; i < n; i++) {
        mp_obj_free(items[i]);
    }
}

/* ---- making ---------------------------------------------------------------------------------- */

mp_obj
mp_none(void)
{
    mp_obj o = {.mp__kind = MP_KIND_NONE};
    return o;
}

mp_obj
mp_bool(bool b)
{
    mp_obj o = {.mp__kind = MP_KIND_BOOL, .mp__u.i = b};
    return o;
}

mp_obj
mp_from_int(int64_t i)
{
    mp_obj o = {.mp__kind = MP_KIND_INT, .mp__u.i = i};
    return o;
}

mp_obj
mp_from_uint(uint64_t u)
{
    if (u > INT64_MAX) {
        return mp__obj_failed(mp__error(MP_EOVERFLOW, "mp_from_uint: %llu is beyond 64 bits signed",
                                        (unsigned long long)u));
    }
    return mp_from_int((int64_t)u);
}

mp_obj
mp_from_double(double d)
{
    mp_obj o = {.mp__kind = MP_KIND_FLOAT, .mp__u.f = d};
    return o;
}

/*
 * Length of the UTF-8 sequence at s, 0 for none.  As in Python, surrogates may be there, encoded
 * like any other code point ("surrogatepass").
 */
static size_t
sequence(const unsigned char *s, size_t left)
{
    size_t n = s[0] >= 0xF0 ? 4 : s[0] >= 0xE0 ? 3 : 2;
    if (s[0] < 0xC2 || s[0] > 0xF4 || n > left) {
        return 0;
    }
    for (size_t i = 1; i < n; i++) {
        if ((s[i] & 0xC0) != 0x80) {
            return 0;
        }
    }
    bool overlong = (s[0] == 0xE0 && s[1] < 0xA0) || (s[0] == 0xF0 && s[1] < 0x90);
    bool beyond = s[0] == 0xF4 && s[1] > 0x8F;
    return overlong || beyond ? 0 : n;
}

bool
mp__utf8_valid(const void *data, size_t len)
{
    const unsigned char *s = data;
    size_t i = 0;
    while (i < len) {
        if (len - i >= 8) {
            uint64_t eight;
            memcpy(&eight, s + i, 8);
            if ((eight & UINT64_C(0x8080808080808080)) == 0) {
                i += 8;
                continue;
            }
        }
        size_t n = s[i] < 0x80 ? 1 : sequence(s + i, len - i);
        if (n == 0) {
            return false;
        }
        i += n;
    }
    return true;
}

mp_obj
mp__text_new(enum mp_kind kind, const void *data, size_t len)
{
    if (len > PTRDIFF_MAX - sizeof(mp__text) - 1) {
        return mp__obj_failed(mp__error(MP_ENOMEM, "mp_obj: %zu bytes are too many", len));
    }
    mp__text *t = mp__body_new(sizeof *t + len + 1, kind);
    if (!t) {
        return mp__obj_failed(MP_ENOMEM);
    }
    t->len = len;
    if (data && len) {
        memcpy(t->data, data, len);
    }
    t->data[len] = 0;
    return mp__obj_of(t);
}

mp_obj
mp_from_strn(const char *s, size_t len)
{
    if (!s && len) {
        return mp__obj_failed(mp__error(MP_EVALUE, "mp_from_strn: NULL with length %zu", len));
    }
    if (len && !mp__utf8_valid(s, len)) {
        return mp__obj_failed(
            mp__error(MP_EVALUE, "mp_from_str: the text is not UTF-8; take mp_bytes() for it"));
    }
    return mp__text_new(MP_KIND_STR, s, len);
}

mp_obj
mp_from_str(const char *s)
{
    return s ? mp_from_strn(s, strlen(s)) : mp_none();
}

mp_obj
mp_bytes(const void *data, size_t len)
{
    if (!data && len) {
        return mp__obj_failed(mp__error(MP_EVALUE, "mp_bytes: NULL with length %zu", len));
    }
    return mp__text_new(MP_KIND_BYTES, data, len);
}

static mp_obj
handle(enum mp_handle_type type, void *address)
{
    if (!address) {
        return mp_none();
    }
    mp_obj o = {.mp__kind = MP_KIND_HANDLE, .mp__handle = (uint32_t)type, .mp__u.p = address};
    return o;
}

mp_obj
mp_from_pointer(void *heap_memory)
{
    return handle(MP_HANDLE_POINTER, heap_memory);
}

mp_obj
mp_from_queue(mp_queue *q)
{
    return handle(MP_HANDLE_QUEUE, q);
}

mp_obj
mp_from_lock(mp_lock *l)
{
    return handle(MP_HANDLE_LOCK, l);
}

mp_obj
mp_from_rlock(mp_rlock *l)
{
    return handle(MP_HANDLE_RLOCK, l);
}

mp_obj
mp_from_semaphore(mp_semaphore *s)
{
    return handle(MP_HANDLE_SEMAPHORE, s);
}

mp_obj
mp_from_condition(mp_condition *c)
{
    return handle(MP_HANDLE_CONDITION, c);
}

mp_obj
mp_from_event(mp_event *e)
{
    return handle(MP_HANDLE_EVENT, e);
}

mp_obj
mp_from_barrier(mp_barrier *b)
{
    return handle(MP_HANDLE_BARRIER, b);
}

mp_obj
mp_from_value(mp_value *v)
{
    return handle(MP_HANDLE_VALUE, v);
}

mp_obj
mp_from_array(mp_array *a)
{
    return handle(MP_HANDLE_ARRAY, a);
}

mp_obj
mp_from_connection(mp_connection *c)
{
    return handle(MP_HANDLE_CONNECTION, c);
}

_Atomic bool mp__fds_were_made;

mp_obj
mp_dup_fd(int fd)
{
    if (fd < 0) {
        return mp__obj_failed(mp__error(MP_EVALUE, "mp_dup_fd: %d is no descriptor", fd));
    }
    atomic_store_explicit(&mp__fds_were_made, true, memory_order_relaxed);
    mp_obj o = {.mp__kind = MP_KIND_HANDLE, .mp__handle = MP_HANDLE_FD, .mp__u.i = fd};
    return o;
}

int
mp_dup_fd_detach(mp_obj o)
{
    if (o.mp__kind != MP_KIND_HANDLE || o.mp__handle != MP_HANDLE_FD) {
        return mp__error(MP_ETYPE, "mp_dup_fd_detach: expected DupFd, got %s", mp_obj_type_name(o));
    }
    return (int)o.mp__u.i;
}

/* ---- looking --------------------------------------------------------------------------------- */

enum mp_kind
mp_obj_kind(mp_obj o)
{
    return (enum mp_kind)o.mp__kind;
}

static const char *
handle_name(uint32_t type)
{
    switch (type) {
    case MP_HANDLE_POINTER:
        return "pointer";
    case MP_HANDLE_QUEUE:
        return "Queue";
    case MP_HANDLE_LOCK:
        return "Lock";
    case MP_HANDLE_RLOCK:
        return "RLock";
    case MP_HANDLE_SEMAPHORE:
        return "Semaphore";
    case MP_HANDLE_CONDITION:
        return "Condition";
    case MP_HANDLE_EVENT:
        return "Event";
    case MP_HANDLE_BARRIER:
        return "Barrier";
    case MP_HANDLE_VALUE:
        return "Value";
    case MP_HANDLE_ARRAY:
        return "Array";
    case MP_HANDLE_CONNECTION:
        return "Connection";
    case MP_HANDLE_FD:
        return "DupFd";
    default:
        return "handle";
    }
}

const char *
mp_obj_type_name(mp_obj o)
{
    switch (mp_obj_kind(o)) {
    case MP_KIND_NONE:
        return "NoneType";
    case MP_KIND_BOOL:
        return "bool";
    case MP_KIND_INT:
        return "int";
    case MP_KIND_FLOAT:
        return "float";
    case MP_KIND_STR:
        return "str";
    case MP_KIND_BYTES:
        return mp__obj_body(o)->flags & MP__MUTABLE ? "bytearray" : "bytes";
    case MP_KIND_LIST:
        return "list";
    case MP_KIND_TUPLE:
        return "tuple";
    case MP_KIND_DICT:
        return "dict";
    case MP_KIND_SET:
        return mp__obj_body(o)->flags & MP__FROZEN ? "frozenset" : "set";
    case MP_KIND_ERROR: {
        const char *type = ((mp__failure *)o.mp__u.p)->type, *dot = strrchr(type, '.');
        return dot ? dot + 1 : type;
    }
    case MP_KIND_TYPED:
        return ((mp__instance *)o.mp__u.p)->type->name;
    case MP_KIND_HANDLE:
        return handle_name(o.mp__handle);
    case MP_KIND_FAILED:
        break;
    }
    return "failed value";
}

bool
mp_is_none(mp_obj o)
{
    return o.mp__kind == MP_KIND_NONE;
}

/* Note that o is not what the call wants. */
static void
wrong_type(mp_obj o, const char *call, const char *expected)
{
    if (o.mp__kind == MP_KIND_FAILED) {
        mp__obj_failure(o);
        return;
    }
    mp__error(MP_ETYPE, "%s: expected %s, got %s", call, expected, mp_obj_type_name(o));
}

int64_t
mp_as_int(mp_obj o)
{
    if (o.mp__kind == MP_KIND_INT || o.mp__kind == MP_KIND_BOOL) {
        return o.mp__u.i;
    }
    wrong_type(o, "mp_as_int", "int");
    return 0;
}

double
mp_as_double(mp_obj o)
{
    if (o.mp__kind == MP_KIND_FLOAT) {
        return o.mp__u.f;
    }
    if (o.mp__kind == MP_KIND_INT || o.mp__kind == MP_KIND_BOOL) {
        return (double)o.mp__u.i;
    }
    wrong_type(o, "mp_as_double", "float");
    return 0;
}

bool
mp_as_bool(mp_obj o)
{
    switch (mp_obj_kind(o)) {
    case MP_KIND_NONE:
        return false;
    case MP_KIND_BOOL:
    case MP_KIND_INT:
        return o.mp__u.i != 0;
    case MP_KIND_FLOAT:
        return o.mp__u.f < 0 || o.mp__u.f > 0 || isnan(o.mp__u.f);
    case MP_KIND_ERROR:
    case MP_KIND_TYPED:
    case MP_KIND_HANDLE:
        return true;
    case MP_KIND_FAILED:
        wrong_type(o, "mp_as_bool", "a value");
        return false;
    default:
        return mp_obj_len(o) > 0;
    }
}

const char *
mp_as_str(mp_obj o)
{
    if (o.mp__kind == MP_KIND_STR) {
        return ((mp__text *)o.mp__u.p)->data;
    }
    wrong_type(o, "mp_as_str", "str");
    return NULL;
}

const void *
mp_as_bytes(mp_obj o, size_t *ret_len)
{
    bool fits = o.mp__kind == MP_KIND_BYTES || o.mp__kind == MP_KIND_STR;
    if (!fits) {
        wrong_type(o, "mp_as_bytes", "bytes");
    }
    const mp__text *t = fits ? o.mp__u.p : NULL;
    if (ret_len) {
        *ret_len = t ? t->len : 0;
    }
    return t ? t->data : NULL;
}

void *
mp_as_handle(mp_obj o, enum mp_handle_type type)
{
    if (o.mp__kind == MP_KIND_NONE) {
        return NULL;
    }
    if (o.mp__kind == MP_KIND_HANDLE && o.mp__handle == (uint32_t)type) {
        return o.mp__u.p;
    }
    wrong_type(o, "mp_as_handle", handle_name((uint32_t)type));
    return NULL;
}

int64_t
mp_obj_len(mp_obj o)
{
    switch (mp_obj_kind(o)) {
    case MP_KIND_STR:
    case MP_KIND_BYTES:
        return (int64_t)((mp__text *)o.mp__u.p)->len;
    case MP_KIND_LIST:
    case MP_KIND_TUPLE:
        return (int64_t)((mp__seq *)o.mp__u.p)->len;
    case MP_KIND_DICT:
    case MP_KIND_SET:
        return (int64_t)((mp__table *)o.mp__u.p)->len;
    case MP_KIND_FAILED:
        return mp__obj_failure(o);
    default:
        return mp__error(MP_ETYPE, "mp_obj_len: object of type '%s' has no len()",
                         mp_obj_type_name(o));
    }
}
