/*
 * containers.c - list, tuple, dict, set
 *
 * A dict or set is an array of entries in order of insertion and, from INDEX_FROM entries on, an
 * index into it by hash (open addressing, at most half full).  Nothing is ever taken out.
 */
#include "object/object.h"

#include <stdlib.h>
#include <string.h>

#include "base/error.h"

#define INDEX_FROM  9
#define ENTRIES_MAX ((size_t)UINT32_MAX - 1)

/* ---- list and tuple -------------------------------------------------------------------------- */

static mp__seq *
new_seq(enum mp_kind kind, size_t in_place)
{
    if (in_place > (PTRDIFF_MAX - sizeof(mp__seq)) / sizeof(mp_obj)) {
        mp__error(MP_ENOMEM, "mp_obj: %zu items are too many", in_place);
        return NULL;
    }
    mp__seq *s = mp__body_new(sizeof *s + in_place * sizeof(mp_obj), kind);
    if (s) {
        s->len = 0;
        s->items = s->in_place;
        if (kind == MP_KIND_LIST) {
            s->u.cap = in_place;
        } else {
            atomic_init(&s->u.hash, 0);
        }
    }
    return s;
}

mp__seq *
mp__list_new(size_t in_place)
{
    return new_seq(MP_KIND_LIST, in_place);
}

mp__seq *
mp__tuple_new(size_t len)
{
    mp__seq *s = new_seq(MP_KIND_TUPLE, len);
    if (s) {
        s->len = len;
    }
    return s;
}

int
mp__list_reserve(mp__seq *list, size_t more)
{
    if (more <= list->u.cap - list->len) {
        return 0;
    }
    size_t limit = PTRDIFF_MAX / sizeof(mp_obj);
    if (more > limit - list->len) {
        return mp__error(MP_ENOMEM, "mp_obj: %zu more items are too many", more);
    }
    size_t cap = list->len + more, grown = list->u.cap + list->u.cap / 2;
    if (cap < grown) {
        cap = grown;
    }
    if (more == 1 && cap < 4) {
        cap = 4;
    }
    bool moved = list->items != list->in_place;
    mp_obj *items = realloc(moved ? list->items : NULL, cap * sizeof *items);
    if (!items) {
        return mp__error(MP_ENOMEM, "mp_obj: no memory for a list of %zu items", cap);
    }
    if (!moved && list->len) {
        memcpy(items, list->in_place, list->len * sizeof *items);
    }
    list->items = items;
    list->u.cap = cap;
    return 0;
}

/* The first of items that a constructor could not make; its index, or n. */
static size_t
first_failed(size_t n, const mp_obj *items)
{
    size_t i = 0;
    while (i < n && items[i].mp__kind != MP_KIND_FAILED) {
        i++;
    }
    return i;
}

/* Let go of all items of a constructor that fails with this code. */
static mp_obj
give_up(size_t n, const mp_obj *items, int code)
{
    mp__obj_free_all(n, items);
    return mp__obj_failed(code);
}

static mp_obj
seq_of(enum mp_kind kind, size_t n, const mp_obj *items)
{
    if (n && !items) {
        return mp__obj_failed(mp__error(MP_EVALUE, "mp_obj: NULL in place of %zu items", n));
    }
    size_t bad = first_failed(n, items);
    if (bad < n) {
        return give_up(n, items, mp__obj_failure(items[bad]));
    }
    mp__seq *s = new_seq(kind, n);
    if (!s) {
        return give_up(n, items, MP_ENOMEM);
    }
    if (n) {
        memcpy(s->items, items, n * sizeof *items);
    }
    s->len = n;
    return mp__obj_of(s);
}

mp_obj
mp_list_of(size_t n, const mp_obj *items)
{
    return seq_of(MP_KIND_LIST, n, items);
}

mp_obj
mp_tuple_of(size_t n, const mp_obj *items)
{
    return seq_of(MP_KIND_TUPLE, n, items);
}

/* Why o is no list, dict or set as `call` wants it. */
static int
not_a(const char *noun, mp_obj o, const char *call)
{
    if (o.mp__kind == MP_KIND_FAILED) {
        return mp__obj_failure(o);
    }
    return mp__error(MP_ETYPE, "%s: expected %s, got %s", call, noun, mp_obj_type_name(o));
}

/* The place of an index, which may count from the end; NULL with MP_EINDEX noted. */
static mp_obj *
place(mp__seq *s, ptrdiff_t index, const char *call)
{
    size_t at = index < 0 ? s->len - (size_t)(-(index + 1)) - 1 : (size_t)index;
    if (at >= s->len) { /* also when it wrapped around */
        mp__error(MP_EINDEX, "%s: index %td is out of range, the length is %zu", call, index,
                  s->len);
        return NULL;
    }
    return &s->items[at];
}

mp_obj
mp_list_get(mp_obj list, ptrdiff_t index)
{
    if (list.mp__kind != MP_KIND_LIST && list.mp__kind != MP_KIND_TUPLE) {
        not_a("list or tuple", list, "mp_list_get");
        return mp_none();
    }
    const mp_obj *item = place(list.mp__u.p, index, "mp_list_get");
    return item ? *item : mp_none();
}

int
mp_list_append(mp_obj list, mp_obj item)
{
    int rc;
    if (list.mp__kind != MP_KIND_LIST) {
        rc = not_a("list", list, "mp_list_append");
    } else if (item.mp__kind == MP_KIND_FAILED) {
        rc = mp__obj_failure(item);
    } else {
        rc = mp__list_reserve(list.mp__u.p, 1);
    }
    if (rc) {
        mp_obj_free(item);
        return rc;
    }
    mp__seq *s = list.mp__u.p;
    s->items[s->len++] = item;
    return 0;
}

int
mp_list_set(mp_obj list, ptrdiff_t index, mp_obj item)
{
    if (list.mp__kind != MP_KIND_LIST) {
        mp_obj_free(item);
        return not_a("list", list, "mp_list_set");
    }
    if (item.mp__kind == MP_KIND_FAILED) {
        return mp__obj_failure(item);
    }
    mp_obj *at = place(list.mp__u.p, index, "mp_list_set");
    if (!at) {
        mp_obj_free(item);
        return MP_EINDEX;
    }
    mp_obj old = *at;
    *at = item;
    mp_obj_free(old);
    return 0;
}

/* ---- dict and set ---------------------------------------------------------------------------- */

mp__table *
mp__table_new(enum mp_kind kind)
{
    mp__table *t = mp__body_new(sizeof *t, kind);
    if (t) {
        t->len = t->cap = t->mask = 0;
        t->entries = NULL;
        t->index = NULL;
        atomic_init(&t->hash, 0);
    }
    return t;
}

static void
index_entry(mp__table *t, size_t number)
{
    size_t i = (size_t)t->entries[number].hash & t->mask;
    while (t->index[i]) {
        i = (i + 1) & t->mask;
    }
    t->index[i] = (uint32_t)number + 1;
}

int
mp__table_reserve(mp__table *t, size_t more)
{
    if (more <= t->cap - t->len) {
        return 0;
    }
    if (more > ENTRIES_MAX - t->len) {
        return mp__error(MP_ENOMEM, "mp_obj: a dict or set of more than %zu items", ENTRIES_MAX);
    }
    size_t cap = t->len + more, doubled = t->cap < ENTRIES_MAX / 2 ? t->cap * 2 : ENTRIES_MAX;
    cap = cap < doubled ? doubled : cap;
    uint32_t *index = NULL;
    size_t slots = 16;
    if (cap >= INDEX_FROM) {
        while (slots < cap * 2) {
            slots *= 2;
        }
        index = calloc(slots, sizeof *index);
    }
    mp__entry *entries =
        cap >= INDEX_FROM && !index ? NULL : realloc(t->entries, cap * sizeof *entries);
    if (!entries) {
        free(index);
        return mp__error(MP_ENOMEM, "mp_obj: no memory for a dict or set of %zu items", cap);
    }
    t->entries = entries;
    t->cap = cap;
    if (index) {
        free(t->index);
        t->index = index;
        t->mask = slots - 1;
        for (size_t i = 0; i < t->len; i++) {
            index_entry(t, i);
        }
    }
    return 0;
}

mp__entry *
mp__table_find(mp__table *t, mp_obj key, uint64_t hash, mp__walk *walk)
{
    if (!t->index) {
        for (size_t i = 0; i < t->len; i++) {
            if (t->entries[i].hash == hash && mp__obj_same(t->entries[i].key, key, walk)) {
                return &t->entries[i];
            }
        }
        return NULL;
    }
    for (size_t i = (size_t)hash & t->mask; t->index[i]; i = (i + 1) & t->mask) {
        mp__entry *e = &t->entries[t->index[i] - 1];
        if (e->hash == hash && mp__obj_same(e->key, key, walk)) {
            return e;
        }
    }
    return NULL;
}

int
mp__table_put(mp__table *t, mp_obj key, mp_obj value, mp__walk *walk)
{
    uint64_t hash;
    int rc = key.mp__kind == MP_KIND_FAILED     ? mp__obj_failure(key)
             : value.mp__kind == MP_KIND_FAILED ? mp__obj_failure(value)
                                                : mp__obj_hash(key, &hash);
    if (rc == 0) {
        mp__entry *e = mp__table_find(t, key, hash, walk);
        if (e) {
            mp_obj old = e->value;
            e->value = value;
            mp_obj_free(old);
            mp_obj_free(key);
            return 0;
        }
        rc = mp__table_reserve(t, 1);
    }
    if (rc) {
        mp_obj_free(key);
        mp_obj_free(value);
        return rc;
    }
    t->entries[t->len] = (mp__entry){.hash = hash, .key = key, .value = value};
    if (t->index) {
        index_entry(t, t->len);
    }
    t->len++;
    return 0;
}

/* A dict of pairs (step 2) or a set of items (step 1). */
static mp_obj
table_of(enum mp_kind kind, size_t step, size_t n, const mp_obj *items)
{
    if (n && !items) {
        return mp__obj_failed(mp__error(MP_EVALUE, "mp_obj: NULL in place of %zu items", n));
    }
    if (n % step) {
        return give_up(n, items,
                       mp__error(MP_EVALUE, "mp_dict_of: %zu is odd: a key without value", n));
    }
    size_t bad = first_failed(n, items);
    if (bad < n) {
        return give_up(n, items, mp__obj_failure(items[bad]));
    }
    mp__table *t = mp__table_new(kind);
    int rc = t ? mp__table_reserve(t, n / step) : MP_ENOMEM;
    size_t i = 0;
    while (rc == 0 && i < n) {
        mp__walk walk = {.budget = MP__WALK_BUDGET};
        rc = mp__table_put(t, items[i], step == 2 ? items[i + 1] : mp_none(), &walk);
        i += step;
    }
    if (rc) {
        mp__obj_free_all(n - i, items ? items + i : NULL);
        if (t) {
            mp_obj_free(mp__obj_of(t));
        }
        return mp__obj_failed(rc);
    }
    return mp__obj_of(t);
}

mp_obj
mp_set_of_n(size_t n, const mp_obj *items)
{
    return table_of(MP_KIND_SET, 1, n, items);
}

mp_obj
mp_dict_of(size_t n, const mp_obj *keys_and_values)
{
    return table_of(MP_KIND_DICT, 2, n, keys_and_values);
}

/* Entry of a key that is only looked at; NULL with MP_EKEY or MP_ETYPE noted. */
static mp__entry *
look_up(mp_obj table, mp_obj key, const char *call)
{
    uint64_t hash;
    if (mp__obj_hash(key, &hash)) {
        return NULL;
    }
    mp__walk walk = {.budget = MP__WALK_BUDGET};
    mp__entry *e = mp__table_find(table.mp__u.p, key, hash, &walk);
    if (!e) {
        bool small = !mp__kind_is_container(key.mp__kind);
        char *text = small ? mp_obj_repr(key) : NULL;
        mp__error(MP_EKEY, "%s: no key %s", call, text ? text : mp_obj_type_name(key));
        free(text);
    }
    return e;
}

mp_obj
mp_dict_get(mp_obj dict, mp_obj key)
{
    if (dict.mp__kind != MP_KIND_DICT) {
        not_a("dict", dict, "mp_dict_get");
        return mp_none();
    }
    const mp__entry *e = look_up(dict, key, "mp_dict_get");
    return e ? e->value : mp_none();
}

/* Whether the key is there; only a wrong type is an error. */
static bool
has(mp_obj table, mp_obj key)
{
    uint64_t hash;
    if (mp__obj_hash(key, &hash)) {
        return false;
    }
    mp__walk walk = {.budget = MP__WALK_BUDGET};
    return mp__table_find(table.mp__u.p, key, hash, &walk) != NULL;
}

bool
mp_dict_has(mp_obj dict, mp_obj key)
{
    if (dict.mp__kind != MP_KIND_DICT) {
        not_a("dict", dict, "mp_dict_has");
        return false;
    }
    return has(dict, key);
}

int
mp_dict_put(mp_obj dict, mp_obj key, mp_obj value)
{
    if (dict.mp__kind != MP_KIND_DICT) {
        mp_obj_free(key);
        mp_obj_free(value);
        return not_a("dict", dict, "mp_dict_put");
    }
    mp__walk walk = {.budget = MP__WALK_BUDGET};
    return mp__table_put(dict.mp__u.p, key, value, &walk);
}

int
mp_set_add(mp_obj set, mp_obj item)
{
    if (set.mp__kind != MP_KIND_SET || mp__obj_body(set)->flags & MP__FROZEN) {
        mp_obj_free(item);
        return not_a("set", set, "mp_set_add");
    }
    mp__walk walk = {.budget = MP__WALK_BUDGET};
    return mp__table_put(set.mp__u.p, item, mp_none(), &walk);
}

bool
mp_set_has(mp_obj set, mp_obj item)
{
    if (set.mp__kind != MP_KIND_SET) {
        not_a("set", set, "mp_set_has");
        return false;
    }
    return has(set, item);
}

bool
mp_dict_next(mp_obj dict_or_set, size_t *pos, mp_obj *key, mp_obj *value)
{
    if (dict_or_set.mp__kind != MP_KIND_DICT && dict_or_set.mp__kind != MP_KIND_SET) {
        not_a("dict or set", dict_or_set, "mp_dict_next");
        return false;
    }
    const mp__table *t = dict_or_set.mp__u.p;
    if (*pos >= t->len) {
        return false;
    }
    if (key) {
        *key = t->entries[*pos].key;
    }
    if (value) {
        *value = t->entries[*pos].value;
    }
    (*pos)++;
    return true;
}
