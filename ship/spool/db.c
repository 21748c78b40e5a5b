#include "ship/spool/db.h"

#include "common/alloc.h"
#include "common/crash.h"

#include <inttypes.h>
#include <stdio.h>

#define STATEMENTS 128 /* slots of the table of prepared statements; a power of two */

struct db {
	sqlite3 *handle;
	struct {
		const char *sql;
		sqlite3_stmt *st;
	} prepared[STATEMENTS];
	int wal_pages;
	struct sp_why failure; /* the first one; SP_OK: none */
	bool refused;          /* a statement came after it */
};

/* Set in this order, then read back. The first two count only before the first table is made, locking_mode only before WAL (then
 * there is no shared memory file, and a second process is refused instead of let in). */
static const struct {
	const char *name, *value, *reads;
} pragmas[] = {
	{"page_size", "16384", "16384"},
	{"auto_vacuum", "INCREMENTAL", "2"},
	{"locking_mode", "EXCLUSIVE", "exclusive"},
	{"journal_mode", "WAL", "wal"},
	{"synchronous", "FULL", "2"},
	{"wal_autocheckpoint", "0", "0"},
	{"journal_size_limit", "16777216", "16777216"},
	{"secure_delete", "OFF", "0"}, /* else every page that is freed is zeroed and logged */
	{"cache_size", "-8192", "-8192"},
	{"temp_store", "MEMORY", "2"},
	{"foreign_keys", "OFF", "0"},
	{"cell_size_check", "ON", "1"},
	{"trusted_schema", "OFF", "0"},
};

static enum sp_status failed(const struct db *db, int rc, const char *what, struct sp_why *why)
{
	static const struct {
		int code;
		enum sp_status status;
	} known[] = {{SQLITE_FULL, SP_FULL}, {SQLITE_NOMEM, SP_NO_MEM}, {SQLITE_BUSY, SP_LOCKED}, {SQLITE_LOCKED, SP_LOCKED},
		{SQLITE_CORRUPT, SP_BAD_DATA}, {SQLITE_NOTADB, SP_BAD_DATA}};
	enum sp_status status = SP_IO;
	for (size_t i = 0; i < sizeof known / sizeof *known; i++)
		if (known[i].code == (rc & 0xff))
			status = known[i].status;
	return sp_fail(why, status, "%s: %s (SQLite code %d)", what, db ? sqlite3_errmsg(db->handle) : sqlite3_errstr(rc), rc);
}

static int logged(void *arg, sqlite3 *handle, const char *name, int pages)
{
	struct db *db = arg;
	(void)handle, (void)name;
	db->wal_pages = pages;
	return SQLITE_OK;
}

/* Runs one pragma that is built at run time, and copies its first column. */
static enum sp_status pragma(struct db *db, const char *text, char *out, size_t n, struct sp_why *why)
{
	sqlite3_stmt *st = NULL;
	int rc = sqlite3_prepare_v2(db->handle, text, -1, &st, NULL);
	if (rc == SQLITE_OK)
		rc = sqlite3_step(st);
	if (rc == SQLITE_ROW && out)
		snprintf(out, n, "%s", sqlite3_column_text(st, 0));
	enum sp_status status = rc == SQLITE_ROW || rc == SQLITE_DONE ? SP_OK : failed(db, rc, text, why);
	sqlite3_finalize(st);
	return status;
}

static enum sp_status set_pragmas(struct db *db, uint64_t max_bytes, struct sp_why *why)
{
	char text[128], reads[64];
	enum sp_status status = SP_OK;
	for (size_t i = 0; i < sizeof pragmas / sizeof *pragmas && status == SP_OK; i++) {
		snprintf(text, sizeof text, "PRAGMA %s=%s", pragmas[i].name, pragmas[i].value);
		status = pragma(db, text, NULL, 0, why);
	}
	for (size_t i = 0; i < sizeof pragmas / sizeof *pragmas && status == SP_OK; i++) {
		snprintf(text, sizeof text, "PRAGMA %s", pragmas[i].name);
		status = pragma(db, text, reads, sizeof reads, why);
		if (status == SP_OK && strcmp(reads, pragmas[i].reads) != 0)
			return sp_fail(why, SP_IO, "SQLite has %s=%s, and %s is needed", pragmas[i].name, reads, pragmas[i].reads);
	}
	/* A file that is larger already keeps its size as its limit: SQLite says what it took, nothing to compare. */
	snprintf(text, sizeof text, "PRAGMA max_page_count=%" PRIu64, max_bytes / DB_PAGE_BYTES);
	return status == SP_OK ? pragma(db, text, reads, sizeof reads, why) : status;
}

enum sp_status db_open(const char *path, uint64_t max_bytes, bool read_only, struct db **out, struct sp_why *why)
{
	struct db *db = sp_new(struct db);
	/* Reading, too, may have to recover the log, so the file is opened for writing; query_only keeps us honest. */
	int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | (read_only ? 0 : SQLITE_OPEN_CREATE);
	int rc = sqlite3_open_v2(path, &db->handle, flags, NULL);
	enum sp_status status = rc == SQLITE_OK ? SP_OK : failed(NULL, rc, path, why);
	if (status == SP_OK) {
		sqlite3_extended_result_codes(db->handle, 1);
		/* A close that is not ours to make (a failed open, an inspection) leaves the log as it is. */
		sqlite3_db_config(db->handle, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
		status = set_pragmas(db, max_bytes, why);
		sqlite3_wal_hook(db->handle, logged, db);
	}
	if (status == SP_OK && read_only)
		status = pragma(db, "PRAGMA query_only=ON", NULL, 0, why);
	if (status != SP_OK) {
		db_close(&db);
		return status;
	}
	*out = db;
	return SP_OK;
}

void db_close(struct db **dbp)
{
	struct db *db = *dbp;
	if (!db)
		return;
	for (size_t i = 0; i < STATEMENTS; i++)
		sqlite3_finalize(db->prepared[i].st);
	SP_BUG_IF(sqlite3_close(db->handle) != SQLITE_OK);
	sp_free(db);
	*dbp = NULL;
}

static sqlite3_stmt *prepared(struct db *db, const char *sql)
{
	size_t at = ((uintptr_t)sql * UINT64_C(0x9e3779b97f4a7c15) >> 32) % STATEMENTS;
	for (size_t i = 0; i < STATEMENTS; i++, at = (at + 1) % STATEMENTS) {
		if (db->prepared[at].sql == sql)
			return db->prepared[at].st;
		if (db->prepared[at].sql)
			continue;
		sqlite3_stmt *st = NULL;
		int rc = sqlite3_prepare_v3(db->handle, sql, -1, SQLITE_PREPARE_PERSISTENT, &st, NULL);
		if (rc != SQLITE_OK) { /* the schema is damaged */
			failed(db, rc, "spool", &db->failure);
			return NULL;
		}
		db->prepared[at].sql = sql;
		db->prepared[at].st = st;
		return st;
	}
	sp_bug("too many prepared statements", __FILE__, __LINE__);
}

/* ---- what failed ---- */

bool db_ok(const struct db *db)
{
	return db->failure.status == SP_OK;
}

enum sp_status db_status(const struct db *db, struct sp_why *why)
{
	if (!db_ok(db))
		*why = db->failure;
	return db->failure.status;
}

enum sp_status db_end(struct db *db, struct sp_why *why)
{
	enum sp_status status = db_status(db, why);
	SP_BUG_IF(!sqlite3_get_autocommit(db->handle));
	db->failure.status = SP_OK;
	return status;
}

void db_fail(struct db *db, enum sp_status status, const char *words)
{
	if (db_ok(db))
		sp_fail(&db->failure, status, "%s", words);
}

void db_forgive_damage(struct db *db)
{
	if (db->failure.status == SP_BAD_DATA && !db->refused)
		db->failure.status = SP_OK;
}

void db_rollback(struct db *db)
{
	db->failure.status = SP_OK;
	if (!sqlite3_get_autocommit(db->handle)) /* a full disk makes SQLite roll back by itself */
		db_run(db, "ROLLBACK", DB_NO_ARGS);
	SP_BUG_IF(!db_ok(db));
}

/* ---- statements ---- */

sqlite3_stmt *db_query(struct db *db, const char *sql, const struct db_value *v, size_t n)
{
	db->refused = !db_ok(db);
	sqlite3_stmt *st = db->refused ? NULL : prepared(db, sql);
	for (size_t i = 0; st && i < n; i++) {
		int at = (int)i + 1, rc = SQLITE_OK;
		if (v[i].kind == DB_INT)
			rc = sqlite3_bind_int64(st, at, v[i].i);
		else if (v[i].kind == DB_TEXT)
			rc = sqlite3_bind_text(st, at, (const char *)v[i].b.p, (int)v[i].b.n, SQLITE_STATIC);
		else if (v[i].kind == DB_BLOB)
			rc = sqlite3_bind_blob64(st, at, v[i].b.n ? v[i].b.p : (const void *)"", v[i].b.n, SQLITE_STATIC);
		else
			rc = sqlite3_bind_null(st, at);
		SP_BUG_IF(rc != SQLITE_OK);
	}
	return st;
}

bool db_next(struct db *db, sqlite3_stmt *st)
{
	int rc = st && db_ok(db) ? sqlite3_step(st) : SQLITE_DONE;
	if (rc == SQLITE_ROW)
		return true;
	if (rc != SQLITE_DONE)
		failed(db, rc, "spool", &db->failure);
	db_done(st);
	return false;
}

void db_done(sqlite3_stmt *st)
{
	if (!st) /* it never began */
		return;
	sqlite3_reset(st);
	sqlite3_clear_bindings(st);
}

int64_t db_run(struct db *db, const char *sql, const struct db_value *v, size_t n)
{
	sqlite3_stmt *st = db_query(db, sql, v, n);
	while (db_next(db, st))
		;
	return db_ok(db) ? sqlite3_changes64(db->handle) : 0;
}

int64_t db_number(struct db *db, const char *sql, const struct db_value *v, size_t n)
{
	int64_t value = 0;
	sqlite3_stmt *st = db_query(db, sql, v, n);
	while (db_next(db, st))
		value = sqlite3_column_int64(st, 0);
	return db_ok(db) ? value : 0;
}

void db_script(struct db *db, const char *sql)
{
	int rc = db_ok(db) ? sqlite3_exec(db->handle, sql, NULL, NULL, NULL) : SQLITE_OK;
	if (rc != SQLITE_OK)
		failed(db, rc, "spool schema", &db->failure);
}

uint64_t db_wal_bytes(const struct db *db)
{
	return (uint64_t)db->wal_pages * DB_PAGE_BYTES;
}

enum sp_status db_checkpoint(struct db *db, bool truncate, struct sp_why *why)
{
	int in_log = 0, moved = 0;
	sp_crash_point("ship.during_checkpoint");
	int rc = sqlite3_wal_checkpoint_v2(
		db->handle, NULL, truncate ? SQLITE_CHECKPOINT_TRUNCATE : SQLITE_CHECKPOINT_PASSIVE, &in_log, &moved);
	if (rc != SQLITE_OK)
		return failed(db, rc, "checkpoint", why);
	db->wal_pages = in_log - moved;
	return SP_OK;
}
