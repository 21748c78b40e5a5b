/* plans - keeps the workers' plan true to the files it is made of: ingest.keys_dir and convert.account_labels_file.
 *
 * Looks at them each second; a changed plan goes to the workers with its new epoch, and deliveries that are on their way by the
 * former one are converted again. A file that is wrong at the start is SP_CONFIG; later its former content stays in force and the
 * fault is logged once. The senders hear of changed keys too. One thread, the loop's.
 */
#ifndef SHIP_PLANS_H
#define SHIP_PLANS_H

#include "common/keys_dir.h"
#include "ship/intake.h"
#include "ship/send/senders.h"

struct plans;

/* Makes the first plan and gives it to the intake. All must outlive it but the intake, which must be freed before it; keys may be
 * NULL. */
SP_CHECKED enum sp_status plans_new(struct sp_loop *l, const struct settings *s, struct keys_dir *keys, struct writer *w,
    struct intake *intake, struct senders *senders, struct plans **out, struct sp_why *why);
void plans_free(struct plans **p);

#endif
