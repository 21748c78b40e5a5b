/* From points to samples: which statistics become which, in what order, what is merged and what is dropped. */
#include "tests/lib/mapping_lib.h"

#include "convert/series.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

static void a_point_becomes_five_series_with_one_timestamp(void **state)
{
	(void)state;
	Standpipe__Group g = cloudwatch_group();
	struct cw_point p = cpu(0, 4, 10, 1, 5);
	becomes(&g, &p, 1, 0,
		"aws_ec2_cpuutilization_sum" CPU_LABELS " 10 @0\n"
		"aws_ec2_cpuutilization_sample_count" CPU_LABELS " 4 @0\n"
		"aws_ec2_cpuutilization_minimum" CPU_LABELS " 1 @0\n"
		"aws_ec2_cpuutilization_maximum" CPU_LABELS " 5 @0\n"
		"aws_ec2_cpuutilization_average" CPU_LABELS " 2.5 @0\n");
	g.stamp_start = true;
	char *only[] = {(char *)(uintptr_t)"average"};
	g.statistics = only;
	g.n_statistics = 1;
	becomes(&g, &p, 1, 0, "aws_ec2_cpuutilization_average" CPU_LABELS " 2.5 @-1\n");
}

static void no_average_without_samples(void **state)
{
	(void)state;
	Standpipe__Group g = cloudwatch_group();
	struct cw_point p = cpu(0, 0, 0, 0, 0);
	p.has = CW_COUNT | CW_SUM;
	becomes(&g, &p, 1, 0,
		"aws_ec2_cpuutilization_sum" CPU_LABELS " 0 @0\n"
		"aws_ec2_cpuutilization_sample_count" CPU_LABELS " 0 @0\n");
}

static void nan_is_no_sample_and_infinity_is_one(void **state)
{
	(void)state;
	Standpipe__Group g = cloudwatch_group();
	struct cw_point p = cpu(0, 1, (double)NAN, -INFINITY, (double)NAN);
	becomes(&g, &p, 1, 0,
		"aws_ec2_cpuutilization_sample_count" CPU_LABELS " 1 @0\n"
		"aws_ec2_cpuutilization_minimum" CPU_LABELS " -Inf @0\n");
}

static void samples_of_a_series_are_brought_into_order_and_the_last_wins(void **state)
{
	(void)state;
	Standpipe__Group g = cloudwatch_group();
	char *two[] = {(char *)(uintptr_t)"sum", (char *)(uintptr_t)"maximum"};
	g.statistics = two;
	g.n_statistics = 2;
	struct cw_point p[4] = {cpu(2, 1, 2, 2, 2), cpu(0, 1, 0, 0, 0), cpu(1, 1, 1, 1, 1), cpu(0, 1, 7, 7, 7)};
	p[3].has = CW_SUM; /* the correction does not speak of the maximum */
	becomes(&g, p, 4, 1,
		"aws_ec2_cpuutilization_sum" CPU_LABELS " 7 @0\n"
		"aws_ec2_cpuutilization_sum" CPU_LABELS " 1 @1\n"
		"aws_ec2_cpuutilization_sum" CPU_LABELS " 2 @2\n"
		"aws_ec2_cpuutilization_maximum" CPU_LABELS " 0 @0\n"
		"aws_ec2_cpuutilization_maximum" CPU_LABELS " 1 @1\n"
		"aws_ec2_cpuutilization_maximum" CPU_LABELS " 2 @2\n");
}

static void percentiles_and_others_of_one_series_are_merged_too(void **state)
{
	(void)state;
	Standpipe__Group g = cloudwatch_group();
	static const struct cw_quantile q1[] = {{0.9, 90}, {0.99, 99}}, q2[] = {{0.99, 199}};
	const struct cw_extra x[] = {{SP_LIT("IQM"), 3}};
	struct cw_point p[2] = {cpu(1, 1, 1, 1, 1), cpu(0, 1, 1, 1, 1)};
	p[0].has = p[1].has = 0;
	p[0].quantiles = q1, p[0].n_quantiles = 2;
	p[1].quantiles = q2, p[1].n_quantiles = 1;
	p[1].extras = x, p[1].n_extras = 1;
	becomes(&g, p, 2, 0,
		"aws_ec2_cpuutilization_iqm" CPU_LABELS " 3 @0\n"
		"aws_ec2_cpuutilization_p90" CPU_LABELS " 90 @1\n"
		"aws_ec2_cpuutilization_p99" CPU_LABELS " 199 @0\n"
		"aws_ec2_cpuutilization_p99" CPU_LABELS " 99 @1\n");
}

static void order_of_arrival_changes_nothing_but_the_order_of_metrics(void **state)
{
	(void)state;
	static struct many m;
	make_many(&m, 600);
	Standpipe__Group g = cloudwatch_group();
	struct encoder *e;
	assert_int_equal(encoder_new(&g, 0, &e, NULL), SP_OK);
	struct convert_group first = run(e, m.p, 600);
	struct sp_buf payload = {0};
	sp_buf_add(&payload, first.payload);
	for (size_t i = 0; i < 300; i++) { /* the encoder knows the metrics by now */
		struct cw_point swap = m.p[i];
		m.p[i] = m.p[599 - i];
		m.p[599 - i] = swap;
	}
	struct convert_group second = run(e, m.p, 600);
	assert_true(sp_eq(sp_buf_view(&payload), second.payload));
	assert_int_equal(second.samples, 3000);
	sp_buf_free(&payload);
	encoder_free(&e);
}

static void what_a_filter_drops_is_no_sample_and_is_counted_by_rule(void **state)
{
	(void)state;
	Standpipe__Group g = cloudwatch_group();
	Standpipe__Filter net = STANDPIPE__FILTER__INIT, foreign = STANDPIPE__FILTER__INIT, bare = STANDPIPE__FILTER__INIT;
	Standpipe__FilterSet set = STANDPIPE__FILTER_SET__INIT;
	net.name = (char *)"no_net", foreign.name = (char *)"foreign", bare.name = (char *)"bare";
	net.metrics = (char **)(const char *[]){"Network*"}, net.n_metrics = 1;
	foreign.accounts = (char **)(const char *[]){"9*"}, foreign.n_accounts = 1;
	bare.dimensions = (char **)(const char *[]){"!*"}, bare.n_dimensions = 1;
	net.exclude = foreign.exclude = bare.exclude = true;
	set.filters = (Standpipe__Filter *[]){&net, &foreign, &bare}, set.n_filters = 3;
	g.filter_sets = (Standpipe__FilterSet *[]){&set}, g.n_filter_sets = 1;
	char *only[] = {(char *)"sum"};
	g.statistics = only, g.n_statistics = 1;
	struct cw_point p[5];
	for (int i = 0; i < 5; i++)
		p[i] = cpu(0, 4, i, 1, 5);
	p[0].metric = SP_LIT("NetworkIn");
	p[1].account = SP_LIT("99");
	p[2].n_dims = 0;
	p[3].metric = SP_LIT("NetworkOut");
	struct encoder *e;
	assert_int_equal(encoder_new(&g, 0, &e, NULL), SP_OK);
	for (int again = 0; again < 2; again++) { /* the second time from what is kept */
		struct convert_group out = run(e, p, 5);
		struct sp_buf text = text_of(&out, false);
		sp_buf_u8(&text, 0);
		assert_string_equal((char *)text.p, "aws_ec2_cpuutilization_sum" CPU_LABELS " 4 @0\n");
		assert_int_equal(counted(&out, M_CONVERT_FILTERED, "no_net"), 2);
		assert_int_equal(counted(&out, M_CONVERT_FILTERED, "foreign"), 1);
		assert_int_equal(counted(&out, M_CONVERT_FILTERED, "bare"), 1);
		assert_int_equal(counted(&out, M_CONVERT_FILTERED, "not_included"), 0);
		sp_buf_free(&text);
	}
	encoder_free(&e);
}

static void some_metrics_have_statistics_of_their_own(void **state)
{
	(void)state;
	Standpipe__Group g = cloudwatch_group();
	Standpipe__StatisticsOverride cpu_only = STANDPIPE__STATISTICS_OVERRIDE__INIT, rest = STANDPIPE__STATISTICS_OVERRIDE__INIT;
	char *average[] = {(char *)"average"}, *sum[] = {(char *)"sum"};
	cpu_only.metric = (char *)"CPU*", cpu_only.statistics = average, cpu_only.n_statistics = 1;
	rest.namespace_ = (char *)"AWS/*"; /* none */
	g.statistics = sum, g.n_statistics = 1;
	g.statistics_overrides = (Standpipe__StatisticsOverride *[]){&cpu_only, &rest}, g.n_statistics_overrides = 2;
	struct cw_point p[3] = {cpu(0, 4, 10, 1, 5), cpu(0, 4, 10, 1, 5), cpu(0, 4, 10, 1, 5)};
	p[1].metric = SP_LIT("NetworkIn");
	p[2].metric = SP_LIT("NetworkIn");
	p[2].ns = SP_LIT("Mine");
	becomes(&g, &p[0], 1, 0, "aws_ec2_cpuutilization_average" CPU_LABELS " 2.5 @0\n");
	becomes(&g, &p[1], 1, 0, "");
	becomes(&g, &p[2], 1, 0,
	    "mine_network_in_sum{account_id=\"1234\", instance_id=\"i-1\", job=\"mine\", region=\"eu-west-1\"} 10 @0\n");
}

static void points_beyond_max_age_are_dropped_and_their_samples_counted(void **state)
{
	(void)state;
	Standpipe__Group g = cloudwatch_group();
	struct cw_point p[2] = {cpu(3, 0, 0, 1, 5), cpu(5, 1, 1, 1, 1)};
	char *only[] = {(char *)"sum", (char *)"average"};
	g.statistics = only, g.n_statistics = 2;
	g.max_age_ms = 5 * MINUTE;
	struct encoder *e;
	assert_int_equal(encoder_new(&g, 0, &e, NULL), SP_OK);
	struct convert_group out = run(e, p, 2);
	assert_int_equal(out.samples, 2);
	assert_int_equal(out.dropped, 1); /* no average of nothing */
	encoder_free(&e);
}

static void memory_is_bounded(void **state)
{
	(void)state;
	static struct many m;
	make_many(&m, 600);
	Standpipe__Group g = cloudwatch_group();
	struct encoder *e;
	struct convert_group out;
	struct cw_points points = {m.p, 600, 600};
	struct sp_arena *small = sp_arena_new(20000), *arena = sp_arena_new(0);
	assert_int_equal(encoder_new(&g, 1000, &e, NULL), SP_OK); /* too little for the payload */
	assert_int_equal(encoder_run(e, &points, NULL, &now, arena, &out), SP_NO_MEM);
	encoder_free(&e);
	assert_int_equal(encoder_new(&g, 0, &e, NULL), SP_OK);
	assert_int_equal(encoder_run(e, &points, NULL, &now, small, &out), SP_NO_MEM);
	assert_int_equal(encoder_run(e, &points, NULL, &now, arena, &out), SP_OK); /* and it goes on */
	encoder_free(&e);
	sp_arena_free(&small);
	sp_arena_free(&arena);
}

static void a_point_can_be_shown_to_people(void **state)
{
	(void)state;
	struct series *s;
	assert_int_equal(series_new("cloudwatch", &s, NULL), SP_OK);
	struct sp_buf text = {0};
	struct cw_point p = cpu(0, 1, 2, 2, 2);
	p.has = CW_SUM;
	assert_int_equal(series_print(s, &p, &text), SP_OK);
	p.has = 0;
	assert_int_equal(series_print(s, &p, &text), SP_OK);
	sp_buf_u8(&text, 0);
	assert_string_equal((char *)text.p, "aws_ec2_cpuutilization_sum" CPU_LABELS " 2 1700000040000\n"
					    "# no series: the point has no statistic with a value\n");
	sp_buf_free(&text);
	series_free(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_point_becomes_five_series_with_one_timestamp),
		cmocka_unit_test(no_average_without_samples),
		cmocka_unit_test(nan_is_no_sample_and_infinity_is_one),
		cmocka_unit_test(samples_of_a_series_are_brought_into_order_and_the_last_wins),
		cmocka_unit_test(percentiles_and_others_of_one_series_are_merged_too),
		cmocka_unit_test(order_of_arrival_changes_nothing_but_the_order_of_metrics),
		cmocka_unit_test(what_a_filter_drops_is_no_sample_and_is_counted_by_rule),
		cmocka_unit_test(some_metrics_have_statistics_of_their_own),
		cmocka_unit_test(points_beyond_max_age_are_dropped_and_their_samples_counted),
		cmocka_unit_test(memory_is_bounded),
		cmocka_unit_test(a_point_can_be_shown_to_people),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
