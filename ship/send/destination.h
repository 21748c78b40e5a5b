/* destination - one receiver: its shards, and what happens to each batch that is sent to it.
 *
 * Each shard has one request out at a time, oldest batches first, so that a series' samples arrive in order. What
 * arrives meanwhile is joined into the next request. A batch leaves the spool when it was delivered, or when it was
 * narrowed down: the good samples delivered, the culprits dead letters, in one transaction. Nothing else removes it.
 * When the receiver takes nothing (ship/send/health.h) the data waits.
 */
#ifndef SHIP_DESTINATION_H
#define SHIP_DESTINATION_H

#include "ship/send/health.h"
#include "ship/spool/writer.h"

struct destination;

struct destination_report {
	const char *name;
	uint32_t id;
	enum health_state state;
	const char *reason;	  /* "" when healthy */
	int http_status;	  /* of the answer that led to the state; 0: none came */
	const char *answer;	  /* the receiver's words, or what went wrong, printable; "" when healthy */
	int64_t since_wall_ms;	  /* of the state */
	int64_t next_probe_in_ms; /* -1: none is due */
	bool refusing;		  /* has used up its extra requests: its refused batches wait */
	const char *protocol, *protocol_reason; /* spoken, and why not the one that is configured, or "" */
};

/* The settings, the writer and the client must outlive it. SP_CONFIG: its settings cannot work. */
SP_CHECKED enum sp_status destination_new(struct sp_loop *l, struct writer *w, struct http_client *c,
    const struct dest_settings *d, struct destination **out, struct sp_why *why);
/* A lane of it (settings: lanes), with an order, back-off and state of its own, and the same receiver. name: "mimir/acme". It must be
 * freed before the destination. */
struct destination *destination_lane(struct destination *of, uint32_t id, const char *name);
/* The access keys as they are now, for the destination and then for each of its lanes: what those with lanes.token send. The
 * settings must last until the next call. */
void destination_keys(struct destination *d, const struct settings *s);
/* The access key that the receiver answers with 401 while something waits to be sent with it, so that somebody will see when
 * that is over; NULL: none. */
const char *destination_unauthorized_key(const struct destination *d);
/* After http_client_free and writer_close. */
void destination_free(struct destination **d);
/* Begins with what the spool holds. */
void destination_start(struct destination *d);
/* A commit made this batch. p may be NULL. */
void destination_add(struct destination *d, const struct batch *b, struct payload *p);
/* A person took this batch out of the spool. When a request with it is out, it may still arrive. */
void destination_forget(struct destination *d, const struct batch *b);
/* Try now, whatever the timer says. */
void destination_probe(struct destination *d);
/* What was found out about the versions that it takes may be old: ask again. */
void destination_forget_protocol(struct destination *d);
/* Has the secret changed? Then a pause ends. Gives back the memory of shards that are idle. To be called every second or two, for a
 * destination before its lanes. */
void destination_poll(struct destination *d);
/* No further request; destination_idle when none is out. */
void destination_stop(struct destination *d);
bool destination_idle(const struct destination *d);
/* The client ends without the answers that are still out: nobody knows whether those batches arrived, and the spool
 * shall say so. After destination_stop, before http_client_free. */
void destination_abandon(struct destination *d);

void destination_report(const struct destination *d, struct destination_report *out);

#endif
