#include "ingest/server.h"

#include "common/alloc.h"
#include "common/log.h"
#include "common/metrics.h"
#include "common/sock.h"
#include "ingest/conn.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define ACCEPT_PER_TURN 64
#define ACCEPT_PAUSE_MS 100
#define POLL_MS 1000 /* for changed keys and certificates */
#define FDS_KEPT 64  /* for everything that is no connection */
#define BACKLOG 1024
#define HEADS_SHARE 16 /* of runtime.memory */

static void set_accepting(struct server *srv, bool accepting)
{
	if (srv->source && accepting != srv->accepting)
		sp_source_events(srv->source, accepting ? EPOLLIN : 0);
	srv->accepting = accepting;
}

static void accept_again(void *arg)
{
	set_accepting(arg, true);
}

static void connection_waits(void *arg, uint32_t events)
{
	struct server *srv = arg;
	(void)events;
	for (int i = 0; i < ACCEPT_PER_TURN; i++) {
		if (srv->n_conns >= srv->max_conns) {
			sp_metric_add(M_INGEST_CONNECTIONS_TOTAL, SP_L("delayed"), 1);
			set_accepting(srv, false); /* until one goes */
			return;
		}
		int fd = accept4(srv->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (fd < 0) {
			if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
				sp_metric_add(M_INGEST_CONNECTIONS_TOTAL, SP_L("no_descriptor"), 1);
				set_accepting(srv, false);
				sp_timer_set(srv->loop, &srv->accept_again, ACCEPT_PAUSE_MS, accept_again, srv);
			}
			return;
		}
		sp_metric_add(M_INGEST_CONNECTIONS_TOTAL, SP_L("accepted"), 1);
		conn_new(srv, fd);
	}
}

void server_forget(struct server *srv, struct conn *c)
{
	conn_retire(c);
	srv->n_conns--;
	if (!srv->accepting && !srv->stopping && srv->accept_again.at == 0)
		set_accepting(srv, true);
}

static void end_of_turn(void *arg)
{
	struct server *srv = arg;
	while (srv->closed)
		conn_free_retired(srv);
}

static void poll_files(void *arg)
{
	struct server *srv = arg;
	keys_poll(srv->keys);
	if (srv->tls)
		tls_poll(srv->tls);
	sp_timer_set(srv->loop, &srv->poll, POLL_MS, poll_files, srv);
}

static size_t connection_limit(const struct settings *s)
{
	struct rlimit files;
	size_t wanted = (size_t)s->ingest_max_connections;
	if (getrlimit(RLIMIT_NOFILE, &files) != 0)
		return wanted;
	rlim_t need = (rlim_t)wanted + FDS_KEPT;
	if (files.rlim_cur < need) {
		files.rlim_cur = files.rlim_max < need ? files.rlim_max : need;
		if (setrlimit(RLIMIT_NOFILE, &files) != 0)
			getrlimit(RLIMIT_NOFILE, &files);
	}
	if (files.rlim_cur >= need)
		return wanted;
	sp_log(SP_LOG_WARN, "ingest.connections_limited", sp_f_u64("wanted", wanted), sp_f_u64("limit", files.rlim_cur),
		sp_f_str("msg", "RLIMIT_NOFILE is lower than ingest.max_connections"), SP_LOG_END);
	return files.rlim_cur > 2 * FDS_KEPT ? (size_t)files.rlim_cur - FDS_KEPT : FDS_KEPT;
}

enum sp_status server_new(struct sp_loop *l, const struct settings *s, struct keys_dir *dir, struct pool *pool, struct server **out,
	struct sp_why *why)
{
	struct server *srv = sp_new(struct server);
	srv->loop = l;
	srv->settings = s;
	srv->pool = pool;
	srv->fd = -1;
	srv->budget.max = (size_t)s->memory / 2;
	srv->heads.max = (size_t)s->memory / HEADS_SHARE;
	enum sp_status status = keys_new(s, dir, &srv->keys, why);
	if (status == SP_OK && s->ingest_tls_cert)
		status = tls_new(s->ingest_tls_cert, s->ingest_tls_key, &srv->tls, why);
	if (status == SP_OK)
		status = sp_tcp_listen(s->ingest_listen, BACKLOG, &srv->fd, why);
	if (status != SP_OK) {
		server_free(&srv);
		return status;
	}
	srv->max_conns = connection_limit(s);
	srv->accepting = true;
	srv->source = sp_loop_fd(l, srv->fd, EPOLLIN, connection_waits, srv);
	sp_loop_on_turn(l, end_of_turn, srv);
	sp_timer_set(l, &srv->poll, POLL_MS, poll_files, srv);
	*out = srv;
	return SP_OK;
}

void server_hang_up(struct server *srv)
{
	while (srv->conns)
		conn_close(srv->conns);
	end_of_turn(srv);
}

void server_free(struct server **sp)
{
	struct server *srv = *sp;
	if (!srv)
		return;
	SP_BUG_IF(srv->conns);
	sp_loop_on_turn(srv->loop, NULL, NULL);
	sp_timer_cancel(srv->loop, &srv->poll);
	sp_timer_cancel(srv->loop, &srv->accept_again);
	sp_source_free(&srv->source);
	if (srv->fd >= 0)
		close(srv->fd);
	keys_free(&srv->keys);
	tls_free(&srv->tls);
	sp_free(srv);
	*sp = NULL;
}

int server_port(const struct server *srv)
{
	return sp_tcp_port(srv->fd);
}

void server_stop(struct server *srv)
{
	srv->stopping = true;
	sp_timer_cancel(srv->loop, &srv->accept_again);
	sp_source_free(&srv->source);
	close(srv->fd);
	srv->fd = -1;
	conn_stop_all(srv);
}

bool server_idle(const struct server *srv)
{
	return srv->n_conns == 0;
}

const char *server_not_ready(const struct server *srv)
{
	if (srv->stopping)
		return "stopping";
	const struct outcome *o = pool_refuses(srv->pool, NULL, 0);
	return o ? o->text : NULL;
}

void server_metrics(const struct server *srv)
{
	sp_metric_set(M_INGEST_CONNECTIONS, NULL, (double)srv->n_conns);
	sp_metric_set(M_INGEST_CONNECTIONS_MAX, NULL, (double)srv->max_conns);
	sp_metric_set(M_INGEST_BUDGET_USED, NULL, (double)srv->budget.used);
	sp_metric_set(M_INGEST_BUDGET_LIMIT, NULL, (double)srv->budget.max);
	sp_metric_set(M_INGEST_HEADS_USED, NULL, (double)srv->heads.used);
	sp_metric_set(M_INGEST_HEADS_LIMIT, NULL, (double)srv->heads.max);
}
