/*
 * process/logger.c: the public calls on the logger (base/log.h), and its way into a child.
 *
 * Whoever asks for it also gets the library's exit handler, which logs.
 */
#include <mp/log.h>

#include <string.h>

#include "base/error.h"
#include "base/log.h"
#include "process/process.h"

struct mp_logger {
    char unused;
};
static mp_logger the_logger; /* its address only */

static void
change_level(struct mp__log_settings *s, const void *ctx)
{
    s->level = *(const int *)ctx;
}

static void
change_handler(struct mp__log_settings *s, const void *ctx)
{
    const struct mp__log_settings *wanted = ctx;
    s->handler = wanted->handler;
    s->ctx = wanted->ctx;
}

/* It exists from now on, with this level unless that is 0, and on stderr or as it was. */
static void
change_on(struct mp__log_settings *s, const void *ctx)
{
    const struct mp__log_settings *wanted = ctx;
    s->exists = true;
    s->to_stderr = s->to_stderr || wanted->to_stderr;
    s->level = wanted->level != MP_LOG_NOTSET ? wanted->level : s->level;
}

mp_logger *
mp_get_logger(void)
{
    mp__process_init();
    mp__log_change(change_on, &(struct mp__log_settings){.exists = true});
    return &the_logger;
}

mp_logger *
mp_log_to_stderr(int level)
{
    mp__process_init();
    mp__log_change(change_on, &(struct mp__log_settings){.to_stderr = true, .level = level});
    return &the_logger;
}

static int
check(const mp_logger *logger, const char *call)
{
    return logger == &the_logger ? 0
                                 : mp__error(MP_EVALUE, "%s: not the logger (%s)", call,
                                             logger ? "something else" : "NULL");
}

int
mp_logger_set_level(mp_logger *logger, int level)
{
    int status = check(logger, "mp_logger_set_level");
    if (status == 0 && level < 0) {
        status = mp__error(MP_EVALUE, "mp_logger_set_level: the level is %d, less than 0", level);
    }
    if (status == 0) {
        mp__log_change(change_level, &level);
    }
    return status;
}

int
mp_logger_get_level(mp_logger *logger)
{
    struct mp__log_settings s;
    int status = check(logger, "mp_logger_get_level");
    mp__log_get(&s);
    return status < 0 ? status : mp__log_level(&s);
}

int
mp_logger_set_handler(mp_logger *logger, mp_log_handler handler, void *ctx)
{
    int status = check(logger, "mp_logger_set_handler");
    if (status == 0) {
        mp__log_change(change_handler, &(struct mp__log_settings){.handler = handler, .ctx = ctx});
    }
    return status;
}

/* ---- into a child ---------------------------------------------------------------------------- */

void
mp__logger_describe(struct mp__logger_birth *ret)
{
    struct mp__log_settings s;
    mp__log_get(&s);
    ret->on = (uint8_t)(s.exists ? s.to_stderr ? 2 : 1 : 0);
    ret->level = mp__log_level(&s);
}

void
mp__logger_adopt(const struct mp__logger_birth *b)
{
    if (b->on) {
        mp__log_change(change_on,
                       &(struct mp__log_settings){.to_stderr = b->on == 2, .level = b->level});
    }
}
