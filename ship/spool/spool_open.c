/* Start and stop of the spool: whose file it is, what it can be trusted with, what an earlier process left behind. */
#include "ship/spool/spool.h"

#include "common/alloc.h"
#include "common/clock.h"
#include "common/crash.h"
#include "common/log.h"
#include "ship/spool/spool_impl.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#define APPLICATION_ID 0x53505053 /* "SPPS" */
#define SETTLING_EXTRA_BYTES (64u << 20) /* above spool.max and the evidence: only settling may use it */
#define STRIKES 3
#define DAMAGE_IS_REAL 2 /* times it was met, without a clean stop in between */
#define EVIDENCE_SHARE 4 /* quarantine and dead letters: at most this part of the spool each */

/* Step i brings user_version from i to i + 1. Steps are only ever added, and only ever add to the schema, so that the previous release
 * can open the file again as long as user_version did not change. */
static const char *const schema_steps[] = {
	"CREATE TABLE meta(key TEXT PRIMARY KEY, value) WITHOUT ROWID;"
	"CREATE TABLE dest(id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, shards INTEGER NOT NULL);"
	"CREATE TABLE counter(dest INTEGER, name TEXT, value INTEGER NOT NULL, PRIMARY KEY(dest, name)) WITHOUT ROWID;"
	/* One per delivery and mapping group, with the slices of all shards; info: type, unit and help, when known. */
	"CREATE TABLE payload(id INTEGER PRIMARY KEY, crc INTEGER NOT NULL, sender TEXT, info BLOB, body BLOB);"
	"CREATE TABLE batch(dest INTEGER, shard INTEGER, seq INTEGER, payload INTEGER NOT NULL, off INTEGER NOT NULL, "
	"len INTEGER NOT NULL, raw_len INTEGER NOT NULL, series INTEGER NOT NULL, samples INTEGER NOT NULL, min_ms INTEGER NOT NULL, "
	"max_ms INTEGER NOT NULL, flags INTEGER NOT NULL, lane TEXT, accepted_ms INTEGER NOT NULL, slice_crc INTEGER NOT NULL, "
	"row_crc INTEGER NOT NULL, PRIMARY KEY(dest, shard, seq)) WITHOUT ROWID;"
	/* Append-only: random keys as an index would dirty a page per delivery. The set lives in memory. */
	"CREATE TABLE accepted(n INTEGER PRIMARY KEY, key BLOB NOT NULL, at_s INTEGER NOT NULL);"
	"CREATE TABLE decoding(payload INTEGER PRIMARY KEY, strikes INTEGER NOT NULL, active INTEGER NOT NULL);"
	"CREATE TABLE quarantine(id INTEGER PRIMARY KEY AUTOINCREMENT, at_ms INTEGER NOT NULL, sender TEXT NOT NULL, "
	"size INTEGER NOT NULL, source_arn TEXT, request_id TEXT, reason TEXT NOT NULL, record INTEGER, offset INTEGER, "
	"pieces INTEGER, text TEXT, do_not_parse INTEGER NOT NULL, crc INTEGER NOT NULL, body BLOB);"
	"CREATE INDEX quarantine_sender ON quarantine(sender, id, size);"
	"CREATE TABLE dead(id INTEGER PRIMARY KEY AUTOINCREMENT, at_ms INTEGER NOT NULL, sender TEXT NOT NULL, "
	"size INTEGER NOT NULL, dest INTEGER NOT NULL, shard INTEGER, seq INTEGER, reason TEXT NOT NULL, http_status INTEGER, "
	"answer BLOB, series INTEGER, samples INTEGER NOT NULL, min_ms INTEGER, max_ms INTEGER, crc INTEGER NOT NULL, body BLOB);"
	"CREATE INDEX dead_sender ON dead(sender, id, size);",
	/* What a piece needs to be converted again: what it is by itself, and the common attributes of its delivery. */
	"ALTER TABLE quarantine ADD COLUMN form INTEGER NOT NULL DEFAULT 0;"
	"ALTER TABLE quarantine ADD COLUMN attributes BLOB;",
};
#define SCHEMA_VERSION ((int64_t)(sizeof schema_steps / sizeof *schema_steps))

/* ---- the directory ---- */

const char *spool_path(const struct spool *sp, const char *name, char out[SPOOL_PATH_BYTES])
{
	snprintf(out, SPOOL_PATH_BYTES, "%s/%s", sp->dir, name);
	return out;
}

/* One process at a time, also between those that read. */
static enum sp_status take_lock(struct spool *sp, struct sp_why *why)
{
	char path[SPOOL_PATH_BYTES];
	sp->lock_fd = open(spool_path(sp, "lock", path), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (sp->lock_fd < 0)
		return sp_fail(why, SP_IO, "%s: %s", path, strerror(errno));
	if (flock(sp->lock_fd, LOCK_EX | LOCK_NB) != 0)
		return sp_fail(why, SP_LOCKED, "spool %s is in use by another process", sp->dir);
	return SP_OK;
}

/* A new file is as durable as its name. */
static enum sp_status sync_directory(const struct spool *sp, struct sp_why *why)
{
	int fd = open(sp->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	enum sp_status status = fd >= 0 && fsync(fd) == 0 ? SP_OK : sp_fail(why, SP_IO, "sync %s: %s", sp->dir, strerror(errno));
	if (fd >= 0)
		close(fd);
	return status;
}

/* ---- schema and meta ---- */

static enum sp_status migrate(struct spool *sp, struct sp_why *why)
{
	int64_t version = db_number(sp->db, "PRAGMA user_version", DB_NO_ARGS);
	int64_t application = db_number(sp->db, "PRAGMA application_id", DB_NO_ARGS);
	int64_t tables = db_number(sp->db, "SELECT count(*) FROM sqlite_schema", DB_NO_ARGS);
	enum sp_status status = db_end(sp->db, why);
	if (status != SP_OK)
		return status;
	bool is_new = version == 0 && tables == 0;
	if (sp->read_only && is_new)
		return sp_fail(why, SP_NOT_FOUND, "%s/spool.db is empty", sp->dir);
	if (!is_new && application != APPLICATION_ID)
		return sp_fail(why, SP_CONFIG, "%s/spool.db is not a spool of standpipe", sp->dir);
	if (version > SCHEMA_VERSION)
		return sp_fail(why, SP_CONFIG, "the spool has schema %" PRId64 ", this release knows %" PRId64 ": install the newer release",
			version, SCHEMA_VERSION);
	if (version == SCHEMA_VERSION || sp->read_only)
		return SP_OK;
	char text[96];
	snprintf(text, sizeof text, "PRAGMA application_id=%d; PRAGMA user_version=%" PRId64 ";", APPLICATION_ID, SCHEMA_VERSION);
	db_script(sp->db, "BEGIN IMMEDIATE");
	for (int64_t v = version; v < SCHEMA_VERSION; v++)
		db_script(sp->db, schema_steps[v]);
	db_script(sp->db, text);
	sp_crash_point("ship.at_open_new_db");
	db_script(sp->db, "COMMIT");
	return db_status(sp->db, why);
}

static void meta_put(struct spool *sp, const char *key, struct db_value value)
{
	db_run(sp->db, "INSERT OR REPLACE INTO meta(key, value) VALUES (?1, ?2)", DB_ARGS(db_text(key), value));
}

static int64_t meta_number(struct spool *sp, const char *key)
{
	return db_number(sp->db, "SELECT value FROM meta WHERE key = ?1", DB_ARGS(db_text(key)));
}

/* ---- what is there ---- */

static bool reached_shard(struct sp_bytes name, unsigned *shard)
{
	return sp_starts(name, SP_LIT(REACHED)) && sscanf((const char *)name.p + sizeof REACHED - 1, "%u", shard) == 1 && *shard < SHARDS_MAX;
}

static void load_dests(struct spool *sp)
{
	sqlite3_stmt *st = db_query(sp->db, "SELECT id, name, shards FROM dest ORDER BY id", DB_NO_ARGS);
	while (db_next(sp->db, st)) {
		int64_t id = sqlite3_column_int64(st, 0);
		if (id < 1 || id > 2 * DEST_ID_MAX) { /* those of the configuration come on top */
			db_fail(sp->db, SP_BAD_DATA, "a destination has an impossible id");
			continue;
		}
		dest_add(sp, (uint32_t)id, db_column_bytes(st, 1))->shards = sqlite3_column_int64(st, 2);
	}
	st = db_query(sp->db, "SELECT dest, name, value FROM counter", DB_NO_ARGS);
	while (db_next(sp->db, st)) {
		uint32_t dest = (uint32_t)sqlite3_column_int64(st, 0);
		struct sp_bytes name = db_column_bytes(st, 1);
		uint64_t value = (uint64_t)sqlite3_column_int64(st, 2);
		uint64_t *term = dest == 0 ? &sp->next_seq
			: dest <= sp->max_dest ? spool_counter(&sp->dests[dest].totals, name)
					       : NULL;
		unsigned shard;
		if (term)
			*term = value;
		else if (dest > 0 && dest <= sp->max_dest && reached_shard(name, &shard))
			*dest_reached_of(sp, dest, shard) = (struct reached){(int64_t)value, (int64_t)value};
	}
}

/* One pass over the small rows; payloads are not touched. */
static void load_batches(struct spool *sp)
{
	sqlite3_stmt *st = db_query(sp->db, "SELECT dest, seq, payload, samples, len FROM batch", DB_NO_ARGS);
	while (db_next(sp->db, st)) {
		uint32_t dest = (uint32_t)sqlite3_column_int64(st, 0);
		uint64_t seq = (uint64_t)sqlite3_column_int64(st, 1), payload = (uint64_t)sqlite3_column_int64(st, 2);
		if (dest == 0 || dest > sp->max_dest || payload == 0)
			continue; /* damaged; nobody will ask for it */
		spool_ref(sp, payload, 1);
		struct writer_totals *t = &sp->dests[dest].totals;
		t->spooled += (uint64_t)sqlite3_column_int64(st, 3);
		t->batches++;
		t->bytes += (uint64_t)sqlite3_column_int64(st, 4) + BATCH_ROW_BYTES;
		if (seq >= sp->next_seq)
			sp->next_seq = seq + 1;
	}
	for (uint32_t d = 1; d <= sp->max_dest; d++) {
		sp->dests[d].committed = sp->dests[d].totals;
		spool_change(sp, d);
	}
	sp->committed_seq = sp->next_seq;
}

static void load_keys(struct spool *sp)
{
	sqlite3_stmt *st = db_query(sp->db, "SELECT key FROM accepted", DB_NO_ARGS);
	while (db_next(sp->db, st)) {
		struct sp_bytes key = db_column_bytes(st, 0);
		if (key.n == LEDGER_KEY_BYTES)
			ledger_add(sp->ledger, key.p);
	}
}

/* Series would change their shard with the number of shards, and overtake themselves: so that changes only while nothing waits. */
static enum sp_status set_shards(struct spool *sp, uint32_t id, const struct dest_settings *s, struct sp_why *why)
{
	struct spool_dest *d = &sp->dests[id];
	if (d->shards != s->shards && d->totals.batches)
		return sp_fail(why, SP_CONFIG,
			"destinations.%s.shards is %" PRId64 ", but %" PRIu64 " batches of %s wait in %" PRId64
			" shards; set it back until they are delivered",
			s->name, s->shards, d->totals.batches, d->name, d->shards);
	if (d->shards != s->shards) {
		db_run(sp->db, "UPDATE dest SET shards = ?2 WHERE id = ?1", DB_ARGS(db_int(id), db_int(s->shards)));
		dest_mix_reached(sp, id, (uint32_t)s->shards);
	}
	d->shards = s->shards;
	return SP_OK;
}

/* Lanes that there are already. Those of a destination that has none now keep what they have, like those of one that is gone. */
static enum sp_status register_lanes(struct spool *sp, struct sp_why *why)
{
	enum sp_status status = SP_OK;
	for (uint32_t id = 1; id <= sp->max_dest && status == SP_OK; id++) {
		const char *name = spool_dest_name(sp, id), *slash = strchr(name, '/');
		char *whole = slash ? sp_strndup(name, (size_t)(slash - name)) : NULL;
		uint32_t of = whole ? spool_dest_id(sp, whole) : 0;
		sp_free(whole);
		if (!of || !sp->dests[of].settings || !sp->dests[of].settings->lanes_by)
			continue;
		status = set_shards(sp, id, sp->dests[of].settings, why);
		dest_adopt_lane(sp, id, of);
	}
	return status;
}

/* Destinations of the configuration get an id for ever. */
static enum sp_status register_dests(struct spool *sp, const struct settings *s, struct sp_why *why)
{
	enum sp_status status = SP_OK;
	for (size_t i = 0; i < s->n_dests && status == SP_OK; i++) {
		const struct dest_settings *dest = &s->dests[i];
		uint32_t id = spool_dest_id(sp, dest->name);
		if (!id)
			id = dest_make(sp, dest->name, dest->shards);
		status = set_shards(sp, id, dest, why);
		sp->dests[id].settings = dest;
		spool_change(sp, id)->queue_max = (uint64_t)dest->queue_max;
	}
	if (status == SP_OK)
		status = register_lanes(sp, why);
	return status == SP_OK ? db_status(sp->db, why) : status;
}

/* What was being decoded when the process died, and died of it too often. */
static enum sp_status set_poison_aside(struct spool *sp, struct sp_why *why)
{
	for (;;) {
		int64_t payload =
			db_number(sp->db, "SELECT payload FROM decoding WHERE strikes >= ?1 LIMIT 1", DB_ARGS(db_int(STRIKES)));
		enum sp_status status = payload ? spool_set_aside(sp, (uint64_t)payload, "crash", why) : db_end(sp->db, why);
		if (status != SP_OK || !payload)
			return status;
		db_run(sp->db, "DELETE FROM decoding WHERE payload = ?1", DB_ARGS(db_int(payload)));
	}
}

/* One transaction says "in use": whatever comes after it without a clean stop is unclean. */
static enum sp_status start(struct spool *sp, const struct settings *s, struct sp_why *why)
{
	static const uint8_t none[sizeof sp->id];
	sp->is_new = memcmp(sp->id, none, sizeof none) == 0; /* it has a schema, but was never in use */
	spool_begin(sp);
	bool unclean = !meta_number(sp, "clean") && !sp->is_new;
	sp->maybe_below = unclean ? sp->next_seq : (uint64_t)meta_number(sp, "maybe_below");
	if (sp->is_new) {
		SP_BUG_IF(getrandom(sp->id, sizeof sp->id, 0) != (ssize_t)sizeof sp->id);
		meta_put(sp, "spool_id", db_blob(sp_bytes(sp->id, sizeof sp->id)));
	}
	meta_put(sp, "clean", db_int(0));
	meta_put(sp, "maybe_below", db_int((int64_t)sp->maybe_below));
	int64_t deaths = unclean ? meta_number(sp, "deaths") + 1 : 0;
	meta_put(sp, "deaths", db_int(deaths));
	sp->died_ms = unclean ? sp_mono_now().ms : 0;
	sp->as_it_is_below = deaths >= STRIKES ? sp->next_seq : 0;
	enum sp_status status = register_dests(sp, s, why);
	if (status != SP_OK)
		return status;
	if (unclean)
		db_run(sp->db, "UPDATE decoding SET strikes = strikes + 1 WHERE active = 1", DB_NO_ARGS);
	db_run(sp->db, "UPDATE decoding SET active = 0 WHERE active = 1", DB_NO_ARGS);
	return spool_end(sp, why);
}

static enum sp_status load(struct spool *sp, struct sp_why *why)
{
	sqlite3_stmt *st = db_query(sp->db, "SELECT value FROM meta WHERE key = 'spool_id'", DB_NO_ARGS);
	while (db_next(sp->db, st)) {
		struct sp_bytes id = db_column_bytes(st, 0);
		if (id.n == sizeof sp->id)
			memcpy(sp->id, id.p, sizeof sp->id);
	}
	load_dests(sp);
	load_batches(sp);
	load_keys(sp);
	evidence_load(sp, &sp->quarantine);
	evidence_load(sp, &sp->dead);
	return db_end(sp->db, why);
}

/* ---- damage that was met while running ---- */

#define DAMAGED "damaged" /* a file with a line for each time */

void spool_note_damage(const struct spool *sp, const struct sp_why *why)
{
	char path[SPOOL_PATH_BYTES];
	FILE *f = fopen(spool_path(sp, DAMAGED, path), "a");
	if (!f)
		return;
	fprintf(f, "%s\n", why->text);
	fclose(f);
}

static void forget_damage(const struct spool *sp)
{
	char path[SPOOL_PATH_BYTES];
	unlink(spool_path(sp, DAMAGED, path));
}

static enum sp_status check_noted_damage(const struct spool *sp, struct sp_why *why)
{
	char path[SPOOL_PATH_BYTES], line[sizeof why->text] = "";
	int times = 0;
	FILE *f = fopen(spool_path(sp, DAMAGED, path), "r");
	while (f && fgets(line, sizeof line, f))
		times++;
	if (f)
		fclose(f);
	return times < DAMAGE_IS_REAL ? SP_OK : sp_fail(why, SP_BAD_DATA, "found damaged while it ran: %.300s", line);
}

/* ---- open and close ---- */

static struct spool *spool_new(const struct settings *s, bool read_only)
{
	struct spool *sp = sp_new(struct spool);
	uint64_t max = (uint64_t)s->spool_max, evidence = (uint64_t)s->spool_evidence_max;
	sp->dir = sp_strdup(s->spool_dir);
	sp->lock_fd = -1;
	sp->read_only = read_only;
	sp->max_bytes = max;
	sp->low_bytes = max - max / 16;
	sp->min_free_bytes = (uint64_t)s->spool_min_free;
	sp->free_bytes = UINT64_MAX;
	sp->dedupe_s = s->spool_dedupe / 1000;
	sp->evidence_age_ms = s->spool_evidence_age;
	sp->next_seq = 1;
	sp->refs = (struct table){.key_bytes = sizeof(uint64_t), .entry_bytes = sizeof(struct ref)};
	sp->ledger = ledger_new();
	dests_init(sp);
	sp->dead.is_dead = true;
	sp->quarantine.max_bytes = sp->dead.max_bytes = evidence < max / EVIDENCE_SHARE ? evidence : max / EVIDENCE_SHARE;
	return sp;
}

static void spool_free(struct spool **spp)
{
	struct spool *sp = *spp;
	db_close(&sp->db);
	if (sp->lock_fd >= 0)
		close(sp->lock_fd);
	dests_free(sp);
	evidence_clear(&sp->quarantine);
	evidence_clear(&sp->dead);
	table_free(&sp->refs);
	ledger_free(&sp->ledger);
	sp_free(sp->tx.refs);
	sp_free(sp->tx.keys);
	sp_free(sp->dir);
	sp_free(sp);
	*spp = NULL;
}

enum sp_status spool_exists(const struct settings *s, struct sp_why *why)
{
	char path[4096];
	snprintf(path, sizeof path, "%s/spool.db", s->spool_dir);
	return access(path, F_OK) == 0 ? SP_OK : sp_fail(why, SP_NOT_FOUND, "there is no spool: %s: %s", path, strerror(errno));
}

static enum sp_status open_files(struct spool *sp, const struct settings *s, struct sp_why *why)
{
	char path[SPOOL_PATH_BYTES];
	if (!sp->read_only && mkdir(sp->dir, 0700) != 0 && errno != EEXIST)
		return sp_fail(why, SP_IO, "%s: %s", sp->dir, strerror(errno));
	const char *fs = s->spool_allow_volatile || sp->read_only ? NULL : volatile_fs(sp->dir);
	if (fs)
		return sp_fail(why, SP_CONFIG,
			"spool.dir %s lies on %s, where what was answered 200 could be lost; give it a volume (or set spool.allow_volatile for a test)",
			sp->dir, fs);
	enum sp_status status = sp->read_only ? spool_exists(s, why) : SP_OK;
	if (status == SP_OK)
		status = take_lock(sp, why);
	if (status == SP_OK)
		status = db_open(spool_path(sp, "spool.db", path),
			sp->max_bytes + sp->quarantine.max_bytes + sp->dead.max_bytes + SETTLING_EXTRA_BYTES, sp->read_only,
			&sp->db, why);
	if (status == SP_OK && !sp->read_only)
		status = check_noted_damage(sp, why);
	return status == SP_OK ? migrate(sp, why) : status;
}

static enum sp_status recover(struct spool *sp, const struct settings *s, struct sp_why *why)
{
	/* After a failed sync the kernel may hold pages that never reached the disk and look written. What is appended behind them would
	 * be lost with them; so the log is emptied first, with a sync of the database. */
	enum sp_status status = db_checkpoint(sp->db, true, why);
	if (status == SP_OK)
		status = sync_directory(sp, why);
	if (status == SP_OK)
		status = load(sp, why);
	if (status == SP_OK)
		status = start(sp, s, why);
	if (status == SP_OK)
		status = set_poison_aside(sp, why);
	return status == SP_OK ? spool_tick(sp, why) : status;
}

/* A database that cannot be opened makes room for a new one, and is kept for whoever can salvage it. */
static enum sp_status keep_damaged_file(const struct spool *sp, const struct sp_why *damage, struct sp_why *why)
{
	char from[4096], to[4096];
	int64_t now_ms = sp_wall_ms();
	forget_damage(sp); /* first: it must not be taken for the new file's */
	static const char *const parts[] = {"-wal", ""};
	for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
		snprintf(from, sizeof from, "%s/spool.db%s", sp->dir, parts[i]);
		snprintf(to, sizeof to, "%s/spool.corrupt-%" PRId64 ".db%s", sp->dir, now_ms, parts[i]);
		sp_crash_point("ship.at_rename_corrupt");
		if (rename(from, to) != 0 && errno != ENOENT)
			return sp_fail(why, SP_IO, "rename %s: %s", from, strerror(errno));
	}
	sp_log(SP_LOG_ERROR, "spool.damaged", sp_f_str("kept_as", to), sp_f_str("msg", damage->text), SP_LOG_END);
	return SP_OK;
}

enum sp_status spool_open(const struct settings *s, struct spool **out, struct sp_why *why)
{
	enum sp_status status = SP_BAD_DATA;
	for (int attempt = 0; attempt < 2 && status == SP_BAD_DATA; attempt++) {
		struct spool *sp = spool_new(s, false);
		status = open_files(sp, s, why);
		if (status == SP_OK)
			status = recover(sp, s, why);
		if (status == SP_OK) {
			*out = sp;
			return SP_OK;
		}
		struct sp_why damage = *why;
		db_close(&sp->db);
		if (status == SP_BAD_DATA && keep_damaged_file(sp, &damage, why) != SP_OK)
			status = SP_IO;
		spool_free(&sp);
	}
	return status;
}

enum sp_status spool_open_to_read(const struct settings *s, struct spool **out, struct sp_why *why)
{
	struct spool *sp = spool_new(s, true);
	enum sp_status status = open_files(sp, s, why);
	if (status == SP_OK) {
		load_dests(sp);
		status = db_end(sp->db, why);
	}
	if (status != SP_OK) {
		spool_free(&sp);
		return status;
	}
	*out = sp;
	return SP_OK;
}

enum sp_status spool_close(struct spool **spp, struct sp_why *why)
{
	struct spool *sp = *spp;
	enum sp_status status = SP_OK;
	if (!sp->read_only) {
		spool_begin(sp);
		meta_put(sp, "clean", db_int(1));
		db_run(sp->db, "DELETE FROM decoding", DB_NO_ARGS);
		status = spool_end(sp, why);
		if (status == SP_OK)
			status = db_checkpoint(sp->db, true, why);
		if (status == SP_OK)
			forget_damage(sp);
	}
	spool_free(spp);
	return status;
}
