/* listener - logz.io's address for an AWS region, as its Lambda for metric streams chose it. */
#ifndef SHIP_LISTENER_H
#define SHIP_LISTENER_H

#include "common/bytes.h"

/* Of a region without a listener of its own: the one in the United States. Static text. */
const char *listener_url(struct sp_bytes region);
/* "eu-west-2" of arn:aws:firehose:eu-west-2:123456789012:deliverystream/x; empty when it is no ARN. */
struct sp_bytes listener_arn_region(struct sp_bytes arn);

#endif
