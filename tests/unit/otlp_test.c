/* The walk over the wire against a decoder that protobuf-c makes from the definitions, on messages of any order and then damaged ones.
 * What single points become is in tests/golden/decode_test.py. */
#include "convert/otlp.h"

#include "tests/lib/input_lib.h"
#include "tests/lib/otlp_oracle.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <cmocka.h>

#define MESSAGES 2500
#define ROUNDS 4 /* damaged copies of each */

/* ---- messages ---- */

static uint64_t seed;

static uint64_t draw(uint64_t below)
{
	seed ^= seed << 13, seed ^= seed >> 7, seed ^= seed << 17;
	return seed % below;
}

/* Fields of one message, written in any order. */
struct fields {
	struct sp_buf v[24];
	size_t n;
};

static struct sp_buf *add(struct fields *f)
{
	assert_true(f->n < 24);
	f->v[f->n] = (struct sp_buf){0};
	return &f->v[f->n++];
}

static void put(struct sp_buf *b, uint32_t number, struct sp_bytes s)
{
	sp_buf_varint(b, number << 3 | 2);
	sp_buf_varint(b, s.n);
	sp_buf_add(b, s);
}

static void put_fixed(struct sp_buf *b, uint32_t number, uint64_t v)
{
	sp_buf_varint(b, number << 3 | 1);
	for (int i = 0; i < 8; i++)
		sp_buf_u8(b, (uint8_t)(v >> 8 * i));
}

static void put_double(struct sp_buf *b, uint32_t number, double v)
{
	uint64_t bits;
	memcpy(&bits, &v, 8);
	put_fixed(b, number, bits);
}

/* Puts the fields as sub-message `number` of b; number 0: as they are. Sometimes with a field nobody knows, sometimes in two parts. */
static void finish(struct sp_buf *b, uint32_t number, struct fields *f, bool may_part)
{
	struct sp_buf whole = {0};
	if (draw(8) == 0)
		put(add(f), 300 + (uint32_t)draw(5), SP_LIT("unknown"));
	if (draw(8) == 0)
		put_fixed(add(f), 200, 7);
	for (size_t i = 0; i < f->n; i++) {
		if (draw(3) == 0) {
			size_t other = draw(f->n);
			struct sp_buf t = f->v[i];
			f->v[i] = f->v[other], f->v[other] = t;
		}
	}
	size_t part = may_part && draw(6) == 0 ? draw(f->n + 1) : f->n;
	for (size_t i = 0; i < f->n; i++) {
		if (i == part) {
			put(b, number, sp_buf_view(&whole));
			sp_buf_clear(&whole);
		}
		sp_buf_add(&whole, sp_buf_view(&f->v[i]));
		sp_buf_free(&f->v[i]);
	}
	if (number)
		put(b, number, sp_buf_view(&whole));
	else
		sp_buf_add(b, sp_buf_view(&whole));
	sp_buf_free(&whole);
	f->n = 0;
}

static struct sp_bytes word(void)
{
	static const char *const words[] = {"Namespace", "MetricName", "InstanceId", "LoadBalancer", "a", "", "Dimensions", "AWS/EC2",
		"amazonaws.com/AWS/EC2/CPUUtilization", "amazonaws.com/x", "amazonaws.com/AWS/EC2/a/b", "i-0123456789abcdef0", "cloud.region",
		"cloud.account.id", "arn:aws:cloudwatch:eu-west-1:123456789012:metric-stream/all", "\xff\xfe"};
	return sp_str(words[draw(sizeof words / sizeof *words)]);
}

static void put_value(struct sp_buf *b)
{
	struct fields f = {.n = 0};
	struct sp_bytes text = word();
	switch (draw(8)) {
	case 0:
		sp_buf_varint(add(&f), 2 << 3), sp_buf_u8(&f.v[0], (uint8_t)draw(2));
		break;
	case 1:
		sp_buf_varint(add(&f), 3 << 3), sp_buf_varint(&f.v[0], seed >> 8);
		break;
	case 2:
		break; /* not set */
	default:
		put(add(&f), 1, text);
	}
	finish(b, 2, &f, text.n > 0); /* protobuf-c forgets an empty one when it merges */
}

static void put_pair(struct sp_buf *b, uint32_t number, struct sp_bytes key)
{
	struct fields f = {.n = 0};
	put(add(&f), 1, key);
	put_value(add(&f));
	finish(b, number, &f, false);
}

static void put_dimensions(struct sp_buf *b)
{
	struct fields map = {.n = 0}, value = {.n = 0}, pair = {.n = 0};
	for (size_t i = draw(5); i > 0; i--)
		put_pair(add(&map), 1, word());
	finish(add(&value), 6, &map, false);
	put(add(&pair), 1, SP_LIT("Dimensions"));
	finish(add(&pair), 2, &value, false);
	finish(b, 7, &pair, false);
}

static void put_quantile(struct sp_buf *b)
{
	static const double values[] = {0, 1, 0.5, 0.99, -0.0, 1.5, 1e300, 42, -3};
	struct fields f = {.n = 0};
	if (draw(4))
		put_double(add(&f), 1, values[draw(6)]);
	if (draw(4))
		put_double(add(&f), 2, draw(10) ? values[draw(9)] : __builtin_nan(""));
	finish(b, 6, &f, false);
}

static void put_point(struct sp_buf *b, unsigned version)
{
	struct fields f = {.n = 0};
	if (draw(5))
		put_fixed(add(&f), 2, 1700000000000000000 + draw(1000));
	if (draw(5))
		put_fixed(add(&f), 3, 1700000060000000000);
	if (draw(3))
		put_fixed(add(&f), 4, draw(100));
	if (draw(3))
		put_double(add(&f), 5, (double)draw(1000) / 8);
	if (draw(12) == 0)
		sp_buf_varint(add(&f), 8 << 3), sp_buf_u8(&f.v[f.n - 1], (uint8_t)draw(4));
	for (size_t i = draw(5); i > 0; i--)
		put_quantile(add(&f));
	for (size_t i = version & 1 ? draw(5) + 1 : 0; i > 0; i--) {
		struct fields label = {.n = 0};
		put(add(&label), 1, word());
		put(add(&label), 2, word());
		finish(add(&f), 1, &label, false);
	}
	for (size_t i = version & 2 ? draw(4) + 1 : 0; i > 0; i--)
		put_pair(add(&f), 7, word());
	if (version & 2)
		put_dimensions(add(&f));
	finish(b, 1, &f, false);
}

static void put_metric(struct sp_buf *b)
{
	struct fields f = {.n = 0}, summary = {.n = 0};
	unsigned version = 1 + (unsigned)draw(3); /* 0.7, 1.0, or both at once */
	put(add(&f), 1, word());
	put(add(&f), 3, SP_LIT("By/s"));
	for (size_t i = draw(4); i > 0; i--)
		put_point(add(&summary), version);
	finish(add(&f), 11, &summary, true);
	finish(b, 2, &f, false);
}

static void put_request(struct sp_buf *b)
{
	struct fields request = {.n = 0}, rm = {.n = 0}, resource = {.n = 0}, scope = {.n = 0};
	for (size_t n = draw(3) + 1; n > 0; n--) {
		put_pair(add(&resource), 1, SP_LIT("cloud.account.id"));
		put_pair(add(&resource), 1, SP_LIT("aws.exporter.arn"));
		finish(add(&rm), 1, &resource, true);
		for (size_t i = draw(4); i > 0; i--)
			put_metric(add(&scope));
		finish(add(&rm), 2, &scope, false);
		finish(add(&request), 1, &rm, false);
	}
	finish(b, 0, &request, false);
}

/* ---- comparison ---- */

static bool same_number(double a, double b)
{
	return memcmp(&a, &b, sizeof a) == 0;
}

static void same_point(const struct cw_point *a, const struct cw_point *b)
{
	assert_true(sp_eq(a->account, b->account) && sp_eq(a->region, b->region) && sp_eq(a->stream, b->stream));
	assert_true(sp_eq(a->ns, b->ns) && sp_eq(a->metric, b->metric) && sp_eq(a->unit, b->unit));
	assert_int_equal(a->format, b->format);
	assert_int_equal(a->start_ms, b->start_ms);
	assert_int_equal(a->end_ms, b->end_ms);
	assert_int_equal(a->has, b->has);
	assert_true(!(a->has & CW_COUNT) || same_number(a->count, b->count));
	assert_true(!(a->has & CW_SUM) || same_number(a->sum, b->sum));
	assert_true(!(a->has & CW_MIN) || same_number(a->min, b->min));
	assert_true(!(a->has & CW_MAX) || same_number(a->max, b->max));
	assert_int_equal(a->n_dims, b->n_dims);
	for (size_t i = 0; i < a->n_dims; i++)
		assert_true(sp_eq(a->dims[i].name, b->dims[i].name) && sp_eq(a->dims[i].value, b->dims[i].value));
	assert_int_equal(a->n_quantiles, b->n_quantiles);
	for (size_t i = 0; i < a->n_quantiles; i++)
		assert_true(same_number(a->quantiles[i].q, b->quantiles[i].q) && same_number(a->quantiles[i].value, b->quantiles[i].value));
}

struct seen {
	size_t bad;
	const char *reason, *text;
};

static void take_bad(void *arg, const char *reason, uint64_t offset, struct sp_bytes bytes, const char *text)
{
	struct seen *s = arg;
	(void)offset, (void)bytes;
	s->bad++;
	s->reason = reason, s->text = text;
}

/* Returns how many points were compared. */
static size_t compare(struct sp_bytes message)
{
	struct sp_arena *arena = sp_arena_new(0);
	struct cw_points got = {0}, want = {0};
	struct seen seen = {0};
	struct decoder d = {.arena = arena, .points = &got, .bad = take_bad, .arg = &seen};
	size_t set_aside = 0, n = 0;
	assert_int_equal(otlp_decode(&d, message, 0), SP_OK);
	bool refused = seen.bad && (strcmp(seen.reason, "bad_message") == 0 || strcmp(seen.reason, "too_deep") == 0);
	enum oracle_result result = oracle_decode(message, arena, &want, &set_aside);
	if (refused) {
		assert_int_equal(got.n, 0);
		assert_int_equal(seen.bad, 1);
		/* protobuf-c takes field number 0 for an unknown one. */
		if (result == ORACLE_OK)
			assert_string_equal(seen.text, "no field tag");
	} else if (result == ORACLE_OK) {
		assert_int_equal(got.n, want.n);
		assert_int_equal(seen.bad, set_aside);
		for (n = 0; n < got.n; n++)
			same_point(&got.v[n], &want.v[n]);
	}
	sp_arena_free(&arena);
	return n;
}

static void reads_what_protobuf_c_reads(void **state)
{
	struct sp_buf message = {0}, damaged = {0};
	size_t points = 0, of_damaged = 0;
	(void)state;
	seed = 20221125;
	for (size_t i = 0; i < MESSAGES; i++) {
		sp_buf_clear(&message);
		put_request(&message);
		points += compare(sp_buf_view(&message));
		(void)input_check_otlp(sp_buf_view(&message));
		for (size_t k = 0; k < ROUNDS; k++) {
			sp_buf_clear(&damaged);
			sp_buf_add(&damaged, sp_buf_view(&message));
			assert_non_null(sp_buf_room(&damaged, 64));
			for (size_t m = 0; m <= k / 2; m++)
				damaged.n = input_mutate(damaged.p, damaged.n, damaged.cap, &seed);
			of_damaged += compare(sp_buf_view(&damaged));
		}
	}
	sp_buf_free(&message);
	sp_buf_free(&damaged);
	assert_true(points > 5000 && of_damaged > 5000); /* else nothing was compared */
}

/* ---- what protobuf-c cannot judge ---- */

static size_t points_of(struct sp_bytes message, struct seen *seen)
{
	struct sp_arena *arena = sp_arena_new(0);
	struct cw_points points = {0};
	struct decoder d = {.arena = arena, .points = &points, .bad = take_bad, .arg = seen};
	*seen = (struct seen){0};
	assert_int_equal(otlp_decode(&d, message, 0), SP_OK);
	assert_int_equal(points.n, d.points_of[CW_OTLP07] + d.points_of[CW_OTLP10]);
	sp_arena_free(&arena);
	return points.n;
}

static const uint8_t good[] = "\x0a\x17\x12\x15\x12\x13\x0a\x01m\x5a\x0e\x0a\x0c\x19\x00\x00\x00\x01\x00\x00\x00\x00\x42\x01x";

static void groups_are_passed_over_and_must_end(void **state)
{
	struct seen seen;
	(void)state;
	struct sp_bytes whole = sp_bytes(good, sizeof good - 1);
	assert_int_equal(points_of(whole, &seen), 1);
	static const struct {
		struct sp_bytes before;
		size_t points;
	} cases[] = {
		{{(const uint8_t *)"\x13\x14", 2}, 1},                 /* start 2, end 2 */
		{{(const uint8_t *)"\x13\x1b\x08\x05\x1c\x14", 6}, 1}, /* nested, with a field */
		{{(const uint8_t *)"\x13", 1}, 0},                     /* without end */
		{{(const uint8_t *)"\x13\x1c", 2}, 0},                 /* another's end */
		{{(const uint8_t *)"\x14", 1}, 0},                     /* end without start */
		{{(const uint8_t *)"\x16", 1}, 0},                     /* wire type 6 */
		{{(const uint8_t *)"\x17", 1}, 0},
		{{(const uint8_t *)"\x02\x00", 2}, 0},                     /* field 0 */
		{{(const uint8_t *)"\x15\x01\x02\x03\x04", 5}, 1},         /* four bytes */
		{{(const uint8_t *)"\x80\x80\x80\x80\x80\x80\x01", 7}, 0}, /* a tag of more than 32 bits */
	};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct sp_buf b = {0};
		sp_buf_add(&b, cases[i].before);
		sp_buf_add(&b, whole);
		assert_int_equal(points_of(sp_buf_view(&b), &seen), cases[i].points);
		assert_int_equal(seen.bad, cases[i].points ? 0 : 1);
		sp_buf_free(&b);
	}
}

static void nesting_is_bounded(void **state)
{
	struct seen seen;
	struct sp_buf b = {0};
	(void)state;
	for (int i = 0; i < 100000; i++)
		sp_buf_u8(&b, 0x13);
	assert_int_equal(points_of(sp_buf_view(&b), &seen), 0);
	assert_string_equal(seen.reason, "too_deep");
	sp_buf_free(&b);
}

/* No half-decoded message: however it is cut off, nothing of it stays, and what was there before does. */
static void a_cut_message_leaves_no_trace(void **state)
{
	struct sp_arena *arena = sp_arena_new(0);
	struct cw_points points = {0};
	struct seen seen = {0};
	struct decoder d = {.arena = arena, .points = &points, .bad = take_bad, .arg = &seen};
	struct sp_buf many = {0};
	(void)state;
	for (int i = 0; i < 300; i++)
		sp_buf_add(&many, sp_bytes(good, sizeof good - 1));
	assert_int_equal(otlp_decode(&d, sp_bytes(good, sizeof good - 1), 0), SP_OK);
	size_t used = sp_arena_used(arena);
	for (size_t n = many.n - sizeof good + 2; n < many.n; n++) {
		assert_int_equal(otlp_decode(&d, sp_bytes(many.p, n), 0), SP_OK);
		assert_int_equal(points.n, 1);
		assert_int_equal(sp_arena_used(arena), used);
		assert_string_equal(seen.reason, "bad_message");
	}
	assert_int_equal(seen.bad, sizeof good - 2);
	assert_int_equal(d.messages, 1);
	assert_true(sp_eq(points.v[0].metric, SP_LIT("m")));
	sp_buf_free(&many);
	sp_arena_free(&arena);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_what_protobuf_c_reads),
		cmocka_unit_test(groups_are_passed_over_and_must_end),
		cmocka_unit_test(nesting_is_bounded),
		cmocka_unit_test(a_cut_message_leaves_no_trace),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
