// queue_boost.cpp: Boost.Interprocess's message_queue, over shared memory.
#include <cstdio>
#include <cstdlib>
#include <unistd.h>

#include <boost/interprocess/ipc/message_queue.hpp>

extern "C" {
void bench_check(bool ok, const char *what);
}

namespace {

namespace ipc = boost::interprocess;

struct channel {
    ipc::message_queue *queues[2];
};

} // namespace

extern "C" {

void *
queue_boost_open(size_t size)
{
    static int number;
    channel *c = new channel;
    for (ipc::message_queue *&q : c->queues) {
        char name[64];
        std::snprintf(name, sizeof name, "mp-bench-boost-%d-%d", static_cast<int>(getpid()),
                      number++);
        size_t most = size < 65536 ? 1024 : 64;
        try {
            q = new ipc::message_queue(ipc::create_only, name, most, size);
            ipc::message_queue::remove(name); // its memory lives on in both processes
        } catch (const std::exception &e) {
            bench_check(false, e.what());
        }
    }
    return c;
}

void
queue_boost_put(void *c, int queue, const void *data, size_t size)
{
    static_cast<channel *>(c)->queues[queue]->send(data, size, 0);
}

void
queue_boost_get(void *c, int queue, void *data, size_t size)
{
    ipc::message_queue::size_type got = 0;
    unsigned priority;
    static_cast<channel *>(c)->queues[queue]->receive(data, size, got, priority);
    bench_check(got == size, "message_queue::receive");
}

void
queue_boost_close(void *c)
{
    for (ipc::message_queue *q : static_cast<channel *>(c)->queues) {
        delete q;
    }
    delete static_cast<channel *>(c);
}

} // extern "C"
