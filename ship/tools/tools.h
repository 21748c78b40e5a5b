/* tools - `spool`, `quarantine` and `deadletter` with the verbs ls, show, export, replay and purge, for people and scripts.
 *
 * tools_main is the command: it asks the running ship over its admin socket, or, when none runs, takes the spool's lock and
 * opens the files itself. tools_routes is the answering side in ship, on the database thread: rows are read between commits, at
 * most 1,000 per request, and changed in transactions of a bounded number of rows.
 */
#ifndef SHIP_TOOLS_H
#define SHIP_TOOLS_H

#include "common/admin.h"
#include "ship/spool/writer.h"

/* The admin socket of ship, beside ZeroMQ's ship.sock. */
#define TOOLS_SOCKET "ship-admin.sock"

/* Serves /spool/, /quarantine/ and /deadletter/; never on tcp. The writer must outlive the admin server. */
void tools_routes(struct sp_admin *a, struct writer *w);

/* argv[0] is the noun. Returns the exit code. */
int tools_main(int argc, char **argv);

/* `standpipe check --connect`: talks to every destination and every known lane as ship would, and says what each takes. Without
 * --write-probe only requests without samples go out. With it each destination gets two samples of the series standpipe_probe: one of
 * now, and one that is a minute older. Returns the exit code: 1 when a destination would get nothing. */
int connect_main(int argc, char **argv);

#endif
