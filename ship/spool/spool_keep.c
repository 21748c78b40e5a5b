/* Upkeep of the spool: limits, expiry, checkpoints, free pages, and the check of the books. */
#include "ship/spool/spool.h"

#include "common/clock.h"
#include "common/crash.h"
#include "ship/spool/spool_impl.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define RESERVE "reserve" /* a file of bytes for nothing else */
#define RESERVE_BYTES (2 * DB_WAL_MAX_BYTES) /* a full log, the checkpoint of it, and what settling adds */
#define RESERVE_PART 8                       /* at most this part of a small volume */
#define LEDGER_ROWS_PER_STEP 1000
#define NOTE_FORGOTTEN_MS 10000
/* Who lives so long does not die of what it found in the spool. */
#define LIVED_MS 60000
#define OLDEST_PER_TICK 100
#define VACUUM_PAGES "64"
#define VACUUM_KEEP_BYTES (64u << 20)
#define BOOKS_SCAN_MAX_BATCHES 100000 /* a longer queue is not counted again each minute */

/* ---- the disk ---- */

static void reserve_make(struct spool *sp)
{
	char path[SPOOL_PATH_BYTES];
	uint64_t size = sp->volume_bytes / RESERVE_PART < RESERVE_BYTES ? sp->volume_bytes / RESERVE_PART : RESERVE_BYTES;
	if (access(spool_path(sp, RESERVE, path), F_OK) == 0 || sp->free_bytes < sp->min_free_bytes + size)
		return;
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0)
		return;
	sp_crash_point("ship.at_reserve_create");
	if (posix_fallocate(fd, 0, (off_t)size) != 0)
		unlink(path); /* tried again in a second */
	close(fd);
}

static bool drop_reserve(struct spool *sp)
{
	char path[SPOOL_PATH_BYTES];
	return unlink(spool_path(sp, RESERVE, path)) == 0;
}

bool spool_make_way(struct spool *sp)
{
	struct sp_why why;
	/* An empty log starts again at its beginning, in space that the file has already. */
	if (db_wal_bytes(sp->db) && db_checkpoint(sp->db, false, &why) == SP_OK && db_wal_bytes(sp->db) == 0)
		return true;
	return drop_reserve(sp);
}

static void measure_disk(struct spool *sp)
{
	struct statvfs fs;
	if (statvfs(sp->dir, &fs) != 0)
		return;
	sp->free_bytes = (uint64_t)fs.f_bavail * fs.f_frsize;
	sp->volume_bytes = (uint64_t)fs.f_blocks * fs.f_frsize;
}

bool spool_is_full(struct spool *sp)
{
	/* Full is when not even a small delivery fits. */
	uint64_t max = sp->full ? sp->low_bytes : sp->max_bytes - STORE_OVERHEAD_BYTES - 2 * DB_PAGE_BYTES;
	uint64_t min_free = sp->min_free_bytes + (sp->full ? sp->min_free_bytes / 10 : 0);
	sp->full = sp->used_bytes > max || sp->free_bytes < min_free;
	return sp->full;
}

struct spool_sizes spool_sizes(const struct spool *sp)
{
	return (struct spool_sizes){.used = sp->used_bytes, .free_on_disk = sp->free_bytes,
		.quarantine_bytes = sp->quarantine.bytes, .quarantine_rows = sp->quarantine.rows, .dead_bytes = sp->dead.bytes,
		.dead_rows = sp->dead.rows, .damaged_rows = sp->damaged_rows, .ledger_keys = ledger_count(sp->ledger),
		.quarantine_expired = sp->quarantine.expired_rows, .dead_expired = sp->dead.expired_rows};
}

/* ---- expiry ---- */

/* The oldest keys have the smallest row numbers. They leave the memory only after the commit: until then they are known. */
static enum sp_status expire_keys(struct spool *sp, int64_t before_s, struct sp_why *why)
{
	static uint8_t keys[LEDGER_ROWS_PER_STEP][LEDGER_KEY_BYTES];
	size_t n = 0;
	int64_t last = 0;
	sqlite3_stmt *st = db_query(sp->db, "SELECT n, at_s, key FROM accepted ORDER BY n LIMIT ?1",
		DB_ARGS(db_int(LEDGER_ROWS_PER_STEP)));
	sp->oldest_key_s = INT64_MAX;
	while (db_next(sp->db, st)) {
		struct sp_bytes key = db_column_bytes(st, 2);
		sp->oldest_key_s = sqlite3_column_int64(st, 1);
		if (sp->oldest_key_s >= before_s) {
			db_done(st);
			break;
		}
		last = sqlite3_column_int64(st, 0);
		if (key.n == LEDGER_KEY_BYTES)
			memcpy(keys[n++], key.p, LEDGER_KEY_BYTES);
	}
	enum sp_status status = db_end(sp->db, why);
	if (status != SP_OK || !last)
		return status;
	spool_begin(sp);
	db_run(sp->db, "DELETE FROM accepted WHERE n <= ?1", DB_ARGS(db_int(last)));
	status = spool_end(sp, why);
	for (size_t i = 0; i < n && status == SP_OK; i++)
		ledger_remove(sp->ledger, keys[i]);
	return status;
}

static enum sp_status expire_rest(struct spool *sp, int64_t before_ms, struct sp_why *why)
{
	spool_begin(sp);
	evidence_expire(sp, &sp->quarantine, before_ms);
	evidence_expire(sp, &sp->dead, before_ms);
	if (db_ok(sp->db) && sp->noted && sp_mono_now().ms - sp->noted_ms > NOTE_FORGOTTEN_MS) {
		db_run(sp->db, "UPDATE decoding SET active = 0 WHERE active = 1", DB_NO_ARGS);
		db_run(sp->db, "DELETE FROM decoding WHERE strikes = 0", DB_NO_ARGS);
		sp->noted = false;
	}
	if (db_ok(sp->db) && sp->died_ms && sp_mono_now().ms - sp->died_ms > LIVED_MS) {
		db_run(sp->db, "UPDATE meta SET value = 0 WHERE key = 'deaths'", DB_NO_ARGS);
		sp->died_ms = 0;
	}
	return spool_end(sp, why);
}

/* Within a shard samples leave in the order in which they came, so the first batch of each tells. */
static void find_oldest(struct spool *sp, struct spool_dest *d, uint32_t dest)
{
	int64_t oldest = 0;
	for (int64_t shard = 0; shard < d->shards; shard++) {
		int64_t ms = db_number(sp->db, "SELECT min_ms FROM batch WHERE dest = ?1 AND shard = ?2 ORDER BY seq LIMIT 1",
			DB_ARGS(db_int(dest), db_int(shard)));
		if (ms && (!oldest || ms < oldest))
			oldest = ms;
	}
	if (db_ok(sp->db))
		spool_change(sp, dest)->oldest_ms = d->committed.oldest_ms = oldest;
}

/* For a bounded number of destinations: there may be a thousand lanes. */
static void find_oldest_of_some(struct spool *sp)
{
	for (uint32_t i = 0; i < sp->max_dest && i < OLDEST_PER_TICK; i++) {
		sp->oldest_turn = sp->oldest_turn % sp->max_dest + 1;
		if (sp->dests[sp->oldest_turn].totals.batches)
			find_oldest(sp, &sp->dests[sp->oldest_turn], sp->oldest_turn);
	}
}

enum sp_status spool_tick(struct spool *sp, struct sp_why *why)
{
	enum sp_status status = SP_OK;
	int64_t now_ms = sp_wall_ms(), before_ms = now_ms - sp->evidence_age_ms, before_s = now_ms / 1000 - sp->dedupe_s;
	measure_disk(sp);
	reserve_make(sp);
	if (ledger_count(sp->ledger) && sp->oldest_key_s < before_s)
		status = expire_keys(sp, before_s, why);
	int64_t mono_ms = sp_mono_now().ms;
	bool over = (sp->noted && mono_ms - sp->noted_ms > NOTE_FORGOTTEN_MS) || (sp->died_ms && mono_ms - sp->died_ms > LIVED_MS);
	bool old = (sp->quarantine.rows && sp->quarantine.oldest_ms < before_ms) || (sp->dead.rows && sp->dead.oldest_ms < before_ms);
	if (status == SP_OK && (over || old))
		status = expire_rest(sp, before_ms, why);
	queues_look(sp);
	if (status == SP_OK)
		find_oldest_of_some(sp);
	if (status == SP_OK)
		status = db_end(sp->db, why);
	/* Nothing is lost when a full disk puts this off. */
	return status == SP_FULL || status == SP_NO_MEM ? SP_OK : status;
}

/* ---- the files ---- */

enum sp_status spool_checkpoint(struct spool *sp, bool idle, struct sp_why *why)
{
	if (db_wal_bytes(sp->db) == 0 || (!idle && db_wal_bytes(sp->db) < DB_WAL_MAX_BYTES))
		return SP_OK;
	enum sp_status status = db_checkpoint(sp->db, idle, why);
	/* The log may hold pages beyond the end of the file: without room for them it can never be emptied, and a full disk stays full. */
	if (status == SP_FULL && drop_reserve(sp))
		status = db_checkpoint(sp->db, idle, why);
	return status == SP_FULL ? SP_OK : status; /* the log keeps what it has; a later one moves it */
}

enum sp_status spool_vacuum(struct spool *sp, bool *more, struct sp_why *why)
{
	int64_t unused = db_number(sp->db, "PRAGMA freelist_count", DB_NO_ARGS);
	/* Free pages inside the file are room for the spool alone. On a volume that is nearly full they are what keeps it from taking
	 * deliveries again, so then none is kept, and each step is followed by the checkpoint that shrinks the file. */
	bool tight = sp->free_bytes < sp->min_free_bytes + sp->min_free_bytes / 10;
	bool step = unused * DB_PAGE_BYTES > (tight ? 0 : VACUUM_KEEP_BYTES);
	if (step)
		db_run(sp->db, "PRAGMA incremental_vacuum(" VACUUM_PAGES ")", DB_NO_ARGS);
	enum sp_status status = db_end(sp->db, why);
	*more = step && status == SP_OK && !tight;
	return status == SP_FULL ? SP_OK : status;
}

/* ---- the books ---- */

enum sp_status spool_check_books(struct spool *sp, uint32_t *dest, struct sp_why *why)
{
	uint32_t wrong = 0;
	for (uint32_t d = 1; d <= sp->max_dest && !wrong; d++) {
		const struct writer_totals *t = &sp->dests[d].totals;
		int64_t counted = (int64_t)t->spooled;
		if (t->batches <= BOOKS_SCAN_MAX_BATCHES)
			counted = db_number(sp->db, "SELECT sum(samples) FROM batch WHERE dest = ?1", DB_ARGS(db_int(d)));
		if (!writer_totals_balance(t) || (uint64_t)counted != t->spooled)
			wrong = d;
	}
	enum sp_status status = db_end(sp->db, why);
	if (status == SP_OK)
		*dest = wrong;
	return status;
}
