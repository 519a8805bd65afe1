/*
 * progress.h - a bar on stderr while the workers work
 */
#ifndef WC_PROGRESS_H
#define WC_PROGRESS_H

#include <stdint.h>

struct wc_progress;

/*
 * Draw *done of total bytes ten times a second, from a thread, until wc_progress_end().
 * NULL when stderr is no terminal, or there is no memory or thread for it: it is only decoration.
 */
struct wc_progress *wc_progress_begin(const _Atomic uint64_t *done, uint64_t total);

/* Stop and erase the bar.  NULL is fine. */
void wc_progress_end(struct wc_progress *progress);

#endif
