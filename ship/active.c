#include "ship/active.h"

#include "common/alloc.h"
#include "common/hll.h"
#include "common/metrics.h"

#include <math.h>

#define NAMESPACE_BYTES 255 /* as long as one of CloudWatch can be */

struct counted {
	char *ns;
	struct sp_hll now, before;
	struct counted *next;
};

struct active {
	struct counted_dest {
		uint32_t id;
		char *name;
		struct counted *namespaces;
		size_t n;
	} * dests;
	size_t n_dests;
	int64_t since_ms; /* of the present generation */
};

struct active *active_new(void)
{
	return sp_new(struct active);
}

void active_add_dest(struct active *a, uint32_t id, const char *name)
{
	a->dests = sp_realloc(a->dests, (a->n_dests + 1) * sizeof *a->dests);
	a->dests[a->n_dests++] = (struct counted_dest){.id = id, .name = sp_strdup(name)};
}

static void forget(struct counted_dest *d, struct counted **link)
{
	struct counted *c = *link;
	sp_metric_forget(M_DESTINATION_ACTIVE_SERIES, SP_L(d->name, c->ns));
	*link = c->next;
	d->n--;
	sp_free(c->ns);
	sp_free(c);
}

void active_free(struct active **ap)
{
	struct active *a = *ap;
	*ap = NULL;
	for (size_t i = 0; a && i < a->n_dests; i++) {
		while (a->dests[i].namespaces)
			forget(&a->dests[i], &a->dests[i].namespaces);
		sp_free(a->dests[i].name);
	}
	if (a)
		sp_free(a->dests);
	sp_free(a);
}

static bool is_empty(const struct sp_hll *h)
{
	static const struct sp_hll nothing;
	return memcmp(h, &nothing, sizeof nothing) == 0;
}

static void begin_generation(struct counted_dest *d)
{
	for (struct counted **link = &d->namespaces, *c; (c = *link);) {
		c->before = c->now;
		c->now = (struct sp_hll){0};
		if (is_empty(&c->before))
			forget(d, link);
		else
			link = &c->next;
	}
}

static void keep_time(struct active *a, int64_t now_ms)
{
	int64_t due = (now_ms - a->since_ms) / ACTIVE_GENERATION_MS;
	for (int64_t k = 0; k < due && k < 2; k++)
		for (size_t i = 0; i < a->n_dests; i++)
			begin_generation(&a->dests[i]);
	a->since_ms += due * ACTIVE_GENERATION_MS;
}

static struct counted *find(struct counted_dest *d, const char *ns)
{
	struct counted **link = &d->namespaces;
	while (*link && strcmp((*link)->ns, ns) != 0)
		link = &(*link)->next;
	if (*link)
		return *link;
	if (d->n >= ACTIVE_NAMESPACES_MAX && strcmp(ns, "other") != 0)
		return find(d, "other");
	*link = sp_new(struct counted);
	(*link)->ns = sp_strdup(ns);
	d->n++;
	return *link;
}

void active_take(struct active *a, const struct plan *plan, const Standpipe__Ping *m, int64_t now_ms)
{
	keep_time(a, now_ms);
	for (size_t i = 0; i < m->n_sketches && m->plan_epoch == plan->message.epoch; i++) {
		const Standpipe__Sketch *s = m->sketches[i];
		if (s->group >= plan->message.n_groups || s->registers.len != SP_HLL_BYTES || strlen(s->namespace_) > NAMESPACE_BYTES)
			continue;
		const struct plan_dests *takers = &plan->dests[s->group];
		for (size_t k = 0; k < takers->n; k++)
			for (size_t d = 0; d < a->n_dests; d++)
				if (a->dests[d].id == takers->ids[k])
					sp_hll_merge(&find(&a->dests[d], s->namespace_)->now, s->registers.data);
	}
}

static double estimate(const struct counted *c)
{
	struct sp_hll both = c->now;
	sp_hll_merge(&both, c->before.registers);
	return round(sp_hll_estimate(&both));
}

uint64_t active_series(const struct active *a, uint32_t dest)
{
	double sum = 0;
	for (size_t i = 0; i < a->n_dests; i++)
		for (const struct counted *c = a->dests[i].namespaces; c && a->dests[i].id == dest; c = c->next)
			sum += estimate(c);
	return (uint64_t)sum;
}

void active_metrics(struct active *a, int64_t now_ms)
{
	keep_time(a, now_ms);
	for (size_t i = 0; i < a->n_dests; i++)
		for (const struct counted *c = a->dests[i].namespaces; c; c = c->next)
			sp_metric_set(M_DESTINATION_ACTIVE_SERIES, SP_L(a->dests[i].name, c->ns), estimate(c));
}
