/* order - when a receiver refuses samples for their order, says which of its settings to change; once an hour. */
#ifndef SHIP_ORDER_H
#define SHIP_ORDER_H

#include "common/clock.h"
#include "ship/spool/batch.h"

/* All zero: nothing was said yet. */
struct order_notice {
	struct sp_mono next;
};

/* Was it refused for being older than what the receiver takes? Its words decide nothing but what a person is told. */
bool order_is_why(const struct dead_letter *dead);

/* receiver: the setting. */
void order_notice(
    struct order_notice *n, const char *destination, const char *receiver, const struct dead_letter *dead, struct sp_mono now);

#endif
