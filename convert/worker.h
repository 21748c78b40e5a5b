/* worker - takes deliveries from ingest, converts them, hands the result to ship, and says what became of each.
 *
 * Owns nothing: a delivery is ingest's until ship has committed it. Every JOB is answered with DONE exactly once,
 * "accepted" only on ship's word. While one delivery waits for its commit the next is converted. What ship does not
 * confirm in 5 s is asked for, and sent again when ship does not know it; ship recognises what it has already. Either
 * peer may restart at any time: the idle ping shows it within a second. A delivery that takes longer than
 * convert.job_limit ends the process: the decoder is stuck in it, and ingest will find out which it was. One thread,
 * the loop's.
 */
#ifndef CONVERT_WORKER_H
#define CONVERT_WORKER_H

#include "common/conf.h"
#include "common/loop.h"

struct worker;

/* slot: number of this worker among its siblings, 0..N-1. */
SP_CHECKED enum sp_status worker_new(
    struct sp_loop *l, void *zmq, const struct settings *s, uint32_t slot, struct worker **out, struct sp_why *why);
void worker_free(struct worker **w);
/* Says goodbye to ingest, which then sends no new jobs; stopped is called when those at hand are done. */
void worker_stop(struct worker *w, void (*stopped)(void *arg), void *arg);
/* Ingest and ship both know this worker, and it has a plan. */
bool worker_ready(const struct worker *w);

#endif
