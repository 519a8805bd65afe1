/*
 * platform/posix/spawn.c: closing what a started program must not inherit.
 *
 * One close action for each descriptor that is open now; what another thread opens meanwhile slips
 * through if it is not close-on-exec.
 */
#include "platform/common.h"

int
mp__plat_spawn_closes(posix_spawn_file_actions_t *actions, int first)
{
    return mp__plat_spawn_close_below_bound(actions, first);
}
