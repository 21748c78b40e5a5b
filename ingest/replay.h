/* replay - a quarantined piece comes back as a delivery, through the unix socket of the admin server.
 *
 * POST /replay?id=WORD&key=KEY&request_id=TEXT&arn=ARN&attributes=TEXT with a body as Firehose would send it. KEY is the name of an access
 * key, whose settings decide anew what becomes of the points; no quota is charged. The delivery's own key is made of ARN, id and body, so
 * a replay that is repeated because nobody heard of its success is a duplicate. The answer is JSON: what became of it, with counts.
 */
#ifndef INGEST_REPLAY_H
#define INGEST_REPLAY_H

#include "common/admin.h"
#include "ingest/server.h"

/* The server must outlive the admin server's last request. */
void replay_route(struct sp_admin *a, struct server *srv);

#endif
