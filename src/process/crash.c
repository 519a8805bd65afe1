/*
 * process/crash.c: the handler of a child that dies of a fault, and the parent that finds its record.
 *
 * Installing it is on the way of every start, so it is few calls and no page that the child has not
 * written to anyhow: what the handler needs to know is in the process's own object.
 *
 * The handler runs on a stack of its own, for the thread's may be what is used up; threads that the
 * child makes have none, so one that overflows its stack dies without a record.  It calls nothing
 * that is not safe in a handler, and touches nothing but its slot.
 */
#include "process/crash.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fork.h"
#include "base/handle.h"
#include "base/log.h"
#include "heap/family.h"

/* What the handler needs itself is small; the system saves the registers there, of any size. */
#define STACK_BYTES 65536

/* So long a second thread that crashes waits for the record of the first. */
#define PATIENCE_MS 1000

_Static_assert(sizeof(struct mp__crash_table) <= MP__CRASH_BYTES, "the family has room for it");

/* Not constant, so that the child finds them on a page that it has written to. */
static MP__FORK_DATA int faults[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT};
#define FAULTS (sizeof faults / sizeof *faults)

static MP__FORK_DATA _Atomic bool turned_off;
static atomic_flag crashing = ATOMIC_FLAG_INIT;
static _Alignas(16) unsigned char stack[STACK_BYTES];

/* Found and not logged yet; a stack without a lock. */
struct news {
    struct news *next;
    struct mp__crash_record record;
    mp_target target;
    char name[64];
};
static MP__FORK_DATA _Atomic(struct news *) news;

static struct mp__crash_table *
family_table(void)
{
    return mp__family ? (struct mp__crash_table *)(void *)mp__family->crashes : NULL;
}

int
mp_crash_reports(bool on)
{
    bool were_off = atomic_exchange(&turned_off, !on);
    return !were_off;
}

uint64_t
mp__crash_ticket(void)
{
    struct mp__crash_table *t = family_table();
    return t && !atomic_load_explicit(&turned_off, memory_order_relaxed)
               ? atomic_fetch_add_explicit(&t->tickets, 1, memory_order_relaxed) + 1
               : 0;
}

/* ---- in the child that crashes --------------------------------------------------------------- */

static struct mp__crash_slot *
claim(struct mp__crash_table *table, uint64_t ticket)
{
    for (size_t i = 0; i < MP__CRASH_SLOTS; i++) {
        uint64_t none = 0;
        if (atomic_compare_exchange_strong(&table->slots[i].owner, &none, ticket)) {
            return &table->slots[i];
        }
    }
    /* All hold what nobody asked for yet: the one whose turn it is goes, but none that is being written,
       maybe slowly: its writer would go on in ours. */
    for (size_t i = 0; i < MP__CRASH_SLOTS; i++) {
        struct mp__crash_slot *s = &table->slots[(ticket + i) % MP__CRASH_SLOTS];
        uint64_t owner = atomic_load(&s->owner);
        if ((owner == 0 || atomic_load(&s->done) == owner) &&
            atomic_compare_exchange_strong(&s->owner, &owner, ticket)) {
            return s;
        }
    }
    return NULL;
}

static void
write_record(const mp_process *self, int signal_number, const siginfo_t *info, const void *context)
{
    struct mp__crash_slot *s = claim(family_table(), self->ticket);
    if (!s) {
        return;
    }
    struct mp__crash_record *r = &s->record;
    atomic_store(&s->done, 0);
    bool sent = info->si_code <= 0;
    r->signal = signal_number;
    r->code = info->si_code;
    r->pid = (int32_t)self->reporter;
    r->sender = sent ? (int32_t)info->si_pid : 0;
    r->address = sent ? 0 : (uint64_t)(uintptr_t)info->si_addr;
    /* Not where the kernel cannot tell either (si_code is none of the signal's own). */
    r->has_address = !sent && info->si_code < 64;
    r->frame_count = (uint32_t)mp__plat_crash_frames(context, r->frames, MP__CRASH_FRAMES);
    mp__plat_crash_modules(r->frames, r->frame_count, r->code_of, &r->modules);
    atomic_store(&s->done, self->ticket);
}

static void
on_fault(int signal_number, siginfo_t *info, void *context)
{
    mp_process *self = mp__process_self();
    if (self->reporter == 0 && info->si_code <= 0) {
        self->missed = signal_number; /* while we install: not known yet whether it is for us */
        return;
    }
    if (self->ticket != 0 && mp__family && getpid() == self->reporter) {
        if (!atomic_flag_test_and_set(&crashing)) {
            write_record(self, signal_number, info, context);
        } else {
            poll(NULL, 0, PATIENCE_MS); /* the first one ends the process before */
        }
    }
    struct sigaction sa;
    memset(&sa, 0, sizeof sa);
    sa.sa_handler = SIG_DFL;
    sigemptyset(&sa.sa_mask);
    sigaction(signal_number, &sa, NULL);
    mp__plat_raise_again(signal_number, info); /* taken when this handler returns */
}

/*
 * Ours in place of the default action.  Where the program has another it has it back at once; a
 * signal that comes in between is noted, and sent again when all is as it is to be.
 */
static void
install(mp_process *self, pid_t reporter)
{
    self->reporter = 0;
    for (size_t i = 0; i < FAULTS; i++) {
        mp__plat_on_fault(faults[i], on_fault);
    }
    mp__plat_fault_stack(stack, sizeof stack);
    self->reporter = reporter;
    if (self->missed != 0) {
        raise(self->missed);
    }
}

void
mp__crash_prepare(void)
{
    install(mp__process_self(), getpid());
}

void
mp__crash_watch(mp_process *self, bool prepared)
{
    if (atomic_load_explicit(&news, memory_order_relaxed)) {
        atomic_store(&news, NULL); /* our parent's, in a copy of it */
    }
    bool off = self->ticket == 0;
    if (atomic_load_explicit(&turned_off, memory_order_relaxed) != off) {
        atomic_store(&turned_off, off);
    }
    self->reporter = self->pid;
    if (!off && !prepared) {
        install(self, self->pid);
    }
}

/* ---- in one that ends in order --------------------------------------------------------------- */

static _Atomic uint64_t *
end_of(uint64_t ticket)
{
    return &family_table()->ends[ticket % MP__CRASH_ENDS];
}

void
mp__crash_tell_end(const mp_process *self, int code)
{
    /* Not in a copy of the child by a plain fork(). */
    if (self->ticket != 0 && mp__family && getpid() == self->reporter) {
        atomic_store_explicit(end_of(self->ticket), self->ticket << 8 | ((unsigned)code & 0xff),
                              memory_order_release);
    }
}

bool
mp__crash_told_end(const mp_process *p, int *ret_code)
{
    if (p->ticket == 0) {
        return false;
    }
    uint64_t end = atomic_load_explicit(end_of(p->ticket), memory_order_acquire);
    *ret_code = (int)(end & 0xff);
    return end >> 8 == p->ticket;
}

/* ---- in its parent --------------------------------------------------------------------------- */

static void
note_news(const mp_process *p)
{
    if (!mp__log_heard(MP_LOG_ERROR)) {
        return;
    }
    struct news *n = malloc(sizeof *n);
    if (n) {
        n->record = p->crash->record;
        n->target = p->target;
        snprintf(n->name, sizeof n->name, "%s", p->name);
        n->next = atomic_load(&news);
        while (!atomic_compare_exchange_weak(&news, &n->next, n)) {
        }
    }
}

void
mp__crash_log(void)
{
    if (!atomic_load_explicit(&news, memory_order_relaxed)) {
        return;
    }
    struct news *n = atomic_exchange(&news, NULL);
    while (n) {
        struct news *next = n->next;
        struct mp__crash_report *report = mp__crash_describe(&n->record, n->name, n->target);
        if (report) {
            MP__LOG(MP_LOG_ERROR, "%s", mp__crash_public(report)->text);
        }
        free(report);
        free(n);
        n = next;
    }
}

/* A copy of the record of this ticket, NULL. */
static struct mp__crash *
take(struct mp__crash_slot *s, uint64_t ticket)
{
    struct mp__crash *c = NULL;
    if (atomic_load(&s->done) == ticket) {
        c = malloc(sizeof *c);
    }
    if (c) {
        c->record = s->record;
        atomic_init(&c->report, NULL);
        /* Another that had no slot may have written over it meanwhile. */
        if (atomic_load(&s->owner) != ticket || c->record.frame_count > MP__CRASH_FRAMES) {
            free(c);
            c = NULL;
        }
    }
    atomic_compare_exchange_strong(&s->owner, &ticket, 0);
    return c;
}

void
mp__crash_collect(mp_process *p)
{
    struct mp__crash_table *t = family_table();
    if (!t || p->ticket == 0 || p->crash || (p->exitcode >= 0 && !p->lost)) {
        return;
    }
    for (size_t i = 0; i < MP__CRASH_SLOTS; i++) {
        if (atomic_load(&t->slots[i].owner) == p->ticket) {
            p->crash = take(&t->slots[i], p->ticket);
            if (p->crash) {
                note_news(p);
            }
            return;
        }
    }
}

void
mp__crash_free(struct mp__crash *c)
{
    if (c) {
        free(atomic_load(&c->report));
        free(c);
    }
}

const mp_crash *
mp_process_crash(mp_process *p)
{
    int code, status = mp_process_exitcode(p, &code);
    if (status == MP_NOT_YET) {
        mp__error(MP_ESTATE, "mp_process_crash: %s has not ended", p->name);
    }
    if (status != 0 && status != -ECHILD) {
        return NULL;
    }
    if (!p->crash) {
        mp__error(MP_EVALUE, "mp_process_crash: %s left no report of a crash", p->name);
        return NULL;
    }
    struct mp__crash_report *known = atomic_load(&p->crash->report);
    if (!known) {
        struct mp__crash_report *report = mp__crash_describe(&p->crash->record, p->name, p->target);
        if (!report) {
            mp__error(MP_ENOMEM, "mp_process_crash: no memory");
            return NULL;
        }
        if (atomic_compare_exchange_strong(&p->crash->report, &known, report)) {
            known = report;
        } else {
            free(report); /* another thread was first */
        }
    }
    return mp__crash_public(known);
}
