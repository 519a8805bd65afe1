/*
 * options.h - the command line
 */
#ifndef WC_OPTIONS_H
#define WC_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>

struct wc_options {
    int workers;        /* -j; 0: one per CPU */
    const char *method; /* --start-method; NULL: the library's default */
    size_t top;         /* --top */
    bool all;           /* --all */
    bool help;          /* --help */
    const char **roots; /* the DIRs, roots_count of them, in memory of malloc() */
    int roots_count;
};

/*
 * 0, or -1 after a message on stderr.  Leaves argv as it is: spawned children get it as theirs.
 */
int wc_options_parse(struct wc_options *options, int argc, char **argv);

void wc_options_help(void);

#endif
