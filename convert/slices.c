#include "convert/slices.h"

#include "common/alloc.h"

#define KEPT_BYTES (4u << 20) /* of a buffer after a large delivery */

void slices_init(struct slices *s, const Standpipe__Group *group, size_t budget)
{
	*s = (struct slices){.max_samples = group->max_samples ? group->max_samples : UINT32_MAX,
		.max_bytes = group->max_bytes ? group->max_bytes : SIZE_MAX,
		.max_raw_bytes = group->max_raw_bytes ? group->max_raw_bytes : RW_RAW_MAX_BYTES, .payload.max = budget};
}

void slices_free(struct slices *s)
{
	sp_buf_free(&s->raw);
	sp_buf_free(&s->payload);
	sp_free(s->v);
}

void slices_rest(struct slices *s)
{
	struct sp_buf *const bufs[] = {&s->raw, &s->payload};
	for (size_t i = 0; i < sizeof bufs / sizeof bufs[0]; i++)
		if (bufs[i]->cap > KEPT_BYTES)
			sp_buf_free(bufs[i]);
}

void slices_begin(struct slices *s)
{
	sp_buf_clear(&s->payload);
	sp_buf_clear(&s->raw);
	s->open = (struct rw_totals){0};
	s->lane = s->shard = 0;
	s->n = 0;
	s->samples = 0;
}

enum sp_status slices_shard(struct slices *s, uint32_t lane, uint32_t shard)
{
	enum sp_status status = shard != s->shard || lane != s->lane ? slices_close(s) : SP_OK;
	s->lane = lane;
	s->shard = shard;
	return status;
}

static enum sp_status add_slice(struct slices *s, struct sp_bytes raw, const struct rw_totals *t);

/* Too many compressed bytes: the first half of the series and the rest. */
static enum sp_status split_slice(struct slices *s, struct sp_bytes raw, const struct rw_totals *t)
{
	struct sp_bytes rest = raw;
	struct rw_series one;
	enum sp_status status = SP_OK;
	for (uint32_t i = 0; i < t->series / 2 && status == SP_OK; i++)
		status = rw_next(&rest, &one, NULL);
	struct sp_bytes halves[2] = {{raw.p, raw.n - rest.n}, rest};
	for (int i = 0; i < 2 && status == SP_OK; i++) {
		struct rw_totals half;
		status = rw_count(halves[i], &half, NULL);
		if (status == SP_OK)
			status = add_slice(s, halves[i], &half);
	}
	SP_BUG_IF(status == SP_BAD_DATA); /* we have just written it */
	return status;
}

static enum sp_status add_slice(struct slices *s, struct sp_bytes raw, const struct rw_totals *t)
{
	size_t off = s->payload.n;
	rw_compress(raw, &s->payload);
	if (!sp_buf_ok(&s->payload))
		return SP_NO_MEM;
	if (s->payload.n - off > s->max_bytes && t->series > 1) {
		s->payload.n = off;
		return split_slice(s, raw, t);
	}
	if (s->n == s->cap) {
		size_t cap = s->cap ? 2 * s->cap : 64;
		struct convert_slice *v = sp_try_realloc(s->v, cap * sizeof(*v));
		if (!v)
			return SP_NO_MEM;
		s->v = v;
		s->cap = cap;
	}
	s->v[s->n++] = (struct convert_slice){.shard = s->shard, .len = (uint32_t)(s->payload.n - off),
		.raw_len = (uint32_t)raw.n, .series = t->series, .samples = t->samples, .off = off, .min_ms = t->min_ms,
		.max_ms = t->max_ms, .dead_reason = s->dead_reason, .lane = s->lane};
	s->samples += t->samples;
	return SP_OK;
}

enum sp_status slices_close(struct slices *s)
{
	enum sp_status status = SP_OK;
	if (s->open.series)
		status = add_slice(s, sp_buf_view(&s->raw), &s->open);
	s->open = (struct rw_totals){0};
	sp_buf_clear(&s->raw);
	return status;
}

static uint8_t *put_bytes(uint8_t *to, const uint8_t *p, size_t n)
{
	if (n)
		memcpy(to, p, n);
	return to + n;
}

static uint8_t *put_name(uint8_t *to, struct sp_bytes base, struct sp_bytes suffix)
{
	size_t n = base.n + suffix.n;
	*to++ = 0x0a; /* labels */
	to = rw_put_varint(to, 10 + 1 + rw_varint_size(n) + n);
	memcpy(to, "\x0a\x08__name__\x12", 11);
	to = rw_put_varint(to + 11, n);
	return put_bytes(put_bytes(to, base.p, base.n), suffix.p, suffix.n);
}

static uint8_t *put_labels(uint8_t *to, const struct mapped *m, const struct naming_series *series)
{
	to = put_bytes(to, m->labels, m->before);
	to = put_name(to, m->base, series->suffix);
	uint32_t rest = series->quantile.n ? m->before_quantile : m->before;
	if (series->quantile.n) {
		to = put_bytes(to, m->labels + m->before, rest - m->before);
		to = rw_put_label(to, SP_LIT("quantile"), series->quantile);
	}
	return put_bytes(to, m->labels + rest, m->labels_len - rest);
}

static enum sp_status put_series(struct slices *s, const struct mapped *m, const struct naming_series *series,
	const struct rw_sample *v, uint32_t n)
{
	size_t size = rw_label_size(8, m->base.n + series->suffix.n) + m->labels_len;
	if (series->quantile.n)
		size += rw_label_size(8, series->quantile.n);
	for (uint32_t i = 0; i < n; i++)
		size += rw_sample_size(v[i].ms);
	size_t field = 1 + rw_varint_size(size) + size;
	if (s->open.series && (s->open.samples + n > s->max_samples || s->raw.n + field > s->max_raw_bytes)) {
		enum sp_status status = slices_close(s);
		if (status != SP_OK)
			return status;
	}
	uint8_t *to = sp_buf_room(&s->raw, field);
	if (!to)
		return SP_NO_MEM;
	to = put_labels(rw_put_series_head(to, size), m, series);
	for (uint32_t i = 0; i < n; i++)
		to = rw_put_sample(to, v[i].ms, v[i].value);
	s->raw.n = (size_t)(to - s->raw.p);

	struct rw_totals *t = &s->open;
	t->min_ms = t->series && t->min_ms < v[0].ms ? t->min_ms : v[0].ms;
	t->max_ms = t->series && t->max_ms > v[n - 1].ms ? t->max_ms : v[n - 1].ms;
	t->series++;
	t->samples += n;
	return SP_OK;
}

/* A series of more samples than a slice may hold goes out in pieces. */
enum sp_status slices_add(struct slices *s, const struct mapped *m, const struct naming_series *series,
	const struct rw_sample *v, size_t n)
{
	enum sp_status status = SP_OK;
	size_t most = 1 + s->max_raw_bytes / (2 * RW_SAMPLE_MAX_BYTES); /* leaves half of the bytes to the labels */
	if (most > s->max_samples)
		most = s->max_samples;
	while (n > 0 && status == SP_OK) {
		size_t now = n < most ? n : most;
		status = put_series(s, m, series, v, (uint32_t)now);
		v += now, n -= now;
	}
	return status;
}
