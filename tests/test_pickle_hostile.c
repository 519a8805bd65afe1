/*
 * test_pickle_hostile.c: pickles that nobody should send: they are refused, or harmless, and take
 * memory and time in proportion to their length; and memory that runs out.
 */
#include "pickle_test.h"

#include <sys/resource.h>

#include "object/object.h"

#if defined __SANITIZE_ADDRESS__ || defined __SANITIZE_THREAD__
#define SANITIZED 1
#elif defined __has_feature
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) ||                         \
    __has_feature(memory_sanitizer)
#define SANITIZED 1
#endif
#endif
#ifndef SANITIZED
#define SANITIZED 0
#endif

/* ---- memory that runs out -------------------------------------------------------------------- */

#if defined __GLIBC__ && !SANITIZED
#define CAN_FAIL_MALLOC 1
/* The n-th allocation from now fails; 0: none. */
static long fail_at;

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *p, size_t size);

static bool
fails_now(void)
{
    return fail_at > 0 && --fail_at == 0;
}

void *
malloc(size_t size)
{
    return fails_now() ? NULL : __libc_malloc(size);
}

void *
calloc(size_t n, size_t size)
{
    return fails_now() ? NULL : __libc_calloc(n, size);
}

void *
realloc(void *p, size_t size)
{
    return fails_now() ? NULL : __libc_realloc(p, size);
}
#else
#define CAN_FAIL_MALLOC 0
static long fail_at;
#endif

/* ---- hostile input --------------------------------------------------------------------------- */

static void
test_load_refuses_what_is_no_pickle(void **state)
{
    (void)state;
    static const struct {
        const char *hex;
        int code;
        const char *text;
    } rows[] = {
        {"", MP_EUNPICKLING, "without STOP"},
        {"2e", MP_EUNPICKLING, "the stack is empty"},
        {"80062e", MP_EUNPICKLING, "protocol above 5"},
        {"80", MP_EUNPICKLING, "ends early"},
        {"80044b", MP_EUNPICKLING, "ends early, at byte 2 of 3"},
        {"80044b05", MP_EUNPICKLING, "without STOP"},
        {"ff2e", MP_EUNPICKLING, "opcode 0xff"},
        {"282e", MP_EUNPICKLING, "the stack is empty"},
        {"28302e", MP_EUNPICKLING, "the stack is empty"},
        {"4e282e", MP_EUNPICKLING, "the stack is empty"},
        {"652e", MP_EUNPICKLING, "no mark"},
        {"5d652e", MP_EUNPICKLING, "no mark"},
        {"4e28652e", MP_EUNPICKLING, "without the container"},
        {"5d284e28652e", MP_EUNPICKLING, "without the container"},
        {"612e", MP_EUNPICKLING, "the stack is empty"},
        {"4e612e", MP_EUNPICKLING, "without the container"},
        {"7d284e752e", MP_EUNPICKLING, "a key without its value"},
        {"7d5d4e732e", MP_EUNPICKLING, "cannot be hashed"},
        {"8f285d902e", MP_EUNPICKLING, "cannot be hashed"},
        {"284e91284e902e", MP_EUNPICKLING, "items for a frozenset"},
        {"68002e", MP_EUNPICKLING, "memo number that holds nothing"},
        {"942e", MP_EUNPICKLING, "the stack is empty"},
        {"4e7100 4e7100 2e", MP_EUNPICKLING, "memo number that is in use"},
        {"4e72ffffffff2e", MP_EUNPICKLING, "memo number without reason"},
        {"4e703939393939390a2e", MP_EUNPICKLING, "memo number without reason"},
        {"4e672d310a2e", MP_EUNPICKLING, "negative"},
        {"8c01ff2e", MP_EUNPICKLING, "not UTF-8"},
        {"5501ff2e", MP_EUNPICKLING, "not ASCII"},
        {"8c0561622e", MP_EUNPICKLING, "beyond the end"},
        {"58ffffffff61", MP_EUNPICKLING, "beyond the end"},
        {"8dffffffffffffffff61", MP_EUNPICKLING, "beyond the end"},
        {"8effffffffffffff7f61", MP_EUNPICKLING, "beyond the end"},
        {"96ffffffffffffff7f61", MP_EUNPICKLING, "beyond the end"},
        {"8bffffffff00", MP_EUNPICKLING, "beyond the end"},
        {"95ffffffffffffffff4e2e", MP_EUNPICKLING, "frame beyond the end"},
        {"8a0900000000000000800 02e", MP_EOVERFLOW, "beyond 64 bits"},
        {"8a09ffffffffffffff7fff2e", MP_EOVERFLOW, "beyond 64 bits"},
        {"8a0a000000000000000000012e", MP_EOVERFLOW, "beyond 64 bits"},
        {"4939323233333732303336383534373735383038 0a2e", MP_EOVERFLOW, "beyond 64 bits"},
        {"490a2e", MP_EUNPICKLING, "without digits"},
        {"492d0a2e", MP_EUNPICKLING, "without digits"},
        {"4931780a2e", MP_EUNPICKLING, "an int that is none"},
        {"4931", MP_EUNPICKLING, "a line without end"},
        {"460a2e", MP_EUNPICKLING, "a float that is none"},
        {"46312e322e330a2e", MP_EUNPICKLING, "a float that is none"},
        {"463078310a2e", MP_EUNPICKLING, "a float that is none"},
        {"565c75313233670a2e", MP_EUNPICKLING, "bad escape"},
        {"565c5530303131303030300a2e", MP_EUNPICKLING, "bad escape"},
        {"53610a2e", MP_EUNPICKLING, "without quotes"},
        {"53275c7166270a2e", MP_EUNPICKLING, "not ASCII"},
        {"50310a2e", MP_EUNPICKLING, "opcode 0x50"}, /* PERSID */
        {"4e512e", MP_EUNPICKLING, "opcode 0x51"},   /* BINPERSID */
        {"82012e", MP_EUNPICKLING, "opcode 0x82"},   /* EXT1 */
        {"97 2e", MP_EUNPICKLING, "opcode 0x97"},    /* NEXT_BUFFER */
        {"636f730a73797374656d0a2e", MP_EUNPICKLING, "os.system"},
        {"8c026f738c0673797374656d93 8c0269 6485522e", MP_EUNPICKLING, "os.system"},
        {"636275696c74696e730a6576616c0a2e", MP_EUNPICKLING, "builtins.eval"},
        {"63636f6c6c656374696f6e730a4f726465726564446963740a2952 2e", MP_EUNPICKLING,
         "collections.OrderedDict"},
        {"636275696c74696e730a7365740a2e", MP_EUNPICKLING, "a global in place of a value"},
        {"5d636275696c74696e730a7365740a612e", MP_EUNPICKLING, "in place of a value"},
        {"4e4e932e", MP_EUNPICKLING, "a global without its two names"},
        {"4e29522e", MP_EUNPICKLING, "no class"},
        {"636275696c74696e730a7365740a4e522e", MP_EUNPICKLING, "no class"},
        {"636275696c74696e730a7365740a4b0585522e", MP_EUNPICKLING, "something else than items"},
        {"636275696c74696e730a62797465730a4b0585522e", MP_EUNPICKLING, "does not read"},
        {"635f636f646563730a656e636f64650a58030000 00e282ac58060000006c6174696e3186522e",
         MP_EUNPICKLING, "a character that is none"},
        {"5d7d622e", MP_EUNPICKLING, "a state for something that has none"},
        {"5d9468 00612e", MP_EUNPICKLING, "holds itself"},
        {"5d946800 85612e", MP_EUNPICKLING, "holds itself"},
        {"7d944b016800732e", MP_EUNPICKLING, "holds itself"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        check_refused(rows[i].hex, rows[i].code, rows[i].text);
    }
    mp_obj o;
    mp_assert_code(mp_obj_load(NULL, 5, &o), MP_EVALUE);
    mp_assert_code(mp_obj_load("N.", 2, NULL), MP_EVALUE);
    mp_assert_code(mp_obj_load(NULL, 0, &o), MP_EUNPICKLING);
}

/* A list that is in another one, which is then put into it: no opcode of CPython does that. */
static void
test_load_refuses_cycles_made_afterwards(void **state)
{
    (void)state;
    /* a = []; b = [a]; a.append(b) */
    check_refused("5d94 5d94 6800 61 30 6800 6801 61 2e", MP_EUNPICKLING, "holds itself");
}

static void
test_load_truncated_anywhere_is_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof samples / sizeof *samples; i++) {
        size_t len;
        unsigned char *data = from_hex(samples[i].hex, &len);
        for (size_t n = 0; n < len; n++) {
            unsigned char *part = malloc(n ? n : 1); /* of that size: a read beyond is seen */
            memcpy(part, data, n);
            mp_obj o;
            int rc = mp_obj_load(part, n, &o);
            if (rc != MP_EUNPICKLING) {
                fail_msg("pickle %zu cut to %zu of %zu: %d", i, n, len, rc);
            }
            free(part);
        }
        free(data);
    }
}

/* Read hostile bytes, and use what comes of them. */
static void
survive(const unsigned char *data, size_t len)
{
    mp_obj o, back;
    int rc = mp_obj_load(data, len, &o);
    if (rc) {
        assert_true(rc == MP_EUNPICKLING || rc == MP_EOVERFLOW);
        return;
    }
    void *again;
    size_t again_len;
    free(mp_obj_repr(o));
    free(mp_obj_str(o));
    mp_assert_ok(mp_obj_dump(o, &again, &again_len));
    mp_assert_ok(mp_obj_load(again, again_len, &back));
    mp_obj_equal(o, back);
    free(again);
    mp_obj_free(back);
    mp_obj_free(o);
}

static void
test_load_survives_every_bit_flip(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof samples / sizeof *samples; i++) {
        size_t len;
        unsigned char *data = from_hex(samples[i].hex, &len);
        for (size_t bit = 0; bit < 8 * len; bit++) {
            data[bit / 8] ^= (unsigned char)(1 << bit % 8);
            survive(data, len);
            data[bit / 8] ^= (unsigned char)(1 << bit % 8);
        }
        free(data);
    }
}

static uint64_t random_state = UINT64_C(0x2545F4914F6CDD1D);

static size_t
random_below(size_t n)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return n ? (size_t)(random_state % n) : 0;
}

static void
test_load_survives_spliced_pickles(void **state)
{
    (void)state;
    size_t count = sizeof samples / sizeof *samples;
    for (int round = 0; round < 20000; round++) {
        size_t a_len, b_len;
        unsigned char *a = from_hex(samples[random_below(count)].hex, &a_len);
        unsigned char *b = from_hex(samples[random_below(count)].hex, &b_len);
        size_t head = random_below(a_len + 1), from = random_below(b_len + 1);
        unsigned char *both = malloc(head + b_len - from + 1);
        memcpy(both, a, head);
        memcpy(both + head, b + from, b_len - from);
        size_t len = head + b_len - from;
        if (len && random_below(2)) {
            both[random_below(len)] = (unsigned char)random_below(256);
        }
        survive(both, len);
        free(both);
        free(a);
        free(b);
    }
}

/* `head`, then n times `body`, then `tail`, all in hexadecimal. */
static unsigned char *
repeated(const char *head, const char *body, size_t n, const char *tail, size_t *ret_len)
{
    size_t h, b, t;
    unsigned char *hd = from_hex(head, &h), *bd = from_hex(body, &b), *td = from_hex(tail, &t);
    unsigned char *all = malloc(h + n * b + t), *at = all + h;
    assert_non_null(all);
    memcpy(all, hd, h);
    for (size_t i = 0; i < n; i++, at += b) {
        memcpy(at, bd, b);
    }
    memcpy(at, td, t);
    free(hd);
    free(bd);
    free(td);
    *ret_len = h + n * b + t;
    return all;
}

static void
check_repeated(const char *head, const char *body, size_t n, const char *tail, const char *text)
{
    size_t len;
    unsigned char *data = repeated(head, body, n, tail, &len);
    mp_obj o;
    int rc = mp_obj_load(data, len, &o);
    if (text) {
        assert_int_equal(rc, MP_EUNPICKLING);
        assert_non_null(strstr(mp_last_error_text(), text));
    } else {
        mp_assert_ok(rc);
    }
    mp_obj_free(o);
    free(data);
}

/* With a bound to the address space, so that a huge allocation would be MP_ENOMEM. */
static void
test_load_bombs_take_little_memory_and_time(void **state)
{
    (void)state;
    struct rlimit saved, bound;
    getrlimit(RLIMIT_AS, &saved);
    bound = saved;
    if (!SANITIZED) {
        FILE *f = fopen("/proc/self/statm", "r");
        unsigned long pages = 0;
        if (f && fscanf(f, "%lu", &pages) == 1) {
            bound.rlim_cur = (rlim_t)pages * 4096 + (512u << 20);
            setrlimit(RLIMIT_AS, &bound);
        }
        if (f) {
            fclose(f);
        }
    }
    size_t n = 1000000;
    check_repeated("", "5d", n, "2e", NULL);                 /* lists, one the value */
    check_repeated("", "28", n, "2e", "the stack is empty"); /* marks */
    check_repeated("5d", "2861", 1, "2e", "the stack is empty");
    check_repeated("", "5d", 100000, "", "without STOP");
    check_repeated("4e94", "6800", n, "2e", NULL); /* a long stack */
    check_repeated("4e", "94", n, "2e", NULL);     /* a long memo */
    check_repeated("4e", "7200f00000", 1, "2e", "without reason");
    check_repeated("5d", "85", 100000, "2e", "nest too deep"); /* tuples in each other */
    check_repeated("", "5d28", 100000, "2e", "the stack is empty");
    check_repeated("29", "8594", 999, "2e", NULL);
    check_repeated("29", "8594", 1000, "2e", "nest too deep");
    check_repeated("4e", "94 6800 86", 1, "2e", NULL);
    check_repeated("4e85", "3286", 500, "2e", NULL);        /* 2**500 items, shared */
    check_repeated("7d 4e85", "3286", 500, "4e732e", NULL); /* ... as a key */
    /* two such keys that are equal, but not the same: comparing them has a bound */
    size_t len;
    unsigned char *half = repeated("4e85", "3286", 40, "", &len);
    char *hex = to_hex(half, len), *two = malloc(2 * strlen(hex) + 32);
    sprintf(two, "7d28%s4e%s4e752e", hex, hex);
    check_repeated(two, "", 0, "", "cost too much");
    free(two);
    free(hex);
    free(half);
    /* one list, copied again and again: list(x) */
    half = repeated("5d28", "4b01", 100000, "65 85 94 636275696c74696e730a6c6973740a94 30", &len);
    hex = to_hex(half, len);
    check_repeated(hex, "6801680052", 10000, "2e", "copy more than there is");
    free(hex);
    free(half);
    setrlimit(RLIMIT_AS, &saved);
}

/* ---- memory ---------------------------------------------------------------------------------- */

static void
test_every_allocation_may_fail(void **state)
{
    (void)state;
    if (!CAN_FAIL_MALLOC) {
        print_message("needs glibc without sanitizers\n");
        skip();
    }
    size_t len;
    unsigned char *data = from_hex(samples[sizeof samples / sizeof *samples - 1].hex, &len);
    bool done = false;
    for (long n = 1; !done; n++) {
        mp_obj o = mp_none(), both = mp_none();
        void *again = NULL;
        size_t again_len;
        char *text = NULL;
        fail_at = n;
        int rc = mp_obj_load(data, len, &o);
        int load_rc = rc;
        if (rc == 0) {
            rc = mp_obj_dump(o, &again, &again_len);
            text = rc ? NULL : mp_obj_repr(o);
            rc = rc || text ? rc : mp_last_error();
            if (rc == 0) {
                both = mp_list(mp_obj_ref(o), mp_tuple(o, "text"), mp_dict("k", mp_set_of(1, "b")),
                               mp_error_new(MP_EVALUE, "my.Type", "message"));
                o = mp_none();
                rc = mp_obj_kind(both) == MP_KIND_FAILED ? mp_last_error() : 0;
            }
        }
        done = fail_at > 0;
        fail_at = 0;
        assert_int_equal(rc, done ? 0 : MP_ENOMEM);
        assert_true(load_rc == 0 || mp_is_none(o));
        free(again);
        free(text);
        mp_obj_free(o);
        mp_obj_free(both);
    }
    free(data);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_load_refuses_what_is_no_pickle),
    cmocka_unit_test(test_load_refuses_cycles_made_afterwards),
    cmocka_unit_test(test_load_truncated_anywhere_is_refused),
    cmocka_unit_test(test_load_survives_every_bit_flip),
    cmocka_unit_test(test_load_survives_spliced_pickles),
    cmocka_unit_test(test_load_bombs_take_little_memory_and_time),
    cmocka_unit_test(test_every_allocation_may_fail),
};

MP_TEST_MAIN(tests)
