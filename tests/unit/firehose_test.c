/* Firehose's rules as `standpipe send` applies them, and the generator's promise: the same for the same seed, whatever the format. */
#include "cli/firehose.h"
#include "cli/generate.h"
#include "cli/source.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static const char *judge(int status, const char *type, const char *body, bool has_length)
{
	struct firehose_answer a = {.status = status, .content_type = type, .has_length = has_length, .body = sp_str(body)};
	return firehose_fault(&a, "id");
}

static void only_the_exact_form_counts(void **state)
{
	static const char good[] = "{\"requestId\":\"id\",\"timestamp\":1700000000000}", *const json = "application/json";
	(void)state;
	assert_null(judge(200, json, good, true));
	assert_non_null(judge(201, json, good, true));
	assert_non_null(judge(413, json, good, true));
	assert_non_null(judge(200, "application/json; charset=utf-8", good, true));
	assert_non_null(judge(200, NULL, good, true));
	assert_non_null(judge(200, json, good, false));
	assert_non_null(judge(200, json, "{\"requestId\":\"other\",\"timestamp\":1}", true));
	assert_non_null(judge(200, json, "{\"requestId\":\"id\",\"timestamp\":\"1\"}", true));
	assert_non_null(judge(200, json, "{\"requestId\":\"id\",\"timestamp\":1,\"more\":1}", true));
	assert_non_null(judge(200, json, "ok", true));
}

static void urls_are_judged_as_firehose_does(void **state)
{
	(void)state;
	assert_null(firehose_url_fault("https://relay.example.com/x"));
	assert_null(firehose_url_fault("https://relay.example.com:443/"));
	assert_non_null(firehose_url_fault("http://relay.example.com/"));
	assert_non_null(firehose_url_fault("https://relay.example.com:8443/"));
	assert_non_null(firehose_url_fault("https://[::1]:8443/"));
	assert_null(firehose_url_fault("https://[::1]/a:b"));
}

static void pauses_double_to_two_minutes(void **state)
{
	(void)state;
	assert_int_equal(firehose_backoff_ms(0, 0.5), 1000);
	assert_int_equal(firehose_backoff_ms(3, 0.5), 8000);
	assert_int_equal(firehose_backoff_ms(50, 0.5), 120000);
	assert_true(firehose_backoff_ms(0, 0) == 850 && firehose_backoff_ms(0, 1) == 1150);
}

static void late_points_come_once_and_with_the_next_minute(void **state)
{
	struct generate g = {.seed = 7, .series = 50, .late_percent = 30};
	struct cloudwatch_point p[2];
	size_t sent = 0, pairs = 0;
	(void)state;
	for (size_t s = 0; s < g.series; s++)
		for (int64_t m = 0; m < 20; m++) {
			size_t n = generate_sent(&g, s, m, p);
			sent += n;
			if (n == 2) {
				pairs++;
				assert_int_equal(p[0].start_ms - p[1].start_ms, 60000); /* newest first */
			}
		}
	assert_true(pairs > 50 && sent > g.series * 18 && sent <= g.series * 20);
}

static void streams_share_the_series_and_end_after_their_minutes(void **state)
{
	struct source_options o = {.generate = {.seed = 3, .series = 101}, .minutes = 4, .streams = 3, .records = 2, .points_per_record = 10, .format = -1};
	struct source *s = NULL;
	struct sp_why why;
	uint64_t points = 0;
	(void)state;
	assert_int_equal(source_new(&o, &s, &why), SP_OK);
	for (size_t stream = 0; stream < o.streams; stream++) {
		struct source_body b;
		while (source_next(s, stream, &b, &why) == SP_OK) {
			points += b.points;
			source_body_free(&b);
		}
	}
	assert_int_equal(points, 101 * 4);
	source_free(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(only_the_exact_form_counts),
		cmocka_unit_test(urls_are_judged_as_firehose_does),
		cmocka_unit_test(pauses_double_to_two_minutes),
		cmocka_unit_test(late_points_come_once_and_with_the_next_minute),
		cmocka_unit_test(streams_share_the_series_and_end_after_their_minutes),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
