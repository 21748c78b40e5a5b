#include "ship/store.h"

#include "common/alloc.h"
#include "common/lane.h"

static const Standpipe__Store *message_of(const struct frame *f)
{
	return (const Standpipe__Store *)f->message;
}

/* A reason becomes a label and a column: a word of ours. */
static bool is_word(const char *s)
{
	size_t n = strspn(s, "abcdefghijklmnopqrstuvwxyz0123456789_");
	return n > 0 && n <= 32 && s[n] == '\0';
}

static enum sp_status check_lanes(const Standpipe__StoreGroup *g, const Standpipe__Group *group, struct sp_why *why)
{
	bool has_lanes = group->lane_by[0];
	if (g->n_lanes > (has_lanes ? LANES_OF_DELIVERY + 1 : 0)) /* one for what has no name */
		return sp_fail(why, SP_BAD_DATA, "group %u has %zu lanes, too many", g->group, g->n_lanes);
	for (size_t i = 0; i < g->n_lanes; i++)
		if (g->lanes[i]->name[0] && !lane_name_ok(sp_str(g->lanes[i]->name)))
			return sp_fail(why, SP_BAD_DATA, "a lane of group %u has a name that it cannot have", g->group);
	for (size_t i = 0; i < g->n_slices; i++)
		if (g->slices[i]->lane > g->n_lanes || (g->slices[i]->lane > 0) != has_lanes)
			return sp_fail(why, SP_BAD_DATA, "group %u has no lane %u", g->group, g->slices[i]->lane);
	return SP_OK;
}

static enum sp_status check_group(
    const Standpipe__StoreGroup *g, struct sp_bytes payload, const struct plan *plan, struct sp_why *why)
{
	if (g->group >= plan->message.n_groups)
		return sp_fail(why, SP_BAD_DATA, "group %u is not in the plan", g->group);
	if (payload.n > FRAME_PAYLOAD_BYTES)
		return sp_fail(why, SP_BAD_DATA, "a payload of %zu bytes is over the limit of %zu", payload.n,
		    FRAME_PAYLOAD_BYTES);
	for (size_t i = 0; i < g->n_slices; i++) {
		const Standpipe__Slice *s = g->slices[i];
		if (s->shard >= plan->message.groups[g->group]->shards)
			return sp_fail(why, SP_BAD_DATA, "group %u has no shard %u", g->group, s->shard);
		if (s->len == 0 || s->off > payload.n || s->len > payload.n - s->off)
			return sp_fail(why, SP_BAD_DATA, "a slice of group %u lies outside its payload", g->group);
		if (s->dead_reason[0] && !is_word(s->dead_reason))
			return sp_fail(why, SP_BAD_DATA, "the reason for a dead letter of group %u is no word", g->group);
	}
	return check_lanes(g, plan->message.groups[g->group], why);
}

static enum sp_status check(const struct frame *f, const struct plan *plan, struct sp_why *why)
{
	const Standpipe__Store *m = message_of(f);
	if (f->n_bulk != m->n_groups + (m->n_quarantine > 0))
		return sp_fail(why, SP_BAD_DATA, "%zu bulk frames for %zu groups", f->n_bulk, m->n_groups);
	for (size_t i = 0; i < m->n_groups; i++) {
		enum sp_status status = check_group(m->groups[i], f->bulk[i], plan, why);
		if (status != SP_OK)
			return status;
		for (size_t k = 0; k < i; k++)
			if (m->groups[k]->group == m->groups[i]->group)
				return sp_fail(why, SP_BAD_DATA, "group %u comes twice", m->groups[i]->group);
	}
	for (size_t i = 0; i < m->n_quarantine; i++) {
		const Standpipe__QuarantineItem *q = m->quarantine[i];
		size_t n = f->bulk[m->n_groups].n;
		if (!is_word(q->reason) || q->off > n || q->len > n - q->off)
			return sp_fail(why, SP_BAD_DATA, "a quarantined piece lies outside its frame or has no reason");
	}
	return SP_OK;
}

/* Arrays of one store in one piece of memory. */
struct layout {
	struct store_group *groups;
	struct store_quarantine *quarantine;
	struct store_slice *slices;
	struct store_lane *lanes;
	uint32_t *dests;
};

static bool layout_new(const Standpipe__Store *m, const struct plan *plan, struct layout *out)
{
	size_t slices = 0, lanes = 0, dests = 0;
	for (size_t i = 0; i < m->n_groups; i++) {
		slices += m->groups[i]->n_slices;
		lanes += m->groups[i]->n_lanes;
		dests += plan->dests[m->groups[i]->group].n;
	}
	uint8_t *p = sp_try_alloc(1 + m->n_groups * sizeof *out->groups + m->n_quarantine * sizeof *out->quarantine +
				  slices * sizeof *out->slices + lanes * sizeof *out->lanes +
				  dests * sizeof *out->dests);
	if (!p)
		return false;
	out->groups = (struct store_group *)p;
	out->quarantine = (struct store_quarantine *)(out->groups + m->n_groups);
	out->slices = (struct store_slice *)(out->quarantine + m->n_quarantine);
	out->lanes = (struct store_lane *)(out->slices + slices);
	out->dests = (uint32_t *)(out->lanes + lanes);
	return true;
}

static void lay_out(struct store *s, const struct plan *plan, struct layout at)
{
	const Standpipe__Store *m = message_of(s->frame);
	s->request.groups = at.groups;
	s->request.n_groups = m->n_groups;
	for (size_t i = 0; i < m->n_groups; i++) {
		const Standpipe__StoreGroup *g = m->groups[i];
		const struct plan_dests *dests = &plan->dests[g->group];
		at.groups[i] = (struct store_group){.group = g->group,
		    .bytes = s->frame->bulk[i].p,
		    .n = s->frame->bulk[i].n,
		    .slices = at.slices,
		    .n_slices = g->n_slices,
		    .merged = g->merged,
		    .dropped = g->dropped,
		    .lanes = at.lanes,
		    .n_lanes = g->n_lanes,
		    .info = sp_bytes(g->info.data, g->info.len),
		    .dests = at.dests,
		    .n_dests = dests->n};
		for (size_t k = 0; k < g->n_slices; k++) {
			const Standpipe__Slice *from = g->slices[k];
			*at.slices++ = (struct store_slice){.shard = from->shard,
			    .len = from->len,
			    .raw_len = from->raw_len,
			    .series = from->series,
			    .samples = from->samples,
			    .off = from->off,
			    .min_ms = from->min_ms,
			    .max_ms = from->max_ms,
			    .dead_reason = from->dead_reason[0] ? from->dead_reason : NULL,
			    .lane = from->lane ? from->lane - 1 : 0};
		}
		for (size_t k = 0; k < g->n_lanes; k++)
			*at.lanes++ = (struct store_lane){g->lanes[k]->name, g->lanes[k]->merged, g->lanes[k]->dropped};
		/* Copied: a reload may replace the plan before the commit. */
		for (size_t k = 0; k < dests->n; k++)
			*at.dests++ = dests->ids[k];
	}
	s->request.quarantine = at.quarantine;
	s->request.n_quarantine = m->n_quarantine;
	for (size_t i = 0; i < m->n_quarantine; i++) {
		const Standpipe__QuarantineItem *q = m->quarantine[i];
		at.quarantine[i] = (struct store_quarantine){.reason = q->reason,
		    .text = q->text,
		    .record = q->record,
		    .offset = q->offset,
		    .pieces = q->pieces,
		    .do_not_parse = q->do_not_parse,
		    .form = (int)q->form,
		    .bytes = sp_bytes(s->frame->bulk[m->n_groups].p + q->off, q->len)};
	}
	memcpy(s->request.key, s->frame->header.key, sizeof s->request.key);
	s->request.key_name = m->key_name;
	s->request.source_arn = m->source_arn;
	s->request.request_id = m->request_id;
	s->request.common_attributes = sp_bytes(m->common_attributes.data, m->common_attributes.len);
	s->request.received_ms = m->received_ms;
}

enum sp_status store_new(struct frame *frame, const struct plan *plan, struct store **out, struct sp_why *why)
{
	struct layout layout;
	enum sp_status status = check(frame, plan, why);
	if (status != SP_OK)
		return status;
	if (!layout_new(message_of(frame), plan, &layout))
		return sp_fail(why, SP_NO_MEM, "no memory for a delivery");
	struct store *s = sp_new(struct store);
	s->frame = frame;
	lay_out(s, plan, layout);
	*out = s;
	return SP_OK;
}

void store_free(struct store **sp)
{
	struct store *s = *sp;
	if (!s)
		return;
	*sp = NULL;
	sp_free(s->request.groups); /* start of the layout */
	frame_free(s->frame);
	sp_free(s->frame);
	sp_free(s);
}
