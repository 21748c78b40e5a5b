/* db - SQLite the way the spool uses it: one connection, write-ahead log, every commit synced, statements prepared once.
 *
 * db_open sets each pragma and reads it back; it refuses to go on when one is not in force. Statements are kept by the address of
 * their text, which therefore must be a string literal. There is no automatic checkpoint: SQLite would ignore its errors, and a failed
 * sync of the database file must end the process before the log is overwritten.
 * One thread at a time.
 */
#ifndef SHIP_DB_H
#define SHIP_DB_H

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
/* The values of a statement's ?1, ?2, ... and their number, for the two functions below. */
#define DB_ARGS(...)                                                                                                   \
	(const struct db_value[]){__VA_ARGS__}, sizeof((const struct db_value[]){__VA_ARGS__}) / sizeof(struct db_value)
#define DB_NO_ARGS NULL, 0

/* SP_LOCKED: another process has it. SP_BAD_DATA: it is damaged, or no database. */
SP_CHECKED enum sp_status db_open(const char *path, uint64_t max_bytes, bool read_only, struct db **out, struct sp_why *why);
void db_close(struct db **db);

/* Runs a statement that returns no rows. SP_FULL: the disk or the page limit; the transaction may be rolled back already. */
SP_CHECKED enum sp_status db_run(
	struct db *db, const char *sql, const struct db_value *v, size_t n, struct sp_why *why);
/* Starts a query; blobs and texts bound must stay until it is finished. Then db_next until it is false; *status tells why it ended
 * (SP_OK: no more rows). A query left early is finished with db_done. */
sqlite3_stmt *db_query(struct db *db, const char *sql, const struct db_value *v, size_t n);
bool db_next(struct db *db, sqlite3_stmt *st, enum sp_status *status, struct sp_why *why);
void db_done(sqlite3_stmt *st);
/* The one number a query returns; *out is 0 when it returns none. */
SP_CHECKED enum sp_status db_number(
	struct db *db, const char *sql, const struct db_value *v, size_t n, int64_t *out, struct sp_why *why);
/* Several statements that are run once (the schema). */
SP_CHECKED enum sp_status db_script(struct db *db, const char *sql, struct sp_why *why);

int64_t db_changes(const struct db *db);
bool db_in_transaction(const struct db *db);
uint64_t db_wal_bytes(const struct db *db); /* written to the log since it was last checkpointed */
/* Moves the log into the database file and syncs it; truncate: also empties the log file. */
SP_CHECKED enum sp_status db_checkpoint(struct db *db, bool truncate, struct sp_why *why);

static inline struct sp_bytes db_column_bytes(sqlite3_stmt *st, int column)
{
	const void *p = sqlite3_column_blob(st, column);
	return sp_bytes(p, p ? (size_t)sqlite3_column_bytes(st, column) : 0);
}

#endif
