/* gate - how many requests the lanes of one destination may have out together.
 *
 * As many as lanes.requests says, in turn: who finds the gate closed stands in line and is called when there is room.
 * When no connection to the receiver comes about, that is nobody's fault: one request tries again after a pause, and
 * with each answer twice as many go out, so that a receiver that comes back is not run over. One thread, the loop's.
 */
#ifndef SHIP_GATE_H
#define SHIP_GATE_H

#include "common/loop.h"
#include "ship/send/backoff.h"
#include "ship/send/verdict.h"

/* A place in the line, embedded in who waits. */
struct gate_place {
	void (*called)(void *arg);
	void *arg;
	struct gate_place *next;
	bool waits;
};

/* Read by nobody else. */
struct gate {
	struct sp_loop *loop;
	const struct dest_settings *settings;
	struct backoff backoff;
	struct sp_timer shut; /* runs while nobody may pass */
	unsigned out;
	struct gate_place *first, **last;
};

void gate_init(struct gate *g, struct sp_loop *l, const struct dest_settings *s);
void gate_stop(struct gate *g); /* nobody is called any more */
/* May a request go out now? When not, the place is called later. */
bool gate_is_open(struct gate *g, struct gate_place *p);
void gate_sent(struct gate *g);
/* Its answer, or that there is none. */
void gate_returned(struct gate *g, bool connected);
/* Tries now, whatever the pause. */
void gate_probe(struct gate *g);

#endif
