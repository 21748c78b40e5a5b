#include "cli/children.h"

#include "common/alloc.h"
#include "common/log.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#define BACKOFF_MIN_MS 100
#define BACKOFF_MAX_MS 5000
#define BACKOFF_RESET_MS 30000 /* a child that ran so long starts with the shortest pause again */
#define STOP_GRACE_MS 15000    /* after its own drain */
#define RELOAD_TRIAL_MS 300000 /* a role that cannot work so soon after a reload goes back to what it had */
#define MAX_WORKERS 256
#define VIEW_FD 3

enum { SHIP, CONVERT, INGEST, ROLES };

static const struct {
	const char *name;
	enum sp_role role;
} roles[ROLES] = {{"ship", SP_ROLE_SHIP}, {"convert", SP_ROLE_CONVERT}, {"ingest", SP_ROLE_INGEST}};

struct child {
	struct children *all;
	char name[24], socket[32];
	int role, worker;
	pid_t pid;
	struct sp_mono started;
	int64_t backoff_ms;
	unsigned restarts;
	struct sp_timer timer; /* to the next start; when stopping, to SIGKILL */
	bool stopping, due;    /* due: a restart waits for its turn */
	bool again;	       /* nobody asked for its end: what went wrong in its files meanwhile must not keep it from starting */
};

struct children {
	struct sp_loop *loop;
	char *libexec;
	int64_t drain_ms;
	struct sp_buf views[ROLES], former[ROLES]; /* former: before the last change */
	struct sp_mono changed[ROLES];
	struct child *v;
	size_t n;
	int signal_fd;
	struct sp_source *source;
	bool stopping;
	int exit_code;
	void (*over)(void *arg, int exit_code);
	void *arg;
};

static void start(void *arg);

/* ---- views ---- */

static enum sp_status make_views(const struct conf *c, struct sp_buf views[ROLES], struct sp_why *why)
{
	bool ok = true;
	for (int r = 0; r < ROLES; r++) {
		conf_write_view(c, roles[r].role, &views[r]);
		ok &= sp_buf_ok(&views[r]);
	}
	return ok ? SP_OK : sp_fail(why, SP_NO_MEM, "no memory for the views of the configuration");
}

/* A view is NUL-terminated triples: path, value, origin. Another origin alone (a line was added above) is no change. */
static bool is_same_part(struct sp_bytes a, struct sp_bytes b)
{
	for (int field = 0; a.n && b.n; field = (field + 1) % 3) {
		size_t in_a = strnlen((const char *)a.p, a.n - 1) + 1, in_b = strnlen((const char *)b.p, b.n - 1) + 1;
		if (field < 2 && !sp_eq(sp_bytes(a.p, in_a), sp_bytes(b.p, in_b)))
			return false;
		a = sp_bytes(a.p + in_a, a.n - in_a);
		b = sp_bytes(b.p + in_b, b.n - in_b);
	}
	return a.n == b.n;
}

/* ---- starting ---- */

static void pass_variable(char **env, size_t *n, const char *name)
{
	const char *value = getenv(name);
	if (value)
		env[(*n)++] = sp_asprintf("%s=%s", name, value);
}

/* Where ship finds AWS access keys, and the way out; others see nothing of it. */
static void pass_ships(char **env, size_t *n)
{
	static const char *const names[] = {"HOME", "http_proxy", "https_proxy", "HTTPS_PROXY", "no_proxy", "NO_PROXY"};
	for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
		pass_variable(env, n, names[i]);
	for (char **e = environ; *e; e++)
		if (strncmp(*e, "AWS_", 4) == 0)
			env[(*n)++] = sp_strdup(*e);
}

/* Up to a NULL; the caller frees all of it. */
static char **make_environment(const struct child *c)
{
	size_t n = 0, given = 0;
	while (environ[given])
		given++;
	char **env = sp_new_array(char *, given + 16);
	env[n++] = sp_strdup("PATH=/usr/bin:/bin");
	pass_variable(env, &n, "TZ");
	if (c->role == SHIP)
		pass_ships(env, &n);
#ifdef STANDPIPE_CRASH_POINTS /* builds for tests */
	static const char *const test_variables[] = {"ASAN_OPTIONS", "UBSAN_OPTIONS", "TSAN_OPTIONS", "LSAN_OPTIONS"};
	const char *crash_role = getenv("STANDPIPE_CRASH_ROLE");
	for (size_t i = 0; i < sizeof test_variables / sizeof test_variables[0]; i++)
		pass_variable(env, &n, test_variables[i]);
	if (crash_role && strcmp(crash_role, roles[c->role].name) == 0)
		pass_variable(env, &n, "STANDPIPE_CRASH_AT");
#endif
	return env;
}

/* In the child, between fork and exec. */
static _Noreturn void become(const char *path, char *const *argv, char *const *env, int view, pid_t parent)
{
	sigset_t none;
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	signal(SIGPIPE, SIG_DFL);
	setpgid(0, 0); /* Ctrl-C is for the parent alone: it stops them in order, and a second signal would end them at once */
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(SP_EXIT_FAILED); /* it died before the line above */
	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	if (view == VIEW_FD ? fcntl(view, F_SETFD, 0) == 0 : dup2(view, VIEW_FD) == VIEW_FD)
		execve(path, argv, env);
	static const char text[] = "standpipe: a role's program cannot be started\n";
	if (write(STDERR_FILENO, text, sizeof text - 1) < 0)
		_exit(SP_EXIT_FAILED);
	_exit(SP_EXIT_CONFIG);
}

static void schedule(struct child *c)
{
	if (sp_mono_since_ms(c->started) >= BACKOFF_RESET_MS)
		c->backoff_ms = 0;
	sp_timer_set(c->all->loop, &c->timer, c->backoff_ms, start, c);
	c->backoff_ms = c->backoff_ms ? 2 * c->backoff_ms : BACKOFF_MIN_MS;
	if (c->backoff_ms > BACKOFF_MAX_MS)
		c->backoff_ms = BACKOFF_MAX_MS;
}

static void start(void *arg)
{
	struct child *c = arg;
	char worker[16], *path = sp_asprintf("%s/standpipe-%s", c->all->libexec, roles[c->role].name);
	const char *again = c->again ? "--again" : NULL;
	const char *argv[] = {path, "--view-fd", "3", c->worker >= 0 ? "--worker" : again, c->worker >= 0 ? worker : NULL, NULL};
	int view = conf_open_view(sp_buf_view(&c->all->views[c->role]));
	snprintf(worker, sizeof worker, "%d", c->worker);
	char **env = make_environment(c);
	c->started = sp_mono_now();
	pid_t parent = getpid(), pid = view < 0 ? -1 : fork();
	if (pid == 0)
		become(path, (char *const *)argv, env, view, parent);
	if (view >= 0)
		close(view);
	for (size_t i = 0; env[i]; i++)
		sp_free(env[i]);
	sp_free(env);
	sp_free(path);
	if (pid < 0) {
		sp_log(SP_LOG_ERROR, "role.not_started", sp_f_str("name", c->name), sp_f_str("reason", strerror(errno)), SP_LOG_END);
		schedule(c);
		return;
	}
	c->pid = pid;
	sp_log(SP_LOG_INFO, "role.started", sp_f_str("name", c->name), sp_f_i64("pid", pid), sp_f_u64("restarts", c->restarts), SP_LOG_END);
}

/* ---- stopping ---- */

static void kill_it(void *arg)
{
	struct child *c = arg;
	sp_log(SP_LOG_WARN, "role.killed", sp_f_str("name", c->name), sp_f_i64("pid", c->pid),
		sp_f_str("msg", "it did not stop in time; nothing acknowledged is lost"), SP_LOG_END);
	kill(c->pid, SIGKILL);
}

static void ask_to_stop(struct child *c)
{
	if (c->stopping || !c->pid)
		return;
	c->stopping = true;
	kill(c->pid, SIGTERM);
	sp_timer_set(c->all->loop, &c->timer, c->all->drain_ms + STOP_GRACE_MS, kill_it, c);
}

/* The next in line: ingest first, since it waits for the others to finish what it holds open; ship last. */
static void stop_more(struct children *ch)
{
	for (int role = ROLES - 1; role >= 0; role--) {
		bool some = false;
		for (size_t i = 0; i < ch->n; i++) {
			struct child *c = &ch->v[i];
			if (c->role != role)
				continue;
			if (!c->pid)
				sp_timer_cancel(ch->loop, &c->timer);
			ask_to_stop(c);
			some |= c->pid != 0;
		}
		if (some)
			return;
	}
	ch->over(ch->arg, ch->exit_code);
}

/* One restart at a time: the others keep deliveries going meanwhile. */
static void restart_more(struct children *ch)
{
	static const int order[ROLES] = {CONVERT, SHIP, INGEST};
	for (size_t i = 0; i < ch->n; i++)
		if (ch->v[i].stopping)
			return;
	for (int o = 0; o < ROLES; o++)
		for (size_t i = 0; i < ch->n; i++)
			if (ch->v[i].role == order[o] && ch->v[i].due) {
				ch->v[i].due = false;
				ask_to_stop(&ch->v[i]);
				if (ch->v[i].stopping)
					return;
			}
}

/* A new configuration that read well, but a role cannot work with it. */
static bool fall_back(struct children *ch, const struct child *c)
{
	struct sp_buf *former = &ch->former[c->role];
	if (former->n == 0 || sp_mono_since_ms(ch->changed[c->role]) > RELOAD_TRIAL_MS)
		return false;
	sp_buf_free(&ch->views[c->role]);
	ch->views[c->role] = *former;
	*former = (struct sp_buf){0};
	for (size_t i = 0; i < ch->n; i++)
		ch->v[i].due &= ch->v[i].role != c->role;
	sp_log(SP_LOG_ERROR, "run.reload_undone", sp_f_str("name", c->name),
		sp_f_str("msg", "it cannot work with its new configuration, see above; it goes on with the old one"), SP_LOG_END);
	return true;
}

static void ended(struct child *c, int status)
{
	struct children *ch = c->all;
	bool asked = c->stopping, clean = WIFEXITED(status) && WEXITSTATUS(status) == 0;
	sp_timer_cancel(ch->loop, &c->timer);
	sp_log(asked && clean ? SP_LOG_INFO : SP_LOG_WARN, "role.exited", sp_f_str("name", c->name), sp_f_i64("pid", c->pid),
		sp_f_i64("status", WIFEXITED(status) ? WEXITSTATUS(status) : -1), sp_f_i64("signal", WIFSIGNALED(status) ? WTERMSIG(status) : 0),
		SP_LOG_END);
	c->pid = 0;
	c->stopping = false;
	if (WIFEXITED(status) && WEXITSTATUS(status) == SP_EXIT_CONFIG && !ch->stopping && !fall_back(ch, c)) {
		sp_log(SP_LOG_ERROR, "run.cannot_work", sp_f_str("name", c->name), sp_f_str("msg", "its configuration cannot work; stopping"),
			SP_LOG_END);
		ch->exit_code = SP_EXIT_CONFIG;
		ch->stopping = true;
	}
	if (ch->stopping) {
		stop_more(ch);
		return;
	}
	c->restarts += !asked;
	c->again = !asked;
	c->backoff_ms = asked ? 0 : c->backoff_ms;
	schedule(c);
	restart_more(ch);
}

static void child_signal(void *arg, uint32_t events)
{
	struct children *ch = arg;
	struct signalfd_siginfo info;
	int status;
	(void)events;
	while (read(ch->signal_fd, &info, sizeof info) == sizeof info)
		; /* signals merge: who ended is told by waitpid */
	for (pid_t pid; (pid = waitpid(-1, &status, WNOHANG)) > 0;)
		for (size_t i = 0; i < ch->n; i++)
			if (ch->v[i].pid == pid) {
				ended(&ch->v[i], status);
				break;
			}
}

/* ---- the outside ---- */

static void add_child(struct children *ch, int role, int worker)
{
	struct child *c = &ch->v[ch->n++];
	*c = (struct child){.all = ch, .role = role, .worker = worker};
	snprintf(c->name, sizeof c->name, worker < 0 ? "%s" : "%s-%d", roles[role].name, worker);
	snprintf(c->socket, sizeof c->socket, role == SHIP ? "ship-admin.sock" : "%s.sock", c->name);
}

enum sp_status children_new(struct sp_loop *l, const struct conf *conf, const struct settings *s, const char *libexec,
	void (*over)(void *arg, int exit_code), void *arg, struct children **out, struct sp_why *why)
{
	struct children *ch = sp_new(struct children);
	sigset_t set;
	long cores = sysconf(_SC_NPROCESSORS_ONLN), workers = (long)s->convert_workers;
	*ch = (struct children){.loop = l, .libexec = sp_strdup(libexec), .drain_ms = s->ingest_drain, .over = over, .arg = arg, .signal_fd = -1};
	if (workers == 0)
		workers = cores < 1 ? 1 : cores > 4 ? 4 : cores;
	enum sp_status status = make_views(conf, ch->views, why);
	if (status != SP_OK) {
		children_free(&ch);
		return status;
	}
	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	sigprocmask(SIG_BLOCK, &set, NULL);
	ch->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	SP_BUG_IF(ch->signal_fd < 0);
	ch->source = sp_loop_fd(l, ch->signal_fd, EPOLLIN, child_signal, ch);
	ch->v = sp_new_array(struct child, (size_t)workers + 2);
	add_child(ch, SHIP, -1);
	for (long i = 0; i < workers && i < MAX_WORKERS; i++)
		add_child(ch, CONVERT, (int)i);
	add_child(ch, INGEST, -1);
	for (size_t i = 0; i < ch->n; i++)
		schedule(&ch->v[i]);
	*out = ch;
	return SP_OK;
}

void children_free(struct children **chp)
{
	struct children *ch = *chp;
	if (!ch)
		return;
	for (size_t i = 0; i < ch->n; i++)
		sp_timer_cancel(ch->loop, &ch->v[i].timer);
	sp_source_free(&ch->source);
	if (ch->signal_fd >= 0)
		close(ch->signal_fd);
	for (int r = 0; r < ROLES; r++) {
		sp_buf_free(&ch->views[r]);
		sp_buf_free(&ch->former[r]);
	}
	sp_free(ch->libexec);
	sp_free(ch->v);
	sp_free(ch);
	*chp = NULL;
}

void children_stop(struct children *ch)
{
	ch->stopping = true;
	stop_more(ch);
}

enum sp_status children_reload(struct children *ch, const struct conf *c, struct sp_why *why)
{
	struct sp_buf fresh[ROLES] = {{0}};
	enum sp_status status = make_views(c, fresh, why);
	for (int r = 0; r < ROLES; r++) {
		bool changed = status == SP_OK && !is_same_part(sp_buf_view(&fresh[r]), sp_buf_view(&ch->views[r]));
		for (size_t i = 0; i < ch->n && status == SP_OK; i++) {
			struct child *child = &ch->v[i];
			if (child->role != r || !child->pid)
				continue;
			if (changed)
				child->due = true;
			else
				kill(child->pid, SIGHUP);
		}
		if (changed) {
			sp_buf_free(&ch->former[r]);
			ch->former[r] = ch->views[r];
			ch->views[r] = fresh[r];
			ch->changed[r] = sp_mono_now();
		} else {
			sp_buf_free(&fresh[r]);
		}
	}
	if (status == SP_OK)
		restart_more(ch);
	return status;
}

size_t children_count(const struct children *ch)
{
	return ch->n;
}

void children_report(const struct children *ch, size_t i, struct child_report *out)
{
	const struct child *c = &ch->v[i];
	*out = (struct child_report){.name = c->name, .role = roles[c->role].name, .socket = c->socket, .worker = c->worker, .pid = c->pid,
		.up_ms = c->pid ? sp_mono_since_ms(c->started) : 0, .restarts = c->restarts};
}
