/* macros.c: every macro of the public headers, used once in C; compiled, not run. */
#include <mp/mp.h>

int use_macros(const mp_args *args, mp_queue *q, mp_lock *l, mp_rlock *r, mp_value *v, mp_array *a,
               mp_connection *c, mp_pool *pool, mp_task f);

#if MP_VERSION_MAJOR < 0 || MP_VERSION_MINOR < 0 || MP_VERSION_PATCH < 0
#error "no version"
#endif

static mp_obj
numbers(void)
{
    char c = 1;
    signed char sc = 1;
    short s = 1;
    long l = 1;
    long long ll = 1;
    unsigned char uc = 1;
    unsigned short us = 1;
    bool b = true;
    return mp_list(c, sc, s, 1, l, ll, uc, us, 1U, 1UL, 1ULL, 1.5F, 2.5, b);
}

static int
take(const mp_args *args)
{
    mp_obj o;
    bool b;
    char c;
    signed char sc;
    short s;
    int i;
    long l;
    long long ll;
    unsigned char uc;
    unsigned short us;
    unsigned int u;
    unsigned long ul;
    unsigned long long ull;
    float f;
    double d;
    const char *text;
    void *p;
    mp_queue *q;
    mp_lock *lock;
    mp_rlock *rlock;
    mp_event *event;
    mp_barrier *barrier;
    mp_value *v;
    mp_array *a;
    mp_connection *connection;
    int status = mp_args_get(args, &o);
    status += mp_args_get(args, &b, &c, &sc, &s, &i, &l, &ll, &uc, &us, &u, &ul, &ull, &f, &d,
                          &text, &p, &q, &lock, &rlock, &v, &a, &connection);
    status += mp_args_get(args, &event, &barrier);
    mp_obj_free(mp_list(event, barrier));
    return status;
}

struct point {
    double x, y;
};
MP_QUEUE_OF(points, struct point);
MP_QUEUE_OF(queues, mp_queue *);

static int
use_queue_of(points *q)
{
    struct point one = {1, 2}, many[3] = {{1, 2}, {3, 4}, {5, 6}};
    const struct point *lent;
    size_t n;
    int done = points_put(q, &one, 0) + points_get(q, &one, MP_FOREVER);
    done += points_put_many(q, many, 3, NULL, 1) + points_get_many(q, many, 3, &n, 1);
    done += points_commit(q, points_reserve(q), 1) + points_peek(q, &lent, 1);
    done += points_release(q, lent) + points_give_back(q, lent);
    done += mp_queue_full(points_queue(q)) + points_free(points_new(5));
    return done;
}

int
use_macros(const mp_args *args, mp_queue *q, mp_lock *l, mp_rlock *r, mp_value *v, mp_array *a,
           mp_connection *c, mp_pool *pool, mp_task f)
{
    char text[] = "text";
    const char *constant = "constant";
    void *pointer = NULL;
    int done = take(args);

    mp_obj_free(numbers());
    mp_obj_free(mp_from(mp_none()));
    mp_obj_free(mp_list());
    mp_obj_free(mp_tuple());
    mp_obj_free(mp_set_of());
    mp_obj_free(mp_dict());
    mp_args_free(mp_args());
    mp_obj_free(mp_list(mp_list(1, 2), mp_tuple("a"), mp_set_of(1), mp_dict("k", 1, "l", 2.5)));
    mp_obj_free(mp_list(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21,
                        22, 23, 24, 25, 26, 27, 28, 29, 30, 31, 32));
    mp_args_free(mp_args(q, l, r, v, a, c, text, constant, pointer, "literal"));

    done += mp_queue_put(q, 42, MP_FOREVER);
    done += mp_queue_put_nowait(q, mp_list(42, mp_none(), "hello"));
    done += mp_joinable_queue_put(q, 42, MP_FOREVER);
    done += mp_simple_queue_put(q, "text");
    done += use_queue_of(points_from(q));
    done += mp_connection_send(c, text);
    mp_value_free(mp_value_new('i', 7));
    done += mp_value_set(v, 8);
    done += mp_array_set(a, -1, 0.5);

    struct pair {
        int first, second;
    } pair;
    mp_value_free(mp_value_new_with('i', 7, &(mp_shared_options){.lock = l, .align = 64}));
    mp_value_free(mp_context_value(NULL, MP_STRUCT(struct pair), mp_none(), NULL));
    mp_free(mp_raw_value_new('d', 0.5));
    done += mp_value_write(v, &(struct pair){1, 2});
    done += mp_value_read(v, &pair);
    done += mp_array_write(a, 0, &(struct pair){1, 2});
    done += mp_array_read(a, -1, &pair);
    done += mp_array_get_slice(a, MP_SLICE_BEGIN, MP_SLICE_END, 1, &pair, 1, NULL);

    mp_obj out;
    mp_map_options options = {0};
    done += mp_pool_map(pool, f, mp_list(1, 2), &out);
    mp_obj_free(out);
    done += mp_pool_map(pool, f, mp_list(1, 2), &out, &options);
    mp_obj_free(out);

    MP_WITH(l) {
        done++;
    }
    MP_WITH(r) {
        MP_WITH(l) {
            done++;
        }
    }
    MP_WITH(v) {
        MP_WITH(a) {
            done++;
        }
    }
    return done;
}
