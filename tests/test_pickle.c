/* test_pickle.c: the bytes CPython writes, and everything it sends. */
#include "pickle_test.h"

#include <errno.h>

#include "object/object.h"

/* The value, consumed, is pickled to exactly these bytes, and they are read back as an equal. */
static void
check_dump(mp_obj o, const char *hex)
{
    void *data;
    size_t len;
    mp_assert_ok(mp_obj_dump(o, &data, &len));
    char *got = to_hex(data, len);
    assert_string_equal(got, hex);
    mp_obj back;
    mp_assert_ok(mp_obj_load(data, len, &back));
    char *a = mp_obj_repr(o), *b = mp_obj_repr(back);
    assert_string_equal(a, b);
    free(a);
    free(b);
    free(got);
    free(data);
    mp_obj_free(back);
    mp_obj_free(o);
}

static void
check_load(const char *hex, const char *repr)
{
    mp_obj o = load_hex(hex);
    char *got = mp_obj_repr(o);
    assert_string_equal(got, repr);
    free(got);
    mp_obj_free(o);
}

/* ---- bytes CPython writes -------------------------------------------------------------------- */

static void
test_dump_plain_values_are_cpythons_bytes(void **state)
{
    (void)state;
    check_dump(mp_none(), "80044e2e");
    check_dump(mp_bool(true), "8004882e");
    check_dump(mp_bool(false), "8004892e");
    check_dump(mp_from(5), "80044b052e");
    check_dump(mp_list(), "80045d942e");
    check_dump(mp_dict(), "80047d942e");
    check_dump(mp_tuple(), "8004292e");
    check_dump(mp_set_of(), "80048f942e");
    check_dump(mp_from(256), "80049504000000000000004d00012e");
    check_dump(mp_from(1.5), "8004950a00000000000000473ff80000000000002e");
    check_dump(mp_from("abc"), "80049507000000000000008c03616263942e");
    check_dump(mp_from(""), "80049504000000000000008c00942e");
    check_dump(mp_bytes("abc", 3), "80049507000000000000004303616263942e");
    check_dump(mp_list(1, 2), "80049509000000000000005d94284b014b02652e");
    check_dump(mp_list(1), "80049506000000000000005d944b01612e");
    check_dump(mp_tuple(1), "80049505000000000000004b0185942e");
    check_dump(mp_tuple(1, 2), "80049507000000000000004b014b0286942e");
    check_dump(mp_tuple(1, 2, 3), "80049509000000000000004b014b024b0387942e");
    check_dump(mp_tuple(1, 2, 3, 4), "8004950c00000000000000284b014b024b034b0474942e");
    check_dump(mp_dict("a", 1), "8004950a000000000000007d948c0161944b01732e");
    check_dump(mp_dict("a", 1, "b", 2), "80049511000000000000007d94288c0161944b018c0162944b02752e");
    check_dump(mp_set_of(1), "80049507000000000000008f94284b01902e");
    check_dump(mp_list(42, mp_none(), "hello"),
               "80049510000000000000005d94284b2a4e8c0568656c6c6f94652e");
}

static void
test_dump_ints_take_the_fewest_bytes(void **state)
{
    (void)state;
    static const struct {
        int64_t i;
        const char *op;
    } rows[] = {
        {0, "4b00"},
        {255, "4bff"},
        {256, "4d0001"},
        {65535, "4dffff"},
        {65536, "4a00000100"},
        {-1, "4affffffff"},
        {INT32_MAX, "4affffff7f"},
        {INT32_MIN, "4a00000080"},
        {INT64_C(1) << 31, "8a050000008000"},
        {-(INT64_C(1) << 31) - 1, "8a05ffffff7fff"},
        {(INT64_C(1) << 39) - 1, "8a05ffffffff7f"},
        {INT64_C(1) << 39, "8a06000000008000"},
        {-(INT64_C(1) << 39), "8a050000000080"},
        {(INT64_C(1) << 55) - 1, "8a07ffffffffffff7f"},
        {INT64_C(1) << 55, "8a080000000000008000"},
        {INT64_MAX, "8a08ffffffffffffff7f"},
        {INT64_MIN, "8a080000000000000080"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char expected[64];
        size_t payload = strlen(rows[i].op) / 2 + 1;
        if (payload < 4) {
            snprintf(expected, sizeof expected, "8004%s2e", rows[i].op);
        } else {
            snprintf(expected, sizeof expected, "800495%02x00000000000000%s2e", (unsigned)payload,
                     rows[i].op);
        }
        check_dump(mp_from(rows[i].i), expected);
    }
}

static void
test_dump_repeated_values_are_fetched(void **state)
{
    (void)state;
    mp_obj a = mp_list(1), zz = mp_from("zz");
    mp_obj o = mp_list(mp_obj_ref(a), mp_obj_ref(a), mp_obj_ref(zz), zz);
    mp_obj_free(a);
    check_dump(mp_obj_ref(o), "80049513000000000000005d94285d944b016168018c027a7a946802652e");
    mp_obj back = reload(o);
    mp_assert_ok(mp_list_append(mp_list_get(back, 0), mp_from(2)));
    assert_int_equal(mp_obj_len(mp_list_get(back, 1)), 2); /* one list, twice */
    mp_obj_free(back);
}

static void
test_dump_many_repeated_values_need_long_numbers(void **state)
{
    (void)state;
    mp_obj shared[400], o = mp_list();
    for (int i = 0; i < 400; i++) {
        shared[i] = mp_list(i);
        mp_assert_ok(mp_list_append(o, mp_obj_ref(shared[i])));
    }
    for (int i = 0; i < 400; i++) {
        mp_assert_ok(mp_list_append(o, shared[i]));
    }
    o = reload(o);
    for (int i = 0; i < 400; i++) {
        mp_obj a = mp_list_get(o, i), b = mp_list_get(o, i + 400);
        assert_int_equal(mp_as_int(mp_list_get(a, 0)), i);
        assert_ptr_equal(a.mp__u.p, b.mp__u.p);
    }
    mp_obj_free(o);
}

static void
test_dump_of_a_value_in_itself_is_cpythons(void **state)
{
    (void)state;
    mp_obj list = mp_list();
    void *data;
    size_t len;
    mp_assert_ok(mp_list_append(list, mp_obj_ref(list)));
    mp_assert_ok(mp_obj_dump(list, &data, &len));
    char *hex = to_hex(data, len);
    assert_string_equal(hex, "80049506000000000000005d946800612e");
    free(hex);
    free(data);

    mp_obj tuple = mp_tuple(mp_obj_ref(list)); /* the tuple is met first, and is in the list */
    mp_assert_ok(mp_list_set(list, 0, mp_obj_ref(tuple)));
    mp_assert_ok(mp_obj_dump(tuple, &data, &len));
    hex = to_hex(data, len);
    assert_string_equal(hex, "8004950b000000000000005d9468008594613068012e");
    free(hex);
    free(data);
    mp_assert_ok(mp_list_set(list, 0, mp_none()));
    mp_obj_free(tuple);
    mp_obj_free(list);
}

/* Sum of a pickle's bytes and its length, to compare long ones with CPython's. */
static void
check_digest(mp_obj o, size_t len, uint32_t digest)
{
    void *data;
    size_t got;
    uint32_t h = 0;
    mp_assert_ok(mp_obj_dump(o, &data, &got));
    for (size_t i = 0; i < got; i++) {
        h = h * 31 + ((unsigned char *)data)[i];
    }
    assert_int_equal(got, len);
    assert_int_equal(h, digest);
    mp_obj back;
    mp_assert_ok(mp_obj_load(data, got, &back));
    assert_true(mp_obj_equal(back, o));
    free(data);
    mp_obj_free(back);
    mp_obj_free(o);
}

static void
test_dump_batches_and_frames_are_cpythons(void **state)
{
    (void)state;
    check_digest(numbers(MP_KIND_LIST, 2), 20, UINT32_C(0xf597459d));
    check_digest(numbers(MP_KIND_LIST, 999), 2757, UINT32_C(0xd0803916));
    check_digest(numbers(MP_KIND_LIST, 1000), 2760, UINT32_C(0xf8dee1e8));
    check_digest(numbers(MP_KIND_LIST, 1001), 2765, UINT32_C(0xc276088a));
    check_digest(numbers(MP_KIND_LIST, 2000), 5762, UINT32_C(0x49a98b05));
    check_digest(numbers(MP_KIND_LIST, 2001), 5767, UINT32_C(0x46c797e9));
    check_digest(numbers(MP_KIND_LIST, 40000), 119847, UINT32_C(0x250872b1));
    check_digest(numbers(MP_KIND_DICT, 999), 7749, UINT32_C(0xd2728e6e));
    check_digest(numbers(MP_KIND_DICT, 1000), 7759, UINT32_C(0xc35d9c7b));
    check_digest(numbers(MP_KIND_DICT, 1001), 7767, UINT32_C(0x3556add9));
    check_digest(numbers(MP_KIND_DICT, 2000), 15761, UINT32_C(0x1e9fbbf7));
    check_digest(numbers(MP_KIND_DICT, 20000), 159815, UINT32_C(0x97b078d7));
    check_digest(numbers(MP_KIND_SET, 999), 2757, UINT32_C(0xfed66259));
    check_digest(numbers(MP_KIND_SET, 1000), 2762, UINT32_C(0x23288a29));
    check_digest(numbers(MP_KIND_SET, 1001), 2765, UINT32_C(0xd8d237b8));
    check_digest(numbers(MP_KIND_SET, 2000), 5764, UINT32_C(0x732a06bb));
    check_digest(zeros(255, true), 270, UINT32_C(0xb718a330));
    check_digest(zeros(255, false), 270, UINT32_C(0xd0eab127));
    check_digest(zeros(256, true), 274, UINT32_C(0x5758a3a8));
    check_digest(zeros(256, false), 274, UINT32_C(0x62ae4c12));
    check_digest(zeros(65535, true), 65553, UINT32_C(0x7db77d44));
    check_digest(zeros(65535, false), 65553, UINT32_C(0x616cdf9a));
    check_digest(zeros(65536, true), 65545, UINT32_C(0x4c0118cd));
    check_digest(zeros(65536, false), 65545, UINT32_C(0xdef80137));
    check_digest(zeros(70000, true), 70009, UINT32_C(0xd5cf9dee));
    check_digest(zeros(70000, false), 70009, UINT32_C(0x87c2ba58));
    check_digest(mp_list(1, zeros(70000, false), 2), 70035, UINT32_C(0x8725e92b));
    check_digest(mp_list(zeros(65500, true), zeros(100, true), 2), 65636, UINT32_C(0x98142bdb));
    check_digest(mp_tuple(zeros(65530, true), 1, 2, 3, zeros(65536, true)), 131117,
                 UINT32_C(0x4f530ff8));
}

static void
test_dump_into_a_buffer_spills_what_does_not_fit(void **state)
{
    (void)state;
    mp_obj o = mp_list(42, mp_none(), "hello", mp_dict("k", mp_tuple(1.5, 2)));
    void *data, *spill;
    size_t len, got;
    mp_assert_ok(mp_obj_dump(o, &data, &len));
    for (size_t cap = 0; cap <= len + 12; cap++) {
        unsigned char *buf = malloc(cap ? cap : 1);
        mp_assert_ok(mp__obj_dump_into(o, NULL, buf, cap, &got, &spill));
        assert_int_equal(got, len);
        assert_int_equal(spill == NULL, cap >= len);
        assert_memory_equal(spill ? spill : buf, data, len);
        free(spill);
        free(buf);
    }
    free(data);
    mp_obj_free(o);
}

static mp_obj
nested(int levels)
{
    mp_obj o = mp_from(1);
    for (int i = 0; i < levels; i++) {
        o = i % 2 ? mp_list(o) : mp_tuple(o);
    }
    return o;
}

static void
test_dump_deeper_than_1000_is_refused(void **state)
{
    (void)state;
    mp_obj good = reload(nested(1000)), bad = nested(1001);
    void *data;
    size_t len;
    mp_assert_code(mp_obj_dump(bad, &data, &len), MP_EENCODING);
    assert_null(data);
    mp_obj_free(bad);
    mp_obj_free(good);
}

/* ---- errors ---------------------------------------------------------------------------------- */

static void
test_dump_errors_are_cpythons_exceptions(void **state)
{
    (void)state;
    check_dump(mp_error_new(MP_EKEY, NULL, "zz"),
               "80049522000000000000008c086275696c74696e73948c084b65794572726f729493948c027a7a9485"
               "9452942e");
    check_dump(mp_error_new(MP_EEMPTY, NULL, ""),
               "80049516000000000000008c057175657565948c05456d707479949394295294"
               "2e");
    check_dump(mp_error_new(-ENOENT, "FileNotFoundError", "no"),
               "8004952d000000000000008c086275696c74696e73948c1146696c654e6f74466f756e644572726f72"
               "9493944b028c026e6f94869452942e");
    /* The module's name and a class that came before are fetched. */
    check_dump(mp_list(mp_error_new(MP_EVALUE, NULL, ""), mp_error_new(MP_EVALUE, NULL, ""),
                       mp_error_new(MP_ETYPE, NULL, "")),
               "8004953a000000000000005d94288c086275696c74696e73948c0a56616c75654572726f7294939429"
               "5294680329529468018c09547970654572726f72949394295294652e");
}

static void
check_error(mp_obj o, int code, const char *type, const char *message)
{
    assert_int_equal(mp_obj_kind(o), MP_KIND_ERROR);
    assert_int_equal(mp_error_code(o), code);
    assert_string_equal(mp_error_type(o), type);
    assert_string_equal(mp_error_message(o), message);
    mp_obj_free(o);
}

static void
test_errors_come_back_with_code_type_and_message(void **state)
{
    (void)state;
#define CHECK_CODE(code, number, python, text)                                                     \
    check_error(reload(mp_error_new(code, NULL, NULL)), code, python, text);                       \
    check_error(reload(mp_error_new(code, NULL, "why")), code, python, "why");                     \
    check_error(reload(mp_error_new(code, NULL, "")), code, python, "");                           \
    check_error(reload(mp_error_new(code, "ZeroDivisionError", "why")), code, "ZeroDivisionError", \
                "why");                                                                            \
    check_error(reload(mp_error_new(code, "my.Own", "why")), code, "my.Own", "why");               \
    check_error(reload(mp_error_new(code, "UnicodeDecodeError", "why")), code,                     \
                "UnicodeDecodeError", "why");
    MP_ERRORS(CHECK_CODE)
#undef CHECK_CODE
    check_error(reload(mp_error_new(-EPIPE, NULL, "gone")), -EPIPE, "OSError", "gone");
    check_error(reload(mp_error_new(-EPIPE, "BrokenPipeError", "gone")), -EPIPE, "BrokenPipeError",
                "gone");
    check_error(reload(mp_error_new(-EPIPE, "ValueError", "gone")), -EPIPE, "ValueError", "gone");
    check_error(reload(mp_error_new(-EIO, NULL, "")), -EIO, "OSError", "");
}

/* What CPython sends, and what it is here: code, type, message, repr() and str(). */
static void
check_exception(const char *hex, int code, const char *type, const char *repr, const char *str)
{
    mp_obj o = reload(load_hex(hex)); /* nothing is lost on the way through us */
    char *r = mp_obj_repr(o), *s = mp_obj_str(o);
    assert_int_equal(mp_error_code(o), code);
    assert_string_equal(mp_error_type(o), type);
    assert_string_equal(r, repr);
    assert_string_equal(s, str);
    free(r);
    free(s);
    mp_obj_free(o);
}

static void
test_load_exceptions_of_cpython(void **state)
{
    (void)state;
    check_exception("80049522000000000000008c086275696c74696e73948c084b65794572726f729493948c027a"
                    "7a94859452942e",
                    MP_EKEY, "KeyError", "KeyError('zz')", "'zz'");
    check_exception("800263657863657074696f6e730a56616c75654572726f720a7100295271012e", MP_EVALUE,
                    "ValueError", "ValueError()", "");
    check_exception("80049527000000000000008c086275696c74696e73948c0a56616c75654572726f729493944b"
                    "018c0374776f94869452942e",
                    MP_EVALUE, "ValueError", "ValueError(1, 'two')", "(1, 'two')");
    check_exception("8004954b000000000000008c086275696c74696e73948c1146696c654e6f74466f756e644572"
                    "726f729493944b028c194e6f20737563682066696c65206f72206469726563746f7279948c04"
                    "2f78207994879452942e",
                    -ENOENT, "FileNotFoundError",
                    "FileNotFoundError(2, 'No such file or directory')",
                    "[Errno 2] No such file or directory: '/x y'");
    check_exception("80049531000000000000008c086275696c74696e73948c074f534572726f729493948c126261"
                    "64206d657373616765206c656e67746894859452942e",
                    -EIO, "OSError", "OSError('bad message length')", "bad message length");
    check_exception("80049534000000000000008c086275696c74696e73948c0f42726f6b656e506970654572726f"
                    "729493944b208c0b42726f6b656e207069706594869452942e",
                    -EPIPE, "BrokenPipeError", "BrokenPipeError(32, 'Broken pipe')",
                    "[Errno 32] Broken pipe");
    check_exception("8003636275696c74696e730a5a65726f4469766973696f6e4572726f720a7100581000000064"
                    "69766973696f6e206279207a65726f71018571025271032e",
                    MP_ETASK, "ZeroDivisionError", "ZeroDivisionError('division by zero')",
                    "division by zero");
    check_exception("80049517000000000000008c065f7175657565948c05456d7074799493942952942e",
                    MP_EEMPTY, "queue.Empty", "Empty()", "");
    check_exception("80049515000000000000008c057175657565948c0446756c6c9493942952942e", MP_EFULL,
                    "queue.Full", "Full()", "");
    check_exception("80049527000000000000008c09746872656164696e67948c1242726f6b656e42617272696572"
                    "4572726f729493942952942e",
                    MP_EBROKENBARRIER, "threading.BrokenBarrierError", "BrokenBarrierError()", "");
    check_exception("80049537000000000000008c176d756c746970726f63657373696e672e636f6e74657874948c"
                    "0c54696d656f75744572726f729493948c046c61746594859452942e",
                    MP_ETIMEOUT, "multiprocessing.TimeoutError", "TimeoutError('late')", "late");
    check_exception("80049528000000000000008c086275696c74696e73948c0c54696d656f75744572726f729493"
                    "948c046c61746594859452942e",
                    MP_ETIMEOUT, "TimeoutError", "TimeoutError('late')", "late");
    check_exception("80049538000000000000008c176d756c746970726f63657373696e672e636f6e74657874948c"
                    "0e427566666572546f6f53686f7274949394430361626394859452942e",
                    MP_EBUFFERTOOSHORT, "multiprocessing.BufferTooShort", "BufferTooShort(b'abc')",
                    "b'abc'");
    check_exception("80049543000000000000008c086275696c74696e73948c0a56616c75654572726f729493948c"
                    "056e6f74656494859452947d948c095f5f6e6f7465735f5f945d948c0661206e6f7465946173"
                    "622e",
                    MP_EVALUE, "ValueError", "ValueError('noted')", "noted");
    check_exception("8004953b000000000000008c086275696c74696e73948c0b496d706f72744572726f72949394"
                    "8c096e6f206d6f64756c6594859452947d948c046e616d65948c016d9473622e",
                    MP_ETASK, "ImportError", "ImportError('no module')", "no module");
    check_exception("8004951c000000000000008c086275696c74696e73948c08454f464572726f72949394295294"
                    "2e",
                    MP_EEOF, "EOFError", "EOFError()", "");
    check_exception("80049524000000000000008c086275696c74696e73948c0d53746f70497465726174696f6e94"
                    "93944b05859452942e",
                    MP_ESTOP, "StopIteration", "StopIteration(5)", "5");
    check_exception("80049536000000000000008c075f7069636b6c65948c0f556e7069636b6c696e674572726f72"
                    "9493948c10696e76616c6964206c6f6164206b657994859452942e",
                    MP_EUNPICKLING, "pickle.UnpicklingError", "UnpicklingError('invalid load key')",
                    "invalid load key");
    check_exception("80049524000000000000008c086275696c74696e73948c0e417373657274696f6e4572726f72"
                    "9493944e859452942e",
                    MP_ESTATE, "AssertionError", "AssertionError(None)", "None");
}

/* ---- what CPython sends ---------------------------------------------------------------------- */

static void
test_load_every_protocol(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof samples / sizeof *samples; i++) {
        check_load(samples[i].hex, samples[i].repr);
    }
}

static void
test_load_accepts_what_cpython_accepts(void **state)
{
    (void)state;
    check_load("4b052e", "5");                           /* no PROTO */
    check_load("80044b052effff", "5");                   /* bytes after STOP */
    check_load("80044b014b022e", "2");                   /* more on the stack */
    check_load("80049503000000000000004b054b062e", "6"); /* a frame that ends early */
    check_load("8a002e", "0");                           /* an int of no bytes */
    check_load("8a0affffffffffffffffffff2e", "-1");      /* more bytes than it needs */
    check_load("4b0128304b022e", "2");                   /* POP takes a mark, too */
}

/* ---- handles --------------------------------------------------------------------------------- */

static void
test_load_handles_are_refused_from_outside(void **state)
{
    (void)state;
    /* libmp.handle(2, 4096) */
    check_refused("80048c056c69626d708c0668616e646c6593 4b024d001086522e", MP_EUNPICKLING,
                  "libmp.handle");
    mp_obj o = mp_list(mp_from_queue((mp_queue *)(void *)&o));
    void *data;
    size_t len;
    mp_assert_code(mp_obj_dump(o, &data, &len), MP_ERUNTIME);
    assert_non_null(strstr(mp_last_error_text(), "only within the family"));
    mp_obj_free(o);
    o = mp_list(mp_from_connection((mp_connection *)(void *)&o));
    mp_assert_code(mp_obj_dump(o, &data, &len), MP_ERUNTIME);
    assert_non_null(strstr(mp_last_error_text(), "argument of a new process"));
    mp_obj_free(o);
}

static int checked_type;
static void *checked_address;

static int
check_handle(void *ctx, enum mp_handle_type type, void *address)
{
    checked_type = (int)type;
    checked_address = address;
    return *(int *)ctx;
}

static int
connection_out(void *ctx, mp_connection *c, int64_t *ret_index)
{
    (void)ctx;
    checked_address = c;
    *ret_index = 7;
    return 0;
}

static int
connection_in(void *ctx, int64_t index, mp_connection **ret)
{
    *ret = index == 7 ? (mp_connection *)checked_address : NULL;
    return *(int *)ctx;
}

static void
test_handles_travel_within_the_family(void **state)
{
    (void)state;
    int result = 0, place;
    const mp__obj_handles h = {.check = check_handle, .ctx = &result};
    mp_lock *lock = (mp_lock *)(void *)&place;
    mp_obj o = mp_list(mp_from_lock(lock), "between", mp_from_lock(lock)), back;
    void *data;
    size_t len;
    mp_assert_ok(mp__obj_dump(o, &h, &data, &len));
    mp_assert_ok(mp__obj_load(data, len, &h, &back));
    assert_ptr_equal(mp_as_handle(mp_list_get(back, 2), MP_HANDLE_LOCK), &place);
    assert_int_equal(checked_type, MP_HANDLE_LOCK);
    assert_ptr_equal(checked_address, &place);
    assert_true(mp_obj_equal(o, back));
    mp_obj_free(back);
    check_refused_data(data, len, MP_EUNPICKLING, "libmp.handle");
    result = MP_EVALUE; /* what the check says comes out */
    mp_assert_code(mp__obj_load(data, len, &h, &back), MP_EVALUE);
    free(data);
    mp_obj_free(o);

    o = mp_from_connection((mp_connection *)(void *)&place);
    mp_assert_code(mp__obj_dump(o, &h, &data, &len), MP_ERUNTIME);
    const mp__obj_handles with = {.connection_out = connection_out,
                                  .connection_in = connection_in,
                                  .check = check_handle,
                                  .ctx = &result};
    result = 0;
    mp_assert_ok(mp__obj_dump(o, &with, &data, &len));
    mp_assert_ok(mp__obj_load(data, len, &with, &back));
    assert_ptr_equal(mp_as_handle(back, MP_HANDLE_CONNECTION), &place);
    assert_int_equal(mp__obj_load(data, len, &h, &back), MP_EUNPICKLING);
    free(data);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_dump_plain_values_are_cpythons_bytes),
    cmocka_unit_test(test_dump_ints_take_the_fewest_bytes),
    cmocka_unit_test(test_dump_repeated_values_are_fetched),
    cmocka_unit_test(test_dump_many_repeated_values_need_long_numbers),
    cmocka_unit_test(test_dump_of_a_value_in_itself_is_cpythons),
    cmocka_unit_test(test_dump_batches_and_frames_are_cpythons),
    cmocka_unit_test(test_dump_into_a_buffer_spills_what_does_not_fit),
    cmocka_unit_test(test_dump_deeper_than_1000_is_refused),
    cmocka_unit_test(test_dump_errors_are_cpythons_exceptions),
    cmocka_unit_test(test_errors_come_back_with_code_type_and_message),
    cmocka_unit_test(test_load_exceptions_of_cpython),
    cmocka_unit_test(test_load_every_protocol),
    cmocka_unit_test(test_load_accepts_what_cpython_accepts),
    cmocka_unit_test(test_load_handles_are_refused_from_outside),
    cmocka_unit_test(test_handles_travel_within_the_family),
};

MP_TEST_MAIN(tests)
