/*
 * platform/linux/executable.c: the file of the running program.
 *
 * /proc/self/exe is the best name for it: it stays right when the file is replaced or deleted.
 * But a program run through an explicit dynamic loader finds the loader there, and under a tool
 * that emulates the processor it finds the tool, or a file that exec sees differently from open.
 * So the program headers in the file are compared with those in memory, which are the program's.
 */
#include "platform/linux/linux.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <string.h>
#include <unistd.h>

#define SELF "/proc/self/exe"

struct headers {
    const ElfW(Phdr) * first;
    size_t count;
};

static int
take_first(struct dl_phdr_info *info, size_t size, void *arg)
{
    struct headers *own = arg;
    (void)size;
    own->first = info->dlpi_phdr;
    own->count = info->dlpi_phnum;
    return 1;
}

/* Whether the file is the one this program was loaded from. */
static bool
is_own_image(int fd)
{
    struct headers own = {NULL, 0};
    ElfW(Ehdr) file;
    dl_iterate_phdr(take_first, &own);
    if (own.first == NULL) {
        return true; /* nothing to compare with */
    }
    if (pread(fd, &file, sizeof file, 0) != (ssize_t)sizeof file ||
        memcmp(file.e_ident, ELFMAG, SELFMAG) != 0 ||
        file.e_ident[EI_CLASS] != (sizeof(void *) == 8 ? ELFCLASS64 : ELFCLASS32) ||
        file.e_phentsize != sizeof(ElfW(Phdr)) || file.e_phnum != own.count) {
        return false;
    }
    for (size_t i = 0; i < own.count; i++) {
        ElfW(Phdr) header;
        off_t at = (off_t)(file.e_phoff + i * sizeof header);
        if (pread(fd, &header, sizeof header, at) != (ssize_t)sizeof header ||
            memcmp(&header, &own.first[i], sizeof header) != 0) {
            return false;
        }
    }
    return true;
}

/* Open path if it is the program's file: the descriptor or -errno. */
static int
open_own(const char *path)
{
    int fd;
    do {
        fd = open(path, O_RDONLY | O_CLOEXEC);
    } while (fd < 0 && errno == EINTR);
    if (fd < 0) {
        return -errno;
    }
    if (!is_own_image(fd)) {
        close(fd);
        return -ENOENT;
    }
    return fd;
}

int
mp__plat_open_program(void)
{
    return open_own(SELF);
}

/* Whether exec of SELF would run the program: exec must see the file that open sees.  1, 0, or -errno:
   there is no descriptor to look by. */
static int
self_is_right(void)
{
    struct stat opened;
    struct stat named;
    int fd = open_own(SELF);
    if (fd == -EACCES) {
        return 1; /* not for reading, which does not keep it from running */
    }
    if (fd < 0) {
        return fd == -EMFILE || fd == -ENFILE ? fd : 0;
    }
    bool same = fstat(fd, &opened) == 0 && stat(SELF, &named) == 0 &&
                opened.st_dev == named.st_dev && opened.st_ino == named.st_ino;
    close(fd);
    return same;
}

static int
copy_out(const char *path, char *buf, size_t size)
{
    size_t len = strlen(path) + 1;
    if (len > size) {
        return -ENAMETOOLONG;
    }
    memcpy(buf, path, len);
    return 0;
}

static bool
is_own_path(const char *path)
{
    int fd = open_own(path);
    if (fd >= 0) {
        close(fd);
    }
    return fd >= 0;
}

int
mp__plat_executable(const char *argv0, char *buf, size_t size)
{
    int right = self_is_right();
    if (right != 0) {
        return right < 0 ? right : copy_out(SELF, buf, size);
    }
    /* A tool that shows us another name than exec would use: take the file by its path. */
    ssize_t n = readlink(SELF, buf, size);
    if (n > 0 && (size_t)n < size) {
        buf[n] = '\0';
        if (is_own_path(buf)) {
            return 0;
        }
    }
    int status = mp__plat_find_program(argv0, buf, size);
    if (status == 0 && !is_own_path(buf)) {
        status = -ENOENT;
    }
    return status;
}
