/* Narrowing against receivers that are modelled in memory: exactly the bad samples die, in a bounded number of
 * requests. */
#include "ship/send/narrow.h"

#include "common/alloc.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

/* A sample's value says what the model does with it. */
enum { GOOD = 0, BAD = 1 };

struct model {
	bool five_hundred; /* refuses with 500 instead of 400 */
	bool ill;	   /* 500 for everything */
	bool rejects_all;
	size_t max_samples; /* 413 above; 0: none */
	unsigned requests, taken[20000];
	int64_t newest[20000]; /* per series, 0 none: the window-less rule when ordered */
	bool ordered;
};

struct fixture {
	struct model m;
	struct sp_buf block;
	uint32_t samples;
};

static void add(struct sp_buf *raw, unsigned series, const struct rw_sample *v, size_t n)
{
	struct sp_buf labels = {0};
	char id[16];
	snprintf(id, sizeof(id), "%05u", series);
	uint8_t *to = sp_buf_room(&labels, 64);
	uint8_t *end = rw_put_label(to, SP_LIT("__name__"), SP_LIT("m"));
	end = rw_put_label(end, SP_LIT("id"), sp_str(id));
	labels.n = (size_t)(end - to);
	rw_add_series(raw, sp_buf_view(&labels), v, n);
	sp_buf_free(&labels);
}

/* One sample a series; bad[i] makes the i-th a culprit. */
static void make(struct fixture *f, unsigned n, const bool *bad)
{
	struct sp_buf raw = {0};
	*f = (struct fixture){.samples = n};
	for (unsigned i = 0; i < n; i++)
		add(&raw, i, &(struct rw_sample){1000000, bad[i] ? BAD : GOOD}, 1);
	rw_compress(sp_buf_view(&raw), &f->block);
	sp_buf_free(&raw);
}

static unsigned series_id(struct sp_bytes labels)
{
	struct sp_bytes v = rw_find_label(labels, SP_LIT("id"));
	char text[8] = {0};
	memcpy(text, v.p, v.n < 7 ? v.n : 7);
	return (unsigned)strtoul(text, NULL, 10);
}

/* 204, 400, 413 or 500; takes everything or nothing, as a receiver that rolls back. */
static int receive(struct model *m, struct sp_bytes block)
{
	struct sp_buf raw = {0};
	struct sp_why why;
	struct rw_series s;
	struct rw_totals t;
	bool refuse = m->rejects_all;
	m->requests++;
	assert_int_equal(rw_uncompress(block, 1 << 30, &raw, &why), SP_OK);
	assert_int_equal(rw_count(sp_buf_view(&raw), &t, &why), SP_OK);
	assert_true(t.samples > 0);
	for (int pass = 0; pass < 2 && !refuse; pass++) {
		struct sp_bytes in = sp_buf_view(&raw);
		while (rw_next(&in, &s, &why) == SP_OK) {
			struct rw_sample v;
			unsigned id = series_id(s.labels);
			while (rw_next_sample(&s.samples, &v)) {
				if (pass == 0)
					refuse |= v.value == BAD || (m->ordered && v.ms <= m->newest[id]);
				else
					m->taken[id]++, m->newest[id] = v.ms;
			}
		}
		if (m->ill || (m->max_samples && t.samples > m->max_samples))
			break;
	}
	sp_buf_free(&raw);
	if (m->ill)
		return 500;
	if (m->max_samples && t.samples > m->max_samples)
		return 413;
	return refuse ? (m->five_hundred ? 500 : 400) : 204;
}

static bool answer(struct narrow *n, int status)
{
	struct ship_ruling r = ship_rule(SHIP_ANSWERED, status, SHIP_NO_RETRY_AFTER);
	return narrow_answer(
	    n, r.verdict, ship_answer_is_suspicious(SHIP_ANSWERED, status), status, sp_str("the words"));
}

static struct narrow *begin(struct fixture *f, struct narrow_rules rules, struct known *known)
{
	struct narrow *n;
	struct sp_why why;
	rules.max_raw = 1 << 30;
	assert_int_equal(narrow_new(sp_buf_view(&f->block), &rules, known, &n, &why), SP_OK);
	return n;
}

/* Until done; with a witness whenever one is asked for. */
static void run(struct narrow *n, struct model *m)
{
	struct narrow_piece piece;
	for (unsigned turns = 0;; turns++) {
		assert_true(turns < 100000);
		switch (narrow_next(n, &piece)) {
		case NARROW_SEND:
			answer(n, receive(m, piece.block));
			break;
		case NARROW_WITNESS:
			narrow_witness(n);
			break;
		case NARROW_DONE:
			return;
		}
	}
}

static uint32_t result(struct narrow *n, uint64_t *delivered, const char *reason)
{
	struct dead_letter *dead;
	size_t n_dead;
	uint32_t samples = 0;
	struct sp_why why;
	assert_int_equal(narrow_result(n, delivered, &dead, &n_dead, &why), SP_OK);
	for (size_t i = 0; i < n_dead; i++) {
		struct sp_buf raw = {0};
		struct rw_totals t;
		assert_int_equal(rw_uncompress(dead[i].body, 1 << 30, &raw, &why), SP_OK);
		assert_int_equal(rw_count(sp_buf_view(&raw), &t, &why), SP_OK);
		assert_int_equal(t.samples, dead[i].samples);
		if (reason)
			assert_string_equal(dead[i].reason, reason);
		assert_true(sp_eq(dead[i].answer, SP_LIT("the words")));
		samples += dead[i].samples;
		sp_buf_free(&raw);
	}
	return samples;
}

static void exactly_the_bad_ones_die(void **state)
{
	static const struct {
		unsigned n, k;
	} cases[] = {{1, 1}, {2, 1}, {2, 2}, {3, 1}, {7, 3}, {100, 1}, {100, 10}, {100, 99}, {100, 100}, {5000, 1},
	    {5000, 7}, {5000, 50}};
	(void)state;
	for (size_t c = 0; c < sizeof(cases) / sizeof(cases[0]); c++)
		for (unsigned seed = 0; seed < 3; seed++) {
			unsigned n = cases[c].n, k = cases[c].k, made = 0;
			bool *bad = sp_new_array(bool, n);
			struct fixture f;
			uint64_t delivered;
			srandom(seed);
			while (made < k) {
				unsigned i = (unsigned)random() % n;
				made += !bad[i];
				bad[i] = true;
			}
			make(&f, n, bad);
			struct narrow *narrow = begin(&f, (struct narrow_rules){0}, NULL);
			run(narrow, &f.m);
			assert_int_equal(result(narrow, &delivered, "rejected"), k);
			assert_int_equal(delivered, n - k);
			for (unsigned i = 0; i < n; i++)
				assert_int_equal(f.m.taken[i], !bad[i]);
			assert_true(f.m.requests <= 2 * k * (log2((double)n / k) + 2) + 1);
			narrow_free(&narrow);
			sp_buf_free(&f.block);
			sp_free(bad);
		}
}

static void no_sample_dies_while_nothing_is_accepted(void **state)
{
	bool bad[200] = {false};
	struct fixture f;
	struct narrow_piece piece;
	uint64_t delivered;
	(void)state;
	make(&f, 200, bad);
	f.m.rejects_all = true;
	struct narrow *n = begin(&f, (struct narrow_rules){0}, NULL);
	while (narrow_next(n, &piece) == NARROW_SEND)
		answer(n, receive(&f.m, piece.block));
	assert_true(f.m.requests <= 16);
	assert_int_equal(narrow_next(n, &piece), NARROW_WITNESS);
	f.m.rejects_all = false;
	narrow_witness(n);
	run(n, &f.m);
	assert_int_equal(result(n, &delivered, NULL), 0);
	assert_int_equal(delivered, 200);
	narrow_free(&n);
	sp_buf_free(&f.block);
}

static void a_single_bad_sample_waits_for_a_witness(void **state)
{
	bool bad[1] = {true};
	struct fixture f;
	struct narrow_piece piece;
	uint64_t delivered;
	(void)state;
	make(&f, 1, bad);
	struct narrow *n = begin(&f, (struct narrow_rules){0}, NULL);
	assert_int_equal(narrow_next(n, &piece), NARROW_SEND);
	answer(n, receive(&f.m, piece.block));
	assert_int_equal(narrow_next(n, &piece), NARROW_WITNESS);
	narrow_witness(n);
	run(n, &f.m);
	assert_int_equal(f.m.requests, 2); /* once more, now that the receiver is known to be well */
	assert_int_equal(result(n, &delivered, "rejected"), 1);
	narrow_free(&n);
	sp_buf_free(&f.block);
}

static void a_suspect_batch_is_narrowed_when_the_receiver_is_well(void **state)
{
	bool bad[300] = {false};
	struct fixture f;
	uint64_t delivered;
	(void)state;
	bad[17] = bad[299] = true; /* the last one needs a control after it */
	make(&f, 300, bad);
	f.m.five_hundred = true;
	struct narrow *n = begin(&f, (struct narrow_rules){.suspect = true, .probe = true}, NULL);
	run(n, &f.m);
	assert_int_equal(result(n, &delivered, "rejected"), 2);
	assert_int_equal(delivered, 298);
	assert_true(f.m.requests < 70);
	narrow_free(&n);
	sp_buf_free(&f.block);
}

static void nothing_dies_of_a_receiver_that_is_ill(void **state)
{
	bool bad[64] = {false};
	struct fixture f;
	struct narrow_piece piece;
	uint64_t delivered;
	unsigned told_to_wait = 0;
	(void)state;
	make(&f, 64, bad);
	f.m.ill = true;
	struct narrow *n = begin(&f, (struct narrow_rules){.suspect = true, .probe = true}, NULL);
	for (int i = 0; i < 20; i++) /* the probe fails, every other time another batch may go */
		if (narrow_next(n, &piece) == NARROW_SEND)
			told_to_wait += !answer(n, receive(&f.m, piece.block));
	assert_int_equal(told_to_wait, f.m.requests);
	f.m.ill = false;
	while (narrow_next(n, &piece) == NARROW_WITNESS)
		;
	answer(n, receive(&f.m, piece.block)); /* the probe is taken; then the receiver falls ill again */
	f.m.ill = true;
	for (int i = 0; i < 200; i++)
		if (narrow_next(n, &piece) == NARROW_SEND)
			answer(n, receive(&f.m, piece.block));
	f.m.ill = false;
	run(n, &f.m);
	assert_int_equal(result(n, &delivered, NULL), 0);
	assert_int_equal(delivered, 64);
	narrow_free(&n);
	sp_buf_free(&f.block);
}

static void an_answer_about_the_receiver_changes_nothing(void **state)
{
	bool bad[40] = {false};
	struct fixture f;
	struct narrow_piece piece;
	uint64_t delivered;
	static const int statuses[] = {429, 503, 401, 404, 529};
	(void)state;
	bad[20] = true;
	make(&f, 40, bad);
	struct narrow *n = begin(&f, (struct narrow_rules){0}, NULL);
	for (unsigned i = 0; narrow_next(n, &piece) != NARROW_DONE; i++) {
		if (i % 2 == 0)
			assert_false(answer(n, statuses[i / 2 % 5]));
		else
			answer(n, receive(&f.m, piece.block));
	}
	assert_int_equal(result(n, &delivered, "rejected"), 1);
	assert_int_equal(delivered, 39);
	narrow_free(&n);
	sp_buf_free(&f.block);
}

static void what_is_too_big_is_cut_and_not_lost(void **state)
{
	bool bad[1000] = {false};
	struct fixture f;
	uint64_t delivered;
	(void)state;
	make(&f, 1000, bad);
	f.m.max_samples = 30;
	struct narrow *n = begin(&f, (struct narrow_rules){.too_big = true}, NULL);
	run(n, &f.m);
	assert_int_equal(result(n, &delivered, NULL), 0);
	assert_int_equal(delivered, 1000);
	assert_true(f.m.requests <= 2 * 64);
	narrow_free(&n);
	sp_buf_free(&f.block);
}

static void samples_of_a_series_leave_in_order(void **state)
{
	struct sp_buf raw = {0};
	struct fixture f = {.samples = 50 * 4};
	uint64_t delivered;
	(void)state;
	for (unsigned i = 0; i < 50; i++)
		add(&raw, i,
		    (struct rw_sample[]){
			{1000, GOOD}, {2000, i == 7 ? BAD : GOOD}, {3000, GOOD}, {4000, i == 30 ? BAD : GOOD}},
		    4);
	rw_compress(sp_buf_view(&raw), &f.block);
	f.m.ordered = true; /* anything out of order would be refused, and die */
	struct narrow *n = begin(&f, (struct narrow_rules){0}, NULL);
	run(n, &f.m);
	assert_int_equal(result(n, &delivered, "rejected"), 2);
	assert_int_equal(delivered, 198);
	narrow_free(&n);
	sp_buf_free(&raw);
	sp_buf_free(&f.block);
}

/* A minute of 400 series of which so many in ten are refused, and what came of it. */
static uint64_t minute_with(struct known *known, unsigned minute, unsigned bad, unsigned *requests)
{
	struct fixture f = {0};
	struct sp_buf raw = {0};
	uint64_t delivered;
	struct dead_letter *dead;
	size_t n_dead;
	struct sp_why why;
	known_clock(known, 1000000 + minute * 60000);
	for (unsigned i = 0; i < 400; i++)
		add(&raw, i, &(struct rw_sample){1000000 + minute * 60000, i % 10 < bad ? BAD : GOOD}, 1);
	rw_compress(sp_buf_view(&raw), &f.block);
	struct narrow *n = begin(&f, (struct narrow_rules){.status = 400}, known);
	run(n, &f.m);
	assert_int_equal(narrow_result(n, &delivered, &dead, &n_dead, &why), SP_OK);
	*requests = f.m.requests;
	narrow_free(&n);
	sp_buf_free(&raw);
	sp_buf_free(&f.block);
	return delivered;
}

/* Those are found again, although in each batch there are still some that are refused. */
static void series_that_recover_among_others_that_do_not_are_taken_again(void **state)
{
	struct known *known = known_new();
	unsigned requests, minute, all = 0;
	(void)state;
	for (minute = 0; minute < 20; minute++) {
		assert_int_equal(minute_with(known, minute, 3, &requests), 280);
		all += minute >= 10 ? requests : 0;
	}
	assert_true(all <= 10 * 12); /* few, although 120 samples are refused in each */
	for (; minute < 60 && minute_with(known, minute, 1, &requests) < 360; minute++)
		;
	assert_in_range(minute, 20, 50);
	known_free(&known);
}

/* Known series: what is late goes apart, the rest passes with one request. */
static void late_samples_are_named(void **state)
{
	struct known *known = known_new();
	struct fixture f = {0};
	struct sp_buf raw = {0};
	uint64_t delivered;
	bool none[100] = {false};
	(void)state;
	none[99] = true;
	make(&f, 100, none);
	struct narrow *n = begin(&f, (struct narrow_rules){0}, known);
	run(n, &f.m);
	narrow_free(&n);
	sp_buf_free(&f.block);

	f = (struct fixture){.m = {.ordered = true}};
	for (unsigned i = 0; i < 100; i++) {
		f.m.newest[i] = 1000000;
		add(&raw, i, &(struct rw_sample){i == 3 || i == 80 ? 500 : 2000000, GOOD}, 1);
	}
	rw_compress(sp_buf_view(&raw), &f.block);
	n = begin(&f, (struct narrow_rules){0}, known);
	run(n, &f.m);
	assert_int_equal(result(n, &delivered, "out_of_order"), 2);
	assert_int_equal(delivered, 98);
	assert_in_range(f.m.requests, 1, 4);
	narrow_free(&n);
	known_free(&known);
	sp_buf_free(&raw);
	sp_buf_free(&f.block);
}

static void what_may_have_arrived_says_so(void **state)
{
	bool bad[10] = {false};
	struct fixture f;
	uint64_t delivered;
	(void)state;
	bad[2] = true;
	make(&f, 10, bad);
	struct narrow *n = begin(&f, (struct narrow_rules){.maybe_delivered = true}, NULL);
	run(n, &f.m);
	assert_int_equal(result(n, &delivered, "maybe_duplicate"), 1);
	narrow_free(&n);
	sp_buf_free(&f.block);
}

static void garbage_is_refused(void **state)
{
	struct narrow *n;
	struct sp_why why;
	struct narrow_rules rules = {.max_raw = 1000};
	(void)state;
	assert_int_equal(narrow_new(SP_LIT("\x04\xff\xff\xff\xff"), &rules, NULL, &n, &why), SP_BAD_DATA);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(exactly_the_bad_ones_die),
	    cmocka_unit_test(no_sample_dies_while_nothing_is_accepted),
	    cmocka_unit_test(a_single_bad_sample_waits_for_a_witness),
	    cmocka_unit_test(a_suspect_batch_is_narrowed_when_the_receiver_is_well),
	    cmocka_unit_test(nothing_dies_of_a_receiver_that_is_ill),
	    cmocka_unit_test(an_answer_about_the_receiver_changes_nothing),
	    cmocka_unit_test(what_is_too_big_is_cut_and_not_lost), cmocka_unit_test(samples_of_a_series_leave_in_order),
	    cmocka_unit_test(series_that_recover_among_others_that_do_not_are_taken_again),
	    cmocka_unit_test(late_samples_are_named), cmocka_unit_test(what_may_have_arrived_says_so),
	    cmocka_unit_test(garbage_is_refused)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
