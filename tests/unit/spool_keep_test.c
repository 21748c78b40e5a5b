/* Upkeep: what a full spool refuses, what expires, what is given back. */
#include "tests/lib/spool_fixture.h"

#include "common/metrics.h"
#include "ship/spool/sources.h"

static void keys_are_forgotten_by_time(void **state)
{
	struct spool_fixture *f = *state;
	opened(f);
	for (uint64_t n = 0; n < 5; n++)
		stored_number(f->sp, n, 100);
	closed(f);
	edit(f, "UPDATE accepted SET at_s = at_s - 3 * 3600 - 10 WHERE n <= 3");
	opened(f); /* with a first tick */
	assert_int_equal(spool_sizes(f->sp).ledger_keys, 2);
	assert_int_equal(stored_number(f->sp, 0, 100), STORE_COMMITTED);
	assert_int_equal(stored_number(f->sp, 4, 100), STORE_DUPLICATE);
}

static void a_full_spool_refuses_and_can_still_settle(void **state)
{
	struct spool_fixture *f = *state;
	struct batch b[64];
	uint64_t n = 0;
	f->s->spool_max = 4 << 20;
	opened(f);
	while (stored_number(f->sp, n, 60000) == STORE_COMMITTED)
		n++;
	assert_in_range(n, 10, 16);
	assert_false(spool_knows(f->sp, (uint8_t[16]){(uint8_t)n, [15] = 1}));
	assert_in_range(spool_sizes(f->sp).used, 3 << 20, 4 << 20);
	while (!spool_is_full(f->sp)) /* smaller ones still fit */
		stored_number(f->sp, ++n, 1000);
	static uint8_t body[100000] = {100}; /* what it would be uncompressed */
	struct dead_letter dead = {.dest = 1, .reason = "rejected", .body = {body, sizeof body}, .samples = 10};
	assert_int_equal(listed(f->sp, 1, 0, b, 64) > 9, true);
	settled(f->sp, b, 1, 0, &dead, 1);
	assert_int_equal(replay_all(f->sp).status, SP_FULL);
	assert_int_equal(spool_sizes(f->sp).dead_rows, 1);
	for (uint32_t dest = 1; dest <= 2; dest++)
		for (uint32_t shard = 0; shard < 4; shard++)
			for (size_t k; (k = listed(f->sp, dest, shard, b, 64)) > 0;)
				settled(f->sp, b, k, 1, NULL, 0);
	assert_false(spool_is_full(f->sp));
	assert_int_equal(replay_all(f->sp).rows, 1);
	assert_int_equal(spool_totals(f->sp, 1)->dead_lettered, 0);
	assert_int_equal(spool_totals(f->sp, 1)->spooled, 10);
	assert_int_equal(stored_number(f->sp, 1000, 60000), STORE_COMMITTED);
	assert_books(f->sp);
}

static void one_sender_cannot_push_out_the_evidence_of_others(void **state)
{
	struct spool_fixture *f = *state;
	static uint8_t bytes[50000];
	struct store_quarantine q = {.reason = "bad_frame", .bytes = {bytes, sizeof bytes}};
	struct store_request r = {.quarantine = &q, .n_quarantine = 1, .key_name = "quiet", .bypass_ledger = true};
	f->s->spool_evidence_max = 1 << 20;
	opened(f);
	for (int i = 0; i < 3; i++)
		assert_int_equal(stored(f->sp, &r), STORE_COMMITTED);
	r.key_name = "noisy";
	for (int i = 0; i < 100; i++)
		assert_int_equal(stored(f->sp, &r), STORE_COMMITTED);
	assert_in_range(spool_sizes(f->sp).quarantine_bytes, 900000, 1 << 20);
	uint64_t expired = spool_sizes(f->sp).quarantine_expired;
	enum store_result result;
	assert_true(expired > 80);
	spool_begin(f->sp);
	spool_store(f->sp, &r, NULL, NULL, &result);
	spool_rollback(f->sp);
	assert_int_equal(spool_sizes(f->sp).quarantine_expired, expired);
	closed(f);
	edit(f, "CREATE TEMP TABLE t(n CHECK(n = 3)); INSERT INTO t SELECT count(*) FROM quarantine WHERE sender = 'quiet'");
}

static void too_little_free_space_refuses(void **state)
{
	struct spool_fixture *f = *state;
	f->s->spool_min_free = INT64_C(1) << 60;
	opened(f);
	assert_true(spool_is_full(f->sp));
	assert_int_equal(stored_number(f->sp, 1, 100), STORE_FULL);
}

static void free_pages_are_given_back(void **state)
{
	struct spool_fixture *f = *state;
	struct batch b[64];
	bool more = false;
	f->s->spool_max = 512 << 20;
	opened(f);
	for (uint64_t n = 0; n < 20; n++)
		stored_number(f->sp, n, 1 << 20);
	for (uint32_t i = 0; i < 8; i++)
		settled(f->sp, b, listed(f->sp, 1 + i / 4, i % 4, b, 64), 0, NULL, 0);
	int steps = 0;
	do
		assert_int_equal(spool_vacuum(f->sp, &more, &why), SP_OK);
	while (more && ++steps < 1000);
	assert_in_range(steps, 5, 100);
	assert_int_equal(spool_checkpoint(f->sp, true, &why), SP_OK);
	assert_books(f->sp);
}

static void there_is_a_limit_to_the_streams_that_are_watched(void **state)
{
	struct spool_fixture *f = *state;
	struct sources *sources;
	char arn[16];
	double left_out = sp_metric_value(M_METRICS_LEFT_OUT, NULL);
	opened(f);
	assert_int_equal(sources_load(f->sp, 1000, &sources, &why), SP_OK);
	for (int i = 0; i < SOURCES_MAX; i++) {
		snprintf(arn, sizeof arn, "arn:%d", i);
		assert_true(sources_seen(sources, arn, SOURCE_SAVED_EVERY_MS));
	}
	assert_false(sources_seen(sources, "arn:one too many", SOURCE_SAVED_EVERY_MS));
	assert_true(sp_metric_value(M_METRICS_LEFT_OUT, NULL) == left_out + 1);
	assert_true(sp_metric_value(M_SOURCE_LAST_RECEIVED, SP_L("arn:4999")) == SOURCE_SAVED_EVERY_MS / 1000.);
	assert_true(sources_seen(sources, "arn:7", 1000 + SOURCE_FORGOTTEN_MS));
	/* All others have been silent for too long: they make way. */
	assert_true(sources_seen(sources, "arn:new", SOURCE_SAVED_EVERY_MS + 1 + SOURCE_FORGOTTEN_MS));
	assert_true(sp_metric_value(M_SOURCE_LAST_RECEIVED, SP_L("arn:4999")) == 0);
	assert_true(sp_metric_value(M_SOURCE_LAST_RECEIVED, SP_L("arn:7")) > 0);
	sources_free(&sources);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		SPOOL_TEST(keys_are_forgotten_by_time),
		SPOOL_TEST(a_full_spool_refuses_and_can_still_settle),
		SPOOL_TEST(one_sender_cannot_push_out_the_evidence_of_others),
		SPOOL_TEST(too_little_free_space_refuses),
		SPOOL_TEST(free_pages_are_given_back),
		SPOOL_TEST(there_is_a_limit_to_the_streams_that_are_watched),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
