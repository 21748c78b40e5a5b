/* intake - ship's side of the hand-over: workers offer and store deliveries, the writer commits them, the answer goes
 * back.
 *
 * Binds ship.sock. Every STORE and OFFER of a worker it knows is answered exactly once, STORED "committed" only from
 * the writer's done function, that is after the fsync. A frame of a session it does not know is answered REFUSED "say
 * HELLO". It always reads its socket; what would not fit into ship's share of the memory is answered "busy". Ship's
 * state goes to every worker on each change and each second, the plan with the welcome and on each change. One thread,
 * the loop's.
 */
#ifndef SHIP_INTAKE_H
#define SHIP_INTAKE_H

#include "common/conf.h"
#include "common/loop.h"
#include "proto/standpipe.pb-c.h"
#include "proto/plan.h"
#include "ship/active.h"
#include "ship/spool/writer.h"

struct intake;

/* Answers "starting" until there is a plan and a state. The writer is borrowed and must outlive it (close the writer
 * after intake_idle, free the intake after that: its socket lingers so that last answers leave). */
SP_CHECKED enum sp_status intake_new(
    struct sp_loop *l, void *zmq, const struct settings *s, struct writer *w, struct intake **out, struct sp_why *why);
void intake_free(struct intake **in);
/* Borrowed until the next call or intake_free; goes to all workers. What was converted by an older epoch is answered
 * stale_plan. */
void intake_set_plan(struct intake *in, const struct plan *plan);
/* Called with the Firehose stream of each delivery that goes to the writer. */
void intake_on_source(struct intake *in, void (*fn)(void *arg, const char *source_arn), void *arg);
/* Takes what the workers say of active series; borrowed. */
void intake_set_active(struct intake *in, struct active *active);
/* Tells all workers whether deliveries can be stored now. */
void intake_set_state(struct intake *in, Standpipe__State__Accepting accepting);
/* Access keys that ingest answers with 401, because a receiver does so to their lanes. Copies the names; news are told
 * at once. */
void intake_set_unauthorized(struct intake *in, const char *const *keys, size_t n);
/* From now on new STOREs are answered "busy" and the state is "stopping"; those in the writer still get their answer.
 */
void intake_stop(struct intake *in);
bool intake_idle(const struct intake *in); /* nothing is with the writer */
/* Sets the gauges (workers, bytes). */
void intake_metrics(const struct intake *in);

#endif
