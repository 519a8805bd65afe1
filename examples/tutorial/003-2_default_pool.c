/*
 * 003-2: a pool with one worker per CPU, ended in order.
 *
 *     Python                              C
 *     Pool()                              mp_pool_new(NULL)
 *     pool.close(), pool.join()           mp_pool_close(pool), mp_pool_join(pool)
 *     print("Results:", results)          mp_obj_str(results): the text to print
 */
#include <stdio.h>
#include <stdlib.h>

#include <mp/mp.h>

static mp_obj
task_function(mp_obj number)
{
    return mp_from(mp_as_int(number) * 2);
}

int
main(int argc, char **argv)
{
    mp_freeze_support(argc, argv);

    mp_pool *pool = mp_pool_new(NULL);
    if (pool == NULL) {
        fprintf(stderr, "%s\n", mp_last_error_text());
        return 1;
    }

    mp_obj results;
    int status = mp_pool_map(pool, task_function, mp_list(1, 2, 3, 4, 5), &results);
    char *text = status == 0 ? mp_obj_str(results) : NULL;
    if (text == NULL) {
        fprintf(stderr, "%s\n", mp_last_error_text());
        return 1;
    }
    mp_pool_close(pool); /* no more work; the workers end when they have done theirs */
    mp_pool_join(pool);
    mp_pool_free(pool);

    printf("Results: %s\n", text);
    free(text);
    mp_obj_free(results);
    return 0;
}
