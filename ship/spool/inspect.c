#include "ship/spool/inspect.h"

#include "common/crc32c.h"
#include "ship/spool/spool_impl.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

/* ---- which rows ---- */

static const char *const names[INSPECT_TABLES] = {"spool", "quarantine", "deadletter"};

const char *inspect_name(enum inspect_table t)
{
	return names[t];
}

static bool id_parse(enum inspect_table t, const char *text, int64_t out[3])
{
	for (int i = 0; i < (t == INSPECT_SPOOL ? 3 : 1); i++) {
		char *end;
		if (i > 0 && *text++ != '.')
			return false;
		if (*text < '0' || *text > '9')
			return false;
		out[i] = strtoll(text, &end, 10);
		text = end;
	}
	return *text == 0;
}

static struct db_value text_or_null(const char *s)
{
	return db_text(*s ? s : NULL);
}

enum sp_status pick_values(enum inspect_table t, const struct pick *p, const char *after, size_t limit,
	struct db_value out[PICK_VALUES], struct sp_why *why)
{
	int64_t from[3] = {-1, -1, -1}, to[3] = {INT64_MAX, INT64_MAX, INT64_MAX};
	if (*after && !id_parse(t, after, from))
		return sp_fail(why, SP_BAD_DATA, "\"%s\" is no id of %s", after, names[t]);
	if (*p->id) {
		int64_t id[3] = {0};
		if (!id_parse(t, p->id, id))
			return sp_fail(why, SP_BAD_DATA, "\"%s\" is no id of %s", p->id, names[t]);
		memcpy(to, id, sizeof to);
		id[t == INSPECT_SPOOL ? 2 : 0]--;
		memcpy(from, *after ? from : id, sizeof from);
	}
	for (int i = 0; i < 3; i++) {
		out[i] = db_int(from[i]);
		out[3 + i] = db_int(to[i]);
	}
	out[6] = text_or_null(p->reason);
	out[7] = text_or_null(p->key);
	out[8] = text_or_null(p->destination);
	out[9] = p->before_ms ? db_int(p->before_ms) : db_text(NULL);
	out[10] = db_int((int64_t)limit);
	return SP_OK;
}

/* ---- rows as JSON ---- */

#define SPOOL_COLUMNS                                                                                                  \
	"b.dest || '.' || b.shard || '.' || b.seq AS id, "                                                             \
	"(SELECT name FROM dest WHERE id = b.dest) AS destination, b.shard, b.seq, b.payload, b.accepted_ms, b.min_ms, " \
	"b.max_ms, b.series, b.samples, b.len AS bytes, b.flags & 1 AS maybe_delivered"
#define QUARANTINE_COLUMNS                                                                                             \
	"id, at_ms, sender AS \"key\", source_arn, request_id, reason, record, offset, pieces, text, do_not_parse, "    \
	"length(body) AS bytes"
#define DEAD_COLUMNS                                                                                                   \
	"id, at_ms, sender AS \"key\", (SELECT name FROM dest WHERE id = dead.dest) AS destination, shard, seq, reason, " \
	"http_status, answer, series, samples, min_ms, max_ms, length(body) AS bytes"

static const struct {
	const char *list, *row; /* row: its last three columns are check sum and bytes and where the bytes begin */
} tables[INSPECT_TABLES] = {
	[INSPECT_SPOOL] = {
		"SELECT " SPOOL_COLUMNS " FROM batch b WHERE " PICK_SPOOL,
		"SELECT " SPOOL_COLUMNS ", b.slice_crc, (SELECT body FROM payload WHERE id = b.payload), b.off FROM batch b "
		"WHERE " PICK_SPOOL},
	[INSPECT_QUARANTINE] = {"SELECT " QUARANTINE_COLUMNS " FROM quarantine WHERE " PICK_QUARANTINE,
		"SELECT " QUARANTINE_COLUMNS ", form, attributes, crc, body, 0 FROM quarantine WHERE " PICK_QUARANTINE},
	[INSPECT_DEADLETTER] = {"SELECT " DEAD_COLUMNS " FROM dead WHERE " PICK_DEAD,
		"SELECT " DEAD_COLUMNS ", crc, body, 0 FROM dead WHERE " PICK_DEAD},
};

/* The first n columns under their names; blobs are a receiver's words. */
static void columns_json(sqlite3_stmt *st, int n, struct sp_buf *out)
{
	for (int i = 0; i < n; i++) {
		sp_buf_str(out, i ? ", " : "{");
		sp_buf_json(out, sp_str(sqlite3_column_name(st, i)));
		sp_buf_str(out, ": ");
		if (sqlite3_column_type(st, i) == SQLITE_INTEGER)
			sp_buf_printf(out, "%" PRId64, (int64_t)sqlite3_column_int64(st, i));
		else if (sqlite3_column_type(st, i) == SQLITE_NULL)
			sp_buf_str(out, "null");
		else
			sp_buf_json(out, db_column_bytes(st, i));
	}
}

enum sp_status inspect_list(struct spool *sp, enum inspect_table t, const struct pick *pick, const char *after,
	struct sp_buf *out, struct sp_why *why)
{
	struct db_value v[PICK_VALUES];
	size_t n = 0;
	enum sp_status status = pick_values(t, pick, after, INSPECT_PAGE_ROWS, v, why);
	if (status != SP_OK)
		return status;
	sp_buf_str(out, "[");
	sqlite3_stmt *st = db_query(sp->db, tables[t].list, v, PICK_VALUES);
	while (db_next(sp->db, st)) {
		sp_buf_str(out, n++ ? ",\n" : "\n");
		columns_json(st, sqlite3_column_count(st), out);
		sp_buf_str(out, "}");
	}
	sp_buf_str(out, "\n]\n");
	return db_end(sp->db, why);
}

enum sp_status inspect_row(
	struct spool *sp, enum inspect_table t, const char *id, bool body, struct sp_buf *out, struct sp_why *why)
{
	struct pick pick = {.id = ""};
	struct db_value v[PICK_VALUES];
	bool found = false;
	snprintf(pick.id, sizeof pick.id, "%s", id);
	enum sp_status status = *id ? pick_values(t, &pick, "", 1, v, why) : sp_fail(why, SP_BAD_DATA, "which row?");
	if (status != SP_OK)
		return status;
	sqlite3_stmt *st = db_query(sp->db, tables[t].row, v, PICK_VALUES);
	while (db_next(sp->db, st)) {
		int n = sqlite3_column_count(st) - 3;
		struct sp_bytes bytes = db_column_bytes(st, n + 1);
		uint64_t off = (uint64_t)sqlite3_column_int64(st, n + 2), len = bytes.n;
		if (t == INSPECT_SPOOL)
			len = (uint64_t)sqlite3_column_int64(st, 10);
		bool there = off <= bytes.n && len <= bytes.n - off;
		struct sp_bytes part = there ? sp_bytes(bytes.p + off, (size_t)len) : sp_bytes(NULL, 0);
		bool intact = there && sp_crc32c(0, part.p, part.n) == (uint32_t)sqlite3_column_int64(st, n);
		found = true;
		if (body) {
			sp_buf_add(out, part);
			continue;
		}
		columns_json(st, n, out);
		sp_buf_printf(out, ", \"intact\": %s}\n", intact ? "true" : "false");
	}
	status = db_end(sp->db, why);
	return status == SP_OK && !found ? sp_fail(why, SP_NOT_FOUND, "there is no %s: it may have been sent, replayed, purged or have expired", id) : status;
}
