/* inspect - which rows of the spool, the quarantine or the dead letters somebody speaks of, and these as JSON, for the tools.
 *
 * Ids and cursors are text: "42", or "2.1.4711" (destination, shard, seq) for batches. Works on any open spool, between transactions.
 */
#ifndef SHIP_INSPECT_H
#define SHIP_INSPECT_H

#include "ship/spool/db.h"
#include "ship/spool/spool.h"

enum inspect_table { INSPECT_SPOOL, INSPECT_QUARANTINE, INSPECT_DEADLETTER, INSPECT_TABLES };

const char *inspect_name(enum inspect_table t); /* "spool", "quarantine", "deadletter" */

/* All that is given must fit; "" and 0 fit everything. */
struct pick {
	char id[64];
	char reason[64];       /* batches of the spool have none */
	char key[256];         /* name of the access key */
	char destination[256]; /* with its lanes */
	int64_t before_ms;     /* accepted (spool), or set aside, before then */
};

/* The values of a clause below for the rows after the one with that id ("": from the start), at most `limit`. SP_BAD_DATA: an id is
 * none. They point into *p. */
#define PICK_VALUES 11
SP_CHECKED enum sp_status pick_values(enum inspect_table t, const struct pick *p, const char *after, size_t limit,
	struct db_value out[PICK_VALUES], struct sp_why *why);

#define PICK_DESTINATION                                                                                               \
	"(?9 IS NULL OR dest IN (SELECT id FROM dest WHERE name = ?9 OR substr(name, 1, length(?9) + 1) = ?9 || '/'))"
/* Of `batch b`. */
#define PICK_SPOOL                                                                                                     \
	"(b.dest, b.shard, b.seq) > (?1, ?2, ?3) AND (b.dest, b.shard, b.seq) <= (?4, ?5, ?6) AND ?7 IS NULL AND "      \
	"(?8 IS NULL OR (SELECT sender FROM payload WHERE id = b.payload) = ?8) AND " PICK_DESTINATION " AND "          \
	"(?10 IS NULL OR accepted_ms < ?10) ORDER BY b.dest, b.shard, b.seq LIMIT ?11"
#define PICK_EVIDENCE                                                                                                  \
	"id > ?1 AND id <= ?4 AND (?7 IS NULL OR reason = ?7) AND (?8 IS NULL OR sender = ?8) AND "                     \
	"(?10 IS NULL OR at_ms < ?10)"
/* Of `quarantine`, which knows no destinations. */
#define PICK_QUARANTINE PICK_EVIDENCE " AND ?9 IS NULL ORDER BY id LIMIT ?11"
/* Of `dead`. */
#define PICK_DEAD PICK_EVIDENCE " AND " PICK_DESTINATION " ORDER BY id LIMIT ?11"

#define INSPECT_PAGE_ROWS 1000

/* Appends a JSON array of the first INSPECT_PAGE_ROWS rows that fit, after the one with that id ("": from the start). */
SP_CHECKED enum sp_status inspect_list(struct spool *sp, enum inspect_table t, const struct pick *pick, const char *after,
	struct sp_buf *out, struct sp_why *why);
/* Appends the row as a JSON object, with "intact": do its bytes fit their check sum? Or, with body, the bytes alone. */
SP_CHECKED enum sp_status inspect_row(
	struct spool *sp, enum inspect_table t, const char *id, bool body, struct sp_buf *out, struct sp_why *why);

#endif
