/*
 * 000-4: a pool of workers maps a function over a list.
 *
 * A task takes a value and returns one; the library carries both between the processes.
 *
 *     Python                              C
 *     with Pool(4) as pool                mp_pool_new(&(mp_pool_options){.processes = 4})
 *     pool.map(square, numbers)           mp_pool_map(pool, square, numbers, &results)
 *     the end of `with`                   mp_pool_free(pool)
 */
#include <stdio.h>

#include <mp/mp.h>

static mp_obj
square(mp_obj n)
{
    return mp_from(mp_as_int(n) * mp_as_int(n));
}

int
main(int argc, char **argv)
{
    mp_freeze_support(argc, argv);

    mp_pool *pool = mp_pool_new(&(mp_pool_options){.processes = 4});
    if (pool == NULL) {
        fprintf(stderr, "%s\n", mp_last_error_text());
        return 1;
    }

    mp_obj numbers = mp_list(1, 2, 3, 4);
    mp_obj results;
    int status = mp_pool_map(pool, square, numbers, &results); /* takes numbers over */
    mp_pool_free(pool);                                        /* ends the workers */
    if (status != 0) {
        fprintf(stderr, "%s\n", mp_last_error_text());
        return 1;
    }
    mp_print(results);
    mp_obj_free(results);
    return 0;
}
