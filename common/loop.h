/* loop - one thread's event loop over file descriptors, timers and ZeroMQ sockets (epoll).
 *
 * ZMQ_FD is edge-triggered and says nothing about direction, so after every turn, and before it sleeps, the loop re-reads
 * ZMQ_EVENTS of each registered socket; a socket that still has input after its callback gets another call in the next turn,
 * which starts without waiting. Callbacks must take a bounded number of messages per call.
 * One thread per loop.
 * Callbacks may register and unregister anything, themselves included.
 */
#ifndef SP_LOOP_H
#define SP_LOOP_H

#include "common/clock.h"
#include "common/status.h"

struct sp_loop;
struct sp_source; /* a registered descriptor or socket */

struct sp_loop *sp_loop_new(void);
void sp_loop_free(struct sp_loop **l);
/* Runs until sp_loop_stop. */
void sp_loop_run(struct sp_loop *l);
void sp_loop_stop(struct sp_loop *l);
/* Called once per turn after all events, before sleeping: the place for commit-then-reply work and batched sends. */
void sp_loop_on_turn(struct sp_loop *l, void (*fn)(void *arg), void *arg);

/* events: EPOLLIN, EPOLLOUT, ... (level-triggered). The descriptor stays the caller's. */
typedef void (*sp_fd_fn)(void *arg, uint32_t events);
struct sp_source *sp_loop_fd(struct sp_loop *l, int fd, uint32_t events, sp_fd_fn fn, void *arg);
void sp_source_events(struct sp_source *s, uint32_t events);
void sp_source_free(struct sp_source **s); /* before closing the descriptor; NULL is fine */

/* fn is called when zsock (void * of libzmq) can be read. */
typedef void (*sp_zmq_fn)(void *arg);
struct sp_source *sp_loop_zmq(struct sp_loop *l, void *zsock, sp_zmq_fn fn, void *arg);

/* Timers are embedded in their owner; {0} is an idle one. Setting a running timer moves it. */
typedef void (*sp_timer_fn)(void *arg);
struct sp_timer {
	sp_timer_fn fn;
	void *arg;
	int64_t due_ms; /* monotonic */
	size_t at;      /* place in the heap + 1; 0 = idle */
};
void sp_timer_set(struct sp_loop *l, struct sp_timer *t, int64_t in_ms, sp_timer_fn fn, void *arg);
void sp_timer_cancel(struct sp_loop *l, struct sp_timer *t);

/* Time of the current turn: cheap, constant within a callback. */
struct sp_mono sp_loop_now(const struct sp_loop *l);

/* SIGTERM and SIGINT call stop (the second one ends the process), SIGHUP calls reload; SIGPIPE is ignored. */
void sp_loop_signals(struct sp_loop *l, void (*stop)(void *arg), void (*reload)(void *arg), void *arg);

#endif
