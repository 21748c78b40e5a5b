/* drain - `ship --drain`: waits until nothing is left to send, or until its time is over, and says what is left.
 *
 * One thread, the loop's. The writer and the senders must outlive it.
 */
#ifndef SHIP_DRAIN_H
#define SHIP_DRAIN_H

#include "ship/send/senders.h"

#define DRAIN_TIMEOUT_MS (3600 * 1000) /* unless told */

struct drain;

/* SP_IO: what was there to be drained is damaged. over is called once, from the loop. */
SP_CHECKED enum sp_status drain_new(struct sp_loop *l, struct writer *w, const struct senders *senders, int64_t timeout_ms,
    void (*over)(void *arg), void *arg, struct drain **out, struct sp_why *why);
void drain_free(struct drain **d);
/* To the log, and as the exit code: SP_EXIT_OK nothing, SP_EXIT_UNFINISHED something that can be sent, SP_EXIT_FAILED only what no
 * destination of the configuration is for. */
int drain_result(const struct drain *d);

#endif
