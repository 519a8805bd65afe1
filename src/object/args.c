/* args.c - the arguments of a process, and the way out of them into C variables. */
#include "object/object.h"

#include <errno.h>
#include <fcntl.h>
#include <float.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fork.h"
#include "base/handle.h"

struct mp_args {
    mp_obj tuple;
};

MP__FORK_DATA void (*mp__args_exit_hook)(int exit_code);

/* ---- making ---------------------------------------------------------------------------------- */

mp_args *
mp__args_from_tuple(mp_obj tuple)
{
    int rc = 0;
    if (tuple.mp__kind == MP_KIND_FAILED) {
        rc = mp__obj_failure(tuple);
    } else if (tuple.mp__kind != MP_KIND_TUPLE) {
        rc = mp__error(MP_ETYPE, "mp_args: expected tuple, got %s", mp_obj_type_name(tuple));
    }
    mp_args *args = rc ? NULL : malloc(sizeof *args);
    if (!rc && !args) {
        mp__error(MP_ENOMEM, "mp_args: no memory");
    }
    if (args && mp__handle_add(args, MP__ARGS)) {
        mp__error(MP_ENOMEM, "mp_args: no memory");
        free(args);
        args = NULL;
    }
    if (!args) {
        mp_obj_free(tuple);
        return NULL;
    }
    args->tuple = tuple;
    return args;
}

mp_args *
mp_args_of(size_t n, const mp_obj *items)
{
    return mp__args_from_tuple(mp_tuple_of(n, items));
}

void
mp_args_free(mp_args *args)
{
    if (!args) {
        return;
    }
    if (!mp__handle_remove(args, MP__ARGS)) {
        mp__error(MP_EVALUE, "mp_args_free: not live arguments (freed, given to a process, or "
                             "something else)");
        return;
    }
    mp_obj_free(args->tuple);
    free(args);
}

mp_obj
mp__args_tuple(const mp_args *args)
{
    static mp__seq empty = {.body = {.refs = 1, .kind = MP_KIND_TUPLE}, .items = empty.in_place};
    return args ? args->tuple : mp__obj_of(&empty);
}

size_t
mp_args_len(const mp_args *args)
{
    return args ? ((mp__seq *)args->tuple.mp__u.p)->len : 0;
}

mp_obj
mp_args_item(const mp_args *args, size_t i)
{
    return i < mp_args_len(args) ? ((mp__seq *)args->tuple.mp__u.p)->items[i] : mp_none();
}

/* ---- descriptors of a child of fork ---------------------------------------------------------- */

/* The containers that were met already and can be met again: those with several references. */
struct met {
    const void **bodies;
    size_t count, room;
};

/* Whether body was met before; notes it.  Without memory for that it was not. */
static bool
met_before(struct met *m, mp__body *body)
{
    if (mp__body_refs(body) <= 1) {
        return false;
    }
    for (size_t i = 0; i < m->count; i++) {
        if (m->bodies[i] == body) {
            return true;
        }
    }
    if (m->count == m->room) {
        size_t room = m->room ? m->room * 2 : 16;
        const void **more = realloc(m->bodies, room * sizeof *more);
        if (!more) {
            return false;
        }
        m->bodies = more;
        m->room = room;
    }
    m->bodies[m->count++] = body;
    return false;
}

static int
own_fd(mp_obj *o)
{
    int fd = fcntl((int)o->mp__u.i, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
    if (fd < 0) {
        return mp__error_os(errno, "passing descriptor %d", (int)o->mp__u.i);
    }
    o->mp__u.i = fd;
    return 0;
}

/* Keys of dicts and members of sets stay as they are: their number is what they are found by. */
static int
own_fds_in(mp_obj *o, unsigned depth, struct met *met)
{
    int rc = 0;
    if (o->mp__kind == MP_KIND_HANDLE && o->mp__handle == MP_HANDLE_FD) {
        return own_fd(o);
    }
    bool sequence = o->mp__kind == MP_KIND_LIST || o->mp__kind == MP_KIND_TUPLE;
    if ((!sequence && o->mp__kind != MP_KIND_DICT) || depth == MP__DEPTH_MAX ||
        met_before(met, mp__obj_body(*o))) {
        return 0;
    }
    mp__seq *s = o->mp__u.p;
    mp__table *t = o->mp__u.p;
    for (size_t i = 0; sequence && i < s->len && rc == 0; i++) {
        rc = own_fds_in(&s->items[i], depth + 1, met);
    }
    for (size_t i = 0; !sequence && i < t->len && rc == 0; i++) {
        rc = own_fds_in(&t->entries[i].value, depth + 1, met);
    }
    return rc;
}

bool
mp__args_may_have_fds(const mp_args *args)
{
    return mp_args_len(args) > 0 && atomic_load_explicit(&mp__fds_were_made, memory_order_relaxed);
}

int
mp__args_own_fds(mp_args *args)
{
    struct met met = {NULL, 0, 0};
    int rc = mp__args_may_have_fds(args) ? own_fds_in(&args->tuple, 0, &met) : 0;
    free(met.bodies);
    return rc;
}

/* ---- unpacking ------------------------------------------------------------------------------- */

enum class { OBJECT, BOOLEAN, SIGNED, UNSIGNED, REAL, STRING, HANDLE, STRUCT };

typedef struct slot_type {
    const char *name; /* of the C type */
    enum class class;
    int64_t min;
    uint64_t max;
    enum mp_handle_type handle;
    const char *expected; /* Python's name, for texts */
} slot_type;

#define SIGNED_SLOT(name, min, max)                                                                \
    {                                                                                              \
        name, SIGNED, min, max, 0, "int"                                                           \
    }
#define UNSIGNED_SLOT(name, max)                                                                   \
    {                                                                                              \
        name, UNSIGNED, 0, max, 0, "int"                                                           \
    }
#define HANDLE_SLOT(name, type, noun)                                                              \
    {                                                                                              \
        name, HANDLE, 0, 0, type, noun                                                             \
    }

static const slot_type slot_types[] = {
    [MP_SLOT_OBJ] = {"mp_obj", OBJECT, 0, 0, 0, "object"},
    [MP_SLOT_BOOL] = {"bool", BOOLEAN, 0, 1, 0, "bool"},
    [MP_SLOT_CHAR] = SIGNED_SLOT("char", CHAR_MIN, CHAR_MAX),
    [MP_SLOT_SCHAR] = SIGNED_SLOT("signed char", SCHAR_MIN, SCHAR_MAX),
    [MP_SLOT_SHORT] = SIGNED_SLOT("short", SHRT_MIN, SHRT_MAX),
    [MP_SLOT_INT] = SIGNED_SLOT("int", INT_MIN, INT_MAX),
    [MP_SLOT_LONG] = SIGNED_SLOT("long", LONG_MIN, LONG_MAX),
    [MP_SLOT_LLONG] = SIGNED_SLOT("long long", LLONG_MIN, LLONG_MAX),
    [MP_SLOT_UCHAR] = UNSIGNED_SLOT("unsigned char", UCHAR_MAX),
    [MP_SLOT_USHORT] = UNSIGNED_SLOT("unsigned short", USHRT_MAX),
    [MP_SLOT_UINT] = UNSIGNED_SLOT("unsigned int", UINT_MAX),
    [MP_SLOT_ULONG] = UNSIGNED_SLOT("unsigned long", ULONG_MAX),
    [MP_SLOT_ULLONG] = UNSIGNED_SLOT("unsigned long long", ULLONG_MAX),
    [MP_SLOT_FLOAT] = {"float", REAL, 0, 0, 0, "float"},
    [MP_SLOT_DOUBLE] = {"double", REAL, 0, 0, 0, "float"},
    [MP_SLOT_STR] = {"const char *", STRING, 0, 0, 0, "str"},
    [MP_SLOT_POINTER] = HANDLE_SLOT("void *", MP_HANDLE_POINTER, "pointer"),
    [MP_SLOT_QUEUE] = HANDLE_SLOT("mp_queue *", MP_HANDLE_QUEUE, "Queue"),
    [MP_SLOT_LOCK] = HANDLE_SLOT("mp_lock *", MP_HANDLE_LOCK, "Lock"),
    [MP_SLOT_RLOCK] = HANDLE_SLOT("mp_rlock *", MP_HANDLE_RLOCK, "RLock"),
    [MP_SLOT_SEMAPHORE] = HANDLE_SLOT("mp_semaphore *", MP_HANDLE_SEMAPHORE, "Semaphore"),
    [MP_SLOT_CONDITION] = HANDLE_SLOT("mp_condition *", MP_HANDLE_CONDITION, "Condition"),
    [MP_SLOT_EVENT] = HANDLE_SLOT("mp_event *", MP_HANDLE_EVENT, "Event"),
    [MP_SLOT_BARRIER] = HANDLE_SLOT("mp_barrier *", MP_HANDLE_BARRIER, "Barrier"),
    [MP_SLOT_VALUE] = HANDLE_SLOT("mp_value *", MP_HANDLE_VALUE, "Value"),
    [MP_SLOT_ARRAY] = HANDLE_SLOT("mp_array *", MP_HANDLE_ARRAY, "Array"),
    [MP_SLOT_CONNECTION] = HANDLE_SLOT("mp_connection *", MP_HANDLE_CONNECTION, "Connection"),
    [MP_SLOT_FD] = HANDLE_SLOT("mp_fd", MP_HANDLE_FD, "DupFd"),
    [MP_SLOT_STRUCT] = {"struct", STRUCT, 0, 0, 0, "bytes"},
};

static bool
is_int(mp_obj o)
{
    return o.mp__kind == MP_KIND_INT || o.mp__kind == MP_KIND_BOOL;
}

/* Whether a value of this kind goes into such a variable at all. */
static bool
suits(const slot_type *type, mp_obj o)
{
    switch (type->class) {
    case OBJECT:
        return true;
    case BOOLEAN: /* C's `true` is an int, so mp_args(true) is one */
        return is_int(o) && (o.mp__u.i == 0 || o.mp__u.i == 1);
    case SIGNED:
    case UNSIGNED:
        return is_int(o);
    case REAL:
        return is_int(o) || o.mp__kind == MP_KIND_FLOAT;
    case STRING: /* None for NULL, as mp_from(NULL) made it */
        return o.mp__kind == MP_KIND_STR || o.mp__kind == MP_KIND_NONE;
    case HANDLE:
        return o.mp__kind == MP_KIND_NONE ||
               (o.mp__kind == MP_KIND_HANDLE && o.mp__handle == (uint32_t)type->handle);
    case STRUCT:
        return o.mp__kind == MP_KIND_BYTES;
    }
    return false;
}

static int
check_slot(size_t number, const mp_slot *slot, mp_obj o)
{
    size_t known = sizeof slot_types / sizeof *slot_types;
    if (!slot->to || (unsigned)slot->type >= known) {
        return mp__error(MP_EVALUE, "argument %zu: no variable to put it in", number);
    }
    const slot_type *type = &slot_types[slot->type];
    if (!suits(type, o)) {
        return mp__error(MP_ETYPE, "argument %zu is %s, expected %s (%s)", number,
                         mp_obj_type_name(o), type->expected, type->name);
    }
    int64_t i = o.mp__u.i;
    if (type->class == SIGNED && (i < type->min || i > (int64_t)type->max)) {
        return mp__error(MP_EOVERFLOW, "argument %zu is int %lld, which does not fit %s", number,
                         (long long)i, type->name);
    }
    if (type->class == UNSIGNED && (i < 0 || (uint64_t)i > type->max)) {
        return mp__error(MP_EOVERFLOW, "argument %zu is int %lld, which does not fit %s", number,
                         (long long)i, type->name);
    }
    if (type->class == STRUCT && ((mp__text *)o.mp__u.p)->len != slot->size) {
        return mp__error(MP_ETYPE, "argument %zu is bytes of length %zu, expected a struct of %zu",
                         number, ((mp__text *)o.mp__u.p)->len, slot->size);
    }
    if (slot->type == MP_SLOT_FLOAT && o.mp__kind == MP_KIND_FLOAT && isfinite(o.mp__u.f) &&
        fabs(o.mp__u.f) > FLT_MAX) {
        return mp__error(MP_EOVERFLOW, "argument %zu is float %g, which does not fit float", number,
                         o.mp__u.f);
    }
    return 0;
}

static void
store(const mp_slot *slot, mp_obj o)
{
    int64_t i = o.mp__u.i;
    bool none = o.mp__kind == MP_KIND_NONE;
    switch (slot->type) {
    case MP_SLOT_OBJ:
        *(mp_obj *)slot->to = mp_obj_ref(o);
        break;
    case MP_SLOT_BOOL:
        *(bool *)slot->to = i != 0;
        break;
    case MP_SLOT_CHAR:
        *(char *)slot->to = (char)i;
        break;
    case MP_SLOT_SCHAR:
        *(signed char *)slot->to = (signed char)i;
        break;
    case MP_SLOT_SHORT:
        *(short *)slot->to = (short)i;
        break;
    case MP_SLOT_INT:
        *(int *)slot->to = (int)i;
        break;
    case MP_SLOT_LONG:
        *(long *)slot->to = (long)i;
        break;
    case MP_SLOT_LLONG:
        *(long long *)slot->to = (long long)i;
        break;
    case MP_SLOT_UCHAR:
        *(unsigned char *)slot->to = (unsigned char)i;
        break;
    case MP_SLOT_USHORT:
        *(unsigned short *)slot->to = (unsigned short)i;
        break;
    case MP_SLOT_UINT:
        *(unsigned *)slot->to = (unsigned)i;
        break;
    case MP_SLOT_ULONG:
        *(unsigned long *)slot->to = (unsigned long)i;
        break;
    case MP_SLOT_ULLONG:
        *(unsigned long long *)slot->to = (unsigned long long)i;
        break;
    case MP_SLOT_FLOAT:
        *(float *)slot->to = (float)mp_as_double(o);
        break;
    case MP_SLOT_DOUBLE:
        *(double *)slot->to = mp_as_double(o);
        break;
    case MP_SLOT_STR:
        *(const char **)slot->to = none ? NULL : mp_as_str(o);
        break;
    case MP_SLOT_FD:
        ((mp_fd *)slot->to)->fd = none ? -1 : (int)i;
        break;
    case MP_SLOT_STRUCT:
        memcpy(slot->to, ((mp__text *)o.mp__u.p)->data, slot->size);
        break;
    default: {
        void *address = none ? NULL : o.mp__u.p;
        memcpy(slot->to, &address, sizeof address); /* pointers to structs, each its own type */
        break;
    }
    }
}

int
mp_args_unpack(const mp_args *args, size_t n, const mp_slot *slots)
{
    size_t given = mp_args_len(args);
    if (given != n) {
        return mp__error(MP_ETYPE, "the target takes %zu argument%s but %zu %s given", n,
                         n == 1 ? "" : "s", given, given == 1 ? "was" : "were");
    }
    if (n && !slots) {
        return mp__error(MP_EVALUE, "mp_args_unpack: NULL in place of %zu slots", n);
    }
    for (size_t i = 0; i < n; i++) {
        int rc = check_slot(i + 1, &slots[i], mp_args_item(args, i));
        if (rc) {
            return rc;
        }
    }
    for (size_t i = 0; i < n; i++) {
        store(&slots[i], mp_args_item(args, i));
    }
    return 0;
}

int
mp_args_unpack_or_exit(const mp_args *args, size_t n, const mp_slot *slots)
{
    int rc = mp_args_unpack(args, n, slots);
    if (rc && mp__args_exit_hook) {
        mp__args_exit_hook(1);
    }
    return rc;
}
