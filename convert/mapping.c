#include "convert/mapping.h"

#include "common/alloc.h"
#include "common/conf.h"
#include "common/log.h"
#include "convert/intern.h"
#include "convert/utf8.h"
#include "proto/info.h"
#include "proto/remote_write.h"

#define SAID_BYTES 255 /* of a namespace, a metric and a unit each */

struct metric {
	struct interned entry; /* key: namespace, metric and, where names depend on it, unit */
	struct sp_bytes base;
	struct mapped_from from;
	struct sp_bytes job, name; /* values of labels */
	uint32_t number;
	uint8_t wants;
	struct filter_mask fits;
};

/* Two metrics of CloudWatch may have one name in Prometheus: they share its number, so that their series meet. */
struct base {
	struct interned entry; /* key: the base name */
	uint32_t number;
	const struct metric *first; /* NULL: a rule made the name */
};

struct origin {
	struct interned entry; /* key: account and region */
	struct filter_mask fits;
};

/* Other statistics for some metrics. */
struct override {
	struct sp_bytes ns, metric; /* globs; empty: all */
	uint8_t wants;
};

struct shape {
	struct interned entry; /* key: names of dimensions, quantiles, keys of other statistics */
	const struct naming_label *labels;
	size_t n_labels, before, before_quantile; /* labels[before] is the first after __name__ */
	const struct naming_series *series;
	bool has_quantile; /* one of the series has this label */
	struct filter_mask fits;
};

#define IDENTITY_MAX 12

struct mapping {
	struct naming_preset preset;
	struct naming_label identity[IDENTITY_MAX]; /* the preset's, with those of collision_labels */
	uint8_t wants; /* a bit for each enum naming_stat */
	struct override *overrides;
	size_t n_overrides;
	struct filter *filter; /* NULL: every point is taken */
	struct label_limits limits; /* none where rules come behind the mapping */
	bool has_limits;
	struct naming_label *external;
	struct sp_bytes *attributes; /* of the delivery: values of those external labels that are attributes */
	size_t n_external;
	const struct account_labels *accounts; /* NULL: nothing is said of any */
	size_t first_of_account;               /* of the external labels */
	struct sp_bytes account;               /* of the last point, and what is said of it */
	const struct sp_bytes *account_values;
	struct sp_arena *names; /* entries of the tables */
	struct intern metrics, bases, shapes, origins;
	uint32_t n_bases;
	uint64_t collisions;
	struct sp_log_rate collision_log;
	struct sp_buf key;       /* of the entry looked for */
	struct sp_bytes *values; /* of the labels of the point at hand */
	size_t n_values;
	uint64_t n_mended; /* values */
};

static enum sp_status read_statistics(char *const *words, size_t n, uint8_t *wants, struct sp_why *why)
{
	for (size_t i = 0; i < n; i++) {
		enum naming_stat stat = naming_stat(sp_str(words[i]));
		if (stat == STATS)
			return sp_fail(why, SP_CONFIG, "statistic \"%.40s\" is not known", words[i]);
		*wants |= (uint8_t)(1 << stat);
	}
	return SP_OK;
}

static enum sp_status set_statistics(struct mapping *m, const Standpipe__Group *group, struct sp_why *why)
{
	if (group->n_statistics == 0)
		m->wants = (uint8_t)((1 << STATS) - 1 - (m->preset.no_average ? 1 << STAT_AVERAGE : 0));
	enum sp_status status = read_statistics(group->statistics, group->n_statistics, &m->wants, why);
	m->overrides = sp_new_array(struct override, group->n_statistics_overrides + 1);
	for (size_t i = 0; i < group->n_statistics_overrides && status == SP_OK; i++) {
		const Standpipe__StatisticsOverride *from = group->statistics_overrides[i];
		struct override *to = &m->overrides[m->n_overrides++];
		to->ns = sp_str(sp_strdup(from->namespace_));
		to->metric = sp_str(sp_strdup(from->metric));
		status = read_statistics(from->statistics, from->n_statistics, &to->wants, why);
	}
	return status;
}

/* Before the first label is made: of these labels' names no dimension can be. */
static void add_collision_labels(struct mapping *m)
{
	static const struct naming_label both[] = {{.name = {(const uint8_t *)"namespace", 9}, .from = LABEL_NAMESPACE},
	    {.name = {(const uint8_t *)"metric_name", 11}, .from = LABEL_METRIC}};
	size_t n = m->preset.n_identity;
	SP_BUG_IF(n + 2 > IDENTITY_MAX);
	memcpy(m->identity, m->preset.identity, n * sizeof(*m->identity));
	for (int k = 0; k < 2; k++) {
		size_t i = 0;
		while (i < n && !sp_eq(m->identity[i].name, both[k].name))
			i++;
		if (i == n)
			m->identity[n++] = both[k];
	}
	m->preset.identity = m->identity;
	m->preset.n_identity = n;
}

static enum sp_status set_preset(struct mapping *m, const Standpipe__Group *group, struct sp_why *why)
{
	const struct naming_preset *preset = naming_find(sp_str(group->naming));
	if (!preset)
		return sp_fail(why, SP_CONFIG, "naming \"%.40s\" is not known", group->naming);
	m->preset = *preset;
	for (size_t i = 0; i < group->n_bugs; i++) {
		if (!naming_bug(&m->preset, sp_str(group->bugs[i])))
			return sp_fail(why, SP_CONFIG, "naming %s has no bug \"%.40s\"", preset->name, group->bugs[i]);
	}
	if (group->collision_labels)
		add_collision_labels(m);
	return SP_OK;
}

static bool has_external(const struct mapping *m, struct sp_bytes name, enum label_source from)
{
	for (size_t i = 0; i < m->n_external; i++) {
		if (m->external[i].from == from && sp_eq(name, m->external[i].name))
			return true;
	}
	return false;
}

/* Of labels of one name and source the first counts. */
static void add_external(struct mapping *m, struct sp_bytes name, struct sp_bytes value, enum label_source from)
{
	if (has_external(m, name, from))
		return;
	uint16_t at = (uint16_t)m->n_external++;
	m->external[at] = (struct naming_label){.name = sp_str(sp_strdup((const char *)name.p)),
		.value = sp_str(sp_strdup((const char *)value.p)), .from = from, .dim = at};
}

static enum sp_status set_external(struct mapping *m, const Standpipe__Group *group, struct sp_why *why)
{
	size_t n = group->n_external_labels + group->n_attributes + m->preset.n_constants;
	if (n > UINT16_MAX)
		return sp_fail(why, SP_CONFIG, "%zu external labels are too many", n);
	m->external = sp_new_array(struct naming_label, n + 1);
	m->attributes = sp_new_array(struct sp_bytes, n + 1);
	for (size_t i = 0; i < group->n_external_labels; i++) {
		struct sp_bytes name = sp_str(group->external_labels[i]->name), value = sp_str(group->external_labels[i]->value);
		if (!label_name_ok(name))
			return sp_fail(why, SP_CONFIG, "external label \"%.60s\" has a name that no receiver takes", (const char *)name.p);
		if (has_external(m, name, LABEL_CONSTANT))
			return sp_fail(why, SP_CONFIG, "external label \"%.60s\" is there twice", name.p);
		add_external(m, name, value, LABEL_CONSTANT);
	}
	for (size_t i = 0; i < group->n_attributes; i++) {
		struct sp_buf name = {0};
		naming_attribute(&name, sp_str(group->attributes[i]));
		sp_buf_u8(&name, 0);
		if (sp_buf_ok(&name))
			add_external(m, sp_str((const char *)name.p), sp_str(group->attributes[i]), LABEL_ATTRIBUTE);
		sp_buf_free(&name);
	}
	for (size_t i = 0; i < m->preset.n_constants; i++)
		add_external(m, m->preset.constants[i].name, m->preset.constants[i].value, m->preset.constants[i].from);
	return SP_OK;
}

void mapping_accounts(struct mapping *m, const struct account_labels *accounts)
{
	m->accounts = accounts;
	m->first_of_account = m->n_external;
	m->external = sp_realloc(m->external, (m->n_external + accounts->n_names + 1) * sizeof(*m->external));
	for (size_t i = 0; i < accounts->n_names; i++)
		add_external(m, accounts->names[i], SP_LIT(""), LABEL_OF_ACCOUNT);
}

enum sp_status mapping_new(const Standpipe__Group *group, size_t budget, struct mapping **out, struct sp_why *why)
{
	struct mapping *m = sp_new(struct mapping);
	m->names = sp_arena_new(budget);
	enum sp_status status = set_preset(m, group, why);
	if (status == SP_OK)
		status = set_statistics(m, group, why);
	if (status == SP_OK)
		status = set_external(m, group, why);
	if (status == SP_OK)
		status = filter_new(group, &m->filter, why);
	if (group->n_relabel == 0)
		m->limits = mapping_limits(group);
	m->has_limits = m->limits.labels || m->limits.name || m->limits.value;
	if (status == SP_OK)
		*out = m;
	else
		mapping_free(&m);
	return status;
}

void mapping_free(struct mapping **mp)
{
	struct mapping *m = *mp;
	*mp = NULL;
	if (!m)
		return;
	for (size_t i = 0; i < m->n_external; i++) {
		sp_free((void *)(uintptr_t)m->external[i].name.p);
		sp_free((void *)(uintptr_t)m->external[i].value.p);
	}
	sp_free(m->external);
	sp_free(m->attributes);
	for (size_t i = 0; i < m->n_overrides; i++) {
		sp_free((void *)(uintptr_t)m->overrides[i].ns.p);
		sp_free((void *)(uintptr_t)m->overrides[i].metric.p);
	}
	sp_free(m->overrides);
	filter_free(&m->filter);
	intern_free(&m->origins);
	intern_free(&m->metrics);
	intern_free(&m->bases);
	intern_free(&m->shapes);
	sp_arena_free(&m->names);
	sp_buf_free(&m->key);
	sp_free(m->values);
	sp_free(m);
}

void mapping_begin(struct mapping *m, const struct attributes *attributes)
{
	m->account = (struct sp_bytes){0}; /* was a view into the former delivery */
	m->account_values = NULL;
	for (size_t i = 0; i < m->n_external; i++) {
		if (m->external[i].from == LABEL_ATTRIBUTE)
			m->attributes[i] = attributes ? attributes_get(attributes, m->external[i].value) : (struct sp_bytes){0};
	}
	if (sp_arena_used(m->names) <= MAPPING_KEEP_BYTES)
		return;
	intern_clear(&m->metrics);
	intern_clear(&m->bases);
	intern_clear(&m->shapes);
	intern_clear(&m->origins);
	m->n_bases = 0;
	sp_arena_reset(m->names);
}

const struct naming_preset *mapping_preset(const struct mapping *m)
{
	return &m->preset;
}

const struct filter *mapping_filter(const struct mapping *m)
{
	return m->filter;
}

struct label_limits mapping_limits(const Standpipe__Group *group)
{
	return (struct label_limits){group->label_limit, group->label_name_limit, group->label_value_limit, 0};
}

uint64_t mapping_cut(const struct mapping *m)
{
	return m->limits.cut;
}

uint64_t mapping_collisions(const struct mapping *m)
{
	return m->collisions;
}

/* ---- what is kept ---- */

static uint8_t *put_key(uint8_t *to, struct sp_bytes s)
{
	uint32_t n = (uint32_t)s.n;
	memcpy(to, &n, 4);
	if (n)
		memcpy(to + 4, s.p, n);
	return to + 4 + n;
}

/* A zeroed entry with a copy of the key, not in a table yet. */
static void *new_entry(struct mapping *m, size_t size, struct sp_bytes key, uint64_t hash)
{
	struct interned *e = sp_arena_alloc(m->names, size);
	struct sp_bytes copy = sp_arena_copy(m->names, key);
	if (!e || !copy.p)
		return NULL;
	memset(e, 0, size);
	e->key = copy;
	e->hash = hash;
	return e;
}

/* What write makes of a name, kept. Its p is NULL when memory is spent. */
static struct sp_bytes keep(struct mapping *m, struct sp_buf *name)
{
	struct sp_bytes copy = sp_buf_ok(name) ? sp_arena_copy(m->names, sp_buf_view(name)) : (struct sp_bytes){0};
	sp_buf_free(name);
	return copy;
}

static struct base *base_of(struct mapping *m, struct sp_bytes name)
{
	uint64_t hash = intern_hash(name);
	struct base *b = (struct base *)intern_find(&m->bases, name, hash);
	if (!b && (b = new_entry(m, sizeof(*b), name, hash))) {
		b->number = m->n_bases++;
		intern_add(&m->bases, &b->entry);
	}
	return b;
}

enum sp_status mapping_number(struct mapping *m, struct sp_bytes base, uint32_t *out)
{
	const struct base *b = base_of(m, base);
	if (!b)
		return SP_NO_MEM;
	*out = b->number;
	return SP_OK;
}

static uint8_t wants_of(const struct mapping *m, struct sp_bytes ns, struct sp_bytes metric)
{
	for (size_t i = 0; i < m->n_overrides; i++) {
		const struct override *o = &m->overrides[i];
		if ((!o->ns.n || sp_glob(o->ns, ns)) && (!o->metric.n || sp_glob(o->metric, metric)))
			return o->wants;
	}
	return m->wants;
}

/* Legal, and rarely meant: whose dimensions are equal too become one series. */
static void note_collision(struct mapping *m, const struct base *base, const struct metric *metric)
{
	const struct metric *first = base->first;
	if (sp_eq(first->from.ns, metric->from.ns) && sp_eq(first->name, metric->name)) /* they differ in their units */
		return;
	m->collisions++;
	if (!sp_log_due(&m->collision_log, 1000))
		return;
	sp_log(SP_LOG_WARN, "convert.name_collision", sp_f_bytes("name", base->entry.key), sp_f_bytes("namespace", first->from.ns),
	    sp_f_bytes("metric", first->name), sp_f_bytes("other_namespace", metric->from.ns), sp_f_bytes("other_metric", metric->name),
	    sp_f_str("msg", "two metrics have one name; collision_labels tells their series apart"), SP_LOG_END);
}

/* The part of s that is shown to people. */
static struct sp_bytes clip(struct sp_bytes s)
{
	return sp_bytes(s.p, s.n < SAID_BYTES ? s.n : SAID_BYTES);
}

/* Type, unit and help. Its p is NULL when memory is spent. */
static struct sp_bytes describe(struct mapping *m, const struct cw_point *p)
{
	struct sp_buf unit = {0}, help = {0}, said = {0};
	struct sp_bytes ns = {0}, metric = {0};
	said.failed = utf8_clean(clip(p->ns), m->names, &ns) != SP_OK || utf8_clean(clip(p->metric), m->names, &metric) != SP_OK;
	naming_unit(&unit, clip(p->unit));
	sp_buf_str(&help, "CloudWatch metric ");
	sp_buf_add(&help, ns);
	sp_buf_u8(&help, ' ');
	sp_buf_add(&help, metric);
	info_describe(&said, m->preset.is_summary ? STANDPIPE__INFO_ENTRY__TYPE__SUMMARY : STANDPIPE__INFO_ENTRY__TYPE__GAUGE,
		sp_buf_view(&unit), sp_buf_view(&help));
	said.failed |= unit.failed | help.failed;
	sp_buf_free(&unit);
	sp_buf_free(&help);
	return keep(m, &said);
}

static struct metric *add_metric(struct mapping *m, const struct cw_point *p, struct sp_bytes key, uint64_t hash)
{
	struct sp_buf base = {0}, job = {0};
	m->preset.metric(&base, p->ns, p->metric, p->unit);
	if (m->preset.job_value)
		m->preset.job_value(&job, p->ns);
	struct metric *metric = new_entry(m, sizeof(*metric), key, hash);
	struct sp_bytes base_kept = keep(m, &base), job_kept = keep(m, &job), said = describe(m, p);
	if (!metric || !base_kept.p || !job_kept.p || !said.p)
		return NULL;
	metric->from.said = said;
	metric->base = base_kept;
	metric->job = job_kept;
	const uint8_t *ns = metric->entry.key.p + 4; /* as put_key has left them */
	metric->from.ns = sp_bytes(ns, p->ns.n);
	metric->name = sp_bytes(ns + p->ns.n + 4, p->metric.n);
	metric->wants = wants_of(m, metric->from.ns, metric->name);
	if (m->filter)
		metric->fits = filter_metric(m->filter, metric->from.ns, metric->name);

	struct base *b = base_of(m, base_kept);
	if (!b)
		return NULL;
	if (b->first)
		note_collision(m, b, metric);
	else
		b->first = metric;
	metric->number = b->number;
	intern_add(&m->metrics, &metric->entry);
	return metric;
}

static struct metric *metric_of(struct mapping *m, const struct cw_point *p)
{
	sp_buf_clear(&m->key);
	size_t unit = m->preset.by_unit ? p->unit.n : 0;
	uint8_t *to = sp_buf_room(&m->key, 8 + p->ns.n + p->metric.n + unit);
	if (!to)
		return NULL;
	uint8_t *end = put_key(put_key(to, p->ns), p->metric);
	if (unit)
		memcpy(end, p->unit.p, unit);
	end += unit;
	struct sp_bytes key = sp_bytes(to, (size_t)(end - to));
	uint64_t hash = intern_hash(key);
	struct metric *metric = (struct metric *)intern_find(&m->metrics, key, hash);
	return metric ? metric : add_metric(m, p, key, hash);
}

static struct shape *add_shape(struct mapping *m, const struct cw_point *p, struct sp_bytes key, uint64_t hash)
{
	struct shape *shape = new_entry(m, sizeof(*shape), key, hash);
	if (!shape ||
	    naming_labels(&m->preset, p->dims, p->n_dims, m->external, m->n_external, m->names, &shape->labels,
		&shape->n_labels) != SP_OK ||
	    naming_statistics(&m->preset, p, m->names, &shape->series) != SP_OK)
		return NULL;
	for (size_t i = 0; i < STATS_FIXED; i++)
		shape->has_quantile |= m->preset.fixed[i].quantile.n > 0;
	for (size_t i = 0; i < (size_t)p->n_quantiles + p->n_extras; i++)
		shape->has_quantile |= shape->series[i].quantile.n > 0;
	if (m->filter)
		shape->fits = filter_dims(m->filter, p->dims, p->n_dims);
	while (shape->before < shape->n_labels && sp_cmp(shape->labels[shape->before].name, SP_LIT("__name__")) < 0)
		shape->before++;
	while (shape->before_quantile < shape->n_labels &&
	       sp_cmp(shape->labels[shape->before_quantile].name, SP_LIT("quantile")) < 0)
		shape->before_quantile++;
	if (shape->n_labels > m->n_values) {
		m->n_values = shape->n_labels;
		m->values = sp_realloc(m->values, m->n_values * sizeof(*m->values));
	}
	intern_add(&m->shapes, &shape->entry);
	return shape;
}

static struct shape *shape_of(struct mapping *m, const struct cw_point *p)
{
	size_t n = 4 + 8u * p->n_quantiles;
	for (size_t i = 0; i < p->n_dims; i++)
		n += 4 + p->dims[i].name.n;
	for (size_t i = 0; i < p->n_extras; i++)
		n += 4 + p->extras[i].key.n;
	sp_buf_clear(&m->key);
	uint8_t *to = sp_buf_room(&m->key, n);
	if (!to)
		return NULL;
	memcpy(to, (const uint16_t[]){p->n_dims, p->n_quantiles}, 4);
	to += 4;
	for (size_t i = 0; i < p->n_dims; i++)
		to = put_key(to, p->dims[i].name);
	for (size_t i = 0; i < p->n_quantiles; i++, to += 8)
		memcpy(to, &p->quantiles[i].q, 8);
	for (size_t i = 0; i < p->n_extras; i++)
		to = put_key(to, p->extras[i].key);
	struct sp_bytes key = sp_bytes(m->key.p, n);
	uint64_t hash = intern_hash(key);
	struct shape *shape = (struct shape *)intern_find(&m->shapes, key, hash);
	return shape ? shape : add_shape(m, p, key, hash);
}

static struct origin *origin_of(struct mapping *m, const struct cw_point *p)
{
	sp_buf_clear(&m->key);
	uint8_t *to = sp_buf_room(&m->key, 8 + p->account.n + p->region.n);
	if (!to)
		return NULL;
	uint8_t *end = put_key(put_key(to, p->account), p->region);
	struct sp_bytes key = sp_bytes(to, (size_t)(end - to));
	uint64_t hash = intern_hash(key);
	struct origin *origin = (struct origin *)intern_find(&m->origins, key, hash);
	if (!origin && (origin = new_entry(m, sizeof(*origin), key, hash))) {
		origin->fits = filter_origin(m->filter, p->account, p->region);
		intern_add(&m->origins, &origin->entry);
	}
	return origin;
}

/* ---- labels ---- */

/* Points of one account mostly stand together. */
static void find_account(struct mapping *m, struct sp_bytes account)
{
	if (!m->accounts || (m->account.p && sp_eq(m->account, account)))
		return;
	m->account = account;
	m->account_values = account_labels_find(m->accounts, account);
}

static struct sp_bytes label_value(const struct mapping *m, const struct naming_label *label, const struct cw_point *p,
	const struct metric *metric)
{
	switch (label->from) {
	case LABEL_DIM:
		return p->dims[label->dim].value;
	case LABEL_ACCOUNT:
		return p->account;
	case LABEL_REGION:
		return p->region;
	case LABEL_JOB:
		return metric->job;
	case LABEL_NAMESPACE:
		return metric->from.ns;
	case LABEL_METRIC:
		return metric->name;
	case LABEL_OF_ACCOUNT:
		return m->account_values ? m->account_values[label->dim - m->first_of_account] : (struct sp_bytes){0};
	case LABEL_ATTRIBUTE:
		return m->attributes[label->dim];
	case LABEL_CONSTANT:
		return label->value;
	}
	return (struct sp_bytes){0};
}

static enum sp_status clean_value(
    struct mapping *m, struct sp_bytes from, struct sp_arena *arena, struct sp_bytes *value)
{
	enum sp_status status = utf8_clean(from, arena, value);
	m->n_mended += status == SP_OK && value->p != from.p;
	return status;
}

uint64_t mapping_mended(const struct mapping *m)
{
	return m->n_mended;
}

/* A value in small letters, those beyond ASCII excepted. */
static enum sp_status lower(struct sp_bytes *value, struct sp_arena *arena)
{
	struct sp_bytes copy = sp_arena_copy(arena, *value);
	if (!copy.p)
		return SP_NO_MEM;
	uint8_t *p = (uint8_t *)(uintptr_t)copy.p;
	for (size_t i = 0; i < copy.n; i++)
		p[i] |= p[i] >= 'A' && p[i] <= 'Z' ? 0x20 : 0;
	*value = copy;
	return SP_OK;
}

static bool is_lowered(const struct mapping *m, enum label_source from)
{
	return m->preset.lowercase_values && (from == LABEL_DIM || from == LABEL_NAMESPACE || from == LABEL_METRIC);
}

enum sp_status mapping_point(struct mapping *m, const struct cw_point *p, struct sp_arena *arena, struct mapped *out)
{
	const struct metric *metric = metric_of(m, p);
	const struct shape *shape = shape_of(m, p);
	if (!metric || !shape)
		return SP_NO_MEM;
	if (m->filter) {
		const struct origin *origin = origin_of(m, p);
		if (!origin)
			return SP_NO_MEM;
		out->dropped_by = filter_verdict(m->filter, &metric->fits, &shape->fits, &origin->fits);
		if (out->dropped_by >= 0) {
			out->fate = FATE_GONE;
			return SP_OK;
		}
	}
	find_account(m, p->account);
	size_t size = 0, before = 0, before_quantile = 0, n = 1 + shape->has_quantile, longest = 0;
	bool is_there = false; /* a label of this name */
	for (size_t i = 0; i < shape->n_labels; i++) {
		const struct naming_label *label = &shape->labels[i];
		struct sp_bytes *value = &m->values[i];
		is_there = label->is_default && (is_there || m->values[i - 1].n);
		if (is_there)
			*value = (struct sp_bytes){0};
		else if (clean_value(m, label_value(m, label, p, metric), arena, value) != SP_OK ||
			 (is_lowered(m, label->from) && lower(value, arena) != SP_OK))
			return SP_NO_MEM;
		if (m->has_limits && value->n) {
			*value = limits_cut(&m->limits, *value);
			longest = label->name.n > longest ? label->name.n : longest;
			n++;
		}
		if (value->n) /* an empty label is the same as none */
			size += rw_label_size(label->name.n, value->n);
		if (i + 1 == shape->before)
			before = size;
		if (i + 1 == shape->before_quantile)
			before_quantile = size;
	}
	uint8_t *labels = sp_arena_alloc(arena, size), *to = labels;
	if (!labels || size > UINT32_MAX)
		return SP_NO_MEM;
	for (size_t i = 0; i < shape->n_labels; i++) {
		if (m->values[i].n)
			to = rw_put_label(to, shape->labels[i].name, m->values[i]);
	}
	*out = (struct mapped){.labels = labels, .labels_len = (uint32_t)size, .before = (uint32_t)before,
		.before_quantile = (uint32_t)before_quantile, .identity = intern_hash(sp_bytes(labels, size)),
		.metric = metric->number, .base = metric->base, .from = &metric->from, .series = shape->series,
		.dropped_by = -1, .wants = metric->wants, .fate = (uint8_t)limits_fate(&m->limits, n, longest)};
	return SP_OK;
}

static bool is_origin(const struct mapping *m, struct sp_bytes name)
{
	for (size_t i = 0; i < m->preset.n_identity; i++) {
		const struct naming_label *label = &m->preset.identity[i];
		if ((label->from == LABEL_ACCOUNT || label->from == LABEL_REGION) && sp_eq(name, label->name))
			return true;
	}
	return sp_eq(name, SP_LIT("cloud_provider"));
}

enum sp_status mapping_without_origin(
    const struct mapping *m, const struct mapped *in, struct sp_arena *arena, struct mapped *out)
{
	struct sp_bytes left = sp_bytes(in->labels, in->labels_len);
	struct rw_label label;
	uint8_t *labels = sp_arena_alloc(arena, left.n), *to = labels;
	if (!labels)
		return SP_NO_MEM;
	*out = *in;
	out->labels = labels;
	while (rw_next_label(&left, &label)) {
		if (!is_origin(m, label.name))
			to = rw_put_label(to, label.name, label.value);
		else if (sp_cmp(label.name, SP_LIT("__name__")) < 0)
			out->before -= (uint32_t)rw_label_size(label.name.n, label.value.n);
	}
	out->labels_len = (uint32_t)(to - labels);
	return SP_OK;
}
