/* The life of batches and of one destination, with a receiver and a spool that are modelled here in the place of
 * ship/http_client.c and ship/writer.c. Times are short: what is tested is order and number, not duration. */
#include "ship/destination.h"

#include "common/alloc.h"
#include "common/log.h"
#include "proto/remote_write.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <cmocka.h>

enum { SHARDS = 4, MAX_POSTS = 20000 };

static struct {
	struct sp_loop *loop;
	struct destination *dest;
	struct dest_settings settings;
	struct sp_timer turn, limit;
	/* calls that the real ones would make from the loop */
	struct call {
		void (*fn)(void *arg);
		void *arg;
		struct call *next;
	} * calls, **last_call;
	bool (*until)(void);

	/* the receiver */
	int (*receive)(struct sp_bytes raw, uint32_t samples);
	int64_t retry_after_ms;
	enum ship_transport transport;
	unsigned posts, out, most_out, of_one_sample;
	unsigned attempts[MAX_POSTS];
	int64_t at[MAX_POSTS];
	uint64_t taken; /* samples answered 2xx */
	char line[64];  /* the last header line of the last request */

	/* the spool */
	uint64_t seq[SHARDS], payloads;
	struct stored {
		struct batch batch;
		struct payload *payload;
		bool settled;
	} stored[2000];
	size_t n_stored;
	uint64_t delivered, dead, settled, maybe, noted, reads, last_settled[SHARDS], overtaken;
	char reason[32];
	bool on_disk; /* batches are handed over without their payload */
} f;

/* ---- the loop's calls ---- */

static void run_calls(void *arg)
{
	(void)arg;
	struct call *c = f.calls;
	f.calls = NULL;
	f.last_call = &f.calls;
	while (c) {
		struct call *next = c->next;
		c->fn(c->arg);
		sp_free(c);
		c = next;
	}
	if (f.calls)
		sp_timer_set(f.loop, &f.turn, 0, run_calls, NULL);
	if (f.until && f.until())
		sp_loop_stop(f.loop);
}

static void later(void (*fn)(void *arg), void *arg)
{
	struct call *c = sp_new(struct call);
	*c = (struct call){fn, arg, NULL};
	*f.last_call = c;
	f.last_call = &c->next;
	sp_timer_set(f.loop, &f.turn, 0, run_calls, NULL);
}

/* ---- ship/http_client.h ---- */

struct request {
	struct sp_bytes body;
	http_done_fn done;
	void *arg;
};

static void answer_request(void *arg)
{
	struct request *r = arg;
	struct sp_buf raw = {0};
	struct rw_totals t;
	struct sp_why why;
	struct http_answer a = {.transport = f.transport, .retry_after_ms = f.retry_after_ms, .samples_written = -1};
	assert_int_equal(rw_uncompress(r->body, 1 << 30, &raw, &why), SP_OK);
	assert_int_equal(rw_count(sp_buf_view(&raw), &t, &why), SP_OK);
	a.status = a.transport == SHIP_ANSWERED ? f.receive(sp_buf_view(&raw), t.samples) : 0;
	a.words = sp_str("the words");
	f.of_one_sample += t.samples == 1;
	if (a.status / 100 == 2)
		f.taken += t.samples;
	sp_buf_free(&raw);
	f.out--;
	r->done(r->arg, &a);
	sp_free(r);
}

enum sp_status http_target_new(
    struct http_client *c, const struct dest_settings *d, struct http_target **out, struct sp_why *why)
{
	(void)c, (void)d, (void)why;
	*out = NULL;
	return SP_OK;
}

void http_target_free(struct http_target **t)
{
	(void)t;
}

const struct http_place *http_target_place(const struct http_target *t)
{
	(void)t;
	return NULL;
}

void http_call(struct http_client *c, const struct http_call *call, http_done_fn done, void *arg)
{
	(void)c, (void)call, (void)done, (void)arg;
	fail_msg("no access keys are asked for here");
}

void http_post(struct http_target *t, const char *const *lines, struct sp_bytes body, enum rw_version version,
    unsigned attempt, http_done_fn done, void *arg)
{
	struct request *r = sp_new(struct request);
	(void)t, (void)version;
	for (; *lines; lines++)
		snprintf(f.line, sizeof f.line, "%s", *lines);
	*r = (struct request){body, done, arg};
	assert_true(f.posts < MAX_POSTS);
	f.attempts[f.posts] = attempt;
	f.at[f.posts++] = sp_mono_now().ms;
	f.out++;
	if (f.out > f.most_out)
		f.most_out = f.out;
	later(answer_request, r);
}

/* ---- ship/writer.h ---- */

uint32_t writer_dest_id(struct writer *w, const char *name)
{
	(void)w, (void)name;
	return 1;
}

struct writer_totals writer_totals(struct writer *w, uint32_t dest)
{
	(void)w, (void)dest;
	return (struct writer_totals){.batches = f.n_stored - f.settled};
}

void writer_settle(struct writer *w, const struct batch *b, size_t n, uint64_t delivered,
    const struct dead_letter *dead, size_t n_dead, void (*done)(void *arg), void *arg)
{
	uint64_t samples = 0, lost = 0;
	(void)w, (void)done, (void)arg;
	for (size_t i = 0; i < n; i++) {
		size_t k = 0;
		while (f.stored[k].batch.shard != b[i].shard || f.stored[k].batch.seq != b[i].seq)
			assert_true(++k < f.n_stored);
		assert_false(f.stored[k].settled);
		f.stored[k].settled = true;
		samples += b[i].samples;
		f.overtaken += b[i].seq < f.last_settled[b[i].shard];
		f.last_settled[b[i].shard] = b[i].seq;
	}
	for (size_t i = 0; i < n_dead; i++) {
		lost += dead[i].samples;
		snprintf(f.reason, sizeof(f.reason), "%s", dead[i].reason);
		assert_int_equal(dead[i].dest, 1);
	}
	assert_int_equal(samples, delivered + lost); /* the books balance at each settling */
	f.settled += n;
	f.delivered += delivered;
	f.dead += lost;
}

void writer_mark_maybe(struct writer *w, const struct batch *b, size_t n)
{
	(void)w, (void)b;
	f.maybe += n;
}

void writer_note_decoding(struct writer *w, uint64_t payload, void (*done)(void *arg), void *arg)
{
	(void)w, (void)payload;
	f.noted++;
	later(done, arg);
}

struct fake_read {
	uint64_t payload;
	void (*done)(void *arg, struct payload *p);
	void *arg;
};

static void answer_read(void *arg)
{
	struct fake_read *r = arg;
	size_t k = 0;
	while (f.stored[k].batch.payload != r->payload)
		k++;
	r->done(r->arg, f.stored[k].payload);
	sp_free(r);
}

void writer_read(struct writer *w, uint64_t payload, void (*done)(void *arg, struct payload *p), void *arg)
{
	struct fake_read *r = sp_new(struct fake_read);
	(void)w;
	*r = (struct fake_read){payload, done, arg};
	f.reads++;
	later(answer_read, r);
}

struct fake_list {
	uint32_t shard;
	uint64_t after;
	size_t max;
	void (*done)(void *arg, const struct batch *b, size_t n, bool more);
	void *arg;
};

static void answer_list(void *arg)
{
	struct fake_list *l = arg;
	struct batch *found = sp_new_array(struct batch, f.n_stored + 1);
	size_t n = 0;
	bool more = false;
	for (size_t i = 0; i < f.n_stored; i++)
		if (f.stored[i].batch.shard == l->shard && f.stored[i].batch.seq > l->after && !f.stored[i].settled) {
			more = n == l->max;
			if (more)
				break;
			found[n++] = f.stored[i].batch;
		}
	l->done(l->arg, found, n, more);
	sp_free(found);
	sp_free(l);
}

void writer_list(struct writer *w, uint32_t dest, uint32_t shard, uint64_t after, size_t max,
    void (*done)(void *arg, const struct batch *b, size_t n, bool more), void *arg)
{
	struct fake_list *l = sp_new(struct fake_list);
	(void)w, (void)dest;
	*l = (struct fake_list){shard, after, max, done, arg};
	later(answer_list, l);
}

/* ---- batches ---- */

/* n series; every bad-th sample has value 1, the others 0. */
static void put(uint32_t shard, unsigned n, unsigned bad)
{
	struct sp_buf raw = {0}, block = {0};
	struct stored *s = &f.stored[f.n_stored];
	for (unsigned i = 0; i < n; i++) {
		struct sp_buf labels = {0};
		char id[16];
		snprintf(id, sizeof(id), "%u_%u", shard, i);
		uint8_t *to = sp_buf_room(&labels, 64), *end = rw_put_label(to, SP_LIT("__name__"), sp_str(id));
		labels.n = (size_t)(end - to);
		rw_add_series(&raw, sp_buf_view(&labels),
		    &(struct rw_sample){1000 + (int64_t)f.n_stored, bad && i % bad == bad - 1 ? 1 : 0}, 1);
		sp_buf_free(&labels);
	}
	rw_compress(sp_buf_view(&raw), &block);
	s->batch = (struct batch){.seq = ++f.seq[shard],
	    .payload = ++f.payloads,
	    .dest = 1,
	    .shard = shard,
	    .len = (uint32_t)block.n,
	    .raw_len = (uint32_t)raw.n,
	    .series = n,
	    .samples = n,
	    .min_ms = 1000,
	    .max_ms = 1000};
	size_t size;
	uint8_t *bytes = sp_buf_steal(&block, &size);
	s->payload = payload_new(f.payloads, bytes, size, 0);
	f.n_stored++;
	sp_buf_free(&raw);
}

static void commit(uint32_t shard, unsigned n, unsigned bad)
{
	put(shard, n, bad);
	struct stored *s = &f.stored[f.n_stored - 1];
	destination_add(f.dest, &s->batch, f.on_disk ? NULL : s->payload);
}

/* ---- receivers ---- */

static int ok(struct sp_bytes raw, uint32_t samples)
{
	(void)raw, (void)samples;
	return 204;
}

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

/* ---- running ---- */

static bool all_settled(void)
{
	return f.settled == f.n_stored;
}

static void too_late(void *arg)
{
	*(bool *)arg = true;
	sp_loop_stop(f.loop);
}

/* True when `until` came true in that time. */
static bool run_for(int64_t ms, bool (*until)(void))
{
	bool late = false;
	f.until = until;
	sp_timer_set(f.loop, &f.limit, ms, too_late, &late);
	sp_timer_set(f.loop, &f.turn, 0, run_calls, NULL);
	sp_loop_run(f.loop);
	sp_timer_cancel(f.loop, &f.limit);
	return !late;
}

static int begin(void **state)
{
	struct sp_why why;
	(void)state;
	memset(&f, 0, sizeof(f));
	f.last_call = &f.calls;
	f.loop = sp_loop_new();
	f.receive = ok;
	f.transport = SHIP_ANSWERED;
	f.retry_after_ms = SHIP_NO_RETRY_AFTER;
	f.settings = (struct dest_settings){.name = (char *)(uintptr_t) "main",
	    .receiver = (char *)(uintptr_t) "prometheus",
	    .protocol = (char *)(uintptr_t) "1.0",
	    .shards = SHARDS,
	    .max_samples = 5000,
	    .max_bytes = 900 << 10,
	    .max_raw_bytes = 3000000,
	    .backoff_min = 2,
	    .backoff_max = 20,
	    .backoff_unreachable_max = 10,
	    .retry_after_max = 1000,
	    .probe_min = 10,
	    .probe_max = 50};
	assert_int_equal(destination_new(f.loop, NULL, NULL, &f.settings, &f.dest, &why), SP_OK);
	destination_start(f.dest);
	run_for(5, NULL);
	return 0;
}

static int end(void **state)
{
	(void)state;
	destination_stop(f.dest);
	run_for(5, NULL);
	destination_free(&f.dest);
	for (size_t i = 0; i < f.n_stored; i++)
		payload_unref(&f.stored[i].payload);
	sp_loop_free(&f.loop);
	return 0;
}

static struct destination_report report(void)
{
	struct destination_report r;
	destination_report(f.dest, &r);
	return r;
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

/* The receiver is ill for a while and answers 500 to all: afterwards everything arrives, and no batch has overtaken another. */
static void an_illness_does_not_change_the_order(void **state)
{
	(void)state;
	for (unsigned round = 0; round < 6; round++) {
		f.receive = fails;
		for (unsigned i = 0; i < 12; i++)
			commit(i % (round % 2 ? SHARDS : 1), 20, 0);
		run_for(20 + 15 * round, NULL);
		f.receive = ok;
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
	f.receive = ok;
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
	f.receive = ok;
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
	f.receive = ok;
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

static void partly_refused_batches_are_kept_whole(void **state)
{
	(void)state;
	f.settings.receiver = (char *)(uintptr_t) "mimir";
	struct sp_why why;
	destination_free(&f.dest);
	assert_int_equal(destination_new(f.loop, NULL, NULL, &f.settings, &f.dest, &why), SP_OK);
	destination_start(f.dest);
	run_for(5, NULL);
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
	f.receive = ok;
	assert_true(run_for(2000, all_settled));
	assert_null(destination_unauthorized_key(f.dest));
	assert_int_equal(f.delivered, 10);
	unlink(path);
	destination_stop(f.dest);
	destination_free(&f.dest);
	f.dest = main_one;
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)
	const struct CMUnitTest tests[] = {TEST(batches_are_delivered_in_order), TEST(what_lies_on_disk_is_read),
	    TEST(joined_requests_keep_the_limits), TEST(many_small_requests_wait_for_more),
	    TEST(exactly_the_bad_samples_die), TEST(a_batch_that_gets_500_is_narrowed_down),
	    TEST(an_illness_does_not_change_the_order),
	    TEST(a_lonely_batch_is_not_forgotten), TEST(every_shard_may_hold_such_a_batch),
	    TEST(nothing_dies_where_everything_is_refused), TEST(bad_batches_in_front_do_not_stop_the_good),
	    TEST(a_401_stops_all_but_probes), TEST(nobody_there_is_retried_for_ever),
	    TEST(a_request_without_answer_may_have_arrived), TEST(retry_after_is_obeyed), TEST(what_is_too_big_is_cut),
	    TEST(partly_refused_batches_are_kept_whole), TEST(a_lane_sends_its_key_and_nothing_without_it)};
	sp_log_init("test", -1, SP_LOG_ERROR, SP_LOG_TEXT);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
