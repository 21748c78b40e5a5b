/* JSON lines: numbers, and what a bad line costs. agree_test compares the reader with jansson. */
#include "convert/decoder.h"

#include "tests/lib/grammar.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <cmocka.h>

struct seen {
	size_t bad;
	const char *reasons[8];
	uint64_t offsets[8];
	struct sp_bytes pieces[8];
};

static void take_bad(void *arg, const char *reason, uint64_t offset, struct sp_bytes bytes, enum piece_form form,
    const char *text)
{
	struct seen *s = arg;
	(void)text, (void)form;
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

#define GOOD "{\"metric_name\":\"m\",\"namespace\":\"n\",\"timestamp\":1650963240000,\"value\":{\"sum\":1.0}}\n"

/* The short way for numbers of few digits gives the nearest double, like strtod. */
static void numbers_are_the_nearest_double(void **state)
{
	struct sp_buf number = {0}, line = {0};
	uint64_t seed = 99;
	(void)state;
	for (size_t i = 0; i < 20000; i++) {
		struct run r;
		sp_buf_clear(&number);
		sp_buf_clear(&line);
		grammar_number(&number, &seed);
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
		{"{\"metric_name\":\"m\",\"timestamp\":1650963240000,\"value\":{\"sum\":true}}", "bad_point"},
		{"{\"metric_name\":\"m\",\"timestamp\":1650963240000,\"value\":{\"sum\":1},\"dimensions\":\"d\"}", "bad_point"},
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
		cmocka_unit_test(numbers_are_the_nearest_double),
		cmocka_unit_test(a_bad_line_ends_at_its_newline),
		cmocka_unit_test(bad_utf8_is_mended_and_counted_but_evidence_is_as_it_came),
		cmocka_unit_test(work_is_bounded),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
