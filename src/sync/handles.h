/*
 * sync/handles.h: which handles an object may hold when it goes to another process of the family.
 *
 * One instance for queues, connections, pools and processes: pointers into the family's heap are
 * valid in every process of it, so they travel as they are, and are checked when they arrive: the
 * object may have been freed on the way, and the bytes may come from anybody.
 */
#ifndef MP_SYNC_HANDLES_H
#define MP_SYNC_HANDLES_H

#include "object/object.h"

/* Handles of live shared objects pass; connections are refused. */
extern const mp__obj_handles mp__family_handles;

/* Its check, for callers that add a passage for connections: 0, or MP_EVALUE with text. */
int mp__family_check(void *ctx, enum mp_handle_type type, void *address);

#endif
