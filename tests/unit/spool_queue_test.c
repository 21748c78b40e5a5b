/* Limits of the queues. */
#include "tests/lib/spool_fixture.h"

static void note_batch_of_1(void *arg, const struct batch *b, const struct store_group *g)
{
	(void)g;
	if (b->dest == 1)
		((struct batch *)arg)[b->shard] = *b;
}

/* n deliveries of 4 x 1000 bytes for both destinations; 1 takes all at once, 2 nothing. Returns how many were committed. */
static uint64_t fill_queue_of_2(struct spool_fixture *f, uint64_t n, enum store_result *last)
{
	uint64_t committed = 0;
	for (uint64_t i = 1; i <= n; i++) {
		struct delivery d;
		struct batch made[4];
		delivery_init(&d, i, 1000);
		spool_begin(f->sp);
		spool_store(f->sp, &d.r, note_batch_of_1, made, last);
		if (*last == STORE_COMMITTED)
			spool_settle(f->sp, made, 4, DELIVERY_SAMPLES, NULL, 0);
		assert_int_equal(spool_commit(f->sp, &why), SP_OK);
		delivery_clear(&d);
		committed += *last == STORE_COMMITTED;
	}
	return committed;
}

static void a_full_queue_refuses_what_concerns_it(void **state)
{
	struct spool_fixture *f = *state;
	enum store_result last;
	struct delivery d;
	struct batch b[1];
	f->s->dests[1].queue_max = 20 * QUEUED_BYTES;
	opened(f);
	assert_int_equal(fill_queue_of_2(f, 25, &last), 20);
	assert_int_equal(last, STORE_FULL);
	assert_true(spool_totals(f->sp, 2)->full);
	assert_int_equal(spool_totals(f->sp, 2)->refused, 5);
	assert_false(spool_is_full(f->sp));
	delivery_init(&d, 100, 1000);
	d.group.n_dests = 1; /* the other one */
	assert_int_equal(stored(f->sp, &d.r), STORE_COMMITTED);
	delivery_clear(&d);
	/* Room for one is not enough to take data again: there is a low mark. */
	for (uint32_t k = 0; k < 2; k++) {
		assert_int_equal(stored_number(f->sp, 26, 1000), STORE_FULL);
		for (uint32_t shard = 0; shard < 4; shard++) {
			assert_int_equal(listed(f->sp, 2, shard, b, 1), 1);
			settled(f->sp, b, 1, b[0].samples, NULL, 0);
		}
	}
	assert_int_equal(stored_number(f->sp, 26, 1000), STORE_FULL);
	closed(f);
	opened(f);
	assert_int_equal(spool_totals(f->sp, 2)->bytes, 18 * QUEUED_BYTES);
	assert_int_equal(stored_number(f->sp, 26, 1000), STORE_COMMITTED);
	assert_int_equal(spool_totals(f->sp, 2)->dropped, 0);
	assert_books(f->sp);
}

static void an_empty_queue_takes_a_delivery_of_any_size(void **state)
{
	struct spool_fixture *f = *state;
	f->s->dests[1].queue_max = 20 * QUEUED_BYTES;
	opened(f);
	assert_int_equal(stored_number(f->sp, 1, 30000), STORE_COMMITTED);
	assert_true((int64_t)spool_totals(f->sp, 2)->bytes > f->s->dests[1].queue_max);
	assert_int_equal(stored_number(f->sp, 2, 100), STORE_FULL);
}

static void a_full_queue_drops_its_newest_and_nobody_elses(void **state)
{
	static char drop[] = "drop";
	struct spool_fixture *f = *state;
	enum store_result last;
	struct batch b[32];
	f->s->dests[1].queue_max = 20 * QUEUED_BYTES;
	f->s->dests[1].on_full = drop;
	opened(f);
	assert_int_equal(fill_queue_of_2(f, 25, &last), 25);
	const struct writer_totals *one = spool_totals(f->sp, 1), *two = spool_totals(f->sp, 2);
	assert_int_equal(one->delivered, 25 * DELIVERY_SAMPLES);
	assert_int_equal(two->accepted, 25 * DELIVERY_SAMPLES);
	assert_int_equal(two->dropped, 5 * DELIVERY_SAMPLES);
	assert_int_equal(two->spooled, 20 * DELIVERY_SAMPLES);
	assert_books(f->sp);
	assert_int_equal(listed(f->sp, 2, 0, b, 32), 20);
	for (size_t i = 0; i < 20; i++) {
		struct payload *p = payload_read(f->sp, &b[i]);
		assert_int_equal(slice_number(p->bytes + b[i].off), i + 1);
		payload_unref(&p);
	}
	assert_int_equal(db_number(f->sp->db, "SELECT count(*) FROM payload", DB_NO_ARGS), 20);
}

/* Small deliveries take more of the spool than of the queue, so the spool is looked at too. */
static void what_drops_never_fills_the_spool(void **state)
{
	static char drop[] = "drop";
	struct spool_fixture *f = *state;
	enum store_result last;
	f->s->spool_max = 4 << 20;
	f->s->dests[1].queue_max = 3 << 20; /* the most that settings allow */
	f->s->dests[1].on_full = drop;
	opened(f);
	assert_int_equal(fill_queue_of_2(f, 800, &last), 800);
	assert_true(spool_totals(f->sp, 2)->dropped > 0);
	assert_books(f->sp);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		SPOOL_TEST(a_full_queue_refuses_what_concerns_it),
		SPOOL_TEST(an_empty_queue_takes_a_delivery_of_any_size),
		SPOOL_TEST(a_full_queue_drops_its_newest_and_nobody_elses),
		SPOOL_TEST(what_drops_never_fills_the_spool),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
