/*
 * mp/log.h: what the library, and programs with it, log.
 *
 *     mp_log_to_stderr(MP_LOG_INFO);
 *     mp_log_info("%d files read", n);       [INFO/Process-1] 3 files read
 *
 * Nothing is logged, and nothing costs more than the look at one number, until mp_get_logger() or
 * mp_log_to_stderr() was called.  Then the library tells of children that run and end, exit
 * handlers, daemons, pools.
 *
 * Mirrors   multiprocessing.get_logger, log_to_stderr; multiprocessing.util.debug, info ...
 * Sharing   each process has its own logger.  A child has its parent's level, and logs to stderr
 *           if that did: copied by fork, sent by spawn and forkserver.  A handler goes along with
 *           fork only.
 * Threads   every call from any thread
 * Lines     a record is one write() to descriptor 2: those of several processes never mix, into a
 *           pipe as long as they have no more than PIPE_BUF bytes
 */
#ifndef MP_LOG_H
#define MP_LOG_H

#include <sys/types.h>

#include <mp/error.h>

/* Any number between them is a level too. */
enum mp_log_level {
    MP_LOG_NOTSET = 0, /* of a logger: WARNING, as Python's root logger has it */
    MP_LOG_SUBDEBUG = 5,
    MP_LOG_DEBUG = 10,
    MP_LOG_INFO = 20,
    MP_LOG_SUBWARNING = 25,
    MP_LOG_WARNING = 30,
    MP_LOG_ERROR = 40,
    MP_LOG_CRITICAL = 50
};

typedef struct mp_logger mp_logger;

/* Everything in it lives as long as the call that it is given to. */
typedef struct mp_log_record {
    int level;
    const char *level_name;   /* "INFO"; "Level 25" for one without a name, as in Python */
    const char *process_name; /* "MainProcess" */
    pid_t pid;
    const char *file; /* where in the source, relative for the library's own */
    int line;
    const char *message;
} mp_log_record;

/*
 * Takes a record, in the thread that logs, without a lock: several at once.  What it logs itself
 * comes not to it again.
 */
typedef void (*mp_log_handler)(const mp_log_record *record, void *ctx);

MP_BEGIN_DECLS

/*
 * The logger of this process, made with the first call: level MP_LOG_NOTSET, no handler.  With
 * neither handler nor stderr, messages from WARNING up go to stderr bare, as in Python.  Always
 * the same, never freed, never NULL.
 */
MP_API mp_logger *mp_get_logger(void);

/*
 * Write records to stderr, "[LEVEL/process name] message".  level is set unless it is 0.  Called
 * twice it does not write twice.  The logger.
 */
MP_API mp_logger *mp_log_to_stderr(int level);

/* 0, or MP_EVALUE: a negative level, or not the logger. */
MP_API int mp_logger_set_level(mp_logger *logger, int level);

/* The least level that is logged (never MP_LOG_NOTSET); MP_EVALUE. */
MP_API int mp_logger_get_level(mp_logger *logger);

/*
 * Give records to handler(record, ctx), besides stderr if that was chosen; NULL: no more.
 * 0 or MP_EVALUE.
 */
MP_API int mp_logger_set_handler(mp_logger *logger, mp_log_handler handler, void *ctx);

/* Log.  Nothing when the logger was not made, or its level is higher.  errno stays as it is. */
MP_API void mp_log_at(int level, const char *file, int line, const char *format, ...)
    MP_PRINTF(4, 5);

MP_END_DECLS

/* The same from here in the source: mp_log(MP_LOG_ERROR, "no %s", name). */
#define mp_log(level, ...)      mp_log_at((level), __FILE__, __LINE__, __VA_ARGS__)
#define mp_log_sub_debug(...)   mp_log(MP_LOG_SUBDEBUG, __VA_ARGS__)
#define mp_log_debug(...)       mp_log(MP_LOG_DEBUG, __VA_ARGS__)
#define mp_log_info(...)        mp_log(MP_LOG_INFO, __VA_ARGS__)
#define mp_log_sub_warning(...) mp_log(MP_LOG_SUBWARNING, __VA_ARGS__)
#define mp_log_warning(...)     mp_log(MP_LOG_WARNING, __VA_ARGS__)

#endif
