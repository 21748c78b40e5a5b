/* What protobuf-c cannot judge about the walk over the wire; agree_test compares the two on messages of any order.
 * What single points become is in tests/golden/decode_test.py. */
#include "convert/decoder.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <cmocka.h>

struct seen {
	size_t bad;
	const char *reason, *text;
};

static void take_bad(void *arg, const char *reason, uint64_t offset, struct sp_bytes bytes, enum piece_form form,
    const char *text)
{
	struct seen *s = arg;
	(void)form, (void)offset, (void)bytes;
	s->bad++;
	s->reason = reason, s->text = text;
}

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
		cmocka_unit_test(groups_are_passed_over_and_must_end),
		cmocka_unit_test(nesting_is_bounded),
		cmocka_unit_test(a_cut_message_leaves_no_trace),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
