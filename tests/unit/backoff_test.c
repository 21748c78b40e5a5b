/* Sequences of waits. */
#include "ship/send/backoff.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <cmocka.h>

static const struct dest_settings limits = {.backoff_min = 100,
    .backoff_max = 30000,
    .backoff_unreachable_max = 1000,
    .retry_after_max = 600000,
    .probe_min = 30000,
    .probe_max = 600000};

static int64_t wait(struct backoff *b, enum backoff_kind kind)
{
	return backoff_fail(b, &limits, kind, -1, 0.5);
}

static void unreachable_doubles_to_one_second(void **state)
{
	static const int64_t want[] = {100, 200, 400, 800, 1000, 1000, 1000};
	struct backoff b = {0};
	(void)state;
	for (size_t i = 0; i < sizeof(want) / sizeof(want[0]); i++)
		assert_int_equal(wait(&b, BACKOFF_UNREACHABLE), want[i]);
}

static void answered_doubles_to_thirty_seconds(void **state)
{
	static const int64_t want[] = {250, 500, 1000, 2000, 4000, 8000, 16000, 30000, 30000};
	struct backoff b = {0};
	(void)state;
	for (size_t i = 0; i < sizeof(want) / sizeof(want[0]); i++)
		assert_int_equal(wait(&b, BACKOFF_ANSWERED), want[i]);
}

static void pauses_double_to_ten_minutes(void **state)
{
	static const int64_t want[] = {30000, 60000, 120000, 240000, 480000, 600000, 600000};
	struct backoff b = {0};
	(void)state;
	for (size_t i = 0; i < sizeof(want) / sizeof(want[0]); i++)
		assert_int_equal(wait(&b, BACKOFF_PAUSED), want[i]);
}

static void another_kind_of_failure_begins_anew(void **state)
{
	struct backoff b = {0};
	(void)state;
	wait(&b, BACKOFF_PAUSED);
	wait(&b, BACKOFF_PAUSED);
	assert_int_equal(wait(&b, BACKOFF_UNREACHABLE), 100);
	assert_int_equal(wait(&b, BACKOFF_ANSWERED), 250);
	assert_int_equal(wait(&b, BACKOFF_ANSWERED), 500);
}

static void a_success_begins_anew(void **state)
{
	struct backoff b = {0};
	(void)state;
	for (int i = 0; i < 5; i++)
		wait(&b, BACKOFF_ANSWERED);
	backoff_succeed(&b, 4);
	assert_int_equal(wait(&b, BACKOFF_ANSWERED), 250);
}

static void jitter_is_ten_percent_and_gaps_hardly_shrink(void **state)
{
	(void)state;
	for (int i = 0; i <= 10; i++) {
		struct backoff b = {0};
		int64_t first = backoff_fail(&b, &limits, BACKOFF_PAUSED, -1, i / 10.0);
		assert_in_range(first, 27000, 33000);
		for (int n = 0, before = (int)first; n < 10; n++) {
			int64_t next = backoff_fail(&b, &limits, BACKOFF_PAUSED, -1, (n * 7 % 11) / 10.0);
			assert_true((double)next >= 0.8 * before);
			before = (int)next;
		}
	}
}

static void retry_after_raises_and_is_capped(void **state)
{
	struct backoff b = {0};
	(void)state;
	assert_int_equal(backoff_fail(&b, &limits, BACKOFF_ANSWERED, 7000, 0.5), 7000);
	assert_int_equal(backoff_fail(&b, &limits, BACKOFF_ANSWERED, 3, 0.5), 500);
	assert_int_equal(backoff_fail(&b, &limits, BACKOFF_ANSWERED, INT64_MAX, 0.5), 600000);
}

static void requests_double_after_a_return(void **state)
{
	struct backoff b = {0};
	(void)state;
	wait(&b, BACKOFF_UNREACHABLE);
	assert_int_equal(b.allowed, 1);
	backoff_succeed(&b, 5);
	assert_int_equal(b.allowed, 2);
	backoff_succeed(&b, 5);
	assert_int_equal(b.allowed, 4);
	backoff_succeed(&b, 5);
	assert_int_equal(b.allowed, 5);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(unreachable_doubles_to_one_second),
	    cmocka_unit_test(answered_doubles_to_thirty_seconds), cmocka_unit_test(pauses_double_to_ten_minutes),
	    cmocka_unit_test(another_kind_of_failure_begins_anew), cmocka_unit_test(a_success_begins_anew),
	    cmocka_unit_test(jitter_is_ten_percent_and_gaps_hardly_shrink),
	    cmocka_unit_test(retry_after_raises_and_is_capped), cmocka_unit_test(requests_double_after_a_return)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
