/* What is remembered of a receiver's series, and when it is forgotten. */
#include "ship/send/known.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <cmocka.h>

enum { MINUTE = 60000 };

static int begin(void **state)
{
	struct known *k = known_new();
	known_clock(k, 1000000);
	*state = k;
	return 0;
}

static int end(void **state)
{
	struct known *k = *state;
	known_free(&k);
	return 0;
}

static void a_series_is_proven_bad_by_two_refusals_in_a_row(void **state)
{
	struct known *k = *state;
	known_refused(k, 7, 1 * MINUTE, 1, false);
	assert_true(known_expects_refusal(k, 7, 2 * MINUTE));
	assert_false(known_proves_refusal(k, 7, 2 * MINUTE));
	known_delivered(k, 7, 2 * MINUTE);
	known_refused(k, 7, 3 * MINUTE, 1, false);
	assert_false(known_proves_refusal(k, 7, 4 * MINUTE)); /* something was taken in between */
	known_refused(k, 7, 4 * MINUTE, 1, false);
	assert_true(known_proves_refusal(k, 7, 5 * MINUTE));
	assert_false(known_expects_refusal(k, 8, 5 * MINUTE));
}

static void a_proof_is_forgotten_after_an_hour(void **state)
{
	struct known *k = *state;
	known_refused(k, 7, MINUTE, 4, false);
	known_clock(k, 1000000 + KNOWN_FORGET_MS);
	assert_true(known_proves_refusal(k, 7, 2 * MINUTE));
	known_clock(k, 1000000 + KNOWN_FORGET_MS + 2000);
	assert_false(known_proves_refusal(k, 7, 2 * MINUTE));
	assert_false(known_expects_refusal(k, 7, 2 * MINUTE));
}

/* With a window of ten minutes: what is older is proven bad, what is younger is not. */
static void late_samples_are_proven_bad_by_their_age(void **state)
{
	struct known *k = *state;
	for (uint64_t series = 1; series <= 10; series++)
		known_delivered(k, series, 60 * MINUTE);
	for (uint64_t series = 1; series <= 3; series++) {
		assert_false(known_proves_refusal(k, 9, 20 * MINUTE));
		known_refused(k, series, (44 + (int64_t)series) * MINUTE, 1, true);
	}
	assert_true(known_proves_refusal(k, 9, 20 * MINUTE));
	assert_true(known_proves_refusal(k, 9, 47 * MINUTE)); /* as old as the youngest that was refused */
	assert_false(known_proves_refusal(k, 9, 48 * MINUTE));
	assert_false(known_proves_refusal(k, 11, 20 * MINUTE)); /* of which nobody knows whether it is late */
	known_delivered(k, 4, 52 * MINUTE);
	assert_true(known_proves_refusal(k, 9, 47 * MINUTE));
	known_delivered(k, 5, 46 * MINUTE); /* there is a larger window by now */
	assert_false(known_proves_refusal(k, 9, 47 * MINUTE));
}

/* Without the receiver's word for it the same refusals prove nothing about other late samples, and with it nothing about the series. */
static void only_its_words_tell_what_is_refused_for_being_late(void **state)
{
	struct known *k = *state;
	for (uint64_t series = 1; series <= 10; series++)
		known_delivered(k, series, 60 * MINUTE);
	for (uint64_t series = 1; series <= 5; series++) {
		known_refused(k, series, 20 * MINUTE, 1, false);
		known_refused(k, 11, 20 * MINUTE + (int64_t)series, 1, true);
	}
	assert_false(known_proves_refusal(k, 9, 20 * MINUTE));
	assert_false(known_proves_refusal(k, 11, 60 * MINUTE));
	assert_true(known_expects_refusal(k, 11, 60 * MINUTE)); /* so it is tried apart from the others */
}

static void refusals_as_load_are_trusted_by_their_words_until_one_was_wrong(void **state)
{
	struct known *k = *state;
	uint64_t limit = known_kind(429, sp_str("per-user series limit of 1000 exceeded: {a=\"b\"}"));
	uint64_t same = known_kind(429, sp_str("per-user series limit of 2000 exceeded: {c=\"d\"}"));
	uint64_t rate = known_kind(429, sp_str("ingestion rate limit (25000) exceeded"));
	assert_true(limit == same);
	assert_true(limit != rate);
	assert_true(limit != known_kind(503, sp_str("per-user series limit of 1000 exceeded: {a=\"b\"}")));
	for (int i = 0; i < 3; i++) {
		assert_false(known_trusts_load(k, limit));
		known_heard_load(k, limit);
	}
	assert_true(known_trusts_load(k, limit));
	assert_false(known_trusts_load(k, rate));
	known_doubts_load(k);
	assert_false(known_trusts_load(k, limit));
	known_heard_load(k, limit);
	known_heard_load(k, limit);
	known_heard_load(k, rate);
	known_heard_load(k, limit);
	assert_false(known_trusts_load(k, limit)); /* mixed */
}

static void what_is_as_new_as_the_newest_proves_nothing(void **state)
{
	struct known *k = *state;
	known_delivered(k, 7, MINUTE);
	for (int i = 0; i < 5; i++) /* the same minute with another value */
		known_refused(k, 7, MINUTE, 1, false);
	assert_true(known_expects_refusal(k, 7, MINUTE));
	assert_false(known_proves_refusal(k, 7, MINUTE));
	assert_false(known_expects_refusal(k, 7, 2 * MINUTE));
}

static void trials_are_due_every_few_batches(void **state)
{
	struct known *k = *state;
	assert_false(known_may_skip(k));
	known_refused(k, 7, MINUTE, 1, false);
	for (int i = 0; i < 4; i++) {
		assert_true(known_may_skip(k));
		known_skipped(k);
	}
	assert_false(known_may_skip(k));
}

static void many_series_are_remembered_and_more_do_no_harm(void **state)
{
	struct known *k = *state;
	unsigned right = 0;
	for (uint64_t i = 1; i <= 200000; i++) {
		known_delivered(k, i * 0x9e3779b97f4a7c15, (int64_t)i);
		if (i != 20000)
			continue;
		for (uint64_t j = 1; j <= 20000; j++)
			right += known_newest(k, j * 0x9e3779b97f4a7c15) == (int64_t)j;
		assert_in_range(right, 19990, 20000);
	}
	for (uint64_t i = 1; i <= 200000; i++) {
		int64_t ms = known_newest(k, i * 0x9e3779b97f4a7c15);
		assert_true(ms == (int64_t)i || ms == INT64_MIN);
	}
}

static void nothing_is_known_by_nobody(void **state)
{
	(void)state;
	known_clock(NULL, 1);
	known_delivered(NULL, 7, MINUTE);
	known_refused(NULL, 7, MINUTE, 9, false);
	assert_int_equal(known_newest(NULL, 7), INT64_MIN);
	assert_false(
	    known_expects_refusal(NULL, 7, MINUTE) || known_proves_refusal(NULL, 7, MINUTE) || known_may_skip(NULL));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)
	const struct CMUnitTest tests[] = {TEST(a_series_is_proven_bad_by_two_refusals_in_a_row),
	    TEST(a_proof_is_forgotten_after_an_hour), TEST(late_samples_are_proven_bad_by_their_age),
	    TEST(only_its_words_tell_what_is_refused_for_being_late),
	    TEST(refusals_as_load_are_trusted_by_their_words_until_one_was_wrong), TEST(what_is_as_new_as_the_newest_proves_nothing),
	    TEST(trials_are_due_every_few_batches),
	    TEST(many_series_are_remembered_and_more_do_no_harm), TEST(nothing_is_known_by_nobody)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
