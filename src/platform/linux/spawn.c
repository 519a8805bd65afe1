/* platform/linux/spawn.c: closing what a started program must not inherit. */
#include "platform/linux/linux.h"

#include <dirent.h>
#include <errno.h>
#include <features.h>
#include <stdlib.h>

#if defined __GLIBC__ && defined __GLIBC_PREREQ
#if __GLIBC_PREREQ(2, 34)
#define HAVE_CLOSEFROM 1
#endif
#endif

#ifdef HAVE_CLOSEFROM

/* Done in the child, so nothing that another thread opens meanwhile slips through. */
int
mp__plat_spawn_closes(posix_spawn_file_actions_t *actions, int first)
{
    return posix_spawn_file_actions_addclosefrom_np(actions, first);
}

#else

/* What is open now; another thread's new descriptor slips through if it is not close-on-exec. */
int
mp__plat_spawn_closes(posix_spawn_file_actions_t *actions, int first)
{
    DIR *folder = opendir("/proc/self/fd");
    if (folder == NULL) {
        return mp__plat_spawn_close_below_bound(actions, first);
    }
    int status = 0;
    struct dirent *entry;
    while (status == 0 && (entry = readdir(folder)) != NULL) {
        /* "." and ".." read as 0, which is left alone. */
        status = mp__plat_spawn_close_one(actions, first, atoi(entry->d_name));
    }
    closedir(folder);
    return status;
}

#endif
