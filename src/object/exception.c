/*
 * exception.c - errors as values: Python's exception classes and the codes they stand for
 *
 * An error of ours is pickled as an instance of its class, so that a Python peer raises what it
 * knows.  What the class does not say goes into the arguments:
 *     (text,)             the code is the one of the class
 *     (errno, text)       OSError and its like; codes of libmp too, which are negative there
 *     (text, code)        another code
 *     (text, code, type)  of Exception: a type that Python does not know
 */
#include "object/object.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"

#define MESSAGE_MAX 1000 /* bytes of a message that has to be made of several arguments */

/* Module names by one address each: the address stands for the name in the memo of a pickle. */
const char mp__builtins[] = "builtins";
static const char queue[] = "queue", context[] = "multiprocessing.context", pickle[] = "pickle";

#define BUILTIN(name, code, shape)                                                                 \
    {                                                                                              \
        mp__builtins, #name, #name, code, shape                                                    \
    }

static const mp__exception classes[] = {
    BUILTIN(Exception, MP_ETASK, MP__PLAIN),
    BUILTIN(ValueError, MP_EVALUE, MP__PLAIN),
    BUILTIN(TypeError, MP_ETYPE, MP__PLAIN),
    BUILTIN(KeyError, MP_EKEY, MP__PLAIN),
    BUILTIN(IndexError, MP_EINDEX, MP__PLAIN),
    BUILTIN(RuntimeError, MP_ERUNTIME, MP__PLAIN),
    BUILTIN(AttributeError, MP_EATTR, MP__PLAIN),
    BUILTIN(AssertionError, MP_ESTATE, MP__PLAIN),
    BUILTIN(OverflowError, MP_EOVERFLOW, MP__PLAIN),
    BUILTIN(NotImplementedError, MP_ENOTSUP, MP__PLAIN),
    BUILTIN(StopIteration, MP_ESTOP, MP__PLAIN),
    BUILTIN(EOFError, MP_EEOF, MP__PLAIN),
    BUILTIN(MemoryError, MP_ENOMEM, MP__PLAIN),
    BUILTIN(OSError, -EIO, MP__OS),
    BUILTIN(TimeoutError, MP_ETIMEOUT, MP__OS),
    {"_queue", "Empty", "queue.Empty", MP_EEMPTY, MP__ALIAS},
    {queue, "Empty", "queue.Empty", MP_EEMPTY, MP__PLAIN},
    {queue, "Full", "queue.Full", MP_EFULL, MP__PLAIN},
    {queue, "ShutDown", "queue.ShutDown", MP_ESHUTDOWN, MP__PLAIN},
    {"threading", "BrokenBarrierError", "threading.BrokenBarrierError", MP_EBROKENBARRIER,
     MP__PLAIN},
    {context, "ProcessError", "multiprocessing.ProcessError", MP_EPROCESS, MP__PLAIN},
    {context, "TimeoutError", "multiprocessing.TimeoutError", MP_ETIMEOUT, MP__PLAIN},
    {context, "AuthenticationError", "multiprocessing.AuthenticationError", MP_EAUTH, MP__PLAIN},
    {context, "BufferTooShort", "multiprocessing.BufferTooShort", MP_EBUFFERTOOSHORT, MP__PLAIN},
    {"multiprocessing.managers", "RemoteError", "multiprocessing.managers.RemoteError", MP_EREMOTE,
     MP__PLAIN},
    {"multiprocessing.pool", "MaybeEncodingError", "multiprocessing.pool.MaybeEncodingError",
     MP_EENCODING, MP__TWO},
    {"concurrent.futures.process", "BrokenProcessPool",
     "concurrent.futures.process.BrokenProcessPool", MP_EWORKERLOST, MP__PLAIN},
    {"concurrent.futures._base", "TimeoutError", "TimeoutError", MP_ETIMEOUT, MP__ALIAS},
    {pickle, "UnpicklingError", "pickle.UnpicklingError", MP_EUNPICKLING, MP__PLAIN},
    {"_pickle", "UnpicklingError", "pickle.UnpicklingError", MP_EUNPICKLING, MP__ALIAS},
    {pickle, "PicklingError", "pickle.PicklingError", MP_EENCODING, MP__PLAIN},
    {"_pickle", "PicklingError", "pickle.PicklingError", MP_EENCODING, MP__ALIAS},
    BUILTIN(BlockingIOError, -EAGAIN, MP__OS),
    BUILTIN(BrokenPipeError, -EPIPE, MP__OS),
    BUILTIN(ChildProcessError, -ECHILD, MP__OS),
    BUILTIN(ConnectionError, -EIO, MP__OS),
    BUILTIN(ConnectionAbortedError, -ECONNABORTED, MP__OS),
    BUILTIN(ConnectionRefusedError, -ECONNREFUSED, MP__OS),
    BUILTIN(ConnectionResetError, -ECONNRESET, MP__OS),
    BUILTIN(FileExistsError, -EEXIST, MP__OS),
    BUILTIN(FileNotFoundError, -ENOENT, MP__OS),
    BUILTIN(InterruptedError, -EINTR, MP__OS),
    BUILTIN(IsADirectoryError, -EISDIR, MP__OS),
    BUILTIN(NotADirectoryError, -ENOTDIR, MP__OS),
    BUILTIN(PermissionError, -EPERM, MP__OS),
    BUILTIN(ProcessLookupError, -ESRCH, MP__OS),
    {mp__builtins, "IOError", "OSError", -EIO, MP__ALIAS},
    {mp__builtins, "EnvironmentError", "OSError", -EIO, MP__ALIAS},
    BUILTIN(ArithmeticError, MP_ETASK, MP__PLAIN),
    BUILTIN(BaseException, MP_ETASK, MP__PLAIN),
    BUILTIN(BufferError, MP_ETASK, MP__PLAIN),
    BUILTIN(FloatingPointError, MP_ETASK, MP__PLAIN),
    BUILTIN(GeneratorExit, MP_ETASK, MP__PLAIN),
    BUILTIN(ImportError, MP_ETASK, MP__PLAIN),
    BUILTIN(IndentationError, MP_ETASK, MP__PLAIN),
    BUILTIN(KeyboardInterrupt, MP_ETASK, MP__PLAIN),
    BUILTIN(LookupError, MP_ETASK, MP__PLAIN),
    BUILTIN(ModuleNotFoundError, MP_ETASK, MP__PLAIN),
    BUILTIN(NameError, MP_ETASK, MP__PLAIN),
    BUILTIN(RecursionError, MP_ERUNTIME, MP__PLAIN),
    BUILTIN(ReferenceError, MP_ETASK, MP__PLAIN),
    BUILTIN(StopAsyncIteration, MP_ESTOP, MP__PLAIN),
    BUILTIN(SyntaxError, MP_ETASK, MP__PLAIN),
    BUILTIN(SystemError, MP_ETASK, MP__PLAIN),
    BUILTIN(SystemExit, MP_ETASK, MP__PLAIN),
    BUILTIN(TabError, MP_ETASK, MP__PLAIN),
    BUILTIN(UnboundLocalError, MP_ETASK, MP__PLAIN),
    BUILTIN(UnicodeError, MP_EVALUE, MP__PLAIN),
    BUILTIN(UnicodeDecodeError, MP_EVALUE, MP__PARTICULAR),
    BUILTIN(UnicodeEncodeError, MP_EVALUE, MP__PARTICULAR),
    BUILTIN(UnicodeTranslateError, MP_EVALUE, MP__PARTICULAR),
    BUILTIN(ZeroDivisionError, MP_ETASK, MP__PLAIN),
    BUILTIN(Warning, MP_ETASK, MP__PLAIN),
    BUILTIN(BytesWarning, MP_ETASK, MP__PLAIN),
    BUILTIN(DeprecationWarning, MP_ETASK, MP__PLAIN),
    BUILTIN(FutureWarning, MP_ETASK, MP__PLAIN),
    BUILTIN(ImportWarning, MP_ETASK, MP__PLAIN),
    BUILTIN(PendingDeprecationWarning, MP_ETASK, MP__PLAIN),
    BUILTIN(ResourceWarning, MP_ETASK, MP__PLAIN),
    BUILTIN(RuntimeWarning, MP_ETASK, MP__PLAIN),
    BUILTIN(SyntaxWarning, MP_ETASK, MP__PLAIN),
    BUILTIN(UnicodeWarning, MP_ETASK, MP__PLAIN),
    BUILTIN(UserWarning, MP_ETASK, MP__PLAIN),
};

#define CLASSES (sizeof classes / sizeof *classes)

const mp__exception *
mp__exception_by_type(const char *type)
{
    for (size_t i = 0; i < CLASSES; i++) {
        if (classes[i].shape < MP__PARTICULAR && strcmp(classes[i].type, type) == 0) {
            return &classes[i];
        }
    }
    return NULL;
}

static bool
is(const char *word, const char *s, size_t len)
{
    return strlen(word) == len && memcmp(word, s, len) == 0;
}

const mp__exception *
mp__exception_by_global(const char *module, size_t module_len, const char *name, size_t name_len)
{
    if (is("__builtin__", module, module_len) || is("exceptions", module, module_len)) {
        module = "builtins"; /* protocol 2 and older have Python 2's names */
        module_len = strlen(module);
    }
    for (size_t i = 0; i < CLASSES; i++) {
        if (is(classes[i].name, name, name_len) && is(classes[i].module, module, module_len)) {
            return classes[i].shape == MP__ALIAS ? mp__exception_by_type(classes[i].type)
                                                 : &classes[i];
        }
    }
    return NULL;
}

/* ---- making ---------------------------------------------------------------------------------- */

static bool
is_errno(int64_t code)
{
    return code < 0 && code > -4096;
}

/* A code that an argument may carry: one of libmp's, or -errno. */
static bool
is_code(mp_obj o)
{
    if (o.mp__kind != MP_KIND_INT || o.mp__u.i > 0 || o.mp__u.i < INT32_MIN) {
        return false;
    }
    return *mp_err_name((int)o.mp__u.i) != 0;
}

/* A str of any bytes, with '?' for those that are not UTF-8, so that every error can be pickled. */
static mp_obj
clean_text(const char *s)
{
    size_t len = strlen(s);
    mp_obj o = mp__text_new(MP_KIND_STR, s, len);
    if (o.mp__kind == MP_KIND_STR && !mp__utf8_valid(s, len)) {
        char *data = ((mp__text *)o.mp__u.p)->data;
        for (size_t i = 0; i < len; i++) {
            data[i] = (unsigned char)data[i] < 0x80 ? data[i] : '?';
        }
    }
    return o;
}

/* type_text (None: the class has it) and text are consumed. */
static mp_obj
new_failure(int code, const mp__exception *known, mp_obj type_text, mp_obj text)
{
    bool failed = type_text.mp__kind == MP_KIND_FAILED || text.mp__kind == MP_KIND_FAILED;
    mp__failure *e = failed ? NULL : mp__body_new(sizeof *e, MP_KIND_ERROR);
    if (!e) {
        mp_obj_free(type_text);
        mp_obj_free(text);
        return mp__obj_failed(MP_ENOMEM);
    }
    e->code = code;
    e->known = known;
    e->type_text = type_text;
    e->text = text;
    e->type = known ? known->type : mp_as_str(type_text);
    e->message = mp_as_str(text);
    e->args = mp_none();
    e->state = mp_none();
    return mp__obj_of(e);
}

mp_obj
mp_error_new(int code, const char *type, const char *message)
{
    const char *name = mp_err_name(code);
    type = type ? type : *name ? name : "Exception";
    const mp__exception *known = mp__exception_by_type(type);
    return new_failure(code, known, known ? mp_none() : clean_text(type),
                       clean_text(message ? message : mp_strerror(code)));
}

/* ---- to and from arguments ------------------------------------------------------------------- */

/* An instance without more arguments than the text says the code by its class alone. */
static bool
plain_code(const mp__exception *class, int code)
{
    return class->shape != MP__TWO && code == class->code &&
           !(class->shape == MP__OS && is_errno(code));
}

mp_obj
mp__exception_args(const mp__failure *e, const mp__exception **ret_class)
{
    const mp__exception *class = e->known;
    *ret_class = class;
    if (e->args.mp__kind == MP_KIND_TUPLE) {
        return mp_obj_ref(e->args);
    }
    if (class && plain_code(class, e->code) && !*e->message) {
        return mp_tuple_of(0, NULL);
    }
    mp_obj text = mp_obj_ref(e->text);
    if (!class) {
        *ret_class = &classes[0];
        const mp_obj args[] = {text, mp_from_int(e->code), mp_obj_ref(e->type_text)};
        return mp_tuple_of(3, args);
    }
    if (plain_code(class, e->code)) {
        return mp_tuple_of(1, &text);
    }
    if (class->shape == MP__OS) {
        const mp_obj args[] = {mp_from_int(is_errno(e->code) ? -e->code : e->code), text};
        return mp_tuple_of(2, args);
    }
    const mp_obj args[] = {text, mp_from_int(e->code)};
    return mp_tuple_of(2, args);
}

/* What arguments say, in the forms at the head of this file. */
typedef struct saying {
    int code;
    mp_obj text; /* str, or None for none */
    mp_obj type; /* str of a type that is no known class, else None */
} saying;

/* Text that a C string can hold. */
static bool
is_text(mp_obj o)
{
    const mp__text *t = o.mp__u.p;
    return o.mp__kind == MP_KIND_STR && strlen(t->data) == t->len;
}

/* False: they say something else, and have to be kept. */
static bool
read_forms(const mp__exception *class, const mp__seq *args, saying *s)
{
    const mp_obj *a = args->items;
    if (class->shape == MP__PARTICULAR) {
        return false;
    }
    if (args->len <= 1) {
        s->text = args->len ? a[0] : mp_none();
        return plain_code(class, class->code) &&
               (args->len == 0 || (is_text(a[0]) && *mp_as_str(a[0])));
    }
    if (class->shape == MP__OS) {
        if (a[0].mp__kind != MP_KIND_INT) {
            return false;
        }
        mp_obj number = a[0];
        number.mp__u.i = number.mp__u.i > 0 ? -number.mp__u.i : number.mp__u.i;
        if (!is_code(number) || is_errno(number.mp__u.i) != (a[0].mp__u.i > 0)) {
            return false;
        }
        s->code = (int)number.mp__u.i;
        s->text = a[1];
        return args->len == 2 && is_text(a[1]) && !plain_code(class, s->code);
    }
    if (!is_text(a[0]) || !is_code(a[1])) {
        return false;
    }
    s->text = a[0];
    if (args->len == 2 && !plain_code(class, (int)a[1].mp__u.i)) {
        s->code = (int)a[1].mp__u.i;
        return true;
    }
    if (args->len == 3 && class == &classes[0] && is_text(a[2])) {
        s->code = (int)a[1].mp__u.i;
        s->type = a[2];
        return !mp__exception_by_type(mp_as_str(a[2]));
    }
    return false;
}

/* What is said, as one str: of a single argument or of them all, as Python's str() has it. */
static mp_obj
message_of(const mp__seq *args, mp_obj tuple, mp_obj text)
{
    if (text.mp__kind == MP_KIND_STR) {
        return mp_obj_ref(text);
    }
    if (args->len == 0) {
        return mp__text_new(MP_KIND_STR, "", 0);
    }
    size_t len = 0;
    char *s = mp__obj_text(args->len == 1 ? args->items[0] : tuple, false, MESSAGE_MAX, &len);
    mp_obj o = s ? mp__text_new(MP_KIND_STR, s, len) : mp__obj_failed(MP_ENOMEM);
    free(s);
    return o;
}

mp_obj
mp__exception_make(const mp__exception *class, mp_obj args)
{
    saying s = {.code = class->code, .text = mp_none(), .type = mp_none()};
    bool whole = read_forms(class, args.mp__u.p, &s);
    bool typed = whole && s.type.mp__kind == MP_KIND_STR;
    mp_obj e = new_failure(s.code, typed ? NULL : class, typed ? mp_obj_ref(s.type) : mp_none(),
                           message_of(args.mp__u.p, args, s.text));
    if (whole || e.mp__kind == MP_KIND_FAILED) {
        mp_obj_free(args);
    } else {
        ((mp__failure *)e.mp__u.p)->args = args;
    }
    return e;
}

/* ---- looking --------------------------------------------------------------------------------- */

static const mp__failure *
error_body(mp_obj error, const char *call)
{
    if (error.mp__kind == MP_KIND_ERROR) {
        return error.mp__u.p;
    }
    if (error.mp__kind == MP_KIND_FAILED) {
        mp__obj_failure(error);
    } else {
        mp__error(MP_ETYPE, "%s: expected an error, got %s", call, mp_obj_type_name(error));
    }
    return NULL;
}

int
mp_error_code(mp_obj error)
{
    const mp__failure *e = error_body(error, "mp_error_code");
    return e ? e->code : 0;
}

const char *
mp_error_type(mp_obj error)
{
    const mp__failure *e = error_body(error, "mp_error_type");
    return e ? e->type : NULL;
}

const char *
mp_error_message(mp_obj error)
{
    const mp__failure *e = error_body(error, "mp_error_message");
    return e ? e->message : NULL;
}
