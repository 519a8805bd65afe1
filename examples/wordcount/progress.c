/*
 * progress.c - a bar on stderr while the workers work
 */
#define _POSIX_C_SOURCE 200809L
#include "progress.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

enum { WIDTH = 40 };

struct wc_progress {
    const _Atomic uint64_t *done;
    uint64_t total;
    pthread_t thread;
    pthread_mutex_t lock; /* guards stop */
    pthread_cond_t woken; /* by wc_progress_end() */
    bool stop;
};

static void
draw(const struct wc_progress *progress)
{
    static const char full[WIDTH + 1] = "########################################";
    uint64_t total = progress->total > 0 ? progress->total : 1;
    uint64_t done = atomic_load_explicit(progress->done, memory_order_relaxed);
    done = done < total ? done : total; /* files may have grown */
    double part = (double)done / (double)total;
    fprintf(stderr, "\r[%-*.*s] %3.0f %% of %.0f MB", WIDTH, (int)(part * WIDTH), full, part * 100,
            (double)total / 1e6);
}

static void *
run(void *argument)
{
    struct wc_progress *progress = argument;
    struct timespec next;
    clock_gettime(CLOCK_MONOTONIC, &next);
    pthread_mutex_lock(&progress->lock);
    while (!progress->stop) {
        draw(progress);
        next.tv_nsec += 100000000;
        next.tv_sec += next.tv_nsec / 1000000000;
        next.tv_nsec %= 1000000000;
        while (!progress->stop &&
               pthread_cond_timedwait(&progress->woken, &progress->lock, &next) == 0) {
        }
    }
    pthread_mutex_unlock(&progress->lock);
    fprintf(stderr, "\r%*s\r", WIDTH + 30, "");
    return NULL;
}

struct wc_progress *
wc_progress_begin(const _Atomic uint64_t *done, uint64_t total)
{
    struct wc_progress *progress = isatty(STDERR_FILENO) ? malloc(sizeof *progress) : NULL;
    if (progress == NULL) {
        return NULL;
    }
    *progress = (struct wc_progress){.done = done, .total = total};
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&progress->woken, &attributes);
    pthread_condattr_destroy(&attributes);
    pthread_mutex_init(&progress->lock, NULL);
    if (pthread_create(&progress->thread, NULL, run, progress) != 0) {
        pthread_cond_destroy(&progress->woken);
        pthread_mutex_destroy(&progress->lock);
        free(progress);
        return NULL;
    }
    return progress;
}

void
wc_progress_end(struct wc_progress *progress)
{
    if (progress == NULL) {
        return;
    }
    pthread_mutex_lock(&progress->lock);
    progress->stop = true;
    pthread_cond_signal(&progress->woken);
    pthread_mutex_unlock(&progress->lock);
    pthread_join(progress->thread, NULL);
    pthread_cond_destroy(&progress->woken);
    pthread_mutex_destroy(&progress->lock);
    free(progress);
}
