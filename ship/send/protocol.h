/* protocol - which version of remote write a receiver is spoken to, and when 2.0 is given up. Pure, one thread.
 *
 * A receiver that does not know 2.0 answers 415, or 400, or takes the body for an empty 1.0 request and answers 2xx without any
 * Written header. In each case the same data is sent again as 1.0 at once. 415 and 2xx without Written headers end 2.0 for this
 * receiver. 400 is also what good receivers say to bad data: it counts only before the first success of 2.0, and ends it only when
 * the same data is accepted as 1.0. What was found out is remembered until protocol_forget.
 */
#ifndef SHIP_PROTOCOL_H
#define SHIP_PROTOCOL_H

#include "ship/send/http_client.h"

struct protocol {
	enum rw_version wanted, spoken;
	bool proven;	    /* a 2.0 body was understood */
	bool stores_part;   /* it stored the good part of a 2.0 request that it refused */
	const char *reason; /* why 1.0 is spoken though 2.0 is wanted: a stable word, else "" */
};

/* setting: 1.0, 2.0 or auto. */
void protocol_init(struct protocol *p, const char *setting);
void protocol_forget(struct protocol *p);
/* The answer to a request of that version. again: this function wanted that request. True: send the same data again as *next, now;
 * the answer says nothing else. */
bool protocol_answered(
    struct protocol *p, enum rw_version sent, bool again, const struct http_answer *a, enum rw_version *next);
/* Did the receiver store what was good of a request that it refused? It says how much that was; once it was something, nothing means
 * that nothing was good. */
bool protocol_stored_a_part(const struct protocol *p, enum rw_version sent, const struct http_answer *a);
const char *protocol_name(enum rw_version v); /* "1.0", "2.0" */

#endif
