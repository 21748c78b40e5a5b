/* spool_impl - what the files of the spool share: spool.c (store, settle, commit), spool_dest.c (destinations and lanes), spool_queue.c
 * (limits of what waits for them), spool_read.c (reading, and rows that are damaged), spool_open.c (start and stop), spool_keep.c
 * (upkeep), evidence.c (quarantine and dead letters), inspect.c (rows as JSON), edit.c (purge and replay), sources.c (streams, as rows
 * of meta). Nobody else includes this.
 */
#ifndef SHIP_SPOOL_IMPL_H
#define SHIP_SPOOL_IMPL_H

#include "ship/spool/db.h"
#include "ship/spool/ledger.h"
#include "ship/spool/table.h"
#include "ship/spool/spool.h"

/* What a delivery takes beside its bytes: leaves of the tables it touches. */
#define STORE_OVERHEAD_BYTES (4 * DB_PAGE_BYTES)

/* Beside the terms of the books, with the number of the shard. */
#define REACHED "reached."
#define SHARDS_MAX 64

struct spool_dest {
	char *name; /* NULL: a hole in the ids */
	const struct dest_settings *settings; /* NULL: it is not configured (any more) */
	uint32_t parent;		      /* of a lane: the destination */
	uint32_t n_lanes;		      /* of a destination */
	uint64_t lanes_bytes;		      /* what waits in them */
	int64_t shards;
	bool changed; /* is in spool.changes */
	int64_t full_since_ms, full_at_ms; /* monotonic: when something had no room, for the first time in a row and last */
	uint64_t lost_before;	   /* dropped or refused, when it became full */
	struct writer_totals totals, committed; /* changed through spool_change only */
	struct reached {			/* of each shard: newest sample that was delivered, and what the file says; 0: none yet */
		int64_t ms, written_ms;
	} *reached;
	uint32_t n_reached;
};

/* One of the two tables that keep what could not be used: quarantined pieces of deliveries, and dead letters. */
struct evidence_share {
	char *sender;
	uint64_t bytes;
};

struct evidence {
	bool is_dead;
	uint64_t max_bytes, bytes, rows;
	uint64_t expired_rows; /* since start */
	uint64_t expiring;     /* of the open transaction */
	struct evidence_share *shares;
	size_t n_shares;
	int64_t oldest_ms; /* no row is older; 0: look */
};

struct ref {
	uint64_t payload, batches;
};

struct ref_change {
	uint64_t payload;
	int32_t by;
};

struct spool {
	char *dir;
	int lock_fd;
	struct db *db;
	uint8_t id[16];
	bool read_only;
	bool is_new; /* begun by this process */

	uint64_t max_bytes, low_bytes, min_free_bytes;
	int64_t dedupe_s, evidence_age_ms;
	uint64_t used_bytes;               /* as of the last begin or commit */
	uint64_t free_bytes, volume_bytes; /* as of the last tick */
	bool full;

	struct spool_dest *dests; /* by id; 0 is unused */
	uint32_t max_dest, cap_dests;
	struct table names; /* ids */
	uint32_t *changes; /* destinations that were changed since the last publication */
	size_t n_changes;
	uint32_t oldest_turn; /* whose oldest sample is looked for next */
	uint64_t next_seq, committed_seq; /* numbers batches and payload rows */
	uint64_t maybe_below;             /* batches with a smaller seq were found after an unclean stop */
	uint64_t as_it_is_below;          /* the same, after so many of them that one of these may be what ship dies of */
	int64_t died_ms;                  /* when this process followed one that died; 0 once it has lived for some time */
	struct table refs; /* of struct ref: payload rows and the batches that need them; rebuilt at start from `batch` */
	struct ledger *ledger;
	int64_t oldest_key_s;
	struct evidence quarantine, dead;
	bool noted; /* some payload is noted as being decoded */
	int64_t noted_ms;
	uint64_t damaged_rows;

	struct { /* of the open transaction: undone by a rollback, or done for good by the commit */
		struct ref_change *refs;
		size_t n_refs, cap_refs;
		uint8_t (*keys)[LEDGER_KEY_BYTES];
		size_t n_keys, cap_keys;
		uint32_t n_made; /* lanes, the newest rows */
		bool stored, settled, dead, evidence;
		uint64_t reserved_bytes; /* taken by what was stored */
	} tx;
};

/* spool_open.c: a file in the spool's directory. */
#define SPOOL_PATH_BYTES 4096
const char *spool_path(const struct spool *sp, const char *name, char out[SPOOL_PATH_BYTES]);

/* spool_dest.c */
#define DEST_ID_MAX 200000 /* destinations and lanes that ever had data */
#define DEST_NAME_BYTES 256
void dests_init(struct spool *sp);
void dests_free(struct spool *sp);
struct spool_dest *dest_add(struct spool *sp, uint32_t id, struct sp_bytes name);
uint32_t dest_make(struct spool *sp, const char *name, int64_t shards); /* with its row; returns its id */
int64_t dest_reached(const struct spool *sp, uint32_t dest, uint32_t shard);
struct reached *dest_reached_of(struct spool *sp, uint32_t dest, uint32_t shard); /* to be changed */
void dest_mix_reached(struct spool *sp, uint32_t dest, uint32_t shards); /* series have changed their shards */
void dest_adopt_lane(struct spool *sp, uint32_t lane, uint32_t of);
void dests_forget_made(struct spool *sp); /* of a rollback */
/* The row of this lane of a destination that has lanes; make: where there is none yet, it is made. "": a sender that gave no usable
 * name. 0: there is none; *reason is the dead letters', or NULL when it only was not made. */
uint32_t spool_lane(struct spool *sp, uint32_t dest, const char *name, bool make, const char **reason);

/* The totals, to be changed. */
struct writer_totals *spool_change(struct spool *sp, uint32_t dest);
/* What a batch takes of its queue: its bytes and its row. */
#define BATCH_ROW_BYTES 256
void queue_add(struct spool *sp, uint32_t dest, int64_t bytes);
bool queue_drops(const struct spool *sp, uint32_t dest);
bool queue_has_room(const struct spool *sp, uint32_t dest, uint64_t bytes);
/* The same, and when there is none, that is counted and, when it begins, logged. */
bool queue_takes(struct spool *sp, uint32_t dest, uint64_t bytes);
/* Logs which queues have room again. */
void queues_look(struct spool *sp);

/* Commits, or, when anything failed, rolls back and says what. */
SP_CHECKED enum sp_status spool_end(struct spool *sp, struct sp_why *why);
/* Adds to the count of batches that need this payload, and returns it; at 0 the row is not needed any more. */
uint64_t spool_ref(struct spool *sp, uint64_t payload, int32_t by);
/* Takes a batch out of the table and of what is spooled. Returns its samples, or 0 when it was settled before. */
uint64_t spool_remove(struct spool *sp, const struct batch *b);
/* Stores what a dead letter holds as a batch of its destination; its row is the caller's to remove. */
void spool_replay(struct spool *sp, const struct dead_letter *d, const char *sender, uint32_t raw_len, spool_batch_fn fn, void *arg);
#define SLICE_INTACT "these bytes are intact" /* the words of a dead letter whose payload was damaged elsewhere */
/* Moves all batches of a payload to the dead letters, in a transaction of its own. */
SP_CHECKED enum sp_status spool_set_aside(struct spool *sp, uint64_t payload, const char *reason, struct sp_why *why);
/* Columns of `batch` in the order of BATCH_COLUMNS; false when the row's CRC does not fit. */
#define BATCH_COLUMNS                                                                                                  \
	"dest, shard, seq, payload, off, len, raw_len, series, samples, min_ms, max_ms, flags, accepted_ms, slice_crc, row_crc"
bool batch_from_row(const struct spool *sp, sqlite3_stmt *st, struct batch *out, uint32_t *slice_crc);
uint64_t *spool_counter(struct writer_totals *t, struct sp_bytes name); /* the term with that name in `counter` */

/* evidence.c: each table is bounded by size and age. When one is too large, the sender (access key) that takes most of it loses its
 * oldest row, so that nobody can push out the others' evidence. Inside the spool's transactions, where failures stick. */
/* Reads the sums from the table: at start, and after a rollback. */
void evidence_load(struct spool *sp, struct evidence *e);
void evidence_clear(struct evidence *e);
void evidence_add_quarantine(struct spool *sp, const struct store_request *r, const struct store_quarantine *q);
void evidence_add_dead(struct spool *sp, const struct dead_letter *d, const char *sender);
struct evidence_row {
	int64_t id, size, samples, at_ms;
	uint32_t dest;
};
/* Columns 0-3: id, size, samples, dest. */
static inline struct evidence_row evidence_row(sqlite3_stmt *st)
{
	return (struct evidence_row){.id = sqlite3_column_int64(st, 0), .size = sqlite3_column_int64(st, 1),
		.samples = sqlite3_column_int64(st, 2), .dest = (uint32_t)sqlite3_column_int64(st, 3)};
}
/* Takes a row out of its table and of the sums. The samples of a dead letter are in no term of the books then: the caller adds what
 * this returns to one. */
uint64_t evidence_remove(struct spool *sp, struct evidence *e, const struct evidence_row *row, const char *sender);
/* What the transaction expired has expired. */
void evidence_committed(struct evidence *e);
/* Expires what is too old, a bounded number of rows. */
void evidence_expire(struct spool *sp, struct evidence *e, int64_t before_ms);

#endif
