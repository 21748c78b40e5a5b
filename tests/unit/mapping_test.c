/* From points to series: the names, labels and values that a point gets under each preset. */
#include "tests/lib/mapping_lib.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

static void yace_has_the_labels_of_the_exporter(void **state)
{
	(void)state;
	Standpipe__Group g = cloudwatch_group();
	g.naming = (char *)(uintptr_t)"yace";
	struct cw_point p = rich();
#define YACE "{account_id=\"1234\", dimension_InstanceId=\"i-1\", region=\"eu-west-1\"}"
	becomes(&g, &p, 1, 0,
		"aws_ec2_cpuutilization_sum" YACE " 10 @0\n"
		"aws_ec2_cpuutilization_sample_count" YACE " 4 @0\n"
		"aws_ec2_cpuutilization_minimum" YACE " 1 @0\n"
		"aws_ec2_cpuutilization_maximum" YACE " 5 @0\n"
		"aws_ec2_cpuutilization_average" YACE " 2.5 @0\n"
		"aws_ec2_cpuutilization_iqm" YACE " 2 @0\n"
		"aws_ec2_cpuutilization_p99" YACE " 4.5 @0\n");
}

static void otel_makes_a_summary(void **state)
{
	(void)state;
	Standpipe__Group g = cloudwatch_group();
	g.naming = (char *)(uintptr_t)"otel";
	const struct cw_dim dims[] = {{SP_LIT("InstanceId"), SP_LIT("i-1")}, {SP_LIT("zone"), SP_LIT("z")}};
	struct cw_point p[2] = {rich(), rich()};
	p[0].dims = dims, p[0].n_dims = 2;
	p[1].dims = dims, p[1].n_dims = 2;
	p[1].unit = SP_LIT("s"), p[1].n_quantiles = 0, p[1].n_extras = 0; /* another unit, another metric */
	p[1].has = CW_MAX;
#define OTEL_A "{InstanceId=\"i-1\", MetricName=\"CPUUtilization\", Namespace=\"AWS/EC2\", "
#define OTEL_B "cloud_account_id=\"1234\", cloud_region=\"eu-west-1\", "
#define OTEL OTEL_A OTEL_B "zone=\"z\"}"
#define OTEL_NAME "amazonaws_com_AWS_EC2_CPUUtilization_percent"
	becomes(&g, p, 2, 0,
		OTEL_NAME "_sum" OTEL " 10 @0\n"
		OTEL_NAME "_count" OTEL " 4 @0\n"
		OTEL_NAME OTEL_A OTEL_B "quantile=\"0\", zone=\"z\"} 1 @0\n"
		OTEL_NAME OTEL_A OTEL_B "quantile=\"1\", zone=\"z\"} 5 @0\n"
		OTEL_NAME OTEL_A OTEL_B "quantile=\"0.99\", zone=\"z\"} 4.5 @0\n"
		OTEL_NAME "_IQM" OTEL " 2 @0\n"
		"amazonaws_com_AWS_EC2_CPUUtilization_seconds" OTEL_A OTEL_B "quantile=\"1\", zone=\"z\"} 5 @0\n");
	char *only[] = {(char *)(uintptr_t)"average"};
	g.statistics = only;
	g.n_statistics = 1;
	becomes(&g, p, 1, 0, OTEL_NAME "_average" OTEL " 2.5 @0\n");
}

#define LOGZIO_A "{account=\"1234\", cloud_provider=\"aws\", instanceid=\"I-1\", metricname=\"CPUUtilization\", "
#define LOGZIO_B "namespace=\"AWS/EC2\", p8s_logzio_name=\"logzio-otlp-metrics-stream\", "
#define LOGZIO LOGZIO_A LOGZIO_B "region=\"eu-west-1\"}"

static void logzio_has_the_names_of_its_lambda(void **state)
{
	(void)state;
	Standpipe__Group g = cloudwatch_group();
	g.naming = (char *)(uintptr_t)"logzio";
	const struct cw_dim dims[] = {{SP_LIT("InstanceId"), SP_LIT("I-1")}};
	struct cw_point p = rich();
	p.dims = dims;
	becomes(&g, &p, 1, 0,
		"aws_ec2_cpuutilization_sum" LOGZIO " 10 @0\n"
		"aws_ec2_cpuutilization_count" LOGZIO " 4 @0\n"
		"aws_ec2_cpuutilization_min" LOGZIO " 1 @0\n"
		"aws_ec2_cpuutilization_max" LOGZIO " 5 @0\n"
		"aws_ec2_cpuutilization" LOGZIO_A LOGZIO_B "quantile=\"0.99\", region=\"eu-west-1\"} 4.5 @0\n"
		"aws_ec2_cpuutilization_iqm" LOGZIO " 2 @0\n");

	char *bugs[] = {(char *)(uintptr_t)"lowercase_values", (char *)(uintptr_t)"min_max_at_start",
		(char *)(uintptr_t)"max_without_origin", (char *)(uintptr_t)"quantiles_gated"};
	g.bugs = bugs;
	g.n_bugs = 4;
	p.n_extras = 0;
	p.count = 1;
#define SMALL_A "instanceid=\"i-1\", metricname=\"cpuutilization\", namespace=\"aws/ec2\", "
#define SMALL_B "p8s_logzio_name=\"logzio-otlp-metrics-stream\""
#define SMALL "{account=\"1234\", cloud_provider=\"aws\", " SMALL_A SMALL_B ", region=\"eu-west-1\"}"
	becomes(&g, &p, 1, 0,
		"aws_ec2_cpuutilization_sum" SMALL " 10 @0\n"
		"aws_ec2_cpuutilization_count" SMALL " 1 @0\n"
		"aws_ec2_cpuutilization_min" SMALL " 1 @-1\n"
		"aws_ec2_cpuutilization_max{" SMALL_A SMALL_B "} 5 @-1\n");
}

/* Of a dimension, an attribute and an external label of one name the first that is there counts. */
static void common_attributes_become_labels(void **state)
{
	(void)state;
	Standpipe__Group g = cloudwatch_group();
	g.naming = (char *)(uintptr_t)"logzio";
	char *only[] = {(char *)(uintptr_t)"sum"}, *wanted[] = {(char *)(uintptr_t)"Team-Name", (char *)(uintptr_t)"le"};
	g.statistics = only, g.n_statistics = 1;
	g.attributes = wanted, g.n_attributes = 2;
	Standpipe__Label team = STANDPIPE__LABEL__INIT, cloud = STANDPIPE__LABEL__INIT, *external[] = {&team, &cloud};
	team.name = (char *)(uintptr_t)"team_name", team.value = (char *)(uintptr_t)"nobody";
	cloud.name = (char *)(uintptr_t)"cloud_provider", cloud.value = (char *)(uintptr_t)"";
	g.external_labels = external, g.n_external_labels = 2;
	const struct attributes given = {.n = 3,
	    .v = {{SP_LIT("p8s_LOGZIO_name"), SP_LIT("prod")}, {SP_LIT("team-name"), SP_LIT("blue")}, {SP_LIT("le"), SP_LIT("1")}}};
	const struct cw_dim dim[] = {{SP_LIT("Team_Name"), SP_LIT("red")}};
	struct cw_point p = cpu(0, 1, 1, 1, 1);
	p.dims = NULL, p.n_dims = 0;
#define ATTRIBUTES_A "aws_ec2_cpuutilization_sum{account=\"1234\", "
#define ATTRIBUTES_B "metricname=\"CPUUtilization\", namespace=\"AWS/EC2\", p8s_logzio_name="
	becomes_with(&given, &g, &p, 1, 0,
	    ATTRIBUTES_A "attribute_le=\"1\", " ATTRIBUTES_B "\"prod\", region=\"eu-west-1\", team_name=\"blue\"} 1 @0\n");
	becomes(&g, &p, 1, 0,
		ATTRIBUTES_A ATTRIBUTES_B "\"logzio-otlp-metrics-stream\", region=\"eu-west-1\", team_name=\"nobody\"} 1 @0\n");
	p.dims = dim, p.n_dims = 1;
	becomes_with(&given, &g, &p, 1, 0,
	    ATTRIBUTES_A "attribute_le=\"1\", " ATTRIBUTES_B "\"prod\", region=\"eu-west-1\", team_name=\"red\"} 1 @0\n");
}

static void empty_labels_are_left_out_and_external_ones_fill_in(void **state)
{
	(void)state;
	Standpipe__Group g = cloudwatch_group();
	char *only[] = {(char *)(uintptr_t)"sum"};
	g.statistics = only;
	g.n_statistics = 1;
	Standpipe__Label zone = STANDPIPE__LABEL__INIT, region = STANDPIPE__LABEL__INIT, id = STANDPIPE__LABEL__INIT;
	zone.name = (char *)(uintptr_t)"Zone", zone.value = (char *)(uintptr_t)"z";
	region.name = (char *)(uintptr_t)"region", region.value = (char *)(uintptr_t)"nowhere";
	id.name = (char *)(uintptr_t)"instance_id", id.value = (char *)(uintptr_t)"mine";
	Standpipe__Label *external[] = {&zone, &region, &id};
	g.external_labels = external;
	g.n_external_labels = 3;
	struct cw_point p = cpu(0, 1, 1, 1, 1);
	p.region = p.account = (struct sp_bytes){0};
	becomes(&g, &p, 1, 0,
	    "aws_ec2_cpuutilization_sum{Zone=\"z\", instance_id=\"i-1\", job=\"aws_ec2\", region=\"nowhere\"} 1 @0\n");
}

static void labels_of_accounts_fill_in_what_the_data_has_not(void **state)
{
	(void)state;
	Standpipe__Group g = cloudwatch_group();
	Standpipe__Plan plan = STANDPIPE__PLAN__INIT;
	char *statistics[] = {(char *)(uintptr_t)"sum"};
	Standpipe__Label site = STANDPIPE__LABEL__INIT, team = site, region = site, *external[] = {&site}, *of_account[] = {&team, &region};
	Standpipe__Account account = STANDPIPE__ACCOUNT__INIT, *accounts[] = {&account};
	site.name = (char *)(uintptr_t)"team", site.value = (char *)(uintptr_t)"nobody";
	team.name = (char *)(uintptr_t)"team", team.value = (char *)(uintptr_t)"core";
	region.name = (char *)(uintptr_t)"region", region.value = (char *)(uintptr_t)"elsewhere";
	account.id = (char *)(uintptr_t)"1234", account.labels = of_account, account.n_labels = 2;
	plan.accounts = accounts, plan.n_accounts = 1;
	g.statistics = statistics, g.n_statistics = 1;
	g.external_labels = external, g.n_external_labels = 1;
	struct cw_point p[2] = {cpu(1, 1, 5, 5, 5), cpu(1, 1, 5, 5, 5)};
	p[1].account = SP_LIT("99");
	struct encoder *e;
	struct account_labels *labels = account_labels_new(&plan);
	assert_int_equal(encoder_new(&g, 0, &e, NULL), SP_OK);
	encoder_accounts(e, labels);
	for (int round = 0; round < 2; round++) {
		struct convert_group out = run(e, p, 2);
		struct sp_buf text = text_of(&out, false);
		sp_buf_u8(&text, 0);
		assert_non_null(strstr((char *)text.p, "{account_id=\"1234\", instance_id=\"i-1\", job=\"aws_ec2\", region=\"eu-west-1\", team=\"core\"}"));
		assert_non_null(strstr((char *)text.p, "{account_id=\"99\", instance_id=\"i-1\", job=\"aws_ec2\", region=\"eu-west-1\", team=\"nobody\"}"));
		sp_buf_free(&text);
	}
	encoder_free(&e);
	account_labels_free(&labels);
}

static void values_that_are_not_utf8_are_repaired(void **state)
{
	(void)state;
	Standpipe__Group g = cloudwatch_group();
	char *only[] = {(char *)(uintptr_t)"sum"};
	g.statistics = only;
	g.n_statistics = 1;
	const struct cw_dim d[] = {{SP_LIT("a"), SP_LIT("12345678\xff" "9\xed\xa0\x80\xc3\xa4\xf0\x9f")}};
	struct cw_point p = cpu(0, 1, 1, 1, 1);
	p.dims = d;
	p.region = p.account = (struct sp_bytes){0};
	becomes(&g, &p, 1, 0,
	    "aws_ec2_cpuutilization_sum{a=\"12345678\xef\xbf\xbd"
	    "9\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xc3\xa4\xef\xbf\xbd\xef\xbf\xbd\", "
	    "job=\"aws_ec2\"} 1 @0\n");
}

static void two_metrics_of_one_name_meet_in_one_series(void **state)
{
	(void)state;
	Standpipe__Group g = cloudwatch_group();
	char *only[] = {(char *)(uintptr_t)"sum"};
	g.statistics = only;
	g.n_statistics = 1;
	struct cw_point p[2] = {cpu(1, 1, 1, 1, 1), cpu(0, 1, 2, 1, 1)};
	p[0].ns = SP_LIT("My/App"), p[0].metric = SP_LIT("x.y");
	p[1].ns = SP_LIT("my/App"), p[1].metric = SP_LIT("x/y");
	becomes(&g, p, 2, 0,
		"my_app_x_y_sum{account_id=\"1234\", instance_id=\"i-1\", job=\"my_app\", region=\"eu-west-1\"} 2 @0\n"
		"my_app_x_y_sum{account_id=\"1234\", instance_id=\"i-1\", job=\"my_app\", region=\"eu-west-1\"} 1 @1\n");
}

static void metrics_that_meet_in_one_name_are_counted_and_can_be_told_apart(void **state)
{
	(void)state;
	Standpipe__Group g = cloudwatch_group();
	struct cw_point p[2] = {cpu(0, 1, 1, 1, 1), cpu(0, 2, 2, 2, 2)};
	char *only[] = {(char *)"sum"};
	g.statistics = only, g.n_statistics = 1;
	p[0].ns = SP_LIT("My.App"), p[0].metric = SP_LIT("x");
	p[1].ns = SP_LIT("My"), p[1].metric = SP_LIT("App/x");
	struct encoder *e;
	assert_int_equal(encoder_new(&g, 0, &e, NULL), SP_OK);
	struct convert_group out = run(e, p, 2);
	assert_int_equal(counted(&out, M_CONVERT_NAME_COLLISIONS, NULL), 1);
	assert_int_equal(out.samples, 2); /* their labels job differ */
	out = run(e, p, 2);
	assert_int_equal(counted(&out, M_CONVERT_NAME_COLLISIONS, NULL), 0); /* known */
	encoder_free(&e);

	const struct cw_dim pod[] = {{SP_LIT("Namespace"), SP_LIT("kube-system")}};
	g.collision_labels = true;
	p[0].dims = pod;
	becomes(&g, p, 1, 0,
	    "my_app_x_sum{account_id=\"1234\", dim_namespace=\"kube-system\", job=\"my_app\", metric_name=\"x\", "
	    "namespace=\"My.App\", region=\"eu-west-1\"} 1 @0\n");
}

static void a_plan_of_another_release_is_refused_with_words(void **state)
{
	(void)state;
	struct encoder *e;
	struct sp_why why = {0};
	Standpipe__Group g = cloudwatch_group();
	g.naming = (char *)(uintptr_t)"carbon";
	assert_int_equal(encoder_new(&g, 0, &e, &why), SP_CONFIG);
	assert_non_null(strstr(why.text, "carbon"));
	g = cloudwatch_group();
	char *bug[] = {(char *)(uintptr_t)"lowercase_values"};
	g.bugs = bug;
	g.n_bugs = 1;
	assert_int_equal(encoder_new(&g, 0, &e, &why), SP_CONFIG);
	assert_non_null(strstr(why.text, "lowercase_values"));
	g = cloudwatch_group();
	char *odd[] = {(char *)(uintptr_t)"median"};
	g.statistics = odd;
	g.n_statistics = 1;
	assert_int_equal(encoder_new(&g, 0, &e, &why), SP_CONFIG);
	assert_non_null(strstr(why.text, "median"));
	g = cloudwatch_group();
	Standpipe__Label bad = STANDPIPE__LABEL__INIT;
	bad.name = (char *)(uintptr_t)"__name__", bad.value = (char *)(uintptr_t)"x";
	Standpipe__Label *external[] = {&bad};
	g.external_labels = external;
	g.n_external_labels = 1;
	assert_int_equal(encoder_new(&g, 0, &e, &why), SP_CONFIG);
	assert_non_null(strstr(why.text, "__name__"));
	bad.name = (char *)(uintptr_t)"env", bad.value = (char *)(uintptr_t)"\xff"; /* the environment can say this: no worker may stop at it */
	assert_int_equal(encoder_new(&g, 0, &e, &why), SP_OK);
	struct cw_point p = cpu(0, 4, 10, 1, 5);
	struct convert_group out = run(e, &p, 1);
	struct sp_buf text = text_of(&out, false);
	sp_buf_u8(&text, 0);
	assert_non_null(strstr((char *)text.p, "env=\"\xef\xbf\xbd\""));
	sp_buf_free(&text);
	encoder_free(&e);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(yace_has_the_labels_of_the_exporter),
		cmocka_unit_test(otel_makes_a_summary),
		cmocka_unit_test(logzio_has_the_names_of_its_lambda),
		cmocka_unit_test(common_attributes_become_labels),
		cmocka_unit_test(empty_labels_are_left_out_and_external_ones_fill_in),
		cmocka_unit_test(labels_of_accounts_fill_in_what_the_data_has_not),
		cmocka_unit_test(values_that_are_not_utf8_are_repaired),
		cmocka_unit_test(two_metrics_of_one_name_meet_in_one_series),
		cmocka_unit_test(metrics_that_meet_in_one_name_are_counted_and_can_be_told_apart),
		cmocka_unit_test(a_plan_of_another_release_is_refused_with_words),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
