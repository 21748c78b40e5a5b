/* A Firehose body from bytes to batches: what is answered, what becomes series, what is set aside. */
#include "convert/delivery.h"

#include "common/alloc.h"
#include "convert/sketches.h"
#include "proto/info.h"
#include "proto/remote_write.h"
#include "tests/lib/delivery_lib.h"

#include <libdeflate.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#define MINUTE 60000
#define T0 1700000040000
#define POINTS 300

struct fixture {
	struct cw_point p[POINTS];
	struct cw_dim d[POINTS][2];
	struct cw_quantile q[POINTS][2];
	char id[POINTS][16];
};

static void make_points(struct fixture *f)
{
	static const char *const metrics[] = {"CPUUtilization", "NetworkIn", "DiskReadOps"};
	for (size_t i = 0; i < POINTS; i++) {
		snprintf(f->id[i], sizeof f->id[i], "i-%04zx", i / 6 * 7919 % 65536);
		f->d[i][0] = (struct cw_dim){SP_LIT("AvailabilityZone"), SP_LIT("eu-west-1a")};
		f->d[i][1] = (struct cw_dim){SP_LIT("InstanceId"), sp_str(f->id[i])};
		f->q[i][0] = (struct cw_quantile){0.5, (double)i / 3};
		f->q[i][1] = (struct cw_quantile){0.999, (double)i / 2};
		f->p[i] = (struct cw_point){.account = SP_LIT("123456789012"),
		    .region = SP_LIT("eu-west-1"),
		    .ns = SP_LIT("AWS/EC2"),
		    .metric = sp_str(metrics[i % 3]),
		    .unit = SP_LIT("{Count}"),
		    .dims = f->d[i],
		    .n_dims = 2,
		    .quantiles = f->q[i],
		    .n_quantiles = i % 5 ? 0 : 2,
		    .has = CW_COUNT | CW_SUM | CW_MIN | CW_MAX,
		    .start_ms = T0 + (int64_t)(i / 3 % 2) * MINUTE,
		    .end_ms = T0 + (int64_t)(i / 3 % 2 + 1) * MINUTE,
		    .count = (double)(i % 7),
		    .sum = (double)i * 0.1,
		    .min = (double)-(int)i,
		    .max = (double)i * 1e10};
	}
}

static Standpipe__Group cloudwatch_group(void)
{
	Standpipe__Group g = STANDPIPE__GROUP__INIT;
	g.id = 3;
	g.naming = (char *)(uintptr_t)"cloudwatch";
	g.shards = 4;
	g.max_samples = 10000;
	g.max_bytes = 1 << 20;
	g.max_raw_bytes = 4 << 20;
	return g;
}

static struct converter *new_converter(size_t budget)
{
	struct converter *c = converter_new(budget);
	Standpipe__Group g = cloudwatch_group();
	Standpipe__Group *groups[] = {&g};
	Standpipe__Plan plan = STANDPIPE__PLAN__INIT;
	plan.groups = groups;
	plan.n_groups = 1;
	lib_one_tenant(&plan);
	plan.max_future_ms = 10 * MINUTE;
	assert_int_equal(converter_plan(c, &plan, NULL), SP_OK);
	return c;
}

static struct convert_in input(const struct sp_buf *body)
{
	return (struct convert_in){.body = sp_buf_view(body),
	    .max_inflated = 1 << 20,
	    .has_request_id = true,
	    .request_id = SP_LIT("req-1"),
	    .source_arn = SP_LIT("arn:aws:firehose:eu-west-1:123456789012:deliverystream/all"),
	    .now_ms = T0 + 2 * MINUTE};
}

static struct sp_buf body_of(enum cw_format format, const struct cw_point *p, size_t n, size_t per_record)
{
	struct sp_buf body = {0};
	lib_envelope_begin(&body, "req-1", T0 + 2 * MINUTE);
	for (size_t i = 0; i < n; i += per_record) {
		struct sp_buf record = {0};
		lib_record(&record, format, p + i, n - i < per_record ? n - i : per_record);
		lib_envelope_record(&body, sp_buf_view(&record));
		sp_buf_free(&record);
	}
	lib_envelope_end(&body);
	return body;
}

static void all_formats_make_the_same_bytes(void **state)
{
	(void)state;
	static struct fixture f;
	make_points(&f);
	struct sp_buf first = {0};
	struct convert_slice slices[8];
	size_t n_slices = 0;
	for (int format = 0; format < CW_FORMATS; format++) {
		struct converter *c = new_converter(0);
		struct sp_buf body = body_of((enum cw_format)format, f.p, POINTS, 100);
		struct convert_in in = input(&body);
		struct convert_out out;
		assert_int_equal(converter_run(c, &in, &out, NULL), SP_OK);
		assert_int_equal(out.http_status, 0);
		assert_int_equal(out.n_quarantine, 0);
		assert_int_equal(out.records, 3);
		assert_int_equal(out.points[format], POINTS);
		assert_true(sp_eq(out.account, SP_LIT("123456789012")));
		assert_int_equal(out.sent_ms, T0 + 2 * MINUTE);
		assert_int_equal(out.n_groups, 1);
		const struct convert_group *g = &out.groups[0];
		assert_int_equal(g->id, 3);
		assert_int_equal(g->samples, out.samples);
		if (format == 0) {
			sp_buf_add(&first, g->payload);
			n_slices = g->n_slices;
			assert_in_range(n_slices, 2, 4);
			memcpy(slices, g->slices, n_slices * sizeof(*slices));
		}
		assert_true(sp_eq(g->payload, sp_buf_view(&first)));
		assert_int_equal(g->n_slices, n_slices);
		for (size_t i = 0; i < n_slices; i++) {
			const struct convert_slice *a = &slices[i], *b = &g->slices[i];
			assert_true(a->shard == b->shard && a->off == b->off && a->len == b->len && a->raw_len == b->raw_len);
			assert_true(a->series == b->series && a->samples == b->samples && a->min_ms == b->min_ms && a->max_ms == b->max_ms);
		}
		sp_buf_free(&body);
		converter_free(&c);
	}
	sp_buf_free(&first);
}

static void formats_may_be_mixed_and_the_last_arrival_wins(void **state)
{
	(void)state;
	static struct fixture f;
	make_points(&f);
	struct sp_buf body = {0};
	lib_envelope_begin(&body, "x", T0);
	for (int format = 0; format < CW_FORMATS; format++) {
		struct sp_buf record = {0};
		lib_record(&record, (enum cw_format)format, f.p + 1, 1);
		lib_envelope_record(&body, sp_buf_view(&record));
		sp_buf_free(&record);
	}
	lib_envelope_end(&body);
	struct converter *c = new_converter(0);
	struct convert_in in = input(&body);
	struct convert_out out;
	assert_int_equal(converter_run(c, &in, &out, NULL), SP_OK);
	assert_int_equal(out.n_groups, 1);
	assert_int_equal(out.groups[0].samples, 5);
	assert_int_equal(out.groups[0].merged, 10);
	assert_int_equal(out.groups[0].n_slices, 1);
	sp_buf_free(&body);
	converter_free(&c);
}

static struct sp_buf gzip(struct sp_bytes s)
{
	struct libdeflate_compressor *z = libdeflate_alloc_compressor(6);
	struct sp_buf out = {0};
	size_t bound = libdeflate_gzip_compress_bound(z, s.n);
	uint8_t *to = sp_buf_room(&out, bound);
	out.n = libdeflate_gzip_compress(z, s.p, s.n, to, bound);
	assert_true(out.n > 0);
	libdeflate_free_compressor(z);
	return out;
}

static void a_gzip_body_is_the_same_body(void **state)
{
	(void)state;
	static struct fixture f;
	make_points(&f);
	struct converter *c = new_converter(0);
	struct sp_buf body = body_of(CW_OTLP10, f.p, POINTS, 100), packed = gzip(sp_buf_view(&body));
	struct convert_in in = input(&body);
	struct convert_out out;
	assert_int_equal(converter_run(c, &in, &out, NULL), SP_OK);
	uint64_t samples = out.samples;
	in.body = sp_buf_view(&packed);
	for (int said = 0; said < 2; said++) { /* a proxy may have taken the header away */
		in.gzip = said;
		assert_int_equal(converter_run(c, &in, &out, NULL), SP_OK);
		assert_int_equal(out.http_status, 0);
		assert_int_equal(out.samples, samples);
	}
	sp_buf_free(&body);
	sp_buf_free(&packed);
	converter_free(&c);
}

static void refused(struct converter *c, struct convert_in in, const char *code)
{
	struct convert_out out;
	struct sp_why why = {0};
	assert_int_equal(converter_run(c, &in, &out, &why), SP_OK);
	assert_int_equal(out.http_status, 400);
	assert_string_equal(out.code, code);
	assert_true(out.text[0]);
	assert_int_equal(out.n_groups, 0);
	assert_int_equal(out.n_quarantine, 0);
	for (const char *t = out.text; *t; t++)
		assert_in_range(*t, 0x20, 0x7e);
}

static void what_cannot_be_understood_is_refused_with_its_code(void **state)
{
	(void)state;
	static const struct {
		const char *body, *code;
	} cases[] = {
		{"", "E_BODY"}, {"  \n", "E_BODY"}, {"nonsense", "E_JSON"}, {"{\"records\":[", "E_JSON"}, {"[]", "E_JSON"},
		{"{\"requestId\":\"x\",\"records\":[]} x", "E_JSON"}, {"{\"requestId\":\"x\"}", "E_RECORDS"},
		{"{\"requestId\":\"x\",\"records\":{}}", "E_RECORDS"},
	};
	struct converter *c = new_converter(0);
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct sp_buf body = {0};
		sp_buf_str(&body, cases[i].body);
		refused(c, input(&body), cases[i].code);
		sp_buf_free(&body);
	}
	struct sp_buf body = {0}, zeros = {0};
	sp_buf_str(&body, "{\"records\":[]}");
	struct convert_in in = input(&body);
	in.gzip = true;
	refused(c, in, "E_GZIP"); /* not gzip at all */
	for (int i = 0; i < 1000; i++)
		sp_buf_str(&zeros, "                                                                ");
	struct sp_buf packed = gzip(sp_buf_view(&zeros));
	in.body = sp_buf_view(&packed);
	in.max_inflated = 1000;
	refused(c, in, "E_SIZE");
	in.max_inflated = 1 << 20;
	in.body.n -= 5;
	refused(c, in, "E_GZIP");
	sp_buf_free(&packed);
	sp_buf_free(&zeros);
	sp_buf_free(&body);
	converter_free(&c);
}

static void request_ids(void **state)
{
	(void)state;
	struct converter *c = new_converter(0);
	struct sp_buf with = {0}, without = {0};
	struct convert_out out;
	sp_buf_str(&with, "{\"requestId\":\"of the \\\"body\\\"\",\"records\":[]}");
	sp_buf_str(&without, "{\"records\":[]}");
	struct convert_in in = input(&with);
	assert_int_equal(converter_run(c, &in, &out, NULL), SP_OK);
	assert_true(out.http_status == 0 && sp_eq(out.request_id, SP_LIT("req-1"))); /* the header's, when they differ */
	in.has_request_id = false;
	in.request_id = (struct sp_bytes){0};
	assert_int_equal(converter_run(c, &in, &out, NULL), SP_OK);
	assert_true(out.http_status == 0 && sp_eq(out.request_id, SP_LIT("of the \"body\"")));
	in.body = sp_buf_view(&without);
	refused(c, in, "E_REQID");
	char longest[257];
	memset(longest, 'a', sizeof(longest));
	in.has_request_id = true;
	in.request_id = sp_bytes(longest, 257);
	refused(c, in, "E_REQID");
	in.request_id.n = 256;
	assert_int_equal(converter_run(c, &in, &out, NULL), SP_OK);
	assert_int_equal(out.http_status, 0);
	in.request_id = SP_LIT("a\x01");
	refused(c, in, "E_REQID");
	in.request_id = SP_LIT("\xff");
	refused(c, in, "E_REQID");
	sp_buf_free(&with);
	sp_buf_free(&without);
	converter_free(&c);
}

static void a_bad_record_is_set_aside_and_the_rest_goes_on(void **state)
{
	(void)state;
	static struct fixture f;
	make_points(&f);
	struct sp_buf body = {0}, record = {0};
	lib_record(&record, CW_OTLP10, f.p, 10);
	lib_envelope_begin(&body, "req-1", T0);
	lib_envelope_record(&body, sp_buf_view(&record));
	sp_buf_str(&body, ",{\"data\":\"AA*A\"},{\"data\":7}");
	lib_envelope_record(&body, SP_LIT("\x7f" "garbage"));
	lib_envelope_record(&body, sp_buf_view(&record));
	lib_envelope_end(&body);
	struct converter *c = new_converter(0);
	struct convert_in in = input(&body);
	struct convert_out out;
	assert_int_equal(converter_run(c, &in, &out, NULL), SP_OK);
	assert_int_equal(out.http_status, 0);
	assert_int_equal(out.records, 5);
	assert_int_equal(out.points[CW_OTLP10], 20);
	assert_int_equal(out.n_quarantine, 3);
	assert_string_equal(out.quarantine[0].reason, "bad_base64");
	assert_int_equal(out.quarantine[0].record, 1);
	assert_true(sp_eq(out.quarantine[0].bytes, SP_LIT("AA*A")));
	assert_string_equal(out.quarantine[1].reason, "no_data");
	assert_int_equal(out.quarantine[2].record, 3);
	assert_true(out.quarantine[2].text[0]);
	assert_int_equal(out.quarantined, 3);
	sp_buf_free(&body);
	sp_buf_free(&record);
	converter_free(&c);
}

static void points_of_the_future_are_set_aside(void **state)
{
	(void)state;
	static struct fixture f;
	make_points(&f);
	f.p[1].start_ms = T0 + 20 * MINUTE;
	f.p[1].end_ms = T0 + 21 * MINUTE;
	for (int format = 0; format < CW_FORMATS; format++) {
		struct sp_buf body = body_of((enum cw_format)format, f.p, 3, 3);
		struct converter *c = new_converter(0);
		struct convert_in in = input(&body);
		struct convert_out out;
		assert_int_equal(converter_run(c, &in, &out, NULL), SP_OK);
		assert_int_equal(out.n_quarantine, 1);
		assert_string_equal(out.quarantine[0].reason, "future");
		assert_int_equal(out.quarantine[0].record, 0);
		assert_true(out.quarantine[0].bytes.n > 0);
		uint64_t kept = out.samples;
		in.now_ms = T0 + 11 * MINUTE; /* not a moment too early */
		assert_int_equal(converter_run(c, &in, &out, NULL), SP_OK);
		assert_int_equal(out.n_quarantine, 0);
		assert_int_equal(out.samples, kept + 5);
		in.now_ms = 0; /* our clock is wrong, Firehose's is not */
		sp_buf_clear(&body);
		lib_envelope_begin(&body, "req-1", T0 + 11 * MINUTE);
		struct sp_buf record = {0};
		lib_record(&record, (enum cw_format)format, f.p, 3);
		lib_envelope_record(&body, sp_buf_view(&record));
		lib_envelope_end(&body);
		in.body = sp_buf_view(&body);
		assert_int_equal(converter_run(c, &in, &out, NULL), SP_OK);
		assert_int_equal(out.n_quarantine, 0);
		sp_buf_free(&record);
		sp_buf_free(&body);
		converter_free(&c);
	}
}

static void evidence_is_bounded_and_counts_everything(void **state)
{
	(void)state;
	struct sp_buf body = {0}, lines = {0};
	lib_envelope_begin(&body, "req-1", T0);
	for (int r = 0; r < 8; r++) { /* lines that are no metric, in all more pieces than are kept one by one */
		sp_buf_clear(&lines);
		for (int i = 0; i < 50; i++)
			sp_buf_printf(&lines, "{\"metric_name\":%d}\n", i);
		lib_envelope_record(&body, sp_buf_view(&lines));
	}
	lib_envelope_end(&body);
	struct converter *c = new_converter(0);
	struct convert_in in = input(&body);
	struct convert_out out;
	assert_int_equal(converter_run(c, &in, &out, NULL), SP_OK);
	assert_int_equal(out.quarantined, 400);
	assert_in_range(out.n_quarantine, 8, 108);
	uint64_t pieces = 0;
	for (size_t i = 0; i < out.n_quarantine; i++)
		pieces += out.quarantine[i].pieces;
	assert_int_equal(pieces, 400);
	assert_true(sp_eq(out.quarantine[out.n_quarantine - 1].bytes, sp_buf_view(&lines))); /* a whole record */
	sp_buf_free(&body);
	sp_buf_free(&lines);
	converter_free(&c);
}

static void too_little_memory_means_not_now(void **state)
{
	(void)state;
	static struct fixture f;
	make_points(&f);
	struct sp_buf large = body_of(CW_OTLP10, f.p, POINTS, 100), small = body_of(CW_OTLP10, f.p, 3, 3);
	struct converter *c = new_converter(100000);
	struct convert_in in = input(&large);
	struct convert_out out;
	struct sp_why why = {0};
	assert_int_equal(converter_run(c, &in, &out, &why), SP_NO_MEM);
	assert_true(why.text[0]);
	in.body = sp_buf_view(&small);
	assert_int_equal(converter_run(c, &in, &out, NULL), SP_OK);
	assert_int_equal(out.points[CW_OTLP10], 3);
	sp_buf_free(&large);
	sp_buf_free(&small);
	converter_free(&c);
}

static void each_group_of_the_plan_gets_its_own_payload(void **state)
{
	(void)state;
	static struct fixture f;
	make_points(&f);
	struct sp_buf body = body_of(CW_JSON, f.p + 1, 1, 1);
	Standpipe__Group all = cloudwatch_group(), some = cloudwatch_group();
	char *only[] = {(char *)(uintptr_t)"maximum"};
	some.id = 9;
	some.statistics = only;
	some.n_statistics = 1;
	Standpipe__Group *groups[] = {&all, &some};
	Standpipe__Plan plan = STANDPIPE__PLAN__INIT;
	plan.groups = groups;
	plan.n_groups = 2;
	lib_one_tenant(&plan);
	struct converter *c = converter_new(0);
	assert_int_equal(converter_plan(c, &plan, NULL), SP_OK);
	struct convert_in in = input(&body);
	struct convert_out out;
	assert_int_equal(converter_run(c, &in, &out, NULL), SP_OK);
	assert_int_equal(out.n_groups, 2);
	assert_true(out.groups[0].id == 3 && out.groups[0].samples == 5);
	assert_true(out.groups[1].id == 9 && out.groups[1].samples == 1);
	assert_int_equal(out.samples, 6);

	some.naming = (char *)(uintptr_t)"unheard of";
	assert_int_equal(converter_plan(c, &plan, NULL), SP_CONFIG); /* the former plan stays */
	assert_int_equal(converter_run(c, &in, &out, NULL), SP_OK);
	assert_int_equal(out.n_groups, 2);
	sp_buf_free(&body);
	converter_free(&c);
}

/* The ids of the groups that a delivery is made for, such as "0 2". */
static void groups_are(struct converter *c, const char *key, const char *attributes, const char *ids)
{
	static struct fixture f;
	make_points(&f);
	struct sp_buf body = body_of(CW_JSON, f.p, 1, 1), got = {0};
	struct convert_in in = input(&body);
	struct convert_out out;
	in.key_name = sp_str(key);
	in.common_attributes = sp_str(attributes);
	assert_int_equal(converter_run(c, &in, &out, NULL), SP_OK);
	for (size_t i = 0; i < out.n_groups; i++)
		sp_buf_printf(&got, "%s%u", i ? " " : "", out.groups[i].id);
	assert_true(sp_eq(sp_buf_view(&got), sp_str(ids)));
	sp_buf_free(&got);
	sp_buf_free(&body);
}

/* Of a group that sends the series as they are, and of one whose rules look at each. */
static void active_series_are_counted_once(void **state)
{
	(void)state;
	static struct fixture f;
	Standpipe__Group g[2] = {cloudwatch_group(), cloudwatch_group()}, *groups[] = {&g[0], &g[1]};
	Standpipe__Relabel rule = STANDPIPE__RELABEL__INIT, *rules[] = {&rule};
	Standpipe__Plan plan = STANDPIPE__PLAN__INIT;
	g[0].id = 0, g[1].id = 1;
	rule.action = (char *)(uintptr_t)"replace";
	rule.regex = (char *)(uintptr_t)"(.*)";
	rule.separator = (char *)(uintptr_t)";";
	rule.target_label = (char *)(uintptr_t)"team";
	rule.replacement = (char *)(uintptr_t)"a";
	g[1].relabel = rules;
	g[1].n_relabel = 1;
	plan.groups = groups;
	plan.n_groups = 2;
	lib_one_tenant(&plan);
	plan.max_future_ms = 10 * MINUTE;
	make_points(&f);
	f.p[0].ns = SP_LIT("AWS/RDS");
	struct converter *c = converter_new(0);
	assert_int_equal(converter_plan(c, &plan, NULL), SP_OK);
	struct sp_buf body = body_of(CW_OTLP10, f.p, POINTS, 100);
	struct convert_in in = input(&body);
	struct convert_out out;
	for (int round = 0; round < 2; round++) {
		assert_int_equal(converter_run(c, &in, &out, NULL), SP_OK);
		assert_int_equal(out.n_groups, 2);
		for (uint32_t i = 0; i < 2; i++) {
			double series = 0, estimate = 0;
			for (size_t k = 0; k < out.groups[i].n_slices; k++)
				series += out.groups[i].slices[k].series;
			assert_true(series > 500);
			double one = sp_hll_estimate(sketches_get(converter_sketches(c), i, SP_LIT("AWS/RDS")));
			estimate = one + sp_hll_estimate(sketches_get(converter_sketches(c), i, SP_LIT("AWS/EC2")));
			assert_true(one >= 4 && one < 8);
			if (fabs(estimate - series) > 0.05 * series)
				fail_msg("%g series, estimated %g", series, estimate);
		}
	}
	assert_int_equal(converter_plan(c, &plan, NULL), SP_OK); /* a new plan has other groups */
	assert_true(sp_hll_estimate(sketches_get(converter_sketches(c), 0, SP_LIT("AWS/EC2"))) == 0);
	sp_buf_free(&body);
	converter_free(&c);
}

static void a_tenant_gets_its_own_groups_and_attributes_choose_among_them(void **state)
{
	(void)state;
	enum { GROUPS = 200 };
	static Standpipe__Group g[GROUPS], *groups[GROUPS];
	Standpipe__AttributeMatch match = STANDPIPE__ATTRIBUTE_MATCH__INIT, *matches[] = {&match};
	Standpipe__Tenant others = STANDPIPE__TENANT__INIT, one = STANDPIPE__TENANT__INIT, many[GROUPS], *tenants[GROUPS + 2];
	Standpipe__Plan plan = STANDPIPE__PLAN__INIT;
	char names[GROUPS][8];
	match.name = (char *)(uintptr_t)"Listener";
	match.value_hash = XXH3_64bits("eu", 2);
	for (uint32_t i = 0; i < GROUPS; i++) {
		g[i] = cloudwatch_group();
		groups[i] = &g[i];
		g[i].id = i;
	}
	g[2].match_attributes = matches;
	g[2].n_match_attributes = 1;
	others.groups = (uint32_t[]){0, 2};
	others.n_groups = 2;
	one.key_name = (char *)(uintptr_t)"one";
	one.groups = (uint32_t[]){1};
	one.n_groups = 1;
	tenants[0] = &others, tenants[1] = &one;
	for (uint32_t i = 0; i < GROUPS; i++) { /* more tenants than encoders are kept */
		snprintf(names[i], sizeof names[i], "k%u", i);
		standpipe__tenant__init(&many[i]);
		many[i].key_name = names[i];
		many[i].groups = &g[i].id;
		many[i].n_groups = 1;
		tenants[2 + i] = &many[i];
	}
	plan.groups = groups;
	plan.n_groups = GROUPS;
	plan.tenants = tenants;
	plan.n_tenants = GROUPS + 2;
	plan.max_future_ms = 10 * MINUTE;
	struct converter *c = converter_new(0);
	assert_int_equal(converter_plan(c, &plan, NULL), SP_OK);
	groups_are(c, "one", "", "1");
	groups_are(c, "unknown", "", "0");
	groups_are(c, "", "{\"commonAttributes\":{\"LISTENER\":\"eu\"}}", "2");
	groups_are(c, "", "{\"commonAttributes\":{\"LISTENER\":\"us\"}}", "0");
	for (int round = 0; round < 2; round++)
		for (uint32_t i = 3; i < GROUPS; i++)
			groups_are(c, names[i], "", names[i] + 1);
	one.groups[0] = GROUPS;
	assert_int_equal(converter_plan(c, &plan, NULL), SP_CONFIG);
	converter_free(&c);
}

static void the_capture_makes_the_known_number_of_samples(void **state)
{
	(void)state;
	const char *dir = getenv("STANDPIPE_CAPTURES");
	if (!dir) {
		print_message("SKIP: STANDPIPE_CAPTURES is not set; all_formats_make_the_same_bytes is the twin on generated data\n");
		skip();
	}
	char *path = sp_asprintf("%s/real/logzio-otlp07-validEvent.body.json", dir);
	FILE *file = fopen(path, "rb");
	assert_non_null(file);
	struct sp_buf body = {0};
	uint8_t *to = sp_buf_room(&body, 16 << 20);
	body.n = fread(to, 1, 16 << 20, file);
	fclose(file);
	sp_free(path);
	struct converter *c = new_converter(0);
	struct convert_in in = input(&body);
	in.max_inflated = 64 << 20;
	struct convert_out out;
	assert_int_equal(converter_run(c, &in, &out, NULL), SP_OK);
	assert_int_equal(out.http_status, 0);
	assert_int_equal(out.n_quarantine, 0);
	assert_int_equal(out.points[CW_OTLP07], 953);
	assert_int_equal(out.samples + out.groups[0].merged, 4894);
	sp_buf_free(&body);
	converter_free(&c);
}

/* Every series of the payload finds an entry; *n counts them. */
static void expect_informed(const struct convert_group *g, const struct info *info, Standpipe__InfoEntry__Type type, size_t *n)
{
	for (size_t i = 0; i < g->n_slices; i++) {
		struct sp_buf raw = {0};
		assert_int_equal(rw_uncompress(sp_bytes(g->payload.p + g->slices[i].off, g->slices[i].len), 1 << 30, &raw, NULL), SP_OK);
		struct sp_bytes in = sp_buf_view(&raw);
		struct rw_series s;
		for (; rw_next(&in, &s, NULL) == SP_OK; (*n)++) {
			const Standpipe__InfoEntry *e = info_find(info, rw_find_label(s.labels, SP_LIT("__name__")));
			assert_non_null(e);
			assert_int_equal(e->type, type);
			assert_string_equal(e->unit, strstr(e->help, "Network") ? "bytes_per_second" : "");
			assert_non_null(strstr(e->help, "CloudWatch metric AWS/EC2 "));
		}
		sp_buf_free(&raw);
	}
}

static void each_series_finds_what_its_metric_is(void **state)
{
	(void)state;
	static const char *const presets[] = {"cloudwatch", "otel", "cloudwatch"};
	static const size_t entries[] = {3, 3, 3 * 7}; /* rewritten names are not taken apart */
	char *name = (char *)(uintptr_t)"__name__", separator[] = ";", regex[] = "aws_(.*)", replacement[] = "cw_$1";
	static struct fixture f;
	make_points(&f);
	for (size_t i = 1; i < POINTS; i += 3)
		f.p[i].unit = SP_LIT("By/s");
	struct sp_buf body = body_of(CW_OTLP10, f.p, POINTS, 100);
	Standpipe__Group groups[] = {cloudwatch_group(), cloudwatch_group(), cloudwatch_group()};
	Standpipe__Group *pointers[] = {&groups[0], &groups[1], &groups[2]};
	Standpipe__Relabel rule = STANDPIPE__RELABEL__INIT, *rules[] = {&rule};
	rule.source_labels = &name;
	rule.n_source_labels = 1;
	rule.target_label = name;
	rule.separator = separator;
	rule.regex = regex;
	rule.replacement = replacement;
	rule.action = (char *)(uintptr_t)"replace";
	groups[2].relabel = rules;
	groups[2].n_relabel = 1;
	Standpipe__Plan plan = STANDPIPE__PLAN__INIT;
	plan.groups = pointers;
	plan.n_groups = 3;
	for (size_t i = 0; i < 3; i++)
		groups[i].naming = (char *)(uintptr_t)presets[i];
	lib_one_tenant(&plan);
	struct converter *c = converter_new((size_t)256 << 20);
	assert_int_equal(converter_plan(c, &plan, NULL), SP_OK);
	for (int round = 0; round < 2; round++) { /* the second finds everything kept */
		struct convert_in in = input(&body);
		struct convert_out out;
		assert_int_equal(converter_run(c, &in, &out, NULL), SP_OK);
		assert_int_equal(out.n_groups, 3);
		for (size_t i = 0; i < 3; i++) {
			struct info *info = NULL;
			size_t series = 0;
			assert_int_equal(info_read(out.groups[i].info, &info, NULL), SP_OK);
			expect_informed(&out.groups[i], info,
				i == 1 ? STANDPIPE__INFO_ENTRY__TYPE__SUMMARY : STANDPIPE__INFO_ENTRY__TYPE__GAUGE, &series);
			assert_true(series > POINTS / 2);
			assert_in_range(out.groups[i].info.n, entries[i] * 15, entries[i] * 90); /* each metric is there once, in whatever many shards */
			info_free(&info);
		}
	}
	converter_free(&c);
	sp_buf_free(&body);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_formats_make_the_same_bytes),
		cmocka_unit_test(formats_may_be_mixed_and_the_last_arrival_wins),
		cmocka_unit_test(each_series_finds_what_its_metric_is),
		cmocka_unit_test(a_gzip_body_is_the_same_body),
		cmocka_unit_test(what_cannot_be_understood_is_refused_with_its_code),
		cmocka_unit_test(request_ids),
		cmocka_unit_test(a_bad_record_is_set_aside_and_the_rest_goes_on),
		cmocka_unit_test(points_of_the_future_are_set_aside),
		cmocka_unit_test(evidence_is_bounded_and_counts_everything),
		cmocka_unit_test(too_little_memory_means_not_now),
		cmocka_unit_test(each_group_of_the_plan_gets_its_own_payload),
		cmocka_unit_test(active_series_are_counted_once),
		cmocka_unit_test(a_tenant_gets_its_own_groups_and_attributes_choose_among_them),
		cmocka_unit_test(the_capture_makes_the_known_number_of_samples),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
