#include "convert/rewrite.h"

#include "common/alloc.h"
#include "convert/intern.h"
#include "proto/relabel.h"

struct rewriter {
	struct relabel *rules;
	struct relabel_set labels; /* of the series at hand */
	struct label_limits limits;
};

enum sp_status rewriter_new(const Standpipe__Group *group, struct rewriter **out, struct sp_why *why)
{
	struct relabel *rules;
	*out = NULL;
	if (group->n_relabel == 0)
		return SP_OK;
	enum sp_status status = relabel_new(group->relabel, group->n_relabel, &rules, why);
	if (status != SP_OK)
		return status;
	*out = sp_new(struct rewriter);
	**out = (struct rewriter){.rules = rules, .limits = mapping_limits(group)};
	return SP_OK;
}

void rewriter_free(struct rewriter **wp)
{
	struct rewriter *w = *wp;
	*wp = NULL;
	if (!w)
		return;
	relabel_free(&w->rules);
	relabel_set_free(&w->labels);
	sp_free(w);
}

uint64_t rewriter_limited(const struct rewriter *w)
{
	return relabel_limited(w->rules);
}

uint64_t rewriter_cut(const struct rewriter *w)
{
	return w->limits.cut;
}

static enum sp_status take_labels(
    struct rewriter *w, const struct mapped *in, const struct naming_series *series, struct sp_arena *arena)
{
	struct sp_bytes left = sp_bytes(in->labels, in->labels_len);
	struct rw_label label;
	size_t n = in->base.n + series->suffix.n;
	uint8_t *name = sp_arena_alloc(arena, n + 1);
	if (!name)
		return SP_NO_MEM;
	memcpy(name, in->base.p, in->base.n);
	if (series->suffix.n)
		memcpy(name + in->base.n, series->suffix.p, series->suffix.n);
	w->labels.n = 0;
	while (rw_next_label(&left, &label))
		relabel_put(&w->labels, label.name, label.value);
	relabel_put(&w->labels, SP_LIT("__name__"), sp_bytes(name, n));
	relabel_put(&w->labels, SP_LIT("quantile"), series->quantile);
	return SP_OK;
}

/* Those that all statistics of a metric share choose the shard. */
static bool tells_statistics_apart(struct sp_bytes name)
{
	return sp_eq(name, SP_LIT("quantile")) || sp_eq(name, SP_LIT("le"));
}

/* Fills in labels, before, identity and fate. */
static enum sp_status write_labels(struct rewriter *w, struct sp_arena *arena, struct mapped *out)
{
	size_t size = 0, longest = 0;
	for (size_t i = 0; i < w->labels.n; i++) {
		struct rw_label *l = &w->labels.v[i];
		longest = l->name.n > longest ? l->name.n : longest;
		if (sp_eq(l->name, SP_LIT("__name__")))
			continue;
		l->value = limits_cut(&w->limits, l->value);
		size += rw_label_size(l->name.n, l->value.n);
	}
	uint8_t *labels = sp_arena_alloc(arena, size), *to = labels;
	struct sp_arena_mark mark = sp_arena_mark(arena);
	uint8_t *shared = sp_arena_alloc(arena, size), *shared_to = shared;
	if (!labels || !shared || size > UINT32_MAX)
		return SP_NO_MEM;
	for (size_t i = 0; i < w->labels.n; i++) {
		const struct rw_label *l = &w->labels.v[i];
		if (sp_eq(l->name, SP_LIT("__name__")))
			out->base = l->value;
		else if (l->value.n) {
			to = rw_put_label(to, l->name, l->value);
			if (!tells_statistics_apart(l->name))
				shared_to = rw_put_label(shared_to, l->name, l->value);
		}
		if (sp_cmp(l->name, SP_LIT("__name__")) < 0)
			out->before = (uint32_t)(to - labels);
	}
	out->labels = labels;
	out->labels_len = (uint32_t)(to - labels);
	out->identity = intern_hash(sp_bytes(shared, (size_t)(shared_to - shared)));
	sp_arena_rewind(arena, mark);
	out->fate = sp_is_name(out->base, true) ? limits_fate(&w->limits, w->labels.n, longest) : FATE_BAD_NAME;
	return SP_OK;
}

enum sp_status rewrite_series(struct rewriter *w, struct mapping *mapping, const struct mapped *in,
    const struct naming_series *series, struct sp_arena *arena, struct mapped *out)
{
	*out = (struct mapped){.wants = in->wants, .from = in->from, .lane = in->lane};
	enum sp_status status = take_labels(w, in, series, arena);
	if (status == SP_OK)
		status = relabel_run(w->rules, &w->labels, arena, &out->dropped_by);
	if (status != SP_OK)
		return status;
	if (out->dropped_by >= 0) {
		out->fate = FATE_GONE;
		return SP_OK;
	}
	status = write_labels(w, arena, out);
	return status == SP_OK ? mapping_number(mapping, out->base, &out->metric) : status;
}
