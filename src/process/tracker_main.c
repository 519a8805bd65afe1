/*
 * process/tracker_main.c: the resource tracker's own process.
 *
 * It reads lines from a pipe until nobody has its writing end, and unlinks what is left then.
 *
 * Memory    its own pages: it may be the child of a fork, in whose copy of malloc() another thread
 *           was.  An entry is of one of a few sizes, and used again when it is forgotten.
 * Signals   none ends it that a terminal or a careless kill sends; see mp__tracker_deaf()
 * Death     by SIGKILL: what it knew is lost, its clients see a broken pipe
 * Words     Python's own, with the place in our source where Python tells one in its
 */
#include "process/tracker.h"

#include <errno.h>
#include <fcntl.h>
#include <semaphore.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <mp/resource_tracker.h>

#include "platform/platform.h"

#define BUCKETS     4096
#define CHUNK_BYTES ((size_t)64 << 10)

/* In the order in which Python cleans up. */
enum type { NOOP, DUMMY, SEMAPHORE, SHARED_MEMORY, TYPES };
static const char *const type_names[TYPES] = {"noop", "dummy", "semaphore", "shared_memory"};

struct entry {
    struct entry *next;          /* in its bucket, or of the free ones */
    struct entry *newer, *older; /* of its type */
    uint32_t hash;
    uint16_t type, size_class;
    size_t len;
    char name[];
};

/* Room for names of up to so many bytes, their NUL included. */
static const size_t classes[] = {40, 136, 264, MP__TRACKER_LINE};
#define CLASSES (sizeof classes / sizeof *classes)

static struct tracker {
    struct entry **buckets;
    struct entry *oldest[TYPES], *newest[TYPES];
    size_t count[TYPES];
    struct entry *unused[CLASSES];
    char *chunk;
    size_t chunk_left;
    int exit_code;
} t;

/* ---- saying ---------------------------------------------------------------------------------- */

static struct {
    size_t len;
    char text[2048];
} said;

static void
say_all(void)
{
    size_t at = 0;
    while (at < said.len) {
        ssize_t n = write(STDERR_FILENO, said.text + at, said.len - at);
        if (n < 0 && errno != EINTR) {
            break; /* nobody hears: what there is to do is done all the same */
        }
        at += n > 0 ? (size_t)n : 0;
    }
    said.len = 0;
}

static void
say_bytes(const char *s, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if (said.len == sizeof said.text) {
            say_all();
        }
        said.text[said.len++] = s[i];
    }
}

static void
say(const char *s)
{
    say_bytes(s, strlen(s));
}

static void
say_number(size_t n)
{
    char digits[24];
    size_t at = sizeof digits;
    do {
        digits[--at] = (char)('0' + n % 10);
        n /= 10;
    } while (n > 0);
    say_bytes(digits + at, sizeof digits - at);
}

/* As Python's repr() of a str, or of bytes. */
static void
say_repr(const char *s, size_t len)
{
    static const char hex[] = "0123456789abcdef", plain[] = "\\\n\r\t", letters[] = "\\nrt";
    char quote = memchr(s, '\'', len) && !memchr(s, '"', len) ? '"' : '\'';
    say_bytes(&quote, 1);
    for (size_t i = 0; i < len; i++) {
        const char *special = s[i] ? strchr(plain, s[i]) : NULL;
        if (special || s[i] == quote) {
            char pair[2] = {'\\', special ? letters[special - plain] : quote};
            say_bytes(pair, 2);
        } else if ((unsigned char)s[i] < 0x20 || s[i] == 0x7f) {
            char code[4] = {'\\', 'x', hex[(unsigned char)s[i] >> 4], hex[s[i] & 15]};
            say_bytes(code, 4);
        } else {
            say_bytes(&s[i], 1);
        }
    }
    say_bytes(&quote, 1);
}

#define TEXT_OF(x)  #x
#define TEXT(x)     TEXT_OF(x)
#define warn_here() say(__FILE__ ":" TEXT(__LINE__) ": UserWarning: resource_tracker: ")

/* A request that makes no sense: the last line of Python's traceback. */
static void
complain(const char *error, const char *name, size_t len, const char *after, const char *type)
{
    t.exit_code = MP_TRACKER_MALFORMED;
    say(error);
    if (after) {
        say_bytes(name, len);
        say(after);
        say(type);
    } else {
        say_repr(name, len);
    }
    say("\n");
    say_all();
}

/* ---- what is registered ---------------------------------------------------------------------- */

static void *
pages(size_t size)
{
    void *p = mp__plat_map(-1, NULL, size);
    return p == MAP_FAILED ? NULL : p;
}

static struct entry *
new_entry(size_t len)
{
    size_t c = 0;
    while (classes[c] < len + 1) {
        c++; /* a name is shorter than a line */
    }
    struct entry *e = t.unused[c];
    if (e) {
        t.unused[c] = e->next;
        return e;
    }
    size_t size = sizeof *e + classes[c];
    if (t.chunk_left < size) {
        t.chunk = pages(CHUNK_BYTES);
        t.chunk_left = t.chunk ? CHUNK_BYTES : 0;
    }
    if (!t.chunk) {
        return NULL;
    }
    e = (struct entry *)(void *)t.chunk;
    e->size_class = (uint16_t)c;
    t.chunk += size;
    t.chunk_left -= size;
    return e;
}

static uint32_t
hash_of(const char *name, size_t len)
{
    uint32_t hash = UINT32_C(2166136261);
    for (size_t i = 0; i < len; i++) {
        hash = (hash ^ (unsigned char)name[i]) * UINT32_C(16777619);
    }
    return hash ^ hash >> 15;
}

/* Where the link to it is, or would be. */
static struct entry **
find(enum type type, uint32_t hash, const struct mp__tracker_request *r)
{
    struct entry **at = &t.buckets[hash % BUCKETS];
    while (*at && ((*at)->hash != hash || (*at)->type != type || (*at)->len != r->name_len ||
                   memcmp((*at)->name, r->name, r->name_len) != 0)) {
        at = &(*at)->next;
    }
    return at;
}

static void
add(enum type type, const struct mp__tracker_request *r)
{
    uint32_t hash = hash_of(r->name, r->name_len);
    struct entry **at = find(type, hash, r);
    if (*at) {
        return; /* a set */
    }
    struct entry *e = new_entry(r->name_len);
    if (!e) {
        complain("MemoryError: cannot register ", r->name, r->name_len, NULL, NULL);
        return;
    }
    e->next = NULL;
    e->hash = hash;
    e->type = (uint16_t)type;
    e->len = r->name_len;
    memcpy(e->name, r->name, r->name_len + 1);
    e->newer = NULL;
    e->older = t.newest[type];
    *(e->older ? &e->older->newer : &t.oldest[type]) = e;
    t.newest[type] = e;
    t.count[type]++;
    *at = e;
}

static void
take_out(enum type type, const struct mp__tracker_request *r)
{
    struct entry **at = find(type, hash_of(r->name, r->name_len), r), *e = *at;
    if (!e) {
        complain("KeyError: ", r->name, r->name_len, NULL, NULL);
        return;
    }
    *at = e->next;
    *(e->older ? &e->older->newer : &t.oldest[type]) = e->newer;
    *(e->newer ? &e->newer->older : &t.newest[type]) = e->older;
    t.count[type]--;
    e->next = t.unused[e->size_class];
    t.unused[e->size_class] = e;
}

/* ---- requests -------------------------------------------------------------------------------- */

static void
serve(const char *line, size_t len)
{
    static struct mp__tracker_request r;
    if (!mp__tracker_parse(line, len, &r)) {
        complain("ValueError: malformed resource_tracker message: b", line, len, NULL, NULL);
        return;
    }
    enum type type = NOOP;
    while (type < TYPES && strcmp(r.type, type_names[type]) != 0) {
        type++;
    }
    if (type == TYPES) {
        complain("ValueError: Cannot register ", r.name, r.name_len,
                 " for automatic cleanup: unknown resource type ", r.type);
    } else if (strcmp(r.command, "REGISTER") == 0) {
        add(type, &r);
    } else if (strcmp(r.command, "UNREGISTER") == 0) {
        take_out(type, &r);
    } else if (strcmp(r.command, "PROBE") != 0) {
        complain("RuntimeError: unrecognized command ", r.command, strlen(r.command), NULL, NULL);
    }
}

/* Lines until the end of the pipe; the last may have no line feed.  One that is too long is shown by
   its beginning. */
static void
serve_all(int fd)
{
    static char buf[8192];
    size_t len = 0;
    bool too_long = false; /* what is in buf begins in the midst of such a line */
    for (;;) {
        ssize_t n = read(fd, buf + len, sizeof buf - len);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
            mp__plat_poll_in(fd, MP__NEVER); /* a client made the pipe so */
            continue;
        }
        if (n <= 0) {
            break;
        }
        len += (size_t)n;
        size_t at = 0;
        for (const char *end; (end = memchr(buf + at, '\n', len - at)) != NULL;) {
            if (!too_long) {
                serve(buf + at, (size_t)(end - buf) - at);
            }
            too_long = false;
            at = (size_t)(end - buf) + 1;
        }
        memmove(buf, buf + at, len - at);
        len -= at;
        if (len >= MP__TRACKER_LINE) {
            if (!too_long) {
                serve(buf, len); /* says that it is */
            }
            too_long = true;
            len = 0;
        }
    }
    if (len > 0 && !too_long) {
        serve(buf, len);
    }
}

/* ---- the end --------------------------------------------------------------------------------- */

/* 0 or errno; -1: there is no such thing as unlinking it. */
static int
unlink_one(enum type type, const char *name)
{
    switch (type) {
    case SEMAPHORE:
        return sem_unlink(name) < 0 ? errno : 0;
    case SHARED_MEMORY:
        return shm_unlink(name) < 0 ? errno : 0;
    case DUMMY:
        return 0;
    default:
        return -1;
    }
}

/* strerror() may allocate and translate; these are what can come. */
static const char *
words_of(int err)
{
    switch (err) {
    case ENOENT:
        return "No such file or directory";
    case EACCES:
        return "Permission denied";
    case EPERM:
        return "Operation not permitted";
    case EINVAL:
        return "Invalid argument";
    case ENAMETOOLONG:
        return "File name too long";
    case EISDIR:
        return "Is a directory";
    default:
        return "Error";
    }
}

static void
tell_failure(enum type type, const struct entry *e, int err)
{
    t.exit_code = MP_TRACKER_FAILED;
    warn_here();
    say_repr(e->name, e->len);
    say(": ");
    if (err < 0) {
        say("noop should never be registered or cleaned up");
    } else {
        say("[Errno ");
        say_number((size_t)err);
        say("] ");
        say(words_of(err));
        if (type == SHARED_MEMORY) { /* where Python's error has the name too */
            say(": ");
            say_repr(e->name, e->len);
        }
    }
    say("\n");
    say_all();
}

static void
tell_leaks(enum type type)
{
    if (t.exit_code != MP_TRACKER_FAILED) {
        t.exit_code = MP_TRACKER_LEAKED;
    }
    if (type == DUMMY) {
        return;
    }
    warn_here();
    say("There appear to be ");
    say_number(t.count[type]);
    say(" leaked ");
    say(type_names[type]);
    say(" objects to clean up at shutdown: {");
    for (const struct entry *e = t.oldest[type]; e; e = e->newer) {
        say_repr(e->name, e->len);
        say(e->newer ? ", " : "}\n");
    }
    say_all();
}

static void
clean_up(enum type type)
{
    if (t.count[type] > 0) {
        tell_leaks(type);
    }
    for (const struct entry *e = t.oldest[type]; e; e = e->newer) {
        int err = unlink_one(type, e->name);
        if (err != 0) {
            tell_failure(type, e, err);
        }
    }
}

void
mp__tracker_deaf(void)
{
    static const int ignored[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGPIPE};
    struct sigaction sa;
    sigset_t none;
    memset(&sa, 0, sizeof sa);
    sigemptyset(&sa.sa_mask);
    sa.sa_handler = SIG_DFL;
    for (int s = 1; s < 65; s++) {
        sigaction(s, &sa, NULL); /* numbers that are no signal's fail */
    }
    sa.sa_handler = SIG_IGN;
    for (size_t i = 0; i < sizeof ignored / sizeof *ignored; i++) {
        sigaction(ignored[i], &sa, NULL);
    }
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

void
mp__tracker_main(int fd)
{
    int null = open("/dev/null", O_RDWR);
    if (null >= 0) {
        dup2(null, STDIN_FILENO);
        dup2(null, STDOUT_FILENO);
        if (null > STDERR_FILENO) {
            close(null);
        }
    }
    t.buckets = pages(BUCKETS * sizeof *t.buckets);
    if (!t.buckets) {
        say("MemoryError: resource_tracker\n");
        say_all();
        _exit(MP_TRACKER_FAILED); /* the clients see a broken pipe */
    }
    serve_all(fd);
    for (enum type type = NOOP; type < TYPES; type++) {
        clean_up(type);
    }
    _exit(t.exit_code);
}
