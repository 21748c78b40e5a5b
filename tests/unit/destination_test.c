/* The life of batches and of one destination, with a modelled receiver. */
#include "tests/lib/destination_lib.h"

#include "common/log.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <malloc.h>
#include <cmocka.h>

static int64_t later_ms; /* the next batches' samples */

static void commit_series(uint32_t shard, unsigned n, bool (*is_bad)(unsigned i, unsigned bad), unsigned bad)
{
	struct sp_buf raw = {0};
	int64_t ms = 1000 + (int64_t)f.n_stored + later_ms;
	for (unsigned i = 0; i < n; i++) {
		struct sp_buf labels = {0};
		char id[16];
		snprintf(id, sizeof(id), "%u_%u", shard, i);
		uint8_t *to = sp_buf_room(&labels, 64), *end = rw_put_label(to, SP_LIT("__name__"), sp_str(id));
		labels.n = (size_t)(end - to);
		rw_add_series(&raw, sp_buf_view(&labels), &(struct rw_sample){ms, is_bad(i, bad)}, 1);
		sp_buf_free(&labels);
	}
	commit_raw(shard, &raw, ms);
}

static bool each(unsigned i, unsigned bad)
{
	return bad && i % bad == bad - 1;
}

static bool first(unsigned i, unsigned bad)
{
	return i < bad;
}

/* n series; every bad-th sample has value 1, the others 0. */
static void commit(uint32_t shard, unsigned n, unsigned bad)
{
	commit_series(shard, n, each, bad);
}

/* ---- receivers ---- */

static bool has_bad(struct sp_bytes raw)
{
	struct rw_series s;
	struct rw_sample v;
	struct sp_why why;
	while (rw_next(&raw, &s, &why) == SP_OK)
		while (rw_next_sample(&s.samples, &v))
			if (v.value == 1)
				return true;
	return false;
}

static int refuses_bad(struct sp_bytes raw, uint32_t samples)
{
	(void)samples;
	return has_bad(raw) ? 400 : 204;
}

static int fails_on_bad(struct sp_bytes raw, uint32_t samples)
{
	(void)samples;
	return has_bad(raw) ? 500 : 204;
}

static int fails(struct sp_bytes raw, uint32_t samples)
{
	(void)raw, (void)samples;
	return 500;
}

static int refuses_all(struct sp_bytes raw, uint32_t samples)
{
	(void)raw, (void)samples;
	return 400;
}

static int unauthorized(struct sp_bytes raw, uint32_t samples)
{
	(void)raw, (void)samples;
	return 401;
}

static int small_requests_only(struct sp_bytes raw, uint32_t samples)
{
	(void)raw;
	return samples > 40 ? 413 : 204;
}

static bool run_with_polls(unsigned seconds, bool (*until)(void))
{
	for (unsigned i = 0; i < seconds; i++) {
		destination_poll(f.dest);
		if (run_for(1000, until))
			return true;
	}
	return false;
}

static void batches_are_delivered_in_order(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 200; i++)
		commit(i % SHARDS, 10, 0);
	assert_true(run_for(2000, all_settled));
	assert_int_equal(f.delivered, 2000);
	assert_int_equal(f.dead, 0);
	assert_true(f.most_out <= SHARDS);
	assert_true(f.posts < 20); /* what came meanwhile was joined */
	assert_int_equal(f.noted, 0);
}

static void what_lies_on_disk_is_read(void **state)
{
	(void)state;
	f.on_disk = true;
	for (unsigned i = 0; i < 100; i++)
		commit(i % SHARDS, 10, 0);
	assert_true(run_for(2000, all_settled));
	assert_int_equal(f.delivered, 1000);
	assert_int_equal(f.reads, 100);
}

/* Of each payload one batch is a hundredth, as with many lanes: a request joins fewer of them then. */
static void what_is_read_takes_no_more_memory_than_there_is(void **state)
{
	(void)state;
	f.on_disk = true;
	f.read_more = 100000;
	f.memory = payload_bytes_held() + 2000000;
	f.transport = SHIP_NOT_SENT;
	for (unsigned i = 0; i < 1000; i++)
		commit(i % SHARDS, 10, 0);
	run_for(100, NULL);
	destination_poll(f.dest);
	assert_true(payload_bytes_held() < f.memory);
	f.transport = SHIP_ANSWERED;
	assert_true(run_for(60000, all_settled));
	assert_int_equal(f.delivered, 10000);
	print_message("at most %zu bytes in memory\n", f.most_held);
	assert_true(f.most_held < 2 * f.memory + SHARDS * 64 * f.read_more);
}

static void joined_requests_keep_the_limits(void **state)
{
	(void)state;
	f.settings.max_samples = 35;
	for (unsigned i = 0; i < 30; i++)
		commit(0, 10, 0);
	assert_true(run_for(2000, all_settled));
	assert_int_equal(f.posts, 1 + 10); /* the first was alone when it came; then three each */
}

static void many_small_requests_wait_for_more(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 200; i++) {
		commit(0, 1, 0);
		run_for(2, NULL);
	}
	assert_in_range(f.posts, 20, 22);
	assert_true(run_for(2000, all_settled));
	assert_in_range(f.posts, 21, 24);
}

static void exactly_the_bad_samples_die(void **state)
{
	(void)state;
	f.receive = refuses_bad;
	for (unsigned i = 0; i < 40; i++)
		commit(i % SHARDS, 50, i == 9 ? 25 : 0);
	assert_true(run_for(5000, all_settled));
	assert_int_equal(f.dead, 2);
	assert_int_equal(f.delivered, 40 * 50 - 2);
	assert_string_equal(f.reason, "rejected");
	assert_true(f.noted >= 1);
	assert_true(f.posts < 60);
	assert_int_equal(report().state, HEALTH_OK);
}

/* What was never sent cannot be there already, however much of it is refused. */
static void only_what_was_sent_can_be_a_repeat(void **state)
{
	(void)state;
	f.receive = refuses_bad;
	f.flags = BATCH_MAYBE_DELIVERED;
	commit_series(0, 20, first, 20);
	f.flags = 0;
	commit_series(0, 20, first, 12);
	commit_series(0, 20, first, 0);
	assert_true(run_with_polls(600, all_settled));
	assert_int_equal(f.dead, 20 + 12);
	assert_int_equal(f.delivered, 8 + 20);
}

static void a_batch_that_gets_500_is_narrowed_down(void **state)
{
	(void)state;
	f.receive = fails_on_bad;
	for (unsigned i = 0; i < 40; i++)
		commit(i % SHARDS, 50, i == 5 ? 50 : 0);
	assert_true(run_for(10000, all_settled));
	assert_int_equal(f.dead, 1);
	assert_int_equal(f.delivered, 40 * 50 - 1);
}

/* The receiver is ill for a while and answers 500 to all: afterwards everything arrives, and no batch has overtaken
 * another. */
static void an_illness_does_not_change_the_order(void **state)
{
	(void)state;
	for (unsigned round = 0; round < 6; round++) {
		f.receive = fails;
		for (unsigned i = 0; i < 12; i++)
			commit(i % (round % 2 ? SHARDS : 1), 20, 0);
		run_for(20 + 15 * round, NULL);
		f.receive = takes_all;
		assert_true(run_for(5000, all_settled));
	}
	assert_int_equal(f.overtaken, 0);
	assert_int_equal(f.dead, 0);
	assert_int_equal(f.delivered, 6 * 12 * 20);
}

/* Alone, so that no other batch can vouch for the receiver: probed again and again, and fine when the receiver is. */
static void a_lonely_batch_is_not_forgotten(void **state)
{
	(void)state;
	f.receive = fails;
	commit(0, 50, 0);
	run_for(200, NULL);
	unsigned posts = f.posts;
	run_for(200, NULL);
	assert_true(f.posts > posts + 3);
	assert_int_equal(f.settled, 0);
	f.receive = takes_all;
	assert_true(run_for(2000, all_settled));
	assert_int_equal(f.dead, 0);
	assert_int_equal(f.delivered, 50);
}

static void every_shard_may_hold_such_a_batch(void **state)
{
	(void)state;
	f.receive = fails_on_bad;
	for (unsigned i = 0; i < 16; i++)
		commit(i % SHARDS, 50, i < 8 ? 50 : 0);
	assert_true(run_for(20000, all_settled));
	assert_int_equal(f.dead, 8);
	assert_int_equal(f.delivered, 16 * 50 - 8);
}

static void nothing_dies_where_everything_is_refused(void **state)
{
	(void)state;
	f.receive = refuses_all;
	for (unsigned i = 0; i < 40; i++)
		commit(i % SHARDS, 50, 0);
	run_for(500, NULL);
	assert_int_equal(report().state, HEALTH_PAUSED);
	assert_string_equal(report().reason, "rejects_everything");
	assert_int_equal(f.settled, 0);
	assert_true(f.posts < 150);
	f.receive = takes_all;
	assert_true(run_for(5000, all_settled));
	assert_int_equal(f.dead, 0);
	assert_int_equal(f.delivered, 2000);
	assert_int_equal(report().state, HEALTH_OK);
}

/* The three oldest batches of the only busy shard are bad throughout: that must not look like a receiver that refuses
 * all. */
static void bad_batches_in_front_do_not_stop_the_good(void **state)
{
	(void)state;
	f.receive = refuses_bad;
	for (unsigned i = 0; i < 8; i++)
		commit(0, 6, i < 5 ? 1 : 0);
	assert_true(run_for(10000, all_settled));
	assert_int_equal(f.dead, 30);
	assert_int_equal(f.delivered, 18);
}

/* Nothing else comes in between: the next batch is too new to go out beside the bad one, and must do so all the same. */
static void a_bad_batch_does_not_wait_for_ever_for_one_of_its_time(void **state)
{
	(void)state;
	f.receive = refuses_bad;
	commit(0, 1, 1);
	later_ms = 7200000;
	commit(0, 10, 0);
	later_ms = 0;
	assert_true(run_with_polls(120, all_settled));
	assert_int_equal(f.dead, 1);
	assert_int_equal(f.delivered, 10);
}

static bool is_paused(void)
{
	return report().state == HEALTH_PAUSED;
}

static uint64_t notes;

static bool is_noted(void)
{
	return f.noted > notes;
}

/* The sample that shall show whether the receiver is well is of a batch that a person purges just then. */
static void a_purged_witness_is_not_waited_for(void **state)
{
	(void)state;
	f.receive = refuses_all;
	for (unsigned i = 0; i < 40; i++)
		commit(i % SHARDS, 10, 0);
	assert_true(run_for(600000, is_paused));
	notes = f.noted;
	assert_true(run_for(600000, is_noted));
	for (size_t i = 0; i < f.n_stored; i++) {
		destination_forget(f.dest, &f.stored[i].batch);
		f.settled += !f.stored[i].settled;
		f.stored[i].settled = true;
	}
	f.receive = takes_all;
	commit(0, 10, 0);
	assert_true(run_for(600000, all_settled));
	assert_int_equal(f.delivered, 10);
}

static unsigned unwell;

static int is_unwell_for_a_while(struct sp_bytes raw, uint32_t samples)
{
	(void)samples;
	return has_bad(raw) ? 400 : unwell > 0 && unwell-- ? 503 : 204;
}

/* What should vouch for the receiver is not answered at first: it is asked for again, although nothing else waits. */
static void a_repeat_that_fails_is_sent_again(void **state)
{
	(void)state;
	f.receive = is_unwell_for_a_while;
	commit(0, 20, 0);
	assert_true(run_for(1000, all_settled));
	unwell = 2;
	commit(0, 20, 1);
	assert_true(run_for(20000, all_settled));
	assert_int_equal(f.dead, 20);
	assert_int_equal(report().state, HEALTH_OK);
}

static int purges_it(struct sp_bytes raw, uint32_t samples)
{
	(void)raw;
	if (samples < 20 && !f.stored[0].settled) {
		destination_forget(f.dest, &f.stored[0].batch);
		f.stored[0].settled = true;
		f.settled++;
	}
	return 400;
}

static void what_is_purged_while_it_is_narrowed_down_is_sent_no_more(void **state)
{
	(void)state;
	f.receive = purges_it;
	commit(0, 20, 20);
	run_for(1000, NULL);
	assert_int_equal(f.posts, 2);
	assert_int_equal(f.dead, 0);
}

static void a_401_stops_all_but_probes(void **state)
{
	(void)state;
	f.receive = unauthorized;
	for (unsigned i = 0; i < 40; i++)
		commit(i % SHARDS, 10, 0);
	run_for(210, NULL);
	assert_int_equal(report().state, HEALTH_PAUSED);
	assert_string_equal(report().reason, "unauthorized");
	assert_in_range(f.posts, 2, SHARDS + 40);
	assert_int_equal(f.settled, 0);
	f.receive = takes_all;
	destination_probe(f.dest);
	assert_true(run_for(2000, all_settled));
	assert_int_equal(f.delivered, 400);
	assert_int_equal(f.maybe, 0);
}

static void nobody_there_is_retried_for_ever(void **state)
{
	(void)state;
	f.transport = SHIP_NOT_SENT;
	for (unsigned i = 0; i < 8; i++)
		commit(i % SHARDS, 10, 0);
	run_for(200, NULL);
	assert_int_equal(report().state, HEALTH_BACKING_OFF);
	assert_true(f.posts > 5);
	assert_int_equal(f.maybe, 0);
	f.transport = SHIP_ANSWERED;
	assert_true(run_for(2000, all_settled));
	assert_int_equal(f.delivered, 80);
}

static void a_request_without_answer_may_have_arrived(void **state)
{
	(void)state;
	f.transport = SHIP_UNANSWERED;
	commit(0, 10, 0);
	run_for(30, NULL);
	assert_int_equal(f.maybe, 1); /* once, however often it was tried */
	assert_true(f.posts > 1);
	assert_int_equal(f.attempts[0], 0);
	assert_int_equal(f.attempts[1], 1);
	f.transport = SHIP_ANSWERED;
	assert_true(run_for(2000, all_settled));
}

static int busy(struct sp_bytes raw, uint32_t samples)
{
	(void)raw, (void)samples;
	return f.posts <= 1 ? 429 : 204;
}

static void retry_after_is_obeyed(void **state)
{
	(void)state;
	f.receive = busy;
	f.retry_after_ms = 150;
	commit(0, 10, 0);
	assert_true(run_for(5000, all_settled));
	assert_int_equal(f.posts, 2);
	assert_true(f.at[1] - f.at[0] >= 145);
}

static int too_many_requests(struct sp_bytes raw, uint32_t samples)
{
	(void)raw, (void)samples;
	return 429;
}

static void a_storm_of_429_is_waited_out(void **state)
{
	(void)state;
	f.settings.backoff_min = 100;
	f.settings.backoff_max = 30000;
	f.receive = too_many_requests;
	for (unsigned minute = 0; minute < 10; minute++) {
		for (unsigned i = 0; i < 10; i++)
			commit(i % SHARDS, 10, 0);
		run_for(60000, NULL);
	}
	assert_int_equal(f.settled, 0);
	assert_in_range(f.posts, 600 / 33, 600 / 27 + 10 + SHARDS); /* the ones that were out, then doubling to half a minute */
	f.receive = takes_all;
	assert_true(run_for(33000, all_settled));
	assert_int_equal(f.delivered, 1000);
	assert_int_equal(f.dead, 0);
}

static void what_is_too_big_is_cut(void **state)
{
	(void)state;
	f.receive = small_requests_only;
	for (unsigned i = 0; i < 20; i++)
		commit(0, 10, 0);
	commit(1, 200, 0);
	assert_true(run_for(5000, all_settled));
	assert_int_equal(f.dead, 0);
	assert_int_equal(f.delivered, 400);
}

/* How many requests one batch of 200 samples takes. */
static unsigned requests_of_a_batch(void)
{
	unsigned before = f.posts;
	commit(1, 200, 0);
	assert_true(run_for(1000, all_settled));
	return f.posts - before;
}

static void what_is_too_big_is_remembered_and_tried_again(void **state)
{
	(void)state;
	f.receive = small_requests_only;
	unsigned first = requests_of_a_batch(), second = requests_of_a_batch(), hours = 0;
	assert_true(second < first);
	assert_in_range(second, 5, 8); /* of at most 40 samples each, and none is refused */
	f.receive = takes_all;
	for (; requests_of_a_batch() > 1; hours++)
		run_for(3600000, NULL);
	assert_in_range(hours, 10, 30); /* a tenth more each hour */
	assert_int_equal(f.dead, 0);
}

static void partly_refused_batches_are_kept_whole(void **state)
{
	(void)state;
	f.settings.receiver = (char *)(uintptr_t) "mimir";
	destination_again();
	f.receive = refuses_bad;
	for (unsigned i = 0; i < 6; i++) {
		commit(0, 10, i % 2 ? 0 : 5);
		run_for(30, all_settled);
	}
	assert_true(run_for(2000, all_settled));
	assert_int_equal(f.dead, 2 + 10 + 10); /* the first was narrowed down, the others of this minute were not */
	assert_string_equal(f.reason, "partly_refused");
}

static bool any_post(void)
{
	return f.posts > 0;
}

static void a_lane_sends_its_key_and_nothing_without_it(void **state)
{
	static char path[] = "/tmp/standpipe-key-XXXXXX";
	struct key_settings key = {.name = (char *)"team", .file = path};
	struct settings keys = {.keys = &key, .n_keys = 1};
	struct destination *main_one = f.dest;
	(void)state;
	int fd = mkstemp(path);
	assert_true(write(fd, "secret\n", 7) == 7 && close(fd) == 0);
	f.settings.lanes_token = (char *)"key";
	f.dest = destination_lane(main_one, 1, "main/team");
	destination_poll(f.dest);
	commit(0, 10, 0);
	assert_false(run_for(30, any_post));
	assert_string_equal(report().reason, "no_key");
	assert_null(destination_unauthorized_key(f.dest));
	f.receive = unauthorized;
	destination_keys(f.dest, &keys);
	assert_true(run_for(2000, any_post));
	run_for(5, NULL);
	assert_string_equal(f.line, "Authorization: Bearer secret");
	assert_string_equal(destination_unauthorized_key(f.dest), "team");
	f.receive = takes_all;
	assert_true(run_for(2000, all_settled));
	assert_null(destination_unauthorized_key(f.dest));
	assert_int_equal(f.delivered, 10);
	unlink(path);
	destination_stop(f.dest);
	destination_free(&f.dest);
	f.dest = main_one;
}

/* ---- lanes ---- */

enum { LANES = 100, LANES_AT_A_TIME = 16 };

static struct destination *lanes[LANES], *whole;

static void with_lanes(void)
{
	static char by[] = "key", header[] = "X-Scope-OrgID";
	f.settings.lanes_by = by;
	f.settings.lanes_header = header;
	f.settings.lanes_requests = LANES_AT_A_TIME;
	destination_again();
	whole = f.dest;
	for (uint32_t i = 0; i < LANES; i++) {
		char name[32];
		snprintf(name, sizeof name, "main/tenant-%u", i);
		lanes[i] = destination_lane(whole, 2 + i, name);
	}
}

static void commit_for_each_lane(void)
{
	for (size_t i = 0; i < LANES; i++) {
		f.dest = lanes[i];
		commit((uint32_t)(i % SHARDS), 10, 0);
	}
	f.dest = whole;
}

static void end_lanes(void)
{
	for (size_t i = 0; i < LANES; i++)
		destination_free(&lanes[i]);
}

static void lanes_do_not_run_over_a_receiver_that_comes_back(void **state)
{
	(void)state;
	with_lanes();
	f.latency_ms = 5;
	f.transport = SHIP_NOT_SENT;
	commit_for_each_lane();
	run_for(1000, NULL);
	assert_in_range(f.posts, LANES_AT_A_TIME + 50, LANES_AT_A_TIME + 120); /* at most all 10 ms, after the first */
	unsigned before = f.posts;
	f.transport = SHIP_ANSWERED;
	f.most_out = 0;
	assert_true(run_for(3000, all_settled));
	assert_int_equal(f.delivered, LANES * 10);
	assert_in_range(f.most_out, LANES_AT_A_TIME / 2, LANES_AT_A_TIME);
	assert_int_equal(f.posts, before + LANES);
	assert_int_not_equal(f.at[before], f.at[before + 1]); /* the first alone */
	end_lanes();
}

/* The answer that gives a lane its turn at the gate is one to the lane itself. */
static void a_lane_in_line_waits_for_its_own_answer(void **state)
{
	(void)state;
	f.settings.lanes_requests = 1;
	destination_again();
	f.dest = destination_lane(whole = f.dest, 2, "main/tenant");
	f.latency_ms = 5;
	for (unsigned i = 0; i < 40; i++)
		commit(i % SHARDS, 10, 0);
	assert_true(run_for(2000, all_settled));
	assert_int_equal(f.delivered, 400);
	assert_int_equal(f.taken, 400);
	assert_int_equal(f.most_out, 1);
	destination_free(&f.dest);
	f.dest = whole;
}

size_t __sanitizer_get_current_allocated_bytes(void);

static size_t allocated(void)
{
#ifdef __SANITIZE_ADDRESS__
	return __sanitizer_get_current_allocated_bytes();
#else
	return mallinfo2().uordblks;
#endif
}

static void an_idle_lane_costs_less_than_two_kilobytes(void **state)
{
	(void)state;
	with_lanes();
	end_lanes();
	commit(0, 10, 0); /* what the first batch costs is no lane's */
	assert_true(run_for(2000, all_settled));
	size_t before = allocated(), first = f.n_stored;
	with_lanes();
	commit_for_each_lane();
	assert_true(run_for(2000, all_settled));
	for (size_t i = 0; i < LANES; i++)
		destination_poll(lanes[i]);
	for (size_t i = first; i < f.n_stored; i++) /* the modelled spool keeps them */
		before += sizeof *f.stored[i].payload + f.stored[i].payload->n;
	size_t each = (allocated() - before) / LANES;
	print_message("an idle lane takes %zu bytes\n", each);
	assert_in_range(each, 100, 2000);
	end_lanes();
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, destination_begin, destination_end)
	const struct CMUnitTest tests[] = {TEST(batches_are_delivered_in_order), TEST(what_lies_on_disk_is_read),
	    TEST(what_is_read_takes_no_more_memory_than_there_is), TEST(joined_requests_keep_the_limits), TEST(many_small_requests_wait_for_more),
	    TEST(exactly_the_bad_samples_die), TEST(only_what_was_sent_can_be_a_repeat),
	    TEST(a_batch_that_gets_500_is_narrowed_down),
	    TEST(an_illness_does_not_change_the_order), TEST(a_lonely_batch_is_not_forgotten),
	    TEST(every_shard_may_hold_such_a_batch), TEST(nothing_dies_where_everything_is_refused),
	    TEST(bad_batches_in_front_do_not_stop_the_good), TEST(a_bad_batch_does_not_wait_for_ever_for_one_of_its_time), TEST(a_purged_witness_is_not_waited_for),
	    TEST(a_repeat_that_fails_is_sent_again),
	    TEST(what_is_purged_while_it_is_narrowed_down_is_sent_no_more), TEST(a_401_stops_all_but_probes),
	    TEST(nobody_there_is_retried_for_ever), TEST(a_request_without_answer_may_have_arrived),
	    TEST(retry_after_is_obeyed), TEST(a_storm_of_429_is_waited_out), TEST(what_is_too_big_is_cut),
	    TEST(what_is_too_big_is_remembered_and_tried_again), TEST(partly_refused_batches_are_kept_whole),
	    TEST(a_lane_sends_its_key_and_nothing_without_it), TEST(lanes_do_not_run_over_a_receiver_that_comes_back),
	    TEST(a_lane_in_line_waits_for_its_own_answer),
	    TEST(an_idle_lane_costs_less_than_two_kilobytes)};
	sp_log_init("test", -1, SP_LOG_ERROR, SP_LOG_TEXT);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
