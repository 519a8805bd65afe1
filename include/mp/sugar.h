/*
 * mp/sugar.h: the preprocessor behind mp_list(1, 2.5, "three") and its like.  Nothing here is for
 * you to call; every macro that uses it stands over a plain function that another language can call.
 */
#ifndef MP_SUGAR_H
#define MP_SUGAR_H

#include <mp/config.h>

/* clang-format off */
#define MP__CAT_(a, b) a##b
#define MP__CAT(a, b) MP__CAT_(a, b)

/* The 33rd argument: a counter for up to 32 arguments when the count-down follows them. */
#define MP__ARG_33(_1, _2, _3, _4, _5, _6, _7, _8, _9, _10, _11, _12, _13, _14, _15, _16, _17,  \
                   _18, _19, _20, _21, _22, _23, _24, _25, _26, _27, _28, _29, _30, _31, _32,   \
                   n, ...) n
#define MP__COUNT_1UP(...)                                                                      \
    MP__ARG_33(__VA_ARGS__, 32, 31, 30, 29, 28, 27, 26, 25, 24, 23, 22, 21, 20, 19, 18, 17, 16, \
               15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0)
#define MP__HAS_COMMA(...)                                                                      \
    MP__ARG_33(__VA_ARGS__, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1,   \
               1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0)

/*
 * 1 for an empty list, else 0: no comma in the list, none when it is followed by (), none when a
 * macro that makes a comma stands before it, but one when it is between that macro and ().
 */
#define MP__COMMA(...) ,
#define MP__IS_EMPTY(...)                                                                       \
    MP__IS_EMPTY_(MP__HAS_COMMA(__VA_ARGS__), MP__HAS_COMMA(MP__COMMA __VA_ARGS__),             \
                  MP__HAS_COMMA(__VA_ARGS__ ()), MP__HAS_COMMA(MP__COMMA __VA_ARGS__ ()))
#define MP__IS_EMPTY_(a, b, c, d) MP__HAS_COMMA(MP__CAT_5(MP__EMPTY_CASE_, a, b, c, d))
#define MP__CAT_5(a, b, c, d, e) a##b##c##d##e
#define MP__EMPTY_CASE_0001 ,

/* One comma-separated application of f to each argument. */
#define MP__MAP_1(f, x) f(x)
#define MP__MAP_2(f, x, ...) f(x), MP__MAP_1(f, __VA_ARGS__)
#define MP__MAP_3(f, x, ...) f(x), MP__MAP_2(f, __VA_ARGS__)
#define MP__MAP_4(f, x, ...) f(x), MP__MAP_3(f, __VA_ARGS__)
#define MP__MAP_5(f, x, ...) f(x), MP__MAP_4(f, __VA_ARGS__)
#define MP__MAP_6(f, x, ...) f(x), MP__MAP_5(f, __VA_ARGS__)
#define MP__MAP_7(f, x, ...) f(x), MP__MAP_6(f, __VA_ARGS__)
#define MP__MAP_8(f, x, ...) f(x), MP__MAP_7(f, __VA_ARGS__)
#define MP__MAP_9(f, x, ...) f(x), MP__MAP_8(f, __VA_ARGS__)
#define MP__MAP_10(f, x, ...) f(x), MP__MAP_9(f, __VA_ARGS__)
#define MP__MAP_11(f, x, ...) f(x), MP__MAP_10(f, __VA_ARGS__)
#define MP__MAP_12(f, x, ...) f(x), MP__MAP_11(f, __VA_ARGS__)
#define MP__MAP_13(f, x, ...) f(x), MP__MAP_12(f, __VA_ARGS__)
#define MP__MAP_14(f, x, ...) f(x), MP__MAP_13(f, __VA_ARGS__)
#define MP__MAP_15(f, x, ...) f(x), MP__MAP_14(f, __VA_ARGS__)
#define MP__MAP_16(f, x, ...) f(x), MP__MAP_15(f, __VA_ARGS__)
#define MP__MAP_17(f, x, ...) f(x), MP__MAP_16(f, __VA_ARGS__)
#define MP__MAP_18(f, x, ...) f(x), MP__MAP_17(f, __VA_ARGS__)
#define MP__MAP_19(f, x, ...) f(x), MP__MAP_18(f, __VA_ARGS__)
#define MP__MAP_20(f, x, ...) f(x), MP__MAP_19(f, __VA_ARGS__)
#define MP__MAP_21(f, x, ...) f(x), MP__MAP_20(f, __VA_ARGS__)
#define MP__MAP_22(f, x, ...) f(x), MP__MAP_21(f, __VA_ARGS__)
#define MP__MAP_23(f, x, ...) f(x), MP__MAP_22(f, __VA_ARGS__)
#define MP__MAP_24(f, x, ...) f(x), MP__MAP_23(f, __VA_ARGS__)
#define MP__MAP_25(f, x, ...) f(x), MP__MAP_24(f, __VA_ARGS__)
#define MP__MAP_26(f, x, ...) f(x), MP__MAP_25(f, __VA_ARGS__)
#define MP__MAP_27(f, x, ...) f(x), MP__MAP_26(f, __VA_ARGS__)
#define MP__MAP_28(f, x, ...) f(x), MP__MAP_27(f, __VA_ARGS__)
#define MP__MAP_29(f, x, ...) f(x), MP__MAP_28(f, __VA_ARGS__)
#define MP__MAP_30(f, x, ...) f(x), MP__MAP_29(f, __VA_ARGS__)
#define MP__MAP_31(f, x, ...) f(x), MP__MAP_30(f, __VA_ARGS__)
#define MP__MAP_32(f, x, ...) f(x), MP__MAP_31(f, __VA_ARGS__)

#define MP__MAP(f, ...) MP__CAT(MP__MAP_, MP__COUNT_1UP(__VA_ARGS__))(f, __VA_ARGS__)

/* call(count, (const type[]){f(x)...}), or call(0, NULL) for an empty list. */
#define MP__APPLY(call, type, f, ...)                                                           \
    MP__CAT(MP__APPLY_, MP__IS_EMPTY(__VA_ARGS__))(call, type, f, __VA_ARGS__)
#define MP__APPLY_1(call, type, f, ...) call(0, NULL)
#define MP__APPLY_0(call, type, f, ...)                                                         \
    call(MP__COUNT_1UP(__VA_ARGS__), (const type[]){MP__MAP(f, __VA_ARGS__)})
/* clang-format on */

#endif
