/*
 * shared/raw.c: raw objects: shared data without a lock, known by the data's own address.
 *
 * Layout    in the family heap, one block
 *             0     data, aligned to 64
 *             end   mp__desc: what the data are, and that they are a raw object's; creator
 * Death     inside new: the block goes with the family, as with any malloc()
 *
 * Always    freeing is mp_free() of the data: the description goes with the block
 */
#include <string.h>

#include <mp/error.h>
#include <mp/sharedctypes.h>

#include "base/error.h"
#include "shared/typecode.h"
#include "shared/typed.h"

#undef mp_raw_value_new

static void *
new_raw(int typecode, size_t count, bool is_array, const void *init, const char *call)
{
    size_t size = mp__typecode_size(typecode, call);
    if (size == 0 || !mp__typed_fits(size, count, call)) {
        return NULL;
    }
    size_t bytes = size * count;
    unsigned char *data = mp__heap_alloc((bytes + 15) / 16 * 16 + sizeof(mp__desc), 64);
    if (!data) {
        return NULL;
    }
    if (init && bytes) {
        memcpy(data, init, bytes);
    } else {
        memset(data, 0, bytes);
    }
    mp__desc *is = mp__raw_desc(data);
    is->typecode = typecode;
    is->is_array = is_array;
    is->lock_kind = MP__UNLOCKED;
    is->size = size;
    is->count = count;
    is->data = data;
    atomic_store_explicit(&is->head.tag, MP__TAG_RAW, memory_order_release);
    return data;
}

void *
mp_raw_value_new(int typecode, mp_obj init)
{
    static const char call[] = "mp_raw_value_new";
    mp__element space = {.Q = 0};
    const void *data;
    void *raw = NULL;
    if (mp__typed_initial(typecode, init, &space, &data, call) == 0) {
        raw = new_raw(typecode, 1, false, data, call);
    }
    mp_obj_free(init);
    return raw;
}

void *
mp_raw_array_new(int typecode, size_t length, const void *init)
{
    return new_raw(typecode, length, true, init, "mp_raw_array_new");
}

void *
mp_raw_value_copy(const void *raw)
{
    static const char call[] = "mp_raw_value_copy";
    const mp__desc *is = mp__desc_of(raw, call);
    return is ? new_raw(is->typecode, is->count, is->is_array, is->data, call) : NULL;
}

int64_t
mp_raw_len(const void *raw)
{
    const mp__desc *is = mp__desc_of(raw, "mp_raw_len");
    return is ? (int64_t)is->count : MP_EVALUE;
}

int
mp_raw_typecode(const void *raw)
{
    const mp__desc *is = mp__desc_of(raw, "mp_raw_typecode");
    return is ? is->typecode : MP_EVALUE;
}

/* What raw is, if it is data, and of the one kind or the other. */
static const mp__desc *
bare(const void *raw, bool array, const char *call)
{
    if (mp__shared_live(raw, MP__TAG_VALUE) || mp__shared_live(raw, MP__TAG_ARRAY)) {
        mp__error(MP_ESTATE, "%s: the object is synchronized already", call);
        return NULL;
    }
    const mp__desc *is = mp__desc_of(raw, call);
    if (is && is->is_array != array) {
        mp__error(MP_ETYPE, "%s: the raw object is %s: use %s()", call,
                  array ? "no array" : "an array",
                  array ? "mp_synchronized" : "mp_synchronized_array");
        return NULL;
    }
    return is;
}

mp_value *
mp_synchronized(void *raw, const mp_shared_options *options)
{
    static const char call[] = "mp_synchronized";
    const mp__desc *is = bare(raw, false, call);
    return is ? mp__typed_wrap(MP__TAG_VALUE, is, options, call) : NULL;
}

mp_array *
mp_synchronized_array(void *raw, const mp_shared_options *options)
{
    static const char call[] = "mp_synchronized_array";
    const mp__desc *is = bare(raw, true, call);
    return is ? mp__typed_wrap(MP__TAG_ARRAY, is, options, call) : NULL;
}
