/* edit - what people change in the spool: rows are purged, dead letters become batches again.
 *
 * One step is a bounded number of rows in the open transaction, with the books: purged samples count as dropped, replayed ones as
 * spooled instead of dead lettered. A step may be run again after a rollback. One thread at a time.
 */
#ifndef SHIP_EDIT_H
#define SHIP_EDIT_H

#include "ship/spool/inspect.h"

enum edit_verb { EDIT_PURGE, EDIT_REPLAY /* of dead letters */ };

struct edit {
	enum edit_verb verb;
	enum inspect_table table;
	struct pick pick;
	char after[64]; /* where the former step ended; "" at first */

	/* what this step did */
	enum sp_status status; /* SP_OK, or why it did nothing */
	struct sp_why why;
	uint64_t rows, samples, refused;
	char refusal[200]; /* why the first of the refused rows stays */
	char last[64];     /* where it ended */
	bool more;
};

/* Called for every batch that a step took away. */
typedef void (*edit_gone_fn)(void *arg, const struct batch *b);

/* Inside a transaction, whose failures stick in the spool as always; `status` is of the edit itself. */
void edit_run(struct spool *sp, struct edit *e, spool_batch_fn made, edit_gone_fn gone, void *arg);

#endif
