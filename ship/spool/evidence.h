/* evidence - the two tables that keep what could not be used: quarantined pieces of deliveries, and dead letters.
 *
 * Each is bounded by size and age. When one is too large, the sender (access key) that takes most of it loses its oldest row, so that
 * nobody can push out the others' evidence. Used inside the spool's transactions, where failures stick.
 */
#ifndef SHIP_EVIDENCE_H
#define SHIP_EVIDENCE_H

#include "ship/spool/db.h"
#include "ship/spool/writer.h"

struct spool;

struct evidence_share {
	char *sender;
	uint64_t bytes;
};

struct evidence {
	bool is_dead;
	uint64_t max_bytes, bytes, rows;
	uint64_t expired_rows; /* since start */
	uint64_t expiring;     /* of the open transaction */
	struct evidence_share *shares;
	size_t n_shares;
	int64_t oldest_ms; /* no row is older; 0: look */
};

/* Reads the sums from the table: at start, and after a rollback. */
void evidence_load(struct spool *sp, struct evidence *e);
void evidence_clear(struct evidence *e);
void evidence_add_quarantine(struct spool *sp, const struct store_request *r, const struct store_quarantine *q);
void evidence_add_dead(struct spool *sp, const struct dead_letter *d, const char *sender);
struct evidence_row {
	int64_t id, size, samples, at_ms;
	uint32_t dest;
};
/* Takes a row out of its table and of the sums. The samples of a dead letter are in no term of the books then: the caller adds what
 * this returns to one. */
uint64_t evidence_remove(struct spool *sp, struct evidence *e, const struct evidence_row *row, const char *sender);
/* What the transaction expired has expired. */
void evidence_committed(struct evidence *e);
/* Expires what is too old, a bounded number of rows. */
void evidence_expire(struct spool *sp, struct evidence *e, int64_t before_ms);

#endif
