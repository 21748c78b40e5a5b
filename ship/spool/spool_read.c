#include "ship/spool/spool.h"

#include "common/alloc.h"
#include "common/clock.h"
#include "common/crc32c.h"
#include "ship/spool/spool_impl.h"

/* ---- setting aside ---- */

struct row {
	struct batch batch;
	uint32_t crc; /* of its slice */
};

static struct row *batches_of_payload(struct spool *sp, uint64_t payload, size_t *n)
{
	struct row *rows = NULL, row;
	size_t cap = 0;
	/* Reads the whole table: this happens once per damaged row, and an index would cost every delivery. */
	sqlite3_stmt *st = db_query(
		sp->db, "SELECT " BATCH_COLUMNS " FROM batch WHERE payload = ?1", DB_ARGS(db_int((int64_t)payload)));
	for (*n = 0; db_next(sp->db, st);) {
		if (!batch_from_row(sp, st, &row.batch, &row.crc))
			continue; /* spool_list finds it when its turn comes */
		rows = sp_grow(rows, *n, &cap, sizeof *rows);
		rows[(*n)++] = row;
	}
	return rows;
}

/* A batch becomes one dead letter with whatever bytes of it there are. */
static void batch_bury(struct spool *sp, const struct batch *b, const char *reason, struct sp_bytes body, const char *words)
{
	struct dead_letter d = {.dest = b->dest, .reason = reason, .answer = sp_str(words), .body = body, .series = b->series,
		.samples = b->samples, .min_ms = b->min_ms, .max_ms = b->max_ms, .seq = b->seq, .shard = b->shard};
	spool_settle(sp, b, 1, 0, &d, 1);
}

/* The bytes, with n_info behind them of the info, which has a checksum of its own; false when they are damaged or gone.
 * *found: there are bytes. Outside a transaction, which SQLite would not let us commit after it met damage. */
static bool payload_bytes(struct spool *sp, uint64_t payload, struct sp_buf *out, size_t *n_info, bool *found)
{
	bool intact = false;
	*found = false;
	*n_info = 0;
	sqlite3_stmt *st = db_query(
		sp->db, "SELECT crc, body, info FROM payload WHERE id = ?1", DB_ARGS(db_int((int64_t)payload)));
	while (db_next(sp->db, st)) {
		struct sp_bytes body = db_column_bytes(st, 1), info = db_column_bytes(st, 2);
		sp_buf_clear(out);
		sp_buf_add(out, body);
		sp_buf_add(out, info);
		*n_info = sp_buf_ok(out) ? info.n : 0;
		intact = sp_crc32c(0, body.p, body.n) == (uint32_t)sqlite3_column_int64(st, 0);
		*found = true;
	}
	db_forgive_damage(sp->db);
	if (!sp_buf_ok(out))
		db_fail(sp->db, SP_NO_MEM, "no memory for a payload");
	return intact && db_ok(sp->db);
}

enum sp_status spool_set_aside(struct spool *sp, uint64_t payload, const char *reason, struct sp_why *why)
{
	struct sp_buf body = {0};
	size_t n, n_info;
	bool found;
	(void)payload_bytes(sp, payload, &body, &n_info, &found);
	body.n -= n_info;
	struct row *rows = batches_of_payload(sp, payload, &n);
	enum sp_status status = db_end(sp->db, why);
	if (status == SP_OK)
		spool_begin(sp);
	for (size_t i = 0; i < n && status == SP_OK; i++) {
		struct batch *b = &rows[i].batch;
		struct sp_bytes slice = {NULL, 0};
		if (b->off <= body.n && b->len <= body.n - b->off)
			slice = sp_bytes(body.p + b->off, b->len);
		bool intact = slice.p && sp_crc32c(0, slice.p, slice.n) == rows[i].crc;
		if (!found) /* a row that cannot be read cannot be removed either */
			b->payload = 0;
		batch_bury(sp, b, reason, slice, intact ? SLICE_INTACT : "these bytes are damaged or incomplete");
	}
	if (status == SP_OK)
		status = spool_end(sp, why);
	if (status == SP_OK)
		sp->damaged_rows += n;
	sp_free(rows);
	sp_buf_free(&body);
	return status;
}

/* ---- reading ---- */

enum sp_status spool_read(struct spool *sp, uint64_t payload, struct payload **out, struct sp_why *why)
{
	struct sp_buf body = {0};
	size_t n_info;
	bool found, intact = payload_bytes(sp, payload, &body, &n_info, &found);
	enum sp_status status = db_end(sp->db, why);
	*out = NULL;
	if (intact) {
		size_t n;
		uint8_t *bytes = sp_buf_steal(&body, &n);
		*out = payload_new(payload, bytes, n - n_info, n_info);
	}
	sp_buf_free(&body);
	/* Gone with its last batch after somebody had asked for it is not damaged. */
	bool damaged = status == SP_OK && !intact && table_find(&sp->refs, &payload);
	return damaged ? spool_set_aside(sp, payload, "crc", why) : status;
}

static enum sp_status bury_rows(struct spool *sp, struct batch *damaged, size_t n, struct sp_why *why)
{
	spool_begin(sp);
	for (size_t i = 0; i < n; i++) {
		/* The id cannot be trusted: rather keep a payload that nobody needs than delete one that somebody does. */
		damaged[i].payload = 0;
		batch_bury(sp, &damaged[i], "crc", sp_bytes(NULL, 0), "the row about this batch is damaged");
	}
	enum sp_status status = spool_end(sp, why);
	if (status == SP_OK)
		sp->damaged_rows += n;
	return status;
}

enum sp_status spool_list(struct spool *sp, uint32_t dest, uint32_t shard, uint64_t after, size_t max, struct batch *out,
	size_t *n, bool *more, int64_t *reached_ms, struct sp_why *why)
{
	struct batch *damaged = NULL;
	size_t count = 0, n_damaged = 0;
	uint32_t crc;
	bool further = false;
	sqlite3_stmt *st = db_query(sp->db,
		"SELECT " BATCH_COLUMNS " FROM batch WHERE dest = ?1 AND shard = ?2 AND seq > ?3 ORDER BY seq LIMIT ?4",
		DB_ARGS(db_int(dest), db_int(shard), db_int((int64_t)after), db_int((int64_t)max + 1)));
	while (db_next(sp->db, st)) {
		struct batch b;
		if (count + n_damaged == max) {
			further = true;
			db_done(st);
			break;
		}
		if (batch_from_row(sp, st, &b, &crc)) {
			out[count++] = b;
			continue;
		}
		damaged = sp_realloc(damaged, (n_damaged + 1) * sizeof *damaged);
		damaged[n_damaged++] = b;
	}
	enum sp_status status = db_end(sp->db, why);
	if (status == SP_OK && n_damaged)
		status = bury_rows(sp, damaged, n_damaged, why);
	sp_free(damaged);
	if (status != SP_OK)
		return status;
	*n = count;
	*more = further;
	*reached_ms = dest_reached(sp, dest, shard);
	return SP_OK;
}

/* ---- rows that crash their reader ---- */

void spool_note_decoding(struct spool *sp, uint64_t payload)
{
	/* Notes of earlier commits are over: whoever asked for them has decoded by now. */
	db_run(sp->db, "UPDATE decoding SET active = 0 WHERE active = 1", DB_NO_ARGS);
	db_run(sp->db,
		"INSERT INTO decoding(payload, strikes, active) VALUES (?1, 0, 1) ON CONFLICT(payload) DO UPDATE SET active = 1",
		DB_ARGS(db_int((int64_t)payload)));
	sp->noted = true;
	sp->noted_ms = sp_mono_now().ms;
}
