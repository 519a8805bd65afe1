/*
 * base/log.c: who hears what, and a record's way to them.
 *
 * A line goes out by one write(), so that the system keeps those of several processes apart.
 */
#include "base/log.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/fork.h"
#include "base/name.h"

_Atomic int mp__log_threshold = INT_MAX;

MP__FORK_LEAF(mutex);
static struct mp__log_settings settings;     /* under mutex */
static _Thread_local bool inside_of_handler; /* of this thread */

int
mp__log_level(const struct mp__log_settings *s)
{
    return s->level == MP_LOG_NOTSET ? MP_LOG_WARNING : s->level;
}

/* Python's last resort: without a handler, warnings go to stderr. */
static bool
is_last_resort(const struct mp__log_settings *s)
{
    return !s->to_stderr && !s->handler;
}

static int
threshold(const struct mp__log_settings *s)
{
    int level = mp__log_level(s);
    if (!s->exists) {
        return INT_MAX;
    }
    return is_last_resort(s) && level < MP_LOG_WARNING ? MP_LOG_WARNING : level;
}

void
mp__log_get(struct mp__log_settings *ret)
{
    pthread_mutex_lock(&mutex);
    *ret = settings;
    pthread_mutex_unlock(&mutex);
}

void
mp__log_change(void (*change)(struct mp__log_settings *s, const void *ctx), const void *ctx)
{
    pthread_mutex_lock(&mutex);
    change(&settings, ctx);
    atomic_store(&mp__log_threshold, threshold(&settings));
    pthread_mutex_unlock(&mutex);
}

static const char *
level_name(int level, char *buf, size_t size)
{
    switch (level) {
    case MP_LOG_NOTSET:
        return "NOTSET";
    case MP_LOG_DEBUG:
        return "DEBUG";
    case MP_LOG_INFO:
        return "INFO";
    case MP_LOG_WARNING:
        return "WARNING";
    case MP_LOG_ERROR:
        return "ERROR";
    case MP_LOG_CRITICAL:
        return "CRITICAL";
    default:
        snprintf(buf, size, "Level %d", level); /* Python names no others */
        return buf;
    }
}

/* Whether the rest of a line is to be written again; may wait for room. */
static bool
try_again(void)
{
    if (errno == EAGAIN || errno == EWOULDBLOCK) {
        struct pollfd p = {.fd = STDERR_FILENO, .events = POLLOUT};
        return poll(&p, 1, -1) > 0 || errno == EINTR;
    }
    return errno == EINTR;
}

/* A stderr that nobody reads any more must not end the program: SIGPIPE is kept off meanwhile. */
static void
write_line(const char *line, size_t len)
{
    sigset_t pipe_set, pending, old;
    sigemptyset(&pipe_set);
    sigaddset(&pipe_set, SIGPIPE);
    sigemptyset(&pending);
    sigpending(&pending);
    bool was_pending = sigismember(&pending, SIGPIPE) == 1;
    if (pthread_sigmask(SIG_BLOCK, &pipe_set, &old) != 0) {
        return;
    }
    ssize_t n = 0;
    while (len > 0 && ((n = write(STDERR_FILENO, line, len)) >= 0 || try_again())) {
        line += n > 0 ? n : 0;
        len -= n > 0 ? (size_t)n : 0;
    }
    if (n < 0 && errno == EPIPE && !was_pending) {
        const struct timespec at_once = {0, 0};
        while (sigtimedwait(&pipe_set, NULL, &at_once) < 0 && errno == EINTR) {
        }
    }
    pthread_sigmask(SIG_SETMASK, &old, NULL);
}

/* text is where the line begins, and message where the message does in it: size bytes that end
   with the line's '\n' in place of a NUL. */
static void
hand_out(mp_log_record *r, char *text, size_t len, bool bare, const struct mp__log_settings *s)
{
    if (s->to_stderr || bare) {
        text[len - 1] = '\n';
        size_t skip = bare ? (size_t)(r->message - text) : 0;
        write_line(text + skip, len - skip);
        text[len - 1] = '\0';
    }
    if (s->handler && !inside_of_handler) {
        inside_of_handler = true;
        s->handler(r, s->ctx);
        inside_of_handler = false;
    }
}

static void
log_v(int level, const char *file, int line, const char *format, va_list ap)
{
    struct mp__log_settings s;
    char name[MP__NAME_BYTES], number[24], usual[1024], *text = usual;
    mp_log_record r = {.level = level, .process_name = name, .file = file, .line = line};
    va_list again;
    va_copy(again, ap);
    mp__log_get(&s);
    if (level >= threshold(&s)) { /* it may have changed since the look without the mutex */
        mp__name_get(name);
        r.pid = getpid();
        r.level_name = level_name(level, number, sizeof number);
        int head = snprintf(usual, sizeof usual, "[%s/%s] ", r.level_name, name);
        size_t room = sizeof usual - (size_t)head;
        int body = vsnprintf(usual + head, room, format, ap);
        size_t len = (size_t)head + (size_t)(body > 0 ? body : 0) + 1;
        if (len > sizeof usual) {
            text = malloc(len);
            if (text) {
                memcpy(text, usual, (size_t)head);
                vsnprintf(text + head, len - (size_t)head, format, again);
            } else {
                text = usual; /* its beginning, then */
                len = sizeof usual;
            }
        }
        r.message = text + head;
        hand_out(&r, text, len, is_last_resort(&s), &s);
    }
    va_end(again);
    if (text != usual) {
        free(text);
    }
}

void
mp_log_at(int level, const char *file, int line, const char *format, ...)
{
    if (!mp__log_heard(level)) {
        return;
    }
    int saved = errno;
    va_list ap;
    va_start(ap, format);
    log_v(level, file, line, format, ap);
    va_end(ap);
    errno = saved;
}
