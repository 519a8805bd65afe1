/*
 * process/temp_dir.c: the program's temporary directory.
 *
 * Death     of its maker by a signal, or _exit(): it stays, as in Python
 * Fork      a child has its parent's; only the maker has the finalizer that removes it
 */
#include <errno.h>
#include <ftw.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/log.h"
#include "process/finalize.h"
#include "process/process.h"

/* As in Python: after all that may use it. */
#define EXIT_PRIORITY (-100)

static char path[MP__TEMP_DIR_BYTES]; /* "": there is none; under the registry's mutex */

static int
remove_one(const char *name, const struct stat *st, int flag, struct FTW *place)
{
    (void)st;
    (void)place;
    (void)(flag == FTW_DP ? rmdir(name) : unlink(name));
    return 0; /* what cannot be removed stays; the rest goes */
}

static void
forget(const char *name)
{
    mp__registry_lock();
    if (strcmp(path, name) == 0) {
        *path = '\0';
    }
    mp__registry_unlock();
}

static void
remove_tree(void *name)
{
    nftw(name, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    forget(name);
    free(name);
}

/* The first of the usual places in which one can be made.  0 or -errno. */
static int
make(char *buf, size_t size)
{
    const char *const places[] = {
        getenv("TMPDIR"), getenv("TEMP"), getenv("TMP"), "/tmp", "/var/tmp", "/usr/tmp", "."};
    int status = -ENOENT;
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        if (!places[i] || !*places[i] ||
            snprintf(buf, size, "%s/pymp-XXXXXX", places[i]) >= (int)size) {
            continue;
        }
        if (mkdtemp(buf)) {
            return 0;
        }
        status = -errno;
    }
    return status;
}

/* Note it, and its removal.  0 or an error with text, and it is gone. */
static int
keep(const char *made)
{
    mp__log_info("created temp directory %s", made);
    char *name = strdup(made);
    if (!name || mp_finalize_new(NULL, remove_tree, name, EXIT_PRIORITY) == 0) {
        rmdir(made);
        forget(made);
        free(name);
        return mp__error(MP_ENOMEM, "mp_get_temp_dir: no memory");
    }
    return 0;
}

const char *
mp_get_temp_dir(void)
{
    char made[MP__TEMP_DIR_BYTES] = "";
    int status = mp__process_init();
    if (status < 0) {
        return NULL;
    }
    mp__registry_lock();
    status = *path ? 0 : make(made, sizeof made);
    if (status == 0 && *made) {
        memcpy(path, made, sizeof path);
    }
    mp__registry_unlock();
    if (status < 0) {
        mp__error_os(-status, "mp_get_temp_dir: no temporary directory (TMPDIR says where)");
        return NULL;
    }
    return *made && keep(made) < 0 ? NULL : path;
}

void
mp__temp_dir_get(char *ret)
{
    mp__registry_lock();
    memcpy(ret, path, strlen(path) + 1);
    mp__registry_unlock();
}

void
mp__temp_dir_adopt(const char *name)
{
    mp__registry_lock();
    snprintf(path, sizeof path, "%s", name);
    mp__registry_unlock();
}
