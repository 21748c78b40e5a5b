#include "convert/result.h"

#include <stdio.h>

void result_counts(const struct convert_out *out, char *account_text, size_t account_max, Standpipe__Counts *counts)
{
	standpipe__counts__init(counts);
	counts->records = out->records;
	counts->messages = out->messages;
	counts->points_otlp07 = out->points[CW_OTLP07];
	counts->points_otlp10 = out->points[CW_OTLP10];
	counts->points_json = out->points[CW_JSON];
	counts->samples = out->samples;
	counts->quarantined = out->quarantined;
	counts->demo = out->demo;
	size_t n = out->account.n < account_max ? out->account.n : account_max - 1;
	if (n)
		memcpy(account_text, out->account.p, n);
	account_text[n] = '\0';
	counts->account = account_text;
}

/* NULL: the arena is spent. */
static char *text_copy(struct sp_bytes s, struct sp_arena *a)
{
	char *copy = sp_arena_alloc(a, s.n + 1);
	if (!copy)
		return NULL;
	if (s.n)
		memcpy(copy, s.p, s.n);
	copy[s.n] = '\0';
	return copy;
}

/* n messages of one type and the array of pointers to them that protobuf-c wants; false when the arena is spent. */
static bool message_array(struct sp_arena *a, size_t n, size_t size, void **messages, void ***pointers)
{
	uint8_t *m = sp_arena_alloc(a, n * size + 1);
	void **p = sp_arena_alloc(a, n * sizeof(void *) + 1);
	if (!m || !p)
		return false;
	for (size_t i = 0; i < n; i++)
		p[i] = m + i * size;
	*messages = m;
	*pointers = p;
	return true;
}

static bool fill_lanes(const struct convert_group *g, Standpipe__StoreGroup *out, struct sp_arena *a)
{
	void *messages, **pointers;
	if (!message_array(a, g->n_lanes, sizeof(Standpipe__Lane), &messages, &pointers))
		return false;
	out->n_lanes = g->n_lanes;
	out->lanes = (Standpipe__Lane **)pointers;
	for (size_t i = 0; i < g->n_lanes; i++) {
		Standpipe__Lane *to = out->lanes[i];
		standpipe__lane__init(to);
		to->name = text_copy(g->lanes[i].name, a);
		to->merged = g->lanes[i].merged;
		to->dropped = g->lanes[i].dropped;
		if (!to->name)
			return false;
	}
	return true;
}

static bool fill_group(const struct convert_group *g, Standpipe__StoreGroup *out, struct sp_arena *a)
{
	void *messages, **pointers;
	standpipe__store_group__init(out);
	if (!message_array(a, g->n_slices, sizeof(Standpipe__Slice), &messages, &pointers))
		return false;
	out->group = g->id;
	out->merged = g->merged;
	out->dropped = g->dropped;
	out->info = (ProtobufCBinaryData){.len = g->info.n, .data = (uint8_t *)(uintptr_t)g->info.p};
	out->n_slices = g->n_slices;
	out->slices = (Standpipe__Slice **)pointers;
	for (size_t i = 0; i < g->n_slices; i++) {
		const struct convert_slice *from = &g->slices[i];
		Standpipe__Slice *to = out->slices[i];
		standpipe__slice__init(to);
		to->shard = from->shard;
		to->off = from->off;
		to->len = from->len;
		to->raw_len = from->raw_len;
		to->series = from->series;
		to->samples = from->samples;
		to->min_ms = from->min_ms;
		to->max_ms = from->max_ms;
		to->dead_reason = (char *)(from->dead_reason ? from->dead_reason : "");
		to->lane = g->n_lanes ? from->lane + 1 : 0;
	}
	return fill_lanes(g, out, a);
}

static void fill_item(
    const struct convert_quarantine *q, bool do_not_parse, uint64_t off, Standpipe__QuarantineItem *out)
{
	standpipe__quarantine_item__init(out);
	out->reason = (char *)q->reason;
	out->record = q->record;
	out->offset = q->offset;
	out->off = off;
	out->len = q->bytes.n;
	out->text = (char *)(q->text ? q->text : "");
	out->pieces = q->pieces;
	out->do_not_parse = do_not_parse;
	out->form = (Standpipe__QuarantineItem__Form)q->form;
}

static enum sp_status add_part(struct result *r, size_t n, uint8_t **to, struct sp_why *why)
{
	if (n > FRAME_PAYLOAD_BYTES)
		return sp_fail(
		    why, SP_TOO_BIG, "%zu bytes for ship in one piece, the limit is %zu", n, FRAME_PAYLOAD_BYTES);
	if (r->n_parts == sizeof r->parts / sizeof r->parts[0])
		return sp_fail(why, SP_TOO_BIG, "more than %d pieces for ship", FRAME_BULK_MAX);
	if (zmq_msg_init_size(&r->parts[r->n_parts], n) != 0)
		return sp_fail(why, SP_NO_MEM, "no memory for %zu bytes for ship", n);
	*to = zmq_msg_data(&r->parts[r->n_parts++]);
	r->bulk_bytes += n;
	return SP_OK;
}

/* Payloads in the order of the groups, then what is quarantined. */
static enum sp_status add_bulk(struct result *r, const struct convert_out *out, struct sp_why *why)
{
	uint8_t *to = NULL;
	size_t quarantined = 0;
	for (size_t i = 0; i < out->n_groups; i++) {
		enum sp_status status = add_part(r, out->groups[i].payload.n, &to, why);
		if (status != SP_OK)
			return status;
		if (out->groups[i].payload.n)
			memcpy(to, out->groups[i].payload.p, out->groups[i].payload.n);
	}
	if (!out->n_quarantine)
		return SP_OK;
	for (size_t i = 0; i < out->n_quarantine; i++)
		quarantined += out->quarantine[i].bytes.n;
	enum sp_status status = add_part(r, quarantined, &to, why);
	for (size_t i = 0; status == SP_OK && i < out->n_quarantine; i++) {
		struct sp_bytes bytes = out->quarantine[i].bytes;
		if (bytes.n)
			memcpy(to, bytes.p, bytes.n);
		to += bytes.n;
	}
	return status;
}

static bool fill_store(
    Standpipe__Store *m, const Standpipe__Job *job, const struct convert_out *out, struct sp_arena *a)
{
	void *groups, *items, **group_pointers, **item_pointers;
	uint64_t off = 0;
	if (!message_array(a, out->n_groups, sizeof(Standpipe__StoreGroup), &groups, &group_pointers) ||
	    !message_array(a, out->n_quarantine, sizeof(Standpipe__QuarantineItem), &items, &item_pointers))
		return false;
	m->n_groups = out->n_groups;
	m->groups = (Standpipe__StoreGroup **)group_pointers;
	for (size_t i = 0; i < out->n_groups; i++)
		if (!fill_group(&out->groups[i], m->groups[i], a))
			return false;
	m->n_quarantine = out->n_quarantine;
	m->quarantine = (Standpipe__QuarantineItem **)item_pointers;
	for (size_t i = 0; i < out->n_quarantine; i++) {
		fill_item(&out->quarantine[i], job->kind == STANDPIPE__JOB__KIND__SET_ASIDE, off, m->quarantine[i]);
		off += out->quarantine[i].bytes.n;
	}
	if (out->n_quarantine)
		m->common_attributes = job->common_attributes;
	m->key_name = job->key_name;
	m->source_arn = job->source_arn;
	m->received_ms = job->received_ms;
	m->replayed = job->replayed;
	m->request_id = text_copy(out->request_id, a);
	return m->request_id != NULL;
}

enum sp_status result_make(struct result *r, const Standpipe__Job *job, const struct convert_out *out,
    uint64_t plan_epoch, struct sp_arena *scratch, struct sp_why *why)
{
	Standpipe__Store m = STANDPIPE__STORE__INIT;
	Standpipe__Counts counts;
	char account[64];
	sp_arena_reset(scratch);
	*r = (struct result){.plan_epoch = plan_epoch};
	if (!fill_store(&m, job, out, scratch))
		return sp_fail(why, SP_NO_MEM, "no memory for the description of a delivery");
	m.plan_epoch = plan_epoch;
	result_counts(out, account, sizeof account, &counts);
	m.counts = &counts;
	enum sp_status status = frame_pack(&m.base, &r->parts[0]);
	if (status != SP_OK)
		return sp_fail(why, status, "no memory for the description of a delivery");
	r->n_parts = 1;
	status = add_bulk(r, out, why);
	if (status != SP_OK)
		result_clear(r);
	return status;
}

void result_clear(struct result *r)
{
	for (size_t i = 0; i < r->n_parts; i++)
		zmq_msg_close(&r->parts[i]);
	r->n_parts = r->bulk_bytes = 0;
}
