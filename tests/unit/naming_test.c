/* Names that users have in their dashboards: a change here is a change for them. */
#include "convert/naming.h"

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

static void metric_names_are_those_of_cloudwatch_exporter(void **state)
{
	(void)state;
	static const char *const cases[][3] = {
		{"AWS/EC2", "CPUUtilization", "aws_ec2_cpuutilization_average"},
		{"AWS/EC2", "EBSReadOps", "aws_ec2_ebsread_ops_average"},
		{"AWS/ELB", "HTTPCode_ELB_5XX", "aws_elb_httpcode_elb_5_xx_average"},
		{"AWS/ApplicationELB", "TargetResponseTime", "aws_applicationelb_target_response_time_average"},
		{"AWS/ApplicationELB", "HTTPCode_Target_5XX_Count", "aws_applicationelb_httpcode_target_5_xx_count_average"},
		{"AWS/RDS", "FreeStorageSpace", "aws_rds_free_storage_space_average"},
		{"AWS/Lambda", "Duration", "aws_lambda_duration_average"},
		{"AWS/S3", "BucketSizeBytes", "aws_s3_bucket_size_bytes_average"},
		{"AWS/Kinesis", "GetRecords.IteratorAgeMilliseconds", "aws_kinesis_get_records_iterator_age_milliseconds_average"},
		{"Glue", "glue.driver.aggregate.bytesRead", "glue_glue_driver_aggregate_bytes_read_average"},
		{"AWS/Kafka", "CpuIdle", "aws_kafka_cpu_idle_average"},
		{"CWAgent", "LogicalDisk % Free Space", "cwagent_logical_disk_free_space_average"},
		{"ECS/ContainerInsights", "CpuUtilized", "ecs_containerinsights_cpu_utilized_average"},
		{"AWS/DX", "ConnectionBpsEgress", "aws_dx_connection_bps_egress_average"},
		{"AWS/ES", "2xx", "aws_es_2xx_average"},
		{"My App", "Request Latency (ms)", "my_app_request_latency_ms__average"},
		{"AWS/X-Ray", "ErrorRate", "aws_x_ray_error_rate_average"},
		{"AWS/Firehose", "DeliveryToHttpEndpoint.Success", "aws_firehose_delivery_to_http_endpoint_success_average"},
		{"AWS/CloudWatch/MetricStreams", "MetricUpdate", "aws_cloudwatch_metricstreams_metric_update_average"},
		/* ours: no "_" in front, but a name must not start with a digit or be empty */
		{"/aws/sagemaker/TrainingJobs", "CPUUtilization", "aws_sagemaker_trainingjobs_cpuutilization_average"},
		{"2fast", "x:y", "_2fast_x:y_average"},
		{"", "", "__average"},
		{"\xc3\xbc", "\xc3\xa4z", "z_average"}, /* letters beyond ASCII collapse */
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct sp_buf name = {0};
		cloudwatch()->metric(&name, sp_str(cases[i][0]), sp_str(cases[i][1]));
		sp_buf_str(&name, cloudwatch()->suffixes[STAT_AVERAGE]);
		equal(sp_buf_view(&name), cases[i][2]);
		sp_buf_free(&name);
	}
}

static void percentiles_and_other_statistics_have_suffixes(void **state)
{
	(void)state;
	struct sp_arena *arena = sp_arena_new(0);
	static const struct cw_quantile q[] = {{0.001, 1}, {0.5, 1}, {0.9, 1}, {0.99, 1}, {0.999, 1}, {0.9999999, 1}};
	static const struct cw_extra x[] = {
		{{(const uint8_t *)"TM(10%:90%)", 11}, 1}, {{(const uint8_t *)"IQM", 3}, 1}, {{(const uint8_t *)"wm99", 4}, 1}};
	const struct cw_point p = {.quantiles = q, .n_quantiles = 6, .extras = x, .n_extras = 3};
	const struct sp_bytes *s;
	assert_int_equal(naming_suffixes(cloudwatch(), &p, arena, &s), SP_OK);
	static const char *const want[] = {
	    "_p0_1", "_p50", "_p90", "_p99", "_p99_9", "_p99_99999", "_tm_10_:90_", "_iqm", "_wm99"};
	for (size_t i = 0; i < 9; i++)
		equal(s[i], want[i]);
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
	const struct sp_bytes *s;
	const struct cw_point p = {.extras = forth, .n_extras = 5}, r = {.extras = back, .n_extras = 5};
	assert_int_equal(naming_suffixes(cloudwatch(), &p, arena, &s), SP_OK);
	for (size_t i = 0; i < 5; i++)
		equal(s[i], want[i]);
	assert_int_equal(naming_suffixes(cloudwatch(), &r, arena, &s), SP_OK);
	for (size_t i = 0; i < 5; i++)
		equal(s[i], want[4 - i]);
	sp_arena_free(&arena);
}

/* "name=d0 name=job ..." for a list of dimension names. */
static void labels_are(
    const char *const *dims, size_t n, const struct naming_label *external, size_t n_external, const char *want)
{
	static const char *const words[] = {"", "job", "account", "region", "external"};
	struct sp_arena *arena = sp_arena_new(0);
	struct cw_dim d[16];
	for (size_t i = 0; i < n; i++)
		d[i].name = sp_str(dims[i]);
	const struct naming_label *v;
	size_t n_v;
	assert_int_equal(naming_labels(cloudwatch(), d, n, external, n_external, arena, &v, &n_v), SP_OK);
	struct sp_buf text = {0};
	for (size_t i = 0; i < n_v; i++) {
		sp_buf_str(&text, i ? " " : "");
		sp_buf_add(&text, v[i].name);
		if (v[i].from == LABEL_DIM)
			sp_buf_printf(&text, "=%d", v[i].dim);
		else
			sp_buf_printf(&text, "=%s%s", words[v[i].from], v[i].is_default ? "?" : "");
	}
	equal(sp_buf_view(&text), want);
	sp_buf_free(&text);
	sp_arena_free(&arena);
}

static void dimensions_become_snake_case_labels(void **state)
{
	(void)state;
	const char *const dims[] = {"2nd", "AutoScalingGroupName", "InstanceId", "a:b"};
	labels_are(dims, 4, NULL, 0,
	    "_2nd=0 a_b=3 account_id=account auto_scaling_group_name=1 instance_id=2 job=job region=region");
	labels_are(NULL, 0, NULL, 0, "account_id=account job=job region=region");
}

static void a_dimension_never_takes_an_identity_or_reserved_name(void **state)
{
	(void)state;
	const char *const dims[] = {"AccountId", "Region", "__name__", "instance", "job", "le", "name", "quantile"};
	labels_are(dims, 8, NULL, 0,
	    "_name_=2 account_id=account dim_account_id=0 dim_instance=3 dim_job=4 dim_le=5 dim_name=6 dim_quantile=7 "
	    "dim_region=1 "
	    "job=job region=region");
}

static void equal_labels_are_numbered_in_byte_order_of_the_names(void **state)
{
	(void)state;
	const char *const dims[] = {"Region", "a b", "a-b", "a.b", "a_b_2", "dim_region"};
	labels_are(dims, 6, NULL, 0,
		"a_b=1 a_b_2=2 a_b_2_2=4 a_b_3=3 account_id=account dim_region=0 dim_region_2=5 job=job region=region");
}

static void external_labels_give_way(void **state)
{
	(void)state;
	const struct naming_label external[] = {
		{.name = SP_LIT("Zone"), .value = SP_LIT("z"), .from = LABEL_EXTERNAL},
		{.name = SP_LIT("cluster"), .value = SP_LIT("c"), .from = LABEL_EXTERNAL},
		{.name = SP_LIT("region"), .value = SP_LIT("r"), .from = LABEL_EXTERNAL}};
	const char *const dims[] = {"Cluster"};
	labels_are(dims, 1, external, 3,
		"Zone=external account_id=account cluster=0 cluster=external? job=job region=region region=external?");
}

static void names_that_receivers_refuse_are_no_external_labels(void **state)
{
	(void)state;
	assert_true(naming_label_ok(SP_LIT("a_B9")) && naming_label_ok(SP_LIT("_x")) && naming_label_ok(SP_LIT("_")));
	assert_false(naming_label_ok(SP_LIT("")) || naming_label_ok(SP_LIT("9a")) || naming_label_ok(SP_LIT("a-b")));
	assert_false(naming_label_ok(SP_LIT("a:b")) || naming_label_ok(SP_LIT("__name__")) ||
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
		cmocka_unit_test(metric_names_are_those_of_cloudwatch_exporter),
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
