/* db - SQLite the way the spool uses it: one connection, write-ahead log, every commit synced, statements prepared once.
 *
 * db_open sets each pragma and reads it back; it refuses to go on when one is not in force. Statements are kept by the address of
 * their text, which therefore must be a string literal. There is no automatic checkpoint: SQLite would ignore its errors, and a failed
 * sync of the database file must end the process before the log is overwritten.
 *
 * Errors stick, as those of sp_buf do: after the first failure statements change nothing and queries find nothing, until db_end or
 * db_rollback. So a caller writes down all of a transaction and asks once; nothing of it can be committed by what follows a failure.
 * One thread at a time.
 */
#ifndef SHIP_DB_H
#define SHIP_DB_H

#include "common/alloc.h"
#include "common/bytes.h"

#include <sqlite3.h>

#define DB_PAGE_BYTES 16384
#define DB_WAL_MAX_BYTES (16 << 20) /* the log is checkpointed at this size, so it hardly grows beyond it */

struct db;

struct db_value {
	enum { DB_NULL, DB_INT, DB_TEXT, DB_BLOB } kind;
	int64_t i;
	struct sp_bytes b;
};

static inline struct db_value db_int(int64_t i)
{
	return (struct db_value){.kind = DB_INT, .i = i};
}
static inline struct db_value db_text(const char *s)
{
	return (struct db_value){.kind = s ? DB_TEXT : DB_NULL, .b = sp_str(s)};
}
static inline struct db_value db_blob(struct sp_bytes b)
{
	return (struct db_value){.kind = DB_BLOB, .b = b};
}
/* The values of a statement's ?1, ?2, ... and their number, for the functions below. */
#define DB_ARGS(...)                                                                                                   \
	(const struct db_value[]){__VA_ARGS__}, sizeof((const struct db_value[]){__VA_ARGS__}) / sizeof(struct db_value)
#define DB_NO_ARGS NULL, 0

/* SP_LOCKED: another process has it. SP_BAD_DATA: it is damaged, or no database. */
SP_CHECKED enum sp_status db_open(const char *path, uint64_t max_bytes, bool read_only, struct db **out, struct sp_why *why);
void db_close(struct db **db);

bool db_ok(const struct db *db); /* nothing has failed */
/* What failed first, which goes on to stick. SP_FULL: the disk or the page limit; SQLite may have rolled back by itself. */
SP_CHECKED enum sp_status db_status(const struct db *db, struct sp_why *why);
/* The same, and forgets it. Outside a transaction. */
SP_CHECKED enum sp_status db_end(struct db *db, struct sp_why *why);
/* A failure of the caller's own; the first one stays. */
void db_fail(struct db *db, enum sp_status status, const char *words);
/* A damaged page that the last statement met is no failure; whatever failed before it is. */
void db_forgive_damage(struct db *db);
/* Forgets the failure and undoes the transaction, if there is one. */
void db_rollback(struct db *db);

/* Runs a statement that returns no rows. How many rows it changed; 0 after a failure. */
int64_t db_run(struct db *db, const char *sql, const struct db_value *v, size_t n);
/* Starts a query; blobs and texts bound must stay until it is finished. Then db_next until it is false. A query left early is
 * finished with db_done. */
sqlite3_stmt *db_query(struct db *db, const char *sql, const struct db_value *v, size_t n);
bool db_next(struct db *db, sqlite3_stmt *st);
void db_done(sqlite3_stmt *st);
/* The one number a query returns; 0 when it returns none, and after a failure. */
int64_t db_number(struct db *db, const char *sql, const struct db_value *v, size_t n);
/* Several statements that are run once (the schema). */
void db_script(struct db *db, const char *sql);

uint64_t db_wal_bytes(const struct db *db); /* written to the log since it was last checkpointed */
/* Moves the log into the database file and syncs it; truncate: also empties the log file. A failure does not stick. */
SP_CHECKED enum sp_status db_checkpoint(struct db *db, bool truncate, struct sp_why *why);

static inline struct sp_bytes db_column_bytes(sqlite3_stmt *st, int column)
{
	const void *p = sqlite3_column_blob(st, column);
	return sp_bytes(p, p ? (size_t)sqlite3_column_bytes(st, column) : 0);
}
/* A copy; "" for NULL. The caller frees it. */
static inline char *db_column_text(sqlite3_stmt *st, int column)
{
	struct sp_bytes s = db_column_bytes(st, column);
	return sp_strndup(s.n ? (const void *)s.p : "", s.n);
}

#endif
