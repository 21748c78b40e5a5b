/* Which refusals are those that a longer out-of-order window at the receiver would have taken. */
#include "ship/send/order.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <cmocka.h>

static struct dead_letter letter(const char *reason, const char *answer)
{
	return (struct dead_letter){.reason = reason, .answer = sp_str(answer), .http_status = 400, .samples = 1};
}

static void the_words_of_receivers_are_understood(void **state)
{
	(void)state;
	static const struct {
		const char *reason, *answer;
		bool yes;
	} cases[] = {
	    {"rejected", "out of order sample\n", true},			      /* Prometheus, Thanos */
	    {"rejected", "too old sample", true},				      /* Prometheus with a window */
	    {"rejected", "out of bounds", true},				      /* Prometheus without one */
	    {"rejected", "the sample was rejected (err-mimir-sample-out-of-order)", true},
	    {"rejected", "Sample Timestamp Too Old (err-mimir-sample-timestamp-too-old)", true},
	    {"partly_refused", "user=1: err: out-of-order sample", true},
	    {"out_of_order", "no", true},					      /* older than what was delivered of the series */
	    {"out_of_order", "duplicate sample for timestamp", false},
	    {"rejected", "duplicate sample for timestamp", false},
	    {"maybe_duplicate", "out of order sample", false},
	    {"rejected", "out of orde", false},
	    {"rejected", "label value too long", false},
	    {"rejected", "", false},
	};
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct dead_letter dead = letter(cases[i].reason, cases[i].answer);
		assert_int_equal(order_is_why(&dead), cases[i].yes);
	}
}

static void it_is_said_once_an_hour(void **state)
{
	(void)state;
	struct order_notice n = {0};
	struct dead_letter other = letter("rejected", "label value too long"), late = letter("rejected", "out of order");
	struct sp_mono now = {1000};
	order_notice(&n, "main", "mimir", &other, now);
	assert_int_equal(n.next.ms, 0);
	order_notice(&n, "main", "mimir", &late, now);
	assert_int_equal(n.next.ms, now.ms + 3600000);
	now.ms += 3599999;
	order_notice(&n, "main", "mimir", &late, now);
	assert_int_equal(n.next.ms, 1000 + 3600000);
	now.ms++;
	order_notice(&n, "main", "mimir", &late, now);
	assert_int_equal(n.next.ms, 1000 + 7200000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(the_words_of_receivers_are_understood),
	    cmocka_unit_test(it_is_said_once_an_hour),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
