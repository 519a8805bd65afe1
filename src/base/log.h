/*
 * base/log.h: the log, for every room.
 *
 *     mp__log_info("calling join() for process %s", name);
 *
 * Off, that is one relaxed load.  On, it may run the caller's handler: hold no lock there.
 *
 * Threads   one mutex over the settings, none while a record is written or handled
 * Fork      the mutex is held across it; the child has the settings
 */
#ifndef MP_BASE_LOG_H
#define MP_BASE_LOG_H

#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>

#include <mp/log.h>

/* The least level that anybody hears; INT_MAX when nobody does. */
extern _Atomic int mp__log_threshold;

static inline bool
mp__log_heard(int level)
{
    return level >= atomic_load_explicit(&mp__log_threshold, memory_order_relaxed);
}

#define MP__LOG(level, ...)                                                                        \
    (mp__log_heard(level) ? mp_log_at((level), __FILE__, __LINE__, __VA_ARGS__) : (void)0)
#define mp__log_sub_debug(...) MP__LOG(MP_LOG_SUBDEBUG, __VA_ARGS__)
#define mp__log_debug(...)     MP__LOG(MP_LOG_DEBUG, __VA_ARGS__)
#define mp__log_info(...)      MP__LOG(MP_LOG_INFO, __VA_ARGS__)
#define mp__log_warning(...)   MP__LOG(MP_LOG_WARNING, __VA_ARGS__)

struct mp__log_settings {
    bool exists; /* the logger was asked for; nothing else counts until then */
    bool to_stderr;
    int level;
    mp_log_handler handler;
    void *ctx;
};

void mp__log_get(struct mp__log_settings *ret);

/* Change them: change(&settings, ctx) under the mutex. */
void mp__log_change(void (*change)(struct mp__log_settings *s, const void *ctx), const void *ctx);

/* What Python calls the effective level. */
int mp__log_level(const struct mp__log_settings *s);

#endif
