#include "ship/tools/tools.h"

#include "common/alloc.h"
#include "common/json.h"
#include "common/keys_dir.h"
#include "common/log.h"
#include "common/receivers.h"
#include "proto/remote_write2.h"
#include "ship/auth/auth.h"
#include "ship/send/listener.h"

#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define PROBE_SERIES "standpipe_probe"
#define OLDER_MS 60000
#define LINES_MAX 16

enum result { GOOD, WARNING, FAILED };
static const char *const result_names[] = {"ok", "warning", "failed"};

struct connect {
	struct settings *settings;
	bool write_probe, json;
	json_t *targets; /* what was found out, for --json */
	unsigned results[3];
};

/* A destination, or a lane of one. */
struct talk {
	struct connect *of;
	const struct dest_settings *settings;
	struct sp_loop *loop;
	struct http_client *client;
	struct http_target *target;
	struct auth *auth;
	struct token *token;
	char *header; /* of the lane, or NULL */
	json_t *steps;

	struct http_answer answer; /* the last one; its words are in `words` */
	char words[HTTP_ANSWER_MAX_BYTES + 1];
};

static void SP_PRINTF(4, 5) say(struct talk *t, enum result result, const char *step, const char *fmt, ...)
{
	char text[600];
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	for (char *c = text; *c; c++) /* a receiver's words go to a terminal */
		if (*c < ' ' || *c >= 0x7f)
			*c = ' ';
	t->of->results[result]++;
	json_array_append_new(t->steps, json_pack("{ss ss ss sI}", "step", step, "result", result_names[result], "text",
					    text, "http_status", (json_int_t)t->answer.status));
	if (!t->of->json)
		printf("  %-8s %s: %s\n", result_names[result], step, text);
}

/* ---- one request ---- */

static void on_answer(void *arg, const struct http_answer *a)
{
	struct talk *t = arg;
	struct sp_bytes words = a->words;
	while (words.n && words.p[words.n - 1] <= ' ')
		words.n--;
	t->answer = *a;
	snprintf(t->words, sizeof t->words, "%.*s", (int)words.n, (const char *)words.p);
	sp_loop_stop(t->loop);
}

static void on_keys(void *arg)
{
	struct talk *t = arg;
	sp_loop_stop(t->loop);
}

static void wait_for_keys(struct talk *t)
{
	while (!auth_ready(t->auth) && !auth_trouble(t->auth))
		sp_loop_run(t->loop);
}

static void post(struct talk *t, struct sp_bytes body, enum rw_version version)
{
	const char *lines[LINES_MAX];
	size_t n = 0;
	for (const char *const *from = auth_lines(t->auth, body); *from && n < LINES_MAX - 3; from++)
		lines[n++] = *from;
	if (t->header)
		lines[n++] = t->header;
	if (t->token)
		lines[n++] = token_line(t->token);
	lines[n] = NULL;
	http_post(t->target, lines, body, version, 0, on_answer, t);
	sp_loop_run(t->loop);
}

static struct ship_ruling ask(struct talk *t, struct sp_bytes body, enum rw_version version)
{
	post(t, body, version);
	if (t->answer.status == 403 && auth_forbidden(t->auth, &t->answer)) {
		wait_for_keys(t);
		post(t, body, version);
	}
	return ship_rule(t->answer.transport, t->answer.status, t->answer.retry_after_ms);
}

/* ---- what is found out ---- */

static bool authenticates(struct talk *t)
{
	struct sp_buf what = {0};
	wait_for_keys(t);
	if (!auth_ready(t->auth)) {
		say(t, FAILED, "authentication", "%s", auth_trouble(t->auth));
		return false;
	}
	auth_describe(t->auth, &what);
	say(t, GOOD, "authentication", "%.*s%s", (int)what.n, (const char *)what.p,
	    t->token ? ", and the access key as bearer token" : "");
	sp_buf_free(&what);
	return true;
}

/* What to look at when the receiver answers so. */
static const char *advice(const struct talk *t)
{
	const struct dest_settings *d = t->settings;
	switch (t->answer.status) {
	case 401:
		return *receiver_kind(d->receiver)->tenant_header && !t->header && !d->headers.n
			   ? "; wrong credentials, or no tenant: headers or lanes.header"
			   : "; wrong or missing credentials";
	case 403:
		return d->sigv4_region ? "; does the role have aps:RemoteWrite on this workspace?"
				       : "; these credentials may not write there";
	case 404:
	case 405:
		return "; is the path of the URL right?";
	case 0:
		return "";
	default:
		return t->answer.status >= 300 && t->answer.status < 400
			   ? "; redirects are not followed: use the address it leads to"
			   : "";
	}
}

static bool answers(struct talk *t)
{
	struct sp_buf nothing = {0};
	rw_compress((struct sp_bytes){0}, &nothing);
	struct ship_ruling r = ask(t, sp_buf_view(&nothing), RW_1);
	sp_buf_free(&nothing);
	const char *tls = strncmp(t->settings->url, "https", 5) != 0 ? "without TLS"
			  : t->settings->tls_insecure		     ? "TLS, its certificate not checked"
								     : "TLS, its certificate is good";
	if (r.verdict == SHIP_DELIVERED)
		say(t, GOOD, "remote write 1.0", "%d in %.0f ms, %s", t->answer.status, t->answer.seconds * 1000, tls);
	else if (r.verdict == SHIP_DATA)
		say(t, WARNING, "remote write 1.0", "%d %s, to a request without samples; --write-probe says more",
		    t->answer.status, t->words);
	else if (t->answer.transport != SHIP_ANSWERED)
		say(t, FAILED, "connection", "%s: %s%s", r.reason, t->words,
		    strstr(t->words, "wrong version number") ? "; is it http, without TLS?" : "");
	else
		say(t, FAILED, "remote write 1.0", "%d %s%s", t->answer.status, t->words, advice(t));
	return r.verdict == SHIP_DELIVERED || r.verdict == SHIP_DATA;
}

/* Which version the samples would go in. */
static enum rw_version find_version(struct talk *t)
{
	struct rw2_writer *w = rw2_writer_new();
	struct sp_buf nothing = {0};
	struct sp_why why;
	const char *setting = t->settings->protocol;
	bool wanted = strcmp(setting, "1.0") != 0, understood = false;
	rw2_begin(w);
	if (rw2_finish(w, &nothing, &why) == SP_OK)
		understood =
		    ask(t, sp_buf_view(&nothing), RW_2).verdict == SHIP_DELIVERED && t->answer.samples_written >= 0;
	rw2_writer_free(&w);
	sp_buf_free(&nothing);
	if (understood)
		say(t, GOOD, "remote write 2.0", "taken%s",
		    wanted ? "" : "; protocol: 2.0 would carry type, help and unit of metrics too");
	else
		say(t, strcmp(setting, "2.0") == 0 ? WARNING : GOOD, "remote write 2.0",
		    "not taken (%d%s), so it gets 1.0", t->answer.status,
		    t->answer.status / 100 == 2 ? ", no Written header" : "");
	return wanted && understood ? RW_2 : RW_1;
}

static int by_name(const void *a, const void *b)
{
	return sp_cmp(((const struct rw_label *)a)->name, ((const struct rw_label *)b)->name);
}

static struct ship_ruling write_sample(struct talk *t, int64_t ms, enum rw_version version)
{
	const struct sp_map *external = &t->settings->external_labels;
	struct rw_label *labels = sp_new_array(struct rw_label, external->n + 1);
	struct sp_buf encoded = {0}, raw = {0}, body = {0};
	struct rw_sample sample = {ms, 1};
	struct sp_why why;
	labels[0] = (struct rw_label){SP_LIT("__name__"), SP_LIT(PROBE_SERIES)};
	for (size_t i = 0; i < external->n; i++)
		labels[i + 1] = (struct rw_label){sp_str(external->names[i]), sp_str(external->values[i])};
	qsort(labels, external->n + 1, sizeof *labels, by_name);
	for (size_t i = 0; i <= external->n; i++) {
		uint8_t *to = sp_buf_room(&encoded, rw_label_size(labels[i].name.n, labels[i].value.n));
		encoded.n = (size_t)(rw_put_label(to, labels[i].name, labels[i].value) - encoded.p);
	}
	rw_add_series(&raw, sp_buf_view(&encoded), &sample, 1);
	if (version == RW_2) {
		struct rw2_writer *w = rw2_writer_new();
		rw2_begin(w);
		SP_BUG_IF(rw2_add(w, sp_buf_view(&raw), NULL, &why) != SP_OK || rw2_finish(w, &body, &why) != SP_OK);
		rw2_writer_free(&w);
	} else {
		rw_compress(sp_buf_view(&raw), &body);
	}
	struct ship_ruling r = ask(t, sp_buf_view(&body), version);
	sp_buf_free(&encoded);
	sp_buf_free(&raw);
	sp_buf_free(&body);
	sp_free(labels);
	return r;
}

static void write_samples(struct talk *t, enum rw_version version)
{
	int64_t now = sp_wall_ms();
	if (write_sample(t, now, version).verdict != SHIP_DELIVERED) {
		say(t, FAILED, "sample of now", "%d %s%s", t->answer.status, t->words, advice(t));
		return;
	}
	say(t, GOOD, "sample of now", "%d", t->answer.status);
	struct ship_ruling older = write_sample(t, now - OLDER_MS, version);
	if (older.verdict == SHIP_DELIVERED)
		say(t, GOOD, "sample out of order", "%d; one minute older than the last", t->answer.status);
	else if (older.verdict == SHIP_DATA || ship_answer_is_suspicious(t->answer.transport, t->answer.status))
		say(t, WARNING, "sample out of order", "%d %.300s; CloudWatch's samples come late: raise %s",
		    t->answer.status, t->words, receiver_kind(t->settings->receiver)->order_setting);
	else
		say(t, FAILED, "sample out of order", "%d %s", t->answer.status, t->words);
}

/* ---- destinations and lanes ---- */

static enum sp_status begin(struct talk *t, struct sp_why *why)
{
	t->loop = sp_loop_new();
	t->client = http_client_new(t->loop);
	enum sp_status status = http_target_new(t->client, t->settings, &t->target, why);
	if (status == SP_OK)
		status = auth_new(t->loop, t->client, t->target, t->settings, on_keys, t, &t->auth, why);
	if (status == SP_OK && t->token && !token_line(t->token))
		status = sp_fail(why, SP_CONFIG, "the access key has no file that can be read");
	return status;
}

static void end(struct talk *t)
{
	http_client_free(&t->client);
	auth_free(&t->auth);
	http_target_free(&t->target);
	token_free(&t->token);
	sp_loop_free(&t->loop);
	sp_free(t->header);
}

/* lane: its name, or NULL; value: what the header says, NULL: the name. may_write: it is one that data will be in. */
static void talk_to(
    struct connect *c, const struct dest_settings *d, const char *lane, const char *value, bool may_write)
{
	struct talk t = {.of = c, .settings = d, .steps = json_array()};
	struct sp_why why;
	const char *url = d->url ? d->url : "";
	json_array_append_new(c->targets,
	    json_pack("{ss ss* ss so}", "destination", d->name, "lane", lane, "url", url, "steps", t.steps));
	if (!c->json)
		printf("%s%s%s: %s\n", d->name, lane ? "/" : "", lane ? lane : "", url);
	if (!d->url) {
		say(&t, WARNING, "url",
		    "not asked: it is the listener for the region of the first stream; logzio.region says which");
		return;
	}
	if (lane && d->lanes_header)
		t.header = sp_asprintf("%s: %s", d->lanes_header, value ? value : lane);
	if (lane && d->lanes_token) {
		t.token = token_new(lane);
		token_find(t.token, c->settings);
		(void)token_poll(t.token);
	}
	if (begin(&t, &why) != SP_OK) {
		say(&t, FAILED, "settings", "%s", why.text);
	} else if (authenticates(&t) && answers(&t)) {
		enum rw_version version = find_version(&t);
		if (c->write_probe && may_write)
			write_samples(&t, version);
		else if (c->write_probe)
			say(&t, WARNING, "samples",
			    "not written: no lane is known before data comes (lanes.map, lanes.default)");
	}
	end(&t);
}

static void check_destination(struct connect *c, struct dest_settings *d)
{
	const struct sp_map *map = &d->lanes_map;
	if (!d->url && d->logzio_region)
		d->url = sp_strdup(listener_url(sp_str(d->logzio_region)));
	if (!d->lanes_by)
		talk_to(c, d, NULL, NULL, true);
	for (size_t i = 0; i < map->n && !d->lanes_token; i++)
		talk_to(c, d, map->names[i], map->values[i], true);
	for (size_t i = 0; i < c->settings->n_keys && d->lanes_token; i++)
		talk_to(c, d, c->settings->keys[i].name, sp_map_get(map, c->settings->keys[i].name), true);
	if (d->lanes_default && !sp_map_get(map, d->lanes_default))
		talk_to(c, d, d->lanes_default, NULL, true);
	if (d->lanes_by && !d->lanes_token && !map->n && !d->lanes_default)
		talk_to(c, d, PROBE_SERIES, NULL, false);
}

int connect_main(int argc, char **argv)
{
	static const struct option options[] = {{"config", required_argument, NULL, 'c'},
	    {"write-probe", no_argument, NULL, 'w'}, {"json", no_argument, NULL, 'j'}, {0}};
	struct connect c = {.targets = json_array()};
	const char *config = NULL;
	int o;
	while ((o = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (o == '?')
			return SP_EXIT_USAGE;
		config = o == 'c' ? optarg : config;
		c.write_probe |= o == 'w';
		c.json |= o == 'j';
	}
	struct keys_dir *keys = NULL;
	c.settings = settings_for_role(SP_ROLE_SHIP, config, -1, true, &keys);
	sp_log_init("check", -1, SP_LOG_ERROR, SP_LOG_TEXT);
	for (size_t i = 0; i < c.settings->n_dests; i++)
		check_destination(&c, &c.settings->dests[i]);
	if (c.json) {
		json_t *all = json_pack("{sO sI sI}", "targets", c.targets, "failed", (json_int_t)c.results[FAILED],
		    "warnings", (json_int_t)c.results[WARNING]);
		sp_json_print(all, JSON_INDENT(1));
	} else {
		printf("%s: %u of %zu failed, %u warning%s\n", c.results[FAILED] ? "not usable" : "good", c.results[FAILED],
		    json_array_size(c.targets), c.results[WARNING], c.results[WARNING] == 1 ? "" : "s");
	}
	json_decref(c.targets);
	keys_dir_free(&keys);
	settings_free(&c.settings);
	return c.results[FAILED] ? SP_EXIT_FAILED : SP_EXIT_OK;
}
