/* Lanes. */
#include "tests/lib/spool_fixture.h"

static void with_lanes(struct spool_fixture *f, const char *default_lane, int64_t max)
{
	static char by[] = "key";
	f->s->n_dests = 1;
	f->s->dests[0].lanes_by = by;
	f->s->dests[0].lanes_max = max;
	f->s->dests[0].lanes_default = (char *)default_lane;
}

/* Delivery n, its first two slices (21 samples) of the first lane, the others (25) of the second, if there is one. */
static enum store_result stored_for_lanes(struct spool_fixture *f, uint64_t n, size_t size, const char *first, const char *second)
{
	struct delivery d;
	delivery_init(&d, n, size);
	d.group.n_dests = 1;
	d.group.lane = first;
	d.group.merged = 1;
	struct store_group groups[2] = {d.group, d.group};
	if (second) {
		groups[0].n_slices = groups[1].n_slices = 2;
		groups[1].slices = d.slices + 2;
		groups[1].lane = second;
		groups[1].merged = 0;
		groups[1].dropped = 2;
		d.r.n_groups = 2;
	}
	d.r.groups = groups;
	enum store_result result = stored(f->sp, &d.r);
	delivery_clear(&d);
	return result;
}

static const struct writer_totals *totals_of(struct spool_fixture *f, const char *name)
{
	uint32_t id = spool_dest_id(f->sp, name);
	assert_int_not_equal(id, 0);
	return spool_totals(f->sp, id);
}

static void each_lane_has_its_own_rows_and_books(void **state)
{
	struct spool_fixture *f = *state;
	struct batch b[8];
	with_lanes(f, NULL, 10);
	opened(f);
	assert_int_equal(stored_for_lanes(f, 1, 100, "acme", "zeta/2"), STORE_COMMITTED);
	assert_int_equal(stored_for_lanes(f, 2, 100, "zeta/2", "third"), STORE_COMMITTED);
	for (int i = 0; i < 2; i++) {
		assert_string_equal(spool_dest_name(f->sp, 2), "a/acme");
		assert_int_equal(totals_of(f, "a/acme")->accepted, 21 + 1);
		assert_int_equal(totals_of(f, "a/acme")->merged, 1);
		assert_int_equal(totals_of(f, "a/zeta/2")->accepted, 25 + 2 + 21 + 1);
		assert_int_equal(totals_of(f, "a/zeta/2")->dropped, 2);
		assert_int_equal(totals_of(f, "a/third")->spooled, 25);
		assert_int_equal(totals_of(f, "a")->accepted, 0);
		assert_int_equal(listed(f->sp, spool_dest_id(f->sp, "a/zeta/2"), 0, b, 8), 1);
		assert_books(f->sp);
		closed(f);
		opened(f);
	}
}

static void a_lane_that_was_not_committed_is_forgotten(void **state)
{
	struct spool_fixture *f = *state;
	enum store_result result;
	struct delivery d;
	with_lanes(f, NULL, 1);
	opened(f);
	delivery_init(&d, 1, 100);
	d.group.n_dests = 1;
	d.group.lane = "acme";
	spool_begin(f->sp);
	spool_store(f->sp, &d.r, NULL, NULL, &result);
	assert_int_equal(spool_dest_id(f->sp, "a/acme"), 2);
	spool_rollback(f->sp);
	delivery_clear(&d);
	assert_int_equal(spool_dest_id(f->sp, "a/acme"), 0);
	assert_int_equal(spool_max_dest_id(f->sp), 1);
	assert_int_equal(f->sp->dests[1].lanes_bytes, 0); /* its room is there for others */
	assert_int_equal(stored_for_lanes(f, 1, 100, "other", "other"), STORE_COMMITTED);
	assert_int_equal(spool_dest_id(f->sp, "a/other"), 2);
	assert_int_equal(db_number(f->sp->db, "SELECT count(*) FROM dest", DB_NO_ARGS), 2);
	assert_books(f->sp);
}

static void what_can_have_no_lane_is_a_dead_letter_of_the_destination(void **state)
{
	struct spool_fixture *f = *state;
	with_lanes(f, NULL, 1);
	opened(f);
	assert_int_equal(stored_for_lanes(f, 1, 100, "acme", ""), STORE_COMMITTED);
	assert_int_equal(stored_for_lanes(f, 2, 100, "acme", "second"), STORE_COMMITTED);
	assert_int_equal(totals_of(f, "a/acme")->spooled, 2 * 21);
	assert_int_equal(totals_of(f, "a")->dead_lettered, 2 * 25);
	assert_int_equal(totals_of(f, "a")->dropped, 2 * 2);
	assert_int_equal(db_number(f->sp->db, "SELECT count(*) FROM dead WHERE reason = 'bad_lane'", DB_NO_ARGS), 2);
	assert_int_equal(db_number(f->sp->db, "SELECT count(*) FROM dead WHERE reason = 'lane_limit'", DB_NO_ARGS), 2);
	assert_books(f->sp);
}

static void the_default_lane_takes_what_has_none(void **state)
{
	struct spool_fixture *f = *state;
	with_lanes(f, "rest", 2);
	sp_map_put(&f->s->dests[0].lanes_map, "acme", "tenant-1");
	sp_map_put(&f->s->dests[0].lanes_map, "beta", "tenant-2");
	sp_map_put(&f->s->dests[0].lanes_map, "late", "tenant-3");
	opened(f);
	assert_int_equal(stored_for_lanes(f, 1, 100, "acme", ""), STORE_COMMITTED);
	assert_int_equal(stored_for_lanes(f, 2, 100, "unknown", "late"), STORE_COMMITTED);
	assert_int_equal(totals_of(f, "a/acme")->spooled, 21);
	assert_int_equal(totals_of(f, "a/rest")->spooled, 25 + 21 + 25); /* and "late" is one too many */
	assert_int_equal(totals_of(f, "a")->dead_lettered, 0);
	assert_books(f->sp);
	closed(f);
	sp_map_free(&f->s->dests[0].lanes_map);
}

/* Is a delivery for this lane queued? */
static bool is_taken(struct spool_fixture *f, uint64_t n, const char *lane)
{
	uint32_t id = spool_dest_id(f->sp, lane);
	uint64_t batches = id ? spool_totals(f->sp, id)->batches : 0;
	(void)stored_for_lanes(f, n, 1000, lane + 2, NULL);
	return totals_of(f, lane)->batches > batches;
}

static void empty_lane(struct spool_fixture *f, const char *lane)
{
	struct batch b[8];
	for (uint32_t shard = 0; shard < 4; shard++) {
		size_t n = listed(f->sp, spool_dest_id(f->sp, lane), shard, b, 8);
		for (size_t i = 0; i < n; i++)
			settled(f->sp, &b[i], 1, b[i].samples, NULL, 0);
	}
}

/* They fill all but a part of the queue of their destination: what others have under way finds room. */
static void lanes_that_are_away_leave_room_for_the_others(void **state)
{
	static char drop[] = "drop";
	struct spool_fixture *f = *state;
	uint64_t n = 1;
	unsigned first = 0, second = 0;
	with_lanes(f, NULL, 10);
	f->s->dests[0].queue_max = 200 * QUEUED_BYTES;
	opened(f);
	while (is_taken(f, n++, "a/away"))
		first++;
	assert_in_range(first, 175, 178);
	assert_int_equal(totals_of(f, "a/away")->refused, 1);
	closed(f);
	f->s->dests[0].on_full = drop;
	opened(f);
	while (is_taken(f, n++, "a/second"))
		second++;
	assert_in_range(second, 18, 21);
	assert_int_equal(totals_of(f, "a/second")->dropped, DELIVERY_SAMPLES);
	for (int i = 0; i < 3; i++) {
		assert_true(is_taken(f, n++, "a/well"));
		assert_true(is_taken(f, n++, "a/well"));
		empty_lane(f, "a/well");
	}
	assert_false(totals_of(f, "a/well")->full);
	assert_books(f->sp);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		SPOOL_TEST(each_lane_has_its_own_rows_and_books),
		SPOOL_TEST(a_lane_that_was_not_committed_is_forgotten),
		SPOOL_TEST(what_can_have_no_lane_is_a_dead_letter_of_the_destination),
		SPOOL_TEST(the_default_lane_takes_what_has_none),
		SPOOL_TEST(lanes_that_are_away_leave_room_for_the_others),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
