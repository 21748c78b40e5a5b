/* order - when a receiver refuses samples for their order, says which of its settings to change; once an hour. */
#ifndef SHIP_ORDER_H
#define SHIP_ORDER_H

#include "common/clock.h"
#include "ship/spool/batch.h"

/* All zero: nothing was said yet. */
struct order_notice {
	struct sp_mono next;
};

/* Do the receiver's words say that a sample is older than what it takes? */
bool order_says(struct sp_bytes answer);
/* ... because its series has a newer one? */
bool order_says_newer(struct sp_bytes answer);
/* Was it refused for that? What a person is told. */
bool order_is_why(const struct dead_letter *dead);

/* receiver: the setting. */
void order_notice(
    struct order_notice *n, const char *destination, const char *receiver, const struct dead_letter *dead, struct sp_mono now);

#endif
