/* standpipe-convert: one worker process; with `decode` or `names` as the first word, the tool of that name. */
#include "common/admin.h"
#include "common/alloc.h"
#include "common/log.h"
#include "common/metrics.h"
#include "common/sock.h"
#include "convert/decode.h"
#include "convert/worker.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zmq.h>

#define SLOT_MAX 255

struct convert {
	struct settings *settings;
	struct sp_loop *loop;
	void *zmq;
	struct worker *worker;
	struct sp_admin *admin;
	int slot;
	char labels[48];
};

static int show_ready(void *arg, struct sp_admin_request *req)
{
	const struct convert *c = arg;
	bool ready = worker_ready(c->worker);
	sp_buf_str(&req->reply, ready ? "ready\n" : "waits for ingest and ship\n");
	return ready ? 200 : 503;
}

static enum sp_status listen_as(struct convert *c, int slot, struct sp_why *why)
{
	char *path = sp_asprintf("%s/convert-%d.sock", c->settings->runtime_dir, slot);
	enum sp_status status = sp_admin_listen_unix(c->admin, path, why);
	sp_free(path);
	if (status == SP_OK)
		c->slot = slot;
	return status;
}

/* Alone, in a container or unit, a worker takes the first slot that no other of this runtime.dir has. */
static enum sp_status open_admin(struct convert *c, struct sp_why *why)
{
	c->admin = sp_admin_new(c->loop);
	sp_admin_metrics(c->admin, c->labels, NULL, NULL);
	sp_admin_route(c->admin, "/-/ready", true, show_ready, c);
	if (c->slot >= 0)
		return listen_as(c, c->slot, why);
	enum sp_status status = SP_LOCKED;
	for (int slot = 0; slot <= SLOT_MAX && status == SP_LOCKED; slot++)
		status = listen_as(c, slot, why);
	return status;
}

static void worker_stopped(void *arg)
{
	struct convert *c = arg;
	sp_loop_stop(c->loop);
}

static void on_stop(void *arg)
{
	struct convert *c = arg;
	worker_stop(c->worker, worker_stopped, c);
}

static void on_reload(void *arg)
{
	(void)arg; /* a worker reads no configuration: its plan comes from ship */
}

static enum sp_status convert_open(struct convert *c, struct sp_why *why)
{
	enum sp_status status = sp_mkdirs(c->settings->runtime_dir, why);
	if (status == SP_OK)
		status = open_admin(c, why);
	if (status != SP_OK)
		return status;
	settings_start_log(c->settings, "convert", c->slot);
	snprintf(c->labels, sizeof c->labels, "role=\"convert\",worker=\"%d\"", c->slot);
	return worker_new(c->loop, c->zmq, c->settings, (uint32_t)c->slot, &c->worker, why);
}

static void convert_close(struct convert *c)
{
	sp_admin_free(&c->admin);
	worker_free(&c->worker);
	sp_loop_free(&c->loop);
	zmq_ctx_term(c->zmq);
	settings_free(&c->settings);
}

static int usage(void)
{
	fputs("usage: standpipe-convert [--config FILE | --view-fd N] [--worker SLOT]\n       standpipe-convert decode|names "
	      "...\n",
	    stderr);
	return SP_EXIT_USAGE;
}

/* A number of at most max, -1 otherwise. */
static int number(const char *s, long max)
{
	char *end;
	long v = strtol(s, &end, 10);
	return *s && !*end && v >= 0 && v <= max ? (int)v : -1;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {{"config", required_argument, NULL, 'c'},
	    {"view-fd", required_argument, NULL, 'v'}, {"worker", required_argument, NULL, 'w'}, {NULL, 0, NULL, 0}};
	struct convert c = {.slot = -1};
	const char *config = NULL;
	int view_fd = -1;
	if (argc > 1 && strcmp(argv[1], "decode") == 0)
		return decode_main(argc - 1, argv + 1);
	if (argc > 1 && strcmp(argv[1], "names") == 0)
		return names_main(argc - 1, argv + 1);
	for (int o; (o = getopt_long(argc, argv, "", options, NULL)) != -1;) {
		if (o == 'c')
			config = optarg;
		else if (o == 'v')
			view_fd = number(optarg, 1024);
		else if (o == 'w')
			c.slot = number(optarg, SLOT_MAX);
		if (o == '?' || (o == 'v' && view_fd < 0) || (o == 'w' && c.slot < 0))
			return usage();
	}
	if (optind < argc)
		return usage();
	c.settings = settings_for_role(SP_ROLE_CONVERT, config, view_fd, false, NULL);
	settings_start_log(c.settings, "convert", c.slot);
	sp_alloc_tune();
	c.loop = sp_loop_new();
	c.zmq = zmq_ctx_new();
	struct sp_why why;
	enum sp_status status = convert_open(&c, &why);
	if (status != SP_OK) {
		sp_log(SP_LOG_ERROR, "convert.failed", sp_f_str("msg", why.text), SP_LOG_END);
		convert_close(&c);
		return status == SP_LOCKED ? SP_EXIT_LOCKED : status == SP_CONFIG ? SP_EXIT_CONFIG : SP_EXIT_FAILED;
	}
	sp_loop_signals(c.loop, on_stop, on_reload, &c);
	sp_metric_set(M_BUILD_INFO, SP_L(STANDPIPE_VERSION), 1);
	sp_log(SP_LOG_INFO, "convert.started", sp_f_str("version", STANDPIPE_VERSION), SP_LOG_END);
	sp_notify("READY=1");
	sp_loop_run(c.loop);
	sp_log(SP_LOG_INFO, "convert.stopped", SP_LOG_END);
	convert_close(&c);
	return SP_EXIT_OK;
}
