#include "common/monitor.h"

#include "common/alloc.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <zmq.h>

struct sp_monitor {
	void *zsock, *pair;
	struct sp_source *source;
	sp_monitor_fn ended;
	void *arg;
	uint64_t last;	/* number of the newest connection */
	uint64_t *open; /* by descriptor: number of its connection, 0 when closed */
	size_t open_cap;
};

static void set_open(struct sp_monitor *m, size_t fd, uint64_t connection)
{
	if (fd >= m->open_cap) {
		size_t cap = fd + 64;
		m->open = sp_realloc(m->open, cap * sizeof m->open[0]);
		memset(m->open + m->open_cap, 0, (cap - m->open_cap) * sizeof m->open[0]);
		m->open_cap = cap;
	}
	m->open[fd] = connection;
}

/* An event is two frames: number (16 bits) and value (32 bits) in host order, then the address. */
static bool take_event(struct sp_monitor *m, uint16_t *event, uint32_t *value)
{
	uint8_t first[6];
	int n = zmq_recv(m->pair, first, sizeof first, ZMQ_DONTWAIT);
	if (n < 0)
		return false;
	SP_BUG_IF(n != (int)sizeof first || zmq_recv(m->pair, NULL, 0, 0) < 0);
	memcpy(event, first, 2);
	memcpy(value, first + 2, 4);
	return true;
}

static void take_events(void *arg)
{
	struct sp_monitor *m = arg;
	uint16_t event;
	uint32_t fd;
	while (take_event(m, &event, &fd)) {
		if (event == ZMQ_EVENT_ACCEPTED || event == ZMQ_EVENT_CONNECTED) {
			set_open(m, fd, ++m->last);
		} else if (event == ZMQ_EVENT_DISCONNECTED && fd < m->open_cap && m->open[fd]) {
			uint64_t connection = m->open[fd];
			m->open[fd] = 0;
			m->ended(m->arg, connection);
		}
	}
}

enum sp_status sp_monitor_new(struct sp_loop *l, void *zmq, void *zsock, sp_monitor_fn ended, void *arg,
    struct sp_monitor **out, struct sp_why *why)
{
	char name[64];
	const int unlimited = 0, linger = 0; /* the I/O thread must never wait for us */
	struct sp_monitor *m = sp_new(struct sp_monitor);
	*m = (struct sp_monitor){.zsock = zsock, .ended = ended, .arg = arg};
	snprintf(name, sizeof name, "inproc://monitor-%p", zsock);
	m->pair = zmq_socket(zmq, ZMQ_PAIR);
	if (!m->pair || zmq_setsockopt(m->pair, ZMQ_RCVHWM, &unlimited, sizeof unlimited) != 0 ||
	    zmq_setsockopt(m->pair, ZMQ_LINGER, &linger, sizeof linger) != 0 ||
	    zmq_socket_monitor(zsock, name, ZMQ_EVENT_ACCEPTED | ZMQ_EVENT_CONNECTED | ZMQ_EVENT_DISCONNECTED) != 0 ||
	    zmq_connect(m->pair, name) != 0) {
		enum sp_status status = sp_fail(why, SP_IO, "cannot watch a socket: %s", zmq_strerror(errno));
		sp_monitor_free(&m);
		return status;
	}
	m->source = sp_loop_zmq(l, m->pair, take_events, m);
	*out = m;
	return SP_OK;
}

void sp_monitor_free(struct sp_monitor **mp)
{
	struct sp_monitor *m = *mp;
	if (!m)
		return;
	*mp = NULL;
	sp_source_free(&m->source);
	zmq_socket_monitor(m->zsock, NULL, 0);
	if (m->pair)
		zmq_close(m->pair);
	sp_free(m->open);
	sp_free(m);
}

uint64_t sp_monitor_connection(struct sp_monitor *m, int fd)
{
	take_events(m);
	return fd >= 0 && (size_t)fd < m->open_cap ? m->open[fd] : 0;
}
