/*
 * process/authkey.c: the key by which processes that talk over sockets know each other.
 *
 * Each process object has the key that its creator had then; a child has its object's.  Several
 * objects share one copy.  It travels in launch blocks only: no value can hold it.
 *
 * Writers   the children's mutex is over which key an object has
 */
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/fork.h"
#include "base/handle.h"
#include "platform/platform.h"
#include "process/process.h"

#define RANDOM_BYTES 32

struct mp__authkey {
    _Atomic size_t refs;
    size_t len;
    unsigned char *bytes; /* they lie behind */
};

/* With room for len bytes and a NUL. */
static void
fill(struct mp__authkey *k, const void *bytes, size_t len)
{
    k->refs = 1;
    k->len = len;
    k->bytes = (unsigned char *)(k + 1);
    if (len > 0 && bytes) {
        memcpy(k->bytes, bytes, len);
    }
    k->bytes[len] = '\0';
}

/* The first, this process's own: it spares a child its first malloc(), and a fork a page to copy. */
static MP__FORK_DATA struct {
    struct mp__authkey key;
    unsigned char bytes[RANDOM_BYTES + 1];
} near;
static MP__FORK_DATA atomic_bool near_taken;

static struct mp__authkey *
new_key(const void *bytes, size_t len)
{
    struct mp__authkey *k = &near.key;
    if (len > RANDOM_BYTES || atomic_exchange(&near_taken, true)) {
        k = malloc(sizeof *k + len + 1);
    }
    if (!k) {
        mp__error(MP_ENOMEM, "no memory for an authkey");
        return NULL;
    }
    fill(k, bytes, len);
    return k;
}

static void
drop(struct mp__authkey *k)
{
    if (k == &near.key) {
        atomic_store(&near_taken, false);
    } else {
        free(k);
    }
}

static void
let_go(struct mp__authkey *k)
{
    if (k && --k->refs == 0) {
        drop(k);
    }
}

/* Under the mutex: the key of this process, made when it is first asked for. */
static struct mp__authkey *
own(void)
{
    mp_process *self = mp__process_self();
    if (!self->authkey) {
        struct mp__authkey *k = new_key(NULL, RANDOM_BYTES);
        int status = k ? mp__plat_random(k->bytes, RANDOM_BYTES) : 0;
        if (status < 0) {
            mp__error_os(-status, "a random authkey");
            drop(k);
            k = NULL;
        }
        self->authkey = k;
    }
    return self->authkey;
}

int
mp__authkey_inherit(mp_process *p)
{
    mp__children_lock();
    p->authkey = own();
    if (p->authkey) {
        p->authkey->refs++;
    }
    mp__children_unlock();
    return p->authkey ? 0 : mp_last_error();
}

int
mp__authkey_adopt(mp_process *p, const void *key, size_t len)
{
    p->authkey = new_key(key, len);
    return p->authkey ? 0 : mp_last_error();
}

struct mp__authkey *
mp__authkey_hold(mp_process *p, const void **ret_key, size_t *ret_len)
{
    mp__children_lock();
    struct mp__authkey *k = p->authkey;
    if (k) {
        k->refs++;
    }
    mp__children_unlock();
    *ret_key = k ? k->bytes : NULL;
    *ret_len = k ? k->len : 0;
    return k;
}

void
mp__authkey_unref(struct mp__authkey *k)
{
    let_go(k);
}

const void *
mp_process_authkey(mp_process *p, size_t *ret_len)
{
    if (mp__handle_check(p, MP__PROCESS, "mp_process_authkey") < 0) {
        return NULL;
    }
    mp__children_lock();
    struct mp__authkey *k = p == mp__process_self() ? own() : p->authkey;
    mp__children_unlock();
    if (!k) {
        if (p->foreign) {
            mp__error(MP_ESTATE, "mp_process_authkey: %s keeps its own", p->name);
        }
        return NULL;
    }
    if (ret_len) {
        *ret_len = k->len;
    }
    return k->bytes;
}

int
mp_process_set_authkey(mp_process *p, const void *key, size_t len)
{
    int status = mp__handle_check(p, MP__PROCESS, "mp_process_set_authkey");
    if (status < 0) {
        return status;
    }
    if ((!key && len > 0) || len > UINT32_MAX / 2 || p->foreign) {
        return mp__error(MP_EVALUE, "mp_process_set_authkey: %s",
                         p->foreign ? "another process's key" : "NULL, or too long");
    }
    struct mp__authkey *k = new_key(key, len);
    if (!k) {
        return MP_ENOMEM;
    }
    mp__children_lock();
    struct mp__authkey *old = p->authkey;
    p->authkey = k;
    let_go(old);
    mp__children_unlock();
    return 0;
}
