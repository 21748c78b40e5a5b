/* senders - all destinations of this ship, and what the admin server says about them. */
#ifndef SHIP_SENDERS_H
#define SHIP_SENDERS_H

#include "common/admin.h"
#include "common/conf.h"
#include "ship/active.h"
#include "ship/spool/writer.h"

struct senders;

/* The settings and the writer must outlive it. SP_CONFIG: a destination cannot work. Takes the writer's batches
 * (writer_on_batch). */
SP_CHECKED enum sp_status senders_new(
    struct sp_loop *l, struct writer *w, struct settings *s, struct senders **out, struct sp_why *why);
/* Ends the requests that are out; senders_free when the writer is closed. */
void senders_close(struct senders *s);
void senders_free(struct senders **s);
/* Does the configuration have this destination, or the one that this lane is of? */
bool senders_serve(const struct senders *s, uint32_t dest);
/* Begins with what the spool holds. */
void senders_start(struct senders *s);
/* A delivery of this stream is about to be stored. A destination of logz.io that was given no address takes the listener
 * of the first stream's region, now and after every restart; until then its data waits in the spool. */
void senders_source(struct senders *s, const char *source_arn);
/* No further requests; senders_idle when all answers are here. */
void senders_stop(struct senders *s);
bool senders_idle(const struct senders *s);
/* Versions that receivers did not take are tried again. */
void senders_forget_protocols(struct senders *s);
/* Every paused or backed-off destination tries again now. */
void senders_probe(struct senders *s);
/* The access keys have changed (lanes.token). The settings must last until the next call. */
void senders_keys(struct senders *s, const struct settings *keys);
/* fn is called each second with the access keys that receivers do not accept (destination_unauthorized_key). */
void senders_on_unauthorized(struct senders *s, void (*fn)(void *arg, const char *const *keys, size_t n), void *arg);
/* For /status; borrowed. */
void senders_set_active(struct senders *s, const struct active *active);
/* /status, POST /-/probe. */
void senders_routes(struct senders *s, struct sp_admin *a);
/* One line for each destination that is not healthy: the verbose part of /-/ready. Returns how many. */
size_t senders_complaints(const struct senders *s, struct sp_buf *out);

#endif
