#include "ship/plan.h"

#include "common/alloc.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

/* Points later than now + this are set aside: one sample of tomorrow makes some receivers refuse all of today's. */
#define PLAN_MAX_FUTURE_MS 600000

static bool same_list(const struct sp_list *a, const struct sp_list *b)
{
	if (a->n != b->n)
		return false;
	for (size_t i = 0; i < a->n; i++)
		if (strcmp(a->v[i], b->v[i]) != 0)
			return false;
	return true;
}

static bool same_map(const struct sp_map *a, const struct sp_map *b)
{
	if (a->n != b->n)
		return false;
	for (size_t i = 0; i < a->n; i++)
		if (strcmp(a->names[i], b->names[i]) != 0 || strcmp(a->values[i], b->values[i]) != 0)
			return false;
	return true;
}

static bool same_mapping(const struct dest_settings *a, const struct dest_settings *b)
{
	return strcmp(a->naming, b->naming) == 0 && strcmp(a->timestamp, b->timestamp) == 0 &&
	       same_list(&a->statistics, &b->statistics) && same_map(&a->external_labels, &b->external_labels) &&
	       a->shards == b->shards && a->max_samples == b->max_samples && a->max_bytes == b->max_bytes &&
	       a->max_raw_bytes == b->max_raw_bytes;
}

/* Strings stay the settings', which must outlive the plan. */
static void fill_group(Standpipe__Group *g, uint32_t id, const struct dest_settings *d)
{
	standpipe__group__init(g);
	g->id = id;
	g->naming = d->naming;
	g->stamp_start = strcmp(d->timestamp, "start") == 0;
	g->statistics = d->statistics.v;
	g->n_statistics = d->statistics.n;
	g->external_labels = sp_new_array(Standpipe__Label *, d->external_labels.n);
	g->n_external_labels = d->external_labels.n;
	for (size_t i = 0; i < d->external_labels.n; i++) {
		Standpipe__Label *l = g->external_labels[i] = sp_new(Standpipe__Label);
		standpipe__label__init(l);
		l->name = d->external_labels.names[i];
		l->value = d->external_labels.values[i];
	}
	g->shards = (uint32_t)d->shards;
	g->max_samples = (uint32_t)d->max_samples;
	g->max_bytes = (uint64_t)d->max_bytes;
	g->max_raw_bytes = (uint64_t)d->max_raw_bytes;
}

static uint64_t content_hash(const Standpipe__Plan *message)
{
	size_t n = standpipe__plan__get_packed_size(message);
	uint8_t *packed = sp_alloc(n ? n : 1);
	standpipe__plan__pack(message, packed);
	uint64_t hash = XXH3_64bits(packed, n);
	sp_free(packed);
	return hash ? hash : 1; /* 0 means "no plan" */
}

struct plan *plan_new(const struct settings *s, const uint32_t *dest_ids)
{
	struct plan *p = sp_new(struct plan);
	const struct dest_settings **first = sp_new_array(const struct dest_settings *, s->n_dests);
	standpipe__plan__init(&p->message);
	p->message.groups = sp_new_array(Standpipe__Group *, s->n_dests);
	p->dests = sp_new_array(struct plan_dests, s->n_dests);
	p->message.max_future_ms = PLAN_MAX_FUTURE_MS;

	for (size_t i = 0; i < s->n_dests; i++) {
		size_t g = 0;
		while (g < p->message.n_groups && !same_mapping(first[g], &s->dests[i]))
			g++;
		if (g == p->message.n_groups) {
			first[g] = &s->dests[i];
			p->message.groups[g] = sp_new(Standpipe__Group);
			fill_group(p->message.groups[g], (uint32_t)g, &s->dests[i]);
			p->dests[g].ids = sp_new_array(uint32_t, s->n_dests);
			p->message.n_groups++;
		}
		p->dests[g].ids[p->dests[g].n++] = dest_ids[i];
	}
	sp_free(first);
	p->message.epoch = content_hash(&p->message);
	return p;
}

void plan_free(struct plan **plan)
{
	struct plan *p = *plan;
	if (!p)
		return;
	for (size_t g = 0; g < p->message.n_groups; g++) {
		Standpipe__Group *group = p->message.groups[g];
		for (size_t i = 0; i < group->n_external_labels; i++)
			sp_free(group->external_labels[i]);
		sp_free(group->external_labels);
		sp_free(group);
		sp_free(p->dests[g].ids);
	}
	sp_free(p->message.groups);
	sp_free(p->dests);
	sp_free(p);
	*plan = NULL;
}
