#include "common/loop.h"

#include "common/alloc.h"

#include <errno.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <unistd.h>
#include <zmq.h>

#define EVENTS_PER_TURN 128

struct sp_source {
	struct sp_loop *loop;
	int fd;
	void *zsock; /* not NULL: fd is its ZMQ_FD */
	sp_fd_fn on_fd;
	sp_zmq_fn on_zmq;
	void *arg;
	struct sp_source *next; /* in the list of ZeroMQ sockets, or of the dead */
	bool dead;
};

struct sp_loop {
	int epoll, signal_fd;
	bool stopped, stop_seen;
	struct sp_mono now;
	struct sp_source *zmq_sources, *dead;
	bool zmq_changed; /* one of zmq_sources went: a walk over the list must end */
	struct sp_timer **heap;
	size_t timers, heap_cap;
	void (*on_turn)(void *arg);
	void *turn_arg;
	void (*on_stop)(void *arg);
	void (*on_reload)(void *arg);
	void *signal_arg;
	struct sp_source *signal_source;
};

struct sp_loop *sp_loop_new(void)
{
	struct sp_loop *l = sp_new(struct sp_loop);
	l->epoll = epoll_create1(EPOLL_CLOEXEC);
	l->signal_fd = -1;
	SP_BUG_IF(l->epoll < 0);
	l->now = sp_mono_now();
	return l;
}

static void free_dead(struct sp_loop *l)
{
	while (l->dead) {
		struct sp_source *s = l->dead;
		l->dead = s->next;
		sp_free(s);
	}
}

void sp_loop_free(struct sp_loop **lp)
{
	struct sp_loop *l = *lp;
	if (!l)
		return;
	sp_source_free(&l->signal_source);
	free_dead(l);
	close(l->epoll);
	if (l->signal_fd >= 0)
		close(l->signal_fd);
	sp_free(l->heap);
	sp_free(l);
	*lp = NULL;
}

static struct sp_source *source_new(struct sp_loop *l, int fd, uint32_t events, void *arg)
{
	struct sp_source *s = sp_new(struct sp_source);
	*s = (struct sp_source){.loop = l, .fd = fd, .arg = arg};
	struct epoll_event ev = {.events = events, .data.ptr = s};
	SP_BUG_IF(epoll_ctl(l->epoll, EPOLL_CTL_ADD, fd, &ev) != 0);
	return s;
}

struct sp_source *sp_loop_fd(struct sp_loop *l, int fd, uint32_t events, sp_fd_fn fn, void *arg)
{
	struct sp_source *s = source_new(l, fd, events, arg);
	s->on_fd = fn;
	return s;
}

struct sp_source *sp_loop_zmq(struct sp_loop *l, void *zsock, sp_zmq_fn fn, void *arg)
{
	int fd;
	size_t n = sizeof fd;
	SP_BUG_IF(zmq_getsockopt(zsock, ZMQ_FD, &fd, &n) != 0);
	struct sp_source *s = source_new(l, fd, EPOLLIN | EPOLLET, arg);
	s->zsock = zsock;
	s->on_zmq = fn;
	s->next = l->zmq_sources;
	l->zmq_sources = s;
	return s;
}

void sp_source_events(struct sp_source *s, uint32_t events)
{
	struct epoll_event ev = {.events = events, .data.ptr = s};
	SP_BUG_IF(epoll_ctl(s->loop->epoll, EPOLL_CTL_MOD, s->fd, &ev) != 0);
}

void sp_source_free(struct sp_source **sp)
{
	struct sp_source *s = *sp;
	if (!s)
		return;
	*sp = NULL;
	epoll_ctl(s->loop->epoll, EPOLL_CTL_DEL, s->fd, NULL);
	if (s->zsock) {
		struct sp_source **link = &s->loop->zmq_sources;
		while (*link != s)
			link = &(*link)->next;
		*link = s->next;
		s->loop->zmq_changed = true;
	}
	/* Events already taken from the kernel may still point here: freed at the end of the turn. */
	s->dead = true;
	s->next = s->loop->dead;
	s->loop->dead = s;
}

static void heap_put(struct sp_loop *l, size_t i, struct sp_timer *t)
{
	l->heap[i] = t;
	t->at = i + 1;
}

static void heap_up(struct sp_loop *l, size_t i, struct sp_timer *t)
{
	for (; i > 0 && l->heap[(i - 1) / 2]->due_ms > t->due_ms; i = (i - 1) / 2)
		heap_put(l, i, l->heap[(i - 1) / 2]);
	heap_put(l, i, t);
}

static void heap_down(struct sp_loop *l, size_t i, struct sp_timer *t)
{
	for (size_t child; (child = 2 * i + 1) < l->timers; i = child) {
		if (child + 1 < l->timers && l->heap[child + 1]->due_ms < l->heap[child]->due_ms)
			child++;
		if (l->heap[child]->due_ms >= t->due_ms)
			break;
		heap_put(l, i, l->heap[child]);
	}
	heap_put(l, i, t);
}

void sp_timer_cancel(struct sp_loop *l, struct sp_timer *t)
{
	if (!t->at)
		return;
	size_t i = t->at - 1;
	struct sp_timer *last = l->heap[--l->timers];
	t->at = 0;
	if (last == t)
		return;
	heap_down(l, i, last);
	heap_up(l, last->at - 1, last);
}

void sp_timer_set(struct sp_loop *l, struct sp_timer *t, int64_t in_ms, sp_timer_fn fn, void *arg)
{
	sp_timer_cancel(l, t);
	t->fn = fn;
	t->arg = arg;
	t->due_ms = l->now.ms + (in_ms > 0 ? in_ms : 0);
	if (l->timers == l->heap_cap) {
		l->heap_cap = l->heap_cap ? l->heap_cap * 2 : 64;
		l->heap = sp_realloc(l->heap, l->heap_cap * sizeof(struct sp_timer *));
	}
	heap_up(l, l->timers++, t);
}

static void run_timers(struct sp_loop *l)
{
	/* Bounded: a timer that sets itself to 0 ms must not keep the turn from ending. */
	for (size_t left = l->timers; left && l->timers && l->heap[0]->due_ms <= l->now.ms; left--) {
		struct sp_timer *t = l->heap[0];
		sp_timer_cancel(l, t);
		t->fn(t->arg);
	}
}

static bool zmq_readable(void *zsock)
{
	int events = 0;
	size_t n = sizeof events;
	return zmq_getsockopt(zsock, ZMQ_EVENTS, &events, &n) == 0 && (events & ZMQ_POLLIN);
}

/* Calls each readable ZeroMQ socket once; true when any still has input. */
static bool run_zmq(struct sp_loop *l)
{
	bool more = false;
	l->zmq_changed = false;
	for (struct sp_source *s = l->zmq_sources; s; s = s->next) {
		if (!zmq_readable(s->zsock))
			continue;
		s->on_zmq(s->arg);
		if (l->zmq_changed)
			return true; /* look again in the next turn */
		more |= zmq_readable(s->zsock);
	}
	return more;
}

static int wait_ms(const struct sp_loop *l, bool more)
{
	if (more || l->stopped)
		return 0;
	if (!l->timers)
		return -1;
	int64_t in = l->heap[0]->due_ms - sp_mono_now().ms;
	return in <= 0 ? 0 : in > 60000 ? 60000 : (int)in;
}

void sp_loop_run(struct sp_loop *l)
{
	struct epoll_event events[EVENTS_PER_TURN];
	bool more = true;
	l->stopped = false;
	while (!l->stopped) {
		int n = epoll_wait(l->epoll, events, EVENTS_PER_TURN, wait_ms(l, more));
		SP_BUG_IF(n < 0 && errno != EINTR);
		l->now = sp_mono_now();
		for (int i = 0; i < n; i++) {
			struct sp_source *s = events[i].data.ptr;
			if (!s->dead && s->on_fd)
				s->on_fd(s->arg, events[i].events);
		}
		more = run_zmq(l);
		run_timers(l);
		if (l->on_turn)
			l->on_turn(l->turn_arg);
		/* A send in a callback may have taken the edge of a socket's descriptor: look before sleeping. */
		for (struct sp_source *s = l->zmq_sources; s && !more; s = s->next)
			more = zmq_readable(s->zsock);
		free_dead(l);
	}
}

void sp_loop_stop(struct sp_loop *l)
{
	l->stopped = true;
}

void sp_loop_on_turn(struct sp_loop *l, void (*fn)(void *arg), void *arg)
{
	l->on_turn = fn;
	l->turn_arg = arg;
}

struct sp_mono sp_loop_now(const struct sp_loop *l)
{
	return l->now;
}

static void signalled(void *arg, uint32_t events)
{
	struct sp_loop *l = arg;
	struct signalfd_siginfo info;
	(void)events;
	while (read(l->signal_fd, &info, sizeof info) == sizeof info) {
		if (info.ssi_signo == SIGHUP) {
			if (l->on_reload)
				l->on_reload(l->signal_arg);
		} else if (l->stop_seen) {
			_exit(SP_EXIT_FAILED);
		} else {
			l->stop_seen = true;
			l->on_stop(l->signal_arg);
		}
	}
}

void sp_loop_signals(struct sp_loop *l, void (*stop)(void *arg), void (*reload)(void *arg), void *arg)
{
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	sigprocmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
	l->on_stop = stop;
	l->on_reload = reload;
	l->signal_arg = arg;
	l->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	SP_BUG_IF(l->signal_fd < 0);
	l->signal_source = sp_loop_fd(l, l->signal_fd, EPOLLIN, signalled, l);
}
