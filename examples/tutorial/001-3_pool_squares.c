/*
 * 001-3: a pool once more, now the way a C program maps: an array in, an array out.
 *
 * Nothing is encoded: the workers read and write the elements where they are.  Compare 000-4,
 * which maps a list of values.
 *
 *     Python                              C
 *     Pool(processes=4)                   &(mp_pool_options){.processes = 4}
 *     pool.map(square, [1, 2, ...])       mp_pool_map_array(pool, square, in, ..., out, ...)
 */
#include <stdio.h>

#include <mp/mp.h>

enum { COUNT = 9 };

static int
square(const void *in, void *out)
{
    int n = *(const int *)in;
    *(int *)out = n * n;
    return 0;
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

    const int in[COUNT] = {1, 2, 3, 4, 5, 6, 7, 8, 9};
    int out[COUNT];
    int status = mp_pool_map_array(pool, square, in, sizeof in[0], out, sizeof out[0], COUNT, NULL);
    mp_pool_free(pool);
    if (status != 0) {
        fprintf(stderr, "%s\n", mp_last_error_text());
        return 1;
    }
    for (int i = 0; i < COUNT; i++) {
        printf("%s%d", i == 0 ? "[" : ", ", out[i]);
    }
    printf("]\n");
    return 0;
}
