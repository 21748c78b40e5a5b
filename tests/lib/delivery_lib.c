#include "tests/lib/delivery_lib.h"

#include <inttypes.h>
#include <stdlib.h>

/* ---- protobuf ---- */

static void put_bytes(struct sp_buf *b, int field, struct sp_bytes s)
{
	sp_buf_varint(b, (uint64_t)field << 3 | 2);
	sp_buf_varint(b, s.n);
	sp_buf_add(b, s);
}

static void put_fixed64(struct sp_buf *b, int field, uint64_t v)
{
	sp_buf_u8(b, (uint8_t)(field << 3 | 1));
	for (int i = 0; i < 8; i++)
		sp_buf_u8(b, (uint8_t)(v >> (8 * i)));
}

/* proto3: zero is left out, as CloudWatch does. */
static void put_double(struct sp_buf *b, int field, double v)
{
	uint64_t bits;
	memcpy(&bits, &v, 8);
	if (bits)
		put_fixed64(b, field, bits);
}

/* Puts what inner holds as a field and empties it. */
static void put_message(struct sp_buf *b, int field, struct sp_buf *inner)
{
	put_bytes(b, field, sp_buf_view(inner));
	sp_buf_free(inner);
}

static void put_key_value(struct sp_buf *b, int field, struct sp_bytes key, struct sp_bytes value)
{
	struct sp_buf kv = {0}, any = {0};
	put_bytes(&kv, 1, key);
	put_bytes(&any, 1, value);
	put_message(&kv, 2, &any);
	put_message(b, field, &kv);
}

static void put_label(struct sp_buf *b, int field, struct sp_bytes key, struct sp_bytes value)
{
	struct sp_buf label = {0};
	put_bytes(&label, 1, key);
	put_bytes(&label, 2, value);
	put_message(b, field, &label);
}

static void put_quantile(struct sp_buf *b, double q, double v)
{
	struct sp_buf one = {0};
	put_double(&one, 1, q);
	put_double(&one, 2, v);
	put_message(b, 6, &one);
}

static void put_values(struct sp_buf *b, const struct cw_point *p)
{
	put_fixed64(b, 2, (uint64_t)p->start_ms * 1000000);
	put_fixed64(b, 3, (uint64_t)p->end_ms * 1000000);
	put_fixed64(b, 4, (uint64_t)p->count);
	put_double(b, 5, p->sum);
	if (p->has & CW_MIN)
		put_quantile(b, 0, p->min);
	for (size_t i = 0; i < p->n_quantiles; i++)
		put_quantile(b, p->quantiles[i].q, p->quantiles[i].value);
	if (p->has & CW_MAX)
		put_quantile(b, 1, p->max);
}

static void put_metric(struct sp_buf *b, const struct cw_point *p, bool labels)
{
	struct sp_buf metric = {0}, name = {0}, summary = {0}, point = {0}, dims = {0}, value = {0}, list = {0};
	sp_buf_str(&name, "amazonaws.com/");
	sp_buf_add(&name, p->ns);
	sp_buf_str(&name, "/");
	sp_buf_add(&name, p->metric);
	put_message(&metric, 1, &name);
	put_bytes(&metric, 3, p->unit);
	if (labels) {
		put_label(&point, 1, SP_LIT("Namespace"), p->ns);
		put_label(&point, 1, SP_LIT("MetricName"), p->metric);
		for (size_t i = 0; i < p->n_dims; i++)
			put_label(&point, 1, p->dims[i].name, p->dims[i].value);
		put_values(&point, p);
	} else {
		put_values(&point, p);
		put_key_value(&point, 7, SP_LIT("Namespace"), p->ns);
		put_key_value(&point, 7, SP_LIT("MetricName"), p->metric);
		for (size_t i = 0; i < p->n_dims; i++)
			put_key_value(&list, 1, p->dims[i].name, p->dims[i].value);
		if (p->n_dims) {
			put_message(&value, 6, &list);
			put_bytes(&dims, 1, SP_LIT("Dimensions"));
			put_message(&dims, 2, &value);
			put_message(&point, 7, &dims);
		}
	}
	put_message(&summary, 1, &point);
	put_message(&metric, 11, &summary);
	put_message(b, 2, &metric);
}

/* All points are of the first one's account and region. */
static void otlp_record(struct sp_buf *out, const struct cw_point *points, size_t n, bool labels)
{
	struct sp_buf request = {0}, resource_metrics = {0}, resource = {0}, scope = {0};
	put_key_value(&resource, 1, SP_LIT("cloud.provider"), SP_LIT("aws"));
	put_key_value(&resource, 1, SP_LIT("cloud.account.id"), points[0].account);
	put_key_value(&resource, 1, SP_LIT("cloud.region"), points[0].region);
	put_key_value(&resource, 1, SP_LIT("aws.exporter.arn"),
	    SP_LIT("arn:aws:cloudwatch:eu-west-1:123456789012:metric-stream/all"));
	put_message(&resource_metrics, 1, &resource);
	for (size_t i = 0; i < n; i++)
		put_metric(&scope, &points[i], labels);
	put_message(&resource_metrics, 2, &scope);
	put_message(&request, 1, &resource_metrics);
	sp_buf_varint(out, request.n);
	sp_buf_add(out, sp_buf_view(&request));
	sp_buf_free(&request);
}

/* ---- JSON ---- */

static void put_json(struct sp_buf *b, const char *key, struct sp_bytes value)
{
	sp_buf_printf(b, "\"%s\":", key);
	sp_buf_json(b, value);
	sp_buf_str(b, ",");
}

static void put_number(struct sp_buf *b, const char *key, double v)
{
	sp_buf_printf(b, "%s\"%s\":%.17g", b->p[b->n - 1] == '{' ? "" : ",", key, v);
}

static void json_line(struct sp_buf *b, const struct cw_point *p)
{
	sp_buf_str(b, "{");
	put_json(b, "metric_stream_name", SP_LIT("all"));
	put_json(b, "account_id", p->account);
	put_json(b, "region", p->region);
	put_json(b, "namespace", p->ns);
	put_json(b, "metric_name", p->metric);
	sp_buf_str(b, "\"dimensions\":{");
	for (size_t i = 0; i < p->n_dims; i++) {
		sp_buf_str(b, i ? "," : "");
		sp_buf_json(b, p->dims[i].name);
		sp_buf_str(b, ":");
		sp_buf_json(b, p->dims[i].value);
	}
	sp_buf_printf(b, "},\"timestamp\":%" PRId64 ",\"value\":{", p->start_ms);
	if (p->has & CW_MAX)
		put_number(b, "max", p->max);
	if (p->has & CW_MIN)
		put_number(b, "min", p->min);
	put_number(b, "sum", p->sum);
	put_number(b, "count", p->count);
	for (size_t i = 0; i < p->n_quantiles; i++)
		sp_buf_printf(b, ",\"p%.13g\":%.17g", p->quantiles[i].q * 100, p->quantiles[i].value);
	sp_buf_str(b, "},\"unit\":\"Count\"}\n");
}

void lib_record(struct sp_buf *out, enum cw_format format, const struct cw_point *points, size_t n)
{
	if (format != CW_JSON) {
		otlp_record(out, points, n, format == CW_OTLP07);
		return;
	}
	for (size_t i = 0; i < n; i++)
		json_line(out, &points[i]);
}

/* ---- envelope ---- */

void lib_envelope_begin(struct sp_buf *out, const char *request_id, int64_t timestamp_ms)
{
	sp_buf_str(out, "{\"requestId\":");
	sp_buf_json(out, sp_str(request_id));
	sp_buf_printf(out, ",\"timestamp\":%" PRId64 ",\"records\":[", timestamp_ms);
}

void lib_envelope_record(struct sp_buf *out, struct sp_bytes record)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	sp_buf_str(out, out->p[out->n - 1] == '[' ? "{\"data\":\"" : ",{\"data\":\"");
	for (size_t i = 0; i < record.n; i += 3) {
		size_t have = record.n - i < 3 ? record.n - i : 3;
		uint32_t v = (uint32_t)record.p[i] << 16;
		v |= have > 1 ? (uint32_t)record.p[i + 1] << 8 : 0;
		v |= have > 2 ? record.p[i + 2] : 0;
		for (size_t j = 0; j < 4; j++)
			sp_buf_u8(out, j <= have ? (uint8_t)digits[v >> (18 - 6 * j) & 63] : '=');
	}
	sp_buf_str(out, "\"}");
}

void lib_envelope_end(struct sp_buf *out)
{
	sp_buf_str(out, "]}");
}

void lib_one_tenant(Standpipe__Plan *plan)
{
	static Standpipe__Tenant tenant, *tenants[] = {&tenant};
	static uint32_t all[64];
	for (uint32_t i = 0; i < 64; i++)
		all[i] = i;
	standpipe__tenant__init(&tenant);
	tenant.groups = all;
	tenant.n_groups = plan->n_groups;
	plan->tenants = tenants;
	plan->n_tenants = 1;
}
