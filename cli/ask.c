#include "cli/ask.h"

#include "common/alloc.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

struct question {
	struct sp_loop *loop;
	struct sp_source *source;
	struct sp_timer timer;
	int fd;
	struct sp_buf request, answer;
	size_t sent;
	ask_fn done;
	void *arg;
};

static int status_of(struct sp_bytes answer)
{
	return answer.n > 12 && memcmp(answer.p, "HTTP/1.", 7) == 0 ? (int)strtol((const char *)answer.p + 9, NULL, 10) : 0;
}

static void end(struct question *q, bool complete)
{
	struct sp_bytes answer = sp_buf_view(&q->answer);
	const uint8_t *body = complete && answer.n ? memmem(answer.p, answer.n, "\r\n\r\n", 4) : NULL;
	size_t head = body ? (size_t)(body - answer.p) + 4 : answer.n;
	sp_timer_cancel(q->loop, &q->timer);
	sp_source_free(&q->source);
	if (q->fd >= 0)
		close(q->fd);
	q->done(q->arg, body ? status_of(answer) : 0, sp_bytes(answer.p + head, answer.n - head));
	sp_buf_free(&q->request);
	sp_buf_free(&q->answer);
	sp_free(q);
}

static void too_late(void *arg)
{
	end(arg, false);
}

static void event(void *arg, uint32_t events)
{
	struct question *q = arg;
	if (q->sent < q->request.n) {
		ssize_t n = send(q->fd, q->request.p + q->sent, q->request.n - q->sent, MSG_NOSIGNAL);
		if (n < 0 && errno != EAGAIN) {
			end(q, false);
			return;
		}
		q->sent += n > 0 ? (size_t)n : 0;
		if (q->sent == q->request.n)
			sp_source_events(q->source, EPOLLIN);
		return;
	}
	uint8_t *room = sp_buf_room(&q->answer, 65536);
	ssize_t n = room ? recv(q->fd, room, 65536, 0) : -1;
	if (n > 0)
		q->answer.n += (size_t)n;
	else if (n == 0 || errno != EAGAIN || !room)
		end(q, n == 0);
	(void)events;
}

void ask(struct sp_loop *l, const char *socket_path, const char *method, const char *path, ask_fn done, void *arg)
{
	struct question *q = sp_new(struct question);
	struct sockaddr_un at = {.sun_family = AF_UNIX};
	*q = (struct question){.loop = l, .done = done, .arg = arg, .answer.max = ASK_MAX_BYTES};
	sp_buf_printf(&q->request, "%s %s HTTP/1.1\r\nHost: standpipe\r\nContent-Length: 0\r\n\r\n", method, path);
	q->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	bool fits = strlen(socket_path) < sizeof at.sun_path;
	if (fits)
		memcpy(at.sun_path, socket_path, strlen(socket_path) + 1);
	if (q->fd < 0 || !fits || connect(q->fd, (struct sockaddr *)&at, sizeof at) != 0) {
		sp_timer_set(l, &q->timer, 0, too_late, q);
		return;
	}
	q->source = sp_loop_fd(l, q->fd, EPOLLOUT, event, q);
	sp_timer_set(l, &q->timer, ASK_MS, too_late, q);
}

struct now {
	struct sp_loop *loop;
	struct sp_buf *body;
	int status;
};

static void answered(void *arg, int http_status, struct sp_bytes body)
{
	struct now *n = arg;
	n->status = http_status;
	sp_buf_add(n->body, body);
	sp_loop_stop(n->loop);
}

int ask_now(const char *socket_path, const char *path, struct sp_buf *body)
{
	struct now n = {.loop = sp_loop_new(), .body = body};
	ask(n.loop, socket_path, "GET", path, answered, &n);
	sp_loop_run(n.loop);
	sp_loop_free(&n.loop);
	return n.status;
}
