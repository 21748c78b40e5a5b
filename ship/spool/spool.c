#include "ship/spool/spool.h"

#include "common/alloc.h"
#include "common/clock.h"
#include "common/crash.h"
#include "common/crc32c.h"
#include "common/lane.h"
#include "ship/spool/sources.h"
#include "ship/spool/spool_impl.h"

#include <stddef.h>
#include <stdio.h>

/* The terms of the books that have a row in `counter` (what is spooled is counted in `batch`). */
static const struct {
	const char *name;
	size_t at;
} counters[] = {
	{"accepted", offsetof(struct writer_totals, accepted)},
	{"delivered", offsetof(struct writer_totals, delivered)},
	{"dead_lettered", offsetof(struct writer_totals, dead_lettered)},
	{"expired", offsetof(struct writer_totals, expired)},
	{"dropped", offsetof(struct writer_totals, dropped)},
	{"merged", offsetof(struct writer_totals, merged)},
};

uint64_t *spool_counter(struct writer_totals *t, struct sp_bytes name)
{
	for (size_t i = 0; i < sizeof counters / sizeof *counters; i++)
		if (sp_eq(sp_str(counters[i].name), name))
			return (uint64_t *)((char *)t + counters[i].at);
	return NULL;
}

bool spool_is_new(const struct spool *sp)
{
	return sp->is_new;
}

const uint8_t *spool_id(const struct spool *sp)
{
	return sp->id;
}

const struct writer_totals *spool_totals(const struct spool *sp, uint32_t dest)
{
	SP_BUG_IF(dest == 0 || dest > sp->max_dest);
	return &sp->dests[dest].totals;
}

bool spool_knows(const struct spool *sp, const uint8_t key[16])
{
	return ledger_has(sp->ledger, key);
}

/* ---- references ---- */

uint64_t spool_ref(struct spool *sp, uint64_t payload, int32_t by)
{
	struct ref *ref = table_put(&sp->refs, &payload);
	SP_BUG_IF(by < 0 && ref->batches < (uint32_t)-by);
	uint64_t left = ref->batches += (uint64_t)by;
	if (!left)
		table_remove(&sp->refs, ref);
	return left;
}

/* ---- transactions ---- */

static void measure(struct spool *sp)
{
	struct sp_why why;
	int64_t pages = db_number(sp->db, "PRAGMA page_count", DB_NO_ARGS);
	int64_t unused = db_number(sp->db, "PRAGMA freelist_count", DB_NO_ARGS);
	if (db_end(sp->db, &why) == SP_OK)
		sp->used_bytes = (uint64_t)(pages - unused) * DB_PAGE_BYTES;
}

void spool_begin(struct spool *sp)
{
	SP_BUG_IF(!db_ok(sp->db)); /* else the failure of something earlier would be forgotten here */
	measure(sp);
	sp_crash_point("ship.before_begin");
	db_run(sp->db, "BEGIN IMMEDIATE", DB_NO_ARGS);
}

static void tx_clear(struct spool *sp)
{
	sp->tx.n_refs = sp->tx.n_keys = 0;
	sp->tx.n_made = 0;
	sp->tx.stored = sp->tx.settled = sp->tx.dead = sp->tx.evidence = false;
	sp->tx.reserved_bytes = 0;
}

void spool_rollback(struct spool *sp)
{
	db_rollback(sp->db);
	while (sp->tx.n_refs) {
		const struct ref_change *c = &sp->tx.refs[--sp->tx.n_refs];
		spool_ref(sp, c->payload, -c->by);
	}
	for (size_t i = 0; i < sp->n_changes; i++) {
		struct spool_dest *d = &sp->dests[sp->changes[i]];
		bool full = d->totals.full; /* the log has it */
		queue_add(sp, sp->changes[i], (int64_t)(d->committed.bytes - d->totals.bytes));
		d->totals = d->committed;
		d->totals.full = full;
		for (uint32_t s = 0; s < d->n_reached; s++) /* not taken back: too new does no harm */
			d->reached[s].written_ms = 0;
	}
	dests_forget_made(sp);
	/* next_seq goes on: numbers need not be dense, and batches of the failed attempt may be known to somebody. */
	if (sp->tx.evidence) {
		evidence_load(sp, &sp->quarantine);
		evidence_load(sp, &sp->dead);
		SP_BUG_IF(!db_ok(sp->db));
	}
	tx_clear(sp);
}

static void counter_write(struct spool *sp, uint32_t dest, const char *name, uint64_t value)
{
	db_run(sp->db,
		"INSERT INTO counter(dest, name, value) VALUES (?1, ?2, ?3) "
		"ON CONFLICT(dest, name) DO UPDATE SET value = excluded.value",
		DB_ARGS(db_int(dest), db_text(name), db_int((int64_t)value)));
}

static void write_reached(struct spool *sp, uint32_t dest)
{
	struct spool_dest *d = &sp->dests[dest];
	for (uint32_t shard = 0; shard < d->n_reached; shard++) {
		struct reached *r = &d->reached[shard];
		char name[sizeof REACHED + 11];
		if (r->ms == r->written_ms)
			continue;
		snprintf(name, sizeof name, REACHED "%u", (unsigned)shard);
		counter_write(sp, dest, name, (uint64_t)r->ms);
		r->written_ms = r->ms;
	}
}

/* The books go into the same transaction as what they are about. */
static void write_counters(struct spool *sp)
{
	if (sp->next_seq != sp->committed_seq)
		counter_write(sp, 0, "seq", sp->next_seq);
	for (size_t k = 0; k < sp->n_changes; k++) {
		struct spool_dest *d = &sp->dests[sp->changes[k]];
		for (size_t i = 0; i < sizeof counters / sizeof *counters; i++) {
			struct sp_bytes name = sp_str(counters[i].name);
			uint64_t now = *spool_counter(&d->totals, name);
			if (now != *spool_counter(&d->committed, name))
				counter_write(sp, sp->changes[k], counters[i].name, now);
		}
		write_reached(sp, sp->changes[k]);
	}
}

enum sp_status spool_commit(struct spool *sp, struct sp_why *why)
{
	write_counters(sp);
	if (sp->tx.stored)
		sp_crash_point("ship.before_commit");
	if (sp->tx.settled)
		sp_crash_point("ship.during_delete_commit");
	if (sp->tx.dead)
		sp_crash_point("ship.deadletter_before_commit");
	db_run(sp->db, "COMMIT", DB_NO_ARGS);
	if (!db_ok(sp->db))
		return db_status(sp->db, why);
	for (size_t i = 0; i < sp->tx.n_keys; i++)
		ledger_add(sp->ledger, sp->tx.keys[i]);
	for (size_t i = 0; i < sp->n_changes; i++)
		sp->dests[sp->changes[i]].committed = sp->dests[sp->changes[i]].totals;
	sp->committed_seq = sp->next_seq;
	evidence_committed(&sp->quarantine);
	evidence_committed(&sp->dead);
	tx_clear(sp);
	measure(sp);
	return SP_OK;
}

enum sp_status spool_end(struct spool *sp, struct sp_why *why)
{
	enum sp_status status = spool_commit(sp, why);
	if (status != SP_OK)
		spool_rollback(sp);
	return status;
}

static uint64_t tx_ref(struct spool *sp, uint64_t payload, int32_t by)
{
	sp->tx.refs = sp_grow(sp->tx.refs, sp->tx.n_refs, &sp->tx.cap_refs, sizeof *sp->tx.refs);
	sp->tx.refs[sp->tx.n_refs++] = (struct ref_change){payload, by};
	return spool_ref(sp, payload, by);
}

/* ---- store ---- */

/* Everything that identifies and delimits a batch. The flags are left out: they change. */
static uint32_t batch_crc(const struct batch *b, uint32_t slice_crc)
{
	const uint64_t fields[] = {b->seq, b->payload, b->dest, b->shard, b->off, b->len, b->raw_len, b->series, b->samples,
		(uint64_t)b->min_ms, (uint64_t)b->max_ms, (uint64_t)b->accepted_ms};
	return sp_crc32c(slice_crc, fields, sizeof fields);
}

bool batch_from_row(const struct spool *sp, sqlite3_stmt *st, struct batch *out, uint32_t *slice_crc)
{
	int c = 0;
	out->dest = (uint32_t)sqlite3_column_int64(st, c++);
	out->shard = (uint32_t)sqlite3_column_int64(st, c++);
	out->seq = (uint64_t)sqlite3_column_int64(st, c++);
	out->payload = (uint64_t)sqlite3_column_int64(st, c++);
	out->off = (uint32_t)sqlite3_column_int64(st, c++);
	out->len = (uint32_t)sqlite3_column_int64(st, c++);
	out->raw_len = (uint32_t)sqlite3_column_int64(st, c++);
	out->series = (uint32_t)sqlite3_column_int64(st, c++);
	out->samples = (uint32_t)sqlite3_column_int64(st, c++);
	out->min_ms = sqlite3_column_int64(st, c++);
	out->max_ms = sqlite3_column_int64(st, c++);
	out->flags = (uint32_t)sqlite3_column_int64(st, c++);
	out->accepted_ms = sqlite3_column_int64(st, c++);
	*slice_crc = (uint32_t)sqlite3_column_int64(st, c++);
	if (out->seq < sp->maybe_below)
		out->flags |= BATCH_MAYBE_DELIVERED;
	if (out->seq < sp->as_it_is_below)
		out->flags |= BATCH_AS_IT_IS;
	return batch_crc(out, *slice_crc) == (uint32_t)sqlite3_column_int64(st, c);
}

static void batch_insert(struct spool *sp, const struct batch *b, uint32_t slice_crc)
{
	db_run(sp->db,
		"INSERT INTO batch(" BATCH_COLUMNS ") "
		"VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15)",
		DB_ARGS(db_int(b->dest), db_int(b->shard), db_int((int64_t)b->seq), db_int((int64_t)b->payload), db_int(b->off),
			db_int(b->len), db_int(b->raw_len), db_int(b->series), db_int(b->samples), db_int(b->min_ms),
			db_int(b->max_ms), db_int(b->flags), db_int(b->accepted_ms), db_int(slice_crc),
			db_int(batch_crc(b, slice_crc))));
}

/* A slice that no receiver is asked to take. */
static void store_dead(struct spool *sp, const struct store_request *r, const struct store_group *g,
	const struct store_slice *s, uint32_t dest, const char *reason)
{
	char words[LANE_NAME_BYTES + 40] = "";
	if (reason != s->dead_reason)
		snprintf(words, sizeof words, *g->lane ? "lanes.max is reached, and no lane is %s" : "no usable name of a lane came", g->lane);
	const struct dead_letter d = {.dest = dest, .reason = reason, .answer = sp_str(words), .body = sp_bytes(g->bytes + s->off, s->len),
		.series = s->series, .samples = s->samples, .min_ms = s->min_ms, .max_ms = s->max_ms, .shard = s->shard};
	struct writer_totals *t = spool_change(sp, dest);
	t->accepted += s->samples;
	t->dead_lettered += s->samples;
	evidence_add_dead(sp, &d, r->key_name);
}

static struct batch store_batch(struct spool *sp, const struct store_request *r, const struct store_group *g,
	const struct store_slice *s, uint32_t dest, uint64_t payload)
{
	struct batch b = {.seq = sp->next_seq++, .payload = payload, .dest = dest, .shard = s->shard, .off = (uint32_t)s->off,
		.len = s->len, .raw_len = s->raw_len, .series = s->series, .samples = s->samples, .min_ms = s->min_ms,
		.max_ms = s->max_ms, .accepted_ms = r->received_ms};
	batch_insert(sp, &b, sp_crc32c(0, g->bytes + s->off, s->len));
	struct writer_totals *t = spool_change(sp, dest);
	t->accepted += b.samples;
	t->spooled += b.samples;
	t->batches++;
	queue_add(sp, dest, b.len + BATCH_ROW_BYTES);
	if (!t->oldest_ms || b.min_ms < t->oldest_ms)
		t->oldest_ms = b.min_ms;
	tx_ref(sp, payload, 1);
	return b;
}

static void payload_insert(struct spool *sp, const struct store_request *r, const struct store_group *g, uint64_t payload)
{
	db_run(sp->db, "INSERT INTO payload(id, crc, sender, info, body) VALUES (?1, ?2, ?3, ?4, ?5)",
		DB_ARGS(db_int((int64_t)payload), db_int(sp_crc32c(0, g->bytes, g->n)), db_text(r->key_name), db_blob(g->info),
			db_blob(sp_bytes(g->bytes, g->n))));
}

/* What the group's batches take of a queue. */
static uint64_t queue_bytes(const struct store_group *g)
{
	uint64_t n = 0;
	for (size_t i = 0; i < g->n_slices; i++)
		if (!g->slices[i].dead_reason)
			n += g->slices[i].len + BATCH_ROW_BYTES;
	return n;
}

/* What is in no slice. */
static void count_left_out(struct spool *sp, uint32_t dest, uint64_t merged, uint64_t dropped)
{
	struct writer_totals *t = spool_change(sp, dest);
	t->accepted += merged + dropped;
	t->merged += merged;
	t->dropped += dropped;
}

/* *payload: the row that the group's destinations share, 0 before there is one. */
static void store_for(struct spool *sp, const struct store_request *r, const struct store_group *g, uint32_t dest,
	uint64_t *payload, spool_batch_fn fn, void *arg)
{
	const char *dead = NULL; /* why there is no lane for it */
	uint32_t lane = g->lane ? spool_lane(sp, dest, g->lane, true, &dead) : dest, to = dead ? dest : lane;
	uint64_t bytes = dead ? 0 : queue_bytes(g);
	bool drop = bytes && queue_drops(sp, to) && !queue_takes(sp, to, bytes);
	count_left_out(sp, to, g->merged, g->dropped);
	for (size_t i = 0; i < g->n_slices && db_ok(sp->db); i++) {
		const struct store_slice *s = &g->slices[i];
		if (s->dead_reason || dead) {
			store_dead(sp, r, g, s, to, s->dead_reason ? s->dead_reason : dead);
			continue;
		}
		if (drop) {
			count_left_out(sp, to, 0, s->samples);
			continue;
		}
		if (!*payload)
			payload_insert(sp, r, g, *payload = sp->next_seq);
		struct batch b = store_batch(sp, r, g, s, to, *payload);
		if (db_ok(sp->db) && fn)
			fn(arg, &b, g);
	}
}

static void store_group(struct spool *sp, const struct store_request *r, const struct store_group *g, spool_batch_fn fn, void *arg)
{
	uint64_t payload = 0;
	for (size_t d = 0; d < g->n_dests; d++)
		store_for(sp, r, g, g->dests[d], &payload, fn, arg);
}

/* Does the delivery concern a queue that is full and refuses? */
static bool is_refused(struct spool *sp, const struct store_request *r)
{
	bool refused = false;
	const char *dead;
	for (size_t i = 0; i < r->n_groups; i++) {
		const struct store_group *g = &r->groups[i];
		uint64_t bytes = queue_bytes(g);
		for (size_t d = 0; d < g->n_dests && bytes; d++) {
			uint32_t to = g->lane ? spool_lane(sp, g->dests[d], g->lane, false, &dead) : g->dests[d];
			refused |= to && !queue_drops(sp, to) && !queue_takes(sp, to, bytes);
		}
	}
	return refused;
}

static bool slices_fit(const struct spool *sp, const struct store_request *r)
{
	for (size_t i = 0; i < r->n_groups; i++) {
		const struct store_group *g = &r->groups[i];
		if (g->n > UINT32_MAX)
			return false;
		for (size_t k = 0; k < g->n_slices; k++)
			if (g->slices[k].off > g->n || g->slices[k].len > g->n - g->slices[k].off)
				return false;
		for (size_t k = 0; k < g->n_dests; k++)
			SP_BUG_IF(g->dests[k] == 0 || g->dests[k] > sp->max_dest);
	}
	return true;
}

static uint64_t store_size(const struct store_request *r)
{
	uint64_t n = STORE_OVERHEAD_BYTES;
	for (size_t i = 0; i < r->n_groups; i++)
		n += r->groups[i].n + r->groups[i].info.n + (r->groups[i].lane ? BATCH_ROW_BYTES : DB_PAGE_BYTES); /* lanes are small, and many */
	for (size_t i = 0; i < r->n_quarantine; i++)
		n += r->quarantine[i].bytes.n;
	return n;
}

static bool is_known(const struct spool *sp, const uint8_t key[LEDGER_KEY_BYTES])
{
	for (size_t i = 0; i < sp->tx.n_keys; i++)
		if (memcmp(sp->tx.keys[i], key, LEDGER_KEY_BYTES) == 0)
			return true;
	return ledger_has(sp->ledger, key);
}

static void remember_key(struct spool *sp, const uint8_t key[LEDGER_KEY_BYTES])
{
	db_run(sp->db, "INSERT INTO accepted(key, at_s) VALUES (?1, ?2)",
		DB_ARGS(db_blob(sp_bytes(key, LEDGER_KEY_BYTES)), db_int(sp_wall_ms() / 1000)));
	sp->tx.keys = sp_grow(sp->tx.keys, sp->tx.n_keys, &sp->tx.cap_keys, sizeof *sp->tx.keys);
	memcpy(sp->tx.keys[sp->tx.n_keys++], key, LEDGER_KEY_BYTES);
}

static void store_all(struct spool *sp, const struct store_request *r, spool_batch_fn fn, void *arg)
{
	sp->tx.stored = true;
	sp->tx.reserved_bytes += store_size(r);
	for (size_t i = 0; i < r->n_groups; i++)
		store_group(sp, r, &r->groups[i], fn, arg);
	for (size_t i = 0; i < r->n_quarantine; i++)
		evidence_add_quarantine(sp, r, &r->quarantine[i]);
	if (!r->bypass_ledger)
		remember_key(sp, r->key);
	sp_crash_point("ship.after_insert");
}

void spool_store(struct spool *sp, const struct store_request *r, spool_batch_fn fn, void *arg, enum store_result *result)
{
	if (r->notes_source)
		source_write(sp, r->source_arn, r->received_ms);
	if (!r->bypass_ledger && is_known(sp, r->key)) {
		*result = STORE_DUPLICATE;
	} else if (!slices_fit(sp, r)) {
		*result = STORE_ERROR;
	} else if (sp->free_bytes < sp->min_free_bytes ||
		sp->used_bytes + sp->tx.reserved_bytes + store_size(r) > sp->max_bytes) {
		*result = STORE_FULL;
		sp->full = true; /* until the low mark, unless it is far below it: then this one delivery was too large */
	} else if (is_refused(sp, r)) {
		*result = STORE_FULL;
	} else {
		*result = STORE_COMMITTED;
		store_all(sp, r, fn, arg);
	}
}

void spool_replay(struct spool *sp, const struct dead_letter *d, const char *sender, uint32_t raw_len, spool_batch_fn fn, void *arg)
{
	struct spool_dest *dest = &sp->dests[d->dest];
	struct store_slice slice = {.shard = d->shard % (uint32_t)dest->shards, .len = (uint32_t)d->body.n, .raw_len = raw_len,
		.series = d->series, .samples = d->samples, .min_ms = d->min_ms, .max_ms = d->max_ms};
	const struct store_group g = {
		.bytes = d->body.p, .n = d->body.n, .slices = &slice, .n_slices = 1, .dests = &d->dest, .n_dests = 1};
	const struct store_request r = {.key_name = sender, .received_ms = sp_wall_ms()};
	uint64_t payload = sp->next_seq;
	sp->tx.stored = true;
	sp->tx.reserved_bytes += d->body.n + DB_PAGE_BYTES;
	payload_insert(sp, &r, &g, payload);
	struct batch b = store_batch(sp, &r, &g, &slice, d->dest, payload);
	spool_change(sp, d->dest)->accepted -= d->samples; /* they were accepted when they came */
	if (db_ok(sp->db) && fn)
		fn(arg, &b, &g);
}

/* ---- settle ---- */

uint64_t spool_remove(struct spool *sp, const struct batch *b)
{
	if (db_run(sp->db, "DELETE FROM batch WHERE dest = ?1 AND shard = ?2 AND seq = ?3",
		    DB_ARGS(db_int(b->dest), db_int(b->shard), db_int((int64_t)b->seq))) == 0)
		return 0;
	struct writer_totals *t = spool_change(sp, b->dest);
	t->spooled -= b->samples;
	if (--t->batches == 0)
		t->oldest_ms = 0;
	queue_add(sp, b->dest, t->batches ? -(int64_t)(b->len + BATCH_ROW_BYTES) : -(int64_t)t->bytes);
	if (b->payload == 0 || tx_ref(sp, b->payload, -1) > 0)
		return b->samples;
	db_run(sp->db, "DELETE FROM payload WHERE id = ?1", DB_ARGS(db_int((int64_t)b->payload)));
	if (sp->noted)
		db_run(sp->db, "DELETE FROM decoding WHERE payload = ?1", DB_ARGS(db_int((int64_t)b->payload)));
	return b->samples;
}

/* The access key that sent the payload; "" when that cannot be read. The caller frees it. */
static char *payload_sender(struct spool *sp, uint64_t payload)
{
	char *sender = NULL;
	sqlite3_stmt *st = db_query(
		sp->db, "SELECT sender FROM payload WHERE id = ?1 AND sender IS NOT NULL", DB_ARGS(db_int((int64_t)payload)));
	while (db_next(sp->db, st)) {
		sp_free(sender);
		sender = db_column_text(st, 0);
	}
	return sender ? sender : sp_strdup("");
}

void spool_settle(struct spool *sp, const struct batch *batches, size_t n, uint64_t delivered, const struct dead_letter *dead,
	size_t n_dead)
{
	SP_BUG_IF(n == 0 || batches[0].dest == 0 || batches[0].dest > sp->max_dest);
	struct writer_totals *t = spool_change(sp, batches[0].dest);
	uint64_t removed = 0, buried = 0;
	sp->tx.settled = true;
	char *sender = n_dead ? payload_sender(sp, batches[0].payload) : NULL;
	bool reaches = delivered > 0;
	for (size_t i = 0; i < n_dead; i++) /* they were sent, and may be there */
		reaches |= strcmp(dead[i].reason, "maybe_duplicate") == 0;
	for (size_t i = 0; i < n; i++) {
		SP_BUG_IF(batches[i].dest != batches[0].dest);
		removed += spool_remove(sp, &batches[i]);
		struct reached *r = reaches ? dest_reached_of(sp, batches[i].dest, batches[i].shard) : NULL;
		if (r && batches[i].max_ms > r->ms)
			r->ms = batches[i].max_ms;
	}
	for (size_t i = 0; i < n_dead; i++)
		buried += dead[i].samples;
	/* Less was removed than the caller speaks of only when a damaged row had been set aside meanwhile: it is counted already. */
	buried = buried < removed ? buried : removed;
	delivered = delivered < removed - buried ? delivered : removed - buried;
	t->dead_lettered += buried;
	t->delivered += delivered;
	t->merged += removed - buried - delivered;
	for (size_t i = 0; i < n_dead && removed; i++)
		evidence_add_dead(sp, &dead[i], sender);
	sp_free(sender);
}

void spool_mark_maybe(struct spool *sp, const struct batch *batches, size_t n)
{
	for (size_t i = 0; i < n; i++)
		db_run(sp->db, "UPDATE batch SET flags = flags | ?4 WHERE dest = ?1 AND shard = ?2 AND seq = ?3",
			DB_ARGS(db_int(batches[i].dest), db_int(batches[i].shard), db_int((int64_t)batches[i].seq),
				db_int(BATCH_MAYBE_DELIVERED)));
}
