#include "tests/lib/rw2_oracle.h"

#include "tests/remote_write2.pb-c.h"

#include <stdlib.h>

static int by_bytes(const void *a, const void *b)
{
	const ProtobufCBinaryData *x = a, *y = b;
	return sp_cmp(sp_bytes(x->data, x->len), sp_bytes(y->data, y->len));
}

static bool are_unique(const Rw2__Request *r)
{
	ProtobufCBinaryData *sorted = malloc((r->n_symbols + 1) * sizeof *sorted);
	bool unique = true;
	memcpy(sorted, r->symbols, r->n_symbols * sizeof *sorted);
	qsort(sorted, r->n_symbols, sizeof *sorted, by_bytes);
	for (size_t i = 1; i < r->n_symbols; i++)
		unique &= by_bytes(&sorted[i - 1], &sorted[i]) != 0;
	free(sorted);
	return unique;
}

static bool is_text(const Rw2__Request *r, uint32_t ref, struct sp_bytes text)
{
	return ref < r->n_symbols && sp_eq(sp_bytes(r->symbols[ref].data, r->symbols[ref].len), text);
}

static const char *metadata_differ(
	const Rw2__Request *r, const Rw2__Metadata *m, const Standpipe__InfoEntry *e, struct sp_bytes name)
{
	struct sp_bytes unit = e ? info_unit(e, name) : sp_str("");
	bool known = e && (e->type || e->help[0] || unit.n);
	if (!known || !m)
		return known == !m ? "metadata are missing, or are too much" : NULL;
	if (m->type != (int32_t)e->type || !is_text(r, m->help_ref, sp_str(e->help)) || !is_text(r, m->unit_ref, unit))
		return "metadata are others";
	return NULL;
}

static const char *series_differ(const Rw2__Request *r, const Rw2__TimeSeries *t, struct rw_series *s, const struct info *info)
{
	struct rw_label label;
	struct rw_sample v;
	if (t->n_labels_refs != 2 * (size_t)s->n_labels || t->n_samples != s->n_samples)
		return "a series has not as many labels or samples";
	struct sp_bytes name = rw_find_label(s->labels, SP_LIT("__name__"));
	for (size_t i = 0; rw_next_label(&s->labels, &label); i += 2)
		if (!is_text(r, t->labels_refs[i], label.name) || !is_text(r, t->labels_refs[i + 1], label.value))
			return "a label is another one";
	for (size_t i = 0; rw_next_sample(&s->samples, &v); i++)
		if (memcmp(&t->samples[i]->value, &v.value, sizeof v.value) != 0 || t->samples[i]->timestamp != v.ms ||
		    t->samples[i]->has_start_timestamp)
			return "a sample is another one";
	return metadata_differ(r, t->metadata, info ? info_find(info, name) : NULL, name);
}

static const char *differ(const Rw2__Request *r, const struct rw2_part *parts, size_t n)
{
	size_t at = 0;
	if (r->base.n_unknown_fields || r->n_symbols == 0 || r->symbols[0].len != 0 || !are_unique(r))
		return "the table of symbols breaks a rule";
	for (size_t i = 0; i < n; i++) {
		struct sp_bytes raw = parts[i].raw;
		struct rw_series s;
		const char *wrong;
		while (rw_next(&raw, &s, NULL) == SP_OK) {
			if (s.n_samples == 0)
				continue;
			if (at == r->n_timeseries)
				return "a series is missing";
			if ((wrong = series_differ(r, r->timeseries[at++], &s, parts[i].info)))
				return wrong;
		}
	}
	return at == r->n_timeseries ? NULL : "there is a series too much";
}

const char *rw2_differs(struct sp_bytes block, const struct rw2_part *parts, size_t n)
{
	struct sp_buf raw = {0};
	if (rw_uncompress(block, RW_RAW_MAX_BYTES, &raw, NULL) != SP_OK)
		return "it is no block";
	Rw2__Request *r = rw2__request__unpack(NULL, raw.n, raw.p);
	const char *wrong = r ? differ(r, parts, n) : "it cannot be decoded";
	if (r)
		rw2__request__free_unpacked(r, NULL);
	sp_buf_free(&raw);
	return wrong;
}
