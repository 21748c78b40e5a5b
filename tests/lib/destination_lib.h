/* destination_lib - a world for one destination: a receiver and a spool that are modelled in the place of
 * ship/send/http_client.c and ship/spool/writer.c, and a loop whose time is simulated, in the place of common/loop.c: it jumps to
 * the next timer. A turn of an hour takes as long as its work. For tests.
 */
#ifndef TESTS_DESTINATION_LIB_H
#define TESTS_DESTINATION_LIB_H

#include "ship/send/destination.h"

#include "proto/remote_write.h"

enum { SHARDS = 4, MAX_POSTS = 40000 };

extern struct destination_fixture {
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
	const char *words; /* of its answers */
	int64_t retry_after_ms, latency_ms;
	enum ship_transport transport;
	bool loses_answers; /* it takes or refuses what comes, and nobody hears of it */
	unsigned posts, out, most_out, of_one_sample;
	unsigned attempts[MAX_POSTS];
	int64_t at[MAX_POSTS];
	uint64_t taken; /* samples answered 2xx */
	char line[64];	/* the last header line of the last request */

	/* the spool */
	uint64_t seq[SHARDS], payloads;
	struct stored {
		struct batch batch;
		struct payload *payload;
		bool settled;
	} * stored;
	size_t n_stored, stored_cap;
	int64_t reached[SHARDS]; /* newest sample delivered, as it stays over a restart */
	uint64_t delivered, dead, settled, dead_partly, maybe, noted, reads, last_settled[SHARDS], overtaken;
	char reason[32];
	uint32_t flags; /* of the next batches */
	bool on_disk; /* batches are handed over without their payload */
	size_t memory, read_more, most_held; /* read_more: of each payload that is read, for other batches */
} f;

/* Set-up and tear-down of cmocka. */
int destination_begin(void **state);
int destination_end(void **state);
/* After a change of f.settings, before anything was committed. */
void destination_again(void);
/* A delivery's share for one shard, taken by the spool and handed to the destination. raw is consumed. */
void commit_raw(uint32_t shard, struct sp_buf *raw, int64_t ms);
/* True when `until` came true in that time; NULL: it never does. */
bool run_for(int64_t ms, bool (*until)(void));
bool all_settled(void);
struct destination_report report(void);
/* A receiver that takes everything. */
int takes_all(struct sp_bytes raw, uint32_t samples);

#endif
