#include "proto/cloudwatch.h"

#include <inttypes.h>

#define MINUTE_MS 60000
#define NS_PER_MS 1000000

/* ---- protobuf pieces ---- */

static void add_sub(struct sp_buf *out, unsigned field, struct sp_bytes value)
{
	sp_buf_varint(out, field << 3 | 2);
	sp_buf_varint(out, value.n);
	sp_buf_add(out, value);
}

static void add_text(struct sp_buf *out, unsigned field, const char *text)
{
	if (text && *text)
		add_sub(out, field, sp_str(text));
}

static void add_fixed(struct sp_buf *out, unsigned field, uint64_t v)
{
	uint8_t le[8];
	if (v == 0)
		return;
	for (int i = 0; i < 8; i++)
		le[i] = (uint8_t)(v >> 8 * i);
	sp_buf_varint(out, field << 3 | 1);
	sp_buf_add(out, sp_bytes(le, 8));
}

static void add_double(struct sp_buf *out, unsigned field, double v)
{
	uint64_t bits;
	memcpy(&bits, &v, 8);
	add_fixed(out, field, bits);
}

/* Nested messages are built aside, because their length comes first. */
static void add_message(struct sp_buf *out, unsigned field, struct sp_buf *message)
{
	sp_buf_varint(out, field << 3 | 2);
	sp_buf_varint(out, message->n);
	sp_buf_join(out, message);
}

static void add_key_value(struct sp_buf *out, unsigned field, const char *key, const char *value)
{
	struct sp_buf any = {0}, pair = {0};
	add_sub(&any, 1, sp_str(value));
	add_text(&pair, 1, key);
	add_message(&pair, 2, &any);
	add_message(out, field, &pair);
}

/* ---- OTLP ---- */

static void add_quantile(struct sp_buf *out, double q, double value)
{
	struct sp_buf pair = {0};
	add_double(&pair, 1, q);
	add_double(&pair, 2, value);
	add_message(out, 6, &pair);
}

/* 0.7: string pairs, dimensions among them. */
static void add_labels(struct sp_buf *out, const struct cloudwatch_point *p)
{
	const char *pairs[CLOUDWATCH_DIMS_MAX + 2][2] = {{"Namespace", p->ns}, {"MetricName", p->metric}};
	for (size_t i = 0; i < p->n_dims; i++)
		pairs[i + 2][0] = p->dim_names[i], pairs[i + 2][1] = p->dim_values[i];
	for (size_t i = 0; i < p->n_dims + 2; i++) {
		struct sp_buf label = {0};
		add_text(&label, 1, pairs[i][0]);
		add_text(&label, 2, pairs[i][1]);
		add_message(out, 1, &label);
	}
}

/* 1.0: attributes, the dimensions as one list. */
static void add_attributes(struct sp_buf *out, const struct cloudwatch_point *p)
{
	add_key_value(out, 7, "Namespace", p->ns);
	add_key_value(out, 7, "MetricName", p->metric);
	if (p->n_dims == 0)
		return;
	struct sp_buf list = {0}, any = {0}, pair = {0};
	for (size_t i = 0; i < p->n_dims; i++)
		add_key_value(&list, 1, p->dim_names[i], p->dim_values[i]);
	add_message(&any, 6, &list);
	add_text(&pair, 1, "Dimensions");
	add_message(&pair, 2, &any);
	add_message(out, 7, &pair);
}

static void add_point(struct sp_buf *out, const struct cloudwatch_point *p, bool v07)
{
	struct sp_buf point = {0};
	if (v07)
		add_labels(&point, p);
	add_fixed(&point, 2, (uint64_t)p->start_ms * NS_PER_MS);
	add_fixed(&point, 3, (uint64_t)(p->start_ms + MINUTE_MS) * NS_PER_MS);
	add_fixed(&point, 4, p->count);
	add_double(&point, 5, p->sum);
	add_quantile(&point, 0, p->min);
	for (size_t i = 0; i < p->n_quantiles; i++)
		add_quantile(&point, p->quantiles[i][0], p->quantiles[i][1]);
	add_quantile(&point, 1, p->max);
	if (!v07)
		add_attributes(&point, p);
	add_message(out, 1, &point);
}

static void add_resource(struct sp_buf *out, const struct cloudwatch_point *p)
{
	struct sp_buf resource = {0}, arn = {0};
	sp_buf_printf(&arn, "arn:aws:cloudwatch:%s:%s:metric-stream/generated", p->region, p->account);
	add_key_value(&resource, 1, "cloud.provider", "aws");
	add_key_value(&resource, 1, "cloud.account.id", p->account);
	add_key_value(&resource, 1, "cloud.region", p->region);
	add_key_value(&resource, 1, "aws.exporter.arn", sp_buf_ok(&arn) ? (const char *)arn.p : "");
	add_message(out, 1, &resource);
	sp_buf_free(&arn);
}

/* Points of one series that stand together. */
static size_t add_metric(struct sp_buf *out, const struct cloudwatch_point *p, size_t n, bool v07)
{
	struct sp_buf metric = {0}, summary = {0}, name = {0};
	size_t i = 0;
	for (; i < n && p[i].series == p[0].series; i++)
		add_point(&summary, &p[i], v07);
	sp_buf_printf(&name, "amazonaws.com/%s/%s", p->ns, p->metric);
	add_sub(&metric, 1, sp_buf_view(&name));
	add_text(&metric, 3, p->unit);
	add_message(&metric, 11, &summary);
	add_message(out, 2, &metric);
	sp_buf_free(&name);
	return i;
}

/* One message: the points up to the next change of account or region. */
static size_t add_export(struct sp_buf *out, const struct cloudwatch_point *p, size_t n, bool v07)
{
	struct sp_buf request = {0}, resource_metrics = {0}, scope = {0};
	size_t i = 0;
	while (i < n && strcmp(p[i].account, p[0].account) == 0 && strcmp(p[i].region, p[0].region) == 0)
		i += add_metric(&scope, p + i, n - i, v07);
	add_resource(&resource_metrics, p);
	add_message(&resource_metrics, 2, &scope);
	add_message(&request, 1, &resource_metrics);
	sp_buf_varint(out, request.n);
	sp_buf_join(out, &request);
	return i;
}

/* ---- JSON ---- */

static const char *standard_unit(const char *unit)
{
	static const char *const units[][2] = {{"%", "Percent"}, {"By", "Bytes"}, {"By/s", "Bytes/Second"}, {"s", "Seconds"}, {"ms", "Milliseconds"},
		{"us", "Microseconds"}, {"{Count}", "Count"}, {"{Count}/s", "Count/Second"}, {"1", "None"}};
	for (size_t i = 0; i < sizeof units / sizeof units[0]; i++)
		if (strcmp(unit, units[i][0]) == 0)
			return units[i][1];
	return unit;
}

/* CloudWatch always writes a decimal point. */
static void add_number(struct sp_buf *out, double v)
{
	size_t from = out->n;
	sp_buf_double(out, v);
	if (sp_buf_ok(out) && !memchr(out->p + from, '.', out->n - from) && !memchr(out->p + from, 'e', out->n - from))
		sp_buf_str(out, ".0");
}

static void add_line(struct sp_buf *out, const struct cloudwatch_point *p)
{
	sp_buf_printf(out, "{\"metric_stream_name\":\"generated\",\"account_id\":\"%s\",\"region\":\"%s\",\"namespace\":", p->account, p->region);
	sp_buf_json(out, sp_str(p->ns));
	sp_buf_str(out, ",\"metric_name\":");
	sp_buf_json(out, sp_str(p->metric));
	sp_buf_str(out, ",\"dimensions\":{");
	for (size_t i = 0; i < p->n_dims; i++) {
		sp_buf_str(out, i ? "," : "");
		sp_buf_json(out, sp_str(p->dim_names[i]));
		sp_buf_u8(out, ':');
		sp_buf_json(out, sp_str(p->dim_values[i]));
	}
	sp_buf_printf(out, "},\"timestamp\":%" PRId64 ",\"value\":{\"max\":", p->start_ms);
	add_number(out, p->max);
	sp_buf_str(out, ",\"min\":");
	add_number(out, p->min);
	sp_buf_str(out, ",\"sum\":");
	add_number(out, p->sum);
	sp_buf_str(out, ",\"count\":");
	add_number(out, (double)p->count);
	for (size_t i = 0; i < p->n_quantiles; i++) {
		sp_buf_printf(out, ",\"p%.10g\":", p->quantiles[i][0] * 100);
		add_number(out, p->quantiles[i][1]);
	}
	sp_buf_printf(out, "},\"unit\":\"%s\"}\n", standard_unit(p->unit));
}

/* ---- outside ---- */

void cloudwatch_record(struct sp_buf *out, enum cloudwatch_format format, const struct cloudwatch_point *points, size_t n)
{
	for (size_t i = 0; i < n;) {
		if (format == CLOUDWATCH_JSON)
			add_line(out, &points[i++]);
		else
			i += add_export(out, points + i, n - i, format == CLOUDWATCH_OTLP07);
	}
}

void cloudwatch_body(struct sp_buf *out, const char *request_id, int64_t timestamp_ms, const struct sp_bytes *records, size_t n)
{
	sp_buf_printf(out, "{\"requestId\":\"%s\",\"timestamp\":%" PRId64 ",\"records\":[", request_id, timestamp_ms);
	for (size_t i = 0; i < n; i++) {
		sp_buf_str(out, i ? ",{\"data\":\"" : "{\"data\":\"");
		sp_buf_base64(out, records[i]);
		sp_buf_str(out, "\"}");
	}
	sp_buf_str(out, "]}");
}
