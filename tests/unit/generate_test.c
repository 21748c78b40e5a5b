/* The generator and the CloudWatch encoders: what is encoded decodes to the same points in every format, and the seed decides all. */
#include "cli/generate.h"
#include "cli/source.h"
#include "convert/delivery.h"
#include "convert/decoder.h"
#include "tests/lib/delivery_lib.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#define POINTS_MAX 2000

static size_t make_points(const struct generate *g, struct cloudwatch_point *out)
{
	size_t n = 0;
	for (size_t s = 0; s < g->series && n + 2 <= POINTS_MAX; s++)
		n += generate_sent(g, s, 3, &out[n]);
	return n;
}

static void no_bad_piece(void *arg, const char *reason, uint64_t offset, struct sp_bytes bytes, enum piece_form form,
    const char *text)
{
	(void)form, (void)arg, (void)offset, (void)bytes;
	fail_msg("%s: %s", reason, text ? text : "");
}

static void assert_text(struct sp_bytes got, const char *want)
{
	assert_true(sp_eq(got, sp_str(want)));
}

static void assert_same(const struct cw_point *got, const struct cloudwatch_point *want)
{
	assert_text(got->account, want->account);
	assert_text(got->region, want->region);
	assert_text(got->ns, want->ns);
	assert_text(got->metric, want->metric);
	assert_text(got->unit, want->unit);
	assert_int_equal(got->n_dims, want->n_dims);
	for (size_t i = 0; i < want->n_dims; i++) {
		assert_text(got->dims[i].name, want->dim_names[i]);
		assert_text(got->dims[i].value, want->dim_values[i]);
	}
	assert_int_equal(got->start_ms, want->start_ms);
	assert_int_equal(got->end_ms, want->start_ms + 60000);
	assert_int_equal(got->has, CW_COUNT | CW_SUM | CW_MIN | CW_MAX);
	assert_true(got->count == (double)want->count && got->sum == want->sum && got->min == want->min && got->max == want->max);
	assert_int_equal(got->n_quantiles, want->n_quantiles);
	for (size_t i = 0; i < want->n_quantiles; i++) {
		assert_float_equal(got->quantiles[i].q, want->quantiles[i][0], 1e-12);
		assert_true(got->quantiles[i].value == want->quantiles[i][1]);
	}
}

static void every_format_carries_the_same_points(void **state)
{
	static struct cloudwatch_point want[POINTS_MAX];
	struct generate g = {.seed = 11, .series = 900, .start_ms = 1700000040000, .late_percent = 10};
	size_t n = make_points(&g, want);
	(void)state;
	for (int format = CLOUDWATCH_OTLP07; format <= CLOUDWATCH_JSON; format++) {
		struct sp_buf record = {0};
		struct cw_points got = {0};
		struct decoder d = {.arena = sp_arena_new(0), .points = &got, .bad = no_bad_piece};
		cloudwatch_record(&record, (enum cloudwatch_format)format, want, n);
		assert_true(sp_buf_ok(&record));
		assert_int_equal(record_decode(&d, sp_buf_view(&record)), SP_OK);
		assert_int_equal(got.n, n);
		assert_int_equal(d.dropped_values, 0);
		for (size_t i = 0; i < n; i++)
			assert_same(&got.v[i], &want[i]);
		sp_arena_free(&d.arena);
		sp_buf_free(&record);
	}
}

static void points_are_as_various_as_real_ones(void **state)
{
	static struct cloudwatch_point p[POINTS_MAX];
	struct generate g = {.seed = 1, .series = 1500};
	size_t n = make_points(&g, p), zero = 0, negative = 0, quantiles = 0, bare = 0, accounts = 0;
	(void)state;
	for (size_t i = 0; i < n; i++) {
		zero += p[i].sum == 0;
		negative += p[i].min < 0;
		quantiles += p[i].n_quantiles > 0;
		bare += p[i].n_dims == 0;
		accounts += i > 0 && strcmp(p[i].account, p[i - 1].account) != 0;
		assert_true(p[i].min <= p[i].max || p[i].count == 0);
	}
	assert_true(zero > 100 && negative > 5 && quantiles > 20 && bare > 50 && accounts > 1);
}

static int by_bytes(const void *a, const void *b)
{
	return memcmp(a, b, sizeof(uint64_t) * 2);
}

/* Names repeat as those of real resources do, but no two series are one. */
static void no_two_series_have_the_same_identity(void **state)
{
	enum { MANY = 200000 };
	static XXH128_hash_t seen[MANY];
	struct generate g = {.seed = 7, .series = MANY};
	struct cloudwatch_point p;
	(void)state;
	for (size_t s = 0; s < MANY; s++) {
		struct sp_buf b = {0};
		generate_point(&g, s, 0, &p);
		sp_buf_printf(&b, "%s\n%s\n%s\n%s", p.account, p.region, p.ns, p.metric);
		for (size_t i = 0; i < p.n_dims; i++) {
			assert_in_range(strlen(p.dim_values[i]), 1, sizeof p.dim_values[i] - 2);
			assert_true(i == 0 || strcmp(p.dim_names[i - 1], p.dim_names[i]) < 0);
			sp_buf_printf(&b, "\n%s=%s", p.dim_names[i], p.dim_values[i]);
		}
		seen[s] = XXH3_128bits(b.p, b.n);
		sp_buf_free(&b);
	}
	qsort(seen, MANY, sizeof *seen, by_bytes);
	for (size_t s = 1; s < MANY; s++)
		assert_true(memcmp(&seen[s - 1], &seen[s], sizeof *seen) != 0);
}

static struct convert_out run(struct converter *c, struct sp_buf *body, const struct sp_bytes *records, size_t n)
{
	struct convert_in in = {.max_inflated = (size_t)64 << 20, .now_ms = 1700000400000};
	struct convert_out out;
	struct sp_why why;
	sp_buf_clear(body);
	cloudwatch_body(body, "id", 1700000400000, records, n);
	in.body = sp_buf_view(body);
	assert_int_equal(converter_run(c, &in, &out, &why), SP_OK);
	assert_int_equal(out.http_status, 0);
	assert_int_equal(out.n_quarantine, 0);
	return out;
}

/* Whatever the preset, and also when the format changes from one record to the next. */
static void every_format_becomes_the_same_series(void **state)
{
	static const char *const presets[] = {"cloudwatch", "yace", "logzio", "otel"};
	static struct cloudwatch_point p[POINTS_MAX];
	struct generate g = {.seed = 21, .series = 1200, .start_ms = 1700000040000, .late_percent = 10};
	size_t n = make_points(&g, p), third = n / 3;
	struct sp_buf records[4][3] = {{{0}}}, body = {0}, first = {0};
	(void)state;
	for (int f = 0; f < 4; f++) /* the last one: each record another format */
		for (int i = 0; i < 3; i++)
			cloudwatch_record(&records[f][i], (enum cloudwatch_format)(f < 3 ? f : i), p + (size_t)i * third, i < 2 ? third : n - 2 * third);
	for (size_t i = 0; i < sizeof presets / sizeof *presets; i++) {
		Standpipe__Group group = STANDPIPE__GROUP__INIT, *groups[] = {&group};
		Standpipe__Plan plan = STANDPIPE__PLAN__INIT;
		struct converter *c = converter_new(0);
		group.naming = (char *)(uintptr_t)presets[i];
		group.shards = 4;
		group.max_samples = 10000;
		plan.groups = groups;
		plan.n_groups = 1;
		plan.max_future_ms = 600000;
		lib_one_tenant(&plan);
		if (converter_plan(c, &plan, NULL) != SP_OK)
			fail_msg("no preset %s", presets[i]);
		for (int f = 0; f < 4; f++) {
			struct sp_bytes views[] = {sp_buf_view(&records[f][0]), sp_buf_view(&records[f][1]), sp_buf_view(&records[f][2])};
			struct convert_out out = run(c, &body, views, 3);
			assert_true(out.groups[0].samples > 3 * n);
			if (f == 0) {
				sp_buf_clear(&first);
				sp_buf_add(&first, out.groups[0].payload);
			}
			assert_true(sp_eq(out.groups[0].payload, sp_buf_view(&first)));
		}
		converter_free(&c);
	}
	for (int f = 0; f < 4; f++)
		for (int i = 0; i < 3; i++)
			sp_buf_free(&records[f][i]);
	sp_buf_free(&body);
	sp_buf_free(&first);
}

static void the_seed_decides_everything(void **state)
{
	struct generate a = {.seed = 5, .series = 300}, b = a, c = {.seed = 6, .series = 300};
	static struct cloudwatch_point p[POINTS_MAX], q[POINTS_MAX], r[POINTS_MAX];
	size_t n = make_points(&a, p);
	(void)state;
	struct sp_buf one = {0}, two = {0}, other = {0};
	assert_int_equal(make_points(&b, q), n);
	assert_int_equal(make_points(&c, r), n);
	cloudwatch_record(&one, CLOUDWATCH_OTLP10, p, n);
	cloudwatch_record(&two, CLOUDWATCH_OTLP10, q, n);
	cloudwatch_record(&other, CLOUDWATCH_OTLP10, r, n);
	assert_true(sp_eq(sp_buf_view(&one), sp_buf_view(&two)));
	assert_false(sp_eq(sp_buf_view(&one), sp_buf_view(&other)));
	sp_buf_free(&one);
	sp_buf_free(&two);
	sp_buf_free(&other);
}

/* Without --size's own number of series the body ended with the default series, far too small. */
static void a_body_has_the_size_that_was_asked_for(void **state)
{
	(void)state;
	for (int format = -1; format <= CLOUDWATCH_JSON; format++) {
		struct source_options o = {.generate = {.seed = 1, .series = 100}, .minutes = 3, .streams = 1, .records = 3, .points_per_record = 350,
			.format = format, .size = 3 << 20};
		struct source *s = NULL;
		struct source_body b;
		struct sp_why why;
		assert_int_equal(source_new(&o, &s, &why), SP_OK);
		assert_int_equal(source_next(s, 0, &b, &why), SP_OK);
		assert_in_range(b.bytes.n, 3 << 20, (3 << 20) + (300 << 10));
		source_body_free(&b);
		assert_int_equal(source_next(s, 0, &b, &why), SP_NOT_FOUND);
		source_free(&s);
	}
}

static void every_series_is_dealt_to_one_stream(void **state)
{
	static const size_t series[] = {1, 7, 64, 503, 504, 505, 1000, 5000};
	(void)state;
	for (size_t i = 0; i < sizeof series / sizeof *series; i++) {
		for (size_t streams = 1; streams <= 70; streams += 23) {
			struct source_options o = {.generate = {.seed = 3, .series = series[i]}, .minutes = 1, .streams = streams, .records = 1, .points_per_record = 50};
			struct source *s = NULL;
			struct source_body b;
			struct sp_why why;
			uint64_t points = 0;
			FILE *lines = tmpfile();
			char *line = NULL;
			size_t cap = 0;
			static XXH128_hash_t seen[5000];
			o.expected = lines;
			assert_int_equal(source_new(&o, &s, &why), SP_OK);
			for (size_t k = 0; k < streams; k++)
				while (source_next(s, k, &b, &why) == SP_OK) {
					points += b.points;
					source_body_free(&b);
				}
			assert_int_equal(points, series[i]);
			rewind(lines);
			for (size_t n = 0; getline(&line, &cap, lines) > 0; n++)
				seen[n] = XXH3_128bits(line, strlen(line));
			qsort(seen, points, sizeof *seen, by_bytes);
			for (size_t n = 1; n < points; n++)
				assert_true(memcmp(&seen[n - 1], &seen[n], sizeof *seen) != 0);
			free(line);
			fclose(lines);
			source_free(&s);
		}
	}
}

static void deliveries_number_their_points_as_the_expected_file_does(void **state)
{
	struct source_options o = {.generate = {.seed = 3, .series = 101}, .minutes = 2, .streams = 2, .records = 1, .points_per_record = 20, .format = 0};
	struct source *s = NULL;
	struct source_body b;
	struct sp_why why;
	uint64_t points = 0;
	(void)state;
	assert_int_equal(source_new(&o, &s, &why), SP_OK);
	for (size_t stream = 0; stream < o.streams; stream++)
		while (source_next(s, stream, &b, &why) == SP_OK) {
			assert_int_equal(b.first_point, points);
			points += b.points;
			source_body_free(&b);
		}
	assert_int_equal(points, 202);
	source_free(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_format_carries_the_same_points),
		cmocka_unit_test(points_are_as_various_as_real_ones),
		cmocka_unit_test(no_two_series_have_the_same_identity),
		cmocka_unit_test(every_format_becomes_the_same_series),
		cmocka_unit_test(the_seed_decides_everything),
		cmocka_unit_test(a_body_has_the_size_that_was_asked_for),
		cmocka_unit_test(every_series_is_dealt_to_one_stream),
		cmocka_unit_test(deliveries_number_their_points_as_the_expected_file_does),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
