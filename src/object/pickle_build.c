/* pickle_build.c - what a pickle makes of the items on the stack: containers, and calls of globals. */
#include "object/pickle_load.h"

#include <stdio.h>
#include <stdlib.h>

/* ---- containers ------------------------------------------------------------------------------ */

int
mp__read_tuple(mp__reader *r, size_t n)
{
    mp__seq *s = mp__tuple_new(n);
    if (!s) {
        return MP_ENOMEM;
    }
    s->len = 0; /* the items are the stack's until they are admitted */
    int rc = mp__read_admit(r, n, &s->body);
    if (rc) {
        mp_obj_free(mp__obj_of(s));
        return rc;
    }
    r->top -= n;
    if (n) {
        memcpy(s->items, &r->stack[r->top], n * sizeof *s->items);
    }
    s->len = n;
    return mp__read_push(r, mp__obj_of(s));
}

/* Move the top n items to the end of a list. */
static int
move_items(mp__reader *r, mp__seq *list, size_t n)
{
    int rc = mp__read_admit(r, n, &list->body);
    rc = rc ? rc : mp__list_reserve(list, n);
    if (rc || n == 0) {
        return rc;
    }
    r->top -= n;
    memcpy(&list->items[list->len], &r->stack[r->top], n * sizeof *list->items);
    list->len += n;
    return 0;
}

int
mp__read_list(mp__reader *r, size_t n)
{
    mp__seq *s = mp__list_new(n);
    if (!s) {
        return MP_ENOMEM;
    }
    int rc = move_items(r, s, n);
    if (rc) {
        mp_obj_free(mp__obj_of(s));
        return rc;
    }
    return mp__read_push(r, mp__obj_of(s));
}

/* The container below the top n items, or NULL with the error noted. */
static void *
below(mp__reader *r, size_t n, uint32_t kind)
{
    if (r->top - r->fence <= n || r->stack[r->top - n - 1].mp__kind != kind) {
        mp__read_bad(r, "items without the container that they go into");
        return NULL;
    }
    return r->stack[r->top - n - 1].mp__u.p;
}

int
mp__read_append(mp__reader *r, size_t n)
{
    mp__seq *list = below(r, n, MP_KIND_LIST);
    return list ? move_items(r, list, n) : MP_EUNPICKLING;
}

/* A long text can be a key again and again, and has to be hashed each time. */
static void
pay_for_key(mp__reader *r, mp_obj key)
{
    if (key.mp__kind == MP_KIND_STR || key.mp__kind == MP_KIND_BYTES) {
        mp__walk_pay(&r->walk, ((mp__text *)key.mp__u.p)->len / 64);
    }
}

/* Move the top n items into a table, pairs for a dict. */
static int
move_entries(mp__reader *r, mp__table *t, size_t n, bool pairs)
{
    size_t first = r->top - n, step = pairs ? 2 : 1;
    if (pairs && n % 2) {
        return mp__read_bad(r, "a key without its value");
    }
    int rc = mp__read_admit(r, n, &t->body);
    rc = rc ? rc : mp__table_reserve(t, n / step);
    for (size_t i = first; rc == 0 && i < r->top; i += step) {
        mp_obj key = r->stack[i], value = pairs ? r->stack[i + 1] : mp_none();
        r->stack[i] = mp_none(); /* the table's, from here on */
        if (pairs) {
            r->stack[i + 1] = mp_none();
        }
        pay_for_key(r, key);
        rc = mp__table_put(t, key, value, &r->walk);
        if (rc == MP_ETYPE) {
            rc = mp__read_bad(r, "a key that cannot be hashed");
        } else if (rc == 0 && r->walk.budget == 0) {
            rc = mp__read_bad(r, "keys that cost too much to compare");
        }
    }
    if (rc == 0) {
        r->top = first;
    }
    return rc;
}

static int
new_table(mp__reader *r, size_t n, enum mp_kind kind, unsigned flags)
{
    mp__table *t = mp__table_new(kind);
    if (!t) {
        return MP_ENOMEM;
    }
    int rc = move_entries(r, t, n, kind == MP_KIND_DICT);
    t->body.flags |= (uint16_t)flags;
    if (rc) {
        mp_obj_free(mp__obj_of(t));
        return rc;
    }
    return mp__read_push(r, mp__obj_of(t));
}

int
mp__read_dict(mp__reader *r, size_t n)
{
    return new_table(r, n, MP_KIND_DICT, 0);
}

int
mp__read_frozenset(mp__reader *r, size_t n)
{
    return new_table(r, n, MP_KIND_SET, MP__FROZEN);
}

int
mp__read_set_items(mp__reader *r, size_t n)
{
    mp__table *t = below(r, n, MP_KIND_DICT);
    return t ? move_entries(r, t, n, true) : MP_EUNPICKLING;
}

int
mp__read_add_items(mp__reader *r, size_t n)
{
    mp__table *t = below(r, n, MP_KIND_SET);
    if (t && t->body.flags & MP__FROZEN) {
        return mp__read_bad(r, "items for a frozenset");
    }
    return t ? move_entries(r, t, n, false) : MP_EUNPICKLING;
}

/* ---- globals --------------------------------------------------------------------------------- */

static const struct {
    const char *module, *name;
    enum mp__maker maker;
} globals[] = {
    {"builtins", "set", MP__MAKE_SET},        {"builtins", "frozenset", MP__MAKE_FROZENSET},
    {"builtins", "list", MP__MAKE_LIST},      {"builtins", "tuple", MP__MAKE_TUPLE},
    {"builtins", "bytes", MP__MAKE_BYTES},    {"builtins", "bytearray", MP__MAKE_BYTEARRAY},
    {"__builtin__", "set", MP__MAKE_SET},     {"__builtin__", "frozenset", MP__MAKE_FROZENSET},
    {"__builtin__", "list", MP__MAKE_LIST},   {"__builtin__", "tuple", MP__MAKE_TUPLE},
    {"__builtin__", "bytes", MP__MAKE_BYTES}, {"__builtin__", "bytearray", MP__MAKE_BYTEARRAY},
    {"_codecs", "encode", MP__MAKE_ENCODED},  {MP__HANDLE_MODULE, MP__HANDLE_NAME, MP__MAKE_HANDLE},
};

static bool
is(const char *word, const char *s, size_t len)
{
    return strlen(word) == len && memcmp(word, s, len) == 0;
}

int
mp__read_global(mp__reader *r, const char *module, size_t module_len, const char *name,
                size_t name_len)
{
    mp_obj o = {.mp__kind = MP__ITEM_GLOBAL, .mp__handle = MP__MAKE_ERROR};
    const mp__exception *class = mp__exception_by_global(module, module_len, name, name_len);
    if (class) {
        memcpy(&o.mp__u.p, &class, sizeof class);
        return mp__read_push(r, o);
    }
    for (size_t i = 0; i < sizeof globals / sizeof *globals; i++) {
        bool refused = globals[i].maker == MP__MAKE_HANDLE && !r->handles;
        if (is(globals[i].name, name, name_len) && is(globals[i].module, module, module_len) &&
            !refused) {
            o.mp__handle = globals[i].maker;
            return mp__read_push(r, o);
        }
    }
    const mp__type *type = mp__type_by_global(module, module_len, name, name_len);
    if (type) {
        o.mp__handle = MP__MAKE_TYPED;
        memcpy(&o.mp__u.p, &type, sizeof type);
        return mp__read_push(r, o);
    }
    char text[256];
    snprintf(text, sizeof text, "it holds a %.*s.%.*s, which libmp does not read",
             module_len < 100 ? (int)module_len : 100, module, name_len < 100 ? (int)name_len : 100,
             name);
    return mp__read_bad(r, text);
}

bool
mp__global_is_ours(const char *module, size_t module_len, const char *name, size_t name_len)
{
    bool ours = mp__exception_by_global(module, module_len, name, name_len) != NULL;
    for (size_t i = 0; i < sizeof globals / sizeof *globals; i++) {
        ours |= is(globals[i].name, name, name_len) && is(globals[i].module, module, module_len);
    }
    return ours;
}

int
mp__read_stack_global(mp__reader *r)
{
    if (r->top - r->fence < 2 || r->stack[r->top - 1].mp__kind != MP_KIND_STR ||
        r->stack[r->top - 2].mp__kind != MP_KIND_STR) {
        return mp__read_bad(r, "a global without its two names");
    }
    mp_obj name = r->stack[--r->top], module = r->stack[--r->top];
    const mp__text *n = name.mp__u.p, *m = module.mp__u.p;
    int rc = mp__read_global(r, m->data, m->len, n->data, n->len);
    mp_obj_free(name);
    mp_obj_free(module);
    return rc;
}

/* ---- calls ----------------------------------------------------------------------------------- */

/*
 * A pickle can call something many times with the same argument, so there is a limit to what calls
 * copy.  CPython's need no more than the size of the pickle twice (bytearray, below protocol 3).
 */
static int
pay_for_copy(mp__reader *r, size_t n)
{
    if (n > (size_t)(r->end - r->start) * 4 - r->copied) {
        return mp__read_bad(r, "calls that copy more than there is");
    }
    r->copied += n;
    return 0;
}

/* The items of a list, tuple or set go onto the stack; how many, or a negative code. */
static int64_t
spread(mp__reader *r, mp_obj o)
{
    size_t n = (size_t)mp_obj_len(o);
    if (pay_for_copy(r, n)) {
        return MP_EUNPICKLING;
    }
    for (size_t i = 0; i < n; i++) {
        mp_obj item = o.mp__kind == MP_KIND_SET ? ((mp__table *)o.mp__u.p)->entries[i].key
                                                : ((mp__seq *)o.mp__u.p)->items[i];
        int rc = mp__read_push(r, mp_obj_ref(item));
        if (rc) {
            return rc;
        }
    }
    return (int64_t)n;
}

/* list(x), tuple(x), set(x), frozenset(x): of one container, or of nothing. */
static int
call_container(mp__reader *r, enum mp__maker maker, const mp__seq *args)
{
    static int (*const builders[])(mp__reader * r, size_t n) = {
        [MP__MAKE_LIST] = mp__read_list,
        [MP__MAKE_TUPLE] = mp__read_tuple,
        [MP__MAKE_FROZENSET] = mp__read_frozenset,
    };
    int64_t n = 0;
    if (args->len) {
        uint32_t kind = args->items[0].mp__kind;
        if (args->len > 1 ||
            (kind != MP_KIND_LIST && kind != MP_KIND_TUPLE && kind != MP_KIND_SET)) {
            return mp__read_bad(r, "a container made of something else than items");
        }
        n = spread(r, args->items[0]);
    }
    if (n < 0) {
        return (int)n;
    }
    return maker == MP__MAKE_SET ? new_table(r, (size_t)n, MP_KIND_SET, 0)
                                 : builders[maker](r, (size_t)n);
}

/* Bytes of a str whose characters are below 256; FAILED with the error noted. */
static mp_obj
latin1(mp__reader *r, const mp__text *t)
{
    size_t len = 0;
    for (size_t i = 0; i < t->len; i++) {
        len += ((unsigned char)t->data[i] & 0xC0) != 0x80;
    }
    int rc = pay_for_copy(r, len);
    mp_obj o = rc ? mp__obj_failed(rc) : mp__text_new(MP_KIND_BYTES, NULL, len);
    if (o.mp__kind == MP_KIND_FAILED) {
        return o;
    }
    char *to = ((mp__text *)o.mp__u.p)->data;
    for (size_t i = 0; i < t->len; i++) {
        unsigned char c = (unsigned char)t->data[i];
        if (c > 0xC3) {
            mp_obj_free(o);
            return mp__obj_failed(mp__read_bad(r, "bytes made of a character that is none"));
        }
        if (c >= 0xC0) {
            c = (unsigned char)(c << 6 | ((unsigned char)t->data[++i] & 0x3F));
        }
        *to++ = (char)c;
    }
    return o;
}

/* bytes(), bytearray(b'..'), bytearray(str, 'latin-1'), _codecs.encode(str, 'latin1'). */
static int
call_bytes(mp__reader *r, enum mp__maker maker, const mp__seq *args)
{
    const mp_obj *a = args->items;
    mp_obj o;
    if (args->len == 0 && maker != MP__MAKE_ENCODED) {
        o = mp__text_new(MP_KIND_BYTES, NULL, 0);
    } else if (args->len == 1 && a[0].mp__kind == MP_KIND_BYTES && maker != MP__MAKE_ENCODED) {
        const mp__text *t = a[0].mp__u.p;
        int rc = pay_for_copy(r, t->len);
        o = rc ? mp__obj_failed(rc) : mp__text_new(MP_KIND_BYTES, t->data, t->len);
    } else if (args->len == 2 && a[0].mp__kind == MP_KIND_STR && a[1].mp__kind == MP_KIND_STR &&
               (strcmp(mp_as_str(a[1]), "latin1") == 0 ||
                strcmp(mp_as_str(a[1]), "latin-1") == 0)) {
        o = latin1(r, a[0].mp__u.p);
    } else {
        return mp__read_bad(r, "bytes made in a way that libmp does not read");
    }
    if (maker == MP__MAKE_BYTEARRAY && o.mp__kind == MP_KIND_BYTES) {
        mp__obj_body(o)->flags |= MP__MUTABLE;
    }
    return mp__read_push_new(r, o);
}

static int
call_handle(mp__reader *r, const mp__seq *args)
{
    const mp__obj_handles *h = r->handles;
    const mp_obj *a = args->items;
    if (!h || args->len != 2 || a[0].mp__kind != MP_KIND_INT || a[1].mp__kind != MP_KIND_INT ||
        a[0].mp__u.i < MP_HANDLE_POINTER || a[0].mp__u.i > MP_HANDLE_FD) {
        return mp__read_bad(r, "a handle that is none");
    }
    mp_obj o = {.mp__kind = MP_KIND_HANDLE, .mp__handle = (uint32_t)a[0].mp__u.i};
    bool connection = o.mp__handle == MP_HANDLE_CONNECTION, fd = o.mp__handle == MP_HANDLE_FD;
    if (connection ? !h->connection_in : fd ? !h->fd_in : !h->check) {
        return mp__read_bad(r, "a handle where none can be");
    }
    int rc;
    if (fd) {
        int number = -1;
        rc = h->fd_in(h->ctx, a[1].mp__u.i, &number);
        o.mp__u.i = number;
    } else if (connection) {
        mp_connection *c = NULL;
        rc = h->connection_in(h->ctx, a[1].mp__u.i, &c);
        o.mp__u.p = c;
    } else {
        o.mp__u.p = (void *)(uintptr_t)a[1].mp__u.i;
        rc = h->check(h->ctx, (enum mp_handle_type)o.mp__handle, o.mp__u.p);
    }
    return rc ? rc : mp__read_push(r, o);
}

/* Levels of an error: its own, its arguments', its state's. */
static int
call_error(mp__reader *r, const mp__exception *class, mp_obj args)
{
    unsigned height = mp__read_height(args);
    if (height >= MP__DEPTH_MAX) {
        return mp__read_bad(r, "values nest too deep");
    }
    mp_obj e = mp__exception_make(class, mp_obj_ref(args));
    if (e.mp__kind == MP_KIND_ERROR) {
        mp__obj_body(e)->height = (uint16_t)(height + 1);
    }
    return mp__read_push_new(r, e);
}

/* What the program makes of the arguments.  Nothing is inside of it, as far as we know. */
static int
call_typed(mp__reader *r, const mp__type *type, mp_obj args)
{
    void *data = NULL;
    int rc = type->given.rebuild(args, &data);
    if (rc < 0) {
        return mp__type_failed(type, rc, "rebuild");
    }
    return mp__read_push_new(r, mp__instance_new(type, data));
}

int
mp__read_call(mp__reader *r)
{
    if (r->top - r->fence < 2 || r->stack[r->top - 1].mp__kind != MP_KIND_TUPLE ||
        r->stack[r->top - 2].mp__kind != MP__ITEM_GLOBAL) {
        return mp__read_bad(r, "a call of something that is no class");
    }
    mp_obj args = r->stack[--r->top], callee = r->stack[--r->top];
    const mp__seq *a = args.mp__u.p;
    enum mp__maker maker = (enum mp__maker)callee.mp__handle;
    int rc;
    switch (maker) {
    case MP__MAKE_ERROR:
        rc = call_error(r, callee.mp__u.p, args);
        break;
    case MP__MAKE_HANDLE:
        rc = call_handle(r, a);
        break;
    case MP__MAKE_TYPED:
        rc = call_typed(r, callee.mp__u.p, args);
        break;
    case MP__MAKE_BYTES:
    case MP__MAKE_BYTEARRAY:
    case MP__MAKE_ENCODED:
        rc = call_bytes(r, maker, a);
        break;
    default:
        rc = call_container(r, maker, a);
        break;
    }
    mp_obj_free(args);
    return rc;
}

int
mp__read_build(mp__reader *r)
{
    if (r->top - r->fence < 2 || r->stack[r->top - 2].mp__kind != MP_KIND_ERROR) {
        return mp__read_bad(r, "a state for something that has none");
    }
    mp__failure *e = r->stack[r->top - 2].mp__u.p;
    int rc = mp__read_admit(r, 1, &e->body);
    if (rc == 0 && r->stack[r->top - 1].mp__kind != MP_KIND_DICT) {
        rc = mp__read_bad(r, "a state that is no dict");
    }
    if (rc) {
        return rc;
    }
    mp_obj_free(e->state);
    e->state = r->stack[--r->top];
    return 0;
}
