/* JSON lines against jansson, on lines of any layout and then damaged ones; and what a bad line costs. */
#include "convert/cwjson.h"

#include "tests/lib/input_lib.h"

#include <jansson.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <cmocka.h>

#define LINES 2000
#define ROUNDS 5

struct seen {
	size_t bad;
	const char *reasons[8];
	uint64_t offsets[8];
	struct sp_bytes pieces[8];
};

static void take_bad(void *arg, const char *reason, uint64_t offset, struct sp_bytes bytes, const char *text)
{
	struct seen *s = arg;
	(void)text;
	if (s->bad < 8)
		s->reasons[s->bad] = reason, s->offsets[s->bad] = offset, s->pieces[s->bad] = bytes;
	s->bad++;
}

struct run {
	struct decoder d;
	struct cw_points points;
	struct seen seen;
};

static void decode(struct run *r, struct sp_bytes record)
{
	*r = (struct run){.points = {0}};
	r->d = (struct decoder){.arena = sp_arena_new(0), .points = &r->points, .bad = take_bad, .arg = &r->seen};
	assert_int_equal(cwjson_decode(&r->d, record), SP_OK);
}

static void run_done(struct run *r)
{
	sp_arena_free(&r->d.arena);
}

/* ---- against jansson ---- */

static uint64_t seed;

static uint64_t draw(uint64_t below)
{
	seed ^= seed << 13, seed ^= seed >> 7, seed ^= seed << 17;
	return seed % below;
}

static void put_blank(struct sp_buf *b)
{
	static const char *const blanks[] = {"", "", "", " ", "\t", "\r\n", "\n  "};
	sp_buf_str(b, blanks[draw(7)]);
}

static void put_number(struct sp_buf *b)
{
	switch (draw(6)) {
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
		sp_buf_printf(b, "%d.%de%s%d", (int)draw(10), (int)draw(100000), draw(2) ? "-" : "+", (int)draw(330));
		break;
	case 4:
		sp_buf_printf(b, "%llu%llu.0", 1 + (unsigned long long)draw(99), (unsigned long long)seed);
		break;
	default:
		sp_buf_printf(b, "%d.%d", (int)draw(1000), (int)draw(1000000));
	}
}

static void put_member(struct sp_buf *b, const char *key, const char *value)
{
	sp_buf_str(b, b->p[b->n - 1] == '{' ? "" : ",");
	put_blank(b);
	sp_buf_printf(b, "\"%s\"", key);
	put_blank(b);
	sp_buf_u8(b, ':');
	put_blank(b);
	if (value)
		sp_buf_printf(b, "\"%s\"", value);
}

static void put_line(struct sp_buf *b)
{
	static const char *const texts[] = {"AWS/EC2", "a \\\"b\\\" \\\\ \\/", "\\u00e9\\ud83d\\ude00", "\xc3\xa9", "", "\\n\\t\\b\\f\\r", "123"};
	static const char *const keys[] = {"max", "min", "sum", "count", "TM(25%:75%)", "p99.9", "iqm"};
	sp_buf_str(b, "{");
	put_member(b, "account_id", texts[draw(7)]);
	put_member(b, "metric_name", texts[draw(7)]);
	put_member(b, "namespace", texts[draw(7)]);
	put_member(b, "other", NULL);
	sp_buf_str(b, "[1,{\"x\":null},true]");
	put_member(b, "dimensions", NULL);
	sp_buf_str(b, "{");
	if (draw(3))
		put_member(b, "LoadBalancerName", texts[draw(7)]);
	if (draw(3))
		put_member(b, "Zone", texts[draw(7)]);
	sp_buf_str(b, "}");
	put_member(b, "timestamp", NULL);
	sp_buf_str(b, "1650963240000");
	put_member(b, "value", NULL);
	sp_buf_str(b, "{");
	for (size_t i = 0; i < 7; i++) {
		if (draw(2)) {
			put_member(b, keys[i], NULL);
			put_number(b);
		}
	}
	put_blank(b);
	sp_buf_str(b, "}");
	put_blank(b);
	sp_buf_str(b, "}");
}

static void same_text(struct sp_bytes got, const json_t *want)
{
	struct sp_bytes text = json_is_string(want) ? sp_bytes(json_string_value(want), json_string_length(want)) : (struct sp_bytes){0};
	assert_true(sp_eq(got, text));
}

static void same_statistic(const json_t *value, const char *key, const struct cw_point *p, enum cw_has which, double got)
{
	const json_t *want = json_object_get(value, key);
	assert_true(!(p->has & which) == !json_is_number(want));
	if (p->has & which)
		assert_true(got == json_number_value(want));
}

static void same_point(const struct cw_point *p, const json_t *line)
{
	const json_t *value = json_object_get(line, "value"), *dims = json_object_get(line, "dimensions");
	same_text(p->account, json_object_get(line, "account_id"));
	same_text(p->ns, json_object_get(line, "namespace"));
	same_text(p->metric, json_object_get(line, "metric_name"));
	assert_true((double)p->start_ms == json_number_value(json_object_get(line, "timestamp")));
	same_statistic(value, "max", p, CW_MAX, p->max);
	same_statistic(value, "min", p, CW_MIN, p->min);
	same_statistic(value, "sum", p, CW_SUM, p->sum);
	same_statistic(value, "count", p, CW_COUNT, p->count);
	for (size_t i = 0; i < p->n_extras; i++)
		assert_true(p->extras[i].value == json_number_value(json_object_getn(value, (const char *)p->extras[i].key.p, p->extras[i].key.n)));
	for (size_t i = 0; i < p->n_dims; i++) {
		const json_t *want = json_object_getn(dims, (const char *)p->dims[i].name.p, p->dims[i].name.n);
		if (json_is_string(want))
			same_text(p->dims[i].value, want);
		else
			assert_true(json_is_number(want) || json_is_boolean(want));
	}
}

/* Returns true when a point was compared. */
static bool compare(struct sp_bytes line)
{
	struct run r;
	json_error_t error = {.text = ""};
	json_t *root = json_loadb((const char *)line.p, line.n, JSON_ALLOW_NUL, &error);
	decode(&r, line);
	bool is_bad = r.seen.bad && strcmp(r.seen.reasons[0], "bad_json") == 0, compared = r.points.n == 1 && root;
	enum json_error_code code = json_error_code(&error);
	if (line.n && memchr(line.p, 0, line.n))
		assert_true(is_bad); /* jansson passes over a NUL behind a number */
	else if (root)
		assert_false(is_bad);
	else if (line.n && (code == json_error_invalid_syntax || code == json_error_premature_end_of_input))
		assert_true(is_bad); /* other errors: bad UTF-8, which is mended here, several objects, numbers beyond a double, NUL in keys */
	if (compared)
		same_point(&r.points.v[0], root);
	json_decref(root);
	run_done(&r);
	return compared;
}

static void reads_what_jansson_reads(void **state)
{
	struct sp_buf line = {0}, damaged = {0};
	size_t points = 0, of_damaged = 0;
	(void)state;
	seed = 20220504;
	for (size_t i = 0; i < LINES; i++) {
		sp_buf_clear(&line);
		put_line(&line);
		points += compare(sp_buf_view(&line));
		for (size_t k = 0; k < ROUNDS; k++) {
			sp_buf_clear(&damaged);
			sp_buf_add(&damaged, sp_buf_view(&line));
			assert_non_null(sp_buf_room(&damaged, 64));
			for (size_t m = 0; m <= k / 2; m++)
				damaged.n = input_mutate(damaged.p, damaged.n, damaged.cap, &seed);
			of_damaged += compare(sp_buf_view(&damaged));
			(void)input_check_cwjson(sp_buf_view(&damaged));
		}
	}
	sp_buf_free(&line);
	sp_buf_free(&damaged);
	assert_true(points > 1000 && of_damaged > 1000); /* else nothing was compared */
}

/* ---- bad lines ---- */

#define GOOD "{\"metric_name\":\"m\",\"namespace\":\"n\",\"timestamp\":1650963240000,\"value\":{\"sum\":1.0}}\n"

/* The short way for numbers of few digits gives the nearest double, like strtod. */
static void numbers_are_the_nearest_double(void **state)
{
	struct sp_buf number = {0}, line = {0};
	(void)state;
	seed = 99;
	for (size_t i = 0; i < 20000; i++) {
		struct run r;
		sp_buf_clear(&number);
		sp_buf_clear(&line);
		put_number(&number);
		sp_buf_u8(&number, 0);
		double want = strtod((const char *)number.p, NULL);
		sp_buf_printf(&line, "{\"metric_name\":\"m\",\"timestamp\":1650963240000,\"value\":{\"sum\":%s}}", (const char *)number.p);
		decode(&r, sp_buf_view(&line));
		assert_int_equal(r.points.n, 1);
		assert_int_equal(r.points.v[0].has, isinf(want) ? 0 : CW_SUM);
		assert_true(isinf(want) || memcmp(&r.points.v[0].sum, &want, sizeof want) == 0);
		run_done(&r);
	}
	sp_buf_free(&number);
	sp_buf_free(&line);
	static const char *const bad[] = {"-", "01", "1.", ".5", "+1", "1e", "1e+", "0x1", "NaN", "Infinity", "--1", "1_0"};
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		struct run r;
		sp_buf_printf(&line, "{\"metric_name\":\"m\",\"timestamp\":1650963240000,\"value\":{\"sum\":%s}}", bad[i]);
		decode(&r, sp_buf_view(&line));
		assert_string_equal(r.seen.reasons[0], "bad_json");
		run_done(&r);
		sp_buf_free(&line);
	}
}

static void a_bad_line_ends_at_its_newline(void **state)
{
	static const struct {
		const char *bad, *reason;
	} cases[] = {
		{"{\"metric_name\":\"m\",\"value\":{\"sum\":NaN}}\n", "bad_json"},
		{"{\"metric_name\":\"m\n", "bad_json"},
		{"]\n", "bad_json"},
		{"17\n", "bad_json"},
		{"{\"a\":1,}\n", "bad_json"},
		{"{\"metric_name\":\"m\",\"timestamp\":1650963240000,\"value\":{\"sum\":\"1\"}}", "bad_point"},
		{"{\"metric_name\":\"m\",\"timestamp\":\"1650963240000\",\"value\":{\"sum\":1}}", "bad_point"},
		{"{\"metric_name\":\"m\",\"timestamp\":1650963240000.5,\"value\":{\"sum\":1}}", "bad_point"},
		{"{\"metric_name\":\"m\",\"timestamp\":1650963240000,\"value\":7}", "bad_point"},
		{"{\"metric_name\":\"m\",\"value\":{}}", "no_time"},
		{"{\"metric_name\":\"\",\"timestamp\":1650963240000,\"value\":{}}", "no_name"},
		{"{\"messageType\":\"DATA_MESSAGE\"}", "foreign"},
	};
	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct sp_buf b = {0};
		struct run r;
		sp_buf_printf(&b, "%s%s%s", GOOD, cases[i].bad, GOOD);
		decode(&r, sp_buf_view(&b));
		assert_int_equal(r.points.n, 2);
		assert_int_equal(r.seen.bad, 1);
		assert_string_equal(r.seen.reasons[0], cases[i].reason);
		assert_int_equal(r.seen.offsets[0], strlen(GOOD));
		assert_true(sp_eq(r.seen.pieces[0], sp_str(cases[i].bad)));
		run_done(&r);
		sp_buf_free(&b);
	}
}

static void bad_utf8_is_mended_and_counted_but_evidence_is_as_it_came(void **state)
{
	static const char record[] = "{\"metric_name\":\"m\xff\\n\",\"timestamp\":1650963240000.0,\"value\":{},\"dimensions\":{\"\xc0\":\"\xe2\x82\"}}\n"
	                             "{\"\xff\":\xff}\n";
	struct run r;
	(void)state;
	decode(&r, sp_bytes(record, sizeof record - 1));
	assert_int_equal(r.points.n, 1);
	assert_true(sp_eq(r.points.v[0].metric, SP_LIT("m\xef\xbf\xbd\n")));
	assert_true(sp_eq(r.points.v[0].dims[0].name, SP_LIT("\xef\xbf\xbd")));
	assert_true(sp_eq(r.points.v[0].dims[0].value, SP_LIT("\xef\xbf\xbd\xef\xbf\xbd")));
	assert_int_equal(r.d.dropped_values, 4);
	assert_int_equal(r.seen.bad, 1);
	assert_true(sp_eq(r.seen.pieces[0], SP_LIT("{\"\xff\":\xff}\n")));
	run_done(&r);
}

/* Each of the lines opens an object that only the end of the record would close: reading all of it again for each would take for ever. */
static void work_is_bounded(void **state)
{
	struct sp_buf b = {0};
	struct run r;
	(void)state;
	for (int i = 0; i < 200000; i++)
		sp_buf_str(&b, "{\"a\":\n");
	decode(&r, sp_buf_view(&b));
	assert_int_equal(r.points.n, 0);
	run_done(&r);
	sp_buf_clear(&b);
	for (int i = 0; i < 100000; i++)
		sp_buf_str(&b, "{\"a\":[\n1,1,1,\n");
	decode(&r, sp_buf_view(&b));
	assert_true(r.seen.bad > 0);
	run_done(&r);
	sp_buf_free(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_what_jansson_reads),
		cmocka_unit_test(numbers_are_the_nearest_double),
		cmocka_unit_test(a_bad_line_ends_at_its_newline),
		cmocka_unit_test(bad_utf8_is_mended_and_counted_but_evidence_is_as_it_came),
		cmocka_unit_test(work_is_bounded),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
