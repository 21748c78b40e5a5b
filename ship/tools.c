#include "ship/tools.h"

#include "common/alloc.h"
#include "proto/remote_write.h"
#include "ship/inspect.h"

#include <curl/curl.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#define RAW_MAX_BYTES ((size_t)64 << 20) /* of a batch, uncompressed: as much as a destination may be given */
#define SHOWN_BYTES 4096                 /* of a quarantined piece, without --raw */

enum verb { VERB_LS, VERB_SHOW, VERB_BODY, VERBS };
static const char *const verb_names[VERBS] = {"ls", "show", "body"};

/* ---- answering side ---- */

struct question {
	enum inspect_table table;
	enum verb verb;
	char id[64];
	struct sp_buf answer;
	enum sp_status status;
	struct sp_why why;
	struct sp_admin_token *token;
};

static void look_up(struct spool *sp, void *arg)
{
	struct question *q = arg;
	q->status = q->verb == VERB_LS ? inspect_list(sp, q->table, q->id, &q->answer, &q->why)
				       : inspect_row(sp, q->table, q->id, q->verb == VERB_BODY, &q->answer, &q->why);
	if (q->status == SP_OK && !sp_buf_ok(&q->answer))
		q->status = sp_fail(&q->why, SP_NO_MEM, "no memory for the answer");
}

static void reply(void *arg)
{
	struct question *q = arg;
	int http = q->status == SP_OK ? 200 : q->status == SP_NOT_FOUND ? 404 : q->status == SP_BAD_DATA ? 400 : 500;
	const char *type = http != 200		   ? "text/plain; charset=utf-8"
			   : q->verb == VERB_BODY ? "application/octet-stream"
						  : "application/json";
	sp_admin_reply(&q->token, http, type, http == 200 ? sp_buf_view(&q->answer) : sp_str(q->why.text));
	sp_buf_free(&q->answer);
	sp_free(q);
}

/* /TABLE/VERB?id=... */
static int serve(void *arg, const struct sp_admin_request *req, struct sp_admin_token *token, struct sp_buf *unused,
    const char **content_type)
{
	(void)unused, (void)content_type;
	for (unsigned i = 0; i < INSPECT_TABLES * VERBS; i++) {
		char path[64];
		snprintf(path, sizeof path, "/%s/%s", inspect_name(i / VERBS), verb_names[i % VERBS]);
		if (!sp_eq(req->path, sp_str(path)))
			continue;
		struct question *q = sp_new(struct question);
		*q = (struct question){.table = i / VERBS, .verb = i % VERBS, .token = token};
		(void)sp_admin_param(req, "id", q->id, sizeof q->id);
		writer_query(arg, look_up, reply, q);
		return 0;
	}
	return 404;
}

void tools_routes(struct sp_admin *a, struct writer *w)
{
	sp_admin_route(a, "/spool/", false, serve, w);
	sp_admin_route(a, "/quarantine/", false, serve, w);
	sp_admin_route(a, "/deadletter/", false, serve, w);
}

/* ---- asking side ---- */

struct tool {
	enum inspect_table table;
	struct settings *settings;
	CURL *curl;
	struct spool *spool; /* opened when no ship runs */
	bool json, raw;
};

static size_t take_answer(char *p, size_t size, size_t n, void *arg)
{
	struct sp_buf *out = arg;
	sp_buf_add(out, sp_bytes(p, size * n));
	return sp_buf_ok(out) ? size * n : 0;
}

static enum sp_status ask_ship(struct tool *t, enum verb verb, const char *id, struct sp_buf *out, struct sp_why *why)
{
	char url[256], path[256];
	long http = 0;
	snprintf(path, sizeof path, "%s/%s", t->settings->runtime_dir, TOOLS_SOCKET);
	snprintf(url, sizeof url, "http://ship/%s/%s?id=%s", inspect_name(t->table), verb_names[verb], id);
	curl_easy_setopt(t->curl, CURLOPT_UNIX_SOCKET_PATH, path);
	curl_easy_setopt(t->curl, CURLOPT_URL, url);
	curl_easy_setopt(t->curl, CURLOPT_NOPROXY, "*");
	curl_easy_setopt(t->curl, CURLOPT_WRITEFUNCTION, take_answer);
	curl_easy_setopt(t->curl, CURLOPT_WRITEDATA, out);
	CURLcode rc = curl_easy_perform(t->curl);
	if (rc == CURLE_COULDNT_CONNECT)
		return sp_fail(why, SP_AGAIN, "no ship answers on %s", path);
	if (rc != CURLE_OK)
		return sp_fail(why, SP_IO, "%s: %s", path, curl_easy_strerror(rc));
	curl_easy_getinfo(t->curl, CURLINFO_RESPONSE_CODE, &http);
	return http == 200 ? SP_OK : sp_fail(why, SP_BAD_DATA, "%.*s", (int)out->n, (const char *)out->p);
}

static enum sp_status ask_file(struct tool *t, enum verb verb, const char *id, struct sp_buf *out, struct sp_why *why)
{
	struct question q = {.table = t->table, .verb = verb, .answer = *out};
	snprintf(q.id, sizeof q.id, "%s", id);
	look_up(t->spool, &q);
	*out = q.answer;
	*why = q.why;
	return q.status;
}

/* out is emptied first. */
static enum sp_status answer(struct tool *t, enum verb verb, const char *id, struct sp_buf *out, struct sp_why *why)
{
	sp_buf_clear(out);
	enum sp_status status = t->spool ? SP_AGAIN : ask_ship(t, verb, id, out, why);
	if (status != SP_AGAIN)
		return status;
	status = t->spool ? SP_OK : spool_open_to_read(t->settings, &t->spool, why);
	return status == SP_OK ? ask_file(t, verb, id, out, why) : status;
}

/* The columns people see in a list, and their widths; negative: to the left. */
struct shown {
	const char *name;
	int width;
};
static const struct shown shown[INSPECT_TABLES][8] = {
	[INSPECT_SPOOL] = {{"id", -16}, {"destination", -16}, {"accepted_ms", -20}, {"samples", 8}, {"series", 8}, {"bytes", 9},
		{"maybe_delivered", 15}},
	[INSPECT_QUARANTINE] = {{"id", -8}, {"at_ms", -20}, {"reason", -20}, {"key", -16}, {"record", 6}, {"offset", 9}, {"bytes", 9},
		{"request_id", -36}},
	[INSPECT_DEADLETTER] = {{"id", -8}, {"at_ms", -20}, {"reason", -16}, {"destination", -16}, {"samples", 8},
		{"http_status", 11}, {"bytes", 9}, {"key", -16}},
};

/* Bytes that a terminal could take for commands do not reach it. */
static void print_safely(struct sp_bytes s)
{
	for (size_t i = 0; i < s.n; i++) {
		if ((s.p[i] >= 0x20 && s.p[i] < 0x7f) || s.p[i] == '\n')
			putchar(s.p[i]);
		else
			printf("\\x%02x", s.p[i]);
	}
}

static void value_text(const char *name, const json_t *v, char *out, size_t n)
{
	size_t len = strlen(name);
	if (json_is_integer(v) && len > 3 && strcmp(name + len - 3, "_ms") == 0) {
		time_t s = (time_t)(json_integer_value(v) / 1000);
		struct tm tm;
		strftime(out, n, "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&s, &tm));
	} else if (json_is_integer(v)) {
		snprintf(out, n, "%" PRId64, (int64_t)json_integer_value(v));
	} else if (json_is_string(v)) {
		snprintf(out, n, "%s", json_string_value(v));
	} else {
		snprintf(out, n, "%s", json_is_true(v) ? "yes" : json_is_false(v) ? "no" : "-");
	}
}

static void print_row(const struct tool *t, const json_t *row)
{
	for (const struct shown *c = shown[t->table]; c < shown[t->table] + 8 && c->name; c++) {
		char text[128], padded[160];
		value_text(c->name, json_object_get(row, c->name), text, sizeof text);
		int n = snprintf(padded, sizeof padded, "%*s ", c->width, text);
		print_safely(sp_bytes(padded, (size_t)n));
	}
	putchar('\n');
}

static enum sp_status list(struct tool *t, struct sp_why *why)
{
	struct sp_buf page = {0};
	char after[64] = "";
	enum sp_status status = SP_OK;
	size_t n = INSPECT_PAGE_ROWS, i;
	for (const struct shown *c = shown[t->table]; c < shown[t->table] + 8 && c->name && !t->json; c++)
		printf("%*s ", c->width, c->name);
	if (!t->json)
		putchar('\n');
	while (n == INSPECT_PAGE_ROWS && (status = answer(t, VERB_LS, after, &page, why)) == SP_OK) {
		json_t *rows = json_loadb((const char *)page.p, page.n, 0, NULL), *row;
		if (!rows) {
			status = sp_fail(why, SP_BAD_DATA, "ship's answer is no JSON");
			break;
		}
		n = json_array_size(rows);
		json_array_foreach(rows, i, row)
		{
			if (t->json) {
				json_dumpf(row, stdout, JSON_COMPACT);
				putchar('\n');
			} else {
				print_row(t, row);
			}
			value_text("id", json_object_get(row, "id"), after, sizeof after);
		}
		json_decref(rows);
	}
	sp_buf_free(&page);
	return status;
}

/* name{label="value"} value time, one line per sample. */
static enum sp_status print_series(struct sp_bytes block, struct sp_why *why)
{
	struct sp_buf raw = {0}, line = {0};
	struct rw_series series;
	struct rw_sample sample;
	enum sp_status status = rw_uncompress(block, RAW_MAX_BYTES, &raw, why);
	struct sp_bytes in = sp_buf_view(&raw);
	while (status == SP_OK && (status = rw_next(&in, &series, why)) == SP_OK) {
		for (struct sp_bytes s = series.samples; rw_next_sample(&s, &sample);) {
			sp_buf_clear(&line);
			rw_print_labels(&line, series.labels);
			sp_buf_str(&line, " ");
			sp_buf_double(&line, sample.value);
			sp_buf_printf(&line, " %" PRId64 "\n", sample.ms);
			fwrite(line.p, 1, line.n, stdout);
		}
	}
	sp_buf_free(&raw);
	sp_buf_free(&line);
	return status == SP_NOT_FOUND ? SP_OK : status;
}

static void print_fields(const struct tool *t, struct sp_bytes text)
{
	json_t *row = json_loadb((const char *)text.p, text.n, 0, NULL), *v;
	const char *name;
	if (t->json) {
		fwrite(text.p, 1, text.n, stdout);
		json_decref(row);
		return;
	}
	json_object_foreach(row, name, v)
	{
		char line[2048];
		value_text(name, v, line, sizeof line);
		printf("%-16s ", name);
		print_safely(sp_str(line));
		putchar('\n');
	}
	json_decref(row);
}

static enum sp_status show(struct tool *t, const char *id, struct sp_why *why)
{
	struct sp_buf fields = {0}, body = {0};
	enum sp_status status = answer(t, VERB_SHOW, id, &fields, why);
	if (status == SP_OK)
		status = answer(t, VERB_BODY, id, &body, why);
	if (status == SP_OK && t->raw) {
		fwrite(body.p, 1, body.n, stdout);
	} else if (status == SP_OK) {
		print_fields(t, sp_buf_view(&fields));
		if (!t->json)
			putchar('\n');
		if (!t->json && t->table != INSPECT_QUARANTINE)
			status = body.n ? print_series(sp_buf_view(&body), why) : SP_OK;
		if (!t->json && t->table == INSPECT_QUARANTINE) {
			print_safely(sp_bytes(body.p, body.n < SHOWN_BYTES ? body.n : SHOWN_BYTES));
			printf(body.n > SHOWN_BYTES ? "\n... %zu bytes in all; --raw writes them out\n" : "\n", body.n);
		}
	}
	sp_buf_free(&fields);
	sp_buf_free(&body);
	return status;
}

static int usage(const char *noun)
{
	fprintf(stderr,
		"usage: %s ls [--json] [--config FILE]\n"
		"       %s show ID [--json | --raw] [--config FILE]\n",
		noun, noun);
	return SP_EXIT_USAGE;
}

int tools_main(int argc, char **argv)
{
	struct tool t = {.table = INSPECT_TABLES};
	const char *config = NULL, *words[2] = {NULL, NULL};
	size_t n_words = 0;
	struct sp_why why = {0};
	for (enum inspect_table i = INSPECT_SPOOL; i < INSPECT_TABLES; i++)
		if (strcmp(argv[0], inspect_name(i)) == 0)
			t.table = i;
	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--json") == 0)
			t.json = true;
		else if (strcmp(argv[i], "--raw") == 0)
			t.raw = true;
		else if (strcmp(argv[i], "--config") == 0 && i + 1 < argc)
			config = argv[++i];
		else if (argv[i][0] == '-' || n_words == 2)
			return usage(argv[0]);
		else
			words[n_words++] = argv[i];
	}
	bool ls = n_words == 1 && strcmp(words[0], "ls") == 0;
	/* Ids are digits and dots; anything else could be taken for a part of the URL. */
	bool is_show = n_words == 2 && strcmp(words[0], "show") == 0 && strlen(words[1]) < 64 &&
		words[1][strspn(words[1], "0123456789.")] == 0;
	if (t.table == INSPECT_TABLES || (!ls && !is_show))
		return usage(argv[0]);
	t.settings = settings_for_role(SP_ROLE_SHIP, config, -1, false, NULL);
	t.curl = curl_easy_init();
	SP_BUG_IF(!t.curl);
	enum sp_status status = ls ? list(&t, &why) : show(&t, words[1], &why);
	if (status != SP_OK)
		fprintf(stderr, "%s: %s\n", argv[0], why.text);
	curl_easy_cleanup(t.curl);
	if (t.spool && spool_close(&t.spool, &why) != SP_OK)
		fprintf(stderr, "%s: %s\n", argv[0], why.text);
	settings_free(&t.settings);
	return status == SP_OK ? SP_EXIT_OK : status == SP_LOCKED ? SP_EXIT_LOCKED : SP_EXIT_FAILED;
}
