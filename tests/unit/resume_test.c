/* A request arrived or not, and nobody knows: what the receiver has is found out with few requests, and no good sample dies of it. */
#include "tests/lib/destination_lib.h"

#include "common/log.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

enum { SERIES = 40, MINUTES = 64 };

#define BEGIN_MS 1700000000000

/* A receiver without an out-of-order window: one bad sample, and nothing of the request is stored. */
static struct {
	int newest[SERIES]; /* minute; -1: none */
	bool has[SERIES][MINUTES];
	bool rejects[SERIES]; /* whatever the time */
} m;

static void each(struct sp_bytes raw, void (*fn)(unsigned series, int minute))
{
	struct rw_series s;
	struct rw_sample v;
	struct sp_why why;
	while (rw_next(&raw, &s, &why) == SP_OK)
		while (rw_next_sample(&s.samples, &v)) {
			struct sp_bytes name = rw_find_label(s.labels, SP_LIT("__name__"));
			char text[16] = {0};
			memcpy(text, name.p, name.n < 15 ? name.n : 15);
			fn((unsigned)strtoul(text + 1, NULL, 10), (int)((v.ms - BEGIN_MS) / 60000));
		}
}

static int newest[SERIES];
static bool refused;

static void check(unsigned series, int minute)
{
	refused |= m.rejects[series] || minute < newest[series];
	newest[series] = minute > newest[series] ? minute : newest[series];
}

static void store(unsigned series, int minute)
{
	m.has[series][minute] = true;
	m.newest[series] = minute > m.newest[series] ? minute : m.newest[series];
}

static int receive(struct sp_bytes raw, uint32_t samples)
{
	(void)samples;
	memcpy(newest, m.newest, sizeof newest);
	refused = false;
	each(raw, check);
	if (!refused)
		each(raw, store);
	return refused ? 400 : 204;
}

/* A batch of shard 0. */
static void commit(unsigned from, unsigned to, int minute)
{
	struct sp_buf raw = {0};
	int64_t ms = BEGIN_MS + (int64_t)minute * 60000;
	for (unsigned i = from; i < to; i++) {
		struct sp_buf labels = {0};
		char name[16];
		snprintf(name, sizeof name, "m%05u", i);
		uint8_t *at = sp_buf_room(&labels, 64), *end = rw_put_label(at, SP_LIT("__name__"), sp_str(name));
		labels.n = (size_t)(end - at);
		rw_add_series(&raw, sp_buf_view(&labels), &(struct rw_sample){ms, 0}, 1);
		sp_buf_free(&labels);
	}
	commit_raw(0, &raw, ms);
}

static void commit_minutes(int from, int to)
{
	for (int minute = from; minute <= to; minute++)
		commit(0, SERIES, minute);
}

static bool has_all(unsigned from, unsigned to, int first, int last)
{
	for (unsigned i = from; i < to; i++)
		for (int minute = first; minute <= last; minute++)
			if (!m.has[i][minute])
				return false;
	return true;
}

/* After a first minute that is delivered. */
static void arrives_unheard(int from, int to)
{
	commit_minutes(0, 0);
	assert_true(run_for(1000, all_settled));
	f.loses_answers = true;
	commit_minutes(from, to);
	run_for(50, NULL);
	assert_true(has_all(0, SERIES, from, to));
}

static void settles(void)
{
	f.loses_answers = false;
	f.transport = SHIP_ANSWERED;
	assert_true(run_for(600000, all_settled));
	print_message("%u requests, %u dead\n", f.posts, (unsigned)f.dead);
}

/* Ship is killed: what waits may have been delivered, all of it. */
static void restart(void)
{
	for (size_t i = 0; i < f.n_stored; i++)
		f.stored[i].batch.flags |= BATCH_MAYBE_DELIVERED;
	destination_stop(f.dest);
	run_for(f.latency_ms + 5, NULL);
	destination_again();
}

static int begin(void **state)
{
	memset(&m, 0, sizeof m);
	for (unsigned i = 0; i < SERIES; i++)
		m.newest[i] = -1;
	destination_begin(state);
	f.receive = receive;
	f.words = "out of order sample";
	return 0;
}

static void a_request_that_arrived_is_found_in_few_requests(void **state)
{
	(void)state;
	arrives_unheard(1, 6);
	unsigned before = f.posts;
	f.loses_answers = false;
	commit_minutes(7, 9);
	settles();
	assert_true(has_all(0, SERIES, 0, 9));
	assert_in_range(f.posts - before, 3, 30);
	assert_int_equal(f.dead, 5 * SERIES); /* the sixth minute is a repeat that is accepted */
	assert_string_equal(f.reason, "maybe_duplicate");
	assert_int_equal(f.overtaken, 0);
}

static void only_what_arrived_is_taken_for_it(void **state)
{
	(void)state;
	arrives_unheard(1, 3);
	commit_minutes(4, 6); /* tried together with the others, which are refused */
	run_for(50, NULL);
	assert_false(has_all(0, SERIES, 4, 4));
	settles();
	assert_true(has_all(0, SERIES, 0, 6));
	assert_int_equal(f.dead, 2 * SERIES);
	assert_int_equal(f.overtaken, 0);
}

/* Two minutes of which a tenth is new went unanswered, and did not arrive. */
static void is_mostly_late(void (*then)(void))
{
	commit(0, 36, 50);
	assert_true(run_for(1000, all_settled));
	f.transport = SHIP_UNANSWERED;
	commit_minutes(10, 11);
	run_for(50, NULL);
	if (then)
		then();
	settles();
	assert_true(has_all(36, SERIES, 10, 11));
	assert_int_equal(f.dead, 2 * 36);
}

static void what_is_late_by_itself_is_no_repeat(void **state)
{
	(void)state;
	is_mostly_late(NULL);
}

static void what_is_refused_for_something_else_is_no_repeat(void **state)
{
	(void)state;
	f.words = "the limit of series is reached";
	for (unsigned i = 0; i < 36; i++)
		m.rejects[i] = true;
	commit(36, SERIES, 0);
	assert_true(run_for(1000, all_settled));
	f.transport = SHIP_UNANSWERED;
	commit_minutes(1, 4);
	run_for(50, NULL);
	settles();
	assert_true(has_all(36, SERIES, 0, 4));
	assert_int_equal(f.dead, 4 * 36);
}

static void a_ship_that_was_killed_finds_it_as_well(void **state)
{
	(void)state;
	arrives_unheard(1, 6);
	f.loses_answers = false;
	restart();
	unsigned before = f.posts;
	settles();
	assert_true(has_all(0, SERIES, 0, 6));
	assert_int_equal(f.dead, 5 * SERIES);
	assert_in_range(f.posts - before, 3, 30);
	assert_int_equal(f.overtaken, 0);
}

/* It remembers how far its predecessor had come. */
static void a_ship_that_was_killed_takes_nothing_late_for_a_repeat(void **state)
{
	(void)state;
	is_mostly_late(restart);
}

static unsigned stop_at;

static int stops(struct sp_bytes raw, uint32_t samples)
{
	int status = receive(raw, samples);
	return f.posts >= stop_at && f.posts < stop_at + 3 ? 503 : status;
}

static void a_receiver_that_goes_away_meanwhile_is_asked_again(void **state)
{
	(void)state;
	arrives_unheard(1, 6);
	f.loses_answers = false;
	stop_at = f.posts + 4;
	f.receive = stops;
	settles();
	assert_true(has_all(0, SERIES, 0, 6));
	assert_int_equal(f.dead, 5 * SERIES);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, destination_end)
	const struct CMUnitTest tests[] = {TEST(a_request_that_arrived_is_found_in_few_requests), TEST(only_what_arrived_is_taken_for_it),
	    TEST(what_is_late_by_itself_is_no_repeat), TEST(what_is_refused_for_something_else_is_no_repeat),
	    TEST(a_ship_that_was_killed_finds_it_as_well), TEST(a_ship_that_was_killed_takes_nothing_late_for_a_repeat),
	    TEST(a_receiver_that_goes_away_meanwhile_is_asked_again)};
	sp_log_init("test", -1, SP_LOG_ERROR, SP_LOG_TEXT);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
