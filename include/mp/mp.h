/*
 * mp/mp.h: libmp, Python's multiprocessing for C.  This header has all of it.
 *
 * Link with -lmp (pkg-config libmp, or find_package(libmp) and mp::mp).  The first statement of
 * main() is mp_freeze_support(argc, argv).
 */
#ifndef MP_MP_H
#define MP_MP_H

#include <mp/config.h>
#include <mp/error.h>
#include <mp/object.h>
#include <mp/heap.h>
#include <mp/synchronize.h>
#include <mp/sharedctypes.h>
#include <mp/queue.h>
#include <mp/connection.h>
#include <mp/context.h>
#include <mp/process.h>
#include <mp/util.h>
#include <mp/resource_tracker.h>
#include <mp/log.h>
#include <mp/pool.h>

#endif
