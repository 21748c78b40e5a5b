#include "ship/spool/edit.h"

#include "common/alloc.h"
#include "common/crc32c.h"
#include "proto/remote_write.h"
#include "ship/spool/spool_impl.h"

#include <inttypes.h>
#include <stdio.h>

#define PURGED_PER_STEP 500
#define REPLAYED_PER_STEP 100
#define REPLAYED_BYTES ((size_t)4 << 20) /* of one step, but for its last row */

/* ---- purging ---- */

static void purge_spool(struct spool *sp, struct edit *e, const struct db_value *v, edit_gone_fn gone, void *arg)
{
	struct batch *batches = sp_new_array(struct batch, PURGED_PER_STEP);
	size_t n = 0;
	uint32_t crc;
	sqlite3_stmt *st = db_query(sp->db, "SELECT " BATCH_COLUMNS " FROM batch b WHERE " PICK_SPOOL, v, PICK_VALUES);
	while (db_next(sp->db, st))
		if (!batch_from_row(sp, st, &batches[n++], &crc))
			batches[n - 1].payload = 0; /* of a damaged row: rather keep a payload that nobody needs */
	for (size_t i = 0; i < n; i++) {
		const struct batch *b = &batches[i];
		snprintf(e->last, sizeof e->last, "%" PRIu32 ".%" PRIu32 ".%" PRIu64, b->dest, b->shard, b->seq);
		if (b->dest == 0 || b->dest > sp->max_dest)
			continue;
		uint64_t samples = spool_remove(sp, b);
		spool_change(sp, b->dest)->dropped += samples;
		e->samples += samples;
		e->rows++;
		if (gone && db_ok(sp->db))
			gone(arg, b);
	}
	sp->tx.settled = true;
	e->more = n == PURGED_PER_STEP;
	sp_free(batches);
}

struct held_row {
	struct evidence_row row;
	char *sender;
};

/* The rows are listed first: a table is not changed while it is read. */
static size_t list_evidence(struct spool *sp, const char *sql, const struct db_value *v, struct held_row *out)
{
	size_t n = 0;
	sqlite3_stmt *st = db_query(sp->db, sql, v, PICK_VALUES);
	while (db_next(sp->db, st)) {
		out[n].row = evidence_row(st);
		out[n++].sender = db_column_text(st, 4);
	}
	return n;
}

static void purge_evidence(struct spool *sp, struct edit *e, const struct db_value *v)
{
	struct held_row *held = sp_new_array(struct held_row, PURGED_PER_STEP);
	bool dead = e->table == INSPECT_DEADLETTER;
	size_t n = list_evidence(sp,
		dead ? "SELECT id, size, samples, dest, sender FROM dead WHERE " PICK_DEAD
		     : "SELECT id, size, 0, 0, sender FROM quarantine WHERE " PICK_QUARANTINE,
		v, held);
	for (size_t i = 0; i < n; i++) {
		const struct evidence_row *row = &held[i].row;
		uint64_t samples = evidence_remove(sp, dead ? &sp->dead : &sp->quarantine, row, held[i].sender);
		if (samples)
			spool_change(sp, row->dest)->dropped += samples;
		e->samples += (uint64_t)row->samples;
		e->rows++;
		snprintf(e->last, sizeof e->last, "%" PRId64, row->id);
		sp_free(held[i].sender);
	}
	sp->tx.dead |= dead;
	e->more = n == PURGED_PER_STEP;
	sp_free(held);
}

/* ---- replaying ---- */

/* Why this dead letter cannot be sent again; NULL: it can. */
static const char *why_not(const struct spool *sp, const struct dead_letter *d, uint32_t crc, uint32_t *raw_len)
{
	size_t raw = 0;
	const struct spool_dest *dest = d->dest && d->dest <= sp->max_dest ? &sp->dests[d->dest] : NULL;
	if (!dest || !dest->settings)
		return "its destination is not in the configuration any more; export it, or purge it";
	if (dest->settings->lanes_by && !dest->parent)
		return "nobody knows whose lane it is of; export it, or purge it";
	if (!d->body.n || sp_crc32c(0, d->body.p, d->body.n) != crc || rw_raw_length(d->body, RW_RAW_MAX_BYTES, &raw, NULL) != SP_OK)
		return "its bytes are damaged";
	if (strcmp(d->reason, "crc") == 0 && !sp_eq(d->answer, SP_LIT(SLICE_INTACT)))
		return "its bytes were damaged in the spool";
	*raw_len = (uint32_t)raw;
	return NULL;
}

static bool has_room(const struct spool *sp, uint32_t dest, size_t bytes)
{
	return queue_has_room(sp, dest, bytes + BATCH_ROW_BYTES) && sp->free_bytes >= sp->min_free_bytes &&
		sp->used_bytes + sp->tx.reserved_bytes + bytes + STORE_OVERHEAD_BYTES <= sp->max_bytes;
}

struct letter {
	struct evidence_row row;
	struct dead_letter dead;
	uint32_t crc;
	char *sender, *reason;
	struct sp_buf answer, body;
};

static void letter_read(struct spool *sp, int64_t id, struct letter *l)
{
	sqlite3_stmt *st = db_query(sp->db,
		"SELECT size, samples, dest, shard, series, min_ms, max_ms, crc, sender, reason, answer, body FROM dead WHERE id = ?1",
		DB_ARGS(db_int(id)));
	while (db_next(sp->db, st)) {
		l->row = (struct evidence_row){.id = id, .size = sqlite3_column_int64(st, 0), .samples = sqlite3_column_int64(st, 1),
			.dest = (uint32_t)sqlite3_column_int64(st, 2)};
		l->dead = (struct dead_letter){.dest = l->row.dest, .shard = (uint32_t)sqlite3_column_int64(st, 3),
			.series = (uint32_t)sqlite3_column_int64(st, 4), .samples = (uint32_t)l->row.samples,
			.min_ms = sqlite3_column_int64(st, 5), .max_ms = sqlite3_column_int64(st, 6)};
		l->crc = (uint32_t)sqlite3_column_int64(st, 7);
		l->sender = db_column_text(st, 8);
		l->reason = db_column_text(st, 9);
		sp_buf_add(&l->answer, db_column_bytes(st, 10));
		sp_buf_add(&l->body, db_column_bytes(st, 11));
	}
	if (!sp_buf_ok(&l->body) || !sp_buf_ok(&l->answer))
		db_fail(sp->db, SP_NO_MEM, "no memory for a dead letter");
	l->dead.reason = l->reason;
	l->dead.answer = sp_buf_view(&l->answer);
	l->dead.body = sp_buf_view(&l->body);
}

static void letter_clear(struct letter *l)
{
	sp_free(l->sender);
	sp_free(l->reason);
	sp_buf_free(&l->answer);
	sp_buf_free(&l->body);
}

/* False when there is no room for it. */
static bool replay_one(struct spool *sp, struct edit *e, int64_t id, spool_batch_fn made, void *arg)
{
	struct letter l = {.row.id = 0};
	uint32_t raw_len = 0;
	letter_read(sp, id, &l);
	const char *no = db_ok(sp->db) ? why_not(sp, &l.dead, l.crc, &raw_len) : NULL;
	bool fits = no || has_room(sp, l.dead.dest, l.body.n);
	if (no && !e->refused++)
		snprintf(e->refusal, sizeof e->refusal, "dead letter %" PRId64 ": %s", id, no);
	if (db_ok(sp->db) && !no && fits) {
		(void)evidence_remove(sp, &sp->dead, &l.row, l.sender);
		spool_replay(sp, &l.dead, l.sender, raw_len, made, arg);
		sp->tx.dead = true;
		e->rows++;
		e->samples += l.dead.samples;
	}
	letter_clear(&l);
	return fits;
}

static void replay(struct spool *sp, struct edit *e, const struct db_value *v, spool_batch_fn made, void *arg)
{
	struct held_row *held = sp_new_array(struct held_row, REPLAYED_PER_STEP);
	size_t n = list_evidence(sp, "SELECT id, size, samples, dest, sender FROM dead WHERE " PICK_DEAD, v, held), bytes = 0, i = 0;
	for (; i < n && bytes < REPLAYED_BYTES && replay_one(sp, e, held[i].row.id, made, arg); i++) {
		bytes += (size_t)held[i].row.size;
		snprintf(e->last, sizeof e->last, "%" PRId64, held[i].row.id);
	}
	e->more = i < n || n == REPLAYED_PER_STEP;
	if (n && i == 0)
		e->status = sp_fail(&e->why, SP_FULL, "there is no room for them: the queue of their destination, the spool or its volume is full");
	for (i = 0; i < n; i++)
		sp_free(held[i].sender);
	sp_free(held);
}

void edit_run(struct spool *sp, struct edit *e, spool_batch_fn made, edit_gone_fn gone, void *arg)
{
	struct db_value v[PICK_VALUES];
	size_t limit = e->verb == EDIT_REPLAY ? REPLAYED_PER_STEP : PURGED_PER_STEP;
	e->rows = e->samples = e->refused = 0;
	e->more = false;
	snprintf(e->last, sizeof e->last, "%s", e->after);
	e->status = pick_values(e->table, &e->pick, e->after, limit, v, &e->why);
	if (e->status != SP_OK)
		return;
	if (e->verb == EDIT_REPLAY)
		replay(sp, e, v, made, arg);
	else if (e->table == INSPECT_SPOOL)
		purge_spool(sp, e, v, gone, arg);
	else
		purge_evidence(sp, e, v);
}
