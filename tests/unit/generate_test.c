/* The generator and the CloudWatch encoders: what is encoded decodes to the same points in every format, and the seed decides all. */
#include "cli/generate.h"
#include "cli/source.h"
#include "convert/record.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#define POINTS_MAX 2000

static size_t make_points(const struct generate *g, struct cloudwatch_point *out)
{
	size_t n = 0;
	for (size_t s = 0; s < g->series && n + 2 <= POINTS_MAX; s++)
		n += generate_sent(g, s, 3, &out[n]);
	return n;
}

static void no_bad_piece(void *arg, const char *reason, uint64_t offset, struct sp_bytes bytes, const char *text)
{
	(void)arg, (void)offset, (void)bytes;
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
	assert_true(zero > 100 && negative > 5 && quantiles > 20 && bare > 50 && accounts > 10);
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
		cmocka_unit_test(the_seed_decides_everything),
		cmocka_unit_test(a_body_has_the_size_that_was_asked_for),
		cmocka_unit_test(deliveries_number_their_points_as_the_expected_file_does),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
