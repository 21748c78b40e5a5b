/* connect - `standpipe check --connect`: talks to every destination and every known lane as ship would, and says what
 * each takes.
 *
 * Without --write-probe only requests without samples go out. With it each destination gets two samples of the series
 * standpipe_probe: one of now, and one that is a minute older.
 */
#ifndef SHIP_CONNECT_H
#define SHIP_CONNECT_H

/* argv[0] is the verb. Returns the exit code: 1 when a destination would get nothing. */
int connect_main(int argc, char **argv);

#endif
