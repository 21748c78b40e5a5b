/* The page of numbers, byte for byte. */
#include "common/metrics.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

static void expect_page(const char *extra, const char *page)
{
	struct sp_buf out = {0};
	sp_metrics_write(&out, extra);
	sp_buf_u8(&out, 0);
	assert_string_equal((char *)out.p, page);
	sp_buf_free(&out);
}

static void the_page_is_prometheus_text(void **state)
{
	(void)state;
	sp_metric_set(M_BUILD_INFO, SP_L("a\"b\\c\n"), 1);
	sp_metric_add(M_METRICS_LEFT_OUT, NULL, 1000000);
	sp_metric_add(M_METRICS_LEFT_OUT, NULL, 0.5);
	expect_page("role=\"ship\"",
	    "# HELP standpipe_build_info 1, with the version as label.\n"
	    "# TYPE standpipe_build_info gauge\n"
	    "standpipe_build_info{version=\"a\\\"b\\\\c\\n\",role=\"ship\"} 1\n"
	    "# HELP standpipe_metrics_left_out_total Label sets that were not kept because there are too many.\n"
	    "# TYPE standpipe_metrics_left_out_total counter\n"
	    "standpipe_metrics_left_out_total{role=\"ship\"} 1000000.5\n");
	sp_metric_forget(M_BUILD_INFO, SP_L("a\"b\\c\n"));
	sp_metric_forget(M_BUILD_INFO, SP_L("never there"));
	sp_metric_forget(M_METRICS_LEFT_OUT, NULL);
	expect_page(NULL, "");
}

static void label_sets_stay_in_order_and_go_one_by_one(void **state)
{
	(void)state;
	sp_metric_set(M_BUILD_INFO, SP_L("a"), 1);
	sp_metric_set(M_BUILD_INFO, SP_L("b"), 2);
	sp_metric_forget(M_BUILD_INFO, SP_L("b"));
	sp_metric_set(M_BUILD_INFO, SP_L("c"), 3);
	assert_true(sp_metric_value(M_BUILD_INFO, SP_L("b")) == 0 && sp_metric_value(M_BUILD_INFO, SP_L("c")) == 3);
	expect_page(NULL,
	    "# HELP standpipe_build_info 1, with the version as label.\n# TYPE standpipe_build_info gauge\n"
	    "standpipe_build_info{version=\"a\"} 1\nstandpipe_build_info{version=\"c\"} 3\n");
	sp_metric_forget(M_BUILD_INFO, SP_L("a"));
	sp_metric_forget(M_BUILD_INFO, SP_L("c"));
}

static void a_histogram_counts_up_to_each_bound(void **state)
{
	(void)state;
	sp_metric_observe(M_SPOOL_COMMIT, NULL, 0.001);
	sp_metric_observe(M_SPOOL_COMMIT, NULL, 0.002);
	sp_metric_observe(M_SPOOL_COMMIT, NULL, 99);
	struct sp_buf out = {0};
	sp_metrics_write(&out, NULL);
	sp_buf_u8(&out, 0);
	static const char *const lines[] = {"_seconds_bucket{le=\"0.001\"} 1\n", "_seconds_bucket{le=\"0.0025\"} 2\n",
	    "_seconds_bucket{le=\"60\"} 2\n", "_seconds_bucket{le=\"+Inf\"} 3\n", "_seconds_sum 99.003\n",
	    "_seconds_count 3\n"};
	for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++)
		assert_non_null(strstr((char *)out.p, lines[i]));
	sp_buf_free(&out);
	sp_metric_forget(M_SPOOL_COMMIT, NULL);
}

static void too_many_label_sets_are_left_out_and_counted(void **state)
{
	(void)state;
	char name[16];
	for (int i = 0; i < 50003; i++) {
		snprintf(name, sizeof name, "%d", i);
		sp_metric_set(M_BUILD_INFO, SP_L(name), 1);
	}
	assert_true(sp_metric_value(M_METRICS_LEFT_OUT, NULL) == 3);
	for (int i = 0; i < 50003; i++) {
		snprintf(name, sizeof name, "%d", i);
		sp_metric_forget(M_BUILD_INFO, SP_L(name));
	}
	sp_metric_forget(M_METRICS_LEFT_OUT, NULL);
	expect_page(NULL, "");
}

static void joined_pages_show_each_family_once(void **state)
{
	(void)state;
	const struct sp_bytes pages[] = {
	    SP_LIT("# HELP a A.\n# TYPE a gauge\na{role=\"x\"} 1\n# HELP b B.\n# TYPE b counter\nb{role=\"x\"} 2\n"),
	    SP_LIT(""),
	    SP_LIT("# HELP b B.\n# TYPE b counter\nb{role=\"y\"} 3\n# HELP c C.\n# TYPE c gauge\nc 4\n"),
	};
	struct sp_buf out = {0};
	sp_metrics_join(&out, pages, 3);
	sp_buf_u8(&out, 0);
	assert_string_equal((char *)out.p,
	    "# HELP a A.\n# TYPE a gauge\na{role=\"x\"} 1\n"
	    "# HELP b B.\n# TYPE b counter\nb{role=\"x\"} 2\nb{role=\"y\"} 3\n# HELP c C.\n# TYPE c gauge\nc 4\n");
	sp_buf_free(&out);
}

static void a_process_knows_itself(void **state)
{
	(void)state;
	sp_metrics_process();
	assert_true(sp_metric_value(M_PROCESS_RSS, NULL) > 100000);
	assert_true(sp_metric_value(M_PROCESS_FDS, NULL) >= 3);
	assert_true(sp_metric_value(M_PROCESS_START, NULL) > 1.6e9);
	struct sp_buf out = {0};
	sp_metrics_describe(&out);
	assert_non_null(memmem(out.p, out.n, "| `standpipe_build_info` | gauge | version | 1, with", 50));
	sp_buf_free(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(the_page_is_prometheus_text),
	    cmocka_unit_test(label_sets_stay_in_order_and_go_one_by_one),
	    cmocka_unit_test(a_histogram_counts_up_to_each_bound),
	    cmocka_unit_test(too_many_label_sets_are_left_out_and_counted),
	    cmocka_unit_test(joined_pages_show_each_family_once),
	    cmocka_unit_test(a_process_knows_itself),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
