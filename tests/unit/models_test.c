/* Half an hour with receivers that refuse much: what is good arrives, in few requests, and nothing piles up. Time is
 * simulated. */
#include "tests/lib/destination_lib.h"

#include "common/log.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

enum {
	MINUTES = 30,
	DELIVERIES = 40, /* a minute, each with a share for every shard: one request each, when all is well */
	SERIES = 5,	 /* of a share */
	ALL_SERIES = DELIVERIES * SHARDS * SERIES,
	NORMAL = DELIVERIES * SHARDS, /* requests a minute */
};

#define BEGIN_MS 1700000000000

static struct {
	int (*receive)(unsigned series, unsigned minute); /* the answer to this sample alone */
	bool stores_the_rest;
	unsigned head; /* the newest minute of all series */
	bool arrived[ALL_SERIES][MINUTES];
	unsigned newest[ALL_SERIES];
	unsigned good, good_arrived, bad;
	unsigned restart; /* before this minute */
	int64_t tokens, filled_ms; /* of the rate limit */
} m;

/* 30 % of the series came too late, when the tenant was at its limit. */
static bool is_new(unsigned series)
{
	return series * 7919U % 10 < 3;
}

static int at_its_limit_400(unsigned series, unsigned minute)
{
	(void)minute;
	return is_new(series) ? 400 : 204;
}

static int at_its_limit_429(unsigned series, unsigned minute)
{
	(void)minute;
	return is_new(series) ? 429 : 204;
}

static int limit_is_raised(unsigned series, unsigned minute)
{
	return is_new(series) && minute < MINUTES / 2 ? 400 : 204;
}

/* By then a third of them is still refused. */
static int limit_is_raised_a_little(unsigned series, unsigned minute)
{
	return is_new(series) && (minute < MINUTES / 2 || series * 7919U % 10 < 1) ? 400 : 204;
}

static int rejects_half(unsigned series, unsigned minute)
{
	(void)minute;
	return series * 7919U % 2 ? 422 : 204;
}

static int without_window(unsigned series, unsigned minute)
{
	return minute >= m.newest[series] ? 204 : 400;
}

static int with_short_window(unsigned series, unsigned minute)
{
	return minute >= m.newest[series] || minute + 4 >= m.head ? 204 : 400;
}

static unsigned series_of(struct sp_bytes labels)
{
	struct sp_bytes name = rw_find_label(labels, SP_LIT("__name__"));
	char text[16] = {0};
	memcpy(text, name.p, name.n < 15 ? name.n : 15);
	return (unsigned)strtoul(text + 1, NULL, 10);
}

static int receive(struct sp_bytes raw, uint32_t samples)
{
	int status = 204;
	struct rw_series s;
	struct rw_sample v;
	struct sp_why why;
	(void)samples;
	for (int pass = 0; pass < 2; pass++)
		for (struct sp_bytes in = raw; rw_next(&in, &s, &why) == SP_OK;)
			for (struct sp_bytes rest = s.samples; rw_next_sample(&rest, &v);) {
				unsigned series = series_of(s.labels), minute = (unsigned)((v.ms - BEGIN_MS) / 60000);
				int alone = m.receive(series, minute);
				if (pass == 0 && alone != 204)
					status = alone;
				if (pass == 0 || alone != 204 || (status != 204 && !m.stores_the_rest))
					continue;
				m.good_arrived += !m.arrived[series][minute];
				m.arrived[series][minute] = true;
				m.newest[series] = minute > m.newest[series] ? minute : m.newest[series];
				m.head = minute > m.head ? minute : m.head;
			}
	return status;
}

/* Takes twelve samples a second, a few less than come. */
static int limits_the_rate(struct sp_bytes raw, uint32_t samples)
{
	int64_t now = sp_loop_now(f.loop).ms;
	m.tokens += (now - m.filled_ms) * 12;
	m.tokens = m.tokens < 60000 ? m.tokens : 60000;
	m.filled_ms = now;
	if (m.tokens < (int64_t)samples * 1000)
		return 429;
	m.tokens -= (int64_t)samples * 1000;
	return receive(raw, samples);
}

static int sheds_load_at_random(struct sp_bytes raw, uint32_t samples)
{
	return random() % 10 < 7 ? (random() % 2 ? 429 : 503) : receive(raw, samples);
}

enum late {
	NONE,
	SOME,	/* one sample in twenty is of some minutes before, of a series that has delivered since */
	FLOODS, /* every tenth minute begins with forty deliveries that are late, but for series that come with them only */
};

static bool comes_late_only(unsigned series)
{
	return series % 10 == 3;
}

/* A share of a delivery of this minute, with the data of minute `of`. */
static void share(unsigned minute, unsigned of, unsigned delivery, unsigned shard, enum late late)
{
	struct sp_buf raw = {0};
	for (unsigned i = 0; i < SERIES; i++) {
		unsigned series = (delivery * SHARDS + shard) * SERIES + i, at = of;
		struct sp_buf labels = {0};
		char name[16];
		bool apart = late == FLOODS && comes_late_only(series);
		if (apart && of == minute)
			continue;
		if (late == SOME && minute > 8 && (series + minute * 13) % 20 == 0)
			at = minute - 2 - series % 5;
		snprintf(name, sizeof(name), "m%05u", series);
		uint8_t *to = sp_buf_room(&labels, 64), *end = rw_put_label(to, SP_LIT("__name__"), sp_str(name));
		labels.n = (size_t)(end - to);
		rw_add_series(&raw, sp_buf_view(&labels), &(struct rw_sample){BEGIN_MS + (int64_t)at * 60000, 0}, 1);
		bool bad = m.receive == without_window	    ? at < minute && !apart
			   : m.receive == with_short_window ? at + 4 < minute
							    : m.receive(series, at) != 204;
		m.bad += bad;
		m.good += !bad && (at == minute || apart); /* late ones may be there already */
		sp_buf_free(&labels);
	}
	commit_raw(shard, &raw, BEGIN_MS + (int64_t)minute * 60000);
}

struct course {
	size_t most_waiting, waiting_later, waiting; /* batches */
	unsigned silent;			     /* minutes in which nothing good arrived */
};

static struct course half_an_hour(int (*receiver)(unsigned series, unsigned minute), enum late late)
{
	struct course c = {0};
	m.receive = receiver;
	f.words = receiver == without_window || receiver == with_short_window ? "out of order sample" : "the limit is reached";
	for (unsigned minute = 0; minute < MINUTES; minute++) {
		unsigned before = m.good_arrived;
		if (minute == m.restart) {
			assert_true(run_for(60000, all_settled));
			destination_again();
		}
		for (unsigned d = 0; late == FLOODS && minute % 10 == 9 && d < DELIVERIES; d++)
			for (unsigned shard = 0; shard < SHARDS; shard++)
				share(minute, minute - 5, d, shard, late);
		for (unsigned d = 0; d < DELIVERIES; d++) {
			for (unsigned shard = 0; shard < SHARDS; shard++)
				share(minute, minute, d, shard, late);
			run_for(60000 / DELIVERIES, NULL);
		}
		c.waiting = f.n_stored - f.settled;
		c.most_waiting = c.waiting > c.most_waiting ? c.waiting : c.most_waiting;
		c.waiting_later = minute == MINUTES * 2 / 3 ? c.waiting : c.waiting_later;
		c.silent += m.good_arrived == before;
		if (getenv("MODEL_TRACE"))
			print_message("%2u: arrived %u waiting %zu posts %u dead %u %s\n", minute, m.good_arrived - before, c.waiting, f.posts, (unsigned)f.dead, report().state == 0 ? "" : report().reason);
	}
	print_message("%u requests where %u are normal; %u of %u good samples, %u of %u dead; most waiting %zu "
		      "batches, at the end %zu\n",
	    f.posts, NORMAL * MINUTES, m.good_arrived, m.good, (unsigned)f.dead, m.bad, c.most_waiting, c.waiting);
	return c;
}

static int begin(void **state)
{
	memset(&m, 0, sizeof(m));
	destination_begin(state);
	f.receive = receive;
	f.latency_ms = 20;
	f.settings.backoff_min = 100;
	f.settings.backoff_max = 30000;
	f.settings.backoff_unreachable_max = 1000;
	f.settings.probe_min = 30000;
	f.settings.probe_max = 600000;
	return 0;
}

static void receivers_that_take_all_are_normal(void **state)
{
	(void)state;
	f.receive = takes_all;
	struct course c = half_an_hour(at_its_limit_400, NONE);
	assert_int_equal(f.posts, NORMAL * MINUTES);
	assert_int_equal(c.waiting, 0);
}

/* As Mimir: what is good is stored with each refusal, so no batch waits. */
static void a_tenant_at_its_limit_400(void **state)
{
	(void)state;
	f.settings.receiver = (char *)(uintptr_t) "mimir";
	destination_again();
	m.stores_the_rest = true;
	struct course c = half_an_hour(at_its_limit_400, NONE);
	assert_int_equal(m.good_arrived, m.good);
	assert_int_equal(c.silent, 0);
	assert_true(c.most_waiting <= NORMAL);
	assert_true(f.posts <= 3 * NORMAL * MINUTES);
}

/* It looks like load. */
static void a_tenant_at_its_limit_429(void **state)
{
	(void)state;
	struct course c = half_an_hour(at_its_limit_429, NONE);
	assert_int_equal(m.good_arrived, m.good);
	assert_int_equal(f.dead, m.bad);
	assert_int_equal(c.silent, 0);
	assert_true(c.most_waiting <= 5 * NORMAL); /* while 240 series are found, each refused alone */
	assert_int_equal(c.waiting_later, 0);
	assert_int_equal(c.waiting, 0);
	assert_true(f.posts <= 3 * NORMAL * MINUTES);
}

static void a_tenant_at_its_limit_429_that_stores_the_rest(void **state)
{
	m.stores_the_rest = true;
	a_tenant_at_its_limit_429(state);
}

static void a_limit_that_is_raised(void **state)
{
	(void)state;
	struct course c = half_an_hour(limit_is_raised, NONE);
	assert_int_equal(m.good_arrived, m.good); /* from then on all are good, and none dies of the past */
	assert_int_equal(f.dead, m.bad);
	assert_int_equal(c.waiting, 0);
}

/* What was refused before is tried anew, now and then some of it, although there is still a refusal in each batch. */
static void a_limit_that_is_raised_a_little(void **state)
{
	(void)state;
	struct course c = half_an_hour(limit_is_raised_a_little, NONE);
	assert_true(f.dead < m.bad + ALL_SERIES / 5); /* of a fifth of all, who are good again, about a minute */
	assert_int_equal(m.good_arrived + f.dead, m.good + m.bad);
	assert_int_equal(c.waiting, 0);
	assert_true(f.posts <= 3 * NORMAL * MINUTES);
}

static void a_receiver_that_rejects_half_of_all_series(void **state)
{
	(void)state;
	struct course c = half_an_hour(rejects_half, NONE);
	assert_int_equal(m.good_arrived, m.good);
	assert_int_equal(f.dead, m.bad);
	assert_true(c.silent <= 5);
	assert_true(c.waiting_later <= NORMAL && c.waiting <= NORMAL);
	assert_true(f.posts <= 3 * NORMAL * MINUTES);
}

static void late_samples_without_a_window(void **state)
{
	(void)state;
	struct course c = half_an_hour(without_window, SOME);
	assert_int_equal(m.good_arrived, m.good);
	assert_int_equal(f.dead, m.bad);
	assert_true(c.most_waiting <= NORMAL);
	assert_true(f.posts <= 3 * NORMAL * MINUTES);
}

/* Nothing that is good stands behind them for long. */
static void floods_of_late_samples_without_a_window(void **state)
{
	(void)state;
	struct course c = half_an_hour(without_window, FLOODS);
	assert_int_equal(m.good_arrived, m.good);
	assert_int_equal(f.dead, m.bad);
	assert_int_equal(c.silent, 0);
	assert_true(c.most_waiting <= 4 * NORMAL);
	assert_true(f.posts <= 3 * NORMAL * MINUTES);
}

/* Nobody knows then what was delivered before, and each sample must be tried. */
static void a_flood_of_late_samples_after_a_restart(void **state)
{
	(void)state;
	m.restart = 9;
	struct course c = half_an_hour(without_window, FLOODS);
	assert_true(run_for(600000, all_settled));
	assert_int_equal(m.good_arrived, m.good);
	assert_int_equal(f.dead, m.bad);
	assert_int_equal(c.silent, 0);
	assert_true(f.posts <= 3 * NORMAL * MINUTES);
}

static void late_samples_within_a_short_window_are_good(void **state)
{
	(void)state;
	half_an_hour(with_short_window, SOME);
	assert_true(run_for(60000, all_settled));
	assert_true(m.bad > 0);
	assert_in_range(f.dead, m.bad - 8, m.bad); /* a few were just in time */
	assert_true(f.posts <= 3 * NORMAL * MINUTES);
}

static void no_sample_dies_of_a_rate_limit(void **state)
{
	(void)state;
	f.receive = limits_the_rate;
	half_an_hour(without_window, NONE);
	assert_int_equal(f.dead, 0);
	f.receive = takes_all;
	assert_true(run_for(600000, all_settled));
	assert_int_equal(f.dead, 0);
}

static void no_sample_dies_of_load_that_is_shed(void **state)
{
	(void)state;
	srandom(1);
	f.receive = sheds_load_at_random;
	half_an_hour(without_window, NONE);
	assert_int_equal(f.dead, 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, destination_end)
	const struct CMUnitTest tests[] = {TEST(receivers_that_take_all_are_normal), TEST(a_tenant_at_its_limit_400),
	    TEST(a_tenant_at_its_limit_429), TEST(a_tenant_at_its_limit_429_that_stores_the_rest), TEST(a_limit_that_is_raised), TEST(a_limit_that_is_raised_a_little),
	    TEST(a_receiver_that_rejects_half_of_all_series), TEST(late_samples_without_a_window), TEST(floods_of_late_samples_without_a_window), TEST(a_flood_of_late_samples_after_a_restart),
	    TEST(late_samples_within_a_short_window_are_good), TEST(no_sample_dies_of_a_rate_limit),
	    TEST(no_sample_dies_of_load_that_is_shed)};
	sp_log_init("test", -1, SP_LOG_ERROR, SP_LOG_TEXT);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
