/* pages - what every role shows on its admin server: /metrics and /-/healthy. */
#ifndef SP_PAGES_H
#define SP_PAGES_H

#include "common/admin.h"

struct sp_pages {
	const char *labels;         /* a label pair for every line: role="ship" */
	void (*refresh)(void *arg); /* sets the gauges; may be NULL */
	void *arg;
};

/* p must outlive the server. */
void sp_pages_route(struct sp_admin *a, const struct sp_pages *p);

/* /-/healthy alone. */
void sp_pages_healthy(struct sp_admin *a);

#endif
