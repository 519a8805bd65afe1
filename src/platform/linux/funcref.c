/*
 * platform/linux/funcref.c: functions as offsets in modules.
 *
 * dl_iterate_phdr lists what is loaded, in every kind of link (dladdr does not work in static
 * programs).  Its first entry is the program.  The build is the linker's build id; where a libc's
 * tools leave none, the identity of the file.
 */
#include "platform/linux/linux.h"

#include <dlfcn.h>
#include <elf.h>
#include <errno.h>
#include <limits.h>
#include <link.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/*
 * A static program has no modules but itself: dlsym is missing there, or finds nothing.  dlopen is
 * found by its name and not called by it, for which static links would be warned.
 */
#pragma weak dlsym

/* One walk over the modules: by address, or by name with the file's identity for other names. */
struct search {
    bool by_address;
    uintptr_t address;
    const char *name;
    bool have_file;
    struct stat file;
    size_t index; /* modules seen so far */
    bool found;
    bool is_code;
    uintptr_t base;
    char module[PATH_MAX]; /* "": the program */
    mp__plat_funcref build;
};

/* The flags of the segment that holds [address, address + len), or 0. */
static unsigned
segment_flags(const struct dl_phdr_info *info, uintptr_t address, size_t len)
{
    for (size_t i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *h = &info->dlpi_phdr[i];
        uintptr_t start = info->dlpi_addr + h->p_vaddr;
        if (h->p_type == PT_LOAD && address >= start && address - start < h->p_memsz &&
            len <= h->p_memsz - (address - start)) {
            return h->p_flags;
        }
    }
    return 0;
}

/* Find the build id in one note segment; whether it was there. */
static bool
take_build_id(const unsigned char *at, size_t left, size_t align, mp__plat_funcref *ret)
{
    while (left >= sizeof(ElfW(Nhdr))) {
        ElfW(Nhdr) note;
        memcpy(&note, at, sizeof note);
        size_t name_at = sizeof note;
        size_t desc_at = name_at + (((size_t)note.n_namesz + align - 1) & ~(align - 1));
        size_t next_at = desc_at + (((size_t)note.n_descsz + align - 1) & ~(align - 1));
        if (desc_at > left || note.n_descsz > left - desc_at) {
            return false;
        }
        if (note.n_type == NT_GNU_BUILD_ID && note.n_namesz == 4 &&
            memcmp(at + name_at, "GNU", 4) == 0 && note.n_descsz > 0) {
            size_t len = note.n_descsz;
            if (len > sizeof ret->build) {
                len = sizeof ret->build;
            }
            memcpy(ret->build, at + desc_at, len);
            ret->build_len = (uint32_t)len;
            return true;
        }
        if (next_at > left) {
            return false;
        }
        at += next_at;
        left -= next_at;
    }
    return false;
}

static void
find_build_id(const struct dl_phdr_info *info, mp__plat_funcref *ret)
{
    for (size_t i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *h = &info->dlpi_phdr[i];
        if (h->p_type != PT_NOTE) {
            continue;
        }
        uintptr_t at = info->dlpi_addr + h->p_vaddr;
        if ((segment_flags(info, at, h->p_memsz) & PF_R) &&
            take_build_id((const unsigned char *)at, h->p_memsz, h->p_align == 8 ? 8 : 4, ret)) {
            return;
        }
    }
}

static bool
is_named(const struct dl_phdr_info *info, const struct search *s)
{
    struct stat file;
    if (s->name[0] == '\0') {
        return s->index == 0;
    }
    if (s->index == 0 || info->dlpi_name == NULL || info->dlpi_name[0] == '\0') {
        return false;
    }
    if (strcmp(info->dlpi_name, s->name) == 0) {
        return true;
    }
    /* The same file may be loaded under another name. */
    return s->have_file && stat(info->dlpi_name, &file) == 0 && file.st_dev == s->file.st_dev &&
           file.st_ino == s->file.st_ino;
}

static int
look_at(struct dl_phdr_info *info, size_t size, void *arg)
{
    struct search *s = arg;
    (void)size;
    bool hit = s->by_address ? segment_flags(info, s->address, 1) != 0 : is_named(info, s);
    if (!hit) {
        s->index++;
        return 0;
    }
    s->found = true;
    s->base = info->dlpi_addr;
    if (!s->by_address) {
        s->address += info->dlpi_addr; /* it was the offset */
    }
    s->is_code = (segment_flags(info, s->address, 1) & PF_X) != 0;
    if (s->index > 0 && info->dlpi_name != NULL) {
        size_t len = strlen(info->dlpi_name);
        if (len >= sizeof s->module) {
            len = sizeof s->module - 1; /* too long for a reference anyhow */
        }
        memcpy(s->module, info->dlpi_name, len);
        s->module[len] = '\0';
    }
    find_build_id(info, &s->build);
    return 1;
}

/* For a module without a build id: what its file tells. */
static void
complete_build(struct search *s)
{
    struct stat file;
    if (s->build.build_len != 0) {
        return;
    }
    if (s->index > 0) {
        if (stat(s->module, &file) == 0) {
            mp__plat_file_build(&file, &s->build);
        }
        return;
    }
    int fd = mp__plat_open_program();
    if (fd >= 0) {
        if (fstat(fd, &file) == 0) {
            mp__plat_file_build(&file, &s->build);
        }
        close(fd);
    }
}

/* A path that means the same file in a process with another current folder. */
static int
copy_module(const char *name, char *ret)
{
    char *real = NULL;
    if (name[0] != '/' && strchr(name, '/') != NULL) {
        real = realpath(name, NULL);
    }
    const char *path = real != NULL ? real : name;
    size_t len = strlen(path) + 1;
    if (len <= MP__PLAT_MODULE_BYTES) {
        memcpy(ret, path, len);
    }
    free(real);
    return len <= MP__PLAT_MODULE_BYTES ? 0 : -ENAMETOOLONG;
}

void
mp__plat_func_anchor(uintptr_t address_in_main_program)
{
    (void)address_in_main_program;
}

int
mp__plat_func_to_ref(uintptr_t address, mp__plat_funcref *ret)
{
    struct search s = {.by_address = true, .address = address};
    dl_iterate_phdr(look_at, &s);
    if (!s.found) {
        return -ENOENT;
    }
    if (!s.is_code) {
        return -EFAULT;
    }
    mp__plat_funcref ref = {.offset = address - s.base};
    int status = copy_module(s.module, ref.module);
    if (status < 0) {
        return status;
    }
    complete_build(&s);
    memcpy(ref.build, s.build.build, sizeof ref.build);
    ref.build_len = s.build.build_len;
    *ret = ref;
    return 0;
}

/* RTLD_LOCAL: the module is loaded for one function, its names are nobody's business. */
static void *
load_module(const char *path)
{
    void *(*open_module)(const char *, int) = NULL;
    void *symbol = dlsym == NULL ? NULL : dlsym(RTLD_DEFAULT, "dlopen");
    memcpy(&open_module, &symbol, sizeof symbol); /* ISO C has no conversion */
    return open_module == NULL ? NULL : open_module(path, RTLD_NOW | RTLD_LOCAL);
}

static void
unload_module(void *handle)
{
    int (*close_module)(void *) = NULL;
    void *symbol = dlsym(RTLD_DEFAULT, "dlclose");
    memcpy(&close_module, &symbol, sizeof symbol);
    if (close_module != NULL) {
        close_module(handle);
    }
}

static int
check_found(struct search *s, const mp__plat_funcref *ref, uintptr_t *ret_address)
{
    complete_build(s);
    if (mp__plat_build_differs(&s->build, ref)) {
        return -ESTALE;
    }
    if (!s->is_code) {
        return -EFAULT;
    }
    *ret_address = s->address;
    return 0;
}

int
mp__plat_func_from_ref(const mp__plat_funcref *ref, uintptr_t *ret_address)
{
    if (memchr(ref->module, '\0', sizeof ref->module) == NULL) {
        return -ENOENT;
    }
    struct search s = {.name = ref->module, .address = (uintptr_t)ref->offset};
    if (ref->module[0] != '\0') {
        s.have_file = stat(ref->module, &s.file) == 0;
    }
    dl_iterate_phdr(look_at, &s);
    if (s.found) {
        return check_found(&s, ref, ret_address);
    }
    if (ref->module[0] == '\0') {
        return -ENOENT;
    }
    void *handle = load_module(ref->module);
    if (handle == NULL) {
        return -ENOENT;
    }
    s.index = 0;
    dl_iterate_phdr(look_at, &s);
    int status = s.found ? check_found(&s, ref, ret_address) : -ENOENT;
    if (status < 0) {
        unload_module(handle); /* on success it stays: its code is about to run */
    }
    return status;
}
