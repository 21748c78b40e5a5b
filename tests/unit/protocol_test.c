/* When remote write 2.0 is given up, and when a 400 is about data. */
#include "ship/send/protocol.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <cmocka.h>

struct step {
	enum rw_version sent;
	bool again;
	int status;
	int64_t written; /* -1: no header */
	int sends;	 /* again as this version; DONE */
	enum rw_version spoken;
	const char *reason;
};

enum { DONE = -1 };

static void walk(const char *setting, const struct step *steps, size_t n)
{
	struct protocol p;
	protocol_init(&p, setting);
	for (size_t i = 0; i < n; i++) {
		const struct step *s = &steps[i];
		struct http_answer a = {.transport = s->status ? SHIP_ANSWERED : SHIP_UNANSWERED, .status = s->status, .samples_written = s->written};
		enum rw_version next;
		bool sends = protocol_answered(&p, s->sent, s->again, &a, &next);
		if ((sends ? (int)next : DONE) != s->sends || p.spoken != s->spoken || strcmp(p.reason, s->reason) != 0)
			fail_msg("step %zu: sends %d, speaks %s, reason '%s'", i, sends ? (int)next : DONE, protocol_name(p.spoken), p.reason);
	}
	protocol_forget(&p);
	assert_int_equal(p.spoken, strcmp(setting, "1.0") == 0 ? RW_1 : RW_2);
	assert_string_equal(p.reason, "");
}
#define WALK(setting, ...) \
	walk(setting, (const struct step[]){__VA_ARGS__}, sizeof((const struct step[]){__VA_ARGS__}) / sizeof(struct step))

static void a_receiver_without_2_0_gets_1_0_from_then_on(void **state)
{
	(void)state;
	WALK("auto", {RW_2, false, 415, -1, RW_1, RW_1, "unsupported"}, {RW_1, true, 204, -1, DONE, RW_1, "unsupported"},
	    {RW_1, false, 415, -1, DONE, RW_1, "unsupported"});
	WALK("auto", {RW_1, false, 415, -1, RW_2, RW_2, ""}, {RW_2, true, 400, -1, DONE, RW_2, ""}); /* it knows 2.0 alone */
	WALK("auto", {RW_1, false, 415, -1, RW_2, RW_2, ""}, {RW_1, true, 415, -1, DONE, RW_2, ""}); /* of what cannot be made 2.0 */
	WALK("2.0", {RW_2, false, 204, -1, RW_1, RW_1, "no_written_headers"}, {RW_2, false, 204, -1, RW_1, RW_1, "no_written_headers"},
	    {RW_2, false, 400, -1, RW_1, RW_1, "no_written_headers"}, {RW_1, true, 400, -1, DONE, RW_1, "no_written_headers"});
	/* It knew 2.0 yesterday. */
	WALK("auto", {RW_2, false, 204, 5, DONE, RW_2, ""}, {RW_2, false, 415, -1, RW_1, RW_1, "unsupported"});
}

static void a_400_counts_only_before_the_first_success_and_when_1_0_is_accepted(void **state)
{
	(void)state;
	WALK("auto", {RW_2, false, 400, -1, RW_1, RW_2, ""}, {RW_1, true, 204, -1, DONE, RW_1, "rejected"});
	WALK("auto", {RW_2, false, 400, 0, RW_1, RW_2, ""}, {RW_1, true, 400, 0, DONE, RW_2, ""}, {RW_2, false, 204, 1, DONE, RW_2, ""},
	    {RW_2, false, 400, 0, DONE, RW_2, ""});
	/* Another request of the destination was understood in between: so it was the data. */
	WALK("auto", {RW_2, false, 400, 0, RW_1, RW_2, ""}, {RW_2, false, 204, 9, DONE, RW_2, ""}, {RW_1, true, 204, -1, DONE, RW_2, ""});
	/* Part of it was written, so it was understood. */
	WALK("auto", {RW_2, false, 400, 3, DONE, RW_2, ""}, {RW_2, false, 400, 0, DONE, RW_2, ""});
	WALK("auto", {RW_2, false, 400, 0, RW_1, RW_2, ""}, {RW_1, true, 415, -1, RW_2, RW_2, ""}, {RW_2, true, 400, 0, DONE, RW_2, ""});
}

static void other_answers_say_nothing_about_the_version(void **state)
{
	(void)state;
	for (int status = 0; status < 600; status++)
		if (status / 100 != 2 && status != 400 && status != 415)
			WALK("auto", {RW_2, false, status, -1, DONE, RW_2, ""}, {RW_1, true, status, -1, DONE, RW_2, ""});
	for (int status = 0; status < 600; status++)
		WALK("1.0", {RW_1, false, status, -1, DONE, RW_1, ""});
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_receiver_without_2_0_gets_1_0_from_then_on),
	    cmocka_unit_test(a_400_counts_only_before_the_first_success_and_when_1_0_is_accepted),
	    cmocka_unit_test(other_answers_say_nothing_about_the_version),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
