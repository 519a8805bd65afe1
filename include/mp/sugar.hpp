/*
 * mp/sugar.hpp: the C++17 face of the sugar: overloads and templates where C has _Generic.
 *
 * mp/object.h includes it.  The calls that take an mp_obj (the queues' put, mp_connection_send,
 * mp_value_new, mp_value_set, mp_array_set) take here, too, whatever mp_from() takes.
 */
#ifndef MP_SUGAR_HPP
#define MP_SUGAR_HPP

#ifndef MP_OBJECT_H
#include <mp/object.h> /* and that includes this one */
#else

#include <cstddef>
#include <string_view>
#include <type_traits>

/* ---- mp_from ---------------------------------------------------------------------------------*/

inline mp_obj
mp_from(mp_obj o)
{
    return o;
}

/* bool, the integers, float and double.  bool is a type of its own here: mp_from(true) is True. */
template <class T, std::enable_if_t<std::is_arithmetic_v<T>, int> = 0>
inline mp_obj
mp_from(T x)
{
    if constexpr (std::is_same_v<T, bool>) {
        return mp_bool(x);
    } else if constexpr (std::is_floating_point_v<T>) {
        return mp_from_double(static_cast<double>(x));
    } else if constexpr (std::is_signed_v<T>) {
        return mp_from_int(static_cast<std::int64_t>(x));
    } else {
        return mp_from_uint(static_cast<std::uint64_t>(x));
    }
}

inline mp_obj
mp_from(std::nullptr_t)
{
    return mp_none();
}

inline mp_obj
mp_from(const char *s)
{
    return mp_from_str(s);
}

inline mp_obj
mp_from(char *s)
{
    return mp_from_str(s);
}

/* std::string, too. */
inline mp_obj
mp_from(std::string_view s)
{
    return mp_from_strn(s.data(), s.size());
}

inline mp_obj
mp_from(void *heap_memory)
{
    return mp_from_pointer(heap_memory);
}

inline mp_obj
mp_from(mp_queue *q)
{
    return mp_from_queue(q);
}

inline mp_obj
mp_from(mp_lock *l)
{
    return mp_from_lock(l);
}

inline mp_obj
mp_from(mp_rlock *l)
{
    return mp_from_rlock(l);
}

inline mp_obj
mp_from(mp_semaphore *s)
{
    return mp_from_semaphore(s);
}

inline mp_obj
mp_from(mp_condition *c)
{
    return mp_from_condition(c);
}

inline mp_obj
mp_from(mp_event *e)
{
    return mp_from_event(e);
}

inline mp_obj
mp_from(mp_barrier *b)
{
    return mp_from_barrier(b);
}

inline mp_obj
mp_from(mp_value *v)
{
    return mp_from_value(v);
}

inline mp_obj
mp_from(mp_array *a)
{
    return mp_from_array(a);
}

inline mp_obj
mp_from(mp_connection *c)
{
    return mp_from_connection(c);
}

inline mp_obj
mp_from(mp_fd d)
{
    return mp_dup_fd(d.fd);
}

inline mp_obj
mp_from(mp_struct_ref s)
{
    return mp_bytes(s.data, s.size);
}

template <class T>
inline mp_struct_ref
mp_struct(T *s)
{
    static_assert(std::is_trivially_copyable_v<T>, "they are copied byte by byte");
    return mp_struct_ref{const_cast<std::remove_cv_t<T> *>(s), sizeof *s};
}

/* Other pointers are no values; memory of mp_malloc() goes as void *. */
template <class T> mp_obj mp_from(T *) = delete;

/* ---- containers ------------------------------------------------------------------------------*/

template <class Make, class... T>
inline auto
mp__sugar_of(Make make, const T &...x)
{
    if constexpr (sizeof...(x) == 0) {
        return make(0, nullptr);
    } else {
        const mp_obj items[] = {mp_from(x)...};
        return make(sizeof...(x), items);
    }
}

template <class... T>
inline mp_obj
mp_list(const T &...x)
{
    return mp__sugar_of(mp_list_of, x...);
}

template <class... T>
inline mp_obj
mp_tuple(const T &...x)
{
    return mp__sugar_of(mp_tuple_of, x...);
}

template <class... T>
inline mp_obj
mp_set_of(const T &...x)
{
    return mp__sugar_of(mp_set_of_n, x...);
}

template <class... T>
inline mp_obj
mp_dict(const T &...keys_and_values)
{
    return mp__sugar_of(mp_dict_of, keys_and_values...);
}

/* ---- arguments of a process ------------------------------------------------------------------*/

template <class... T>
inline mp_args *
mp__sugar_args(const T &...x)
{
    return mp__sugar_of(mp_args_of, x...);
}

/* A macro, for mp_args is a type as well. */
#define mp_args(...) mp__sugar_args(__VA_ARGS__)

#define MP__SUGAR_SLOT(ctype, slot)                                                                \
    inline mp_slot mp__sugar_slot(ctype *to)                                                       \
    {                                                                                              \
        return mp_slot{slot, to, 0};                                                               \
    }
MP__SUGAR_SLOT(mp_obj, MP_SLOT_OBJ)
MP__SUGAR_SLOT(bool, MP_SLOT_BOOL)
MP__SUGAR_SLOT(char, MP_SLOT_CHAR)
MP__SUGAR_SLOT(signed char, MP_SLOT_SCHAR)
MP__SUGAR_SLOT(short, MP_SLOT_SHORT)
MP__SUGAR_SLOT(int, MP_SLOT_INT)
MP__SUGAR_SLOT(long, MP_SLOT_LONG)
MP__SUGAR_SLOT(long long, MP_SLOT_LLONG)
MP__SUGAR_SLOT(unsigned char, MP_SLOT_UCHAR)
MP__SUGAR_SLOT(unsigned short, MP_SLOT_USHORT)
MP__SUGAR_SLOT(unsigned int, MP_SLOT_UINT)
MP__SUGAR_SLOT(unsigned long, MP_SLOT_ULONG)
MP__SUGAR_SLOT(unsigned long long, MP_SLOT_ULLONG)
MP__SUGAR_SLOT(float, MP_SLOT_FLOAT)
MP__SUGAR_SLOT(double, MP_SLOT_DOUBLE)
MP__SUGAR_SLOT(const char *, MP_SLOT_STR)
MP__SUGAR_SLOT(void *, MP_SLOT_POINTER)
MP__SUGAR_SLOT(mp_queue *, MP_SLOT_QUEUE)
MP__SUGAR_SLOT(mp_lock *, MP_SLOT_LOCK)
MP__SUGAR_SLOT(mp_rlock *, MP_SLOT_RLOCK)
MP__SUGAR_SLOT(mp_semaphore *, MP_SLOT_SEMAPHORE)
MP__SUGAR_SLOT(mp_condition *, MP_SLOT_CONDITION)
MP__SUGAR_SLOT(mp_event *, MP_SLOT_EVENT)
MP__SUGAR_SLOT(mp_barrier *, MP_SLOT_BARRIER)
MP__SUGAR_SLOT(mp_value *, MP_SLOT_VALUE)
MP__SUGAR_SLOT(mp_array *, MP_SLOT_ARRAY)
MP__SUGAR_SLOT(mp_connection *, MP_SLOT_CONNECTION)
MP__SUGAR_SLOT(mp_fd, MP_SLOT_FD)
#undef MP__SUGAR_SLOT

inline mp_slot
mp__sugar_slot(mp_struct_ref s)
{
    return mp_slot{MP_SLOT_STRUCT, s.data, s.size};
}

template <class... T>
inline int
mp_args_get(const mp_args *args, T... to)
{
    if constexpr (sizeof...(to) == 0) {
        return mp_args_unpack_or_exit(args, 0, nullptr);
    } else {
        const mp_slot slots[] = {mp__sugar_slot(to)...};
        return mp_args_unpack_or_exit(args, sizeof...(to), slots);
    }
}

/* ---- calls that take a value -----------------------------------------------------------------*/

/*
 * Each calls its namesake of the C header with an mp_obj, which is found when the template is
 * used: by then that header has to be included, before is not necessary.
 */
struct mp_shared_options;
struct mp_context;
template <class T> using mp__sugar_value = std::enable_if_t<!std::is_same_v<T, mp_obj>, int>;

template <class T, mp__sugar_value<T> = 0>
inline int
mp_queue_put(mp_queue *q, const T &x, double timeout)
{
    return mp_queue_put(q, mp_from(x), timeout);
}

template <class T, mp__sugar_value<T> = 0>
inline int
mp_queue_put_nowait(mp_queue *q, const T &x)
{
    return mp_queue_put_nowait(q, mp_from(x));
}

template <class T, mp__sugar_value<T> = 0>
inline int
mp_joinable_queue_put(mp_queue *q, const T &x, double timeout)
{
    return mp_joinable_queue_put(q, mp_from(x), timeout);
}

template <class T, mp__sugar_value<T> = 0>
inline int
mp_simple_queue_put(mp_queue *q, const T &x)
{
    return mp_simple_queue_put(q, mp_from(x));
}

template <class T, mp__sugar_value<T> = 0>
inline int
mp_connection_send(mp_connection *c, const T &x)
{
    return mp_connection_send(c, mp_from(x));
}

template <class T, mp__sugar_value<T> = 0>
inline mp_value *
mp_value_new(int typecode, const T &x)
{
    return mp_value_new(typecode, mp_from(x));
}

template <class T, mp__sugar_value<T> = 0>
inline mp_value *
mp_value_new_with(int typecode, const T &x, const struct mp_shared_options *options)
{
    return mp_value_new_with(typecode, mp_from(x), options);
}

template <class T, mp__sugar_value<T> = 0>
inline mp_value *
mp_context_value(const struct mp_context *ctx, int typecode, const T &x,
                 const struct mp_shared_options *options)
{
    return mp_context_value(ctx, typecode, mp_from(x), options);
}

template <class T, mp__sugar_value<T> = 0>
inline void *
mp_raw_value_new(int typecode, const T &x)
{
    return mp_raw_value_new(typecode, mp_from(x));
}

template <class T, mp__sugar_value<T> = 0>
inline int
mp_value_set(mp_value *v, const T &x)
{
    return mp_value_set(v, mp_from(x));
}

template <class T, mp__sugar_value<T> = 0>
inline int
mp_array_set(mp_array *a, std::ptrdiff_t index, const T &x)
{
    return mp_array_set(a, index, mp_from(x));
}

/* ---- C data of a type ------------------------------------------------------------------------*/

/* The size comes from the pointer's type, which must be one that may be copied byte by byte. */
template <class T>
inline int
mp_value_read(mp_value *v, T *to)
{
    static_assert(std::is_trivially_copyable_v<T>, "shared data are copied byte by byte");
    return mp_value_read(v, to, sizeof *to);
}

template <class T>
inline int
mp_value_write(mp_value *v, const T *from)
{
    static_assert(std::is_trivially_copyable_v<T>, "shared data are copied byte by byte");
    return mp_value_write(v, from, sizeof *from);
}

template <class T>
inline int
mp_array_read(mp_array *a, std::ptrdiff_t index, T *to)
{
    static_assert(std::is_trivially_copyable_v<T>, "shared data are copied byte by byte");
    return mp_array_read(a, index, to, sizeof *to);
}

template <class T>
inline int
mp_array_write(mp_array *a, std::ptrdiff_t index, const T *from)
{
    static_assert(std::is_trivially_copyable_v<T>, "shared data are copied byte by byte");
    return mp_array_write(a, index, from, sizeof *from);
}

#endif
#endif
