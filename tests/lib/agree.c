#include "tests/lib/agree.h"

#include "convert/decoder.h"
#include "convert/envelope.h"
#include "tests/lib/otlp_oracle.h"

#include <inttypes.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define MOST 64 /* bad pieces of a record, members of an object */

const char *const agree_text[AGREE_RESULTS] = {
	[AGREE_ACCEPTED] = "accepted by both",
	[AGREE_REFUSED] = "refused by both",
	[AGREE_GROUP] = "a group: passed over here, unknown to protobuf-c",
	[AGREE_WIRE_TYPE] = "a known field of another wire type: passed over here, refused by protobuf-c",
	[AGREE_UNREAD] = "broken where nothing is read here",
	[AGREE_PARTS] = "a message in two parts that are sound only together: joined here, refused by protobuf-c",
	[AGREE_BAD_NUMBER] = "a number over 64 bits, or a field number that cannot be: refused here, cut to size by protobuf-c",
	[AGREE_ONEOF] = "holds more than the definition for protobuf-c does: other metrics, nested attributes, a oneof with several members",
	[AGREE_REPEATED_KEY] = "a key repeated in an object: of dimensions and statistics the first counts here, the last with jansson",
	[AGREE_NUMBER_AS_TEXT] = "a number as a dimension's value: as it is spelled here, a double with jansson",
	[AGREE_BEYOND_DOUBLE] = "a number beyond a double: that value is dropped here, the document refused by jansson",
	[AGREE_NOT_UTF8] = "not UTF-8: mended here, refused by jansson",
	[AGREE_NUL] = "a NUL byte or a NUL in a key: jansson passes over the one and refuses the other",
};

#define MUST(holds) ((holds) ? (void)0 : disagree(#holds, in))

static void disagree(const char *what, struct sp_bytes in)
{
	fprintf(stderr, "the decoders differ: not %s\n", what);
	for (size_t i = 0; i < in.n; i++)
		fprintf(stderr, in.p[i] >= ' ' && in.p[i] < 0x7f && in.p[i] != '\\' ? "%c" : "\\x%02x", in.p[i]);
	fprintf(stderr, "\n");
	abort();
}

struct seen {
	size_t n;
	struct bad {
		const char *reason, *text;
		uint64_t offset;
	} v[MOST];
};

static void take_bad(void *arg, const char *reason, uint64_t offset, struct sp_bytes bytes, enum piece_form form,
    const char *text)
{
	struct seen *s = arg;
	(void)bytes, (void)form;
	if (s->n < MOST)
		s->v[s->n] = (struct bad){reason, text, offset};
	s->n++;
}

/* ---- points ---- */

static bool same_number(double a, double b)
{
	return memcmp(&a, &b, sizeof a) == 0;
}

static void same_point(const struct cw_point *a, const struct cw_point *b, struct sp_bytes in)
{
	MUST(sp_eq(a->account, b->account) && sp_eq(a->region, b->region) && sp_eq(a->stream, b->stream));
	MUST(sp_eq(a->ns, b->ns) && sp_eq(a->metric, b->metric) && sp_eq(a->unit, b->unit));
	MUST(a->format == b->format && a->start_ms == b->start_ms && a->end_ms == b->end_ms && a->has == b->has);
	MUST(!(a->has & CW_COUNT) || same_number(a->count, b->count));
	MUST(!(a->has & CW_SUM) || same_number(a->sum, b->sum));
	MUST(!(a->has & CW_MIN) || same_number(a->min, b->min));
	MUST(!(a->has & CW_MAX) || same_number(a->max, b->max));
	MUST(a->n_dims == b->n_dims && a->n_quantiles == b->n_quantiles && a->n_extras == b->n_extras);
	for (size_t i = 0; i < a->n_dims; i++)
		MUST(sp_eq(a->dims[i].name, b->dims[i].name) && sp_eq(a->dims[i].value, b->dims[i].value));
	for (size_t i = 0; i < a->n_quantiles; i++)
		MUST(same_number(a->quantiles[i].q, b->quantiles[i].q) && same_number(a->quantiles[i].value, b->quantiles[i].value));
	for (size_t i = 0; i < a->n_extras; i++)
		MUST(sp_eq(a->extras[i].key, b->extras[i].key) && same_number(a->extras[i].value, b->extras[i].value));
}

static void same_points(const struct cw_points *got, const struct cw_points *want, struct sp_bytes in, uint64_t *points)
{
	MUST(got->n == want->n);
	for (size_t i = 0; i < got->n; i++)
		same_point(&got->v[i], &want->v[i], in);
	*points += got->n;
}

/* ---- OTLP ---- */

enum level { LEAF, REQUEST, RESOURCE_METRICS, RESOURCE, SCOPE, METRIC, SUMMARY, POINT, LABEL, QUANTILE, PAIR, ANY, MAP };

static const struct known {
	enum level level;
	unsigned number, type;
	enum level child;
} known[] = {{REQUEST, 1, 2, RESOURCE_METRICS}, {RESOURCE_METRICS, 1, 2, RESOURCE}, {RESOURCE_METRICS, 2, 2, SCOPE}, {RESOURCE, 1, 2, PAIR},
	{SCOPE, 2, 2, METRIC}, {METRIC, 1, 2, LEAF}, {METRIC, 3, 2, LEAF}, {METRIC, 4, 2, LEAF}, {METRIC, 5, 2, LEAF}, {METRIC, 6, 2, LEAF},
	{METRIC, 7, 2, LEAF}, {METRIC, 8, 2, LEAF}, {METRIC, 9, 2, LEAF}, {METRIC, 10, 2, LEAF}, {METRIC, 11, 2, SUMMARY}, {SUMMARY, 1, 2, POINT},
	{POINT, 1, 2, LABEL}, {POINT, 2, 1, LEAF}, {POINT, 3, 1, LEAF}, {POINT, 4, 1, LEAF}, {POINT, 5, 1, LEAF}, {POINT, 6, 2, QUANTILE},
	{POINT, 7, 2, PAIR}, {POINT, 8, 0, LEAF}, {LABEL, 1, 2, LEAF}, {LABEL, 2, 2, LEAF}, {QUANTILE, 1, 1, LEAF}, {QUANTILE, 2, 1, LEAF},
	{PAIR, 1, 2, LEAF}, {PAIR, 2, 2, ANY}, {ANY, 1, 2, LEAF}, {ANY, 2, 0, LEAF}, {ANY, 3, 0, LEAF}, {ANY, 4, 1, LEAF}, {ANY, 5, 2, LEAF},
	{ANY, 6, 2, MAP}, {ANY, 7, 2, LEAF}, {MAP, 1, 2, PAIR}};

enum oddity { ODD_GROUP = 1, ODD_WIRE_TYPE = 2, ODD_NUMBER = 4, ODD_BROKEN = 8, ODD_UNREAD = 16, ODD_BOOL = 32, ODD_PARTS = 64 };

static bool take_varint(struct sp_bytes *in, uint64_t *out, unsigned *found)
{
	size_t n = 0;
	if (sp_take_varint(in, out))
		return true;
	while (n < in->n && n < 10 && in->p[n] >= 0x80)
		n++;
	*found |= ODD_BROKEN | (n == 9 && in->n > 9 ? ODD_NUMBER : 0); /* whole, but over 64 bits */
	return false;
}

/* What is odd about a message: the cause that a difference must have. */
static unsigned oddities(struct sp_bytes in, enum level level)
{
	unsigned found = 0, members = 0;
	uint64_t tag, n;
	while (in.n) {
		struct sp_bytes bytes = {0};
		if (!take_varint(&in, &tag, &found))
			return found;
		unsigned type = tag & 7;
		found |= tag >> 3 == 0 || tag > UINT32_MAX ? ODD_NUMBER : 0;
		if (type == 3 || type == 4)
			return found | ODD_GROUP;
		if (type > 5 || !(type == 0 ? take_varint(&in, &n, &found) : type == 1 ? sp_take_n(&in, 8, &bytes) : type == 5 ? sp_take_n(&in, 4, &bytes)
			: take_varint(&in, &n, &found) && sp_take_n(&in, n, &bytes)))
			return found | ODD_BROKEN;
		for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
			if (known[i].level != level || known[i].number != tag >> 3)
				continue;
			unsigned below = known[i].type != type ? (level == ANY && known[i].number == 2 ? ODD_BOOL : ODD_WIRE_TYPE) : known[i].child ? oddities(bytes, known[i].child) : 0;
			bool is_single = known[i].child == RESOURCE || known[i].child == SUMMARY || known[i].child == ANY || known[i].child == MAP;
			found |= is_single && (members >> known[i].number & 1) ? ODD_PARTS : 0;
			members |= 1u << known[i].number;
			/* Read: three attributes of a resource, the last data of a metric, the last member of an attribute's value. */
			found |= below | (level == RESOURCE && below ? ODD_UNREAD : 0) | (level == METRIC && tag >> 3 > 3 && tag >> 3 < 11 ? ODD_UNREAD : 0);
		}
		found |= level == RESOURCE_METRICS && tag >> 3 == 1000 ? ODD_UNREAD : 0; /* scopes in v0.15 to v0.18 */
	}
	return found | (level == ANY && (members & (members - 1)) ? ODD_UNREAD : 0);
}

static enum agree only_protobuf_c_refuses(struct sp_bytes in)
{
	unsigned found = oddities(in, REQUEST);
	MUST(found & (ODD_GROUP | ODD_WIRE_TYPE | ODD_UNREAD | ODD_PARTS));
	return found & ODD_GROUP ? AGREE_GROUP : found & ODD_WIRE_TYPE ? AGREE_WIRE_TYPE : found & ODD_UNREAD ? AGREE_UNREAD : AGREE_PARTS;
}

enum agree agree_otlp(struct sp_bytes in, uint64_t *points)
{
	struct sp_arena *arena = sp_arena_new(0);
	struct cw_points got = {0}, want = {0};
	struct seen seen = {0};
	struct decoder d = {.arena = arena, .points = &got, .bad = take_bad, .arg = &seen};
	size_t set_aside = 0;
	MUST(otlp_decode(&d, in, 0) == SP_OK);
	bool refused = seen.n == 1 && (strcmp(seen.v[0].reason, "bad_message") == 0 || strcmp(seen.v[0].reason, "too_deep") == 0);
	enum oracle_result result = oracle_decode(in, arena, &want, &set_aside);
	enum agree agree = AGREE_REFUSED;
	unsigned found = oddities(in, REQUEST);
	MUST(!refused || got.n == 0);
	if (refused && result == ORACLE_OK) {
		MUST(found & ODD_NUMBER);
		agree = AGREE_BAD_NUMBER;
	} else if (result == ORACLE_UNSURE) {
		agree = AGREE_ONEOF;
	} else if (!refused && result == ORACLE_REFUSES) {
		agree = only_protobuf_c_refuses(in);
	} else if (result == ORACLE_OK && found & ODD_BOOL) {
		agree = AGREE_WIRE_TYPE; /* protobuf-c takes a bool of any type */
	} else if (result == ORACLE_OK) {
		MUST(seen.n == set_aside);
		same_points(&got, &want, in, points);
		agree = AGREE_ACCEPTED;
	}
	sp_arena_free(&arena);
	return agree;
}

/* ---- JSON lines ---- */

static struct sp_bytes text_of(const json_t *v)
{
	return json_is_string(v) ? sp_bytes(json_string_value(v), json_string_length(v)) : (struct sp_bytes){0};
}

static int by_name(const void *a, const void *b)
{
	return sp_cmp(((const struct cw_dim *)a)->name, ((const struct cw_dim *)b)->name);
}

static int by_quantile(const void *a, const void *b)
{
	double x = ((const struct cw_quantile *)a)->q, y = ((const struct cw_quantile *)b)->q;
	return (x > y) - (x < y);
}

/* False: there is something that jansson cannot tell. */
static bool read_dims(const json_t *from, struct sp_arena *arena, struct cw_point *p)
{
	struct cw_dim *dims = sp_arena_alloc(arena, (json_object_size(from) + 1) * sizeof *dims);
	const char *key;
	size_t n;
	json_t *v;
	json_object_keylen_foreach((json_t *)(uintptr_t)from, key, n, v) {
		if (json_is_number(v) || n > 1000 || json_string_length(v) > 10000 || p->n_dims == MOST)
			return false;
		if (n && (json_is_string(v) || json_is_boolean(v)))
			dims[p->n_dims++] = (struct cw_dim){sp_bytes(key, n), json_is_string(v) ? text_of(v) : sp_str(json_is_true(v) ? "true" : "false")};
	}
	if (p->n_dims)
		qsort(dims, p->n_dims, sizeof *dims, by_name);
	p->dims = dims;
	return true;
}

/* "p99.9": 0.999. */
static bool is_percentile(const char *key, size_t n, double *q)
{
	char number[40];
	size_t whole = n > 1 ? strspn(key + 1, "0123456789") : 0, part = 0;
	if (n < 2 || n > 20 || (key[0] != 'p' && key[0] != 'P') || whole == 0)
		return false;
	if (key[1 + whole] == '.')
		part = strspn(key + 2 + whole, "0123456789");
	if (1 + whole + (part ? 1 + part : 0) != n || whole + part > 15 || part > 10)
		return false;
	snprintf(number, sizeof number, "%se-2", key + 1);
	*q = strtod(number, NULL);
	return *q <= 1;
}

static void read_statistic(const char *key, size_t n, double v, struct cw_point *p, double ends[2])
{
	static const char *const base[] = {"count", "sum", "min", "max"};
	double *const to[] = {&p->count, &p->sum, &p->min, &p->max}, q;
	for (size_t i = 0; i < 4; i++) {
		if (strcmp(key, base[i]) == 0 && n == strlen(base[i])) {
			*to[i] = v;
			p->has |= (uint8_t)(1u << i);
			return;
		}
	}
	if (!is_percentile(key, n, &q)) {
		if (n > 0 && n <= 1024)
			((struct cw_extra *)(uintptr_t)p->extras)[p->n_extras++] = (struct cw_extra){sp_bytes(key, n), v};
		return;
	}
	bool is_known = false;
	for (size_t i = 0; i < p->n_quantiles; i++)
		is_known = is_known || p->quantiles[i].q == q;
	if (q == 0 || q == 1)
		ends[q == 1] = v;
	else if (!is_known)
		((struct cw_quantile *)(uintptr_t)p->quantiles)[p->n_quantiles++] = (struct cw_quantile){q, v};
}

/* False: a statistic is no number. */
static bool read_statistics(const json_t *value, struct sp_arena *arena, struct cw_point *p)
{
	size_t room = json_object_size(value) + 1, n;
	double ends[2] = {NAN, NAN};
	const char *key;
	json_t *v;
	p->quantiles = sp_arena_alloc(arena, room * sizeof *p->quantiles);
	p->extras = sp_arena_alloc(arena, room * sizeof *p->extras);
	json_object_keylen_foreach((json_t *)(uintptr_t)value, key, n, v) {
		if (json_is_number(v))
			read_statistic(key, n, json_number_value(v), p, ends);
		else if (!json_is_null(v))
			return false;
	}
	if (!(p->has & CW_MIN) && !isnan(ends[0]))
		p->min = ends[0], p->has |= CW_MIN;
	if (!(p->has & CW_MAX) && !isnan(ends[1]))
		p->max = ends[1], p->has |= CW_MAX;
	if (p->n_quantiles)
		qsort((void *)(uintptr_t)p->quantiles, p->n_quantiles, sizeof *p->quantiles, by_quantile);
	return true;
}

static bool is_text_or_nothing(const json_t *v)
{
	return !v || json_is_string(v) || json_is_null(v);
}

static bool has_all(const json_t *line, const char *const keys[4])
{
	return json_object_get(line, keys[0]) && json_object_get(line, keys[1]) && json_object_get(line, keys[2]) && json_object_get(line, keys[3]);
}

/* The point of an object that stands for a metric: *reason says why there is none. False: jansson cannot tell. */
static bool read_metric(const json_t *line, struct sp_arena *arena, struct cw_points *points, const char **reason)
{
	static const char *const texts[] = {"metric_stream_name", "account_id", "region", "namespace", "metric_name"};
	const json_t *value = json_object_get(line, "value"), *time = json_object_get(line, "timestamp"), *dims = json_object_get(line, "dimensions");
	struct cw_point p = {.format = CW_JSON};
	struct sp_bytes *const to[] = {&p.stream, &p.account, &p.region, &p.ns, &p.metric};
	double at = json_number_value(time);
	bool usable = !dims || json_is_object(dims) || json_is_null(dims);
	for (size_t i = 0; i < 5; i++) {
		usable = usable && is_text_or_nothing(json_object_get(line, texts[i]));
		*to[i] = text_of(json_object_get(line, texts[i]));
	}
	if (!read_dims(dims, arena, &p))
		return false;
	usable = read_statistics(value, arena, &p) && usable && json_is_object(value);
	usable = usable && (!time || (json_is_number(time) && at > 0 && at < 1e14 && at == floor(at)));
	*reason = !usable ? "bad_point" : p.metric.n == 0 ? "no_name" : !time ? "no_time" : NULL;
	p.unit = units_otlp(text_of(json_object_get(line, "unit")));
	p.start_ms = (int64_t)at;
	p.end_ms = p.start_ms + 60000;
	if (!*reason)
		*cw_points_add(points, arena) = p;
	return true;
}

static bool read_line(const json_t *line, struct sp_arena *arena, struct cw_points *points, const char **reason)
{
	static const char *const demo[] = {"TICKER_SYMBOL", "SECTOR", "CHANGE", "PRICE"};
	*reason = NULL;
	if (json_object_get(line, "metric_name"))
		return read_metric(line, arena, points, reason);
	if (!has_all(line, demo) && !sp_eq(text_of(json_object_get(line, "messageType")), SP_LIT("CONTROL_MESSAGE")))
		*reason = "foreign";
	return true;
}

/* What jansson refuses for a reason that is none here: AGREE_REFUSED when it is one here too. */
static enum agree refusal(const json_error_t *error)
{
	switch ((int)json_error_code(error)) {
	case json_error_invalid_utf8:
		return AGREE_NOT_UTF8;
	case json_error_numeric_overflow:
		return AGREE_BEYOND_DOUBLE;
	case json_error_null_byte_in_key:
		return AGREE_NUL;
	case json_error_duplicate_key:
		return AGREE_REPEATED_KEY;
	default:
		return AGREE_REFUSED;
	}
}

struct reading {
	struct cw_points points;
	struct seen seen;
	json_t *roots[MOST]; /* what the points' views look into */
	size_t n_roots;
	struct sp_arena *arena;
};

/* Object by object, and after a fault from the next line on: the way the product does it. */
static enum agree read_record(struct sp_bytes in, struct reading *r)
{
	for (size_t at = 0;;) {
		json_error_t error = {.text = ""};
		const char *reason;
		while (at < in.n && strchr(" \t\r\n", in.p[at]))
			at++;
		if (at == in.n)
			return AGREE_ACCEPTED;
		if (r->n_roots == MOST)
			return AGREE_ONEOF;
		struct sp_bytes rest = sp_bytes(in.p + at, in.n - at);
		json_t *root = json_loadb((const char *)rest.p, rest.n, JSON_ALLOW_NUL | JSON_DISABLE_EOF_CHECK | JSON_DECODE_INT_AS_REAL | JSON_REJECT_DUPLICATES, &error);
		r->roots[r->n_roots++] = root;
		if (!root && refusal(&error) != AGREE_REFUSED)
			return refusal(&error);
		if (!json_is_object(root)) {
			const uint8_t *newline = memchr(rest.p, '\n', rest.n);
			take_bad(&r->seen, "bad_json", at, rest, PIECE_RECORD, "");
			at = newline ? (size_t)(newline + 1 - in.p) : in.n;
			continue;
		}
		if (!read_line(root, r->arena, &r->points, &reason))
			return AGREE_NUMBER_AS_TEXT;
		if (reason)
			take_bad(&r->seen, reason, at, rest, PIECE_RECORD, "");
		at += (size_t)error.position;
	}
}

enum agree agree_cwjson(struct sp_bytes in, uint64_t *points)
{
	struct reading want = {.arena = sp_arena_new(0)};
	struct cw_points got = {0};
	struct seen seen = {0};
	struct decoder d = {.arena = want.arena, .points = &got, .bad = take_bad, .arg = &seen};
	MUST(cwjson_decode(&d, in) == SP_OK);
	enum agree agree = in.n && memchr(in.p, 0, in.n) ? AGREE_NUL : read_record(in, &want);
	if (agree == AGREE_ACCEPTED) {
		MUST(seen.n == want.seen.n);
		for (size_t i = 0; i < seen.n && i < MOST; i++)
			MUST(strcmp(seen.v[i].reason, want.seen.v[i].reason) == 0 && seen.v[i].offset == want.seen.v[i].offset);
		same_points(&got, &want.points, in, points);
		agree = seen.n && got.n == 0 ? AGREE_REFUSED : AGREE_ACCEPTED;
	}
	for (size_t i = 0; i < want.n_roots; i++)
		json_decref(want.roots[i]);
	sp_arena_free(&want.arena);
	return agree;
}

/* ---- envelope ---- */

static void same_records(const struct envelope *e, const json_t *root, struct sp_bytes in)
{
	const json_t *records = json_object_get(root, "records"), *id = json_object_get(root, "requestId");
	MUST(e->n_records == json_array_size(records));
	MUST(sp_eq(e->request_id, text_of(id)) && !e->request_id.p == !json_is_string(id));
	for (size_t i = 0; i < e->n_records; i++) {
		const json_t *data = json_object_get(json_array_get(records, i), "data");
		MUST(e->records[i].has_data == json_is_string(data));
		MUST(sp_eq(e->records[i].data, text_of(data)) || !e->records[i].has_data);
	}
}

enum agree agree_envelope(struct sp_bytes in, uint64_t *points)
{
	struct sp_arena *arena = sp_arena_new(0);
	struct envelope e;
	struct sp_why why = {.text = ""};
	const char *code = NULL;
	json_error_t error = {.text = ""};
	enum sp_status status = envelope_read(in, arena, &e, &code, &why);
	struct sp_bytes text = in.n >= 3 && memcmp(in.p, "\xef\xbb\xbf", 3) == 0 ? sp_bytes(in.p + 3, in.n - 3) : in;
	json_t *root = json_loadb((const char *)text.p, text.n, JSON_ALLOW_NUL | JSON_DECODE_ANY | JSON_DECODE_INT_AS_REAL, &error);
	bool is_envelope = json_is_array(json_object_get(root, "records"));
	enum agree agree = AGREE_REFUSED;
	MUST(status == SP_OK || (status == SP_BAD_DATA && code && why.text[0]));
	if (in.n && memchr(in.p, 0, in.n)) {
		MUST(status == SP_BAD_DATA); /* jansson passes over a NUL behind a number */
		agree = AGREE_NUL;
	} else if (!root && (refusal(&error) == AGREE_BEYOND_DOUBLE || refusal(&error) == AGREE_NUL)) {
		agree = refusal(&error);
	} else if (strstr(why.text, "too deep")) {
		agree = AGREE_REFUSED; /* here the depth has a limit */
	} else {
		MUST((status == SP_OK) == is_envelope);
		MUST(status == SP_OK || !root || strcmp(code, json_is_object(root) ? "E_RECORDS" : "E_JSON") == 0);
		agree = status == SP_OK ? AGREE_ACCEPTED : AGREE_REFUSED;
	}
	if (status == SP_OK && root) {
		same_records(&e, root, in);
		*points += e.n_records;
	}
	json_decref(root);
	sp_arena_free(&arena);
	return agree;
}
