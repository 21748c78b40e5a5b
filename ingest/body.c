#include "ingest/body.h"

#include "common/alloc.h"
#include "proto/frame.h"

#include <stdatomic.h>

struct body *body_take(struct delivery *d)
{
	struct body *b = sp_new(struct body);
	*b = (struct body){
	    .bytes = d->body, .n = d->body_n, .give_back = d->body_free, .arg = d->body_arg, .holders = 1};
	d->body = NULL;
	d->body_n = 0;
	d->body_free = NULL;
	return b;
}

static void let_go(struct body *b)
{
	if (atomic_fetch_sub(&b->holders, 1) > 1)
		return;
	sp_free(b->bytes);
	sp_free(b);
}

/* On ZeroMQ's I/O thread. */
static void loan_ended(void *bytes, void *hint)
{
	(void)bytes;
	let_go(hint);
}

enum sp_status body_lend(struct body *b, zmq_msg_t *out)
{
	if (b->n < FRAME_LEND_FROM_BYTES) {
		if (zmq_msg_init_size(out, b->n) != 0)
			return SP_NO_MEM;
		if (b->n)
			memcpy(zmq_msg_data(out), b->bytes, b->n);
		return SP_OK;
	}
	atomic_fetch_add(&b->holders, 1);
	if (zmq_msg_init_data(out, b->bytes, b->n, loan_ended, b) == 0)
		return SP_OK;
	atomic_fetch_sub(&b->holders, 1);
	return SP_NO_MEM;
}

bool body_is_home(const struct body *b)
{
	return atomic_load(&b->holders) == 1;
}

void body_give_back(struct body **bp)
{
	struct body *b = *bp;
	*bp = NULL;
	SP_BUG_IF(!body_is_home(b));
	if (b->give_back)
		b->give_back(b->arg, b->bytes, b->n);
	else
		sp_free(b->bytes);
	sp_free(b);
}

void body_abandon(struct body **bp)
{
	let_go(*bp);
	*bp = NULL;
}
