#include "ship/send/gate.h"

#include "common/metrics.h"

#include <stdlib.h>

void gate_init(struct gate *g, struct sp_loop *l, const struct dest_settings *s)
{
	*g = (struct gate){.loop = l, .settings = s, .backoff.allowed = (unsigned)s->lanes_requests};
	g->last = &g->first;
}

void gate_stop(struct gate *g)
{
	if (g->loop)
		sp_timer_cancel(g->loop, &g->shut);
	g->first = NULL;
	g->last = &g->first;
}

static bool is_open(const struct gate *g)
{
	return g->shut.at == 0 && g->out < g->backoff.allowed;
}

bool gate_is_open(struct gate *g, struct gate_place *p)
{
	if (is_open(g))
		return true;
	if (!p->waits) {
		p->waits = true;
		p->next = NULL;
		*g->last = p;
		g->last = &p->next;
	}
	return false;
}

static void call_next(struct gate *g)
{
	for (struct gate_place *p; is_open(g) && (p = g->first);) {
		if (!(g->first = p->next))
			g->last = &g->first;
		p->waits = false;
		p->called(p->arg);
	}
}

static void show(const struct gate *g)
{
	sp_metric_set(M_DESTINATION_LANE_REQUESTS, SP_L(g->settings->name), g->out);
}

void gate_sent(struct gate *g)
{
	g->out++;
	show(g);
}

void gate_probe(struct gate *g)
{
	sp_timer_cancel(g->loop, &g->shut);
	call_next(g);
}

static void pause_over(void *arg)
{
	gate_probe(arg);
}

void gate_returned(struct gate *g, bool connected)
{
	g->out--;
	show(g);
	if (connected)
		backoff_succeed(&g->backoff, (unsigned)g->settings->lanes_requests);
	else if (g->shut.at == 0) /* else it was out with the one that failed */
		sp_timer_set(g->loop, &g->shut,
		    backoff_fail(&g->backoff, g->settings, BACKOFF_UNREACHABLE, SHIP_NO_RETRY_AFTER,
			(double)random() / RAND_MAX),
		    pause_over, g);
	call_next(g);
}
