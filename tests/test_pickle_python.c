/*
 * test_pickle_python.c: pickles to and from the python3 that is here, both ways; skipped when there
 * is none.
 */
#include "pickle_test.h"

#include <errno.h>

static bool
have_python(void)
{
    return system("python3 -c 'import sys; sys.exit(sys.version_info < (3, 8))' 2>/dev/null") == 0;
}

/* Values as CPython makes them; it prints pickle, repr() and what it would write again. */
static const char python_writes[] =
    "import pickle\n"
    "shared = [1, 2]\n"
    "values = [None, True, 0, -1, 255, 65536, -2**63, 2**63-1, 0.1, -0.0, 1e300, 5e-324,\n"
    "  \"\", \"it is\", \"h\\u00e9 \\u20ac \\U0001f600 \\ud800\\x00\", b\"\", b\"\\xff\" * 300,\n"
    "  bytearray(b\"abc\"), bytearray(), [], [1], (), (1,), (1, 2, 3, 4), {}, {1: 2}, set(), {7},\n"
    "  frozenset(), frozenset({7}), {\"a\": [1, {\"b\": (None, 2.5)}], \"c\": {3}},\n"
    "  [shared, shared], list(range(2500)), {i: str(i) for i in range(1000)},\n"
    "  \"x\" * 70000, [b\"y\" * 65536, 1, b\"z\" * 65535], [\"q\" * 200] * 3,\n"
    "  ValueError(\"wrong\"), KeyError(\"k\"), KeyError(1, 2), ZeroDivisionError(), "
    "StopIteration(5),\n"
    "  [TypeError(\"a\"), TypeError(\"b\")]]\n"
    "for v in values:\n"
    "  for p in range(6):\n"
    "    b = pickle.dumps(v, p)\n"
    "    v2 = pickle.loads(b)\n"
    "    print(b.hex(), repr(v2).encode(\"utf-8\", \"surrogatepass\").hex(),\n"
    "          pickle.dumps(v2, 4).hex())\n";

static void
check_python_line(char *line)
{
    char *pickle = strtok(line, " \n"), *repr = strtok(NULL, " \n"), *again = strtok(NULL, " \n");
    assert_non_null(again);
    mp_obj o = load_hex(pickle);
    char *text = mp_obj_repr(o), *text_hex = to_hex(text, strlen(text));
    assert_string_equal(text_hex, repr);
    void *data;
    size_t len;
    mp_assert_ok(mp_obj_dump(o, &data, &len));
    char *hex = to_hex(data, len);
    assert_string_equal(hex, again);
    free(hex);
    free(data);
    free(text_hex);
    free(text);
    mp_obj_free(o);
}

/* A pipe from `python3 script < input`; both are files of the test's directory. */
static FILE *
run_python(const char *script, const char *input)
{
    char path[300], command[700];
    snprintf(path, sizeof path, "%s/script.py", mp_test_dir());
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs(script, f);
    fclose(f);
    snprintf(command, sizeof command, "python3 %s < %s", path, input);
    f = popen(command, "r");
    assert_non_null(f);
    return f;
}

static void
test_python_writes_and_we_read(void **state)
{
    (void)state;
    if (!have_python()) {
        print_message("python3 (3.8 or later) is not here\n");
        skip();
    }
    FILE *f = run_python(python_writes, "/dev/null");
    size_t cap = 1 << 20, lines = 0;
    char *line = malloc(cap);
    assert_non_null(line);
    while (fgets(line, (int)cap, f)) {
        check_python_line(line);
        lines++;
    }
    free(line);
    assert_int_equal(pclose(f), 0);
    assert_int_equal(lines, 43 * 6);
}

static const char python_reads[] =
    "import pickle, sys\n"
    "for line in sys.stdin:\n"
    "  b = bytes.fromhex(line)\n"
    "  v = pickle.loads(b)\n"
    "  same = b == pickle.dumps(v, 4) or isinstance(v, BaseException)\n"
    "  print(type(v).__module__, repr(v).encode(\"utf-8\", \"surrogatepass\").hex(), int(same))\n";

static void
test_we_write_and_python_reads(void **state)
{
    (void)state;
    if (!have_python()) {
        print_message("python3 (3.8 or later) is not here\n");
        skip();
    }
    mp_obj shared = mp_list(1);
    const mp_obj values[] = {
        mp_list(42, mp_none(), "hello"),
        mp_list(mp_bool(true), -1, 1.5, mp_bytes("\0\xff", 2), mp_tuple(), mp_tuple(1, 2, 3, 4)),
        mp_dict("a", mp_list(), 2, mp_dict(), mp_tuple(1, "x"), mp_none()),
        mp_list(mp_obj_ref(shared), mp_obj_ref(shared), shared),
        numbers(MP_KIND_LIST, 30000),
        numbers(MP_KIND_DICT, 2000),
        numbers(MP_KIND_SET, 1001),
        zeros(65536, true),
        mp_list(zeros(100000, false), "after"),
        mp_from("\xed\xa0\x80 \xf0\x9f\x98\x80 it's"),
        mp_from(INT64_MIN),
        mp_error_new(MP_EVALUE, NULL, "wrong"),
        mp_error_new(-ENOENT, "FileNotFoundError", "none"),
        mp_error_new(MP_EEMPTY, NULL, ""),
        mp_error_new(MP_EFULL, NULL, "full"),
        mp_error_new(MP_ETIMEOUT, NULL, NULL),
        mp_error_new(MP_EAUTH, NULL, NULL),
        mp_error_new(MP_EBROKENBARRIER, NULL, NULL),
        mp_error_new(MP_EWORKERLOST, NULL, NULL),
        mp_error_new(MP_EUNPICKLING, NULL, NULL),
        mp_error_new(MP_EREMOTE, NULL, NULL),
    };
    static const char *const modules[] = {"queue",
                                          "_queue",
                                          "threading",
                                          "multiprocessing.context",
                                          "concurrent.futures.process",
                                          "_pickle",
                                          "builtins",
                                          "multiprocessing.managers"};
    size_t n = sizeof values / sizeof *values;
    char path[300];
    snprintf(path, sizeof path, "%s/pickles", mp_test_dir());
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    for (size_t i = 0; i < n; i++) {
        void *data;
        size_t len;
        mp_assert_ok(mp_obj_dump(values[i], &data, &len));
        char *hex = to_hex(data, len);
        fprintf(f, "%s\n", hex);
        free(hex);
        free(data);
    }
    fclose(f);
    f = run_python(python_reads, path);
    size_t cap = 1 << 20;
    char *line = malloc(cap), *want;
    assert_non_null(line);
    for (size_t i = 0; i < n; i++) {
        assert_non_null(fgets(line, (int)cap, f));
        char *module = strtok(line, " \n"), *repr = strtok(NULL, " \n"),
             *same = strtok(NULL, " \n");
        bool known = false;
        for (size_t m = 0; m < sizeof modules / sizeof *modules; m++) {
            known = known || strcmp(modules[m], module) == 0;
        }
        assert_true(known);
        want = mp_obj_repr(values[i]);
        char *hex = to_hex(want, strlen(want));
        assert_string_equal(repr, hex);
        assert_string_equal(same, "1");
        free(hex);
        free(want);
    }
    free(line);
    assert_int_equal(pclose(f), 0);
    for (size_t i = 0; i < n; i++) {
        mp_obj_free(values[i]);
    }
}

/* ---- a type of the program's own, a class over there ----------------------------------------- */

static int
reduce_point(const void *data, mp_obj *ret)
{
    const int *p = data;
    *ret = mp_tuple(p[0], p[1]);
    return 0;
}

static int
rebuild_point(mp_obj args, void **ret)
{
    int *p = mp_obj_len(args) == 2 ? malloc(2 * sizeof *p) : NULL;
    if (!p) {
        return MP_ETYPE;
    }
    p[0] = (int)mp_as_int(mp_list_get(args, 0));
    p[1] = (int)mp_as_int(mp_list_get(args, 1));
    *ret = p;
    return 0;
}

/* Reads ours, and writes it with its numbers changed about: by __reduce__, and as a namedtuple. */
static const char python_points[] =
    "import pickle, sys, types, collections\n"
    "m = types.ModuleType('geo'); sys.modules['geo'] = m\n"
    "class Point:\n"
    "  def __init__(self, x, y): self.x, self.y = x, y\n"
    "  def __reduce__(self): return Point, (self.x, self.y)\n"
    "Point.__module__ = 'geo'; m.Point = Point\n"
    "m.Pair = collections.namedtuple('Pair', 'x y', module='geo')\n"
    "for line in sys.stdin:\n"
    "  p = pickle.loads(bytes.fromhex(line))[0]\n"
    "  for protocol in range(2, 6):\n"
    "    print(pickle.dumps([Point(p.y, p.x), m.Pair(p.y, p.x)], protocol).hex())\n";

static void
test_type_of_ours_is_a_class_of_pythons(void **state)
{
    (void)state;
    static const char *const names[] = {"geo.Point", "geo.Pair"};
    if (!have_python()) {
        print_message("python3 (3.8 or later) is not here\n");
        skip();
    }
    char path[300], line[1000];
    snprintf(path, sizeof path, "%s/pickles", mp_test_dir());
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    for (int i = 0; i < 2; i++) {
        int *p = malloc(2 * sizeof *p);
        p[0] = 3, p[1] = 70000;
        mp_assert_ok(mp_register_type(&(mp_type){names[i], reduce_point, rebuild_point, free}));
        mp_obj o = mp_list(mp_from_typed(names[i], p));
        void *data;
        size_t len;
        mp_assert_ok(mp_obj_dump(o, &data, &len));
        char *hex = to_hex(data, len);
        fprintf(f, "%s\n", hex);
        free(hex);
        free(data);
        mp_obj_free(o);
    }
    fclose(f);
    f = run_python(python_points, path);
    int lines = 0;
    for (; fgets(line, sizeof line, f); lines++) {
        mp_obj o = load_hex(line);
        for (int i = 0; i < 2; i++) {
            const int *p = mp_as_typed(mp_list_get(o, i), names[i]);
            assert_non_null(p);
            assert_true(p[0] == 70000 && p[1] == 3);
        }
        mp_obj_free(o);
    }
    assert_int_equal(pclose(f), 0);
    assert_int_equal(lines, 8);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_python_writes_and_we_read),
    cmocka_unit_test(test_we_write_and_python_reads),
    cmocka_unit_test(test_type_of_ours_is_a_class_of_pythons),
};

MP_TEST_MAIN(tests)
