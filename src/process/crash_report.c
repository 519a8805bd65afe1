/*
 * process/crash_report.c: a record of a crash in words.
 *
 * Long after the crash, and in another process: so here files are read and memory is allocated.
 */
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "process/crash.h"

#define NAME_BYTES 256
#define TEXT_BYTES 8192

/* One block, without pointers to others. */
struct mp__crash_report {
    mp_crash crash;
    mp_crash_frame frames[MP__CRASH_FRAMES];
    char functions[MP__CRASH_FRAMES][NAME_BYTES];
    char modules[MP__PLAT_CRASH_MODULES][MP__PLAT_CRASH_PATH];
    char target[NAME_BYTES + MP__PLAT_MODULE_BYTES + 8];
    char text[TEXT_BYTES];
};

static const char *
signal_name(int signal_number)
{
    switch (signal_number) {
    case SIGSEGV:
        return "SIGSEGV";
    case SIGBUS:
        return "SIGBUS";
    case SIGFPE:
        return "SIGFPE";
    case SIGILL:
        return "SIGILL";
    case SIGABRT:
        return "SIGABRT";
    default:
        return "a signal";
    }
}

/* What the system says of a fault; "" when it says no more than the signal's name. */
static const char *
reason(int signal_number, int code)
{
    if (signal_number == SIGSEGV) {
        return code == SEGV_MAPERR   ? "nothing is mapped there"
               : code == SEGV_ACCERR ? "no access allowed there"
                                     : "no valid address";
    }
    if (signal_number == SIGBUS) {
        return code == BUS_ADRALN ? "misaligned address" : "no memory behind the address";
    }
    if (signal_number == SIGFPE) {
        return code == FPE_INTDIV   ? "integer division by zero"
               : code == FPE_INTOVF ? "integer overflow"
               : code == FPE_FLTDIV ? "division by zero"
                                    : "arithmetic";
    }
    return signal_number == SIGILL ? "illegal instruction" : "";
}

static void
add(struct mp__crash_report *ret, const char *format, ...)
{
    size_t len = strlen(ret->text);
    va_list ap;
    va_start(ap, format);
    vsnprintf(ret->text + len, sizeof ret->text - len, format, ap);
    va_end(ap);
}

static void
describe_target(struct mp__crash_report *ret, mp_target target)
{
    mp__plat_funcref place;
    char name[NAME_BYTES];
    uint64_t within = 0;
    ret->crash.target = ret->target;
    if (!target || mp__plat_func_to_ref((uintptr_t)target, &place) < 0) {
        return;
    }
    const char *module = *place.module ? place.module : "the program";
    if (mp__plat_symbol(place.module, place.offset, true, name, sizeof name, &within) == 0) {
        snprintf(ret->target, sizeof ret->target, "%s in %s", name, module);
    } else {
        snprintf(ret->target, sizeof ret->target, "%#llx in %s", (unsigned long long)place.offset,
                 module);
    }
}

static void
describe_frame(struct mp__crash_report *ret, const struct mp__crash_record *r, size_t i)
{
    mp_crash_frame *f = &ret->frames[i];
    f->address = (uintptr_t)r->frames[i];
    int32_t module = r->code_of[i].module;
    if (module < 0 || module >= MP__PLAT_CRASH_MODULES) {
        f->module = f->function = "";
        return;
    }
    f->module = ret->modules[module];
    f->offset = r->code_of[i].offset;
    f->function = ret->functions[i];
    /* Of a call the last byte, not what it returns to: that may be another function's. */
    uint64_t within = 0, back = i > 0 && f->offset > 0;
    if (mp__plat_symbol(f->module, f->offset - back, false, ret->functions[i],
                        sizeof ret->functions[i], &within) == 0) {
        f->offset = within + back;
    } else {
        ret->functions[i][0] = '\0';
    }
}

/* Up to the first that is no code: beyond it the chain was none. */
static size_t
usable_frames(const struct mp__crash_record *r)
{
    size_t n = r->frame_count > 0;
    while (n < r->frame_count && r->code_of[n].module >= 0) {
        n++;
    }
    return n;
}

static void
write_text(struct mp__crash_report *ret, const struct mp__crash_record *r, const char *name)
{
    const mp_crash *c = &ret->crash;
    add(ret, "%s (pid %d) died of %s", name, (int)c->pid, signal_name(c->signal));
    if (c->sender == c->pid && c->sender != 0) {
        add(ret, ", which it raised itself");
    } else if (c->sender != 0) {
        add(ret, ", sent by pid %d", (int)c->sender);
    } else if (*reason(r->signal, r->code)) {
        add(ret, ": %s", reason(r->signal, r->code));
        if (c->has_address) {
            add(ret, ", %#llx", (unsigned long long)c->address);
        }
    }
    if (*c->target) {
        add(ret, "\n  target %s", c->target);
    }
    for (size_t i = 0; i < c->frame_count; i++) {
        const mp_crash_frame *f = &c->frames[i];
        add(ret, "\n  #%zu %#llx", i, (unsigned long long)f->address);
        if (*f->function) {
            add(ret, " %s+%#llx in %s", f->function, (unsigned long long)f->offset, f->module);
        } else if (*f->module) {
            add(ret, " %s+%#llx", f->module, (unsigned long long)f->offset);
        }
    }
}

struct mp__crash_report *
mp__crash_describe(const struct mp__crash_record *r, const char *name, mp_target target)
{
    struct mp__crash_report *ret = calloc(1, sizeof *ret);
    if (!ret) {
        return NULL;
    }
    ret->crash.signal = r->signal;
    ret->crash.code = r->code;
    ret->crash.pid = r->pid;
    ret->crash.sender = r->sender;
    ret->crash.has_address = r->has_address != 0;
    ret->crash.address = (uintptr_t)r->address;
    for (size_t i = 0; i < MP__PLAT_CRASH_MODULES; i++) {
        memcpy(ret->modules[i], r->modules.path[i], MP__PLAT_CRASH_PATH - 1);
    }
    describe_target(ret, target);
    ret->crash.frame_count = usable_frames(r);
    ret->crash.frames = ret->frames;
    for (size_t i = 0; i < ret->crash.frame_count; i++) {
        describe_frame(ret, r, i);
    }
    write_text(ret, r, name);
    ret->crash.text = ret->text;
    return ret;
}

const mp_crash *
mp__crash_public(const struct mp__crash_report *report)
{
    return &report->crash;
}
