/*
 * torture_value.c: Value and Array, killed after each instruction.
 *
 * The survivor gets the lock, soon, and is told of the death if the victim held it, and only then.
 * A number is old or new; of a struct, a slice or a string a part may be new only if the next who
 * takes the lock is told.  new loses at most its own block, free none that is not freed again.
 */
#include "torture/torture.h"

#include <errno.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "heap/alloc.h"
#include "heap/heap.h"

#define LONG  1e3 /* who hangs is found out by the frame */
#define OLD   INT64_C(0x1111111111111111)
#define NEW   INT64_C(0x2222222222222222)
#define COUNT 11 /* elements: more than a word of each width, and not a whole number of words */

struct big {
    int64_t part[5];
};

static const struct big old_big = {{OLD, OLD, OLD, OLD, OLD}};
static const struct big new_big = {{NEW, NEW, NEW, NEW, NEW}};
static const char old_text[] = "oooooooooo", new_text[] = "nnnnnnnnnn";

/* Of the survivor, and by fork of all others. */
static struct world {
    mp_value *number, *record;
    mp_array *shorts, *string;
    size_t blocks; /* in use before the victim */
    bool untold;   /* of a holder that died before the victim */
} world;

static void
new_objects(void *arg)
{
    struct world *w = arg;
    short shorts[COUNT];
    memset(shorts, 0x11, sizeof shorts);
    w->number = mp_value_new('q', OLD);
    w->record = mp_value_new_struct(sizeof old_big, &old_big);
    w->shorts = mp_array_new('h', COUNT, shorts);
    w->string = mp_array_new('c', COUNT, old_text);
    mp_child_check(w->number && w->record && w->shorts && w->string);
    w->untold = false;
    w->blocks = torture_blocks();
}

static void
free_objects(void *arg)
{
    struct world *w = arg;
    mp_value_free(w->number);
    mp_value_free(w->record);
    mp_array_free(w->shorts);
    mp_array_free(w->string);
}

/* The same, and who held their locks is dead, which nobody has been told. */
static void
new_dead(void *arg)
{
    struct world *w = arg;
    int status = -1;
    new_objects(arg);
    pid_t pid = fork();
    if (pid == 0) {
        mp_child_ok(mp_value_acquire(w->number, MP_FOREVER));
        mp_child_ok(mp_array_acquire(w->shorts, MP_FOREVER));
        _exit(0);
    }
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
    }
    mp_child_check(status == 0);
    w->untold = true;
}

/* ---- the survivor ----------------------------------------------------------------------------- */

/* After acquiring with `status`; held: somebody held the lock before, and that was a dead one. */
static const char *
judge(const struct world *w, int status, int held, bool finished)
{
    if (status < 0) {
        return "the lock is stuck";
    }
    if (status == 0 && (held || w->untold)) {
        return "the death is not told";
    }
    if (status != 0 && (!held || (finished && !w->untold))) {
        return "a death is told of one who did not hold the lock";
    }
    return NULL;
}

static const char *
value_goes_on(const struct world *w, mp_value *v, bool finished, int *ret_status)
{
    int held = mp_rlock_locked(mp_value_get_lock(v));
    double begin = mp_test_now();
    *ret_status = mp_value_acquire(v, LONG);
    torture_waited(mp_test_now() - begin);
    const char *wrong = judge(w, *ret_status, held, finished);
    if (!wrong && (mp_value_release(v) != 0 || mp_value_acquire(v, 0) != 0 ||
                   mp_value_release(v) != 0 || mp_rlock_locked(mp_value_get_lock(v)) != 0)) {
        wrong = "the lock is out of order";
    }
    return wrong;
}

static const char *
array_goes_on(const struct world *w, mp_array *a, bool finished, int *ret_status)
{
    int held = mp_rlock_locked(mp_array_get_lock(a));
    double begin = mp_test_now();
    *ret_status = mp_array_acquire(a, LONG);
    torture_waited(mp_test_now() - begin);
    const char *wrong = judge(w, *ret_status, held, finished);
    if (!wrong && (mp_array_release(a) != 0 || mp_array_acquire(a, 0) != 0 ||
                   mp_array_release(a) != 0 || mp_rlock_locked(mp_array_get_lock(a)) != 0)) {
        wrong = "the lock is out of order";
    }
    return wrong;
}

static const char *
check_number(void *arg, bool finished)
{
    struct world *w = arg;
    int status;
    int64_t seen = *(volatile int64_t *)mp_value_data(w->number); /* before anybody has the lock */
    const char *wrong = value_goes_on(w, w->number, finished, &status);
    if (!wrong && seen != OLD && seen != NEW) {
        wrong = "the number is torn";
    }
    return wrong ? wrong : finished && seen != NEW ? "a set that was done has no effect" : NULL;
}

static const char *
check_number_read(void *arg, bool finished)
{
    struct world *w = arg;
    int status;
    const char *wrong = value_goes_on(w, w->number, finished, &status);
    return wrong                                               ? wrong
           : *(const int64_t *)mp_value_data(w->number) == OLD ? NULL
                                                               : "a get changes the number";
}

/* n parts of a whole, each old, new or neither: what is wrong with that. */
static const char *
parts(size_t n, size_t olds, size_t news, bool told, bool finished)
{
    return olds + news != n        ? "a part is neither old nor new"
           : olds && news && !told ? "it is half changed and nobody is told"
           : finished && olds      ? "a change that was done has no effect"
                                   : NULL;
}

static const char *
check_record(void *arg, bool finished)
{
    struct world *w = arg;
    const struct big *b = mp_value_data(w->record);
    int status;
    const char *wrong = value_goes_on(w, w->record, finished, &status);
    bool is_old = memcmp(b, &old_big, sizeof *b) == 0, is_new = memcmp(b, &new_big, sizeof *b) == 0;
    if (!wrong && !is_old && !is_new && status != MP_OWNER_DIED) {
        wrong = "it is half changed and nobody is told";
    }
    return wrong ? wrong : finished && !is_new ? "a write that was done has no effect" : NULL;
}

/* stride: of the elements that the victim changes. */
static const char *
check_shorts_by(struct world *w, size_t stride, bool finished)
{
    const unsigned short *s = mp_array_data(w->shorts);
    size_t olds = 0, news = 0, n = 0;
    int status;
    const char *wrong = array_goes_on(w, w->shorts, finished, &status);
    for (size_t i = 0; i < COUNT; i++) {
        if (i % stride) {
            wrong = wrong            ? wrong
                    : s[i] == 0x1111 ? NULL
                                     : "an element beside the slice is changed";
        } else {
            n++;
            olds += s[i] == 0x1111;
            news += s[i] == 0x2222;
        }
    }
    return wrong ? wrong : parts(n, olds, news, status == MP_OWNER_DIED, finished);
}

static const char *
check_shorts(void *arg, bool finished)
{
    return check_shorts_by(arg, 1, finished);
}

static const char *
check_shorts_apart(void *arg, bool finished)
{
    return check_shorts_by(arg, 3, finished);
}

static const char *
check_element(void *arg, bool finished)
{
    struct world *w = arg;
    unsigned short seen = *(volatile unsigned short *)mp_array_data(w->shorts);
    int status;
    const char *wrong = array_goes_on(w, w->shorts, finished, &status);
    return wrong                              ? wrong
           : seen != 0x1111 && seen != 0x2222 ? "the number is torn"
           : finished && seen != 0x2222       ? "a set that was done has no effect"
                                              : NULL;
}

static const char *
check_string(void *arg, bool finished)
{
    struct world *w = arg;
    char text[COUNT + 1];
    int status;
    const char *wrong = array_goes_on(w, w->string, finished, &status);
    if (!wrong && mp_array_get_string(w->string, text, sizeof text) != 0) {
        wrong = "the string cannot be read";
    }
    size_t olds = 0, news = 0, n = wrong ? 0 : strlen(text);
    for (size_t i = 0; i < n; i++) {
        olds += text[i] == 'o';
        news += text[i] == 'n';
    }
    wrong = wrong ? wrong : parts(n, olds, news, status == MP_OWNER_DIED, finished);
    return wrong ? wrong : n == COUNT - 1 ? NULL : "the string has another length";
}

static const char *
check_untouched(void *arg, bool finished)
{
    struct world *w = arg;
    const unsigned short *s = mp_array_data(w->shorts);
    int status;
    const char *wrong = array_goes_on(w, w->shorts, finished, &status);
    for (size_t i = 0; i < COUNT && !wrong; i++) {
        wrong = s[i] == 0x1111 ? NULL : "a reader changes the array";
    }
    return wrong;
}

/* ---- the victim ------------------------------------------------------------------------------- */

static void
touch(void *arg)
{
    (void)arg;
    mp_free(mp_malloc(1));
}

static void
set_number(void *arg)
{
    struct world *w = arg;
    mp_value_set(w->number, NEW);
}

static void
get_number(void *arg)
{
    struct world *w = arg;
    mp_obj o;
    mp_value_get(w->number, &o);
}

static void
write_record(void *arg)
{
    struct world *w = arg;
    mp_value_write(w->record, &new_big);
}

static void
read_record(void *arg)
{
    struct world *w = arg;
    struct big b;
    mp_value_read(w->record, &b);
}

static const char *
check_record_read(void *arg, bool finished)
{
    struct world *w = arg;
    int status;
    const char *wrong = value_goes_on(w, w->record, finished, &status);
    return wrong ? wrong
           : memcmp(mp_value_data(w->record), &old_big, sizeof old_big) == 0
               ? NULL
               : "a read changes the struct";
}

static void
set_element(void *arg)
{
    struct world *w = arg;
    mp_array_set(w->shorts, 0, 0x2222);
}

static void
get_element(void *arg)
{
    struct world *w = arg;
    mp_obj o;
    mp_array_get(w->shorts, 0, &o);
}

static void
set_slice(void *arg)
{
    struct world *w = arg;
    unsigned short new[COUNT];
    for (int i = 0; i < COUNT; i++) {
        new[i] = 0x2222;
    }
    mp_array_set_slice(w->shorts, MP_SLICE_BEGIN, MP_SLICE_END, 1, new, COUNT);
}

static void
set_slice_apart(void *arg)
{
    struct world *w = arg;
    const unsigned short new[] = {0x2222, 0x2222, 0x2222, 0x2222};
    mp_array_set_slice(w->shorts, MP_SLICE_BEGIN, MP_SLICE_END, 3, new, 4);
}

static void
set_raw(void *arg)
{
    struct world *w = arg;
    unsigned char new[COUNT * sizeof(short)];
    memset(new, 0x22, sizeof new);
    mp_array_set_raw(w->shorts, new, sizeof new);
}

static void
get_slice(void *arg)
{
    struct world *w = arg;
    short got[COUNT];
    mp_array_get_slice(w->shorts, MP_SLICE_END, MP_SLICE_BEGIN, -1, got, COUNT, NULL);
}

static void
set_string(void *arg)
{
    struct world *w = arg;
    mp_array_set_string(w->string, new_text);
}

/* ---- with others ------------------------------------------------------------------------------ */

/* Comes while the victim is at work, and takes the lock. */
static int
take_number(void *arg, int which)
{
    struct world *w = arg;
    (void)which;
    int status = mp_value_acquire(w->number, LONG);
    if (status >= 0) {
        mp_value_release(w->number);
    }
    return status;
}

static int
arrive_at_number(void *arg)
{
    return take_number(arg, 0);
}

/* What is untold, of the victim or of who died before, is told to the one or the other. */
static const char *
check_arrived(void *arg, bool finished)
{
    struct world *w = arg;
    if (torture_back(1, LONG) != 1) {
        return "who arrived does not get the lock";
    }
    int status = mp_value_acquire(w->number, LONG), came = torture_result(0);
    if (status < 0 || came < 0 || mp_value_release(w->number) != 0) {
        return "the lock is stuck";
    }
    if (w->untold && status != MP_OWNER_DIED && came != MP_OWNER_DIED) {
        return "the death is told to nobody";
    }
    if (!w->untold && finished && (status || came)) {
        return "a death is told of one who did not hold the lock";
    }
    int64_t seen = *(const int64_t *)mp_value_data(w->number);
    return seen == OLD || seen == NEW ? NULL : "the number is torn";
}

/* ---- new and free ----------------------------------------------------------------------------- */

static void
count_blocks(void *arg)
{
    struct world *w = arg;
    memset(w, 0, sizeof *w);
    w->blocks = torture_blocks();
}

static void
new_value(void *arg)
{
    (void)arg;
    mp_value_new('q', NEW);
}

static void
new_page_array(void *arg)
{
    (void)arg;
    mp_array_new_with('h', COUNT, NULL, &(mp_shared_options){.page_aligned = true});
}

static void
new_raw_array(void *arg)
{
    (void)arg;
    mp_raw_array_new('h', COUNT, NULL);
}

static void
copy_raw(void *arg)
{
    struct world *w = arg;
    mp_raw_value_copy(mp_value_get_obj(w->record));
}

static const char *
check_new(void *arg, bool finished)
{
    struct world *w = arg;
    double begin = mp_test_now();
    mp_value *v = mp_value_new('i', 1);
    torture_waited(mp_test_now() - begin);
    if (!v || mp_value_free(v) != 0) {
        return "the survivor cannot make and free one";
    }
    size_t now = torture_blocks();
    return now > w->blocks + 1                ? "more than the dead one's block is lost"
           : finished && now != w->blocks + 1 ? "what was made is not there"
                                              : mp__alloc_check();
}

static void
free_number(void *arg)
{
    struct world *w = arg;
    mp_value_free(w->number);
}

/* One more free, whatever the victim did, and it is gone: nothing is lost. */
static const char *
check_freed(void *arg, bool finished)
{
    struct world *w = arg;
    double begin = mp_test_now();
    int status = mp_value_free(w->number);
    torture_waited(mp_test_now() - begin);
    if (status != 0 && status != MP_EVALUE) {
        return "the free gives neither 0 nor MP_EVALUE";
    }
    if (finished && status == 0) {
        return "a free that was done was not";
    }
    if (torture_blocks() != w->blocks - 1) {
        return "the value's block is lost";
    }
    return mp_value_free(w->number) == MP_EVALUE ? mp__alloc_check() : "freed is not freed";
}

static void
free_shorts(void *arg)
{
    struct world *w = arg;
    mp_array_free(w->shorts);
}

static const char *
check_array_freed(void *arg, bool finished)
{
    struct world *w = arg;
    int status = mp_array_free(w->shorts);
    if (status != (finished ? MP_EVALUE : 0) && (finished || status != MP_EVALUE)) {
        return "the free gives neither 0 nor MP_EVALUE";
    }
    return torture_blocks() == w->blocks - 1 ? mp__alloc_check() : "the array's block is lost";
}

/* The same with its data on a page, before the struct. */
static void
new_on_page(void *arg)
{
    struct world *w = arg;
    new_objects(arg);
    mp_array_free(w->shorts);
    w->shorts = mp_array_new_with('h', COUNT, NULL, &(mp_shared_options){.page_aligned = true});
    mp_child_check(w->shorts);
    w->blocks = torture_blocks();
}

#define OWNED "heap.owned.acquire heap.owned.release"
#define OF(op, look)                                                                               \
    .set_up = new_objects, .operation = op, .check = look, .before = touch,                        \
    .tear_down = free_objects, .arg = &world

static const struct torture_case cases[] = {
    {.name = "shared.value.set", .commits = OWNED, OF(set_number, check_number)},
    {.name = "shared.value.get", .commits = OWNED, OF(get_number, check_number_read)},
    {.name = "shared.value.write", .commits = OWNED, OF(write_record, check_record)},
    {.name = "shared.value.read", .commits = OWNED, OF(read_record, check_record_read)},
    {.name = "shared.array.set", .commits = OWNED, OF(set_element, check_element)},
    {.name = "shared.array.get", .commits = OWNED, OF(get_element, check_untouched)},
    {.name = "shared.array.set_slice", .commits = OWNED, OF(set_slice, check_shorts)},
    {.name = "shared.array.set_slice+step",
     .commits = OWNED,
     OF(set_slice_apart, check_shorts_apart)},
    {.name = "shared.array.get_slice", .commits = OWNED, OF(get_slice, check_untouched)},
    {.name = "shared.array.set_raw", .commits = OWNED, OF(set_raw, check_shorts)},
    {.name = "shared.array.set_string", .commits = OWNED, OF(set_string, check_string)},

    /* Who held it died, and who takes it over for a number must leave the news. */
    {.name = "shared.value.set+dead_holder",
     .commits = OWNED,
     .set_up = new_dead,
     .before = touch,
     .operation = set_number,
     .check = check_number,
     .tear_down = free_objects,
     .arg = &world},
    {.name = "shared.array.get+dead_holder",
     .commits = OWNED,
     .set_up = new_dead,
     .before = touch,
     .operation = get_element,
     .check = check_untouched,
     .tear_down = free_objects,
     .arg = &world},
    {.name = "shared.value.set+dead_holder+arriving",
     .commits = OWNED,
     .set_up = new_dead,
     .before = touch,
     .operation = set_number,
     .arrive = arrive_at_number,
     .check = check_arrived,
     .tear_down = free_objects,
     .quick = 20,
     .arg = &world},
    {.name = "shared.value.set+arriving",
     .commits = OWNED,
     .arrive = arrive_at_number,
     .quick = 20,
     OF(set_number, check_arrived)},
    {.name = "shared.value.set+twice",
     .commits = OWNED,
     .recovery = set_number,
     OF(set_number, check_number)},

    {.name = "shared.value.new",
     .commits = "heap.journal.commit",
     .set_up = count_blocks,
     .before = touch,
     .operation = new_value,
     .check = check_new,
     .arg = &world},
    {.name = "shared.array.new+page_aligned",
     .commits = "heap.journal.commit",
     .set_up = count_blocks,
     .before = touch,
     .operation = new_page_array,
     .check = check_new,
     .arg = &world},
    {.name = "shared.raw.new",
     .commits = "heap.journal.commit",
     .set_up = count_blocks,
     .before = touch,
     .operation = new_raw_array,
     .check = check_new,
     .arg = &world},
    {.name = "shared.raw.copy", .commits = "heap.journal.commit", OF(copy_raw, check_new)},
    {.name = "shared.value.free", .commits = "heap.journal.commit", OF(free_number, check_freed)},
    {.name = "shared.value.free+twice",
     .commits = "heap.journal.commit",
     .recovery = free_number,
     OF(free_number, check_freed)},
    {.name = "shared.array.free",
     .commits = "heap.journal.commit",
     OF(free_shorts, check_array_freed)},
    {.name = "shared.array.free+page_aligned",
     .commits = "heap.journal.commit",
     .set_up = new_on_page,
     .before = touch,
     .operation = free_shorts,
     .check = check_array_freed,
     .tear_down = free_objects,
     .arg = &world},
};

TORTURE_CASES(shared, cases)

/* ---- a storm ---------------------------------------------------------------------------------- */

/* All elements are the same whenever nobody is inside; get leaves the news to who can repair. */
static void
storm_open(void *arg)
{
    struct world *w = arg;
    new_objects(arg);
    mp_child_check(w->shorts);
}

static void
storm_work(void *arg, int which)
{
    struct world *w = arg;
    short *data = mp_array_data(w->shorts), new[COUNT];
    mp_obj o;
    if (torture_random(3) == 0) {
        mp_child_ok(mp_array_get(w->shorts, (ptrdiff_t)torture_random(COUNT), &o));
        mp_child_ok(mp_value_set(w->number, torture_random(2) ? OLD : NEW));
        mp_child_ok(mp_value_get(w->number, &o));
        mp_child_check(mp_as_int(o) == OLD || mp_as_int(o) == NEW);
    }
    int status = mp_array_acquire(w->shorts, LONG);
    mp_child_check(status >= 0);
    for (int i = 0; i < COUNT; i++) {
        mp_child_check(status == MP_OWNER_DIED || data[i] == data[0]);
        new[i] = (short)(which + (int)torture_random(1000));
        new[i] = new[0];
    }
    mp_child_ok(mp_array_set_slice(w->shorts, MP_SLICE_BEGIN, MP_SLICE_END, 1, new, COUNT));
    mp_child_ok(mp_array_release(w->shorts));
}

static const char *
storm_check(void *arg, long kills)
{
    struct world *w = arg;
    const short *data = mp_array_data(w->shorts);
    (void)kills;
    int status = mp_array_acquire(w->shorts, LONG);
    if (status < 0 || mp_array_release(w->shorts) != 0) {
        return "the lock is stuck";
    }
    for (int i = 0; i < COUNT; i++) {
        if (status == 0 && data[i] != data[0]) {
            return "the array is half changed and nobody is told";
        }
    }
    free_objects(arg);
    return NULL;
}

static const struct torture_storm storms[] = {
    {.name = "shared.array.storm",
     .commits = "shared.value.set heap.owned.acquire heap.owned.release",
     .workers = 5,
     .kills = 2000,
     .quick_kills = 200,
     .open = storm_open,
     .work = storm_work,
     .check = storm_check,
     .arg = &world},
};

TORTURE_STORMS(shared, storms)
