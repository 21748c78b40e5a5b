/* Points of several tenants: each slice is of one lane, and nothing of one gets into another's. */
#include "common/alloc.h"
#include "convert/encode.h"
#include "convert/lanes.h"
#include "proto/remote_write.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#define T0 INT64_C(1700000040000)
#define MINUTE 60000
#define POINTS 5000

static Standpipe__Group group_by(const char *lane_by)
{
	Standpipe__Group g = STANDPIPE__GROUP__INIT;
	g.naming = (char *)"cloudwatch";
	g.shards = 4;
	g.max_samples = 10000;
	g.max_bytes = 1 << 20;
	g.max_raw_bytes = 4 << 20;
	g.lane_by = (char *)lane_by;
	return g;
}

/* n points, each of another series, of so many accounts in turns. */
static struct cw_points points_of(size_t n, size_t accounts)
{
	static struct cw_point p[POINTS];
	static char names[POINTS][16], metrics[POINTS][16];
	assert_true(n <= POINTS);
	for (size_t i = 0; i < n; i++) {
		snprintf(names[i], sizeof names[i], "%012zu", i % accounts);
		snprintf(metrics[i], sizeof metrics[i], "m%zu", i / accounts);
		p[i] = (struct cw_point){.account = sp_str(names[i]), .region = SP_LIT("eu-west-1"),
		    .ns = SP_LIT("AWS/EC2"), .metric = sp_str(metrics[i]), .has = CW_COUNT | CW_SUM | CW_MIN | CW_MAX,
		    .start_ms = T0 - MINUTE,
		    .end_ms = T0, .count = 1, .sum = 1, .min = 1, .max = 1};
	}
	return (struct cw_points){p, n, n};
}

struct run {
	struct encoder *e;
	struct sp_arena *arena;
	struct convert_group out;
};

static struct run run(const Standpipe__Group *g, struct cw_points points, const struct attributes *a, const char *key)
{
	struct run r = {.arena = sp_arena_new(0)};
	struct sp_why why = {.text = ""};
	struct convert_in in = {.now_ms = T0, .key_name = sp_str(key)};
	if (encoder_new(g, 0, &r.e, &why) != SP_OK)
		fail_msg("%s", why.text);
	assert_int_equal(encoder_run(r.e, &points, a, &in, r.arena, &r.out), SP_OK);
	return r;
}

static void run_free(struct run *r)
{
	encoder_free(&r->e);
	sp_arena_free(&r->arena);
}

/* Each series of each slice has the account that its lane is called. Returns the samples. */
static uint64_t check_accounts(const struct convert_group *g)
{
	uint64_t samples = 0;
	for (size_t i = 0; i < g->n_slices; i++) {
		const struct convert_slice *s = &g->slices[i];
		struct sp_buf raw = {0};
		struct rw_series one;
		assert_true(s->lane < g->n_lanes);
		assert_int_equal(
		    rw_uncompress(sp_bytes(g->payload.p + s->off, s->len), s->raw_len, &raw, NULL), SP_OK);
		for (struct sp_bytes in = sp_buf_view(&raw); rw_next(&in, &one, NULL) == SP_OK;) {
			struct rw_label label = {0};
			struct sp_bytes account = {0};
			while (rw_next_label(&one.labels, &label))
				if (sp_eq(label.name, SP_LIT("account_id")))
					account = label.value;
			assert_true(sp_eq(account, g->lanes[s->lane].name));
		}
		sp_buf_free(&raw);
		samples += s->samples;
	}
	return samples;
}

static void each_account_has_slices_of_its_own(void **state)
{
	static const size_t accounts[] = {1, 3, 200, LANES_OF_DELIVERY};
	(void)state;
	for (size_t i = 0; i < sizeof accounts / sizeof accounts[0]; i++) {
		Standpipe__Group g = group_by("account");
		g.shards = 64;
		struct run r = run(&g, points_of(POINTS, accounts[i]), NULL, "k");
		assert_int_equal(r.out.n_lanes, accounts[i]);
		assert_int_equal(check_accounts(&r.out), POINTS * 5);
		assert_int_equal(r.out.samples, POINTS * 5);
		run_free(&r);
	}
}

static uint64_t laneless(const struct convert_group *g)
{
	for (size_t i = 0; i < g->n_counts; i++)
		if (g->counts[i].metric == M_CONVERT_LANELESS)
			return g->counts[i].n;
	return UINT64_MAX;
}

static uint64_t samples_of(const struct convert_group *g, const char *lane)
{
	uint64_t samples = 0;
	for (size_t i = 0; i < g->n_slices; i++)
		if (sp_eq(g->lanes[g->slices[i].lane].name, sp_str(lane)))
			samples += g->slices[i].samples;
	return samples;
}

static void lanes_beyond_the_limit_and_without_a_usable_name_share_one_and_are_counted(void **state)
{
	Standpipe__Group g = group_by("account");
	(void)state;
	struct run r = run(&g, points_of(1200, 1200), NULL, "k");
	assert_int_equal(r.out.n_lanes, LANES_OF_DELIVERY + 1);
	assert_int_equal(samples_of(&r.out, ""), 200 * 5);
	assert_int_equal(laneless(&r.out), 200 * 5);
	run_free(&r);

	static char longest[LANE_NAME_BYTES + 1];
	memset(longest, 'x', sizeof longest);
	struct cw_points points = points_of(6, 6);
	points.v[0].account = (struct sp_bytes){0};
	points.v[1].account = SP_LIT("12\r\n3");
	points.v[2].account = SP_LIT("\xc3\xa4");
	points.v[3].account = sp_bytes(longest, LANE_NAME_BYTES + 1);
	points.v[4].account = sp_bytes(longest, LANE_NAME_BYTES);
	r = run(&g, points, NULL, "k");
	assert_int_equal(r.out.n_lanes, 3);
	assert_int_equal(laneless(&r.out), 4 * 5);
	run_free(&r);
}

static void a_key_or_an_attribute_is_the_lane_of_the_whole_delivery(void **state)
{
	static const struct attributes attributes = {
	    .v = {{{(const uint8_t *)"Team", 4}, {(const uint8_t *)"core", 4}}}, .n = 1};
	static const struct {
		const char *by, *lane;
		const struct attributes *attributes;
	} cases[] = {{"key", "prod", NULL}, {"attribute:team", "core", &attributes},
	    {"attribute:other", "", &attributes}, {"attribute:team", "", NULL}};
	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		Standpipe__Group g = group_by(cases[i].by);
		struct run r = run(&g, points_of(30, 3), cases[i].attributes, "prod");
		assert_int_equal(r.out.n_lanes, 1);
		assert_int_equal(samples_of(&r.out, cases[i].lane), 150);
		assert_int_equal(laneless(&r.out), cases[i].lane[0] ? 0 : 150);
		run_free(&r);
	}
	struct encoder *e;
	struct sp_why why = {.text = ""};
	Standpipe__Group g = group_by("region");
	assert_int_equal(encoder_new(&g, 0, &e, &why), SP_CONFIG);
}

/* Account 0 says everything twice, and account 1 comes too late. */
static void books_are_kept_by_lane(void **state)
{
	Standpipe__Relabel rule = STANDPIPE__RELABEL__INIT, *rules[] = {&rule};
	(void)state;
	rule.separator = rule.replacement = rule.target_label = (char *)"x";
	rule.regex = (char *)"(.*)", rule.action = (char *)"replace";
	for (size_t with_rules = 0; with_rules < 2; with_rules++) {
		Standpipe__Group g = group_by("account");
		g.max_age_ms = MINUTE;
		g.relabel = rules, g.n_relabel = with_rules;
		struct cw_points points = points_of(30, 3);
		for (size_t i = 0; i < points.n; i++) {
			if (i % 3 == 0)
				points.v[i].metric = SP_LIT("same");
			if (i % 3 == 1)
				points.v[i].end_ms -= 2 * MINUTE;
		}
		struct run r = run(&g, points, NULL, "k");
		assert_int_equal(r.out.n_lanes, 3);
		assert_int_equal(check_accounts(&r.out), 5 + 50);
		assert_true(r.out.lanes[0].merged == 45 && r.out.lanes[0].dropped == 0);
		assert_true(r.out.lanes[1].merged == 0 && r.out.lanes[1].dropped == 50);
		assert_true(r.out.lanes[2].merged == 0 && r.out.lanes[2].dropped == 0);
		assert_true(r.out.merged == 0 && r.out.dropped == 0);
		run_free(&r);
	}
}

static void what_cannot_be_sent_has_its_lane_too(void **state)
{
	Standpipe__Group g = group_by("account");
	(void)state;
	g.label_limit = 1;
	struct run r = run(&g, points_of(30, 3), NULL, "k");
	assert_int_equal(check_accounts(&r.out), 150);
	for (size_t i = 0; i < r.out.n_slices; i++)
		assert_string_equal(r.out.slices[i].dead_reason, "too_many_labels");
	run_free(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(each_account_has_slices_of_its_own),
	    cmocka_unit_test(lanes_beyond_the_limit_and_without_a_usable_name_share_one_and_are_counted),
	    cmocka_unit_test(a_key_or_an_attribute_is_the_lane_of_the_whole_delivery),
	    cmocka_unit_test(books_are_kept_by_lane),
	    cmocka_unit_test(what_cannot_be_sent_has_its_lane_too),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
