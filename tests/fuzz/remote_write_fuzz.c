/* Any bytes as a write request and as a snappy block: no overrun; what is accepted can be copied, counted and joined
 * with itself. */
#include "proto/remote_write.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static bool keep_all(void *arg, uint32_t series, uint32_t sample, const struct rw_series *s, const struct rw_sample *v)
{
	(void)arg, (void)series, (void)sample, (void)s, (void)v;
	return true;
}

static void expect(bool true_)
{
	if (!true_)
		abort();
}

static void walk(struct sp_bytes raw)
{
	struct rw_totals t, part;
	if (rw_count(raw, &t, NULL) != SP_OK)
		return;
	struct sp_bytes in = raw;
	struct rw_series s;
	struct sp_buf text = {0}, block = {0}, back = {0};
	uint32_t samples = 0, with_samples = 0;
	while (rw_next(&in, &s, NULL) == SP_OK) {
		struct rw_label label;
		struct rw_sample v;
		struct sp_bytes labels = s.labels;
		uint32_t n_labels = 0, n_samples = 0;
		rw_print_labels(&text, labels);
		while (rw_next_label(&labels, &label))
			n_labels++;
		while (rw_next_sample(&s.samples, &v))
			n_samples++;
		expect(n_labels == s.n_labels && n_samples == s.n_samples);
		samples += n_samples;
		with_samples += n_samples > 0;
	}
	expect(samples == t.samples);
	expect(rw_part(raw, keep_all, NULL, &block, &part, NULL) == SP_OK);
	expect(part.samples == t.samples && part.series == with_samples);
	expect(part.min_ms == t.min_ms && part.max_ms == t.max_ms);
	expect(rw_uncompress(sp_buf_view(&block), part.raw_len, &back, NULL) == SP_OK);
	expect(rw_count(sp_buf_view(&back), &t, NULL) == SP_OK && t.samples == samples);
	sp_buf_free(&text);
	sp_buf_free(&block);
	sp_buf_free(&back);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct sp_bytes in = sp_bytes(data, n), twice[2] = {in, in};
	struct sp_buf one = {0}, joined = {0}, both = {0};
	walk(in);
	if (rw_uncompress(in, 1 << 20, &one, NULL) == SP_OK) {
		walk(sp_buf_view(&one));
		expect(rw_join(twice, 2, 1 << 21, &joined, NULL) == SP_OK);
		expect(rw_uncompress(sp_buf_view(&joined), 1 << 21, &both, NULL) == SP_OK);
		expect(both.n == 2 * one.n && (!one.n || memcmp(both.p + one.n, one.p, one.n) == 0));
	}
	sp_buf_free(&one);
	sp_buf_free(&joined);
	sp_buf_free(&both);
	return 0;
}
