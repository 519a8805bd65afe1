/* queue_boost_c.c: queue_boost.cpp as a contender. */
#include "queue.h"

void *queue_boost_open(size_t size);
void queue_boost_put(void *channel, int queue, const void *data, size_t size);
void queue_boost_get(void *channel, int queue, void *data, size_t size);
void queue_boost_close(void *channel);

static const struct queue_kind boost = {"Boost message_queue",
                                        queue_boost_open,
                                        queue_boost_put,
                                        queue_boost_get,
                                        queue_boost_close,
                                        0,
                                        0};
QUEUE_CONTENDER(boost)
