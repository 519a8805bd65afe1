/*
 * options.c - the command line, by hand: getopt() of POSIX has no long options
 */
#include "options.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { MOST_WORKERS = 1024, USUAL = 3 };

static const char *const usual[USUAL] = {"/usr/share/common-licenses", "/usr/share/doc",
                                         "/usr/include"};

void
wc_options_help(void)
{
    fputs(
        "usage: wordcount [-j N] [--start-method M] [--top N] [--all] [DIR...]\n"
        "\n"
        "Count the words (letters A-Z and a-z, case kept) of all text files below the DIRs with\n"
        "N worker processes.  A text file has no NUL byte in its first 8 KiB.  Symbolic links\n"
        "below a DIR are not followed.\n"
        "\n"
        "  -j N               worker processes; default: one per CPU\n"
        "  --start-method M   fork, spawn or forkserver\n"
        "  --top N            print the N most frequent words; default: 10\n"
        "  --all              print every word with its count, in the order of `sort`, and\n"
        "                     nothing else\n"
        "  --help             print this\n"
        "\n"
        "Without a DIR: /usr/share/common-licenses, /usr/share/doc, /usr/include, as far as they\n"
        "exist.  What cannot be read is reported and left out.\n"
        "Exit status: 0; 1 when the count failed; 2 for a wrong command line.\n",
        stdout);
}

static int
wrong(const char *what, const char *argument)
{
    fprintf(stderr, "wordcount: %s%s%s\n", what, argument[0] != '\0' ? ": " : "", argument);
    fputs("Try 'wordcount --help'.\n", stderr);
    return -1;
}

/*
 * If argv[*at] is the option name, store its value, which follows in the same argument or is the
 * next one.  1: it is; 0: it is not; -1: it is, but has no value.
 */
static int
value_of(const char *name, int argc, char **argv, int *at, const char **ret_value)
{
    const char *argument = argv[*at];
    size_t length = strlen(name);
    if (strncmp(argument, name, length) != 0) {
        return 0;
    }
    bool is_long = name[1] == '-';
    if (argument[length] == '\0') {
        if (*at + 1 >= argc) {
            return wrong("this option needs a value", argument);
        }
        *at += 1;
        *ret_value = argv[*at];
        return 1;
    }
    if (is_long && argument[length] != '=') {
        return 0;
    }
    *ret_value = argument + length + is_long;
    return 1;
}

static int
number_of(const char *text, long least, long most, long *ret)
{
    char *end;
    if (text[0] < '0' || text[0] > '9') {
        return wrong("not a number", text);
    }
    *ret = strtol(text, &end, 10);
    if (*end != '\0') {
        return wrong("not a number", text);
    }
    if (*ret < least || *ret > most) {
        return wrong("a number that is not possible here", text);
    }
    return 0;
}

static int
parse_one(struct wc_options *options, int argc, char **argv, int *at)
{
    const char *value;
    long number;

    int found = value_of("-j", argc, argv, at, &value);
    if (found != 0) {
        if (found < 0 || number_of(value, 1, MOST_WORKERS, &number) != 0) {
            return -1;
        }
        options->workers = (int)number;
        return 0;
    }
    found = value_of("--top", argc, argv, at, &value);
    if (found != 0) {
        if (found < 0 || number_of(value, 0, 1000000000, &number) != 0) {
            return -1;
        }
        options->top = (size_t)number;
        return 0;
    }
    found = value_of("--start-method", argc, argv, at, &value);
    if (found != 0) {
        options->method = value;
        return found < 0 ? -1 : 0;
    }
    if (strcmp(argv[*at], "--all") == 0) {
        options->all = true;
        return 0;
    }
    if (strcmp(argv[*at], "--help") == 0 || strcmp(argv[*at], "-h") == 0) {
        options->help = true;
        return 0;
    }
    return wrong("unknown option", argv[*at]);
}

/* When no DIR is given: the places where most systems have text, as far as they exist. */
static int
add_usual_roots(struct wc_options *options)
{
    for (size_t i = 0; i < USUAL; i++) {
        struct stat st;
        if (stat(usual[i], &st) == 0) {
            options->roots[options->roots_count++] = usual[i];
        }
    }
    return options->roots_count > 0 ? 0 : wrong("nothing to count by default here: name a DIR", "");
}

int
wc_options_parse(struct wc_options *options, int argc, char **argv)
{
    *options = (struct wc_options){.top = 10};
    options->roots = calloc((size_t)argc + USUAL, sizeof *options->roots);
    if (options->roots == NULL) {
        return wrong("out of memory", "");
    }
    bool only_roots = false;
    for (int i = 1; i < argc; i++) {
        if (!only_roots && strcmp(argv[i], "--") == 0) {
            only_roots = true;
        } else if (!only_roots && argv[i][0] == '-' && argv[i][1] != '\0') {
            if (parse_one(options, argc, argv, &i) != 0) {
                return -1;
            }
        } else if (argv[i][0] == '\0') {
            return wrong("a DIR without a name", "");
        } else {
            options->roots[options->roots_count++] = argv[i];
        }
    }
    return options->roots_count > 0 || options->help ? 0 : add_usual_roots(options);
}
