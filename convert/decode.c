#include "convert/decode.h"

#include "common/alloc.h"
#include "convert/base64.h"
#include "convert/envelope.h"
#include "convert/names.h"
#include "convert/decoder.h"
#include "convert/series.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <time.h>

#define FILE_MAX ((size_t)96 << 20)

struct tool {
	bool json, is_record;
	int record; /* at hand; -1: the whole body */
	uint64_t bad;
	struct series *series; /* what points become */
	bool explain;          /* the point first */
	struct names *names;   /* not NULL: points are only looked at for their names */
	const char *config, *destination, *key, *naming;
	struct decoder decoder;
	struct cw_points points_of_record;
	struct sp_buf pieces; /* what is set aside, printed at the end */
};

static const char *format_name(unsigned format)
{
	static const char *const names[CW_FORMATS] = {"otlp0.7", "otlp1.0", "json"};
	return names[format];
}

/* ---- one point as a line ---- */

static void add_text(struct sp_buf *b, const char *key, struct sp_bytes value)
{
	sp_buf_printf(b, ",\"%s\":", key);
	sp_buf_json(b, value);
}

/* JSON has no infinity. */
static void add_number(struct sp_buf *b, double v)
{
	if (v - v != 0)
		sp_buf_str(b, v > 0 ? "1e999" : "-1e999");
	else
		sp_buf_double(b, v);
}

static void add_if(struct sp_buf *b, const struct cw_point *p, enum cw_has which, const char *key, double v)
{
	if (!(p->has & which))
		return;
	sp_buf_printf(b, ",\"%s\":", key);
	add_number(b, v);
}

static void point_json(struct sp_buf *b, int record, const struct cw_point *p)
{
	sp_buf_printf(b, "{\"record\":%d,\"format\":\"%s\"", record, format_name(p->format));
	add_text(b, "account", p->account);
	add_text(b, "region", p->region);
	add_text(b, "stream", p->stream);
	add_text(b, "namespace", p->ns);
	add_text(b, "metric", p->metric);
	sp_buf_str(b, ",\"dimensions\":{");
	for (size_t i = 0; i < p->n_dims; i++) {
		sp_buf_str(b, i ? "," : "");
		sp_buf_json(b, p->dims[i].name);
		sp_buf_u8(b, ':');
		sp_buf_json(b, p->dims[i].value);
	}
	sp_buf_u8(b, '}');
	add_text(b, "unit", p->unit);
	sp_buf_printf(b, ",\"start_ms\":%" PRId64 ",\"end_ms\":%" PRId64, p->start_ms, p->end_ms);
	add_if(b, p, CW_COUNT, "count", p->count);
	add_if(b, p, CW_SUM, "sum", p->sum);
	add_if(b, p, CW_MIN, "min", p->min);
	add_if(b, p, CW_MAX, "max", p->max);
	sp_buf_str(b, ",\"quantiles\":[");
	for (size_t i = 0; i < p->n_quantiles; i++) {
		sp_buf_str(b, i ? ",[" : "[");
		add_number(b, p->quantiles[i].q);
		sp_buf_u8(b, ',');
		add_number(b, p->quantiles[i].value);
		sp_buf_u8(b, ']');
	}
	sp_buf_str(b, "],\"extras\":{");
	for (size_t i = 0; i < p->n_extras; i++) {
		sp_buf_str(b, i ? "," : "");
		sp_buf_json(b, p->extras[i].key);
		sp_buf_u8(b, ':');
		add_number(b, p->extras[i].value);
	}
	sp_buf_str(b, "}}\n");
}

/* Names come from strangers: a terminal must not obey them. */
static void add_plain(struct sp_buf *b, struct sp_bytes s)
{
	for (size_t i = 0; i < s.n; i++)
		sp_buf_u8(b, s.p[i] < ' ' || s.p[i] == 0x7f ? '?' : s.p[i]);
}

static void stat_text(struct sp_buf *b, const struct cw_point *p, enum cw_has which, const char *name, double v)
{
	if (!(p->has & which))
		return;
	sp_buf_printf(b, " %s=", name);
	sp_buf_double(b, v);
}

static void point_text(struct sp_buf *b, const struct cw_point *p)
{
	char when[32] = "?";
	struct tm tm;
	time_t s = (time_t)(p->end_ms / 1000);
	if (gmtime_r(&s, &tm))
		strftime(when, sizeof when, "%Y-%m-%dT%H:%M:%SZ", &tm);
	sp_buf_printf(b, "%s %s ", when, format_name(p->format));
	add_plain(b, p->account);
	sp_buf_u8(b, ' ');
	add_plain(b, p->region);
	sp_buf_u8(b, ' ');
	add_plain(b, p->ns);
	sp_buf_u8(b, '/');
	add_plain(b, p->metric);
	sp_buf_u8(b, '{');
	for (size_t i = 0; i < p->n_dims; i++) {
		sp_buf_str(b, i ? "," : "");
		add_plain(b, p->dims[i].name);
		sp_buf_u8(b, '=');
		sp_buf_json(b, p->dims[i].value);
	}
	sp_buf_str(b, "} unit=");
	add_plain(b, p->unit);
	stat_text(b, p, CW_COUNT, "count", p->count);
	stat_text(b, p, CW_SUM, "sum", p->sum);
	stat_text(b, p, CW_MIN, "min", p->min);
	stat_text(b, p, CW_MAX, "max", p->max);
	for (size_t i = 0; i < p->n_quantiles; i++) {
		sp_buf_str(b, " q");
		sp_buf_double(b, p->quantiles[i].q);
		sp_buf_u8(b, '=');
		sp_buf_double(b, p->quantiles[i].value);
	}
	for (size_t i = 0; i < p->n_extras; i++) {
		sp_buf_u8(b, ' ');
		add_plain(b, p->extras[i].key);
		sp_buf_u8(b, '=');
		sp_buf_double(b, p->extras[i].value);
	}
	sp_buf_u8(b, '\n');
}

/* ---- a delivery ---- */

static void bad_piece(void *arg, const char *reason, uint64_t offset, struct sp_bytes bytes, enum piece_form form,
    const char *text)
{
	struct tool *t = arg;
	(void)form;
	t->bad++;
	if (t->json) {
		sp_buf_printf(&t->pieces, "{\"quarantine\":\"%s\",\"record\":%d,\"offset\":%" PRIu64 ",\"bytes\":%zu", reason, t->record, offset,
		    bytes.n);
		add_text(&t->pieces, "text", sp_str(text ? text : ""));
		sp_buf_str(&t->pieces, "}\n");
	} else {
		sp_buf_printf(&t->pieces, "quarantine %s: record %d, byte %" PRIu64 ", %zu bytes%s%s\n", reason, t->record, offset, bytes.n,
		    text ? ": " : "", text ? text : "");
	}
}

/* The point, then what becomes of it. */
static enum sp_status explain_point(struct tool *t, const struct cw_point *p, struct sp_buf *out)
{
	struct sp_buf lines = {0};
	enum sp_status status = series_print(t->series, p, &lines);
	struct sp_bytes rest = sp_buf_view(&lines), line;
	if (t->json)
		point_json(out, t->record, p);
	else if (t->explain)
		point_text(out, p);
	if (t->json) /* the object goes on */
		out->n -= 2;
	sp_buf_str(out, t->json ? ",\"series\":[" : "");
	for (bool first = true; sp_take_part(&rest, '\n', &line); first = false) {
		sp_buf_str(out, t->json ? first ? "" : "," : t->explain ? "  " : "");
		if (t->json)
			sp_buf_json(out, line);
		else
			sp_buf_add(out, line);
		sp_buf_str(out, t->json ? "" : "\n");
	}
	sp_buf_str(out, t->json ? "]}\n" : "");
	sp_buf_free(&lines);
	return status;
}

static enum sp_status show_record(struct tool *t, struct sp_bytes record)
{
	struct sp_buf line = {0};
	size_t first = t->points_of_record.n;
	enum sp_status status = record_decode(&t->decoder, record);
	for (size_t i = first; i < t->points_of_record.n; i++) {
		const struct cw_point *p = &t->points_of_record.v[i];
		sp_buf_clear(&line);
		if (t->names)
			status = status == SP_OK ? names_add(t->names, p) : status;
		else if (t->series)
			status = status == SP_OK ? explain_point(t, p, &line) : status;
		else if (t->json)
			point_json(&line, t->record, p);
		else
			point_text(&line, p);
		if (line.n)
			fwrite(line.p, 1, line.n, stdout);
	}
	sp_buf_free(&line);
	return status;
}

static enum sp_status show_body(struct tool *t, struct sp_bytes body, struct sp_why *why)
{
	struct envelope e;
	const char *code;
	enum sp_status status = SP_OK;
	if (gunzip_is_gzip(body))
		status = gunzip_run(t->decoder.gunzip, body, FILE_MAX, t->decoder.arena, &body, why);
	if (status == SP_OK)
		status = envelope_read(body, t->decoder.arena, &e, &code, why);
	for (size_t i = 0; status == SP_OK && i < e.n_records; i++) {
		const struct envelope_record *r = &e.records[i];
		uint8_t *bytes = sp_arena_alloc(t->decoder.arena, base64_room(r->data.n));
		size_t n, bad_at;
		t->record = (int)i;
		if (!bytes)
			status = sp_fail(why, SP_NO_MEM, "out of memory");
		else if (!r->has_data)
			bad_piece(t, "no_data", 0, r->json, PIECE_PART, NULL);
		else if (!base64_decode(r->data, bytes, &n, &bad_at))
			bad_piece(t, "bad_base64", bad_at, r->data, PIECE_PART, NULL);
		else
			status = show_record(t, sp_bytes(bytes, n));
	}
	return status;
}

static bool read_file(const char *path, struct sp_buf *out)
{
	FILE *f = strcmp(path, "-") == 0 ? stdin : fopen(path, "rb");
	if (!f)
		return false;
	out->max = FILE_MAX;
	for (uint8_t *to; (to = sp_buf_room(out, 65536));) {
		size_t n = fread(to, 1, 65536, f);
		out->n += n;
		if (n == 0)
			break;
	}
	bool ok = !ferror(f) && sp_buf_ok(out);
	if (f != stdin)
		fclose(f);
	return ok;
}

static void show_summary(const struct tool *t)
{
	const struct decoder *d = &t->decoder;
	if (t->pieces.n)
		fwrite(t->pieces.p, 1, t->pieces.n, stdout);
	fprintf(stderr,
	    "%" PRIu64 " messages; points: %" PRIu64 " otlp0.7, %" PRIu64 " otlp1.0, %" PRIu64 " json; %" PRIu64 " demo, %" PRIu64
	    " quarantined, %" PRIu64 " values dropped\n",
	    d->messages, d->points_of[CW_OTLP07], d->points_of[CW_OTLP10], d->points_of[CW_JSON], d->demo, t->bad, d->dropped_values);
}

static enum sp_status show_file(struct tool *t, const char *path)
{
	struct sp_buf file = {0};
	struct sp_why why = {.text = ""};
	if (!read_file(path, &file)) {
		fprintf(stderr, "%s: %s\n", path, sp_buf_ok(&file) ? strerror(errno) : "larger than 96 MiB");
		sp_buf_free(&file);
		return SP_IO;
	}
	t->decoder = (struct decoder){
	    .arena = sp_arena_new(0), .points = &t->points_of_record, .gunzip = gunzip_new(), .bad = bad_piece, .arg = t};
	enum sp_status status = t->is_record ? show_record(t, sp_buf_view(&file)) : show_body(t, sp_buf_view(&file), &why);
	show_summary(t);
	if (status != SP_OK)
		fprintf(stderr, "%s: %s\n", path, why.text[0] ? why.text : sp_status_name(status));
	gunzip_free(&t->decoder.gunzip);
	sp_arena_free(&t->decoder.arena);
	sp_buf_free(&t->pieces);
	sp_buf_free(&file);
	return status;
}

static enum sp_status choose_series(struct tool *t, bool plain, struct sp_why *why)
{
	t->explain = t->config || t->destination || t->key || t->naming;
	if (t->config || t->destination || t->key)
		return series_of_config(t->config, t->destination, t->key, t->naming, &t->series, why);
	return t->explain || plain ? series_new(t->naming ? t->naming : "cloudwatch", &t->series, why) : SP_OK;
}

int decode_main(int argc, char **argv)
{
	static const struct option options[] = {{"json", no_argument, NULL, 'j'}, {"record", no_argument, NULL, 'r'},
	    {"series", no_argument, NULL, 's'}, {"config", required_argument, NULL, 'c'},
	    {"destination", required_argument, NULL, 'd'}, {"key", required_argument, NULL, 'k'},
	    {"naming", required_argument, NULL, 'n'}, {0}};
	bool series = false;
	struct tool t = {.json = false};
	struct sp_why why = {.text = ""};
	enum sp_status status;
	for (int o; (o = getopt_long(argc, argv, "", options, NULL)) != -1;) {
		t.json = t.json || o == 'j';
		t.is_record = t.is_record || o == 'r';
		series = series || o == 's';
		if (o == 'c' || o == 'd' || o == 'k' || o == 'n')
			*(o == 'c' ? &t.config : o == 'd' ? &t.destination : o == 'k' ? &t.key : &t.naming) = optarg;
		if (o == '?')
			return SP_EXIT_USAGE;
	}
	if (argc - optind != 1) {
		fputs("usage: standpipe decode [--json] [--series] [--naming PRESET] [--config FILE] [--destination NAME] [--key NAME] "
		      "[--record] FILE\n",
		    stderr);
		return SP_EXIT_USAGE;
	}
	if (choose_series(&t, series, &why) != SP_OK) {
		fprintf(stderr, "standpipe decode: %s\n", why.text);
		return SP_EXIT_CONFIG;
	}
	status = show_file(&t, argv[optind]);
	series_free(&t.series);
	return status == SP_OK ? SP_EXIT_OK : SP_EXIT_FAILED;
}

int names_main(int argc, char **argv)
{
	static const struct option options[] = {{"from", required_argument, NULL, 'f'}, {"to", required_argument, NULL, 't'},
	    {"sed", no_argument, NULL, 's'}, {"record", no_argument, NULL, 'r'}, {0}};
	struct tool t = {.json = false};
	const char *from = NULL, *to = NULL;
	bool sed = false, wrong = false;
	struct sp_why why = {.text = ""};
	struct sp_buf out = {0};
	for (int o; (o = getopt_long(argc, argv, "", options, NULL)) != -1;) {
		from = o == 'f' ? optarg : from;
		to = o == 't' ? optarg : to;
		sed = sed || o == 's';
		t.is_record = t.is_record || o == 'r';
		wrong = wrong || o == '?';
	}
	if (wrong || !from || !to || argc - optind > 1) {
		fputs("usage: standpipe names --from PRESET --to PRESET [--sed] [--record] [FILE]\n", stderr);
		return SP_EXIT_USAGE;
	}
	if (names_new(from, to, &t.names, &why) != SP_OK) {
		fprintf(stderr, "standpipe names: %s\n", why.text);
		return SP_EXIT_USAGE;
	}
	enum sp_status status = optind < argc ? show_file(&t, argv[optind]) : names_add_known(t.names);
	names_print(t.names, sed, &out);
	if (out.n)
		fwrite(out.p, 1, out.n, stdout);
	sp_buf_free(&out);
	names_free(&t.names);
	return status == SP_OK ? SP_EXIT_OK : SP_EXIT_FAILED;
}
