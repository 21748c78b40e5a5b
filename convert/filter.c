#include "convert/filter.h"

#include "common/alloc.h"

enum field { NAMESPACE, METRIC, DIMENSIONS, ACCOUNT, REGION, FIELDS };

struct globs {
	struct sp_bytes *v;
	size_t n;
};

struct rule {
	const char *name;
	struct globs globs[FIELDS];
};

struct set {
	struct rule *rules;
	uint32_t n;
	uint64_t excludes, includes;
};

struct filter {
	struct sp_arena *arena; /* of the texts */
	struct set sets[FILTER_SETS];
};

static struct globs copy_globs(struct filter *f, char *const *v, size_t n)
{
	struct globs out = {sp_arena_take(f->arena, n * sizeof(*out.v)), n};
	for (size_t i = 0; i < n; i++)
		out.v[i] = sp_arena_copy(f->arena, sp_str(v[i]));
	return out;
}

static void add_rule(struct filter *f, struct set *set, const Standpipe__Filter *from)
{
	uint64_t bit = UINT64_C(1) << set->n;
	*(from->exclude ? &set->excludes : &set->includes) |= bit;
	set->rules[set->n++] = (struct rule){.name = (const char *)sp_arena_copy(f->arena, sp_bytes(from->name, strlen(from->name) + 1)).p,
		.globs = {[NAMESPACE] = copy_globs(f, from->namespaces, from->n_namespaces),
		    [METRIC] = copy_globs(f, from->metrics, from->n_metrics),
		    [DIMENSIONS] = copy_globs(f, from->dimensions, from->n_dimensions),
		    [ACCOUNT] = copy_globs(f, from->accounts, from->n_accounts),
		    [REGION] = copy_globs(f, from->regions, from->n_regions)}};
}

enum sp_status filter_new(const Standpipe__Group *group, struct filter **out, struct sp_why *why)
{
	if (group->n_filter_sets > FILTER_SETS)
		return sp_fail(why, SP_CONFIG, "%zu sets of filters, more than %d", group->n_filter_sets, FILTER_SETS);
	for (size_t i = 0; i < group->n_filter_sets; i++) {
		if (group->filter_sets[i]->n_filters > FILTER_RULES_MAX)
			return sp_fail(why, SP_CONFIG, "%zu rules in a set of filters, more than %u",
			    group->filter_sets[i]->n_filters, FILTER_RULES_MAX);
	}
	*out = NULL;
	if (group->n_filter_sets == 0)
		return SP_OK;
	struct filter *f = sp_new(struct filter);
	f->arena = sp_arena_new(0);
	for (size_t i = 0; i < group->n_filter_sets; i++) {
		const Standpipe__FilterSet *from = group->filter_sets[i];
		f->sets[i].rules = sp_arena_take(f->arena, from->n_filters * sizeof(struct rule));
		for (size_t k = 0; k < from->n_filters; k++)
			add_rule(f, &f->sets[i], from->filters[k]);
	}
	*out = f;
	return SP_OK;
}

void filter_free(struct filter **fp)
{
	struct filter *f = *fp;
	*fp = NULL;
	if (!f)
		return;
	sp_arena_free(&f->arena);
	sp_free(f);
}

static bool fits_one(const struct globs *globs, struct sp_bytes s)
{
	size_t i = 0;
	while (i < globs->n && !sp_glob(globs->v[i], s))
		i++;
	return globs->n == 0 || i < globs->n;
}

static struct filter_mask mask_of_two(
    const struct filter *f, enum field a, struct sp_bytes a_text, enum field b, struct sp_bytes b_text)
{
	struct filter_mask mask = {{0}};
	for (int s = 0; s < FILTER_SETS; s++) {
		for (uint32_t i = 0; i < f->sets[s].n; i++) {
			const struct globs *globs = f->sets[s].rules[i].globs;
			if (fits_one(&globs[a], a_text) && fits_one(&globs[b], b_text))
				mask.of[s] |= UINT64_C(1) << i;
		}
	}
	return mask;
}

struct filter_mask filter_metric(const struct filter *f, struct sp_bytes ns, struct sp_bytes metric)
{
	return mask_of_two(f, NAMESPACE, ns, METRIC, metric);
}

struct filter_mask filter_origin(const struct filter *f, struct sp_bytes account, struct sp_bytes region)
{
	return mask_of_two(f, ACCOUNT, account, REGION, region);
}

static bool dims_hold(const struct globs *globs, const struct cw_dim *dims, size_t n)
{
	for (size_t i = 0; i < globs->n; i++) {
		struct sp_bytes glob = globs->v[i];
		bool wanted = glob.n == 0 || glob.p[0] != '!';
		if (!wanted)
			glob.p++, glob.n--;
		size_t d = 0;
		while (d < n && !sp_glob(glob, dims[d].name))
			d++;
		if ((d < n) != wanted)
			return false;
	}
	return true;
}

struct filter_mask filter_dims(const struct filter *f, const struct cw_dim *dims, size_t n)
{
	struct filter_mask mask = {{0}};
	for (int s = 0; s < FILTER_SETS; s++) {
		for (uint32_t i = 0; i < f->sets[s].n; i++) {
			if (dims_hold(&f->sets[s].rules[i].globs[DIMENSIONS], dims, n))
				mask.of[s] |= UINT64_C(1) << i;
		}
	}
	return mask;
}

int filter_verdict(
    const struct filter *f, const struct filter_mask *metric, const struct filter_mask *dims, const struct filter_mask *origin)
{
	int first = 0; /* number of the set's first rule */
	for (int s = 0; s < FILTER_SETS; s++) {
		const struct set *set = &f->sets[s];
		uint64_t fits = metric->of[s] & dims->of[s] & origin->of[s];
		if (fits & set->excludes)
			return first + __builtin_ctzll(fits & set->excludes);
		if (set->includes && !(fits & set->includes))
			return first + (int)set->n;
		first += (int)set->n + 1;
	}
	return -1;
}

const char *filter_name(const struct filter *f, int verdict)
{
	int s = 0;
	while (s < FILTER_SETS - 1 && verdict > (int)f->sets[s].n)
		verdict -= (int)f->sets[s++].n + 1;
	return verdict < (int)f->sets[s].n ? f->sets[s].rules[verdict].name : "not_included";
}

int filter_verdicts(const struct filter *f)
{
	int n = 0;
	for (int s = 0; s < FILTER_SETS; s++)
		n += (int)f->sets[s].n + 1;
	return n;
}
