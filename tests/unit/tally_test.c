/* Points by namespace and account, and their age. */
#include "convert/tally.h"

#include "common/metrics.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <cmocka.h>

#define NOW INT64_C(1700000000000)

static struct cw_point point(const char *ns, const char *account, int64_t age_ms)
{
	return (struct cw_point){.ns = sp_str(ns), .account = sp_str(account), .end_ms = NOW - age_ms};
}

static double by_namespace(const char *name)
{
	return sp_metric_value(M_CONVERT_POINTS_BY_NAMESPACE, SP_L(name));
}

static void points_are_counted_by_what_they_say(void **state)
{
	(void)state;
	struct tally *t = tally_new();
	const struct cw_point p[] = {point("AWS/EC2", "1", 90000), point("AWS/EC2", "2", 90000), point("AWS/EC2", "2", 90000),
		point("AWS/RDS", "2", 90000000), point("AWS/EC2", "2", -1000), point("A\x80", "", 0)};
	tally_count(t, p, 6, NOW);
	tally_count(t, p, 1, NOW);
	tally_count(t, NULL, 0, NOW);
	assert_true(by_namespace("AWS/EC2") == 5 && by_namespace("AWS/RDS") == 1 && by_namespace("other") == 1);
	assert_true(sp_metric_value(M_CONVERT_POINTS_BY_ACCOUNT, SP_L("1")) == 2);
	assert_true(sp_metric_value(M_CONVERT_POINTS_BY_ACCOUNT, SP_L("2")) == 4);
	assert_true(sp_metric_value(M_CONVERT_POINTS_BY_ACCOUNT, SP_L("")) == 1);
	struct sp_buf page = {0};
	sp_metrics_write(&page, NULL);
	sp_buf_u8(&page, 0);
	static const char *const lines[] = {"{account=\"1\",le=\"60\"} 0\n", "{account=\"1\",le=\"120\"} 2\n",
		"{account=\"2\",le=\"60\"} 1\n", "{account=\"2\",le=\"120\"} 3\n", "{account=\"2\",le=\"86400\"} 3\n",
		"{account=\"2\",le=\"172800\"} 4\n", "_sum{account=\"2\"} 90180\n", "_count{account=\"2\"} 4\n"};
	for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++)
		assert_non_null(strstr((char *)page.p, lines[i]));
	sp_buf_free(&page);
	tally_free(&t);
}

static void names_beyond_the_limit_are_others(void **state)
{
	(void)state;
	struct tally *t = tally_new();
	double before = by_namespace("other");
	char name[2 * TALLY_NAME_BYTES];
	for (int i = 0; i < TALLY_NAMESPACES_MAX + 3; i++) {
		snprintf(name, sizeof name, "many/%d", i);
		const struct cw_point p = point(name, "1", 0);
		tally_count(t, &p, 1, NOW);
	}
	assert_true(by_namespace("other") == before + 3);
	snprintf(name, sizeof name, "many/%d", TALLY_NAMESPACES_MAX - 1);
	assert_true(by_namespace(name) == 1);
	tally_free(&t);
	t = tally_new();
	snprintf(name, sizeof name, "%0*d", TALLY_NAME_BYTES + 1, 7);
	const struct cw_point p = point(name, "1", 0);
	tally_count(t, &p, 1, NOW);
	assert_true(by_namespace("other") == before + 4);
	tally_free(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(points_are_counted_by_what_they_say),
		cmocka_unit_test(names_beyond_the_limit_are_others),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
