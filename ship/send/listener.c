#include "ship/send/listener.h"

const char *listener_url(struct sp_bytes region)
{
	static const struct {
		const char *region, *url;
	} listeners[] = {
	    {"ca-central-1", "https://listener-ca.logz.io:8053"},
	    {"eu-central-1", "https://listener-eu.logz.io:8053"},
	    {"eu-west-2", "https://listener-uk.logz.io:8053"},
	    {"ap-southeast-2", "https://listener-au.logz.io:8053"},
	};
	for (size_t i = 0; i < sizeof listeners / sizeof listeners[0]; i++)
		if (sp_eq(region, sp_str(listeners[i].region)))
			return listeners[i].url;
	return "https://listener.logz.io:8053";
}

struct sp_bytes listener_arn_region(struct sp_bytes arn)
{
	struct sp_bytes part = {0};
	if (arn.n < 4 || memcmp(arn.p, "arn:", 4) != 0)
		return part;
	for (int i = 0; i < 4; i++) {
		const uint8_t *colon = arn.n ? memchr(arn.p, ':', arn.n) : NULL;
		if (!colon)
			return (struct sp_bytes){0};
		part = sp_bytes(arn.p, (size_t)(colon - arn.p));
		arn.n -= part.n + 1;
		arn.p = colon + 1;
	}
	return part;
}
