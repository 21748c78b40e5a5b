#include "convert/decoder.h"

#include "convert/collect.h"
#include "convert/json.h"

#include <math.h>

#define MINUTE_MS 60000
#define TIMESTAMP_MAX 1e14 /* ms: the year 5138 */
#define REREAD 8           /* how often, at most, bytes of a record are read in vain before the rest is given up */

/* What one object says, before it is a point. */
struct line {
	struct sp_bytes stream, account, region, ns, metric, unit;
	struct sp_bytes message_type; /* CloudWatch Logs */
	bool has_metric, has_timestamp, has_value;
	unsigned demo_keys;
	double timestamp;
	double p0, p100; /* NAN: none */
	const char *unusable; /* a sentence; NULL: fine */
	struct collect c;
};

/* Passes a value over: true when it is null, which stands for "not there". */
static bool skip_is_null(struct json *j)
{
	struct sp_bytes word;
	if (json_peek(j) == JSON_WORD)
		return json_word(j, &word) && word.p[0] == 'n';
	json_skip(j);
	return false;
}

/* A string, or empty when it is null; anything else makes the object unusable. */
static void take_text(struct json *j, struct line *l, struct sp_bytes *out)
{
	*out = (struct sp_bytes){0};
	if (json_peek(j) == JSON_STRING)
		json_string(j, out);
	else if (!skip_is_null(j))
		l->unusable = "a string was expected";
}

static void take_dimensions(struct json *j, struct line *l)
{
	struct sp_bytes key, value;
	double number;
	l->c.n_dims = 0; /* the last of equal keys counts */
	if (json_peek(j) != JSON_OBJECT) {
		if (!skip_is_null(j))
			l->unusable = "dimensions are no object";
		return;
	}
	for (json_enter(j); json_next_member(j, &key);) {
		bool ok = false;
		switch (json_peek(j)) {
		case JSON_STRING:
			ok = json_string(j, &value);
			break;
		case JSON_NUMBER:
			ok = json_number(j, &number, &value);
			break;
		case JSON_WORD:
			ok = json_word(j, &value) && value.p[0] != 'n';
			break;
		default:
			json_skip(j);
		}
		if (ok)
			collect_dim(&l->c, key, value);
		else
			l->c.dropped++;
	}
}

/* "p99.9" is the quantile 0.999, to the nearest double. False when key is no percentile of 0 to 100. */
static bool percentile(struct sp_bytes key, double *q)
{
	static const double powers[] = {1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12};
	uint64_t digits = 0;
	size_t decimals = 0, n = 0;
	bool point = false;
	if (key.n < 2 || (key.p[0] | 0x20) != 'p')
		return false;
	for (size_t i = 1; i < key.n; i++) {
		uint8_t c = key.p[i];
		if (c == '.' && !point && n > 0) {
			point = true;
		} else if (c >= '0' && c <= '9' && n < 15) {
			digits = digits * 10 + (c - '0');
			decimals += point;
			n++;
		} else {
			return false;
		}
	}
	if (n == 0 || decimals >= sizeof powers / sizeof *powers || key.p[key.n - 1] == '.')
		return false;
	*q = (double)digits / powers[decimals];
	return *q <= 1;
}

static void take_statistic(struct json *j, struct line *l, struct sp_bytes key)
{
	double v, q;
	if (json_peek(j) != JSON_NUMBER) {
		if (!skip_is_null(j))
			l->unusable = "a statistic is no number";
		return;
	}
	if (!json_number(j, &v, NULL))
		return;
	if (isinf(v)) { /* too large for a double */
		l->c.dropped++;
		return;
	}
	if (sp_eq(key, SP_LIT("max")))
		collect_base(&l->c, CW_MAX, v);
	else if (sp_eq(key, SP_LIT("min")))
		collect_base(&l->c, CW_MIN, v);
	else if (sp_eq(key, SP_LIT("sum")))
		collect_base(&l->c, CW_SUM, v);
	else if (sp_eq(key, SP_LIT("count")))
		collect_base(&l->c, CW_COUNT, v);
	else if (!percentile(key, &q))
		collect_extra(&l->c, key, v);
	else if (q == 0)
		l->p0 = v;
	else if (q == 1)
		l->p100 = v;
	else
		collect_quantile(&l->c, q, v);
}

static void take_value(struct json *j, struct line *l)
{
	struct sp_bytes key;
	l->c.has = 0;
	l->c.n_quantiles = l->c.n_extras = 0;
	l->p0 = l->p100 = NAN;
	l->has_value = json_peek(j) == JSON_OBJECT;
	if (!l->has_value) {
		json_skip(j);
		return;
	}
	for (json_enter(j); json_next_member(j, &key);)
		take_statistic(j, l, key);
	if (!(l->c.has & CW_MIN) && !isnan(l->p0))
		collect_base(&l->c, CW_MIN, l->p0);
	if (!(l->c.has & CW_MAX) && !isnan(l->p100))
		collect_base(&l->c, CW_MAX, l->p100);
}

static void take_timestamp(struct json *j, struct line *l)
{
	l->has_timestamp = true;
	if (json_peek(j) != JSON_NUMBER) {
		l->unusable = "timestamp is no number";
		json_skip(j);
	} else if (json_number(j, &l->timestamp, NULL) && !(l->timestamp > 0 && l->timestamp < TIMESTAMP_MAX &&
	                                                      l->timestamp == floor(l->timestamp))) {
		l->unusable = "timestamp is no time in milliseconds";
	}
}

static void take_member(struct json *j, struct line *l, struct sp_bytes key)
{
	if (sp_eq(key, SP_LIT("metric_stream_name"))) {
		take_text(j, l, &l->stream);
	} else if (sp_eq(key, SP_LIT("account_id"))) {
		take_text(j, l, &l->account);
	} else if (sp_eq(key, SP_LIT("region"))) {
		take_text(j, l, &l->region);
	} else if (sp_eq(key, SP_LIT("namespace"))) {
		take_text(j, l, &l->ns);
	} else if (sp_eq(key, SP_LIT("metric_name"))) {
		l->has_metric = true;
		take_text(j, l, &l->metric);
	} else if (sp_eq(key, SP_LIT("dimensions"))) {
		take_dimensions(j, l);
	} else if (sp_eq(key, SP_LIT("timestamp"))) {
		take_timestamp(j, l);
	} else if (sp_eq(key, SP_LIT("value"))) {
		take_value(j, l);
	} else if (sp_eq(key, SP_LIT("unit"))) {
		if (json_peek(j) == JSON_STRING)
			json_string(j, &l->unit);
		else
			json_skip(j);
	} else if (sp_eq(key, SP_LIT("messageType")) && json_peek(j) == JSON_STRING) {
		json_string(j, &l->message_type);
	} else {
		l->demo_keys += sp_eq(key, SP_LIT("TICKER_SYMBOL")) || sp_eq(key, SP_LIT("SECTOR")) || sp_eq(key, SP_LIT("CHANGE")) ||
		    sp_eq(key, SP_LIT("PRICE"));
		json_skip(j);
	}
}

/* Why the object is no point: a word, its sentence in *text; NULL when it is one. */
static const char *refuse(const struct line *l, const char **text)
{
	*text = l->unusable;
	if (l->unusable)
		return "bad_point";
	if (!l->has_value) {
		*text = "value is missing or no object";
		return "bad_point";
	}
	if (l->metric.n == 0) {
		*text = "the metric name is empty";
		return "no_name";
	}
	if (!l->has_timestamp) {
		*text = "timestamp is missing";
		return "no_time";
	}
	return NULL;
}

struct sp_bytes units_otlp(struct sp_bytes standard)
{
	/* The capitals are AWS' own. */
	static const char *const names[][2] = {
		{"Count", "{Count}"}, {"Bytes", "By"}, {"Percent", "%"}, {"Seconds", "s"}, {"None", "1"}, {"Milliseconds", "ms"},
		{"Microseconds", "us"}, {"Count/Second", "{Count}/s"}, {"Bytes/Second", "By/s"},
		{"Kilobytes", "kBy"}, {"Megabytes", "MBy"}, {"Gigabytes", "GBy"}, {"Terabytes", "TBy"},
		{"Bits", "bit"}, {"Kilobits", "kbit"}, {"Megabits", "MBit"}, {"Gigabits", "GBit"}, {"Terabits", "Tbit"},
		{"Kilobytes/Second", "kBy/s"}, {"Megabytes/Second", "MBy/s"}, {"Gigabytes/Second", "GBy/s"}, {"Terabytes/Second", "TBy/s"},
		{"Bits/Second", "bit/s"}, {"Kilobits/Second", "kbit/s"}, {"Megabits/Second", "MBit/s"}, {"Gigabits/Second", "GBit/s"},
		{"Terabits/Second", "Tbit/s"},
	};
	for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
		if (sp_eq_nocase(standard, sp_str(names[i][0])))
			return sp_str(names[i][1]);
	}
	return standard;
}

/* The object has been read; object is its text, at `offset` of the record. */
static enum sp_status finish(struct decoder *d, const struct line *l, struct sp_bytes object, uint64_t offset)
{
	const char *text, *reason;
	if (!l->has_metric) {
		if (l->demo_keys == 4)
			d->demo++;
		else if (!sp_eq(l->message_type, SP_LIT("CONTROL_MESSAGE")))
			d->bad(d->arg, "foreign", offset, object, PIECE_RECORD, "a JSON object that is no metric");
		return SP_OK;
	}
	reason = refuse(l, &text);
	if (reason) {
		d->bad(d->arg, reason, offset, object, PIECE_RECORD, text);
		return SP_OK;
	}
	struct cw_point *p = collect_point(&l->c, d);
	if (!p)
		return SP_NO_MEM;
	p->account = l->account, p->region = l->region, p->stream = l->stream;
	p->ns = l->ns, p->metric = l->metric, p->unit = units_otlp(l->unit);
	p->format = CW_JSON;
	p->start_ms = (int64_t)l->timestamp; /* JSON has the start of the minute, as the console shows it */
	p->end_ms = p->start_ms + MINUTE_MS;
	d->points_of[CW_JSON]++;
	return SP_OK;
}

static void line_begin(struct line *l)
{
	memset(l, 0, offsetof(struct line, c));
	l->p0 = l->p100 = NAN;
	collect_begin(&l->c);
}

enum sp_status cwjson_decode(struct decoder *d, struct sp_bytes record)
{
	struct json j;
	struct line line;
	struct sp_bytes key;
	size_t in_vain = 0;
	d->messages++;
	j = json_begin(record, d->arena);
	j.mend_utf8 = true;
	while (json_peek(&j), j.at < j.end) {
		const uint8_t *start = j.at;
		uint64_t offset = json_offset(&j);
		struct sp_arena_mark mark = sp_arena_mark(d->arena);
		line_begin(&line);
		if (json_peek(&j) != JSON_OBJECT)
			json_fail(&j, "object expected");
		else
			for (json_enter(&j); json_next_member(&j, &key);)
				take_member(&j, &line, key);
		if (!j.error) {
			if (finish(d, &line, sp_bytes(start, (size_t)(j.at - start)), offset) != SP_OK)
				return SP_NO_MEM;
			continue;
		}
		if (j.no_mem)
			return SP_NO_MEM;
		/* Set aside up to the end of the line. Reading began anew after each fault: that is bounded. */
		sp_arena_rewind(d->arena, mark);
		in_vain += (size_t)(j.at - start);
		const uint8_t *newline = in_vain < REREAD * record.n ? memchr(start, '\n', (size_t)(j.end - start)) : NULL;
		const uint8_t *end = newline ? newline + 1 : j.end;
		d->bad(d->arg, "bad_json", offset, sp_bytes(start, (size_t)(end - start)), PIECE_RECORD, j.error);
		j.at = end;
		j.error = NULL;
		j.depth = 0;
	}
	d->dropped_values += j.mended;
	return SP_OK;
}
