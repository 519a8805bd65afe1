/*
 * 001-2: the same function, once in a child and once in the main process.
 *
 *     Python                              C
 *     Process(target=test)                mp_process_new(test, NULL, NULL)
 *     print(..., flush=True)              a plain printf: the start flushes stdout first
 *     test()                              test(NULL)
 */
#include <stdio.h>

#include <mp/mp.h>

static int
test(const mp_args *args)
{
    (void)args;
    printf("this is my multiprocessing program\n");
    return 0;
}

int
main(int argc, char **argv)
{
    mp_freeze_support(argc, argv);

    mp_process *m = mp_process_new(test, NULL, NULL);
    printf("this is my main program\n");
    if (mp_process_start(m) != 0) {
        fprintf(stderr, "%s\n", mp_last_error_text());
        return 1;
    }
    mp_process_join(m, MP_FOREVER);
    mp_process_free(m);
    return test(NULL);
}
