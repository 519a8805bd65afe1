/*
 * mp/error.h: error codes, their names and texts.
 *
 * A call returns 0, or a negative code: one of the MP_E codes below, or -errno for an error of the
 * operating system.  A positive value is success with news (MP_OWNER_DIED, MP_NOT_YET).  A
 * constructor returns the object, or NULL; mp_last_error() then tells the code.  Every failing
 * call leaves a text that says what failed, on which object, and what to do about it.
 */
#ifndef MP_ERROR_H
#define MP_ERROR_H

#include <mp/config.h>

/* X(code, number, Python's exception, text).  Numbers are kept for ever and stay off errno's. */
#define MP_ERRORS(X)                                                                               \
    X(MP_EPROCESS, -20001, "multiprocessing.ProcessError", "error of the multiprocessing library") \
    X(MP_EBUFFERTOOSHORT, -20002, "multiprocessing.BufferTooShort", "the buffer is too short")     \
    X(MP_EAUTH, -20003, "multiprocessing.AuthenticationError", "authentication failed")            \
    X(MP_ETIMEOUT, -20004, "multiprocessing.TimeoutError", "timed out")                            \
    X(MP_EEMPTY, -20005, "queue.Empty", "the queue is empty")                                      \
    X(MP_EFULL, -20006, "queue.Full", "the queue is full")                                         \
    X(MP_ESHUTDOWN, -20007, "queue.ShutDown", "the queue was shut down")                           \
    X(MP_EBROKENBARRIER, -20008, "threading.BrokenBarrierError", "the barrier is broken")          \
    X(MP_EEOF, -20009, "EOFError", "end of file: the other side is closed")                        \
    X(MP_ECLOSED, -20010, "OSError", "the object is closed")                                       \
    X(MP_EDIRECTION, -20011, "OSError", "the connection does not go in this direction")            \
    X(MP_EBADMSG, -20012, "OSError", "bad message")                                                \
    X(MP_EVALUE, -20013, "ValueError", "invalid argument")                                         \
    X(MP_ESTATE, -20014, "AssertionError", "not possible in this state")                           \
    X(MP_ERUNTIME, -20015, "RuntimeError", "not possible here")                                    \
    X(MP_ETYPE, -20016, "TypeError", "wrong type")                                                 \
    X(MP_EATTR, -20017, "AttributeError", "no such attribute")                                     \
    X(MP_EKEY, -20018, "KeyError", "no such key")                                                  \
    X(MP_EINDEX, -20019, "IndexError", "index out of range")                                       \
    X(MP_EOVERFLOW, -20020, "OverflowError", "the value does not fit")                             \
    X(MP_ENOTSUP, -20021, "NotImplementedError", "not supported here")                             \
    X(MP_ESTOP, -20022, "StopIteration", "no more items")                                          \
    X(MP_EREMOTE, -20023, "multiprocessing.managers.RemoteError", "the remote side failed")        \
    X(MP_EENCODING, -20024, "multiprocessing.pool.MaybeEncodingError", "cannot be encoded")        \
    X(MP_EUNPICKLING, -20025, "pickle.UnpicklingError", "not a valid pickle")                      \
    X(MP_ENOMEM, -20026, "MemoryError", "out of memory")                                           \
    X(MP_ETASK, -20027, "Exception", "the task failed")                                            \
    X(MP_EWORKERLOST, -20028, "concurrent.futures.process.BrokenProcessPool",                      \
      "the worker died while it ran the task")

enum mp_error_code {
#define MP__ERROR_ENUM(code, number, python, text) code = number,
    MP_ERRORS(MP__ERROR_ENUM)
#undef MP__ERROR_ENUM
};

/*
 * Success with news.
 *   MP_OWNER_DIED  the lock is yours; its previous owner died with it, so what it guards may be
 *                  half changed
 *   MP_NOT_YET     there is no answer yet (Python: None), as the exit code of a running process
 */
enum mp_news { MP_OWNER_DIED = 1, MP_NOT_YET = 2 };

MP_BEGIN_DECLS

/* A short text for any code, MP_E or -errno; never NULL, never freed by you. */
MP_API const char *mp_strerror(int code);

/* The Python name of a code: "queue.Empty"; "OSError" for -errno; "" for 0 and news. */
MP_API const char *mp_err_name(int code);

/* The code of this thread's latest failed call of libmp; 0 when none failed yet. */
MP_API int mp_last_error(void);

/*
 * The text of this thread's latest failed call: what, which object, what to do.  "" when none
 * failed yet.  Yours to read until the next failing call of this thread.
 */
MP_API const char *mp_last_error_text(void);

MP_END_DECLS

#endif
