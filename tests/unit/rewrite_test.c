/* Relabelling rules, and the limits for labels that hold behind them. */
#include "tests/lib/mapping_lib.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

static Standpipe__Relabel rule(const char *source, const char *regex, const char *target, const char *replacement, const char *action)
{
	static char *sources[8];
	static size_t n_sources;
	char **at = &sources[n_sources++ % 8];
	*at = (char *)(uintptr_t)source;
	Standpipe__Relabel r = STANDPIPE__RELABEL__INIT;
	r.source_labels = at, r.n_source_labels = source != NULL;
	r.separator = (char *)(uintptr_t)";";
	r.regex = (char *)(uintptr_t)regex;
	r.target_label = (char *)(uintptr_t)target;
	r.replacement = (char *)(uintptr_t)replacement;
	r.action = (char *)(uintptr_t)action;
	return r;
}

static void rules_see_each_statistic_with_its_name(void **state)
{
	(void)state;
	Standpipe__Group g = cloudwatch_group();
	Standpipe__Relabel drop = rule("__name__", ".*_(minimum|maximum)", "", "$1", "drop"),
			   name = rule("__name__", "aws_(.*)", "__name__", "$1", "replace"), job = rule(NULL, "job|account_id", "", "$1", "labeldrop");
	g.relabel = (Standpipe__Relabel *[]){&drop, &name, &job}, g.n_relabel = 3;
	struct cw_point p[3] = {cpu(1, 4, 10, 1, 5), cpu(0, 2, 4, 1, 5), cpu(0, 2, 6, 1, 5)};
	const struct cw_quantile q[] = {{0.9, 7}};
	p[0].quantiles = q, p[0].n_quantiles = 1;
	struct encoder *e;
	assert_int_equal(encoder_new(&g, 0, &e, NULL), SP_OK);
	struct convert_group out = run(e, p, 3);
	struct sp_buf text = text_of(&out, false);
	sp_buf_u8(&text, 0);
#define TWO "{instance_id=\"i-1\", region=\"eu-west-1\"}"
	assert_string_equal((char *)text.p,
	    "ec2_cpuutilization_sum" TWO " 6 @0\nec2_cpuutilization_sum" TWO " 10 @1\n"
	    "ec2_cpuutilization_sample_count" TWO " 2 @0\nec2_cpuutilization_sample_count" TWO " 4 @1\n"
	    "ec2_cpuutilization_average" TWO " 3 @0\nec2_cpuutilization_average" TWO " 2.5 @1\n"
	    "ec2_cpuutilization_p90" TWO " 7 @1\n");
	assert_int_equal(out.samples, 7);
	assert_int_equal(out.merged, 3); /* of what was not dropped */
	assert_int_equal(counted(&out, M_CONVERT_RELABEL_DROPPED, "0"), 6);
	assert_int_equal(counted(&out, M_CONVERT_RELABEL_DROPPED, "1"), 0);
	sp_buf_free(&text);
	encoder_free(&e);
}

/* Rules that change nothing must not move a series to another shard. */
static void a_rule_without_effect_changes_nothing(void **state)
{
	(void)state;
	static const char *const presets[] = {"cloudwatch", "yace", "logzio", "otel"};
	Standpipe__Relabel nothing = rule("__name__", "no such name", "x", "y", "replace");
	for (size_t i = 0; i < sizeof presets / sizeof *presets; i++) {
		Standpipe__Group g = cloudwatch_group();
		g.naming = (char *)(uintptr_t)presets[i];
		const struct cw_quantile q[] = {{0.5, 3}, {0.9, 7}};
		struct cw_point p[2] = {cpu(0, 4, 10, 1, 5), cpu(0, 4, 10, 1, 5)};
		p[0].quantiles = q, p[0].n_quantiles = 2;
		p[1].metric = SP_LIT("NetworkIn");
		struct sp_buf texts[2] = {{0}};
		for (int with = 0; with < 2; with++) {
			struct encoder *e;
			g.relabel = (Standpipe__Relabel *[]){&nothing}, g.n_relabel = (size_t)with;
			assert_int_equal(encoder_new(&g, 0, &e, NULL), SP_OK);
			for (size_t k = 0; k < 2; k++) {
				struct convert_group out = run(e, &p[k], 1);
				for (size_t c = 0; c < out.n_slices; c++)
					sp_buf_printf(&texts[with], "shard %u, %u samples\n", out.slices[c].shard, out.slices[c].samples);
			}
			encoder_free(&e);
		}
		assert_true(texts[0].n && sp_eq(sp_buf_view(&texts[0]), sp_buf_view(&texts[1])));
		sp_buf_free(&texts[0]);
		sp_buf_free(&texts[1]);
	}
}

static void long_values_are_cut_and_series_beyond_other_limits_are_dead(void **state)
{
	(void)state;
	Standpipe__Relabel add = rule("region", "us-.*", "a_label_more", "x", "replace");
	for (size_t with = 0; with < 2; with++) { /* with a rule the limits hold behind it */
		Standpipe__Group g = cloudwatch_group();
		char *only[] = {(char *)(uintptr_t)"sum"};
		struct cw_dim dims[] = {{SP_LIT("Name"), SP_LIT("aaaaa\xc3\xa4")}, {SP_LIT("Other"), SP_LIT("b")}};
		struct cw_dim long_name[] = {{SP_LIT("AVeryLongDimension"), SP_LIT("b")}};
		struct cw_point p[3] = {cpu(0, 4, 10, 1, 5), cpu(0, 4, 11, 1, 5), cpu(0, 4, 12, 1, 5)};
		g.statistics = only, g.n_statistics = 1;
		g.relabel = (Standpipe__Relabel *[]){&add}, g.n_relabel = with;
		g.label_limit = 5, g.label_name_limit = 12, g.label_value_limit = 6;
		p[0].dims = dims, p[0].n_dims = 1, p[0].region = SP_LIT("x");
		p[1].dims = dims, p[1].n_dims = 2, p[1].region = SP_LIT("y");
		p[2].dims = long_name, p[2].region = SP_LIT("x");
		struct encoder *e;
		assert_int_equal(encoder_new(&g, 0, &e, NULL), SP_OK);
		struct convert_group out = run(e, p, 3);
		struct sp_buf text = text_of(&out, false);
		sp_buf_u8(&text, 0);
		assert_non_null(strstr((char *)text.p, "dim_name=\"aaaaa\", job=\"aws_ec\", region=\"x\"} 10 @0\n"));
		assert_int_equal(counted(&out, M_CONVERT_LABELS_CUT, NULL), 5);
		assert_int_equal(out.samples, 3);
		assert_int_equal(out.n_slices, 3);
		assert_null(out.slices[0].dead_reason);
		assert_string_equal(out.slices[1].dead_reason, "too_many_labels");
		assert_string_equal(out.slices[2].dead_reason, "label_name_too_long");
		sp_buf_free(&text);
		encoder_free(&e);
	}
}

static void a_series_without_a_usable_name_is_dead(void **state)
{
	(void)state;
	Standpipe__Group g = cloudwatch_group();
	Standpipe__Relabel r = rule("region", ".*", "__name__", "not-a-name", "replace");
	g.relabel = (Standpipe__Relabel *[]){&r}, g.n_relabel = 1;
	struct cw_point p = cpu(0, 4, 10, 1, 5);
	struct encoder *e;
	assert_int_equal(encoder_new(&g, 0, &e, NULL), SP_OK);
	struct convert_group out = run(e, &p, 1);
	assert_int_equal(out.n_slices, 1);
	assert_string_equal(out.slices[0].dead_reason, "bad_metric_name");
	assert_true(out.samples == 1 && out.merged == 4); /* all of its statistics have become one series */
	encoder_free(&e);
}

/* A delivery that needed too much would be answered "not now" for ever. */
static void rules_take_no_more_memory_than_a_portion(void **state)
{
	(void)state;
	static struct many m;
	static uint8_t wide[4000];
	memset(wide, 'w', sizeof wide);
	make_many(&m, 600);
	for (size_t i = 0; i < 600; i++)
		m.d[i].value = sp_bytes(wide, sizeof wide - i);
	Standpipe__Group g = cloudwatch_group();
	Standpipe__Relabel r = rule("region", "nowhere", "region", "x", "replace");
	g.relabel = (Standpipe__Relabel *[]){&r}, g.n_relabel = 1;
	struct encoder *e;
	struct convert_group out;
	struct cw_points points = {m.p, 600, 600};
	struct sp_arena *arena = sp_arena_new(6 << 20);
	assert_int_equal(encoder_new(&g, 2 << 20, &e, NULL), SP_OK);
	assert_int_equal(encoder_run(e, &points, NULL, &now, arena, &out), SP_OK);
	assert_int_equal(out.samples, 600 * 5);
	assert_int_equal(out.merged, 0);
	encoder_free(&e);
	sp_arena_free(&arena);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rules_see_each_statistic_with_its_name),
		cmocka_unit_test(a_rule_without_effect_changes_nothing),
		cmocka_unit_test(long_values_are_cut_and_series_beyond_other_limits_are_dead),
		cmocka_unit_test(a_series_without_a_usable_name_is_dead),
		cmocka_unit_test(rules_take_no_more_memory_than_a_portion),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
