#include "tests/lib/grammar.h"

#include <stdlib.h>

#define FIELDS 32
#define ODD 600 /* one in so many messages holds something that no sender should write */

static uint64_t seed;

static uint64_t draw(uint64_t below)
{
	seed ^= seed << 13, seed ^= seed >> 7, seed ^= seed << 17;
	return seed % below;
}

/* ---- OTLP ---- */

/* Fields of one message, written in any order. */
struct fields {
	struct sp_buf v[FIELDS];
	size_t n;
};

static struct sp_buf *add(struct fields *f)
{
	if (f->n == FIELDS)
		abort();
	f->v[f->n] = (struct sp_buf){0};
	return &f->v[f->n++];
}

static void put(struct sp_buf *b, uint32_t number, struct sp_bytes s)
{
	sp_buf_varint(b, number << 3 | 2);
	sp_buf_varint(b, s.n);
	sp_buf_add(b, s);
}

static void put_varint(struct sp_buf *b, uint32_t number, uint64_t v)
{
	sp_buf_varint(b, number << 3);
	sp_buf_varint(b, v);
}

static void put_fixed(struct sp_buf *b, uint32_t number, uint64_t v)
{
	sp_buf_varint(b, number << 3 | 1);
	for (int i = 0; i < 8; i++)
		sp_buf_u8(b, (uint8_t)(v >> 8 * i));
}

static void put_double(struct sp_buf *b, uint32_t number, double v)
{
	uint64_t bits;
	memcpy(&bits, &v, 8);
	put_fixed(b, number, bits);
}

static void put_odd(struct fields *f)
{
	if (draw(8) == 0)
		put(add(f), 300 + (uint32_t)draw(5), SP_LIT("unknown"));
	if (draw(8) == 0)
		put_fixed(add(f), 200, 7);
	if (draw(ODD) == 0)
		sp_buf_add(add(f), SP_LIT("\xe3\x03\x08\x05\xe4\x03")); /* a group */
	if (draw(ODD) == 0) {
		sp_buf_varint(add(f), (1 + draw(7)) << 3 | 5); /* four bytes, which no field here has */
		sp_buf_add(&f->v[f->n - 1], SP_LIT("four"));
	}
}

/* Puts the fields as sub-message `number` of b; number 0: as they are. Sometimes in two parts. */
static void finish(struct sp_buf *b, uint32_t number, struct fields *f, bool may_part)
{
	struct sp_buf whole = {0};
	put_odd(f);
	for (size_t i = 0; i < f->n; i++) {
		if (draw(3) == 0) {
			size_t other = draw(f->n);
			struct sp_buf t = f->v[i];
			f->v[i] = f->v[other], f->v[other] = t;
		}
	}
	size_t part = may_part && draw(6) == 0 ? draw(f->n + 1) : f->n;
	for (size_t i = 0; i < f->n; i++) {
		if (i == part) {
			put(b, number, sp_buf_view(&whole));
			sp_buf_clear(&whole);
		}
		sp_buf_add(&whole, sp_buf_view(&f->v[i]));
		sp_buf_free(&f->v[i]);
	}
	if (number)
		put(b, number, sp_buf_view(&whole));
	else
		sp_buf_add(b, sp_buf_view(&whole));
	sp_buf_free(&whole);
	f->n = 0;
}

static struct sp_bytes word(void)
{
	static const char *const words[] = {"Namespace", "MetricName", "InstanceId", "LoadBalancer", "a", "", "Dimensions", "AWS/EC2",
		"amazonaws.com/AWS/EC2/CPUUtilization", "amazonaws.com/x", "amazonaws.com/AWS/EC2/a/b", "i-0123456789abcdef0", "cloud.region",
		"cloud.account.id", "arn:aws:cloudwatch:eu-west-1:123456789012:metric-stream/all", "\xff\xfe"};
	return sp_str(words[draw(sizeof words / sizeof *words)]);
}

static uint64_t number_of_any_size(void)
{
	uint64_t bits = draw(64);
	return seed >> bits;
}

static void put_value(struct sp_buf *b)
{
	struct fields f = {.n = 0};
	struct sp_bytes text = word();
	switch (draw(16)) {
	case 0:
		put_varint(add(&f), 2, draw(3));
		break;
	case 1:
		put_varint(add(&f), 3, number_of_any_size());
		break;
	case 2:
		break; /* not set */
	default:
		put(add(&f), 1, text);
	}
	finish(b, 2, &f, text.n > 0); /* protobuf-c forgets an empty one when it merges */
}

static void put_pair(struct sp_buf *b, uint32_t number, struct sp_bytes key)
{
	struct fields f = {.n = 0};
	put(add(&f), 1, key);
	put_value(add(&f));
	finish(b, number, &f, false);
}

static void put_dimensions(struct sp_buf *b)
{
	struct fields map = {.n = 0}, value = {.n = 0}, pair = {.n = 0};
	for (size_t i = draw(5); i > 0; i--)
		put_pair(add(&map), 1, word());
	finish(add(&value), 6, &map, false);
	put(add(&pair), 1, SP_LIT("Dimensions"));
	finish(add(&pair), 2, &value, false);
	finish(b, 7, &pair, false);
}

static void put_quantile(struct sp_buf *b)
{
	static const double values[] = {0, 1, 0.5, 0.99, -0.0, 1.5, 1e300, 42, -3};
	struct fields f = {.n = 0};
	if (draw(4))
		put_double(add(&f), 1, values[draw(6)]);
	if (draw(4))
		put_double(add(&f), 2, draw(10) ? values[draw(9)] : __builtin_nan(""));
	finish(b, 6, &f, false);
}

static void put_point(struct sp_buf *b, unsigned version)
{
	struct fields f = {.n = 0};
	for (size_t i = draw(5) ? 1 + draw(8) / 7 : 0; i > 0; i--) /* now and then twice: the last one counts */
		put_fixed(add(&f), 2, 1700000000000000000 + draw(1000));
	for (size_t i = draw(5) ? 1 + draw(8) / 7 : 0; i > 0; i--)
		put_fixed(add(&f), 3, draw(20) ? 1700000060000000000 : number_of_any_size());
	for (size_t i = draw(3); i > 0; i--)
		put_fixed(add(&f), 4, number_of_any_size());
	for (size_t i = draw(3); i > 0; i--)
		put_double(add(&f), 5, (double)draw(1000) / 8);
	if (draw(12) == 0)
		put_varint(add(&f), 8, draw(2) ? draw(4) : number_of_any_size());
	if (draw(ODD) == 0)
		put(add(&f), 2 + (uint32_t)draw(4), SP_LIT("8 bytes.16 bytes.")); /* packed, although it is not repeated */
	for (size_t i = draw(5); i > 0; i--)
		put_quantile(add(&f));
	for (size_t i = version & 1 ? draw(5) + 1 : 0; i > 0; i--) {
		struct fields label = {.n = 0};
		put(add(&label), 1, word());
		put(add(&label), 2, word());
		finish(add(&f), 1, &label, false);
	}
	for (size_t i = version & 2 ? draw(4) + 1 : 0; i > 0; i--)
		put_pair(add(&f), 7, word());
	if (version & 2)
		put_dimensions(add(&f));
	finish(b, 1, &f, false);
}

static void put_metric(struct sp_buf *b)
{
	struct fields f = {.n = 0}, summary = {.n = 0};
	unsigned version = 1 + (unsigned)draw(3); /* 0.7, 1.0, or both at once */
	put(add(&f), 1, word());
	put(add(&f), 3, SP_LIT("By/s"));
	for (size_t i = draw(4); i > 0; i--)
		put_point(add(&summary), version);
	finish(add(&f), 11, &summary, true);
	finish(b, 2, &f, false);
}

void grammar_otlp(struct sp_buf *out, uint64_t *state)
{
	struct fields request = {.n = 0}, rm = {.n = 0}, resource = {.n = 0}, scope = {.n = 0};
	seed = *state;
	for (size_t n = draw(2) + 1; n > 0; n--) {
		put_pair(add(&resource), 1, SP_LIT("cloud.account.id"));
		put_pair(add(&resource), 1, SP_LIT("aws.exporter.arn"));
		finish(add(&rm), 1, &resource, true);
		for (size_t i = draw(3); i > 0; i--)
			put_metric(add(&scope));
		finish(add(&rm), 2, &scope, false);
		finish(add(&request), 1, &rm, false);
	}
	finish(out, 0, &request, false);
	*state = seed;
}

/* ---- JSON ---- */

static void put_blank(struct sp_buf *b)
{
	static const char *const blanks[] = {"", "", "", "", "", " ", "\t", "\r", " \t "};
	sp_buf_str(b, blanks[draw(sizeof blanks / sizeof *blanks)]);
}

static void put_number(struct sp_buf *b)
{
	switch (draw(8)) {
	case 0:
		sp_buf_printf(b, "%d", (int)draw(100000));
		break;
	case 1:
		sp_buf_printf(b, "%.*f", (int)draw(25), (double)draw(1u << 31) / 7);
		break;
	case 2:
		sp_buf_printf(b, "%.17g", (double)(int64_t)seed / 3);
		break;
	case 3:
		sp_buf_printf(b, "%d.%d%s%s%d", (int)draw(10), (int)draw(100000), draw(2) ? "e" : "E", draw(2) ? "-" : "+", (int)draw(draw(30) ? 300 : 330));
		break;
	case 4:
		sp_buf_printf(b, "%llu%llu.0", 1 + (unsigned long long)draw(99), (unsigned long long)seed);
		break;
	case 5:
		sp_buf_printf(b, "%lld", (long long)seed);
		break;
	case 6:
		sp_buf_str(b, draw(2) ? "-0" : "0e5");
		break;
	default:
		sp_buf_printf(b, "%d.%d", (int)draw(1000), (int)draw(1000000));
	}
}

void grammar_number(struct sp_buf *out, uint64_t *state)
{
	seed = *state;
	put_number(out);
	*state = seed;
}

static void put_text(struct sp_buf *b)
{
	static const char *const texts[] = {"AWS/EC2", "i-0123456789abcdef0", "a \\\"b\\\" \\\\ \\/", "\\u00e9\\ud83d\\ude00\\u0041", "\xc3\xa9\xf0\x9f\x98\x80", "",
		"\\n\\t\\b\\f\\r", "123", "p99", "\\u0000", "metric_name"};
	sp_buf_printf(b, "\"%s\"", texts[draw(sizeof texts / sizeof *texts)]);
}

static void put_any(struct sp_buf *b, unsigned depth)
{
	static const char *const words[] = {"true", "false", "null", "[]", "{}", "[ ]", "{ }"};
	switch (draw(depth ? 6 : 4)) {
	case 0:
		put_number(b);
		break;
	case 1:
		sp_buf_str(b, words[draw(7)]);
		break;
	case 4:
		sp_buf_str(b, "[");
		put_any(b, depth - 1);
		put_blank(b);
		sp_buf_str(b, ",");
		put_any(b, depth - 1);
		sp_buf_str(b, "]");
		break;
	case 5:
		sp_buf_str(b, "{\"k\":");
		put_any(b, depth - 1);
		put_blank(b);
		sp_buf_str(b, ",\"\\u006c\":");
		put_any(b, depth - 1);
		sp_buf_str(b, "}");
		break;
	default:
		put_text(b);
	}
}

static struct sp_buf *add_member(struct fields *f, const char *key)
{
	struct sp_buf *b = add(f);
	put_blank(b);
	sp_buf_printf(b, "\"%s\"", key);
	put_blank(b);
	sp_buf_u8(b, ':');
	put_blank(b);
	return b;
}

/* The members as an object, in any order. */
static void put_object(struct sp_buf *b, struct fields *f)
{
	sp_buf_str(b, "{");
	for (size_t i = f->n; i > 0; i--) {
		size_t at = draw(4) ? 0 : draw(i);
		sp_buf_str(b, i == f->n ? "" : ",");
		sp_buf_add(b, sp_buf_view(&f->v[at]));
		sp_buf_free(&f->v[at]);
		memmove(&f->v[at], &f->v[at + 1], (i - at - 1) * sizeof *f->v);
	}
	put_blank(b);
	sp_buf_str(b, "}");
	f->n = 0;
}

static void put_value_object(struct sp_buf *b)
{
	static const char *const keys[] = {"max", "min", "sum", "count", "TM(25%:75%)", "p99.9", "p50", "P90", "p0", "p100", "p99.90", "p101", "iqm", "PR(:300)", "p"};
	struct fields f = {.n = 0};
	for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
		if (draw(i < 4 ? 8 : 2) == 0 ? i >= 4 : i < 4)
			put_number(add_member(&f, keys[i]));
		else if (draw(300) == 0)
			put_any(add_member(&f, keys[i]), 1);
	}
	if (draw(100) == 0)
		put_number(add_member(&f, keys[draw(8)])); /* perhaps once more */
	put_object(b, &f);
}

static void put_line(struct sp_buf *b)
{
	static const char *const texts[] = {"account_id", "region", "namespace", "metric_stream_name", "unit", "metric_name"};
	static const char *const dims[] = {"LoadBalancerName", "Zone", "A\\u00e9", "A", "", "z"};
	struct fields f = {.n = 0}, some = {.n = 0};
	for (size_t i = 0; i < 6; i++) {
		if (draw(40))
			put_text(add_member(&f, texts[i]));
		if (draw(200) == 0)
			put_any(add_member(&f, texts[i]), 1);
	}
	for (size_t i = 0; i < 6; i++) {
		if (draw(3) == 0)
			draw(200) ? put_text(add_member(&some, dims[i])) : put_any(add_member(&some, dims[i]), 1);
	}
	if (draw(200))
		put_object(add_member(&f, "dimensions"), &some);
	else
		put_any(add_member(&f, "dimensions"), 1);
	if (draw(3) == 0)
		put_any(add_member(&f, "other"), 3);
	if (draw(100))
		sp_buf_str(add_member(&f, "timestamp"), draw(3) ? "1650963240000" : draw(2) ? "1.65096324e12" : "1650963240000.0");
	else
		put_any(add_member(&f, "timestamp"), 1);
	if (draw(200))
		put_value_object(add_member(&f, "value"));
	else
		put_any(add_member(&f, "value"), 2);
	put_object(b, &f);
	for (size_t i = 0; i < some.n; i++)
		sp_buf_free(&some.v[i]);
}

static void put_other_line(struct sp_buf *b)
{
	static const char *const lines[] = {"{\"CHANGE\":1.5,\"PRICE\":2,\"TICKER_SYMBOL\":\"A\",\"SECTOR\":\"B\"}", "{\"messageType\":\"CONTROL_MESSAGE\"}",
		"{\"messageType\":\"DATA_MESSAGE\",\"logEvents\":[]}", "{}", "[1]", "17", "\"text\"", "{\"metric_name\":\"m\"", "{\"a\":1,}", "nul"};
	sp_buf_str(b, lines[draw(sizeof lines / sizeof *lines)]);
}

void grammar_cwjson(struct sp_buf *out, uint64_t *state)
{
	seed = *state;
	for (size_t n = 1 + draw(3); n > 0; n--) {
		put_blank(out);
		draw(20) ? put_line(out) : put_other_line(out);
		put_blank(out);
		sp_buf_str(out, draw(12) ? "\n" : draw(2) ? "" : "\r\n\n");
	}
	*state = seed;
}

static void put_record(struct sp_buf *b)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	struct fields f = {.n = 0};
	if (draw(15)) {
		struct sp_buf *data = add_member(&f, "data");
		sp_buf_str(data, "\"");
		for (size_t n = draw(60); n > 0; n--)
			sp_buf_u8(data, (uint8_t)digits[draw(62)]);
		sp_buf_str(data, draw(6) ? "\"" : draw(2) ? "\\/\\u002b==\"" : "+/\"");
	}
	if (draw(8) == 0)
		put_any(add_member(&f, draw(2) ? "data" : "approximateArrivalTimestamp"), 2);
	put_object(b, &f);
}

void grammar_envelope(struct sp_buf *out, uint64_t *state)
{
	struct fields f = {.n = 0};
	seed = *state;
	sp_buf_str(out, draw(20) ? "" : "\xef\xbb\xbf");
	put_blank(out);
	if (draw(10))
		put_text(add_member(&f, "requestId"));
	if (draw(10))
		put_number(add_member(&f, "timestamp"));
	for (size_t copies = draw(20) ? 1 : draw(3); copies > 0; copies--) {
		struct sp_buf *b = add_member(&f, "records");
		sp_buf_str(b, "[");
		for (size_t n = draw(5), i = 0; i < n; i++) {
			sp_buf_str(b, i ? "," : "");
			put_blank(b);
			draw(30) ? put_record(b) : put_any(b, 2);
			put_blank(b);
		}
		sp_buf_str(b, "]");
	}
	if (draw(4) == 0)
		put_any(add_member(&f, draw(2) ? "other" : "r\\u0065cords"), 3);
	put_object(out, &f);
	put_blank(out);
	*state = seed;
}
