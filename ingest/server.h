/* server - the listening address and its connections.
 *
 * Takes connections up to a limit (beyond it they wait in the kernel), gives each to conn.h, and on stop lets open deliveries finish.
 * One thread, the loop's.
 */
#ifndef INGEST_SERVER_H
#define INGEST_SERVER_H

#include "common/conf.h"
#include "common/loop.h"
#include "ingest/budget.h"
#include "ingest/keys.h"
#include "ingest/pool.h"
#include "ingest/tls.h"

struct conn;

struct server {
	struct sp_loop *loop;
	const struct settings *settings;
	struct pool *pool;
	struct keys *keys;
	struct tls *tls; /* NULL: plain HTTP */
	struct budget budget; /* for bodies */
	struct budget heads;  /* for what a head needs beyond its first 8 KiB */
	bool stopping;

	int fd;
	struct sp_source *source;
	struct sp_timer poll, accept_again;
	bool accepting;
	size_t n_conns, max_conns;
	struct conn *conns, *closed; /* lists; closed ones are freed at the end of the loop's turn */
};

/* Reads keys and certificate, listens. dir: of the settings' keys, or NULL. The pool, the settings and dir must outlive it. */
SP_CHECKED enum sp_status server_new(struct sp_loop *l, const struct settings *s, struct keys_dir *dir, struct pool *pool, struct server **out,
	struct sp_why *why);
/* Ends all connections: to be called before pool_free, which gives bodies back to the server and so comes before server_free. */
void server_hang_up(struct server *srv);
void server_free(struct server **srv);
int server_port(const struct server *srv);
/* No new connections, and no new deliveries on the open ones. server_idle: none is left whose answer is open. */
void server_stop(struct server *srv);
bool server_idle(const struct server *srv);
/* Can a delivery be taken now? NULL, or the reason. */
const char *server_not_ready(const struct server *srv);
void server_metrics(const struct server *srv);

/* For conn.c: a connection has gone. */
void server_forget(struct server *srv, struct conn *c);

#endif
