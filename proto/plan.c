#include "proto/plan.h"

#include "common/alloc.h"
#include "common/arena.h"
#include "proto/relabel.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

/* Points later than now + this are set aside: one sample of tomorrow makes some receivers refuse all of today's. */
#define PLAN_MAX_FUTURE_MS 600000

struct builder {
	struct plan *plan;
	struct sp_bytes *packed; /* of the plan's groups, with id 0 */
	const struct settings *s;
	const uint32_t *dest_ids;
};

/* One more pointer in a repeated field. */
static void append(struct sp_arena *a, void *list, size_t *n, void *item)
{
	void ***v = list;
	*v = sp_arena_grow(a, *v, *n * sizeof **v, (*n + 1) * sizeof **v);
	SP_BUG_IF(!*v);
	(*v)[(*n)++] = item;
}

/* Items of a list within a rule. */
static void append_items(struct sp_arena *a, const char *items, char ***list, size_t *n)
{
	while (items && *items) {
		size_t len = strcspn(items, "\n,");
		struct sp_bytes item = sp_trim(sp_bytes(items, len));
		char *copy = sp_arena_take(a, item.n + 1);
		memcpy(copy, item.p, item.n);
		if (item.n)
			append(a, list, n, copy);
		items += len + (items[len] != '\0');
	}
}

static char *text(const char *s)
{
	return s ? (char *)s : (char *)protobuf_c_empty_string;
}

/* ---- one group ---- */

static void add_label(struct sp_arena *a, Standpipe__Label ***list, size_t *n, const char *name, const char *value)
{
	Standpipe__Label *l = sp_arena_take(a, sizeof *l);
	standpipe__label__init(l);
	l->name = text(name);
	l->value = text(value);
	append(a, list, n, l);
}

static void add_filters(struct sp_arena *a, Standpipe__Group *g, const struct sp_rules *rules)
{
	if (rules->n == 0)
		return;
	Standpipe__FilterSet *set = sp_arena_take(a, sizeof *set);
	standpipe__filter_set__init(set);
	for (size_t i = 0; i < rules->n; i++) {
		const struct sp_map *from = &rules->v[i];
		const char *name = sp_map_get(from, "name"), *action = sp_map_get(from, "action");
		Standpipe__Filter *f = sp_arena_take(a, sizeof *f);
		standpipe__filter__init(f);
		f->name = text(name);
		if (!name) {
			f->name = sp_arena_take(a, 24);
			snprintf(f->name, 24, "%zu", i);
		}
		f->exclude = action && strcmp(action, "exclude") == 0;
		append_items(a, sp_map_get(from, "namespace"), &f->namespaces, &f->n_namespaces);
		append_items(a, sp_map_get(from, "metric"), &f->metrics, &f->n_metrics);
		const char *dimensions = sp_map_get(from, "dimensions");
		append_items(a, dimensions && !*dimensions ? "!*" : dimensions, &f->dimensions, &f->n_dimensions); /* []: none */
		append_items(a, sp_map_get(from, "account"), &f->accounts, &f->n_accounts);
		append_items(a, sp_map_get(from, "region"), &f->regions, &f->n_regions);
		append(a, &set->filters, &set->n_filters, f);
	}
	append(a, &g->filter_sets, &g->n_filter_sets, set);
}

static void add_statistics_overrides(struct sp_arena *a, Standpipe__Group *g, const struct sp_rules *rules)
{
	for (size_t i = 0; i < rules->n; i++) {
		Standpipe__StatisticsOverride *o = sp_arena_take(a, sizeof *o);
		standpipe__statistics_override__init(o);
		o->namespace_ = text(sp_map_get(&rules->v[i], "namespace"));
		o->metric = text(sp_map_get(&rules->v[i], "metric"));
		append_items(a, sp_map_get(&rules->v[i], "statistics"), &o->statistics, &o->n_statistics);
		append(a, &g->statistics_overrides, &g->n_statistics_overrides, o);
	}
}

static char *get(const struct sp_map *rule, const char *name, const char *otherwise)
{
	const char *value = sp_map_get(rule, name);
	return (char *)(value ? value : otherwise);
}

static void add_relabel(struct sp_arena *a, Standpipe__Group *g, const struct sp_rules *rules)
{
	for (size_t i = 0; i < rules->n; i++) {
		const struct sp_map *from = &rules->v[i];
		const char *modulus = get(from, "modulus", "0");
		Standpipe__Relabel *r = sp_arena_take(a, sizeof *r);
		standpipe__relabel__init(r);
		append_items(a, sp_map_get(from, "source_labels"), &r->source_labels, &r->n_source_labels);
		r->separator = get(from, "separator", ";");
		r->regex = get(from, "regex", "(.*)");
		r->modulus = strtoull(modulus, NULL, 10);
		r->target_label = get(from, "target_label", "");
		r->replacement = get(from, "replacement", "$1");
		r->action = get(from, "action", "replace");
		append(a, &g->relabel, &g->n_relabel, r);
	}
}

static void add_matches(struct sp_arena *a, Standpipe__Group *g, const struct sp_map *map)
{
	for (size_t i = 0; i < map->n; i++) {
		Standpipe__AttributeMatch *m = sp_arena_take(a, sizeof *m);
		standpipe__attribute_match__init(m);
		m->name = map->names[i];
		m->value_hash = XXH3_64bits(map->values[i], strlen(map->values[i]));
		append(a, &g->match_attributes, &g->n_match_attributes, m);
	}
}

/* A key's labels come first: of equal names the first counts. */
static void add_labels(struct sp_arena *a, Standpipe__Group *g, const struct sp_map *map)
{
	for (size_t i = 0; i < map->n; i++) {
		size_t k = 0;
		while (k < g->n_external_labels && strcmp(g->external_labels[k]->name, map->names[i]) != 0)
			k++;
		if (k == g->n_external_labels)
			add_label(a, &g->external_labels, &g->n_external_labels, map->names[i], map->values[i]);
	}
}

/* key: NULL for keys without settings of their own. */
static Standpipe__Group *group_new(struct sp_arena *a, const struct dest_settings *d, const struct key_settings *key)
{
	Standpipe__Group *g = sp_arena_take(a, sizeof *g);
	standpipe__group__init(g);
	g->naming = text(key && key->naming ? key->naming : d->naming);
	g->stamp_start = strcmp(d->timestamp, "start") == 0;
	if (strcmp(g->naming, "logzio") == 0) {
		g->bugs = d->bugs.v;
		g->n_bugs = d->bugs.n;
	}
	g->statistics = d->statistics.v;
	g->n_statistics = d->statistics.n;
	add_statistics_overrides(a, g, &d->statistics_overrides);
	add_filters(a, g, &d->filters);
	if (key) {
		add_filters(a, g, &key->filters);
		add_labels(a, g, &key->labels);
	}
	add_labels(a, g, &d->external_labels);
	add_relabel(a, g, &d->relabel);
	g->attributes = d->attributes.v;
	g->n_attributes = d->attributes.n;
	add_matches(a, g, &d->match_attributes);
	g->lane_by = text(d->lanes_by);
	g->max_age_ms = d->max_age;
	g->label_limit = (uint32_t)d->label_limit;
	g->label_name_limit = (uint32_t)d->label_name_limit;
	g->label_value_limit = (uint32_t)d->label_value_limit;
	g->collision_labels = d->collision_labels;
	g->shards = (uint32_t)d->shards;
	g->max_samples = (uint32_t)d->max_samples;
	g->max_bytes = (uint64_t)d->max_bytes;
	g->max_raw_bytes = (uint64_t)d->max_raw_bytes;
	return g;
}

static enum sp_status check_relabel(const struct dest_settings *d, struct sp_arena *a, struct sp_why *why)
{
	struct sp_why what = {.text = ""};
	Standpipe__Group g = STANDPIPE__GROUP__INIT;
	add_relabel(a, &g, &d->relabel);
	for (size_t i = 0; i < d->relabel.n; i++) {
		struct relabel *r = NULL;
		const struct sp_map *rule = &d->relabel.v[i];
		const char *modulus = get(rule, "modulus", "0");
		enum sp_status status = SP_OK;
		if (!*modulus || modulus[strspn(modulus, "0123456789")])
			status = sp_fail(&what, SP_CONFIG, "0: modulus \"%.20s\" is not a number", modulus);
		if (status == SP_OK)
			status = relabel_new(&g.relabel[i], 1, &r, &what);
		relabel_free(&r);
		if (status != SP_OK)
			return sp_fail(why, SP_CONFIG, "%s: destinations.%s.write_relabel_configs.%zu%s", rule->origin, d->name, i,
			    what.text + 1); /* it says that it is rule 0 */
	}
	return SP_OK;
}

/* ---- tenants ---- */

static bool same_ids(const struct plan_dests *a, const struct plan_dests *b)
{
	return a->n == b->n && memcmp(a->ids, b->ids, a->n * sizeof *a->ids) == 0;
}

/* The plan's group of this content for these destinations, an earlier tenant's or a new one. */
static uint32_t group_place(struct builder *b, Standpipe__Group *group, struct sp_bytes packed, struct plan_dests dests)
{
	Standpipe__Plan *m = &b->plan->message;
	size_t g = 0;
	while (g < m->n_groups && !(sp_eq(b->packed[g], packed) && same_ids(&b->plan->dests[g], &dests)))
		g++;
	if (g < m->n_groups)
		return (uint32_t)g;
	struct sp_arena *a = b->plan->arena;
	b->packed = sp_realloc(b->packed, (g + 1) * sizeof *b->packed);
	b->plan->dests = sp_realloc(b->plan->dests, (g + 1) * sizeof *b->plan->dests);
	b->packed[g] = packed;
	b->plan->dests[g] = dests;
	group->id = (uint32_t)g;
	append(a, &m->groups, &m->n_groups, group);
	return (uint32_t)g;
}

static void add_tenant(struct builder *b, const struct key_settings *key)
{
	struct sp_arena *a = b->plan->arena;
	size_t n = b->s->n_dests, n_groups = 0;
	Standpipe__Group **groups = sp_new_array(Standpipe__Group *, n + 1);
	struct sp_bytes *packed = sp_new_array(struct sp_bytes, n + 1);
	struct plan_dests *dests = sp_new_array(struct plan_dests, n + 1);
	for (size_t i = 0; i < n; i++) {
		if (key && !key_takes(key, &b->s->dests[i]))
			continue;
		Standpipe__Group *group = group_new(a, &b->s->dests[i], key);
		size_t size = standpipe__group__get_packed_size(group), g = 0;
		uint8_t *bytes = sp_arena_take(a, size);
		standpipe__group__pack(group, bytes);
		while (g < n_groups && !sp_eq(packed[g], sp_bytes(bytes, size)))
			g++;
		if (g == n_groups) {
			groups[g] = group;
			packed[g] = sp_bytes(bytes, size);
			dests[g].ids = sp_arena_take(a, n * sizeof *dests[g].ids);
			n_groups++;
		}
		dests[g].ids[dests[g].n++] = b->dest_ids[i];
	}
	Standpipe__Tenant *tenant = sp_arena_take(a, sizeof *tenant);
	standpipe__tenant__init(tenant);
	tenant->key_name = text(key ? key->name : NULL);
	tenant->groups = sp_arena_take(a, n_groups * sizeof *tenant->groups);
	for (size_t g = 0; g < n_groups; g++)
		tenant->groups[tenant->n_groups++] = group_place(b, groups[g], packed[g], dests[g]);
	append(a, &b->plan->message.tenants, &b->plan->message.n_tenants, tenant);
	sp_free(groups);
	sp_free(packed);
	sp_free(dests);
}

static bool has_own_settings(const struct key_settings *key)
{
	return key->in_dir || key->destinations.n || key->labels.n || key->naming || key->filters.n;
}

static void add_accounts(struct plan *p, const struct accounts *accounts)
{
	for (size_t i = 0; accounts && i < accounts->n; i++) {
		Standpipe__Account *account = sp_arena_take(p->arena, sizeof *account);
		standpipe__account__init(account);
		account->id = accounts->v[i].id;
		for (size_t k = 0; k < accounts->v[i].labels.n; k++)
			add_label(p->arena, &account->labels, &account->n_labels, accounts->v[i].labels.names[k],
			    accounts->v[i].labels.values[k]);
		append(p->arena, &p->message.accounts, &p->message.n_accounts, account);
	}
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

struct plan *plan_new(const struct settings *s, const struct accounts *accounts, const uint32_t *dest_ids)
{
	struct plan *p = sp_new(struct plan);
	struct builder b = {.plan = p, .s = s, .dest_ids = dest_ids};
	standpipe__plan__init(&p->message);
	p->arena = sp_arena_new(0);
	p->message.max_future_ms = PLAN_MAX_FUTURE_MS;
	add_tenant(&b, NULL);
	for (size_t i = 0; i < s->n_keys; i++)
		if (has_own_settings(&s->keys[i]))
			add_tenant(&b, &s->keys[i]);
	add_accounts(p, accounts);
	sp_free(b.packed);
	p->message.epoch = content_hash(&p->message);
	return p;
}

void plan_free(struct plan **plan)
{
	struct plan *p = *plan;
	if (!p)
		return;
	*plan = NULL;
	sp_arena_free(&p->arena);
	sp_free(p->dests);
	sp_free(p);
}

enum sp_status plan_check(const struct settings *s, struct sp_why *why)
{
	struct sp_arena *a = sp_arena_new(0);
	enum sp_status status = SP_OK;
	for (size_t i = 0; i < s->n_dests && status == SP_OK; i++)
		status = check_relabel(&s->dests[i], a, why);
	sp_arena_free(&a);
	if (status != SP_OK)
		return status;
	uint32_t *ids = sp_new_array(uint32_t, s->n_dests + 1);
	struct plan *p = plan_new(s, NULL, ids);
	size_t n = standpipe__plan__get_packed_size(&p->message);
	plan_free(&p);
	sp_free(ids);
	return n <= PLAN_MAX_BYTES ? SP_OK
				   : sp_fail(why, SP_CONFIG,
					 "keys and destinations make a plan of %zu bytes, the limit is %zu: a key with settings of its own "
					 "has all rules of each of its destinations",
					 n, PLAN_MAX_BYTES);
}
