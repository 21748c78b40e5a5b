/* Counting requests over time. */
#include "ship/send/pace.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <cmocka.h>

static void narrowing_stays_below_what_arrives(void **state)
{
	struct budget b = {0};
	int64_t now = 1000000000;
	(void)state;
	for (int i = 0; i < BUDGET_FLOOR; i++) {
		assert_true(budget_allows(&b, now));
		budget_spend(&b, now);
	}
	assert_false(budget_allows(&b, now));
	for (int i = 0; i <= BUDGET_FLOOR; i++)
		budget_arrived(&b, now);
	assert_true(budget_allows(&b, now));
	budget_spend(&b, now);
	assert_false(budget_allows(&b, now));
}

static void what_was_spent_comes_back_after_five_minutes(void **state)
{
	struct budget b = {0};
	int64_t now = 1000000000;
	(void)state;
	for (int i = 0; i < BUDGET_FLOOR; i++)
		budget_spend(&b, now + i * 100);
	assert_false(budget_allows(&b, now + 200000));
	assert_true(budget_allows(&b, now + 300000));
	assert_true(budget_allows(&b, now + 10000000));
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
	const struct CMUnitTest tests[] = {cmocka_unit_test(narrowing_stays_below_what_arrives),
	    cmocka_unit_test(what_was_spent_comes_back_after_five_minutes), cmocka_unit_test(twenty_a_second)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
