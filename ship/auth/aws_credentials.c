#include "ship/auth/aws_credentials.h"

#include "common/alloc.h"
#include "common/log.h"
#include "common/metrics.h"
#include "common/watch.h"
#include "ship/auth/aws_grant.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* Renewed when a quarter of the keys' time is left, but not earlier than this before the end. */
#define RENEW_BEFORE_MS 600000
/* A clock that differs by less does not matter to AWS, which allows for five minutes. */
#define SKEW_MATTERS_MS 60000
/* Of a service on this host or in front of it; STS may be on the other side of the world. */
#define METADATA_TIMEOUT_MS 2000
#define STS_TIMEOUT_MS 10000

#define CONTAINER_HOST "http://169.254.170.2"

struct aws_credentials {
	struct sp_loop *loop;
	struct http_client *http;
	const struct dest_settings *settings;
	const char *region;
	void (*changed)(void *arg);
	void *arg;

	struct aws_grant grant;	 /* in use */
	struct aws_grant source; /* signs AssumeRole */
	const char *from;
	char *file; /* the shared file that was read last */
	struct sp_watch seen;
	struct sp_timer timer;
	struct sp_buf form;    /* of the request that is out */
	char *pass;	       /* token of IMDSv2 */
	struct sp_buf missing; /* the sources that are not there */
	bool busy;
	int64_t skew_ms, wait_ms;
	char trouble[400], reported[400];
};

static const char *variable(const char *name)
{
	const char *v = getenv(name);
	return v && *v ? v : NULL;
}

/* ---- how an attempt ends ---- */

static void begin(void *arg);

static void ended(struct aws_credentials *c)
{
	aws_grant_free(&c->source);
	sp_buf_free(&c->missing);
	sp_buf_free_secret(&c->form);
	c->busy = false;
	c->changed(c->arg);
}

static void SP_PRINTF(2, 3) fail(struct aws_credentials *c, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(c->trouble, sizeof c->trouble, fmt, ap);
	va_end(ap);
	if (strcmp(c->trouble, c->reported) != 0)
		sp_log(SP_LOG_WARN, "destination.credentials_failed", sp_f_str("destination", c->settings->name),
		    sp_f_str("msg", c->trouble), SP_LOG_END);
	memcpy(c->reported, c->trouble, sizeof c->reported);
	c->wait_ms = c->wait_ms ? 2 * c->wait_ms : c->settings->backoff_min;
	if (c->wait_ms > c->settings->backoff_max)
		c->wait_ms = c->settings->backoff_max;
	sp_timer_set(c->loop, &c->timer, c->wait_ms, begin, c);
	ended(c);
}

/* Takes g over. */
static void publish(struct aws_credentials *c, struct aws_grant *g)
{
	aws_grant_free(&c->grant);
	c->grant = *g;
	*g = (struct aws_grant){0};
	c->trouble[0] = c->reported[0] = '\0';
	c->wait_ms = 0;
	int64_t left = c->grant.expires_wall_ms - aws_credentials_now_ms(c);
	int64_t wait = left / 4 < RENEW_BEFORE_MS ? left - left / 4 : left - RENEW_BEFORE_MS;
	if (c->grant.expires_wall_ms) /* by a clock that is wrong they may have expired before they came */
		sp_timer_set(
		    c->loop, &c->timer, left > c->settings->backoff_min ? wait : c->settings->backoff_max, begin, c);
	sp_log(SP_LOG_INFO, "destination.credentials", sp_f_str("destination", c->settings->name),
	    sp_f_str("source", c->from), sp_f_str("role", c->settings->sigv4_role_arn),
	    sp_f_i64("good_for_seconds", c->grant.expires_wall_ms ? left / 1000 : -1), SP_LOG_END);
	sp_metric_set(
	    M_DESTINATION_CREDENTIALS_EXPIRE, SP_L(c->settings->name), (double)(c->grant.expires_wall_ms / 1000));
	ended(c);
}

/* ---- STS ---- */

static void add_field(struct aws_credentials *c, const char *name, const char *value)
{
	sp_buf_printf(&c->form, "&%s=", name);
	aws_encode(&c->form, sp_str(value));
}

static void begin_form(struct aws_credentials *c, const char *action, const char *role)
{
	const char *session = variable("AWS_ROLE_SESSION_NAME");
	sp_buf_clear(&c->form);
	sp_buf_printf(&c->form, "Action=%s&Version=2011-06-15", action);
	add_field(c, "RoleArn", role);
	add_field(c, "RoleSessionName", session ? session : "standpipe");
}

static void on_sts(void *arg, const struct http_answer *a);

/* Sends the form; signed when there are keys to sign with. */
static void ask_sts(struct aws_credentials *c)
{
	const char *told = variable("AWS_ENDPOINT_URL_STS");
	const char *lines[SIGV4_LINES + 1] = {"Content-Type: application/x-www-form-urlencoded"};
	char *signature[SIGV4_LINES] = {NULL};
	char *url = told ? sp_strdup(told)
			 : sp_asprintf("https://sts.%s.amazonaws.com%s/", c->region,
			       strncmp(c->region, "cn-", 3) == 0 ? ".cn" : "");
	const char *start = strstr(url, "://"), *host_at = start ? start + 3 : url, *path = strchr(host_at, '/');
	char *host = sp_strndup(host_at, path ? (size_t)(path - host_at) : strlen(host_at));
	if (c->source.id) {
		struct sigv4_header form = {"content-type", "application/x-www-form-urlencoded"};
		struct sigv4_request r = {.method = "POST",
		    .host = host,
		    .path = path ? path : "/",
		    .body = sp_buf_view(&c->form),
		    .headers = &form,
		    .n_headers = 1};
		struct aws_keys keys = {c->source.id, c->source.secret, c->source.token};
		sigv4_sign(&r, &keys, c->region, "sts", aws_credentials_now_ms(c), signature);
		for (size_t i = 0; i < SIGV4_LINES; i++)
			lines[i + 1] = signature[i];
	}
	struct http_call call = {
	    .method = "POST", .url = url, .lines = lines, .body = sp_buf_view(&c->form), .timeout_ms = STS_TIMEOUT_MS};
	http_call(c->http, &call, on_sts, c);
	sigv4_lines_free(signature);
	sp_free(host);
	sp_free(url);
}

/* Keys of a source: what is wanted, or what may assume the role that is. Takes g over. */
static void have(struct aws_credentials *c, struct aws_grant *g, const char *from)
{
	c->from = from;
	if (!c->settings->sigv4_role_arn) {
		publish(c, g);
		return;
	}
	c->source = *g;
	*g = (struct aws_grant){0};
	begin_form(c, "AssumeRole", c->settings->sigv4_role_arn);
	if (c->settings->sigv4_external_id)
		add_field(c, "ExternalId", c->settings->sigv4_external_id);
	ask_sts(c);
}

static void on_sts(void *arg, const struct http_answer *a)
{
	struct aws_credentials *c = arg;
	const char *role = c->source.id ? c->settings->sigv4_role_arn : variable("AWS_ROLE_ARN");
	struct aws_grant g;
	struct sp_why why;
	char words[200];
	if (a->status == 403 && c->source.id && aws_credentials_heard(c, a->date_ms)) {
		ask_sts(c);
	} else if (a->status != 200) {
		aws_error_words(a->words, words, sizeof words);
		fail(c, "STS does not give out the role %.120s: %d %s", role, a->status, words);
	} else if (aws_grant_from_sts(a->words, &g, &why) != SP_OK) {
		fail(c, "the answer of STS for the role %.120s: %s", role, why.text);
	} else if (c->source.id) {
		publish(c, &g);
	} else {
		have(c, &g, "web identity");
	}
}

/* ---- sources ----
 *
 * Each returns false when it is not there, having said so in c->missing; true when the attempt has ended or goes on
 * with an answer. */

static bool not_there(struct aws_credentials *c, const char *what)
{
	sp_buf_printf(&c->missing, "%s%s", c->missing.n ? "; " : "", what);
	return false;
}

static bool from_environment(struct aws_credentials *c)
{
	const char *id = variable("AWS_ACCESS_KEY_ID"), *secret = variable("AWS_SECRET_ACCESS_KEY"),
		   *token = variable("AWS_SESSION_TOKEN");
	if (!id && !secret)
		return not_there(c, "AWS_ACCESS_KEY_ID is not set");
	if (!id || !secret) {
		fail(c, "%s is set and %s is not", id ? "AWS_ACCESS_KEY_ID" : "AWS_SECRET_ACCESS_KEY",
		    id ? "AWS_SECRET_ACCESS_KEY" : "AWS_ACCESS_KEY_ID");
		return true;
	}
	struct aws_grant g = {sp_strdup(id), sp_strdup(secret), token ? sp_strdup(token) : NULL, 0};
	have(c, &g, "environment");
	return true;
}

static bool from_web_identity(struct aws_credentials *c)
{
	const char *path = variable("AWS_WEB_IDENTITY_TOKEN_FILE"), *role = variable("AWS_ROLE_ARN");
	struct sp_buf token = {0};
	struct sp_why why;
	if (!path)
		return not_there(c, "AWS_WEB_IDENTITY_TOKEN_FILE is not set");
	if (!role) {
		fail(c, "AWS_WEB_IDENTITY_TOKEN_FILE is set and AWS_ROLE_ARN is not");
	} else if (secret_read(path, &token, &why) != SP_OK) {
		fail(c, "AWS_WEB_IDENTITY_TOKEN_FILE: %s", why.text);
	} else {
		begin_form(c, "AssumeRoleWithWebIdentity", role);
		sp_buf_str(&c->form, "&WebIdentityToken=");
		aws_encode(&c->form, sp_buf_view(&token));
		ask_sts(c);
	}
	sp_buf_free_secret(&token);
	return true;
}

/* The path of a shared file: told, or as AWS' programs have it. Caller frees. */
static char *shared_path(const char *told, const char *name, const char *usual)
{
	const char *home = variable("HOME");
	if (!told)
		told = variable(name);
	return told ? sp_strdup(told) : sp_asprintf("%s/.aws/%s", home ? home : "/root", usual);
}

static enum sp_status read_profile(const char *path, const char *profile, struct aws_grant *out, struct sp_why *why)
{
	struct sp_buf text = {0};
	struct sp_why reason;
	enum sp_status status = secret_read(path, &text, why);
	if (status == SP_OK && (status = aws_grant_from_profile(sp_buf_view(&text), profile, out, &reason)) != SP_OK)
		sp_fail(why, status, "%s: %s", path, reason.text);
	sp_buf_free_secret(&text);
	return status;
}

static bool from_file(struct aws_credentials *c)
{
	const struct dest_settings *d = c->settings;
	const char *profile = d->sigv4_profile ? d->sigv4_profile : variable("AWS_PROFILE");
	char *paths[] = {shared_path(d->sigv4_credentials_file, "AWS_SHARED_CREDENTIALS_FILE", "credentials"),
	    d->sigv4_credentials_file ? NULL : shared_path(NULL, "AWS_CONFIG_FILE", "config")};
	struct sp_why why;
	struct aws_grant g;
	enum sp_status status = sp_fail(&why, SP_NOT_FOUND, "there is no %s", paths[0]);
	for (size_t i = 0; i < 2 && paths[i] && status == SP_NOT_FOUND; i++) {
		sp_free(c->file);
		c->file = sp_strdup(paths[i]);
		sp_watch_changed(&c->seen, c->file);
		if (access(c->file, F_OK) == 0)
			status = read_profile(c->file, profile ? profile : "default", &g, &why);
	}
	sp_free(paths[0]);
	sp_free(paths[1]);
	/* Many hosts have a file that only says the region. */
	if (status == SP_NOT_FOUND || (status == SP_CONFIG && !profile && !d->sigv4_credentials_file))
		return not_there(c, why.text);
	if (status == SP_OK)
		have(c, &g, "shared file");
	else
		fail(c, "%s", why.text);
	return true;
}

static void on_keys(struct aws_credentials *c, const struct http_answer *a, const char *from)
{
	struct aws_grant g;
	struct sp_why why;
	char words[200];
	if (a->status != 200) {
		aws_error_words(a->words, words, sizeof words);
		fail(c, "%s gives out no keys: %d %s", from, a->status, words);
	} else if (aws_grant_from_json(a->words, &g, &why) != SP_OK) {
		fail(c, "the answer of the %s: %s", from, why.text);
	} else {
		have(c, &g, from);
	}
}

static void on_container(void *arg, const struct http_answer *a)
{
	on_keys(arg, a, "container endpoint");
}

/* Takes over url and line, which is secret and may be NULL. */
static void call_metadata(struct aws_credentials *c, const char *method, char *url, char *line, http_done_fn done)
{
	struct http_call call = {.method = method,
	    .url = url,
	    .lines = (const char *[]){line, NULL},
	    .timeout_ms = METADATA_TIMEOUT_MS,
	    .direct = true};
	http_call(c->http, &call, done, c);
	sp_free_secret(&line);
	sp_free(url);
}

/* Who answers there gets a secret and hands out keys: either it proves who it is, or it is this host or its platform.
 */
static bool is_trusted(const char *url)
{
	static const char *const hosts[] = {
	    "127.0.0.1", "localhost", "[::1]", "169.254.170.2", "169.254.170.23", "[fd00:ec2::23]"};
	if (strncmp(url, "https://", 8) == 0)
		return true;
	for (size_t i = 0; i < sizeof hosts / sizeof hosts[0]; i++) {
		size_t n = strlen(hosts[i]);
		if (strncmp(url, "http://", 7) == 0 && strncmp(url + 7, hosts[i], n) == 0 && strchr(":/", url[7 + n]))
			return true;
	}
	return false;
}

static bool from_container(struct aws_credentials *c)
{
	const char *relative = variable("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"),
		   *full = variable("AWS_CONTAINER_CREDENTIALS_FULL_URI"),
		   *path = variable("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"),
		   *token = variable("AWS_CONTAINER_AUTHORIZATION_TOKEN");
	struct sp_buf pass = {0};
	struct sp_why why;
	if (!relative && !full)
		return not_there(c, "AWS_CONTAINER_CREDENTIALS_FULL_URI is not set");
	if (!relative && !is_trusted(full)) {
		fail(c,
		    "AWS_CONTAINER_CREDENTIALS_FULL_URI %.100s: plain http only to this host, 169.254.170.2 and "
		    "169.254.170.23",
		    full);
	} else if (path && secret_read(path, &pass, &why) != SP_OK) {
		fail(c, "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE: %s", why.text);
	} else {
		char *url = relative ? sp_asprintf(CONTAINER_HOST "%s", relative) : sp_strdup(full);
		char *line = path    ? sp_asprintf("Authorization: %.*s", (int)pass.n, (const char *)pass.p)
			     : token ? sp_asprintf("Authorization: %s", token)
				     : NULL;
		call_metadata(c, "GET", url, line, on_container);
	}
	sp_buf_free_secret(&pass);
	return true;
}

static void ask_metadata(struct aws_credentials *c, const char *method, const char *path, http_done_fn done)
{
	const char *told = variable("AWS_EC2_METADATA_SERVICE_ENDPOINT"),
		   *mode = variable("AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE");
	const char *host = told				       ? told
			   : mode && strcmp(mode, "IPv6") == 0 ? "http://[fd00:ec2::254]"
							       : "http://169.254.169.254";
	size_t n = strlen(host);
	char *url = sp_asprintf("%.*s%s", (int)(n && host[n - 1] == '/' ? n - 1 : n), host, path);
	char *line = c->pass ? sp_asprintf("X-aws-ec2-metadata-token: %s", c->pass)
			     : sp_strdup("X-aws-ec2-metadata-token-ttl-seconds: 300");
	call_metadata(c, method, url, line, done);
}

static void on_metadata_keys(void *arg, const struct http_answer *a)
{
	on_keys(arg, a, "instance metadata");
}

/* What stands in an answer of one word; NULL when it cannot be sent on. Caller frees. */
static char *word(struct sp_bytes s)
{
	size_t n = 0;
	while (n < s.n && s.p[n] > ' ' && s.p[n] < 0x7f)
		n++;
	return n ? sp_strndup(s.p, n) : NULL;
}

static void on_role(void *arg, const struct http_answer *a)
{
	struct aws_credentials *c = arg;
	char *role = a->status == 200 ? word(a->words) : NULL;
	if (role) {
		char *path = sp_asprintf("/latest/meta-data/iam/security-credentials/%s", role);
		ask_metadata(c, "GET", path, on_metadata_keys);
		sp_free(path);
	} else {
		fail(c, "instance metadata: the instance has no role (%d)", a->status);
	}
	sp_free(role);
}

static void on_pass(void *arg, const struct http_answer *a)
{
	struct aws_credentials *c = arg;
	char words[200];
	if (a->status == 200)
		c->pass = word(a->words);
	if (c->pass) {
		ask_metadata(c, "GET", "/latest/meta-data/iam/security-credentials/", on_role);
		return;
	}
	aws_error_words(a->words, words, sizeof words);
	fail(c, "no credentials: %.*s; instance metadata gives no token: %s%s", (int)c->missing.n,
	    (const char *)c->missing.p, words,
	    a->transport == SHIP_ANSWERED ? "" : " (to a container only with a hop limit of 2)");
}

static bool from_metadata(struct aws_credentials *c)
{
	const char *off = variable("AWS_EC2_METADATA_DISABLED");
	if (off && strcasecmp(off, "true") == 0)
		return not_there(c, "AWS_EC2_METADATA_DISABLED is true");
	sp_free_secret(&c->pass);
	ask_metadata(c, "PUT", "/latest/api/token", on_pass);
	return true;
}

static void begin(void *arg)
{
	static bool (*const sources[])(struct aws_credentials *) = {
	    from_environment, from_web_identity, from_file, from_container, from_metadata};
	struct aws_credentials *c = arg;
	bool only_file = c->settings->sigv4_profile || c->settings->sigv4_credentials_file;
	sp_timer_cancel(c->loop, &c->timer);
	c->busy = true;
	for (size_t i = 0; i < sizeof sources / sizeof sources[0]; i++)
		if ((!only_file || sources[i] == from_file) && sources[i](c))
			return;
	fail(c, "no credentials: %.*s", (int)c->missing.n, (const char *)c->missing.p);
}

/* ---- for others ---- */

struct aws_credentials *aws_credentials_new(struct sp_loop *l, struct http_client *http, const struct dest_settings *d,
    const char *region, void (*changed)(void *arg), void *arg)
{
	struct aws_credentials *c = sp_new(struct aws_credentials);
	*c = (struct aws_credentials){
	    .loop = l, .http = http, .settings = d, .region = region, .changed = changed, .arg = arg, .from = "none"};
	aws_credentials_renew(c);
	return c;
}

void aws_credentials_free(struct aws_credentials **credentials)
{
	struct aws_credentials *c = *credentials;
	if (!c)
		return;
	sp_timer_cancel(c->loop, &c->timer);
	aws_grant_free(&c->grant);
	aws_grant_free(&c->source);
	sp_free_secret(&c->pass);
	sp_buf_free_secret(&c->form);
	sp_buf_free(&c->missing);
	sp_free(c->file);
	sp_free(c);
	*credentials = NULL;
}

bool aws_credentials_keys(const struct aws_credentials *c, struct aws_keys *out)
{
	if (c->grant.id)
		*out = (struct aws_keys){c->grant.id, c->grant.secret, c->grant.token};
	return c->grant.id;
}

int64_t aws_credentials_now_ms(const struct aws_credentials *c)
{
	return sp_wall_ms() + c->skew_ms;
}

bool aws_credentials_heard(struct aws_credentials *c, int64_t date_ms)
{
	int64_t off = date_ms ? date_ms - aws_credentials_now_ms(c) : 0;
	if (off > -SKEW_MATTERS_MS && off < SKEW_MATTERS_MS)
		return false;
	c->skew_ms += off;
	sp_log(SP_LOG_WARN, "destination.clock_skew", sp_f_str("destination", c->settings->name),
	    sp_f_i64("seconds", c->skew_ms / 1000),
	    sp_f_str("msg", "this machine's clock is wrong; requests are signed with the receiver's time"), SP_LOG_END);
	return true;
}

void aws_credentials_renew(struct aws_credentials *c)
{
	if (!c->busy)
		sp_timer_set(c->loop, &c->timer, 0, begin, c);
	c->busy = true;
}

void aws_credentials_poll(struct aws_credentials *c)
{
	if (c->file && sp_watch_changed(&c->seen, c->file))
		aws_credentials_renew(c);
}

const char *aws_credentials_source(const struct aws_credentials *c)
{
	return c->from;
}

const char *aws_credentials_trouble(const struct aws_credentials *c)
{
	return c->trouble[0] ? c->trouble : NULL;
}
