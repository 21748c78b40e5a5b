#include "ship/send/compose.h"

#include "common/alloc.h"
#include "proto/merge.h"
#include "proto/remote_write2.h"

/* A series has one sample in each of them. */
#define MINUTE_MS 60000
/* Requests that are only joined after merging did not pay: doubles up to here. */
#define MERGE_PAUSE_MAX 15

struct composer {
	struct rw2_writer *writer2; /* made when it is needed first */
	struct sp_buf raw;
	struct merge *merge; /* the same */
	unsigned pause, left; /* requests to be joined without trying to merge: the last time, and still */
	size_t gain;
};

struct composer *composer_new(void)
{
	struct composer *c = sp_new(struct composer);
	c->gain = 1;
	return c;
}

void composer_free(struct composer **composer)
{
	struct composer *c = *composer;
	*composer = NULL;
	if (!c)
		return;
	merge_free(&c->merge);
	rw2_writer_free(&c->writer2);
	sp_buf_free(&c->raw);
	sp_free(c);
}

static enum sp_status uncompress(struct composer *c, struct sp_bytes block, struct sp_why *why)
{
	sp_buf_clear(&c->raw);
	return rw_uncompress(block, RW_RAW_MAX_BYTES, &c->raw, why);
}

/* Adds c->raw. A series goes without its type, unit and help when those are damaged. */
static enum sp_status add_raw2(struct composer *c, struct sp_bytes packed_info, struct sp_why *why)
{
	struct info *info = NULL;
	if (packed_info.n && info_read(packed_info, &info, why) != SP_OK)
		info = NULL;
	enum sp_status status = rw2_add(c->writer2, sp_buf_view(&c->raw), info, why);
	info_free(&info);
	return status;
}

static enum sp_status add2(struct composer *c, struct sp_bytes block, struct sp_bytes packed_info)
{
	struct sp_why why;
	enum sp_status status = uncompress(c, block, &why);
	return status == SP_OK ? add_raw2(c, packed_info, &why) : status;
}

static void begin2(struct composer *c)
{
	if (!c->writer2)
		c->writer2 = rw2_writer_new();
	rw2_begin(c->writer2);
}

static bool finish2(struct composer *c, struct sp_buf *buf)
{
	struct sp_why why;
	sp_buf_clear(buf);
	return rw2_finish(c->writer2, buf, &why) == SP_OK;
}

static bool batches2(struct composer *c, struct entry *const *entries, size_t n, struct sp_buf *buf)
{
	begin2(c);
	for (size_t i = 0; i < n; i++)
		if (add2(c, entry_block(entries[i]), entry_info(entries[i])) != SP_OK)
			return false;
	return finish2(c, buf);
}

static bool joined1(struct entry *const *entries, size_t n, struct sp_buf *buf)
{
	struct sp_bytes blocks[WINDOW_JOIN_MAX];
	struct sp_why why;
	for (size_t i = 0; i < n; i++)
		blocks[i] = entry_block(entries[i]);
	sp_buf_clear(buf);
	return rw_join(blocks, n, RW_RAW_MAX_BYTES, buf, &why) == SP_OK;
}

/* ---- merging ---- */

/* What came within one minute has hardly a series twice; batches of several minutes wait together after an outage only, or where the
 * receiver is slow. */
static bool is_backlog(struct entry *const *entries, size_t n)
{
	int64_t min_ms = INT64_MAX, max_ms = INT64_MIN;
	for (size_t i = 0; i < n; i++) {
		const struct batch *b = &entries[i]->batch;
		if (b->flags & BATCH_AS_IT_IS)
			return false;
		min_ms = b->min_ms < min_ms ? b->min_ms : min_ms;
		max_ms = b->max_ms > max_ms ? b->max_ms : max_ms;
	}
	return n > 1 && max_ms - min_ms >= MINUTE_MS;
}

/* Merging pays where a quarter of the series are repeats, or samples find their place in time. */
static bool pays(struct composer *c, size_t series, size_t raw_len)
{
	if (4 * merge_series(c->merge) > 3 * series && !merge_is_unordered(c->merge)) {
		c->pause = 2 * c->pause + 1 < MERGE_PAUSE_MAX ? 2 * c->pause + 1 : MERGE_PAUSE_MAX;
		c->left = c->pause;
		c->gain = 1;
		return false;
	}
	c->pause = 0;
	c->gain = raw_len / (merge_raw_len(c->merge) + 1);
	c->gain = c->gain < 1 ? 1 : c->gain > COMPOSE_GAIN_MAX ? COMPOSE_GAIN_MAX : c->gain;
	return true;
}

/* ends: how many series were known after each batch. */
static bool merge_batches(struct composer *c, struct entry *const *entries, size_t n, size_t *ends)
{
	struct sp_why why;
	size_t series = 0, raw_len = 0;
	merge_clear(c->merge);
	for (size_t i = 0; i < n; i++) {
		if (uncompress(c, entry_block(entries[i]), &why) != SP_OK ||
		    merge_add(c->merge, sp_buf_view(&c->raw), &why) != SP_OK)
			return false;
		ends[i] = merge_series(c->merge);
		series += entries[i]->batch.series;
		raw_len += c->raw.n;
	}
	return pays(c, series, raw_len);
}

static bool write1(struct composer *c, struct composed *out, struct sp_buf *buf)
{
	struct rw_totals t;
	struct sp_why why;
	sp_buf_clear(&c->raw);
	sp_buf_clear(buf);
	if (merge_write(c->merge, 0, merge_series(c->merge), &c->raw, &t, &why) != SP_OK)
		return false;
	rw_compress(sp_buf_view(&c->raw), buf);
	out->samples = t.samples;
	return sp_buf_ok(buf);
}

/* Each series with what the batch that brought it first knows of its metric. */
static bool write2(struct composer *c, struct entry *const *entries, const size_t *ends, struct composed *out,
    struct sp_buf *buf)
{
	struct rw_totals t;
	struct sp_why why;
	begin2(c);
	for (size_t i = 0, from = 0; i < out->n; from = ends[i++]) {
		sp_buf_clear(&c->raw);
		if (merge_write(c->merge, from, ends[i], &c->raw, &t, &why) != SP_OK ||
		    add_raw2(c, entry_info(entries[i]), &why) != SP_OK)
			return false;
		out->samples += t.samples;
	}
	return finish2(c, buf);
}

/* Is it time for merging these? */
static bool may_merge(struct composer *c, struct entry *const *entries, size_t n)
{
	if (!is_backlog(entries, n))
		return false;
	if (c->left > 0) {
		c->left--;
		return false;
	}
	if (!c->merge)
		c->merge = merge_new();
	return true;
}

/* As many of the batches as fit, with each of their series once. */
static bool merged(struct composer *c, struct entry *const *entries, size_t n, const struct window_limits *l,
    enum rw_version version, struct composed *out, struct sp_buf *buf)
{
	size_t ends[WINDOW_JOIN_MAX];
	for (; n > 1 && merge_batches(c, entries, n, ends); n /= 2) {
		if (merge_raw_len(c->merge) > l->raw_bytes)
			continue;
		*out = (struct composed){.n = n, .version = version};
		if (!(version == RW_2 ? write2(c, entries, ends, out, buf) : write1(c, out, buf)))
			return false;
		out->body = sp_buf_view(buf);
		if (buf->n <= l->bytes)
			return true;
	}
	return false;
}

size_t composer_gain(const struct composer *c)
{
	return c->gain;
}

/* ---- what is sent ---- */

/* Those that are within the limits as they are: the others were given in the hope of merging. */
static size_t fitting(struct entry *const *entries, size_t n, const struct window_limits *l)
{
	size_t bytes = 0, raw = 0, fit = 0;
	for (; fit < n; fit++) {
		bytes += entries[fit]->batch.len;
		raw += entries[fit]->batch.raw_len;
		if (fit > 0 && (bytes > l->bytes || raw > l->raw_bytes))
			break;
	}
	return fit;
}

struct composed compose_batches(struct composer *c, struct entry *const *entries, size_t n,
    const struct window_limits *l, enum rw_version version, struct sp_buf *buf)
{
	struct composed out;
	if (may_merge(c, entries, n) && merged(c, entries, n, l, version, &out, buf))
		return out;
	n = fitting(entries, n, l);
	out = (struct composed){.n = n};
	if (version == RW_2 && batches2(c, entries, n, buf))
		out.version = RW_2;
	else if (n == 1 || !joined1(entries, n, buf))
		out.n = 1;
	out.body = out.version == RW_1 && out.n == 1 ? entry_block(entries[0]) : sp_buf_view(buf);
	for (size_t i = 0; i < out.n; i++)
		out.samples += entries[i]->batch.samples;
	return out;
}

struct composed compose_part(struct composer *c, const struct entry *e, struct sp_bytes block, uint64_t samples,
    enum rw_version version, struct sp_buf *buf)
{
	struct composed out = {.body = block, .n = 1, .samples = samples};
	if (version != RW_2)
		return out;
	begin2(c);
	if (add2(c, block, e && e->payload ? entry_info(e) : sp_bytes(NULL, 0)) != SP_OK || !finish2(c, buf))
		return out;
	out.version = RW_2;
	out.body = sp_buf_view(buf);
	return out;
}
