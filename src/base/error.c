/* base/error.c: codes to names and texts; this thread's latest failure. */
#include "base/error.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define TEXT_BYTES 512

static _Thread_local int last_code;
static _Thread_local char last_text[TEXT_BYTES];

static const struct {
    int code;
    const char *symbol;
    const char *python;
    const char *text;
} errors[] = {
#define ERROR_ROW(code, number, python, text) {code, #code, python, text},
    MP_ERRORS(ERROR_ROW)
#undef ERROR_ROW
};

/* The row of a code, or -1. */
static int
find(int code)
{
    for (size_t i = 0; i < sizeof errors / sizeof *errors; i++) {
        if (errors[i].code == code) {
            return (int)i;
        }
    }
    return -1;
}

/* The text of an errno, or NULL; strerror_l and strerror_r differ between systems, this does not. */
static const char *
errno_text(int err)
{
    static _Thread_local char buffer[96];
    int saved = errno;
    const char *s = strerror(err);
    snprintf(buffer, sizeof buffer, "%s", s ? s : "unknown error");
    errno = saved;
    return buffer;
}

const char *
mp_version(void)
{
    return MP_VERSION;
}

const char *
mp_strerror(int code)
{
    int row = find(code);
    if (row >= 0) {
        return errors[row].text;
    }
    switch (code) {
    case 0:
        return "success";
    case MP_OWNER_DIED:
        return "taken over from an owner that died";
    case MP_NOT_YET:
        return "no answer yet";
    default:
        break;
    }
    return code < 0 && code > -4096 ? errno_text(-code) : "unknown code";
}

const char *
mp_err_name(int code)
{
    int row = find(code);
    if (row >= 0) {
        return errors[row].python;
    }
    return code < 0 && code > -4096 ? "OSError" : "";
}

int
mp_last_error(void)
{
    return last_code;
}

const char *
mp_last_error_text(void)
{
    return last_text;
}

int
mp__error(int code, const char *format, ...)
{
    int saved = errno;
    char text[TEXT_BYTES]; /* the arguments may point into last_text */
    va_list ap;
    va_start(ap, format);
    vsnprintf(text, sizeof text, format, ap);
    va_end(ap);
    last_code = code;
    memcpy(last_text, text, sizeof text);
    errno = saved;
    return code;
}

int
mp__error_os(int err, const char *format, ...)
{
    char what[TEXT_BYTES - 100];
    va_list ap;
    va_start(ap, format);
    vsnprintf(what, sizeof what, format, ap);
    va_end(ap);
    return mp__error(-err, "%s: %s", what, errno_text(err));
}

int
mp__error_text(int code, const char *text)
{
    return mp__error(code, "%s", text);
}
