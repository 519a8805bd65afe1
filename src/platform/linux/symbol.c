/*
 * platform/linux/symbol.c: the name of the function at a place in a module's file.
 *
 * From the file's own table of symbols, which has static functions too; a stripped one has those
 * that others link to.  The file may be anything by now: nothing in it is trusted.
 */
#include "platform/linux/linux.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

struct image {
    const unsigned char *bytes;
    uint64_t size;
};

/* The n records of `each` bytes at offset, if they are in the file. */
static const void *
part(const struct image *f, uint64_t offset, uint64_t n, uint64_t each)
{
    if (offset > f->size || n > (f->size - offset) / each || offset % sizeof(uint64_t) != 0) {
        return NULL;
    }
    return f->bytes + offset;
}

static const ElfW(Ehdr) * header(const struct image *f)
{
    const ElfW(Ehdr) *h = part(f, 0, 1, sizeof *h);
    bool good = h != NULL && memcmp(h->e_ident, ELFMAG, SELFMAG) == 0 &&
                h->e_ident[EI_CLASS] == ELFCLASS64 && h->e_phentsize == sizeof(ElfW(Phdr)) &&
                h->e_shentsize == sizeof(ElfW(Shdr));
    return good ? h : NULL;
}

/* An offset in the file as an address of the image. */
static bool
to_address(const struct image *f, const ElfW(Ehdr) * h, uint64_t *offset)
{
    const ElfW(Phdr) *p = part(f, h->e_phoff, h->e_phnum, sizeof *p);
    for (unsigned i = 0; p != NULL && i < h->e_phnum; i++) {
        if (p[i].p_type == PT_LOAD && *offset >= p[i].p_offset &&
            *offset - p[i].p_offset < p[i].p_filesz) {
            *offset += p[i].p_vaddr - p[i].p_offset;
            return true;
        }
    }
    return false;
}

/* Look through one table of symbols.  Whether the function was there. */
static bool
look(const struct image *f, const ElfW(Shdr) * table, const ElfW(Shdr) * names, uint64_t address,
     char *buf, size_t size, uint64_t *ret_within)
{
    uint64_t count = table->sh_size / sizeof(ElfW(Sym));
    const ElfW(Sym) *s = part(f, table->sh_offset, count, sizeof *s);
    if (s == NULL || names->sh_offset > f->size || names->sh_size > f->size - names->sh_offset) {
        return false;
    }
    for (uint64_t i = 0; i < count; i++) {
        if (ELF64_ST_TYPE(s[i].st_info) != STT_FUNC || s[i].st_shndx == SHN_UNDEF ||
            address < s[i].st_value || address - s[i].st_value >= s[i].st_size ||
            s[i].st_name >= names->sh_size) {
            continue;
        }
        const char *name = (const char *)f->bytes + names->sh_offset + s[i].st_name;
        size_t len = strnlen(name, names->sh_size - s[i].st_name);
        len = len < size ? len : size - 1;
        memcpy(buf, name, len);
        buf[len] = '\0';
        *ret_within = address - s[i].st_value;
        return true;
    }
    return false;
}

static int
search(const struct image *f, uint64_t offset, bool by_address, char *buf, size_t size,
       uint64_t *ret_within)
{
    const ElfW(Ehdr) *h = header(f);
    if (h == NULL || (!by_address && !to_address(f, h, &offset))) {
        return -ENOENT;
    }
    const ElfW(Shdr) *s = part(f, h->e_shoff, h->e_shnum, sizeof *s);
    for (unsigned wanted = SHT_SYMTAB; s != NULL; wanted = SHT_DYNSYM) {
        for (unsigned i = 0; i < h->e_shnum; i++) {
            if (s[i].sh_type == wanted && s[i].sh_link < h->e_shnum &&
                look(f, &s[i], &s[s[i].sh_link], offset, buf, size, ret_within)) {
                return 0;
            }
        }
        if (wanted == SHT_DYNSYM) {
            break;
        }
    }
    return -ENOENT;
}

int
mp__plat_symbol(const char *path, uint64_t offset, bool by_address, char *buf, size_t size,
                uint64_t *ret_within)
{
    struct stat file;
    int fd =
        *path != '\0' ? open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK) : mp__plat_open_program();
    if (fd < 0) {
        return *path != '\0' ? -errno : fd;
    }
    int status = -ENOENT;
    if (fstat(fd, &file) == 0 && S_ISREG(file.st_mode) && file.st_size > 0) {
        struct image f = {NULL, (uint64_t)file.st_size};
        void *at = mmap(NULL, (size_t)f.size, PROT_READ, MAP_PRIVATE, fd, 0);
        if (at != MAP_FAILED) {
            f.bytes = at;
            status = search(&f, offset, by_address, buf, size, ret_within);
            munmap(at, (size_t)f.size);
        }
    }
    close(fd);
    return status;
}
