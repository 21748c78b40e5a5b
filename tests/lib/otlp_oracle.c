#include "tests/lib/otlp_oracle.h"

#include "tests/otlp_oracle.pb-c.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define MOST 64 /* dimensions or quantiles of a point */

struct oracle {
	struct sp_arena *arena;
	struct cw_points *points;
	size_t set_aside;
	bool unsure;
};

static struct sp_bytes view(ProtobufCBinaryData b)
{
	return sp_bytes(b.data, b.len);
}

static struct sp_bytes keep(struct oracle *o, struct sp_bytes s)
{
	return s.n ? sp_arena_copy(o->arena, s) : s;
}

/* False: not set. */
static bool value_text(struct oracle *o, const Oracle__AnyValue *v, struct sp_bytes *out)
{
	char number[32];
	int set = v ? v->has_text + v->has_truth + v->has_number : 0;
	*out = (struct sp_bytes){0};
	if (v && (set > 1 || v->has_real || v->has_list || v->map || v->has_binary))
		o->unsure = true;
	if (!set)
		return false;
	snprintf(number, sizeof number, "%" PRId64, v->number);
	*out = keep(o, v->has_text ? view(v->text) : v->has_truth ? sp_str(v->truth ? "true" : "false") : sp_str(number));
	return true;
}

struct names {
	struct sp_bytes ns, metric;
	bool has_ns, has_metric;
	struct cw_dim dims[MOST];
	size_t n;
};

static void add_dim(struct oracle *o, struct names *s, struct sp_bytes name, struct sp_bytes value)
{
	for (size_t i = 0; i < s->n; i++)
		if (sp_eq(s->dims[i].name, name))
			return;
	if (s->n == MOST || name.n > 1000 || value.n > 10000)
		o->unsure = true;
	else if (name.n)
		s->dims[s->n++] = (struct cw_dim){keep(o, name), keep(o, value)};
}

/* True when key is one of the two names; the first of each counts. */
static bool add_name(struct names *s, struct sp_bytes key, struct sp_bytes value, bool *was_first)
{
	bool is_ns = sp_eq(key, SP_LIT("Namespace")), is_metric = sp_eq(key, SP_LIT("MetricName"));
	bool *has = is_ns ? &s->has_ns : &s->has_metric;
	*was_first = false;
	if (!is_ns && !is_metric)
		return false;
	if (!*has) {
		*(is_ns ? &s->ns : &s->metric) = value;
		*was_first = *has = true;
	}
	return true;
}

static void read_attributes(struct oracle *o, const Oracle__Point *p, struct names *s)
{
	for (size_t i = 0; i < p->n_attributes; i++) {
		const Oracle__KeyValue *a = p->attributes[i];
		struct sp_bytes key = view(a->key), text;
		bool first;
		if (sp_eq(key, SP_LIT("Dimensions")) && a->value && a->value->map) {
			const Oracle__AnyValue *v = a->value;
			o->unsure = o->unsure || v->has_text || v->has_truth || v->has_number || v->has_real || v->has_list || v->has_binary;
			for (size_t k = 0; k < v->map->n_values; k++)
				if (value_text(o, v->map->values[k]->value, &text))
					add_dim(o, s, view(v->map->values[k]->key), text);
			continue;
		}
		bool set = value_text(o, a->value, &text);
		if (!add_name(s, key, text, &first) && set)
			add_dim(o, s, key, text);
	}
}

static void read_labels(struct oracle *o, const Oracle__Point *p, struct names *s)
{
	for (size_t i = 0; i < p->n_labels; i++) {
		struct sp_bytes key = view(p->labels[i]->key), value = keep(o, view(p->labels[i]->value));
		bool first;
		if (!add_name(s, key, value, &first) || (!first && p->n_attributes == 0))
			add_dim(o, s, key, value);
	}
}

static void names_from_metric(struct names *s, struct sp_bytes name)
{
	const struct sp_bytes prefix = SP_LIT("amazonaws.com/");
	if (s->ns.n && s->metric.n)
		return;
	if (name.n < prefix.n || memcmp(name.p, prefix.p, prefix.n) != 0) {
		s->metric = s->metric.n ? s->metric : name;
		return;
	}
	size_t start = prefix.n, slash = 0;
	for (size_t i = start; i < name.n; i++)
		slash = name.p[i] == '/' ? i : slash;
	if (s->ns.n && name.n > start + s->ns.n && memcmp(name.p + start, s->ns.p, s->ns.n) == 0 && name.p[start + s->ns.n] == '/')
		slash = start + s->ns.n;
	if (!s->metric.n)
		s->metric = slash ? sp_bytes(name.p + slash + 1, name.n - slash - 1) : sp_bytes(name.p + start, name.n - start);
	if (!s->ns.n && slash)
		s->ns = sp_bytes(name.p + start, slash - start);
}

static void read_values(struct oracle *o, const Oracle__Point *in, struct cw_point *p)
{
	struct cw_quantile *q = sp_arena_alloc(o->arena, (in->n_quantiles + 1) * sizeof *q);
	if (in->flags & 1)
		return;
	p->has = CW_COUNT | (isnan(in->sum) ? 0 : CW_SUM);
	p->count = (double)in->count;
	p->sum = isnan(in->sum) ? 0 : in->sum;
	p->quantiles = q;
	o->unsure = o->unsure || in->n_quantiles > MOST;
	for (size_t i = 0; i < in->n_quantiles; i++) {
		double at = in->quantiles[i]->quantile, v = in->quantiles[i]->value;
		bool known = false;
		if (isnan(v) || !(at >= 0 && at <= 1))
			continue;
		if (at == 0 && !(p->has & CW_MIN)) {
			p->has |= CW_MIN;
			p->min = v;
		} else if (at == 1 && !(p->has & CW_MAX)) {
			p->has |= CW_MAX;
			p->max = v;
		}
		for (size_t k = 0; k < p->n_quantiles; k++)
			known = known || q[k].q == at;
		if (!known && at > 0 && at < 1)
			q[p->n_quantiles++] = (struct cw_quantile){at, v};
	}
}

static int by_name(const void *a, const void *b)
{
	return sp_cmp(((const struct cw_dim *)a)->name, ((const struct cw_dim *)b)->name);
}

static int by_quantile(const void *a, const void *b)
{
	double x = ((const struct cw_quantile *)a)->q, y = ((const struct cw_quantile *)b)->q;
	return (x > y) - (x < y);
}

static void read_point(struct oracle *o, const Oracle__Metric *m, const Oracle__Point *in, const struct cw_point *resource)
{
	struct names s = {.n = 0};
	read_attributes(o, in, &s);
	read_labels(o, in, &s);
	names_from_metric(&s, keep(o, view(m->name)));
	if (s.metric.n == 0 || (in->start == 0 && in->time == 0)) {
		o->set_aside++;
		return;
	}
	struct cw_point *p = cw_points_add(o->points, o->arena);
	*p = *resource;
	read_values(o, in, p);
	if (p->n_quantiles)
		qsort((void *)(uintptr_t)p->quantiles, p->n_quantiles, sizeof *p->quantiles, by_quantile);
	qsort(s.dims, s.n, sizeof *s.dims, by_name);
	p->ns = s.ns, p->metric = s.metric, p->unit = keep(o, view(m->unit));
	p->dims = (const void *)sp_arena_copy(o->arena, sp_bytes(s.dims, s.n * sizeof *s.dims)).p;
	p->n_dims = (uint16_t)s.n;
	p->format = in->n_attributes || !in->n_labels ? CW_OTLP10 : CW_OTLP07;
	p->start_ms = in->start ? (int64_t)(in->start / 1000000) : (int64_t)(in->time / 1000000) - 60000;
	p->end_ms = in->time ? (int64_t)(in->time / 1000000) : (int64_t)(in->start / 1000000) + 60000;
}

static void read_resource(struct oracle *o, const Oracle__Resource *r, struct cw_point *p)
{
	struct sp_bytes arn = {0}, text;
	for (size_t i = 0; r && i < r->n_attributes; i++) {
		struct sp_bytes key = view(r->attributes[i]->key), *to = NULL;
		if (sp_eq(key, SP_LIT("cloud.account.id")))
			to = &p->account;
		else if (sp_eq(key, SP_LIT("cloud.region")))
			to = &p->region;
		else if (sp_eq(key, SP_LIT("aws.exporter.arn")))
			to = &arn;
		if (to && value_text(o, r->attributes[i]->value, &text)) {
			o->unsure = o->unsure || to->p || text.n == 0; /* twice */
			*to = text;
		}
	}
	for (size_t i = 0; i < arn.n; i++) {
		if (arn.p[i] == '/') {
			p->stream = sp_bytes(arn.p + i + 1, arn.n - i - 1);
			break;
		}
	}
}

enum oracle_result oracle_decode(struct sp_bytes message, struct sp_arena *arena, struct cw_points *points, size_t *set_aside)
{
	struct oracle o = {.arena = arena, .points = points};
	Oracle__Request *request = oracle__request__unpack(NULL, message.n, message.p);
	if (!request)
		return ORACLE_REFUSES;
	for (size_t r = 0; r < request->n_resource_metrics; r++) {
		const Oracle__ResourceMetrics *rm = request->resource_metrics[r];
		struct cw_point resource = {.n_dims = 0};
		read_resource(&o, rm->resource, &resource);
		for (size_t s = 0; s < rm->n_scope_metrics; s++) {
			for (size_t i = 0; i < rm->scope_metrics[s]->n_metrics; i++) {
				const Oracle__Metric *m = rm->scope_metrics[s]->metrics[i];
				o.unsure = o.unsure || m->n_int_gauge || m->n_gauge || m->n_int_sum || m->n_sum || m->n_int_histogram || m->n_histogram ||
				    m->n_exponential_histogram;
				for (size_t k = 0; m->summary && k < m->summary->n_data_points; k++)
					read_point(&o, m, m->summary->data_points[k], &resource);
			}
		}
	}
	oracle__request__free_unpacked(request, NULL);
	*set_aside = o.set_aside;
	return o.unsure ? ORACLE_UNSURE : ORACLE_OK;
}
