// macros.cpp: what the macros are in C, used once as C++17; compiled, not run.
#include <mp/mp.h>

int use_macros(const mp_args *args, mp_queue *q, mp_lock *l, mp_rlock *r, mp_value *v, mp_array *a,
               mp_connection *c, mp_pool *pool, mp_task f);

struct point {
    double x, y;
};
MP_QUEUE_OF(points, struct point);

int
use_macros(const mp_args *args, mp_queue *q, mp_lock *l, mp_rlock *r, mp_value *v, mp_array *a,
           mp_connection *c, mp_pool *pool, mp_task f)
{
    int number = 0;
    const char *text = nullptr;
    mp_queue *queue = nullptr;
    mp_obj o;
    int done = mp_args_get(args, &number, &text, &queue, &o);

    mp_obj_free(mp_from(mp_none()));
    mp_obj_free(mp_list());
    mp_obj_free(mp_tuple());
    mp_obj_free(mp_set_of());
    mp_obj_free(mp_dict());
    mp_args_free(mp_args());
    mp_obj_free(mp_list(1, 2L, 3U, 4.5, 5.5F, true, "text", mp_none(), mp_tuple("a", 1)));
    mp_obj_free(mp_list(mp_set_of(1, 2), mp_dict("k", 1, "l", 2.5)));
    mp_args_free(mp_args(q, l, r, v, a, c, text, number));
    mp_event *event = nullptr;
    mp_barrier *barrier = nullptr;
    done += mp_args_get(args, &event, &barrier);
    mp_args_free(mp_args(event, barrier));

    done += mp_queue_put(q, 42, MP_FOREVER);
    done += mp_queue_put_nowait(q, mp_list(42, mp_none(), "hello"));
    done += mp_joinable_queue_put(q, 42, MP_FOREVER);
    done += mp_simple_queue_put(q, "text");
    const struct point *lent;
    struct point one = {1, 2};
    std::size_t n;
    points *typed = points_from(q);
    done += points_put(typed, &one, 0) + points_get(typed, &one, MP_FOREVER);
    done += points_put_many(typed, &one, 1, nullptr, 1) + points_get_many(typed, &one, 1, &n, 1);
    done += points_commit(typed, points_reserve(typed), 1) + points_peek(typed, &lent, 1);
    done += points_release(typed, lent) + points_give_back(typed, lent);
    done += mp_queue_full(points_queue(typed)) + points_free(points_new(5));
    done += mp_connection_send(c, text);
    mp_value_free(mp_value_new('i', 7));
    done += mp_value_set(v, 8);
    done += mp_array_set(a, -1, 0.5);

    struct pair {
        int first, second;
    } pair;
    mp_shared_options shared = {};
    mp_value_free(mp_value_new_with('i', 7, nullptr));
    mp_value_free(mp_context_value(mp_get_context(nullptr), MP_STRUCT(pair), mp_none(), &shared));
    mp_free(mp_raw_value_new('d', 0.5));
    done += mp_value_read(v, &pair);
    done += mp_value_write(v, &pair);
    done += mp_array_read(a, -1, &pair);
    done += mp_array_write(a, 0, &pair);
    done += mp_array_get_slice(a, MP_SLICE_BEGIN, MP_SLICE_END, 1, &pair, 1, nullptr);

    mp_map_options options = {};
    done += mp_pool_map(pool, f, mp_list(1, 2), &o);
    mp_obj_free(o);
    done += mp_pool_map(pool, f, mp_list(1, 2), &o, &options);
    mp_obj_free(o);

    MP_WITH(l) {
        done++;
    }
    MP_WITH(r) {
        done++;
    }
    MP_WITH(v) {
        done++;
    }
    MP_WITH(a) {
        done++;
    }
    return done;
}
