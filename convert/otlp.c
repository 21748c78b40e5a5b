#include "convert/decoder.h"

#include "convert/anyvalue.h"
#include "convert/collect.h"

/* A hand-written walk over the wire: each byte is looked at once, strings stay where they are. It follows the rules of protobuf that a
 * conforming decoder must (fields in any order, repeated and packed forms, merging, unknown fields and groups).
 *
 * The way down (field numbers of opentelemetry-proto v0.7.0 and v1.0.0, which agree but for a point's labels):
 *
 *   ExportMetricsServiceRequest  1 ResourceMetrics
 *     ResourceMetrics            1 Resource   2 ScopeMetrics (1000 in v0.15 to v0.18)
 *       ScopeMetrics             2 Metric
 *         Metric                 1 name   3 unit   4..11 data, one of them; CloudWatch uses only 11, summary
 *           Summary              1 SummaryDataPoint
 *             SummaryDataPoint   1 labels (0.7)   2 start   3 time   4 count   5 sum   6 quantiles   7 attributes (1.0)   8 flags
 *
 * Each level is one function. Where a level needs one field to understand another it reads its fields to the end first, because their
 * order is free, and then goes down. */

#define NS_PER_MS 1000000
#define MINUTE_MS 60000
#define NO_RECORDED_VALUE 1 /* bit of flags */
#define SUMMARY 11
#define FIRST_DATA 4 /* fields 4 to 11 of Metric are a oneof */

/* A point or metric to set aside: kept until the message is known to be sound, so that nothing is set aside twice. */
struct set_aside {
	struct set_aside *next;
	const char *reason, *text;
	struct sp_bytes bytes;
	const uint8_t *place; /* in the message */
};

struct walk {
	struct decoder *d;
	struct wire_fault fault;
	struct sp_bytes account, region, stream; /* of the resource at hand */
	struct set_aside *first, **last;
};

struct metric {
	struct sp_bytes name, unit;
	const uint8_t *place;
	bool is_joined; /* its points are no longer in the message, but in the arena */
};

static void out_of_memory(struct walk *w)
{
	wire_fail(&w->fault, "no_mem", "out of memory");
	w->fault.no_mem = true;
}

static void set_aside(struct walk *w, const char *reason, const char *text, struct sp_bytes bytes, const uint8_t *place)
{
	struct set_aside *s = sp_arena_alloc(w->d->arena, sizeof *s);
	if (!s) {
		out_of_memory(w);
		return;
	}
	*s = (struct set_aside){.reason = reason, .text = text, .bytes = bytes, .place = place};
	*w->last = s;
	w->last = &s->next;
}

/* ---- who is it: labels (0.7) or attributes (1.0), else the name of the metric ---- */

struct identity {
	struct sp_bytes ns, metric;
	bool has_ns, has_metric, is_10;
};

static bool is_namespace(struct sp_bytes key)
{
	return sp_eq(key, SP_LIT("Namespace"));
}

static bool is_metric_name(struct sp_bytes key)
{
	return sp_eq(key, SP_LIT("MetricName"));
}

/* 0.7: the first Namespace and the first MetricName say who it is; a later one is a dimension of that name, and there are such. */
static void take_label(struct walk *w, struct sp_bytes label, struct identity *id, struct collect *c)
{
	struct wire_field f;
	struct sp_bytes key = {0}, value = {0};
	while (wire_next(&label, &f, &w->fault)) {
		if (f.key == WIRE(1, WIRE_BYTES))
			key = f.bytes;
		else if (f.key == WIRE(2, WIRE_BYTES))
			value = f.bytes;
	}
	if (!id->has_ns && is_namespace(key)) {
		id->ns = value;
		id->has_ns = true;
	} else if (!id->has_metric && is_metric_name(key)) {
		id->metric = value;
		id->has_metric = true;
	} else if (!id->is_10 || (!is_namespace(key) && !is_metric_name(key) && !collect_find(c, key))) {
		collect_dim(c, key, value);
	}
}

static void take_dimension(struct walk *w, struct sp_bytes key, struct sp_bytes value, struct collect *c)
{
	struct sp_bytes text = anyvalue_text(value, w->d->arena, &w->fault);
	if (text.p)
		collect_dim(c, key, text);
}

/* 1.0: Namespace and MetricName stand at the top, dimensions within Dimensions; other attributes were added on the way here. */
static void take_attribute(struct walk *w, struct sp_bytes attribute, struct identity *id, struct collect *c)
{
	struct sp_bytes key, value, list;
	struct wire_field f;
	anyvalue_pair(attribute, w->d->arena, &w->fault, &key, &value);
	if (is_namespace(key) || is_metric_name(key)) {
		bool *has = is_namespace(key) ? &id->has_ns : &id->has_metric;
		struct sp_bytes text = anyvalue_text(value, w->d->arena, &w->fault);
		if (*has)
			c->dropped++;
		else
			*(is_namespace(key) ? &id->ns : &id->metric) = text;
		*has = true;
	} else if (sp_eq(key, SP_LIT("Dimensions")) && anyvalue_is_kvlist(value, w->d->arena, &w->fault, &list)) {
		while (wire_next(&list, &f, &w->fault)) {
			if (f.key != WIRE(1, WIRE_BYTES))
				continue;
			anyvalue_pair(f.bytes, w->d->arena, &w->fault, &key, &value);
			take_dimension(w, key, value, c);
		}
	} else {
		take_dimension(w, key, value, c);
	}
}

/* "amazonaws.com/AWS/EC2/CPUUtilization" for what the point itself does not say. Names may have slashes too: a known half helps. */
static void identity_from_name(struct identity *id, struct sp_bytes name)
{
	static const struct sp_bytes prefix = {(const uint8_t *)"amazonaws.com/", 14};
	if (id->ns.n && id->metric.n)
		return;
	if (!sp_starts(name, prefix)) {
		if (!id->metric.n)
			id->metric = name;
		return;
	}
	name = sp_bytes(name.p + prefix.n, name.n - prefix.n);
	size_t slash = name.n;
	if (id->ns.n && sp_starts(name, id->ns) && name.n > id->ns.n && name.p[id->ns.n] == '/') {
		slash = id->ns.n;
	} else {
		const uint8_t *last = memrchr(name.p, '/', name.n);
		slash = last ? (size_t)(last - name.p) : SIZE_MAX;
	}
	if (!id->metric.n)
		id->metric = slash == SIZE_MAX ? name : sp_bytes(name.p + slash + 1, name.n - slash - 1);
	if (!id->ns.n && slash != SIZE_MAX)
		id->ns = sp_bytes(name.p, slash);
}

/* ---- the point ---- */

/* A quantile or value that is absent is zero: the minimum 0 of most points is an empty message. */
static void take_quantile(struct walk *w, struct sp_bytes in, struct collect *c)
{
	struct wire_field f;
	double q = 0, value = 0;
	while (wire_next(&in, &f, &w->fault)) {
		if (f.key == WIRE(1, WIRE_FIXED64))
			q = wire_double(&f);
		else if (f.key == WIRE(2, WIRE_FIXED64))
			value = wire_double(&f);
	}
	collect_quantile(c, q, value);
}

/* The fields of a point as they come; of a field that comes twice the last counts. */
struct summary {
	uint64_t start, time, count, flags;
	double sum;
	bool has_labels;
	struct identity id;
	struct collect c;
};

static void read_summary(struct walk *w, struct sp_bytes bytes, struct summary *s)
{
	struct wire_field f;
	s->start = s->time = s->count = s->flags = 0;
	s->sum = 0;
	s->has_labels = false;
	s->id = (struct identity){0};
	collect_begin(&s->c);
	for (struct sp_bytes in = bytes; wire_next(&in, &f, &w->fault);) {
		switch (f.key) {
		case WIRE(1, WIRE_BYTES):
			s->has_labels = true;
			break;
		case WIRE(2, WIRE_FIXED64):
			s->start = f.value;
			break;
		case WIRE(3, WIRE_FIXED64):
			s->time = f.value;
			break;
		case WIRE(4, WIRE_FIXED64):
			s->count = f.value;
			break;
		case WIRE(5, WIRE_FIXED64):
			s->sum = wire_double(&f);
			break;
		case WIRE(6, WIRE_BYTES):
			take_quantile(w, f.bytes, &s->c);
			break;
		case WIRE(7, WIRE_BYTES):
			s->id.is_10 = true;
			take_attribute(w, f.bytes, &s->id, &s->c);
			break;
		case WIRE(8, WIRE_VARINT):
			s->flags = f.value;
			break;
		}
	}
	/* After the attributes, wherever they stand: v0.9 to v0.11 wrote both, and attributes take precedence. */
	for (struct sp_bytes in = bytes; s->has_labels && wire_next(&in, &f, &w->fault);) {
		if (f.key == WIRE(1, WIRE_BYTES))
			take_label(w, f.bytes, &s->id, &s->c);
	}
}

static void summary_point(struct walk *w, const struct metric *m, struct sp_bytes bytes)
{
	struct summary s;
	read_summary(w, bytes, &s);
	if (w->fault.reason)
		return;
	identity_from_name(&s.id, m->name);
	const uint8_t *place = m->is_joined ? m->place : bytes.p;
	if (s.id.metric.n == 0) {
		set_aside(w, "no_name", "a point without a metric name", bytes, place);
		return;
	}
	if (s.start == 0 && s.time == 0) {
		set_aside(w, "no_time", "a point without a time", bytes, place);
		return;
	}
	if (s.flags & NO_RECORDED_VALUE) {
		s.c.has = 0;
		s.c.n_quantiles = 0;
	} else {
		collect_base(&s.c, CW_COUNT, (double)s.count);
		collect_base(&s.c, CW_SUM, s.sum);
	}
	struct cw_point *p = collect_point(&s.c, w->d);
	if (!p) {
		out_of_memory(w);
		return;
	}
	p->account = w->account, p->region = w->region, p->stream = w->stream;
	p->ns = s.id.ns, p->metric = s.id.metric, p->unit = m->unit;
	p->format = s.id.is_10 || !s.has_labels ? CW_OTLP10 : CW_OTLP07;
	p->start_ms = (int64_t)(s.start / NS_PER_MS), p->end_ms = (int64_t)(s.time / NS_PER_MS);
	if (s.start == 0)
		p->start_ms = p->end_ms - MINUTE_MS;
	if (s.time == 0)
		p->end_ms = p->start_ms + MINUTE_MS;
}

/* ---- the levels above ---- */

static void metric(struct walk *w, struct sp_bytes bytes)
{
	struct metric m = {.place = bytes.p};
	struct wire_part summary = {0};
	struct wire_field f;
	struct sp_bytes since = bytes; /* where the present data began: the last one of a oneof counts */
	uint32_t data = 0;
	for (struct sp_bytes in = bytes, before = in; wire_next(&in, &f, &w->fault); before = in) {
		uint32_t number = f.key >> 3;
		if (f.key == WIRE(1, WIRE_BYTES)) {
			m.name = f.bytes;
		} else if (f.key == WIRE(3, WIRE_BYTES)) {
			m.unit = f.bytes;
		} else if ((f.key & 7) == WIRE_BYTES && number >= FIRST_DATA && number <= SUMMARY) {
			if (data != number) {
				data = number;
				since = before;
				summary = (struct wire_part){0};
			}
			wire_part_add(&summary, f.bytes);
		}
	}
	if (data && data != SUMMARY) {
		set_aside(w, "not_cloudwatch", "a metric that is no summary", bytes, bytes.p);
		return;
	}
	m.is_joined = summary.n > 1;
	struct sp_bytes points = wire_part_join(&summary, since, WIRE(SUMMARY, WIRE_BYTES), w->d->arena, &w->fault);
	while (wire_next(&points, &f, &w->fault)) {
		if (f.key == WIRE(1, WIRE_BYTES))
			summary_point(w, &m, f.bytes);
	}
}

static void scope_metrics(struct walk *w, struct sp_bytes in)
{
	struct wire_field f;
	while (wire_next(&in, &f, &w->fault)) {
		if (f.key == WIRE(2, WIRE_BYTES))
			metric(w, f.bytes);
	}
}

/* "arn:aws:cloudwatch:eu-west-1:123456789012:metric-stream/name" */
static struct sp_bytes stream_of_arn(struct sp_bytes arn)
{
	struct sp_bytes before;
	(void)sp_take_part(&arn, '/', &before);
	return arn;
}

static void resource(struct walk *w, struct sp_bytes in)
{
	struct wire_field f;
	struct sp_bytes key, value, arn = {0};
	w->account = w->region = w->stream = (struct sp_bytes){0};
	while (wire_next(&in, &f, &w->fault)) {
		if (f.key != WIRE(1, WIRE_BYTES))
			continue;
		anyvalue_pair(f.bytes, w->d->arena, &w->fault, &key, &value);
		struct sp_bytes *to = sp_eq(key, SP_LIT("cloud.account.id")) ? &w->account
		    : sp_eq(key, SP_LIT("cloud.region"))                     ? &w->region
		    : sp_eq(key, SP_LIT("aws.exporter.arn"))                 ? &arn
		                                                             : NULL;
		if (to && !to->p)
			*to = anyvalue_text(value, w->d->arena, &w->fault);
	}
	w->stream = stream_of_arn(arn);
}

static void resource_metrics(struct walk *w, struct sp_bytes bytes)
{
	struct wire_part part = {0};
	struct wire_field f;
	for (struct sp_bytes in = bytes; wire_next(&in, &f, &w->fault);) {
		if (f.key == WIRE(1, WIRE_BYTES))
			wire_part_add(&part, f.bytes);
	}
	resource(w, wire_part_join(&part, bytes, WIRE(1, WIRE_BYTES), w->d->arena, &w->fault));
	for (struct sp_bytes in = bytes; wire_next(&in, &f, &w->fault);) {
		if (f.key == WIRE(2, WIRE_BYTES) || f.key == WIRE(1000, WIRE_BYTES))
			scope_metrics(w, f.bytes);
	}
}

enum sp_status otlp_decode(struct decoder *d, struct sp_bytes message, uint64_t offset)
{
	struct walk w = {.d = d, .last = &w.first};
	struct sp_arena_mark mark = sp_arena_mark(d->arena);
	struct cw_points points = *d->points; /* its old memory is from before the mark */
	uint64_t dropped = d->dropped_values;
	struct wire_field f;
	for (struct sp_bytes in = message; wire_next(&in, &f, &w.fault);) {
		if (f.key == WIRE(1, WIRE_BYTES))
			resource_metrics(&w, f.bytes);
	}
	if (w.fault.reason) {
		*d->points = points;
		d->dropped_values = dropped;
		sp_arena_rewind(d->arena, mark);
		if (w.fault.no_mem)
			return SP_NO_MEM;
		d->bad(d->arg, w.fault.reason, offset, message, PIECE_MESSAGE, w.fault.text);
		return SP_OK;
	}
	d->messages++;
	for (size_t i = points.n; i < d->points->n; i++)
		d->points_of[d->points->v[i].format]++;
	for (const struct set_aside *s = w.first; s; s = s->next)
		d->bad(d->arg, s->reason, offset + (uint64_t)(s->place - message.p), s->bytes, PIECE_PART, s->text);
	return SP_OK;
}
