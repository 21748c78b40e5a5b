/* monitor - which connections a ZeroMQ socket has, bound or connecting, and which have ended.
 *
 * A peer's death is known within a millisecond by its closed connection, while a message sent to it right afterwards
 * still "succeeds". The link between a message and its connection is the descriptor (frame_connection of proto/frame.h,
 * ZMQ_SRCFD); descriptors are used again, so each connection gets a number that is not. One thread, the loop's.
 */
#ifndef SP_MONITOR_H
#define SP_MONITOR_H

#include "common/loop.h"

struct sp_monitor;

typedef void (*sp_monitor_fn)(void *arg, uint64_t connection);

/* ended is called for each connection that ends, from the loop or from within sp_monitor_connection. */
SP_CHECKED enum sp_status sp_monitor_new(struct sp_loop *l, void *zmq, void *zsock, sp_monitor_fn ended, void *arg,
    struct sp_monitor **out, struct sp_why *why);
/* Before the socket is closed. */
void sp_monitor_free(struct sp_monitor **m);
/* The number of the connection that is open on fd now, 0 when there is none. First takes in everything that has
 * happened: called with the descriptor of a message, it therefore cannot mistake a new peer for the former user of the
 * descriptor. */
uint64_t sp_monitor_connection(struct sp_monitor *m, int fd);

#endif
