/*
 * mp/context.h: start methods, and the contexts that carry one.
 *
 * fork        the child is a copy of the parent
 * spawn       the child is the program run anew, with nothing inherited but what it is given
 * forkserver  a small server of the program, spawned once, forks the children on request: starts
 *             fast from a big parent, and safe from one with threads
 *
 * The default is fork; the environment variable MP_START_METHOD sets another default.
 *
 * Mirrors   multiprocessing.get_context, set_start_method, freeze_support ...
 * Threads   every call from any thread
 */
#ifndef MP_CONTEXT_H
#define MP_CONTEXT_H

#include <mp/error.h>
#include <mp/object.h>

typedef struct mp_context mp_context;

MP_BEGIN_DECLS

/*
 * The first statement of main() in a program that uses spawn or forkserver: in a child that the
 * library started it runs the child's work and never returns; elsewhere it only notes the
 * arguments, which children get as theirs.  Does not choose a start method.
 *
 * A child whose main() comes to another call of libmp before this one ends with an explanation on
 * stderr, and mp_process_start() in the parent returns MP_ERUNTIME with the same.
 */
MP_API void mp_freeze_support(int argc, char **argv);

/*
 * The context of a start method: "fork", "spawn" or "forkserver".  NULL gives the active one, and
 * fixes the default if none was chosen.  Contexts live for ever.  NULL with MP_EVALUE: no such
 * method.
 */
MP_API const mp_context *mp_get_context(const char *method);

/*
 * The chosen method's name.  When none is chosen yet: NULL with allow_none, else the default,
 * which is thereby chosen.
 */
MP_API const char *mp_get_start_method(bool allow_none);

/*
 * Choose for the whole program; once, unless force.  method NULL with force un-chooses, without
 * it chooses the default.  0; MP_EVALUE (no such method); MP_ERUNTIME (chosen already).
 */
MP_API int mp_set_start_method(const char *method, bool force);

/* Usable methods, the default first, ended by NULL; static. */
MP_API const char *const *mp_get_all_start_methods(void);

/* The name that is used when the program chooses none. */
MP_API const char *mp_default_start_method(void);

/* The method of a context; of NULL, the global one. */
MP_API const char *mp_context_get_start_method(const mp_context *ctx);

/*
 * The program that spawn runs; NULL: this program's own image, as it is by default.  It must be
 * the same program (functions are sent as places in it).  Checked at the next start.
 * 0, MP_ENOMEM.
 */
MP_API int mp_set_executable(const char *path);

/* CPUs in the system, and those this process may use. */
MP_API int mp_cpu_count(void);
MP_API int mp_usable_cpu_count(void);

MP_END_DECLS

#endif
