/* spool - everything that was accepted and is not settled yet, on disk, and the books about it.
 *
 * Inside spool_begin ... spool_commit any number of deliveries are stored and batches settled; nothing is promised until
 * spool_commit returned SP_OK. A failure in between sticks, so that nothing more is changed, and is what spool_commit returns. SP_FULL
 * and SP_NO_MEM from it mean: roll back and try less at a time. Any other failure of a commit or a checkpoint means that nobody knows
 * what is on disk: the caller must end the process without an answer.
 *
 * A destination may have lanes, each with a row of its own, named DESTINATION/LANE, which the first delivery for it makes: below this
 * point a lane is a destination like any other.
 *
 * A destination may have a limit to what waits for it. A delivery with data for one that is full is refused, or, where the destination
 * says on_full: drop, is stored without that data.
 *
 * At every commit, for each destination, in samples:
 *     accepted = delivered + spooled + dead_lettered + expired + dropped + merged
 * dead_lettered are those the dead letters hold now, expired those that grew too old or too many there, dropped those that a person
 * purged or a setting gives up.
 *
 * Every row is proved by a CRC when it is read; one that is damaged goes to the dead letters with the reason `crc`.
 * One process (a lock file), one thread at a time.
 */
#ifndef SHIP_SPOOL_H
#define SHIP_SPOOL_H

#include "ship/spool/writer.h"

struct spool;

/* Opens or makes the spool in s->spool_dir, which is made when its parent exists; the settings must outlive it. Brings an older schema up
 * to date. After an unclean stop the log is moved into the database and synced before this returns, and every batch found counts as maybe
 * delivered. A database that is damaged, or was found to be so twice (spool_note_damage) without a clean stop in between, is renamed to
 * spool.corrupt-TIME.db, never deleted, and a new one begun. */
SP_CHECKED enum sp_status spool_open(const struct settings *s, struct spool **out, struct sp_why *why);
/* SP_NOT_FOUND, with words, when there is none yet in s->spool_dir. */
SP_CHECKED enum sp_status spool_exists(const struct settings *s, struct sp_why *why);
/* For inspection while no ship runs: nothing is changed or recovered, only the functions of ship/spool/inspect.h may be called. */
SP_CHECKED enum sp_status spool_open_to_read(const struct settings *s, struct spool **out, struct sp_why *why);
/* A clean stop: not for a spool that failed. */
SP_CHECKED enum sp_status spool_close(struct spool **sp, struct sp_why *why);

/* Something ended with SP_BAD_DATA: the process is about to end, and the next one shall know. Once could be a fault of memory. */
void spool_note_damage(const struct spool *sp, const struct sp_why *why);

uint32_t spool_dest_id(const struct spool *sp, const char *name); /* 0: not known */
const char *spool_dest_name(const struct spool *sp, uint32_t dest);
uint32_t spool_max_dest_id(const struct spool *sp);
const uint8_t *spool_id(const struct spool *sp); /* 16 random bytes drawn when the file was made */
bool spool_is_new(const struct spool *sp); /* there was none, or a damaged one */
const struct writer_totals *spool_totals(const struct spool *sp, uint32_t dest);
/* A destination whose totals have changed since they were last asked for here; 0: no further one. */
uint32_t spool_next_change(struct spool *sp);
/* Is the key among the committed ones? Any thread. */
bool spool_knows(const struct spool *sp, const uint8_t key[16]);

void spool_begin(struct spool *sp);
SP_CHECKED enum sp_status spool_commit(struct spool *sp, struct sp_why *why);
void spool_rollback(struct spool *sp);

/* Called for every batch that is made, in order of seq; never after a failure. */
typedef void (*spool_batch_fn)(void *arg, const struct batch *b, const struct store_group *g);
/* *result, which counts once it is committed, is STORE_FULL when the spool, or the queue of a destination that refuses, has no room for
 * the delivery, STORE_ERROR when its slices lie outside its bytes. */
void spool_store(struct spool *sp, const struct store_request *r, spool_batch_fn fn, void *arg, enum store_result *result);
/* Removes batches (all of one destination) and adds dead letters. What is neither delivered nor dead was merged. Batches that are gone
 * already are not counted again. */
void spool_settle(struct spool *sp, const struct batch *batches, size_t n, uint64_t delivered, const struct dead_letter *dead,
	size_t n_dead);
void spool_mark_maybe(struct spool *sp, const struct batch *batches, size_t n);
/* The payload is about to be decoded. A payload that was being decoded at three unclean stops is set aside by spool_open. */
void spool_note_decoding(struct spool *sp, uint64_t payload);

/* Outside a transaction. *out is NULL when the row is damaged or gone: its batches are in the dead letters now. */
SP_CHECKED enum sp_status spool_read(struct spool *sp, uint64_t payload, struct payload **out, struct sp_why *why);
/* Outside a transaction. Up to max batches of (dest, shard) with seq > after. *reached_ms: no sample that was delivered of them is newer, 0:
 * nothing was. */
SP_CHECKED enum sp_status spool_list(struct spool *sp, uint32_t dest, uint32_t shard, uint64_t after, size_t max,
	struct batch *out, size_t *n, bool *more, int64_t *reached_ms, struct sp_why *why);

/* Once a second, outside a transaction: free space, the reserve file, expiry of keys and evidence in bounded steps. */
SP_CHECKED enum sp_status spool_tick(struct spool *sp, struct sp_why *why);
/* Moves the log into the database when it has grown to its limit, or, when idle, whatever there is of it. */
SP_CHECKED enum sp_status spool_checkpoint(struct spool *sp, bool idle, struct sp_why *why);
/* Gives a bounded number of free pages back to the file system; *more: there are further ones. */
SP_CHECKED enum sp_status spool_vacuum(struct spool *sp, bool *more, struct sp_why *why);
/* The disk is full: makes what room it can, so that settling can go on. False when there is no way left to try. */
bool spool_make_way(struct spool *sp);
/* Does the equation hold, and does the table of batches agree? *dest is the first destination where not, 0 when all is well. */
SP_CHECKED enum sp_status spool_check_books(struct spool *sp, uint32_t *dest, struct sp_why *why);

/* Nobody is accepted: over spool.max or below spool.min_free; with a low mark, so that it does not flutter. */
bool spool_is_full(struct spool *sp);
struct spool_sizes {
	uint64_t used, free_on_disk; /* bytes */
	uint64_t quarantine_bytes, quarantine_rows, dead_bytes, dead_rows, damaged_rows, ledger_keys;
	uint64_t quarantine_expired, dead_expired; /* rows since start */
};
struct spool_sizes spool_sizes(const struct spool *sp);

#endif
