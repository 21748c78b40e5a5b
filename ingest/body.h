/* body - the bytes of a delivery, which a job owns and lends to messages.
 *
 * Large ones are sent without copying; ZeroMQ's I/O thread ends the loan, sometimes a moment after the answer has come.
 * Only a body that is home again may be given back. Everything but the end of a loan happens on the loop thread.
 */
#ifndef INGEST_BODY_H
#define INGEST_BODY_H

#include "ingest/pool.h"

#include <zmq.h>

struct body {
	uint8_t *bytes;
	size_t n;
	struct body *next; /* its owner's */
	void (*give_back)(void *arg, uint8_t *bytes, size_t n);
	void *arg;
	_Atomic int holders; /* the owner and each loan */
};

/* Takes the body out of the delivery. */
struct body *body_take(struct delivery *d);
/* A message of these bytes; small ones are copied. SP_NO_MEM. */
SP_CHECKED enum sp_status body_lend(struct body *b, zmq_msg_t *out);
bool body_is_home(const struct body *b);
/* The end of one that is home. */
void body_give_back(struct body **b);
/* The owner goes away: the memory goes with the last loan, the budget hears of it no more. */
void body_abandon(struct body **b);

#endif
