/* backoff - how long to wait before the next attempt, and how many requests may be out at a time. Pure, no clock, no
 * timer.
 *
 * After a failure one request probes ("half open"); after its success the number doubles with each further success, so
 * that a receiver that comes back is not run over by all shards at once.
 */
#ifndef SHIP_BACKOFF_H
#define SHIP_BACKOFF_H

#include "common/conf.h"

enum backoff_kind {
	BACKOFF_ANSWERED = 0, /* 429, 5xx: 2.5 x backoff.min doubling to max, raised by Retry-After */
	BACKOFF_UNREACHABLE,  /* backoff.min doubling to unreachable_max */
	BACKOFF_PAUSED,	      /* probe.min doubling to probe.max */
	BACKOFF_KINDS
};

struct backoff {
	enum backoff_kind kind; /* of the failures in a row */
	int64_t next_ms;	/* 0: the next failure is the first of its kind */
	unsigned allowed;	/* requests that may be out; 0 is read as 1 */
};

/* A failure: how long to wait now. retry_after_ms < 0: none. random in 0..1 spreads the wait by +-10 %. */
int64_t backoff_fail(
    struct backoff *b, const struct dest_settings *s, enum backoff_kind kind, int64_t retry_after_ms, double random);
/* A success; most: shards of the destination. */
void backoff_succeed(struct backoff *b, unsigned most);

#endif
