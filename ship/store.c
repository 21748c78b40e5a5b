#include "ship/store.h"

#include "common/alloc.h"
#include "common/arena.h"
#include "common/lane.h"
#include "proto/info.h"

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
	uint32_t *dests;
};

/* Groups of the request that this one becomes, at most: a part for each lane, or for each change of it. */
static size_t parts_max(const Standpipe__StoreGroup *g)
{
	return g->n_lanes ? g->n_lanes + g->n_slices : 1;
}

static bool layout_new(const Standpipe__Store *m, const struct plan *plan, struct layout *out)
{
	size_t groups = 0, slices = 0, dests = 0;
	for (size_t i = 0; i < m->n_groups; i++) {
		groups += parts_max(m->groups[i]);
		slices += m->groups[i]->n_slices;
		dests += plan->dests[m->groups[i]->group].n;
	}
	uint8_t *p = sp_try_alloc(1 + groups * sizeof *out->groups + m->n_quarantine * sizeof *out->quarantine +
				  slices * sizeof *out->slices + dests * sizeof *out->dests);
	if (!p)
		return false;
	out->groups = (struct store_group *)p;
	out->quarantine = (struct store_quarantine *)(out->groups + groups);
	out->slices = (struct store_slice *)(out->quarantine + m->n_quarantine);
	out->dests = (uint32_t *)(out->slices + slices);
	return true;
}

/* ---- lanes ---- */

/* The last n slices of *part become a group of their own, with no more than their bytes: so what waits of one lane keeps nothing of
 * others in the spool. */
static void narrow_to(struct store_group *part, struct store_slice *slices, size_t n)
{
	uint64_t from = UINT64_MAX, to = 0;
	for (size_t i = 0; i < n; i++) {
		uint64_t end = slices[i].off + slices[i].len;
		from = slices[i].off < from ? slices[i].off : from;
		to = end > to ? end : to;
	}
	for (size_t i = 0; i < n; i++)
		slices[i].off -= from;
	part->bytes += from;
	part->n = (size_t)(to - from);
	part->slices = slices;
	part->n_slices = n;
}

/* What is known of the metrics of one part. */
static void set_info(struct store *s, struct info *all, struct store_group *part)
{
	struct sp_bytes *bodies = sp_new_array(struct sp_bytes, part->n_slices + 1);
	struct sp_buf packed = {0};
	for (size_t i = 0; i < part->n_slices; i++)
		bodies[i] = sp_bytes(part->bytes + part->slices[i].off, part->slices[i].len);
	info_part(all, bodies, part->n_slices, &packed);
	if (!s->arena)
		s->arena = sp_arena_new(0);
	part->info = sp_arena_copy(s->arena, sp_buf_view(&packed));
	if (!part->info.p)
		part->info.n = 0;
	sp_buf_free(&packed);
	sp_free(bodies);
}

/* Returns the number of parts, which begin at `parts`; whole: the group that they are of. */
static size_t cut_into_lanes(struct store *s, const Standpipe__StoreGroup *g, struct store_group whole, struct store_group *parts)
{
	struct store_group **of_lane = sp_new_array(struct store_group *, g->n_lanes);
	struct info *info = NULL;
	struct sp_why why;
	size_t n = 0;
	for (size_t i = 0, end; i < g->n_slices; i = end) {
		size_t lane = g->slices[i]->lane - 1;
		for (end = i + 1; end < g->n_slices && g->slices[end]->lane == g->slices[i]->lane;)
			end++;
		parts[n] = whole;
		parts[n].lane = g->lanes[lane]->name;
		narrow_to(&parts[n], whole.slices + i, end - i);
		if (!of_lane[lane])
			of_lane[lane] = &parts[n];
		n++;
	}
	if (n > 1 && whole.info.n && info_read(whole.info, &info, &why) == SP_OK)
		for (size_t i = 0; i < n; i++)
			set_info(s, info, &parts[i]);
	info_free(&info);
	for (size_t i = 0; i < g->n_lanes; i++) {
		if (!of_lane[i]) {
			of_lane[i] = &parts[n++];
			*of_lane[i] = (struct store_group){.lane = g->lanes[i]->name, .dests = whole.dests, .n_dests = whole.n_dests};
		}
		of_lane[i]->merged = g->lanes[i]->merged;
		of_lane[i]->dropped = g->lanes[i]->dropped;
	}
	sp_free(of_lane);
	return n;
}

static void lay_out(struct store *s, const struct plan *plan, struct layout at)
{
	const Standpipe__Store *m = message_of(s->frame);
	s->request.groups = at.groups;
	for (size_t i = 0; i < m->n_groups; i++) {
		const Standpipe__StoreGroup *g = m->groups[i];
		const struct plan_dests *dests = &plan->dests[g->group];
		struct store_group *to = &at.groups[s->request.n_groups];
		*to = (struct store_group){.bytes = s->frame->bulk[i].p,
		    .n = s->frame->bulk[i].n,
		    .slices = at.slices,
		    .n_slices = g->n_slices,
		    .merged = g->merged,
		    .dropped = g->dropped,
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
			    .dead_reason = from->dead_reason[0] ? from->dead_reason : NULL};
		}
		/* Copied: a reload may replace the plan before the commit. */
		for (size_t k = 0; k < dests->n; k++)
			*at.dests++ = dests->ids[k];
		s->request.n_groups += g->n_lanes ? cut_into_lanes(s, g, *to, to) : 1;
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
	s->request.replayed = m->replayed;
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
	sp_arena_free(&s->arena);
	frame_free(s->frame);
	sp_free(s->frame);
	sp_free(s);
}
