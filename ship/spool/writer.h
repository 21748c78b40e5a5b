/* writer - the database thread: the only one that touches the spool, reached from the loop thread through two own queues.
 *
 * Requests are taken in order, as many as wait (bounded), into one transaction, committed with one fsync, and only then answered:
 * group commit. A failed commit, fsync or write answers nothing: the process ends with SP_EXIT_STORAGE and everything unanswered is
 * sent again by those who own it. All functions and all callbacks run on the loop thread.
 */
#ifndef SHIP_WRITER_H
#define SHIP_WRITER_H

#include "common/conf.h"
#include "common/loop.h"
#include "ship/spool/batch.h"

struct writer;

enum store_result { STORE_ERROR = 0, STORE_COMMITTED, STORE_DUPLICATE, STORE_FULL };

struct store_slice {
	uint32_t shard, len, raw_len, series, samples;
	uint64_t off;
	int64_t min_ms, max_ms;
	const char *dead_reason; /* not NULL: goes to the dead letters, not to the receiver */
};

struct store_group {
	const uint8_t *bytes; /* borrowed until done */
	size_t n;
	struct store_slice *slices;
	size_t n_slices;
	uint64_t merged, dropped; /* samples that are in no slice */
	const char *lane; /* whose all of it is: lane_name_ok (common/lane.h), or "" for no usable name; NULL: the destinations have no lanes */
	struct sp_bytes info;     /* what the metrics are (proto/info.h) */
	const uint32_t *dests; /* destination ids that take this payload */
	size_t n_dests;
};

struct store_quarantine {
	const char *reason, *text;
	int record;
	uint64_t offset, pieces;
	struct sp_bytes bytes;
	bool do_not_parse;
	int form; /* what it can be decoded as by itself: QuarantineItem.Form in proto/standpipe.proto */
};

/* One delivery. Made by its sender, borrowed by the writer until done. */
struct store_request {
	uint8_t key[16];
	bool bypass_ledger;
	bool replayed;      /* its source is not known to deliver now */
	bool notes_source;  /* writer's: write down when its source last delivered */
	struct store_group *groups;
	size_t n_groups;
	struct store_quarantine *quarantine;
	size_t n_quarantine;
	const char *key_name, *source_arn, *request_id;
	struct sp_bytes common_attributes; /* kept with what is quarantined, which may be converted again */
	int64_t received_ms;
	void (*done)(void *arg, struct store_request *r, enum store_result result);
	void *arg;
	enum store_result result;   /* writer's */
};

/* Called for every batch that a commit made, in seq order, before the request's done. Payload may be NULL when the cache is full:
 * then it is read with writer_read when its turn comes. */
typedef void (*writer_batch_fn)(void *arg, const struct batch *b, struct payload *p);

struct writer_totals { /* P2, per destination, as of the last commit */
	uint64_t accepted, delivered, dead_lettered, expired, dropped, merged, spooled; /* dead_lettered: held now; expired: held once */
	uint64_t batches, bytes; /* that wait */
	int64_t oldest_ms; /* oldest sample that waits; 0: none */
	uint64_t queue_max; /* of bytes; 0: no limit of its own */
	uint64_t refused;   /* deliveries, since the start, for want of room in this queue */
	bool full;
};

/* P2's equation. */
static inline bool writer_totals_balance(const struct writer_totals *t)
{
	return t->accepted == t->delivered + t->spooled + t->dead_lettered + t->expired + t->dropped + t->merged;
}

/* Opens (or makes) the spool; blocks until recovered. The settings must outlive the writer. */
SP_CHECKED enum sp_status writer_open(struct sp_loop *l, const struct settings *s, struct writer **out, struct sp_why *why);
/* Commits what waits, checkpoints, closes. */
void writer_close(struct writer **w);
/* Destinations and lanes (DESTINATION/LANE) have numbers from 1 on, for ever. Those of a batch are known before it is handed over. */
uint32_t writer_dest_id(struct writer *w, const char *name); /* 0: not known */
uint32_t writer_max_dest_id(struct writer *w);
const char *writer_dest_name(struct writer *w, uint32_t dest); /* lasts as long as the writer */
const uint8_t *writer_spool_id(const struct writer *w);            /* 16 bytes */
bool writer_spool_is_new(const struct writer *w);
bool writer_is_full(const struct writer *w); /* nothing new is stored now */
void writer_on_full(struct writer *w, void (*fn)(void *arg), void *arg); /* called when that changes */
/* gone (may be NULL) is called for every batch that an edit took away. */
void writer_on_batch(struct writer *w, writer_batch_fn made, void (*gone)(void *arg, const struct batch *b), void *arg);
struct writer_totals writer_totals(struct writer *w, uint32_t dest);
void writer_metrics(struct writer *w); /* sets the gauges of the spool and of all queues */
uint64_t writer_bytes_used(const struct writer *w);
size_t writer_memory(const struct writer *w); /* bytes that all payloads may take: ship's part of runtime.memory */
uint64_t writer_unbalanced(const struct writer *w); /* checks of the books that failed since the start */

void writer_store(struct writer *w, struct store_request *r);
/* Is this delivery key committed, waiting for its commit, or unknown? */
enum writer_known { WRITER_UNKNOWN = 0, WRITER_COMMITTED, WRITER_PENDING };
enum writer_known writer_knows(const struct writer *w, const uint8_t key[16]);

/* Delivered (dead NULL) or narrowed down: removes the batches and adds the dead letters in the same transaction. Copies what it needs.
 * done may be NULL. delivered = samples of these batches that the receiver took. */
void writer_settle(struct writer *w, const struct batch *batches, size_t n, uint64_t delivered, const struct dead_letter *dead,
	size_t n_dead, void (*done)(void *arg), void *arg);
/* Batches were sent and nobody knows what became of them. Not waited for. */
void writer_mark_maybe(struct writer *w, const struct batch *batches, size_t n);
/* Notes the payload before ship decodes it (a row that crashes ship three times is set aside at start): done decodes it, then and
 * there, so that one at a time is noted. */
void writer_note_decoding(struct writer *w, uint64_t payload, void (*done)(void *arg), void *arg);

/* Bytes of one payload from disk. p is NULL when the row is damaged: the batches were then moved to the dead letters. */
void writer_read(struct writer *w, uint64_t payload, void (*done)(void *arg, struct payload *p), void *arg);
/* Up to max batches of (dest, shard) with seq > after, in order. The views live for the callback. more: there are further ones.
 * reached_ms: the newest sample that was delivered of this shard, 0: none was. */
void writer_list(struct writer *w, uint32_t dest, uint32_t shard, uint64_t after, size_t max,
	void (*done)(void *arg, const struct batch *b, size_t n, bool more, int64_t reached_ms), void *arg);
/* One step of an edit (ship/spool/edit.h), which is borrowed until done; what it stores and takes away is announced before. */
struct edit;
void writer_edit(struct writer *w, struct edit *e, void (*done)(void *arg), void *arg);
/* Runs fn(spool) on the database thread between commits and done(result) on the loop thread: the admin verbs. */
struct spool;
void writer_query(struct writer *w, void (*fn)(struct spool *sp, void *arg), void (*done)(void *arg), void *arg);

#endif
