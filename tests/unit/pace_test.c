/* Counting requests over time. */
#include "ship/send/pace.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <cmocka.h>

/* Spends what it may in one half minute. */
static unsigned spend(struct budget *b, int64_t now)
{
	unsigned n = 0;
	for (; budget_allows(b, now); n++)
		budget_spend(b, now);
	return n;
}

static void narrowing_stays_below_what_arrives(void **state)
{
	struct budget b = {0};
	int64_t now = 1000000000;
	unsigned spent = 0;
	(void)state;
	for (int i = 0; i < 600; i++)
		budget_arrived(&b, now);
	for (int slot = 0; slot < BUDGET_SLOTS; slot++)
		spent += spend(&b, now + (int64_t)slot * BUDGET_SLOT_MS);
	assert_in_range(spent, 580, 600);
}

static void there_is_always_something(void **state)
{
	struct budget b = {0};
	int64_t now = 1000000000;
	(void)state;
	assert_int_equal(spend(&b, now), BUDGET_FLOOR / BUDGET_SHARE);
	for (int slot = 1; slot < 100; slot++)
		assert_in_range(spend(&b, now + (int64_t)slot * BUDGET_SLOT_MS), 2, BUDGET_FLOOR / BUDGET_SHARE);
}

static void what_was_spent_comes_back_after_five_minutes(void **state)
{
	struct budget b = {0};
	int64_t now = 1000000000;
	(void)state;
	assert_int_equal(spend(&b, now), BUDGET_FLOOR / BUDGET_SHARE);
	assert_int_equal(spend(&b, now + BUDGET_SLOTS * BUDGET_SLOT_MS), BUDGET_FLOOR / BUDGET_SHARE);
}

static void twenty_a_second(void **state)
{
	struct pace p = {0};
	(void)state;
	for (int i = 0; i < PACE_REQUESTS; i++) {
		assert_int_equal(pace_wait_ms(&p, 5000 + i), 0);
		pace_sent(&p, 5000 + i);
	}
	assert_int_equal(pace_wait_ms(&p, 5020), 980);
	assert_int_equal(pace_wait_ms(&p, 5999), 1);
	assert_int_equal(pace_wait_ms(&p, 6000), 0);
	pace_sent(&p, 6000);
	assert_int_equal(pace_wait_ms(&p, 6000), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(narrowing_stays_below_what_arrives), cmocka_unit_test(there_is_always_something),
	    cmocka_unit_test(what_was_spent_comes_back_after_five_minutes), cmocka_unit_test(twenty_a_second)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
