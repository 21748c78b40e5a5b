/* Names that users have in their dashboards: a change here is a change for them. */
#include "convert/naming_preset.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <cmocka.h>

static const struct naming_preset *cloudwatch(void)
{
	return naming_find(SP_LIT("cloudwatch"));
}

static void equal(struct sp_bytes got, const char *want)
{
	if (!sp_eq(got, sp_str(want)))
		fail_msg("\"%.*s\" instead of \"%s\"", (int)got.n, (const char *)got.p, want);
}

struct names {
	const char *ns, *metric, *unit, *want[4]; /* cloudwatch, yace, logzio, otel */
};

static const char *const presets[] = {"cloudwatch", "yace", "logzio", "otel"};

/* What one metric is called by each exporter: the average's name with the first two, the metric's with the others. */
static void metric_names_are_those_of_the_exporters(void **state)
{
	(void)state;
	static const struct names cases[] = {
#include "tests/unit/names.inc"
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		for (size_t j = 0; j < 4; j++) {
			const struct naming_preset *preset = naming_find(sp_str(presets[j]));
			struct sp_buf name = {0};
			preset->metric(&name, sp_str(cases[i].ns), sp_str(cases[i].metric), sp_str(cases[i].unit));
			if (!preset->no_average)
				sp_buf_add(&name, preset->fixed[STAT_AVERAGE].suffix);
			equal(sp_buf_view(&name), cases[i].want[j]);
			sp_buf_free(&name);
		}
	}
}

/* Words of OpenTelemetry's own tests, so far as they concern a summary. */
static void otel_names_are_those_of_the_translator(void **state)
{
	(void)state;
	static const char *const names[][3] = {
		{"requests", "1/s", "requests_per_second"}, {"throughput", "By/s", "throughput_bytes_per_second"},
		{"cpu_usage", "1", "cpu_usage"}, {"custom_metric", "By/{custom}", "custom_metric_bytes"},
		{"123metric", "", "_123metric"}, {"metric@@##$$name", "", "metric_name"}, {"@#$%", "", "_"},
		{"response_time_seconds", "s", "response_time_seconds"}, {"a", " ms / h ", "a_milliseconds_per_hour"},
		{"a", "x%y/Mbit", "a_x_y_per_Mbit"}, {"b", "TiBy", "b_tebibytes"}, {"b", "kBy", "b_kilobytes"}};
	static const char *const labels[][2] = {
		{"label:with:colons", "label_with_colons"}, {"123label", "key_123label"}, {".foo", "key_foo"}, {"_foo", "key_foo"},
		{"label__with__double", "label__with__double"}, {"trailing___", "trailing___"},
		/* not left alone: such names belong to Prometheus */
		{"__reserved__label__name__", "key__reserved__label__name__"}, {"\xc3\xa4\xe2\x82\xac", "key__"}};
	struct sp_buf name = {0};
	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
		sp_buf_clear(&name);
		naming_otel_metric(&name, sp_str(names[i][0]), sp_str(names[i][1]));
		equal(sp_buf_view(&name), names[i][2]);
	}
	for (size_t i = 0; i < sizeof(labels) / sizeof(*labels); i++) {
		sp_buf_clear(&name);
		naming_otel_label(&name, sp_str(labels[i][0]));
		equal(sp_buf_view(&name), labels[i][1]);
	}
	sp_buf_free(&name);
}

static void percentiles_and_other_statistics_have_suffixes(void **state)
{
	(void)state;
	struct sp_arena *arena = sp_arena_new(0);
	static const struct cw_quantile q[] = {{0.001, 1}, {0.5, 1}, {0.9, 1}, {0.99, 1}, {0.999, 1}, {0.9999999, 1}};
	static const struct cw_extra x[] = {
		{{(const uint8_t *)"TM(10%:90%)", 11}, 1}, {{(const uint8_t *)"IQM", 3}, 1}, {{(const uint8_t *)"wm99", 4}, 1}};
	const struct cw_point p = {.quantiles = q, .n_quantiles = 6, .extras = x, .n_extras = 3};
	const struct naming_series *s;
	assert_int_equal(naming_statistics(cloudwatch(), &p, arena, &s), SP_OK);
	static const char *const want[] = {
	    "_p0_1", "_p50", "_p90", "_p99", "_p99_9", "_p99_99999", "_tm_10_:90_", "_iqm", "_wm99"};
	for (size_t i = 0; i < 9; i++)
		equal(s[i].suffix, want[i]);
	sp_arena_free(&arena);
}

static void other_presets_have_suffixes_and_quantiles_of_their_own(void **state)
{
	(void)state;
	struct sp_arena *arena = sp_arena_new(0);
	static const struct cw_quantile q[] = {{1e-5, 1}, {0.5, 1}, {0.999, 1}, {0.95012, 1}};
	static const struct cw_extra x[] = {{{(const uint8_t *)"TM(10%:90%)", 11}, 1}, {{(const uint8_t *)"count", 5}, 1}};
	const struct cw_point p = {.quantiles = q, .n_quantiles = 4, .extras = x, .n_extras = 2};
	static const char *const want[3][6] = {{"_p0_001", "_p50", "_p99_9", "_p95_012", "_tm_10_percent_90_percent_", "_count"},
		{"0.00001", "0.5", "0.999", "0.95012", "_tm_10_:90", "_count_2"},
		{"0.00001", "0.5", "0.999", "0.95012", "_TM_10_:90", "_count_2"}};
	for (size_t j = 0; j < 3; j++) {
		const struct naming_series *s;
		assert_int_equal(naming_statistics(naming_find(sp_str(presets[j + 1])), &p, arena, &s), SP_OK);
		for (size_t i = 0; i < 6; i++) {
			assert_true(s[i].suffix.n == 0 || s[i].quantile.n == 0);
			equal(s[i].quantile.n ? s[i].quantile : s[i].suffix, want[j][i]);
		}
	}
	sp_arena_free(&arena);
}

static void an_odd_statistic_never_takes_the_place_of_a_known_one(void **state)
{
	(void)state;
	struct sp_arena *arena = sp_arena_new(0);
	const struct cw_extra forth[] = {
	    {SP_LIT("SUM"), 1}, {SP_LIT("p99_9"), 1}, {SP_LIT("a b"), 1}, {SP_LIT("a-b"), 1}, {SP_LIT("a_b_2"), 1}};
	const struct cw_extra back[] = {
	    {SP_LIT("a_b_2"), 1}, {SP_LIT("a-b"), 1}, {SP_LIT("a b"), 1}, {SP_LIT("p99_9"), 1}, {SP_LIT("SUM"), 1}};
	static const char *const want[] = {"_sum_2", "_p99_9_2", "_a_b", "_a_b_2", "_a_b_2_2"};
	const struct naming_series *s;
	const struct cw_point p = {.extras = forth, .n_extras = 5}, r = {.extras = back, .n_extras = 5};
	assert_int_equal(naming_statistics(cloudwatch(), &p, arena, &s), SP_OK);
	for (size_t i = 0; i < 5; i++)
		equal(s[i].suffix, want[i]);
	assert_int_equal(naming_statistics(cloudwatch(), &r, arena, &s), SP_OK);
	for (size_t i = 0; i < 5; i++)
		equal(s[i].suffix, want[4 - i]);
	sp_arena_free(&arena);
}

/* "name=0 name=job ..." for a list of dimension names. */
static void labels_are(const struct naming_preset *preset, const char *const *dims, size_t n,
    const struct naming_label *external, size_t n_external, const char *want)
{
	static const char *const words[] = {"", "account", "region", "job", "namespace", "metric", "attribute", "constant"};
	struct sp_arena *arena = sp_arena_new(0);
	struct cw_dim d[16];
	for (size_t i = 0; i < n; i++)
		d[i].name = sp_str(dims[i]);
	const struct naming_label *v;
	size_t n_v;
	assert_int_equal(naming_labels(preset, d, n, external, n_external, arena, &v, &n_v), SP_OK);
	struct sp_buf text = {0};
	for (size_t i = 0; i < n_v; i++) {
		sp_buf_str(&text, i ? " " : "");
		sp_buf_add(&text, v[i].name);
		if (v[i].from == LABEL_DIM)
			sp_buf_printf(&text, "=%d", v[i].dim);
		else
			sp_buf_printf(&text, "=%s", words[v[i].from]);
		sp_buf_str(&text, v[i].is_default ? "?" : "");
	}
	equal(sp_buf_view(&text), want);
	sp_buf_free(&text);
	sp_arena_free(&arena);
}

static void dimensions_become_snake_case_labels(void **state)
{
	(void)state;
	const char *const dims[] = {"2nd", "AutoScalingGroupName", "InstanceId", "a:b"};
	labels_are(cloudwatch(), dims, 4, NULL, 0,
	    "_2nd=0 a_b=3 account_id=account auto_scaling_group_name=1 instance_id=2 job=job region=region");
	labels_are(cloudwatch(), NULL, 0, NULL, 0, "account_id=account job=job region=region");
}

static void a_dimension_never_takes_an_identity_or_reserved_name(void **state)
{
	(void)state;
	const char *const dims[] = {"AccountId", "Region", "__name__", "instance", "job", "le", "name", "quantile"};
	labels_are(cloudwatch(), dims, 8, NULL, 0,
	    "_name_=2 account_id=account dim_account_id=0 dim_instance=3 dim_job=4 dim_le=5 dim_name=6 dim_quantile=7 "
	    "dim_region=1 "
	    "job=job region=region");
}

static void equal_labels_are_numbered_in_byte_order_of_the_names(void **state)
{
	(void)state;
	const char *const dims[] = {"Region", "a b", "a-b", "a.b", "a_b_2", "dim_region"};
	labels_are(cloudwatch(), dims, 6, NULL, 0,
		"a_b=1 a_b_2=2 a_b_2_2=4 a_b_3=3 account_id=account dim_region=0 dim_region_2=5 job=job region=region");
}

static void each_preset_has_labels_of_its_own(void **state)
{
	(void)state;
	const char *const dims[] = {"2nd", "Account", "Namespace", "instance", "quantile", "\xc3\xbc", "namespace"};
	labels_are(naming_find(SP_LIT("yace")), dims, 7, NULL, 0,
		"account_id=account dimension_2nd=0 dimension_Account=1 dimension_Namespace=2 dimension__=5 dimension_instance=3 "
		"dimension_namespace=6 dimension_quantile=4 region=region");
	labels_are(naming_find(SP_LIT("otel")), dims, 7, NULL, 0,
		"Account=1 MetricName=metric Namespace=namespace cloud_account_id=account cloud_region=region dim_Namespace=2 "
		"dim_quantile=4 instance=3 key_=5 key_2nd=0 namespace=6");
	struct naming_preset logzio = *naming_find(SP_LIT("logzio"));
	labels_are(&logzio, dims, 7, NULL, 0,
		"account=account dim_account=1 dim_namespace=2 dim_namespace_2=6 dim_quantile=4 instance=3 key_=5 key_2nd=0 "
		"metricname=metric namespace=namespace region=region");
	assert_true(naming_bug(&logzio, SP_LIT("dimensions_win")));
	labels_are(&logzio, dims, 7, NULL, 0,
		"account=1 account=account? dim_quantile=4 instance=3 key_=5 key_2nd=0 metricname=metric namespace=2 "
		"namespace=namespace? namespace_2=6 region=region");
	assert_false(naming_bug(&logzio, SP_LIT("dimensions_lose")));
	struct naming_preset other = *cloudwatch();
	assert_false(naming_bug(&other, SP_LIT("dimensions_win")));
}

static void external_labels_give_way(void **state)
{
	(void)state;
	const struct naming_label external[] = {
		{.name = SP_LIT("Zone"), .value = SP_LIT("z"), .from = LABEL_CONSTANT},
		{.name = SP_LIT("cluster"), .value = SP_LIT("c"), .from = LABEL_CONSTANT},
		{.name = SP_LIT("region"), .value = SP_LIT("r"), .from = LABEL_CONSTANT}};
	const char *const dims[] = {"Cluster"};
	labels_are(cloudwatch(), dims, 1, external, 3,
		"Zone=constant account_id=account cluster=0 cluster=constant? job=job region=region region=constant?");
}

static void names_that_receivers_refuse_are_no_external_labels(void **state)
{
	(void)state;
	assert_true(naming_label_ok(SP_LIT("a_B9")) && naming_label_ok(SP_LIT("_x")) && naming_label_ok(SP_LIT("_")));
	assert_false(naming_label_ok(SP_LIT("")) || naming_label_ok(SP_LIT("9a")) || naming_label_ok(SP_LIT("a-b")));
	assert_false(naming_label_ok(SP_LIT("a:b")) || naming_label_ok(SP_LIT("__name__")) ||
		     naming_label_ok(SP_LIT("quantile")) || naming_label_ok(SP_LIT("le")) ||
		     naming_label_ok(SP_LIT("\xc3\xa4")));
}

static void what_is_not_known_is_not_found(void **state)
{
	(void)state;
	assert_null(naming_find(SP_LIT("cloudwatch2")));
	assert_int_equal(naming_stat(SP_LIT("sums")), STATS);
	assert_int_equal(naming_stat(SP_LIT("percentiles")), STAT_PERCENTILES);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(metric_names_are_those_of_the_exporters),
		cmocka_unit_test(otel_names_are_those_of_the_translator),
		cmocka_unit_test(other_presets_have_suffixes_and_quantiles_of_their_own),
		cmocka_unit_test(each_preset_has_labels_of_its_own),
		cmocka_unit_test(percentiles_and_other_statistics_have_suffixes),
		cmocka_unit_test(an_odd_statistic_never_takes_the_place_of_a_known_one),
		cmocka_unit_test(dimensions_become_snake_case_labels),
		cmocka_unit_test(a_dimension_never_takes_an_identity_or_reserved_name),
		cmocka_unit_test(equal_labels_are_numbered_in_byte_order_of_the_names),
		cmocka_unit_test(external_labels_give_way),
		cmocka_unit_test(names_that_receivers_refuse_are_no_external_labels),
		cmocka_unit_test(what_is_not_known_is_not_found),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
