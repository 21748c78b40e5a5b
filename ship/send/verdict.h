/* verdict - what a receiver's answer means for the data that was sent: one table, no I/O.
 *
 * The zero value keeps the data and waits. Only SHIP_DELIVERED lets a batch go; SHIP_DATA means "find the sample",
 * never "drop". Whatever describes the receiver instead of the data (401, 404, a redirect, ...) is SHIP_PAUSE:
 * everything is kept and only a slow probe goes out. Pure functions, any thread.
 */
#ifndef SHIP_VERDICT_H
#define SHIP_VERDICT_H

#include "common/bytes.h"

/* How far a request got. */
enum ship_transport {
	SHIP_NOT_SENT = 0,    /* no connection: nothing can have arrived */
	SHIP_UNANSWERED,      /* sent, at least in part, and no answer: it may have arrived */
	SHIP_BAD_CERTIFICATE, /* the receiver is not who it should be */
	SHIP_ANSWERED,	      /* the status says more */
};

enum ship_verdict {
	SHIP_KEEP = 0,	  /* not now, says the receiver: slow back-off */
	SHIP_UNREACHABLE, /* nobody there: quick back-off */
	SHIP_DELIVERED,
	SHIP_DATA,    /* something in this request is refused: narrow it down */
	SHIP_TOO_BIG, /* send less at a time */
	SHIP_PAUSE,   /* nothing is accepted from us until something changes */
};

struct ship_ruling {
	enum ship_verdict verdict;
	const char *reason; /* stable word for status, log and metric; "" when delivered */
};

#define SHIP_NO_RETRY_AFTER (-1)

struct ship_ruling ship_rule(enum ship_transport transport, int status, int64_t retry_after_ms);

/* Some receivers answer 500 to data they should refuse with 400 (Prometheus 2.42: one sample older than its window).
 * Such an answer again and again to the same batch makes the batch suspect. 503 and 529 always speak of load. */
bool ship_answer_is_suspicious(enum ship_transport transport, int status);
/* 429 and 5xx: somebody was there, and would not. */
bool ship_answer_is_not_now(enum ship_transport transport, enum ship_verdict verdict);

#endif
