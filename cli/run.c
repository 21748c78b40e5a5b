/* run - the whole relay on one machine: the children, and one admin address that speaks for all of them. */
#include "cli/children.h"
#include "cli/verbs.h"
#include "common/admin.h"
#include "common/alloc.h"
#include "common/json.h"
#include "common/log.h"
#include "common/metrics.h"
#include "common/sock.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define ASK_MS 2000
#define ASK_MAX_BYTES (64u << 20)

struct run {
	const char *config_path;
	struct conf *conf;
	struct settings *settings;
	struct sp_loop *loop;
	struct children *children;
	struct sp_admin *admin;
	int exit_code;
};

/* The configuration of the children. They get no admin address: this process listens for all of them. Beginning and reload must agree
 * here, or a reload would find every role's part changed and let the roles fight for the address. */
static enum sp_status read_config(const char *path, struct conf **conf, struct settings **settings, struct sp_why *why)
{
	enum sp_status status = config_read(path, conf, settings, why);
	if (status == SP_OK)
		conf_set(*conf, "admin.listen", "", "run");
	return status;
}

/* ---- asking a child over its unix socket ---- */

typedef void (*ask_fn)(void *arg, int http_status, struct sp_bytes body);

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

/* The answer comes exactly once, within ASK_MS, never from inside; http_status 0: there is none. */
static void ask(struct sp_loop *l, const char *socket_path, const char *path, ask_fn done, void *arg)
{
	struct question *q = sp_new(struct question);
	struct sockaddr_un at = {.sun_family = AF_UNIX};
	*q = (struct question){.loop = l, .done = done, .arg = arg, .answer.max = ASK_MAX_BYTES};
	sp_buf_printf(&q->request, "GET %s HTTP/1.1\r\nHost: standpipe\r\nContent-Length: 0\r\n\r\n", path);
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

/* ---- asking all children at once ---- */

struct survey {
	struct run *run;
	struct sp_admin_token *token;
	void (*finish)(struct survey *v);
	size_t n, open;
	struct page {
		struct survey *survey;
		struct sp_buf body;
		int status;
	} *pages; /* one per child, in their order */
};

static void survey_answered(void *arg, int http_status, struct sp_bytes body)
{
	struct page *p = arg;
	struct survey *v = p->survey;
	p->status = http_status;
	sp_buf_add(&p->body, body);
	if (--v->open > 0)
		return;
	v->finish(v);
	for (size_t i = 0; i < v->n; i++)
		sp_buf_free(&v->pages[i].body);
	sp_free(v->pages);
	sp_free(v);
}

/* Asks every child for path; finish is called when all have answered or will not. */
static int survey_start(struct run *r, struct sp_admin_token *token, const char *path, void (*finish)(struct survey *v))
{
	struct survey *v = sp_new(struct survey);
	size_t n = children_count(r->children);
	*v = (struct survey){.run = r, .token = token, .finish = finish, .n = n, .open = n, .pages = sp_new_array(struct page, n)};
	for (size_t i = 0; i < n; i++) {
		struct child_report c;
		children_report(r->children, i, &c);
		char *socket = sp_asprintf("%s/%s", r->settings->runtime_dir, c.socket);
		v->pages[i].survey = v;
		ask(r->loop, socket, path, survey_answered, &v->pages[i]);
		sp_free(socket);
	}
	return 0;
}

static void finish_metrics(struct survey *v)
{
	struct sp_buf own = {0}, all = {0};
	struct sp_bytes *pages = sp_new_array(struct sp_bytes, v->n + 1);
	size_t n = 0;
	sp_metrics_process();
	sp_metrics_write(&own, "role=\"run\"");
	pages[n++] = sp_buf_view(&own);
	for (size_t i = 0; i < v->n; i++)
		if (v->pages[i].status == 200)
			pages[n++] = sp_buf_view(&v->pages[i].body);
	sp_metrics_join(&all, pages, n);
	sp_admin_reply(&v->token, 200, "text/plain; version=0.0.4; charset=utf-8", sp_buf_view(&all));
	sp_free(pages);
	sp_buf_free(&own);
	sp_buf_free(&all);
}

static int show_metrics(void *arg, struct sp_admin_request *req)
{
	struct run *r = arg;
	for (size_t i = 0; i < children_count(r->children); i++) {
		struct child_report c;
		children_report(r->children, i, &c);
		sp_metric_set(M_RUN_ROLE_UP, SP_L(c.name), c.pid != 0);
		sp_metric_set(M_RUN_ROLE_RESTARTS, SP_L(c.name), c.restarts);
	}
	return survey_start(r, req->token, "/metrics", finish_metrics);
}

static json_t *role_json(const struct run *r, size_t i)
{
	struct child_report c;
	children_report(r->children, i, &c);
	return json_pack("{s:s, s:I, s:I, s:I}", "name", c.name, "pid", (json_int_t)c.pid, "up_seconds", (json_int_t)(c.up_ms / 1000),
		"restarts", (json_int_t)c.restarts);
}

static void finish_status(struct survey *v)
{
	struct sp_buf text = {0};
	json_t *root = json_object(), *roles = json_array();
	json_object_set_new(root, "version", json_string(STANDPIPE_VERSION));
	json_object_set_new(root, "ready", json_false());
	for (size_t i = 0; i < v->n; i++) {
		struct child_report c;
		json_t *page = v->pages[i].status == 200 ? sp_json_read(sp_buf_view(&v->pages[i].body)) : NULL;
		children_report(v->run->children, i, &c);
		json_array_append_new(roles, role_json(v->run, i));
		if (page && sp_json_is(page, "ready"))
			json_object_set_new(root, "ready", json_true());
		if (page && json_object_get(page, "destinations"))
			json_object_set(root, "destinations", json_object_get(page, "destinations"));
		if (page)
			json_object_set(root, c.role, page);
		json_decref(page);
	}
	json_object_set_new(root, "roles", roles);
	json_t *ship = json_object_get(root, "ship");
	if (ship)
		json_object_del(ship, "destinations"); /* said once */
	sp_json_put(&text, root, JSON_INDENT(1));
	sp_admin_reply(&v->token, 200, "application/json", sp_buf_view(&text));
	sp_buf_free(&text);
}

static int show_status(void *arg, struct sp_admin_request *req)
{
	return survey_start(arg, req->token, "/status", finish_status);
}

static void ready_answered(void *arg, int http_status, struct sp_bytes body)
{
	struct sp_admin_token *token = arg;
	sp_admin_reply(&token, http_status ? http_status : 503, NULL, http_status ? body : SP_LIT("ingest does not answer\n"));
}

/* ingest's answer: it alone knows whether a delivery would be accepted now. With ?destinations or ?verbose it is ship's. */
static int show_ready(void *arg, struct sp_admin_request *req)
{
	struct run *r = arg;
	bool of_ship = req->query.n > 0;
	char *socket = sp_asprintf("%s/%s", r->settings->runtime_dir, of_ship ? "ship-admin.sock" : "ingest.sock");
	char *path = sp_asprintf("/-/ready%s%.*s", of_ship ? "?" : "", (int)req->query.n, (const char *)req->query.p);
	ask(r->loop, socket, path, ready_answered, req->token);
	sp_free(socket);
	sp_free(path);
	return 0;
}

/* ---- reload ---- */

static enum sp_status reload(struct run *r, struct sp_why *why)
{
	struct conf *conf = NULL;
	struct settings *settings = NULL;
	enum sp_status status = read_config(r->config_path, &conf, &settings, why);
	if (status == SP_OK && strcmp(settings->runtime_dir, r->settings->runtime_dir) != 0)
		status = sp_fail(why, SP_CONFIG, "runtime.dir cannot change while running");
	if (status == SP_OK)
		status = children_reload(r->children, conf, why);
	if (status == SP_OK) {
		sp_log(SP_LOG_INFO, "run.reloaded", SP_LOG_END);
		conf_free(&r->conf);
		settings_free(&r->settings);
		r->conf = conf;
		r->settings = settings;
		return SP_OK;
	}
	sp_log(SP_LOG_ERROR, "run.reload_refused", sp_f_str("reason", why->text), sp_f_str("msg", "the old configuration stays in force"),
		SP_LOG_END);
	conf_free(&conf);
	settings_free(&settings);
	return status;
}

static int post_reload(void *arg, struct sp_admin_request *req)
{
	struct run *r = arg;
	struct sp_why why = {.text = "reloaded"};
	if (!r->settings->admin_allow_reload) {
		sp_buf_str(&req->reply, "admin.allow_reload is off\n");
		return 403;
	}
	if (!sp_eq(req->method, SP_LIT("POST"))) {
		sp_buf_str(&req->reply, "use POST\n");
		return 405;
	}
	enum sp_status status = reload(r, &why);
	sp_buf_printf(&req->reply, "%s\n", why.text);
	return status == SP_OK ? 200 : 400;
}

/* ---- beginning and end ---- */

static void on_reload(void *arg)
{
	struct sp_why why;
	if (reload(arg, &why) != SP_OK)
		return; /* said in the log */
}

static void on_stop(void *arg)
{
	struct run *r = arg;
	sp_notify("STOPPING=1");
	sp_log(SP_LOG_INFO, "run.stopping", SP_LOG_END);
	children_stop(r->children);
}

static void all_over(void *arg, int exit_code)
{
	struct run *r = arg;
	r->exit_code = exit_code;
	sp_loop_stop(r->loop);
}

static enum sp_status open_admin(struct run *r, struct sp_why *why)
{
	const char *address = r->settings->admin_listen ? r->settings->admin_listen : ADMIN_LISTEN_DEFAULT;
	r->admin = sp_admin_new(r->loop);
	sp_admin_route(r->admin, "/metrics", true, show_metrics, r);
	sp_admin_route(r->admin, "/status", true, show_status, r);
	sp_admin_route(r->admin, "/-/ready", true, show_ready, r);
	sp_admin_route(r->admin, "/-/reload", true, post_reload, r);
	return sp_admin_listen_tcp(r->admin, address, why);
}

static enum sp_status run_open(struct run *r, struct sp_why *why)
{
	char *libexec = libexec_dir();
	enum sp_status status = sp_mkdirs(r->settings->runtime_dir, why);
	if (status == SP_OK)
		status = open_admin(r, why);
	if (status == SP_OK)
		status = children_new(r->loop, r->conf, r->settings, libexec, all_over, r, &r->children, why);
	sp_free(libexec);
	return status;
}

int run_main(int argc, char **argv)
{
	static const struct option options[] = {{"config", required_argument, NULL, 'c'}, {0}};
	struct run r = {.exit_code = SP_EXIT_OK};
	struct sp_why why = {.text = ""};
	int o;
	while ((o = getopt_long(argc, argv, "", options, NULL)) == 'c')
		r.config_path = optarg;
	if (o != -1 || optind != argc) {
		fputs("usage: standpipe run [--config FILE]\n", stderr);
		return SP_EXIT_USAGE;
	}
	if (read_config(r.config_path, &r.conf, &r.settings, &why) != SP_OK) {
		fprintf(stderr, "standpipe: %s\n", why.text);
		return SP_EXIT_CONFIG;
	}
	settings_start_log(r.settings, "run", -1);
	r.loop = sp_loop_new();
	sp_loop_signals(r.loop, on_stop, on_reload, &r);
	sp_metric_set(M_BUILD_INFO, SP_L(STANDPIPE_VERSION), 1);
	enum sp_status status = run_open(&r, &why);
	if (status == SP_OK) {
		sp_log(SP_LOG_INFO, "run.started", sp_f_str("version", STANDPIPE_VERSION), sp_f_str("runtime_dir", r.settings->runtime_dir),
			SP_LOG_END);
		sp_notify("READY=1");
		sp_loop_run(r.loop);
		sp_log(SP_LOG_INFO, "run.stopped", SP_LOG_END);
	} else {
		sp_log(SP_LOG_ERROR, "run.failed", sp_f_str("msg", why.text), SP_LOG_END);
		r.exit_code = status == SP_LOCKED ? SP_EXIT_LOCKED : SP_EXIT_FAILED;
	}
	children_free(&r.children);
	sp_admin_free(&r.admin);
	sp_loop_free(&r.loop);
	conf_free(&r.conf);
	settings_free(&r.settings);
	return r.exit_code;
}
