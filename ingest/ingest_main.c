/* standpipe-ingest: takes deliveries over HTTP and holds each request open until its delivery is committed. */
#include "common/admin.h"
#include "common/alloc.h"
#include "common/conf.h"
#include "common/json.h"
#include "common/log.h"
#include "common/loop.h"
#include "common/metrics.h"
#include "common/sock.h"
#include "ingest/pool.h"
#include "ingest/replay.h"
#include "ingest/server.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zmq.h>

#define DRAIN_LOOK_MS 20

struct ingest {
	struct settings *settings;
	struct keys_dir *keys;
	struct sp_loop *loop;
	void *zmq;
	struct pool *pool;
	struct server *server;
	struct sp_admin *admin;
	struct sp_timer drain;
	struct sp_mono stopped_at;
};

/* ---- admin ---- */

static void refresh(void *arg)
{
	struct ingest *g = arg;
	server_metrics(g->server);
	pool_metrics(g->pool);
}

/* One question: would a delivery be accepted now? */
static int show_ready(void *arg, struct sp_admin_request *req)
{
	struct ingest *g = arg;
	const char *reason = server_not_ready(g->server);
	sp_buf_printf(&req->reply, "%s\n", reason ? reason : "ready");
	return reason ? 503 : 200;
}

static int show_status(void *arg, struct sp_admin_request *req)
{
	struct ingest *g = arg;
	const char *reason = server_not_ready(g->server);
	pool_metrics(g->pool);
	json_t *o = json_pack("{s:b, s:s, s:I, s:I, s:I, s:I}", "ready", reason == NULL, "reason", reason ? reason : "", "connections",
		(json_int_t)g->server->n_conns, "workers", (json_int_t)sp_metric_value(M_INGEST_WORKERS, NULL), "budget_bytes",
		(json_int_t)g->server->budget.used, "budget_limit_bytes", (json_int_t)g->server->budget.max);
	sp_json_put(&req->reply, o, JSON_COMPACT);
	req->content_type = "application/json";
	return 200;
}

static enum sp_status open_admin(struct ingest *g, struct sp_why *why)
{
	char *path = sp_asprintf("%s/ingest.sock", g->settings->runtime_dir);
	g->admin = sp_admin_new(g->loop);
	sp_admin_metrics(g->admin, "role=\"ingest\"", refresh, g);
	sp_admin_route(g->admin, "/-/ready", true, show_ready, g);
	sp_admin_route(g->admin, "/status", true, show_status, g);
	replay_route(g->admin, g->server);
	enum sp_status status = sp_admin_listen_unix(g->admin, path, why);
	if (status == SP_OK && g->settings->admin_listen)
		status = sp_admin_listen_tcp(g->admin, g->settings->admin_listen, why);
	sp_free(path);
	return status;
}

/* ---- beginning and end ---- */

static void drain(void *arg)
{
	struct ingest *g = arg;
	bool idle = server_idle(g->server) && pool_idle(g->pool);
	if (idle || sp_mono_since_ms(g->stopped_at) >= g->settings->ingest_drain)
		sp_loop_stop(g->loop);
	else
		sp_timer_set(g->loop, &g->drain, DRAIN_LOOK_MS, drain, g);
}

static void on_stop(void *arg)
{
	struct ingest *g = arg;
	g->stopped_at = sp_mono_now();
	sp_notify("STOPPING=1");
	pool_stop(g->pool);
	server_stop(g->server);
	drain(g);
}

static void on_reload(void *arg)
{
	(void)arg;
	sp_log(SP_LOG_INFO, "ingest.reload", sp_f_str("msg", "keys and certificates are read again when they change; other settings need a restart"),
		SP_LOG_END);
}

static enum sp_status ingest_open(struct ingest *g, struct sp_why *why)
{
	enum sp_status status = sp_mkdirs(g->settings->runtime_dir, why);
	if (status != SP_OK)
		return status;
	g->pool = pool_new(g->loop, g->zmq, g->settings, why);
	if (!g->pool)
		return why->status;
	status = server_new(g->loop, g->settings, g->keys, g->pool, &g->server, why);
	return status == SP_OK ? open_admin(g, why) : status;
}

static int ingest_run(struct settings *settings, struct keys_dir *keys)
{
	struct ingest g = {.settings = settings, .keys = keys, .loop = sp_loop_new(), .zmq = zmq_ctx_new()};
	struct sp_why why = {.text = ""};
	int result = SP_EXIT_OK;
	sp_loop_signals(g.loop, on_stop, on_reload, &g);
	enum sp_status status = ingest_open(&g, &why);
	if (status == SP_OK) {
		sp_log(SP_LOG_INFO, "ingest.started", sp_f_str("listen", settings->ingest_listen), sp_f_i64("port", server_port(g.server)),
			sp_f_str("tls", settings->ingest_tls_cert ? "yes" : "no"), sp_f_u64("keys", settings->n_keys), SP_LOG_END);
		sp_notify("READY=1");
		sp_loop_run(g.loop);
		sp_log(SP_LOG_INFO, "ingest.stopped", SP_LOG_END);
	} else {
		sp_log(SP_LOG_ERROR, "ingest.failed", sp_f_str("msg", why.text), SP_LOG_END);
		result = status == SP_CONFIG ? SP_EXIT_CONFIG : status == SP_LOCKED ? SP_EXIT_LOCKED : SP_EXIT_FAILED;
	}
	sp_timer_cancel(g.loop, &g.drain);
	if (g.server)
		server_hang_up(g.server);
	pool_free(&g.pool);
	server_free(&g.server);
	sp_admin_free(&g.admin);
	zmq_ctx_term(g.zmq);
	sp_loop_free(&g.loop);
	return result;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {{"config", required_argument, NULL, 'c'}, {"view-fd", required_argument, NULL, 'v'}, {"again", no_argument, NULL, 'a'}, {0}};
	const char *config = NULL;
	int view_fd = -1;
	bool again = false;
	for (int o; (o = getopt_long(argc, argv, "", options, NULL)) != -1;) {
		if (o == 'c')
			config = optarg;
		else if (o == 'v')
			view_fd = (int)strtol(optarg, NULL, 10);
		else if (o == 'a')
			again = true;
		else
			return SP_EXIT_USAGE;
	}
	if (optind != argc) {
		fprintf(stderr, "usage: standpipe-ingest [--config FILE]\n");
		return SP_EXIT_USAGE;
	}
	sp_alloc_tune();
	struct keys_dir *keys = NULL;
	struct settings *settings = settings_for_role(SP_ROLE_INGEST, config, view_fd, again, &keys);
	settings_start_log(settings, "ingest", -1);
	sp_metric_set(M_BUILD_INFO, SP_L(STANDPIPE_VERSION), 1);
	srandom((unsigned)sp_mono_now().ms);
	int result = ingest_run(settings, keys);
	keys_dir_free(&keys);
	settings_free(&settings);
	return result;
}
