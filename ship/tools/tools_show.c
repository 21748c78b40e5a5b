/* ls, show and export: rows for people and for scripts. */
#include "ship/tools/tools_impl.h"

#include "common/alloc.h"
#include "proto/remote_write.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define RAW_MAX_BYTES ((size_t)64 << 20) /* of a batch, uncompressed: as much as a destination may be given */
#define SHOWN_BYTES 4096                 /* of a quarantined piece, without --raw */

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

/* What is a time for a person: `_ms` is for scripts. */
static size_t shown_length(const char *name)
{
	size_t n = strlen(name);
	return n > 3 && strcmp(name + n - 3, "_ms") == 0 ? n - 3 : n;
}

static void value_text(const char *name, const json_t *v, char *out, size_t n)
{
	if (json_is_integer(v) && name[shown_length(name)]) {
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

static void print_cell(enum inspect_table t, const struct shown *c, const char *text)
{
	bool last = c + 1 == shown[t] + 8 || !c[1].name;
	char padded[160];
	int n = snprintf(padded, sizeof padded, "%*s", last && c->width < 0 ? 0 : c->width, text);
	print_safely(sp_bytes(padded, (size_t)n));
	putchar(last ? '\n' : ' ');
}

static enum sp_status print_row(struct tool *t, const json_t *row, void *arg, struct sp_why *why)
{
	(void)arg, (void)why;
	if (t->json) {
		sp_json_print(json_incref((json_t *)row), JSON_COMPACT);
		return SP_OK;
	}
	for (const struct shown *c = shown[t->table]; c < shown[t->table] + 8 && c->name; c++) {
		char text[128];
		value_text(c->name, json_object_get(row, c->name), text, sizeof text);
		print_cell(t->table, c, text);
	}
	return SP_OK;
}

enum sp_status tools_list(struct tool *t, struct sp_why *why)
{
	for (const struct shown *c = shown[t->table]; c < shown[t->table] + 8 && c->name && !t->json; c++) {
		char name[32];
		snprintf(name, sizeof name, "%.*s", (int)shown_length(c->name), c->name);
		print_cell(t->table, c, name);
	}
	return tools_each(t, print_row, NULL, why);
}

/* name{label="value"} value time: one line per sample, given to fn. */
static enum sp_status each_sample(struct sp_bytes block, void (*fn)(struct sp_bytes line, void *arg), void *arg, struct sp_why *why)
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
			sp_buf_printf(&line, " %" PRId64, sample.ms);
			fn(sp_buf_view(&line), arg);
		}
	}
	sp_buf_free(&raw);
	sp_buf_free(&line);
	return status == SP_NOT_FOUND ? SP_OK : status;
}

static void print_line(struct sp_bytes line, void *arg)
{
	(void)arg;
	fwrite(line.p, 1, line.n, stdout);
	putchar('\n');
}

static void print_fields(const json_t *row)
{
	const char *name;
	json_t *v;
	json_object_foreach((json_t *)row, name, v)
	{
		char line[2048];
		value_text(name, v, line, sizeof line);
		printf("%-16.*s ", (int)shown_length(name), name);
		print_safely(sp_str(line));
		putchar('\n');
	}
	putchar('\n');
}

static enum sp_status print_body(const struct tool *t, struct sp_bytes body, struct sp_why *why)
{
	if (t->table != INSPECT_QUARANTINE)
		return body.n ? each_sample(body, print_line, NULL, why) : SP_OK;
	print_safely(sp_bytes(body.p, body.n < SHOWN_BYTES ? body.n : SHOWN_BYTES));
	printf(body.n > SHOWN_BYTES ? "\n... %zu bytes in all; --raw writes them out\n" : "\n", body.n);
	return SP_OK;
}

enum sp_status tools_show(struct tool *t, struct sp_why *why)
{
	struct sp_buf body = {0};
	json_t *row = NULL;
	enum sp_status status = tools_row(t, t->ids[0], &row, &body, why);
	if (status == SP_OK && t->raw) {
		fwrite(body.p, 1, body.n, stdout);
	} else if (status == SP_OK && t->json) {
		sp_json_print(json_incref((json_t *)row), JSON_COMPACT);
	} else if (status == SP_OK) {
		print_fields(row);
		status = print_body(t, sp_buf_view(&body), why);
	}
	json_decref(row);
	sp_buf_free(&body);
	return status;
}

/* ---- export ---- */

struct exported {
	uint64_t rows, samples, unreadable;
};

static void add_line(struct sp_bytes line, void *arg)
{
	json_array_append_new(arg, json_stringn((const char *)line.p, line.n));
}

/* The row with its bytes, and, of a remote-write body, the samples as a person reads them. */
static void print_exported(const struct tool *t, json_t *row, struct sp_bytes body)
{
	struct sp_buf base64 = {0};
	struct sp_why damage;
	json_t *samples = json_array();
	sp_buf_base64(&base64, body);
	json_object_set_new(row, "body", json_stringn((const char *)base64.p, base64.n));
	if (t->table != INSPECT_QUARANTINE && body.n && each_sample(body, add_line, samples, &damage) == SP_OK)
		json_object_set(row, "contents", samples);
	sp_json_print(json_incref((json_t *)row), JSON_COMPACT);
	json_decref(samples);
	sp_buf_free(&base64);
}

static enum sp_status export_row(struct tool *t, const json_t *listed, void *arg, struct sp_why *why)
{
	struct exported *e = arg;
	struct sp_buf body = {0};
	char id[64];
	json_t *row = NULL;
	enum sp_status status = tools_row(t, tools_id(listed, id), &row, &body, why);
	if (status == SP_OK) {
		print_exported(t, row, sp_buf_view(&body));
		e->rows++;
		e->samples += (uint64_t)sp_json_number(row, "samples");
	}
	json_decref(row);
	sp_buf_free(&body);
	e->unreadable += status == SP_BAD_DATA; /* the others may be well */
	return status == SP_NOT_FOUND || status == SP_BAD_DATA ? SP_OK : status; /* or it was sent, or has expired, meanwhile */
}

enum sp_status tools_export(struct tool *t, struct sp_why *why)
{
	struct exported e = {0};
	enum sp_status status = tools_each(t, export_row, &e, why);
	if (status == SP_OK && (fflush(stdout) != 0 || ferror(stdout)))
		status = sp_fail(why, SP_IO, "not all of it could be written");
	if (status == SP_OK && e.unreadable)
		status = sp_fail(why, SP_BAD_DATA, "%" PRIu64 " rows could not be read", e.unreadable);
	fprintf(stderr, "exported %" PRIu64 " %s", e.rows, tools_thing(t->table, e.rows));
	if (t->table != INSPECT_QUARANTINE)
		fprintf(stderr, " with %" PRIu64 " sample%s", e.samples, e.samples == 1 ? "" : "s");
	putc('\n', stderr);
	return status;
}
