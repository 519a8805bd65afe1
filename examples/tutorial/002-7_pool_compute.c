/*
 * 002-7: five tasks of a second each on four workers.
 *
 *     Python                              C
 *     with Pool(processes=4) as pool      mp_pool_new(&(mp_pool_options){.processes = 4})
 *     pool.map(compute_square, numbers)   mp_pool_map(pool, compute_square, numbers, &results)
 *     the end of `with`                   mp_pool_terminate(pool), mp_pool_free(pool)
 */
#include <stdio.h>
#include <unistd.h>

#include <mp/mp.h>

static mp_obj
compute_square(mp_obj n)
{
    printf("Processing number: %d\n", (int)mp_as_int(n));
    fflush(stdout); /* a worker that is terminated does not get to write what is left */
    sleep(1);
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

    mp_obj results;
    int status = mp_pool_map(pool, compute_square, mp_list(1, 2, 3, 4, 5), &results);
    if (status != 0) {
        fprintf(stderr, "%s\n", mp_last_error_text());
    }
    mp_pool_terminate(pool);
    mp_pool_free(pool);
    if (status == 0) {
        mp_print(results);
        mp_obj_free(results);
    }
    return status != 0;
}
