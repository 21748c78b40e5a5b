#include "common/pages.h"

#include "common/metrics.h"

static int show_metrics(void *arg, const struct sp_admin_request *req, struct sp_admin_token *token, struct sp_buf *reply,
	const char **content_type)
{
	const struct sp_pages *p = arg;
	(void)req, (void)token;
	sp_metrics_process();
	if (p->refresh)
		p->refresh(p->arg);
	sp_metrics_write(reply, p->labels);
	*content_type = "text/plain; version=0.0.4; charset=utf-8";
	return 200;
}

/* Nothing but this loop: whoever waits for others is no less alive. */
static int show_healthy(void *arg, const struct sp_admin_request *req, struct sp_admin_token *token, struct sp_buf *reply,
	const char **content_type)
{
	(void)arg, (void)req, (void)token, (void)content_type;
	sp_buf_str(reply, "ok\n");
	return 200;
}

void sp_pages_route(struct sp_admin *a, const struct sp_pages *p)
{
	sp_admin_route(a, "/metrics", true, show_metrics, (void *)p);
	sp_pages_healthy(a);
}

void sp_pages_healthy(struct sp_admin *a)
{
	sp_admin_route(a, "/-/healthy", true, show_healthy, NULL);
}
