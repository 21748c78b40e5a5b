/* The policy table: every status, and what Retry-After may look like. */
#include "ship/send/verdict.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <cmocka.h>

static enum ship_verdict of(int status)
{
	return ship_rule(SHIP_ANSWERED, status, SHIP_NO_RETRY_AFTER).verdict;
}

static void only_2xx_lets_a_batch_go(void **state)
{
	(void)state;
	for (int s = -10; s < 1000; s++)
		assert_int_equal(of(s) == SHIP_DELIVERED, s >= 200 && s <= 299);
}

static void only_three_statuses_are_about_data(void **state)
{
	(void)state;
	for (int s = -10; s < 1000; s++)
		assert_int_equal(of(s) == SHIP_DATA, s == 400 || s == 409 || s == 422);
}

static void every_other_4xx_pauses(void **state)
{
	(void)state;
	for (int s = 400; s < 500; s++)
		switch (s) {
		case 400:
		case 409:
		case 422:
			break;
		case 413:
			assert_int_equal(of(s), SHIP_TOO_BIG);
			break;
		case 408:
		case 425:
		case 429:
			assert_int_equal(of(s), SHIP_KEEP);
			break;
		default:
			assert_int_equal(of(s), SHIP_PAUSE);
		}
}

static void the_rest_of_the_table(void **state)
{
	static const struct {
		int status;
		enum ship_verdict verdict;
		const char *reason;
	} cases[] = {{0, SHIP_KEEP, "malformed_answer"}, {100, SHIP_KEEP, "malformed_answer"},
	    {301, SHIP_PAUSE, "redirected"}, {308, SHIP_PAUSE, "redirected"}, {401, SHIP_PAUSE, "unauthorized"},
	    {403, SHIP_PAUSE, "forbidden"}, {404, SHIP_PAUSE, "not_found"}, {415, SHIP_PAUSE, "unsupported"},
	    {418, SHIP_PAUSE, "unexpected_status"}, {429, SHIP_KEEP, "too_many_requests"},
	    {500, SHIP_KEEP, "server_error"}, {501, SHIP_PAUSE, "not_implemented"},
	    {502, SHIP_UNREACHABLE, "unavailable"}, {503, SHIP_UNREACHABLE, "unavailable"},
	    {504, SHIP_UNREACHABLE, "unavailable"}, {505, SHIP_PAUSE, "not_implemented"},
	    {529, SHIP_KEEP, "server_error"}, {600, SHIP_KEEP, "malformed_answer"}};
	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct ship_ruling r = ship_rule(SHIP_ANSWERED, cases[i].status, SHIP_NO_RETRY_AFTER);
		assert_int_equal(r.verdict, cases[i].verdict);
		assert_string_equal(r.reason, cases[i].reason);
	}
	assert_int_equal(ship_rule(SHIP_NOT_SENT, 0, -1).verdict, SHIP_UNREACHABLE);
	assert_int_equal(ship_rule(SHIP_UNANSWERED, 200, -1).verdict, SHIP_UNREACHABLE);
	assert_int_equal(ship_rule(SHIP_BAD_CERTIFICATE, 0, -1).verdict, SHIP_PAUSE);
	struct ship_ruling zero = {0};
	assert_int_equal(zero.verdict, SHIP_KEEP);
}

static void who_says_when_to_come_back_is_there(void **state)
{
	(void)state;
	assert_int_equal(ship_rule(SHIP_ANSWERED, 503, 0).verdict, SHIP_KEEP);
	assert_int_equal(ship_rule(SHIP_ANSWERED, 503, 5000).verdict, SHIP_KEEP);
	assert_int_equal(ship_rule(SHIP_ANSWERED, 401, 5000).verdict, SHIP_PAUSE);
}

static void suspicious_answers(void **state)
{
	(void)state;
	for (int s = 0; s < 700; s++)
		assert_int_equal(ship_answer_is_suspicious(SHIP_ANSWERED, s),
		    s >= 500 && s <= 599 && s != 501 && s != 503 && s != 505 && s != 529);
	assert_false(ship_answer_is_suspicious(SHIP_UNANSWERED, 500));
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(only_2xx_lets_a_batch_go),
	    cmocka_unit_test(only_three_statuses_are_about_data), cmocka_unit_test(every_other_4xx_pauses),
	    cmocka_unit_test(the_rest_of_the_table), cmocka_unit_test(who_says_when_to_come_back_is_there),
	    cmocka_unit_test(suspicious_answers)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
