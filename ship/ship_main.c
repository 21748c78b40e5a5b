/* standpipe-ship: owns the spool, takes deliveries from the workers and sends them to the receivers. */
#include "common/admin.h"
#include "common/alloc.h"
#include "common/conf.h"
#include "common/log.h"
#include "common/loop.h"
#include "common/metrics.h"
#include "common/sock.h"
#include "ship/active.h"
#include "ship/drain.h"
#include "ship/intake.h"
#include "ship/plans.h"
#include "ship/send/senders.h"
#include "ship/spool/spool.h"
#include "ship/tools/tools.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <zmq.h>

/* On stop: how long answers that are out may still come, and how often that is looked at. */
#define STOP_MS 5000
#define STOP_LOOK_MS 20

struct ship {
	struct settings *settings;
	struct keys_dir *keys;
	struct sp_loop *loop;
	void *zmq;
	struct writer *writer;
	struct senders *senders;
	struct intake *intake;
	struct active *active;
	struct plans *plans;
	struct sp_admin *admin;
	struct sp_timer stopping;
	struct sp_mono stopped_at;
	int64_t drain_ms; /* --drain: there is no intake; 0: an ordinary ship */
	struct drain *drain;
};

/* ---- admin ---- */

static void refresh(void *arg)
{
	struct ship *s = arg;
	if (s->intake)
		intake_metrics(s->intake);
	writer_metrics(s->writer);
	active_metrics(s->active, sp_loop_now(s->loop).ms);
}

/* Ready means: a delivery can be committed now. A receiver in trouble does not count, because the spool is there for
 * just that; only who asks /-/ready?destinations wants to know. */
static int show_ready(void *arg, struct sp_admin_request *req)
{
	struct ship *s = arg;
	struct sp_buf complaints = {0};
	bool stopping = s->stopped_at.ms > 0, full = writer_is_full(s->writer), ready = !full && !stopping && !s->drain_ms;
	bool strict = sp_eq(req->query, SP_LIT("destinations"));
	if (senders_complaints(s->senders, &complaints) > 0 && strict)
		ready = false;
	sp_buf_str(&req->reply, stopping ? "stopping\n" : s->drain_ms ? "draining\n" : full ? "spool full\n" : "ready\n");
	if (strict || sp_eq(req->query, SP_LIT("verbose")))
		sp_buf_add(&req->reply, sp_buf_view(&complaints));
	sp_buf_free(&complaints);
	return ready ? 200 : 503;
}

static enum sp_status open_admin(struct ship *s, struct sp_why *why)
{
	char *path = sp_asprintf("%s/" TOOLS_SOCKET, s->settings->runtime_dir);
	s->admin = sp_admin_new(s->loop);
	sp_admin_metrics(s->admin, "role=\"ship\"", refresh, s);
	sp_admin_route(s->admin, "/-/ready", true, show_ready, s);
	senders_routes(s->senders, s->admin);
	tools_routes(s->admin, s->writer);
	enum sp_status status = sp_admin_listen_unix(s->admin, path, why);
	if (status == SP_OK && s->settings->admin_listen)
		status = sp_admin_listen_tcp(s->admin, s->settings->admin_listen, why);
	sp_free(path);
	return status;
}

/* ---- beginning and end ---- */

static void tell_state(void *arg)
{
	struct ship *s = arg;
	intake_set_state(s->intake,
	    writer_is_full(s->writer) ? STANDPIPE__STATE__ACCEPTING__FULL : STANDPIPE__STATE__ACCEPTING__YES);
}

static void on_source(void *arg, const char *source_arn)
{
	struct ship *s = arg;
	senders_source(s->senders, source_arn);
}

static void on_unauthorized(void *arg, const char *const *keys, size_t n)
{
	struct ship *s = arg;
	intake_set_unauthorized(s->intake, keys, n);
}

static void finish(void *arg)
{
	struct ship *s = arg;
	bool idle = (!s->intake || intake_idle(s->intake)) && senders_idle(s->senders);
	if (idle || sp_mono_since_ms(s->stopped_at) >= STOP_MS)
		sp_loop_stop(s->loop);
	else
		sp_timer_set(s->loop, &s->stopping, STOP_LOOK_MS, finish, s);
}

static void on_stop(void *arg)
{
	struct ship *s = arg;
	if (s->stopped_at.ms > 0)
		return; /* a drain was told to stop before it was over */
	s->stopped_at = sp_mono_now();
	sp_notify("STOPPING=1");
	if (s->intake)
		intake_stop(s->intake);
	senders_stop(s->senders);
	finish(s);
}

static void on_reload(void *arg)
{
	struct ship *s = arg;
	sp_log(SP_LOG_INFO, "ship.reload",
	    sp_f_str("msg", "paused destinations are tried now; changed settings need a restart"), SP_LOG_END);
	senders_forget_protocols(s->senders);
	senders_probe(s->senders);
}

static void connect_intake(struct ship *s)
{
	writer_on_full(s->writer, tell_state, s);
	intake_on_source(s->intake, on_source, s);
	senders_on_unauthorized(s->senders, on_unauthorized, s);
	intake_set_active(s->intake, s->active);
	tell_state(s);
}

static enum sp_status ship_open(struct ship *s, struct sp_why *why)
{
	enum sp_status status = plan_check(s->settings, why);
	if (status == SP_OK && s->drain_ms)
		status = spool_exists(s->settings, why);
	if (status == SP_OK)
		status = sp_mkdirs(s->settings->runtime_dir, why);
	if (status == SP_OK)
		status = writer_open(s->loop, s->settings, &s->writer, why);
	if (status == SP_OK)
		status = senders_new(s->loop, s->writer, s->settings, &s->senders, why);
	if (status == SP_OK && s->drain_ms)
		status = drain_new(s->loop, s->writer, s->senders, s->drain_ms, on_stop, s, &s->drain, why);
	if (status == SP_OK && !s->drain_ms)
		status = intake_new(s->loop, s->zmq, s->settings, s->writer, &s->intake, why);
	if (status == SP_OK && !s->drain_ms)
		status = plans_new(s->loop, s->settings, s->keys, s->writer, s->intake, s->senders, &s->plans, why);
	if (status == SP_OK)
		status = open_admin(s, why);
	if (status == SP_OK) {
		s->active = active_new();
		for (size_t i = 0; i < s->settings->n_dests; i++) {
			const char *name = s->settings->dests[i].name;
			active_add_dest(s->active, writer_dest_id(s->writer, name), name);
		}
		senders_set_active(s->senders, s->active);
		if (!s->drain_ms)
			connect_intake(s);
		senders_start(s->senders);
	}
	return status;
}

/* What was committed is answered, what is out is marked: the writer closes before those it answers are gone. */
static void ship_close(struct ship *s)
{
	drain_free(&s->drain);
	if (s->senders)
		senders_close(s->senders);
	writer_close(&s->writer);
	intake_free(&s->intake);
	sp_admin_free(&s->admin);
	senders_free(&s->senders);
	active_free(&s->active);
	plans_free(&s->plans);
	keys_dir_free(&s->keys);
	zmq_ctx_term(s->zmq);
	sp_loop_free(&s->loop);
	settings_free(&s->settings);
}

static int run(struct settings *settings, struct keys_dir *keys, int64_t drain_ms)
{
	struct ship s = {.settings = settings, .keys = keys, .loop = sp_loop_new(), .zmq = zmq_ctx_new(),
	    .drain_ms = drain_ms};
	struct sp_why why = {.text = ""};
	SP_BUG_IF(!s.zmq);
	sp_metric_set(M_BUILD_INFO, SP_L(STANDPIPE_VERSION), 1);
	sp_loop_signals(s.loop, on_stop, on_reload, &s); /* before there are threads */
	enum sp_status status = ship_open(&s, &why);
	if (status == SP_OK) {
		sp_log(SP_LOG_INFO, "ship.ready", sp_f_str("version", STANDPIPE_VERSION),
		    sp_f_str("spool", settings->spool_dir), sp_f_u64("destinations", settings->n_dests), SP_LOG_END);
		sp_notify("READY=1");
		sp_loop_run(s.loop);
		sp_log(SP_LOG_INFO, "ship.stopped", SP_LOG_END);
	} else {
		sp_log(SP_LOG_ERROR, "ship.cannot_start", sp_f_str("reason", sp_status_name(status)),
		    sp_f_str("msg", why.text), SP_LOG_END);
	}
	int result = status == SP_CONFIG   ? SP_EXIT_CONFIG
		     : status == SP_LOCKED ? SP_EXIT_LOCKED
		     : status != SP_OK	   ? SP_EXIT_STORAGE
		     : s.drain		   ? drain_result(s.drain)
					   : SP_EXIT_OK;
	ship_close(&s);
	return result;
}

static const char usage_text[] = "usage: standpipe-ship [--config FILE]\n"
				 "       standpipe-ship --drain [--timeout 1h] [--config FILE]\n"
				 "       standpipe-ship connect [--write-probe] [--json] [--config FILE]\n"
				 "       standpipe-ship spool|quarantine|deadletter ...\n";

int main(int argc, char **argv)
{
	static const struct option options[] = {{"config", required_argument, NULL, 'c'},
	    {"view-fd", required_argument, NULL, 'v'}, {"again", no_argument, NULL, 'a'}, {"drain", no_argument, NULL, 'd'},
	    {"timeout", required_argument, NULL, 't'}, {"help", no_argument, NULL, 'h'}, {NULL, 0, NULL, 0}};
	const char *config = NULL;
	int view_fd = -1;
	bool again = false, drains = false, usage = false, timed = false;
	int64_t drain_ms = DRAIN_TIMEOUT_MS;
	if (argc > 1 && strcmp(argv[1], "connect") == 0)
		return connect_main(argc - 1, argv + 1);
	if (argc > 1 && argv[1][0] != '-')
		return tools_main(argc - 1, argv + 1);
	for (int o; (o = getopt_long(argc, argv, "", options, NULL)) != -1;) {
		if (o == 'h') {
			fputs(usage_text, stdout);
			return SP_EXIT_OK;
		}
		config = o == 'c' ? optarg : config;
		view_fd = o == 'v' ? (int)strtol(optarg, NULL, 10) : view_fd;
		again |= o == 'a';
		drains |= o == 'd';
		timed |= o == 't';
		usage |= o == '?' || (o == 't' && (!time_parse(optarg, &drain_ms) || drain_ms <= 0));
	}
	if (usage || optind != argc || (timed && !drains)) {
		fputs(usage_text, stderr);
		return SP_EXIT_USAGE;
	}
	sp_alloc_tune();
	struct keys_dir *keys = NULL;
	struct settings *settings = settings_for_role(SP_ROLE_SHIP, config, view_fd, again, &keys);
	settings_start_log(settings, "ship", -1);
	srandom((unsigned)sp_wall_ms() ^ (unsigned)getpid() << 16); /* jitter, nothing else */
	return run(settings, keys, drains ? drain_ms : 0);
}
