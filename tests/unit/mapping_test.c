/* From points to slices: which series a point becomes, in which shard and order, and what is merged. */
#include "convert/encode.h"

#include "convert/series.h"
#include "proto/remote_write.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#define MINUTE 60000
#define T0 1700000040000
static const struct convert_in now = {.now_ms = T0 + 10 * MINUTE};

static Standpipe__Group cloudwatch_group(void)
{
	Standpipe__Group g = STANDPIPE__GROUP__INIT;
	g.id = 7;
	g.naming = (char *)(uintptr_t)"cloudwatch";
	g.shards = 4;
	g.max_samples = 10000;
	g.max_bytes = 1 << 20;
	g.max_raw_bytes = 4 << 20;
	return g;
}

/* What the slices of a run say, one line per sample: "shard/slice name{labels} value @minute". */
static struct sp_buf text_of(const struct convert_group *g, bool with_place)
{
	struct sp_buf text = {0};
	for (size_t i = 0; i < g->n_slices; i++) {
		const struct convert_slice *c = &g->slices[i];
		struct sp_buf raw = {0};
		struct sp_bytes block = sp_bytes(g->payload.p + c->off, c->len);
		assert_int_equal(rw_uncompress(block, c->raw_len, &raw, NULL), SP_OK);
		assert_int_equal(raw.n, c->raw_len);
		struct rw_totals t;
		assert_int_equal(rw_count(sp_buf_view(&raw), &t, NULL), SP_OK);
		assert_true(t.series == c->series && t.samples == c->samples && t.min_ms == c->min_ms && t.max_ms == c->max_ms);
		struct sp_bytes in = sp_buf_view(&raw);
		struct rw_series s;
		while (rw_next(&in, &s, NULL) == SP_OK) {
			struct rw_sample v;
			while (rw_next_sample(&s.samples, &v)) {
				if (with_place)
					sp_buf_printf(&text, "%u/%zu ", c->shard, i);
				rw_print_labels(&text, s.labels);
				sp_buf_str(&text, " ");
				sp_buf_double(&text, v.value);
				sp_buf_printf(&text, " @%lld\n", (long long)(v.ms - T0) / MINUTE);
			}
		}
		sp_buf_free(&raw);
	}
	return text;
}

static struct convert_group run_with(
    struct encoder *e, const struct cw_point *p, size_t n, const struct attributes *attributes)
{
	struct sp_arena *arena = sp_arena_new(0);
	struct cw_points points = {(struct cw_point *)(uintptr_t)p, n, n};
	struct convert_group g;
	assert_int_equal(encoder_run(e, &points, attributes, &now, arena, &g), SP_OK);
	assert_int_equal(sp_arena_used(arena), 0);
	sp_arena_free(&arena);
	return g;
}

static struct convert_group run(struct encoder *e, const struct cw_point *p, size_t n)
{
	return run_with(e, p, n, NULL);
}

static void becomes_with(const struct attributes *attributes, const Standpipe__Group *group, const struct cw_point *p,
    size_t n, uint64_t merged, const char *want)
{
	struct encoder *e;
	struct sp_why why = {0};
	assert_int_equal(encoder_new(group, 0, &e, &why), SP_OK);
	struct convert_group g = run_with(e, p, n, attributes);
	struct sp_buf text = text_of(&g, false);
	sp_buf_u8(&text, 0);
	assert_string_equal((char *)text.p, want);
	assert_int_equal(g.merged, merged);
	assert_int_equal(g.id, 7);
	sp_buf_free(&text);
	encoder_free(&e);
}

static void becomes(
    const Standpipe__Group *group, const struct cw_point *p, size_t n, uint64_t merged, const char *want)
{
	becomes_with(NULL, group, p, n, merged, want);
}

static const struct cw_dim instance[] = {{{(const uint8_t *)"InstanceId", 10}, {(const uint8_t *)"i-1", 3}}};

static struct cw_point cpu(int64_t minute, double count, double sum, double min, double max)
{
	return (struct cw_point){.account = SP_LIT("1234"),
	    .region = SP_LIT("eu-west-1"),
	    .ns = SP_LIT("AWS/EC2"),
	    .metric = SP_LIT("CPUUtilization"),
	    .dims = instance,
	    .n_dims = 1,
	    .has = CW_COUNT | CW_SUM | CW_MIN | CW_MAX,
	    .start_ms = T0 + (minute - 1) * MINUTE,
	    .end_ms = T0 + minute * MINUTE,
	    .count = count,
	    .sum = sum,
	    .min = min,
	    .max = max};
}

#define CPU_LABELS "{account_id=\"1234\", instance_id=\"i-1\", job=\"aws_ec2\", region=\"eu-west-1\"}"

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

/* cpu() with a percentile and a statistic of the JSON format. */
static struct cw_point rich(void)
{
	static const struct cw_quantile q[] = {{0.99, 4.5}};
	static const struct cw_extra x[] = {{{(const uint8_t *)"IQM", 3}, 2}};
	struct cw_point p = cpu(0, 4, 10, 1, 5);
	p.unit = SP_LIT("%");
	p.quantiles = q, p.n_quantiles = 1;
	p.extras = x, p.n_extras = 1;
	return p;
}

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

struct many {
	struct cw_point p[600];
	struct cw_dim d[600];
	char id[600][16];
};

static void make_many(struct many *m, size_t n)
{
	static const char *const metrics[] = {"CPUUtilization", "NetworkIn", "DiskReadOps"};
	for (size_t i = 0; i < n; i++) {
		snprintf(m->id[i], sizeof m->id[i], "i-%05zu", i / 3 * 7919 % 100000);
		m->d[i] = (struct cw_dim){SP_LIT("InstanceId"), sp_str(m->id[i])};
		m->p[i] = cpu(0, 1, (double)i, 1, 1);
		m->p[i].metric = sp_str(metrics[i % 3]);
		m->p[i].dims = &m->d[i];
	}
}

static void all_statistics_and_metrics_of_a_resource_share_a_shard_for_ever(void **state)
{
	(void)state;
	Standpipe__Group g = cloudwatch_group();
	struct cw_point p[2] = {cpu(0, 1, 1, 1, 1), cpu(0, 1, 1, 1, 1)};
	p[1].metric = SP_LIT("NetworkIn");
	for (uint32_t shards = 1; shards < 40; shards++) {
		struct encoder *e;
		g.shards = shards;
		assert_int_equal(encoder_new(&g, 0, &e, NULL), SP_OK);
		struct convert_group out = run(e, p, 2);
		assert_int_equal(out.n_slices, 1);
		assert_int_equal(out.slices[0].shard, 0x06ea25dc3a154e8cu % shards);
		encoder_free(&e);
	}
}

static void a_summary_stays_together_too(void **state)
{
	(void)state;
	Standpipe__Group g = cloudwatch_group();
	g.naming = (char *)(uintptr_t)"otel";
	struct cw_point p = rich();
	for (uint32_t shards = 1; shards < 40; shards++) {
		struct encoder *e;
		g.shards = shards;
		assert_int_equal(encoder_new(&g, 0, &e, NULL), SP_OK);
		struct convert_group out = run(e, &p, 1);
		assert_int_equal(out.n_slices, 1);
		assert_int_equal(out.slices[0].series, 6);
		encoder_free(&e);
	}
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

static void slices_stay_within_their_limits(void **state)
{
	(void)state;
	static struct many m;
	make_many(&m, 600);
	static const struct {
		uint32_t max_samples;
		uint64_t max_bytes, max_raw_bytes;
	} cases[] = {{100, 1 << 20, 1 << 20}, {10000, 1 << 20, 5000}, {10000, 700, 1 << 20}, {1, 1 << 20, 1 << 20},
	    {10000, 10, 10}};
	for (size_t c = 0; c < sizeof(cases) / sizeof(*cases); c++) {
		Standpipe__Group g = cloudwatch_group();
		g.max_samples = cases[c].max_samples;
		g.max_bytes = cases[c].max_bytes;
		g.max_raw_bytes = cases[c].max_raw_bytes;
		struct encoder *e;
		assert_int_equal(encoder_new(&g, 0, &e, NULL), SP_OK);
		struct convert_group out = run(e, m.p, 600);
		uint64_t samples = 0, off = 0;
		for (size_t i = 0; i < out.n_slices; i++) {
			const struct convert_slice *s = &out.slices[i];
			assert_true(s->samples <= g.max_samples);
			assert_true(s->series == 1 || (s->len <= g.max_bytes && s->raw_len <= g.max_raw_bytes));
			assert_true(i == 0 || s->shard >= out.slices[i - 1].shard);
			assert_int_equal(s->off, off);
			off += s->len;
			samples += s->samples;
		}
		assert_int_equal(samples, 3000);
		assert_int_equal(off, out.payload.n);
		struct sp_buf text = text_of(&out, true); /* everything can be read */
		sp_buf_free(&text);
		encoder_free(&e);
	}
}

static void a_long_series_is_cut_into_pieces_in_order(void **state)
{
	(void)state;
	static struct cw_point p[250];
	for (int i = 0; i < 250; i++)
		p[i] = cpu(249 - i, 1, 1, 1, 1);
	Standpipe__Group g = cloudwatch_group();
	char *only[] = {(char *)(uintptr_t)"sum"};
	g.statistics = only;
	g.n_statistics = 1;
	g.max_samples = 100;
	struct encoder *e;
	assert_int_equal(encoder_new(&g, 0, &e, NULL), SP_OK);
	struct convert_group out = run(e, p, 250);
	assert_int_equal(out.n_slices, 3);
	for (size_t i = 0; i < 3; i++)
		assert_int_equal(out.slices[i].min_ms, T0 + (int64_t)i * 100 * MINUTE);
	assert_int_equal(out.slices[2].samples, 50);
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

static void no_points_make_no_slices(void **state)
{
	(void)state;
	Standpipe__Group g = cloudwatch_group();
	becomes(&g, NULL, 0, 0, "");
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

static uint64_t counted(const struct convert_group *g, enum sp_metric metric, const char *label)
{
	for (size_t i = 0; i < g->n_counts; i++)
		if (g->counts[i].metric == metric && (!label || strcmp(g->counts[i].label, label) == 0))
			return g->counts[i].n;
	fail_msg("nothing counts that");
	return 0;
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
		cmocka_unit_test(a_point_becomes_five_series_with_one_timestamp),
		cmocka_unit_test(no_average_without_samples),
		cmocka_unit_test(nan_is_no_sample_and_infinity_is_one),
		cmocka_unit_test(samples_of_a_series_are_brought_into_order_and_the_last_wins),
		cmocka_unit_test(percentiles_and_others_of_one_series_are_merged_too),
		cmocka_unit_test(yace_has_the_labels_of_the_exporter),
		cmocka_unit_test(otel_makes_a_summary),
		cmocka_unit_test(logzio_has_the_names_of_its_lambda),
		cmocka_unit_test(common_attributes_become_labels),
		cmocka_unit_test(empty_labels_are_left_out_and_external_ones_fill_in),
		cmocka_unit_test(labels_of_accounts_fill_in_what_the_data_has_not),
		cmocka_unit_test(values_that_are_not_utf8_are_repaired),
		cmocka_unit_test(two_metrics_of_one_name_meet_in_one_series),
		cmocka_unit_test(all_statistics_and_metrics_of_a_resource_share_a_shard_for_ever),
		cmocka_unit_test(a_summary_stays_together_too),
		cmocka_unit_test(order_of_arrival_changes_nothing_but_the_order_of_metrics),
		cmocka_unit_test(slices_stay_within_their_limits),
		cmocka_unit_test(a_long_series_is_cut_into_pieces_in_order),
		cmocka_unit_test(memory_is_bounded),
		cmocka_unit_test(rules_take_no_more_memory_than_a_portion),
		cmocka_unit_test(a_point_can_be_shown_to_people),
		cmocka_unit_test(no_points_make_no_slices),
		cmocka_unit_test(a_plan_of_another_release_is_refused_with_words),
	    cmocka_unit_test(what_a_filter_drops_is_no_sample_and_is_counted_by_rule),
	    cmocka_unit_test(some_metrics_have_statistics_of_their_own),
	    cmocka_unit_test(points_beyond_max_age_are_dropped_and_their_samples_counted),
	    cmocka_unit_test(metrics_that_meet_in_one_name_are_counted_and_can_be_told_apart),
	    cmocka_unit_test(rules_see_each_statistic_with_its_name),
	    cmocka_unit_test(a_rule_without_effect_changes_nothing),
	    cmocka_unit_test(long_values_are_cut_and_series_beyond_other_limits_are_dead),
	    cmocka_unit_test(a_series_without_a_usable_name_is_dead),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
