#include "common/admin.h"

#include "common/alloc.h"
#include "common/metrics.h"
#include "common/sock.h"

#include <ctype.h>
#include <errno.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define MAX_CONNS 64
#define MAX_ROUTES 64
#define MAX_LISTENERS 2
#define REQUEST_BYTES (16 * 1024)
#define READ_BYTES (64 * 1024)
#define REQUEST_MS 5000
#define ANSWER_MS 30000 /* a client that reads nothing for so long is let go */

struct listener {
	struct sp_admin *admin;
	struct sp_source *source;
	int fd;
	bool public_only; /* tcp */
};

struct conn {
	struct sp_admin *admin;
	struct conn *next;
	struct sp_source *source;
	struct sp_timer timer;
	struct sp_admin_token *token; /* the answer is to come */
	int fd;
	bool public_only;
	size_t sent;
	struct sp_buf in, out;
};

struct sp_admin_token {
	struct conn *conn; /* NULL: the client has gone */
};

struct route {
	const char *path;
	bool public;
	sp_admin_fn fn;
	void *arg;
};

struct sp_admin {
	struct sp_loop *loop;
	size_t max_request; /* on the unix socket */
	struct conn *conns;
	size_t n_conns, n_routes, n_listeners;
	const char *metric_labels;
	void (*refresh)(void *arg);
	void *refresh_arg;
	struct route routes[MAX_ROUTES];
	struct listener listeners[MAX_LISTENERS];
};

void sp_admin_max_request(struct sp_admin *a, size_t bytes)
{
	a->max_request = bytes;
}

static void conn_free(struct conn *c)
{
	struct sp_admin *a = c->admin;
	struct conn **link = &a->conns;
	while (*link != c)
		link = &(*link)->next;
	*link = c->next;
	a->n_conns--;
	if (c->token)
		c->token->conn = NULL;
	sp_timer_cancel(a->loop, &c->timer);
	sp_source_free(&c->source);
	close(c->fd);
	sp_buf_free(&c->in);
	sp_buf_free(&c->out);
	sp_free(c);
}

void sp_admin_free(struct sp_admin **ap)
{
	struct sp_admin *a = *ap;
	if (!a)
		return;
	while (a->conns)
		conn_free(a->conns);
	for (size_t i = 0; i < a->n_listeners; i++) {
		sp_source_free(&a->listeners[i].source);
		close(a->listeners[i].fd);
	}
	sp_free(a);
	*ap = NULL;
}

void sp_admin_route(struct sp_admin *a, const char *path, bool public, sp_admin_fn fn, void *arg)
{
	SP_BUG_IF(a->n_routes == MAX_ROUTES);
	a->routes[a->n_routes++] = (struct route){.path = path, .public = public, .fn = fn, .arg = arg};
}

static void timed_out(void *arg)
{
	conn_free(arg);
}

/* Sends what the socket takes; afterwards the connection may have gone. */
static void conn_send(struct conn *c)
{
	while (c->sent < c->out.n) {
		ssize_t n = send(c->fd, c->out.p + c->sent, c->out.n - c->sent, MSG_NOSIGNAL);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN) {
			sp_source_events(c->source, EPOLLOUT);
			return;
		}
		if (n < 0)
			break;
		c->sent += (size_t)n;
		sp_timer_set(c->admin->loop, &c->timer, ANSWER_MS, timed_out, c);
	}
	/* Close alone would reset the answer away when unread input (a body we refused) is left. */
	shutdown(c->fd, SHUT_WR);
	uint8_t rest[4096];
	while (recv(c->fd, rest, sizeof rest, 0) > 0)
		;
	conn_free(c);
}

const char *sp_http_reason(int status)
{
	static const struct {
		int status;
		const char *words;
	} known[] = {{200, "OK"}, {400, "Bad Request"}, {401, "Unauthorized"}, {403, "Forbidden"}, {404, "Not Found"},
	    {405, "Method Not Allowed"}, {408, "Request Timeout"}, {411, "Length Required"}, {413, "Content Too Large"},
	    {414, "URI Too Long"}, {415, "Unsupported Media Type"}, {417, "Expectation Failed"}, {429, "Too Many Requests"},
	    {431, "Request Header Fields Too Large"}, {500, "Internal Server Error"}, {503, "Service Unavailable"},
	    {505, "HTTP Version Not Supported"}};
	for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
		if (known[i].status == status)
			return known[i].words;
	return status < 400 ? "Done" : "Error";
}

static void conn_answer(struct conn *c, int status, const char *content_type, struct sp_bytes body)
{
	sp_timer_set(c->admin->loop, &c->timer, ANSWER_MS, timed_out, c);
	sp_buf_printf(&c->out,
	    "HTTP/1.1 %d %s\r\nContent-Type: %s\r\nContent-Length: %zu\r\nCache-Control: no-store\r\n"
	    "Connection: close\r\n\r\n",
	    status, sp_http_reason(status), content_type ? content_type : "text/plain; charset=utf-8", body.n);
	sp_buf_add(&c->out, body);
	if (sp_buf_ok(&c->out))
		conn_send(c);
	else
		conn_free(c);
}

void sp_admin_reply(struct sp_admin_token **tp, int status, const char *content_type, struct sp_bytes body)
{
	struct sp_admin_token *t = *tp;
	*tp = NULL;
	if (t->conn) {
		t->conn->token = NULL;
		conn_answer(t->conn, status, content_type, body);
	}
	sp_free(t);
}

static const struct route *route_find(const struct conn *c, struct sp_bytes path)
{
	for (size_t i = 0; i < c->admin->n_routes; i++) {
		const struct route *r = &c->admin->routes[i];
		struct sp_bytes p = sp_str(r->path);
		bool below = p.n > 1 && sp_ends(p, SP_LIT("/")) && path.n > p.n && sp_starts(path, p);
		if ((below || sp_eq(p, path)) && (r->public || !c->public_only))
			return r;
	}
	return NULL;
}

static void plain_answer(struct conn *c, int status, const char *text)
{
	conn_answer(c, status, NULL, sp_str(text));
}

static void dispatch(struct conn *c, struct sp_admin_request *req)
{
	const struct route *r = route_find(c, req->path);
	if (!sp_eq(req->method, SP_LIT("GET")) && !sp_eq(req->method, SP_LIT("POST"))) {
		plain_answer(c, 405, "GET and POST only\n");
		return;
	}
	if (!r) {
		plain_answer(c, 404, "no such page\n");
		return;
	}
	/* From here on input is not read; the client's end is noticed, so that the token learns of it. */
	sp_timer_cancel(c->admin->loop, &c->timer);
	sp_source_events(c->source, EPOLLRDHUP);
	req->token = c->token = sp_new(struct sp_admin_token);
	c->token->conn = c;
	int status = r->fn(r->arg, req);
	if (status)
		sp_admin_reply(&req->token, sp_buf_ok(&req->reply) ? status : 503, req->content_type, sp_buf_view(&req->reply));
	sp_buf_free(&req->reply);
}

/* Up to the separator, which is skipped; false when it is not there. */
static bool take_until(struct sp_bytes *in, const char *sep, struct sp_bytes *out)
{
	size_t n = strlen(sep);
	const uint8_t *at = memmem(in->p, in->n, sep, n);
	if (!at)
		return false;
	*out = sp_bytes(in->p, (size_t)(at - in->p));
	in->p = at + n, in->n -= out->n + n;
	return true;
}

/* Length of the body from the head's lines; false when it is not a plain number, or the body is chunked. */
static bool body_length(struct sp_bytes head, size_t *n)
{
	struct sp_bytes line, name;
	*n = 0;
	while (head.n) {
		if (!take_until(&head, "\r\n", &line))
			line = head, head.n = 0;
		if (!take_until(&line, ":", &name))
			return false;
		if (sp_eq_nocase(name, SP_LIT("Transfer-Encoding")))
			return false;
		if (!sp_eq_nocase(name, SP_LIT("Content-Length")))
			continue;
		line = sp_trim(line);
		if (line.n == 0 || line.n > 9)
			return false;
		for (size_t v = *n = 0; v < line.n; v++) {
			if (!isdigit(line.p[v]))
				return false;
			*n = *n * 10 + (size_t)(line.p[v] - '0');
		}
	}
	return true;
}

/* Looks at what has arrived; answers when it is a whole request or none. */
static void conn_parse(struct conn *c)
{
	struct sp_bytes rest = sp_buf_view(&c->in), head, line, target;
	struct sp_admin_request req = {0};
	size_t n;
	if (!take_until(&rest, "\r\n\r\n", &head)) {
		if (c->in.n >= c->in.max)
			plain_answer(c, 413, "the request is too long\n");
		return;
	}
	if (!take_until(&head, "\r\n", &line))
		line = head, head.n = 0;
	if (!take_until(&line, " ", &req.method) || !take_until(&line, " ", &target) || target.n == 0 ||
	    target.p[0] != '/' || !sp_starts(line, SP_LIT("HTTP/")) || !body_length(head, &n)) {
		plain_answer(c, 400, "not a request this server knows\n");
		return;
	}
	if (n > c->in.max || (size_t)(rest.p - c->in.p) + n > c->in.max) {
		plain_answer(c, 413, "the request is too long\n");
		return;
	}
	if (!sp_take_n(&rest, n, &req.body))
		return;
	req.query = target;
	(void)sp_take_part(&req.query, '?', &req.path);
	dispatch(c, &req);
}

static void conn_event(void *arg, uint32_t events)
{
	struct conn *c = arg;
	if (c->out.n) {
		conn_send(c);
		return;
	}
	if (c->token) { /* the client went before its answer */
		conn_free(c);
		return;
	}
	size_t most = c->in.max - c->in.n < READ_BYTES ? c->in.max - c->in.n : READ_BYTES;
	uint8_t *to = sp_buf_room(&c->in, most);
	ssize_t n = to ? recv(c->fd, to, most, 0) : 0;
	if (n > 0) {
		c->in.n += (size_t)n;
		conn_parse(c);
	} else if (n == 0 || (errno != EAGAIN && errno != EINTR) || (events & EPOLLERR)) {
		conn_free(c);
	}
}

static void accept_conns(void *arg, uint32_t events)
{
	struct listener *l = arg;
	(void)events;
	for (int i = 0; i < MAX_CONNS; i++) {
		int fd = accept4(l->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (fd < 0)
			return;
		if (l->admin->n_conns == MAX_CONNS) {
			close(fd);
			continue;
		}
		struct conn *c = sp_new(struct conn);
		*c = (struct conn){.admin = l->admin,
		    .next = l->admin->conns,
		    .fd = fd,
		    .public_only = l->public_only,
		    .in.max = l->public_only ? REQUEST_BYTES : l->admin->max_request};
		l->admin->conns = c;
		l->admin->n_conns++;
		c->source = sp_loop_fd(l->admin->loop, fd, EPOLLIN, conn_event, c);
		sp_timer_set(l->admin->loop, &c->timer, REQUEST_MS, timed_out, c);
	}
}

static void listener_add(struct sp_admin *a, int fd, bool public_only)
{
	SP_BUG_IF(a->n_listeners == MAX_LISTENERS);
	struct listener *l = &a->listeners[a->n_listeners++];
	*l = (struct listener){.admin = a, .fd = fd, .public_only = public_only};
	l->source = sp_loop_fd(a->loop, fd, EPOLLIN, accept_conns, l);
}

enum sp_status sp_admin_listen_unix(struct sp_admin *a, const char *path, struct sp_why *why)
{
	int fd;
	enum sp_status status = sp_unix_listen(path, &fd, why);
	if (status == SP_OK)
		listener_add(a, fd, false);
	return status;
}

enum sp_status sp_admin_listen_tcp(struct sp_admin *a, const char *address, struct sp_why *why)
{
	int fd;
	enum sp_status status = sp_tcp_listen(address, MAX_CONNS, &fd, why);
	if (status == SP_OK)
		listener_add(a, fd, true);
	return status;
}

/* ---- what every role shows ---- */

/* Nothing but this loop: whoever waits for others is no less alive. */
static int show_healthy(void *arg, struct sp_admin_request *req)
{
	(void)arg;
	sp_buf_str(&req->reply, "ok\n");
	return 200;
}

static int show_metrics(void *arg, struct sp_admin_request *req)
{
	const struct sp_admin *a = arg;
	sp_metrics_process();
	if (a->refresh)
		a->refresh(a->refresh_arg);
	sp_metrics_write(&req->reply, a->metric_labels);
	req->content_type = "text/plain; version=0.0.4; charset=utf-8";
	return 200;
}

struct sp_admin *sp_admin_new(struct sp_loop *l)
{
	struct sp_admin *a = sp_new(struct sp_admin);
	a->loop = l;
	a->max_request = REQUEST_BYTES;
	sp_admin_route(a, "/-/healthy", true, show_healthy, NULL);
	return a;
}

void sp_admin_metrics(struct sp_admin *a, const char *labels, void (*refresh)(void *arg), void *arg)
{
	a->metric_labels = labels;
	a->refresh = refresh;
	a->refresh_arg = arg;
	sp_admin_route(a, "/metrics", true, show_metrics, a);
}

static int hex(uint8_t c)
{
	return isdigit(c) ? c - '0' : isxdigit(c) ? tolower(c) - 'a' + 10 : -1;
}

bool sp_admin_param(const struct sp_admin_request *req, const char *name, char *out, size_t n)
{
	struct sp_bytes rest = req->query, pair, key;
	while (sp_take_part(&rest, '&', &pair)) {
		(void)sp_take_part(&pair, '=', &key);
		if (!sp_eq(key, sp_str(name)))
			continue;
		size_t at = 0;
		for (size_t i = 0; i < pair.n && at + 1 < n; i++) {
			bool code =
			    pair.p[i] == '%' && i + 2 < pair.n && hex(pair.p[i + 1]) >= 0 && hex(pair.p[i + 2]) >= 0;
			out[at++] = (char)(code		      ? hex(pair.p[i + 1]) << 4 | hex(pair.p[i + 2])
					   : pair.p[i] == '+' ? ' '
							      : pair.p[i]);
			i += code ? 2 : 0;
		}
		out[at] = '\0';
		return true;
	}
	return false;
}
