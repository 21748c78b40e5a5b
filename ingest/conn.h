/* conn - one connection: requests one after another, each with its answer before the next is begun.
 *
 *   handshake -> head -> body -> waiting (the pool has it) -> answering -> head ...
 *                  \-> answering (refused) -> lingering -> closed
 *
 * Whoever is refused while still sending is read from and thrown away for a while after the answer: closing at once would reset the
 * connection and take the answer with it. Each state has a time limit. One thread, the loop's.
 */
#ifndef INGEST_CONN_H
#define INGEST_CONN_H

#include "ingest/server.h"

/* Takes the descriptor. */
void conn_new(struct server *srv, int fd);
/* Ends it now; it is freed at the end of the loop's turn. */
void conn_close(struct conn *c);
/* On stop: idle ones are closed, the others after their answer. */
void conn_stop_all(struct server *srv);

/* For server.c: from the list of connections to that of closed ones, and the first of these to the end. */
void conn_retire(struct conn *c);
void conn_free_retired(struct server *srv);

#endif
