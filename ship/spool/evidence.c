#include "ship/spool/spool_impl.h"

#include "common/alloc.h"
#include "common/clock.h"
#include "common/crc32c.h"

#define ROW_OVERHEAD_BYTES 256
#define ANSWER_MAX_BYTES 1024
#define EXPIRED_PER_STEP 100

static struct evidence_share *share_of(struct evidence *e, const char *sender)
{
	for (size_t i = 0; i < e->n_shares; i++)
		if (strcmp(e->shares[i].sender, sender) == 0)
			return &e->shares[i];
	e->shares = sp_realloc(e->shares, (e->n_shares + 1) * sizeof *e->shares);
	e->shares[e->n_shares] = (struct evidence_share){.sender = sp_strdup(sender)};
	return &e->shares[e->n_shares++];
}

void evidence_clear(struct evidence *e)
{
	for (size_t i = 0; i < e->n_shares; i++)
		sp_free(e->shares[i].sender);
	sp_free(e->shares);
	e->shares = NULL;
	e->n_shares = 0;
	e->bytes = e->rows = e->expiring = 0;
	e->oldest_ms = 0;
}

void evidence_committed(struct evidence *e)
{
	e->expired_rows += e->expiring;
	e->expiring = 0;
}

void evidence_load(struct spool *sp, struct evidence *e)
{
	evidence_clear(e);
	/* Answered from the index alone. */
	sqlite3_stmt *st = db_query(sp->db,
		e->is_dead ? "SELECT sender, count(*), sum(size) FROM dead GROUP BY sender"
			   : "SELECT sender, count(*), sum(size) FROM quarantine GROUP BY sender",
		DB_NO_ARGS);
	while (db_next(sp->db, st)) {
		const char *sender = (const char *)sqlite3_column_text(st, 0);
		uint64_t bytes = (uint64_t)sqlite3_column_int64(st, 2);
		share_of(e, sender ? sender : "")->bytes += bytes;
		e->rows += (uint64_t)sqlite3_column_int64(st, 1);
		e->bytes += bytes;
	}
}

uint64_t evidence_remove(struct spool *sp, struct evidence *e, const struct evidence_row *row, const char *sender)
{
	db_run(sp->db, e->is_dead ? "DELETE FROM dead WHERE id = ?1" : "DELETE FROM quarantine WHERE id = ?1",
		DB_ARGS(db_int(row->id)));
	if (!db_ok(sp->db))
		return 0;
	uint64_t size = (uint64_t)row->size;
	struct evidence_share *share = share_of(e, sender);
	share->bytes -= size < share->bytes ? size : share->bytes;
	e->bytes -= size < e->bytes ? size : e->bytes;
	e->rows--;
	sp->tx.evidence = true;
	if (!e->is_dead || !row->dest || row->dest > sp->max_dest)
		return 0;
	struct writer_totals *t = spool_change(sp, row->dest);
	uint64_t samples = (uint64_t)row->samples < t->dead_lettered ? (uint64_t)row->samples : t->dead_lettered;
	t->dead_lettered -= samples;
	return samples;
}

static void row_expire(struct spool *sp, struct evidence *e, const struct evidence_row *row, const char *sender)
{
	uint64_t samples = evidence_remove(sp, e, row, sender);
	e->expiring += db_ok(sp->db);
	if (samples)
		spool_change(sp, row->dest)->expired += samples;
}

/* Makes the table as small as it must be, at the cost of the sender that takes most of it. */
static void trim(struct spool *sp, struct evidence *e)
{
	for (int i = 0; i < EXPIRED_PER_STEP && e->bytes > e->max_bytes && e->n_shares && db_ok(sp->db); i++) {
		struct evidence_share *most = &e->shares[0];
		for (size_t k = 1; k < e->n_shares; k++)
			if (e->shares[k].bytes > most->bytes)
				most = &e->shares[k];
		struct evidence_row row = {0};
		sqlite3_stmt *st = db_query(sp->db,
			e->is_dead ? "SELECT id, size, samples, dest FROM dead WHERE sender = ?1 ORDER BY id LIMIT 1"
				   : "SELECT id, size, 0, 0 FROM quarantine WHERE sender = ?1 ORDER BY id LIMIT 1",
			DB_ARGS(db_text(most->sender)));
		while (db_next(sp->db, st))
			row = evidence_row(st);
		if (!row.id)
			db_fail(sp->db, SP_IO, "the sums of the evidence do not fit its rows");
		row_expire(sp, e, &row, most->sender);
	}
}

static void added(struct spool *sp, struct evidence *e, const char *sender, uint64_t size)
{
	share_of(e, sender)->bytes += size;
	e->bytes += size;
	e->rows++;
	trim(sp, e);
}

void evidence_add_quarantine(struct spool *sp, const struct store_request *r, const struct store_quarantine *q)
{
	const char *sender = r->key_name ? r->key_name : "";
	uint64_t size = q->bytes.n + r->common_attributes.n + ROW_OVERHEAD_BYTES;
	sp->tx.evidence = true;
	db_run(sp->db,
		"INSERT INTO quarantine(at_ms, sender, size, source_arn, request_id, reason, record, offset, pieces, text, "
		"do_not_parse, crc, body, form, attributes) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15)",
		DB_ARGS(db_int(sp_wall_ms()), db_text(sender), db_int((int64_t)size), db_text(r->source_arn),
			db_text(r->request_id), db_text(q->reason), db_int(q->record), db_int((int64_t)q->offset),
			db_int((int64_t)q->pieces), db_text(q->text), db_int(q->do_not_parse),
			db_int(sp_crc32c(0, q->bytes.p, q->bytes.n)), db_blob(q->bytes), db_int(q->form),
			db_blob(r->common_attributes)));
	added(sp, &sp->quarantine, sender, size);
}

void evidence_add_dead(struct spool *sp, const struct dead_letter *d, const char *sender)
{
	struct sp_bytes answer = sp_bytes(d->answer.p, d->answer.n < ANSWER_MAX_BYTES ? d->answer.n : ANSWER_MAX_BYTES);
	uint64_t size = d->body.n + answer.n + ROW_OVERHEAD_BYTES;
	sp->tx.evidence = sp->tx.dead = true;
	db_run(sp->db,
		"INSERT INTO dead(at_ms, sender, size, dest, shard, seq, reason, http_status, answer, series, samples, min_ms, max_ms, "
		"crc, body) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15)",
		DB_ARGS(db_int(sp_wall_ms()), db_text(sender), db_int((int64_t)size), db_int(d->dest), db_int(d->shard),
			db_int((int64_t)d->seq), db_text(d->reason), db_int(d->http_status), db_blob(answer), db_int(d->series),
			db_int(d->samples), db_int(d->min_ms), db_int(d->max_ms), db_int(sp_crc32c(0, d->body.p, d->body.n)),
			db_blob(d->body)));
	added(sp, &sp->dead, sender, size);
}

void evidence_expire(struct spool *sp, struct evidence *e, int64_t before_ms)
{
	for (int i = 0; i < EXPIRED_PER_STEP && e->rows && e->oldest_ms < before_ms && db_ok(sp->db); i++) {
		struct evidence_row row = {0};
		char *sender = NULL;
		sqlite3_stmt *st = db_query(sp->db,
			e->is_dead ? "SELECT id, size, samples, dest, at_ms, sender FROM dead ORDER BY id LIMIT 1"
				   : "SELECT id, size, 0, 0, at_ms, sender FROM quarantine ORDER BY id LIMIT 1",
			DB_NO_ARGS);
		while (db_next(sp->db, st)) {
			row = evidence_row(st);
			row.at_ms = sqlite3_column_int64(st, 4);
			sp_free(sender);
			sender = db_column_text(st, 5);
		}
		if (db_ok(sp->db))
			e->oldest_ms = row.at_ms;
		if (row.id && row.at_ms < before_ms)
			row_expire(sp, e, &row, sender);
		sp_free(sender);
	}
}
