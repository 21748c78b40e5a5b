/* health - is this receiver taking data, and if not, when to try again. The only place where a destination's state
 * changes.
 *
 *   ok -------- no answer, 429, 5xx --------> backing off ---- any answer about data ----> ok
 *    \--------- 401, 403, 404, 3xx, ... ----> paused --------- 2xx ---------------------> ok
 *     \-------- refuses every batch --------> paused ("rejects_everything")
 *
 * In the other two states one request at a time goes out, when the timer says so. Entering and leaving a state is one
 * log line. epoch counts failures: requests that were out together fail together and count once, and an answer to a
 * request of an earlier epoch says nothing about now. One thread, the loop's.
 */
#ifndef SHIP_HEALTH_H
#define SHIP_HEALTH_H

#include "common/loop.h"
#include "ship/send/backoff.h"
#include "ship/send/http_client.h"

/* What is kept of the receiver's words for `status`. */
#define HEALTH_ANSWER_BYTES 320

enum health_state { HEALTH_OK = 0, HEALTH_BACKING_OFF, HEALTH_PAUSED };

/* Read by the destination, changed here. */
struct health {
	struct sp_loop *loop;
	const struct dest_settings *settings;
	const char *name, *lane; /* for log and metrics */
	void (*again)(void *arg);
	void *arg;

	enum health_state state;
	const char *reason; /* "" when ok */
	int http_status;    /* of the answer that led here */
	char *answer;	    /* its words, printable; NULL: none */
	int64_t since_wall_ms;
	struct backoff backoff;
	struct sp_timer retry;
	bool probe_due;
	uint64_t epoch;
	unsigned failures; /* in a row */
};

/* again is called when a request may go out that might not before. */
void health_init(struct health *h, struct sp_loop *l, const struct dest_settings *d, const char *name, const char *lane,
    void (*again)(void *arg), void *arg);
void health_stop(struct health *h);
bool health_may_send(const struct health *h, unsigned in_flight);
void health_sent(struct health *h);
/* a may be NULL. epoch: when the request went out. */
void health_failed(struct health *h, uint64_t epoch, struct ship_ruling r, const struct http_answer *a);
/* Whole batches are refused, one like the other. */
void health_rejects_everything(struct health *h, uint64_t epoch, const struct http_answer *a);
bool health_is_rejecting(const struct health *h);
/* The receiver is there and takes requests from us: 2xx, or an answer about data. */
void health_answered(struct health *h, uint64_t epoch);
/* What is out now was sent wrongly: its failure says nothing about the receiver. */
void health_disregard(struct health *h);
/* Try now, whatever the timer says. */
void health_probe(struct health *h);
const char *health_state_name(enum health_state s);

#endif
