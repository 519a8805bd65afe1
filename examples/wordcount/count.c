/*
 * count.c - read a file through a buffer and count its words
 *
 * read() into a buffer that is used again stays in the cache and takes no page fault; mapping the
 * file would take one for every few pages of it.
 */
#define _POSIX_C_SOURCE 200809L
#include "count.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    BUFFER_SIZE = 256 << 10, /* fits in a core's own cache */
    TEXT_CHECK = 8 << 10,    /* a NUL byte in this many first bytes: not text */
    BEYOND = 4 << 10,        /* bytes read at a time to finish the last word of a piece */
    SLACK = 2 + WC_STEP      /* bytes behind the buffer's contents: two marks, room to read over */
};

/* Whether a byte is a letter: one look-up where isalpha() asks the locale. */
/* clang-format off */
static const unsigned char letter[256] = {
    ['A'] = 1, ['B'] = 1, ['C'] = 1, ['D'] = 1, ['E'] = 1, ['F'] = 1, ['G'] = 1, ['H'] = 1,
    ['I'] = 1, ['J'] = 1, ['K'] = 1, ['L'] = 1, ['M'] = 1, ['N'] = 1, ['O'] = 1, ['P'] = 1,
    ['Q'] = 1, ['R'] = 1, ['S'] = 1, ['T'] = 1, ['U'] = 1, ['V'] = 1, ['W'] = 1, ['X'] = 1,
    ['Y'] = 1, ['Z'] = 1,
    ['a'] = 1, ['b'] = 1, ['c'] = 1, ['d'] = 1, ['e'] = 1, ['f'] = 1, ['g'] = 1, ['h'] = 1,
    ['i'] = 1, ['j'] = 1, ['k'] = 1, ['l'] = 1, ['m'] = 1, ['n'] = 1, ['o'] = 1, ['p'] = 1,
    ['q'] = 1, ['r'] = 1, ['s'] = 1, ['t'] = 1, ['u'] = 1, ['v'] = 1, ['w'] = 1, ['x'] = 1,
    ['y'] = 1, ['z'] = 1,
};
/* clang-format on */

static bool
is_letter(const char *at)
{
    return letter[(unsigned char)*at] != 0;
}

int
wc_counter_init(struct wc_counter *counter, const struct wc_memory *memory)
{
    *counter = (struct wc_counter){.memory = memory, .capacity = BUFFER_SIZE};
    counter->buffer = malloc(BUFFER_SIZE + SLACK);
    counter->table = wc_table_new(memory);
    if (counter->buffer == NULL || counter->table == NULL) {
        wc_table_free(counter->table, memory);
        free(counter->buffer);
        return ENOMEM;
    }
    return 0;
}

void
wc_counter_end(struct wc_counter *counter)
{
    free(counter->buffer);
    counter->buffer = NULL;
}

/* A piece that is being counted. */
struct reader {
    int fd;
    int64_t size; /* the file's when it was opened; 0 also for a file that does not tell (/proc) */
    int64_t offset; /* of the next byte to read */
    int64_t end;    /* words that begin here or later are not ours */
    bool at_eof;
};

/* Read up to want bytes; fewer only at the end of the file.  Sets at_eof.  0, or an errno code. */
static int
fill(struct reader *in, char *to, size_t want, size_t *ret_got)
{
    size_t got = 0;
    *ret_got = 0;
    while (got < want && !in->at_eof) {
        ssize_t n = pread(in->fd, to + got, want - got, in->offset);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            return errno;
        }
        got += (size_t)n;
        in->offset += n;
        /* Knowing the size saves a last read() that says 0.  What is added meanwhile is not ours. */
        in->at_eof = n == 0 || (in->size > 0 && in->offset >= in->size);
    }
    *ret_got = got;
    return 0;
}

/*
 * Count the words of buffer[from, length) of which the first letter is before `starts`.  Returns
 * the number of bytes at the end that are an unfinished word, or -1: no memory.
 */
static ptrdiff_t
count_buffer(struct wc_counter *counter, size_t from, size_t length, size_t starts, bool at_eof)
{
    char *buffer = counter->buffer;
    const char *end = buffer + length;
    const char *stop = buffer + starts;
    buffer[length] = 0;       /* ends a word, and */
    buffer[length + 1] = 'a'; /* ends what is between words, with no test for the end */

    const char *at = buffer + from;
    uint64_t words = 0;
    for (;;) {
        while (!is_letter(at)) {
            at++;
        }
        if (at >= stop) {
            break;
        }
        const char *word = at;
        do {
            at++;
        } while (is_letter(at));
        if (at == end && !at_eof) {
            counter->totals.words += words;
            return at - word;
        }
        words++;
        if (wc_table_count(counter->table, counter->memory, word, (size_t)(at - word)) != 0) {
            return -1;
        }
    }
    counter->totals.words += words;
    return 0;
}

/* Double a buffer that one unfinished word fills. */
static int
grow_buffer(struct wc_counter *counter)
{
    char *bigger = realloc(counter->buffer, 2 * counter->capacity + SLACK);
    if (bigger == NULL) {
        return ENOMEM;
    }
    counter->buffer = bigger;
    counter->capacity *= 2;
    return 0;
}

/* How much to read next: up to the piece's end; behind it as much again as the word has so far. */
static size_t
next_read(const struct reader *in, size_t room, size_t kept)
{
    uint64_t want = kept > BEYOND ? kept : BEYOND;
    if (in->offset < in->end) {
        want = (uint64_t)(in->end - in->offset);
    }
    return want < room ? (size_t)want : room;
}

/* Count the piece, from the reader's offset on. */
static int
count_words(struct wc_counter *counter, struct reader *in, bool inside, bool check)
{
    size_t kept = 0; /* letters of an unfinished word at the buffer's start */
    for (;;) {
        if (kept == counter->capacity && grow_buffer(counter) != 0) {
            return ENOMEM;
        }
        size_t got;
        int status =
            fill(in, counter->buffer + kept, next_read(in, counter->capacity - kept, kept), &got);
        if (status != 0) {
            return status;
        }
        size_t length = kept + got;
        if (check) {
            check = false;
            size_t first = length < TEXT_CHECK ? length : TEXT_CHECK;
            if (memchr(counter->buffer, 0, first) != NULL) {
                counter->totals.skipped++;
                in->offset = 0; /* nothing of it counts */
                return 0;
            }
            counter->totals.files++;
        }

        size_t from = 0;
        while (inside && from < length) { /* the rest of the previous piece's last word */
            inside = is_letter(counter->buffer + from);
            from += inside;
        }
        int64_t base = in->offset - (int64_t)length;
        size_t starts = in->end - base < (int64_t)length ? (size_t)(in->end - base) : length;
        ptrdiff_t rest = count_buffer(counter, from, length, starts, in->at_eof);
        if (rest < 0) {
            return ENOMEM;
        }
        kept = (size_t)rest;
        if (in->at_eof || (kept == 0 && in->offset >= in->end)) {
            return 0;
        }
        memmove(counter->buffer, counter->buffer + length - kept, kept);
    }
}

/* Whether a file, of which only a later piece is to be counted, is text.  0, or an errno code. */
static int
check_text(struct wc_counter *counter, struct reader *in, bool *ret_text)
{
    size_t got;
    in->offset = 0;
    int status = fill(in, counter->buffer, TEXT_CHECK, &got);
    *ret_text = status == 0 && memchr(counter->buffer, 0, got) == NULL;
    in->at_eof = false;
    return status;
}

static int
count_open_file(struct wc_counter *counter, int fd, int64_t start, int64_t end)
{
    struct stat st;
    if (fstat(fd, &st) != 0) {
        return errno;
    }
    if (!S_ISREG(st.st_mode)) {
        return ENOENT; /* the file that was found here has gone, and something else has its name */
    }
    struct reader in = {.fd = fd, .size = st.st_size, .end = end};
    if (start == 0) {
        int status = count_words(counter, &in, false, true);
        counter->totals.bytes += (uint64_t)(in.offset < end ? in.offset : end);
        return status;
    }

    bool text;
    int status = check_text(counter, &in, &text);
    if (status != 0 || !text || st.st_size <= start) {
        return status;
    }
    in.offset = start - 1; /* the byte before tells whether a word goes on into the piece */
    status = count_words(counter, &in, true, false);
    int64_t reached = in.offset < end ? in.offset : end;
    counter->totals.bytes += reached > start ? (uint64_t)(reached - start) : 0;
    return status;
}

int
wc_count_piece(struct wc_counter *counter, const char *path, int64_t start, int64_t end)
{
    /* O_NONBLOCK: no waiting if a FIFO took the name since the walk. */
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) {
        return errno;
    }
    int status = count_open_file(counter, fd, start, end);
    close(fd);
    return status;
}
