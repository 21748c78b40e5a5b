/* Names that users have in their dashboards: a change here is a change for them. */
#include "convert/naming_preset.h"

#include "common/conf.h"
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
		{"AWS/EC2", "CPUUtilization", "%",
		    {"aws_ec2_cpuutilization_average", "aws_ec2_cpuutilization_average",
		        "aws_ec2_cpuutilization", "amazonaws_com_AWS_EC2_CPUUtilization_percent"}},
		{"AWS/EC2", "EBSReadOps", "{Count}",
		    {"aws_ec2_ebsread_ops_average", "aws_ec2_ebsread_ops_average",
		        "aws_ec2_ebsreadops", "amazonaws_com_AWS_EC2_EBSReadOps"}},
		{"AWS/ELB", "HTTPCode_ELB_5XX", "{Count}",
		    {"aws_elb_httpcode_elb_5_xx_average", "aws_elb_httpcode_elb_5_xx_average",
		        "aws_elb_httpcode_elb_5xx", "amazonaws_com_AWS_ELB_HTTPCode_ELB_5XX"}},
		{"AWS/ApplicationELB", "TargetResponseTime", "s",
		    {"aws_applicationelb_target_response_time_average", "aws_applicationelb_target_response_time_average",
		        "aws_applicationelb_targetresponsetime", "amazonaws_com_AWS_ApplicationELB_TargetResponseTime_seconds"}},
		{"AWS/ApplicationELB", "HTTPCode_Target_5XX_Count", "{Count}",
		    {"aws_applicationelb_httpcode_target_5_xx_count_average", "aws_applicationelb_httpcode_target_5_xx_count_average",
		        "aws_applicationelb_httpcode_target_5xx_count", "amazonaws_com_AWS_ApplicationELB_HTTPCode_Target_5XX_Count"}},
		{"AWS/RDS", "FreeStorageSpace", "By",
		    {"aws_rds_free_storage_space_average", "aws_rds_free_storage_space_average",
		        "aws_rds_freestoragespace", "amazonaws_com_AWS_RDS_FreeStorageSpace_bytes"}},
		{"AWS/Lambda", "Duration", "ms",
		    {"aws_lambda_duration_average", "aws_lambda_duration_average",
		        "aws_lambda_duration", "amazonaws_com_AWS_Lambda_Duration_milliseconds"}},
		{"AWS/S3", "BucketSizeBytes", "By",
		    {"aws_s3_bucket_size_bytes_average", "aws_s3_bucket_size_bytes_average",
		        "aws_s3_bucketsizebytes", "amazonaws_com_AWS_S3_BucketSizeBytes_bytes"}},
		{"AWS/Kinesis", "GetRecords.IteratorAgeMilliseconds", "ms",
		    {"aws_kinesis_get_records_iterator_age_milliseconds_average", "aws_kinesis_get_records_iterator_age_milliseconds_average",
		        "aws_kinesis_getrecords_iteratoragemilliseconds", "amazonaws_com_AWS_Kinesis_GetRecords_IteratorAgeMilliseconds_milliseconds"}},
		{"Glue", "glue.driver.aggregate.bytesRead", "By",
		    {"glue_glue_driver_aggregate_bytes_read_average", "aws_glue_driver_aggregate_bytes_read_average",
		        "glue_glue_driver_aggregate_bytesread", "amazonaws_com_Glue_glue_driver_aggregate_bytesRead_bytes"}},
		{"/aws/sagemaker/TrainingJobs", "CPUUtilization", "%",
		    {"aws_sagemaker_trainingjobs_cpuutilization_average", "aws_sagemaker_trainingjobs_cpuutilization_average",
		        "_aws_sagemaker_trainingjobs_cpuutilization", "amazonaws_com_aws_sagemaker_TrainingJobs_CPUUtilization_percent"}},
		{"AWS/Kafka", "CpuIdle", "%",
		    {"aws_kafka_cpu_idle_average", "aws_kafka_cpu_idle_average",
		        "aws_kafka_cpuidle", "amazonaws_com_AWS_Kafka_CpuIdle_percent"}},
		{"CWAgent", "LogicalDisk % Free Space", "%",
		    {"cwagent_logical_disk_free_space_average", "aws_cwagent_logical_disk__percent_free_space_average",
		        "cwagent_logicaldisk_free_space", "amazonaws_com_CWAgent_LogicalDisk_Free_Space_percent"}},
		{"ECS/ContainerInsights", "CpuUtilized", "1",
		    {"ecs_containerinsights_cpu_utilized_average", "aws_ecs_containerinsights_cpu_utilized_average",
		        "ecs_containerinsights_cpuutilized", "amazonaws_com_ECS_ContainerInsights_CpuUtilized"}},
		{"AWS/DX", "ConnectionBpsEgress", "bit/s",
		    {"aws_dx_connection_bps_egress_average", "aws_dx_connection_bps_egress_average",
		        "aws_dx_connectionbpsegress", "amazonaws_com_AWS_DX_ConnectionBpsEgress_bit_per_second"}},
		{"AWS/ES", "2xx", "{Count}",
		    {"aws_es_2xx_average", "aws_es_2xx_average",
		        "aws_es_2xx", "amazonaws_com_AWS_ES_2xx"}},
		{"My App", "Request Latency (ms)", "ms",
		    {"my_app_request_latency_ms__average", "aws_my_app_request_latency__ms__average",
		        "my_app_request_latency_ms", "amazonaws_com_My_App_Request_Latency_ms_milliseconds"}},
		{"AWS/X-Ray", "ErrorRate", "%",
		    {"aws_x_ray_error_rate_average", "aws_x_ray_error_rate_average",
		        "aws_x_ray_errorrate", "amazonaws_com_AWS_X_Ray_ErrorRate_percent"}},
		{"AWS/Firehose", "DeliveryToHttpEndpoint.Success", "{Count}",
		    {"aws_firehose_delivery_to_http_endpoint_success_average", "aws_firehose_delivery_to_http_endpoint_success_average",
		        "aws_firehose_deliverytohttpendpoint_success", "amazonaws_com_AWS_Firehose_DeliveryToHttpEndpoint_Success"}},
		{"AWS/CloudWatch/MetricStreams", "MetricUpdate", "{Count}",
		    {"aws_cloudwatch_metricstreams_metric_update_average", "aws_cloudwatch_metricstreams_metric_update_average",
		        "aws_cloudwatch_metricstreams_metricupdate", "amazonaws_com_AWS_CloudWatch_MetricStreams_MetricUpdate"}},
		{"2fast", "x:y", "",
		    {"_2fast_x:y_average", "aws_2fast_x_y_average",
		        "_2fast_x:y", "amazonaws_com_2fast_x:y"}},
		{"", "", "",
		    {"__average", "aws___average",
		        "_", "amazonaws_com"}},
		{"\xc3\xbc", "\xc3\xa4z", "1",
		    {"z_average", "aws___z_average",
		        "__z", "amazonaws_com_z"}},
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
	static const char *const words[] = {"", "account", "region", "job", "namespace", "metric", "of account", "attribute", "constant"};
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

static void a_unit_is_said_in_words(void **state)
{
	(void)state;
	static const char *const cases[][2] = {{"By", "bytes"}, {"s", "seconds"}, {"%", "percent"}, {"By/s", "bytes_per_second"},
		{"{Count}", ""}, {"1", ""}, {"", ""}, {"{Count}/s", "per_second"}, {"bit/s", "bit_per_second"}, {"kBy", "kilobytes"},
		{"__odd unit/{x}", "odd_unit"}, {"TBy/s/s", "terabytes_per_s_s"}};
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct sp_buf out = {0};
		naming_unit(&out, sp_str(cases[i][0]));
		sp_buf_u8(&out, 0);
		assert_string_equal((char *)out.p, cases[i][1]);
		sp_buf_free(&out);
	}
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
	assert_true(label_name_ok(SP_LIT("a_B9")) && label_name_ok(SP_LIT("_x")) && label_name_ok(SP_LIT("_")));
	assert_false(label_name_ok(SP_LIT("")) || label_name_ok(SP_LIT("9a")) || label_name_ok(SP_LIT("a-b")));
	assert_false(label_name_ok(SP_LIT("a:b")) || label_name_ok(SP_LIT("__name__")) ||
		     label_name_ok(SP_LIT("quantile")) || label_name_ok(SP_LIT("le")) ||
		     label_name_ok(SP_LIT("\xc3\xa4")));
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
		cmocka_unit_test(a_unit_is_said_in_words),
		cmocka_unit_test(dimensions_become_snake_case_labels),
		cmocka_unit_test(a_dimension_never_takes_an_identity_or_reserved_name),
		cmocka_unit_test(equal_labels_are_numbered_in_byte_order_of_the_names),
		cmocka_unit_test(external_labels_give_way),
		cmocka_unit_test(names_that_receivers_refuse_are_no_external_labels),
		cmocka_unit_test(what_is_not_known_is_not_found),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
