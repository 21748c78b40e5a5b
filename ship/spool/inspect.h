/* inspect - rows of the spool, the quarantine and the dead letters as JSON, for the tools.
 *
 * Works on any open spool, between transactions.
 */
#ifndef SHIP_INSPECT_H
#define SHIP_INSPECT_H

#include "ship/spool/pick.h"
#include "ship/spool/spool.h"

#define INSPECT_PAGE_ROWS 1000

/* Appends a JSON array of the first INSPECT_PAGE_ROWS rows that fit, after the one with that id ("": from the start). */
SP_CHECKED enum sp_status inspect_list(struct spool *sp, enum inspect_table t, const struct pick *pick, const char *after,
	struct sp_buf *out, struct sp_why *why);
/* Appends the row as a JSON object, with "intact": do its bytes fit their check sum? Or, with body, the bytes alone. */
SP_CHECKED enum sp_status inspect_row(
	struct spool *sp, enum inspect_table t, const char *id, bool body, struct sp_buf *out, struct sp_why *why);

#endif
