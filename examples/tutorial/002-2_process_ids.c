/*
 * 002-2: who is whose parent.
 *
 * Under fork and spawn the child's parent is the main process; under forkserver it is the server
 * that forked it.  A C program has no module name, so it prints Python's.
 *
 *     Python                              C
 *     os.getpid(), os.getppid()           getpid(), getppid()
 *     info('main line')                   an ordinary function, in parent and child
 */
#include <stdio.h>
#include <unistd.h>

#include <mp/mp.h>

static void
info(const char *title)
{
    printf("%s\n", title);
    printf("module name: __main__\n");
    printf("parent process: %ld\n", (long)getppid());
    printf("process id: %ld\n", (long)getpid());
}

static int
f(const mp_args *args)
{
    const char *name;
    mp_args_get(args, &name);
    info("function f");
    printf("hello %s\n", name);
    return 0;
}

int
main(int argc, char **argv)
{
    mp_freeze_support(argc, argv);

    info("main line");
    mp_process *p = mp_process_new(f, mp_args("bob"), NULL);
    if (mp_process_start(p) != 0) {
        fprintf(stderr, "%s\n", mp_last_error_text());
        return 1;
    }
    mp_process_join(p, MP_FOREVER);
    mp_process_free(p);
    return 0;
}
