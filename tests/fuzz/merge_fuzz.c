/* Any bytes, cut into bodies: what can be merged has each series once and each time once, holds for each series and time the value that
 * came last, and merging it again changes nothing. The first byte says where the bodies are cut. */
#include "proto/merge.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void expect(bool true_)
{
	if (!true_)
		abort();
}

/* The sample of that series and time that comes last; false: there is none. */
static bool last_of(struct sp_bytes raw, struct sp_bytes labels, int64_t ms, uint64_t *bits, size_t *count)
{
	struct rw_series s;
	struct rw_sample v;
	bool found = false;
	*count = 0;
	while (rw_next(&raw, &s, NULL) == SP_OK)
		while (sp_eq(s.labels, labels) && rw_next_sample(&s.samples, &v))
			if (v.ms == ms) {
				memcpy(bits, &v.value, sizeof *bits);
				found = true;
				++*count;
			}
	return found;
}

static void compare(struct sp_bytes in, struct sp_bytes merged)
{
	struct sp_bytes rest = in;
	struct rw_series s;
	struct rw_sample v;
	uint64_t want, got;
	size_t count;
	while (rw_next(&rest, &s, NULL) == SP_OK)
		while (rw_next_sample(&s.samples, &v)) {
			expect(last_of(in, s.labels, v.ms, &want, &count));
			expect(last_of(merged, s.labels, v.ms, &got, &count) && count == 1 && got == want);
		}
	while (rw_next(&merged, &s, NULL) == SP_OK) {
		int64_t before = INT64_MIN;
		expect(s.n_samples > 0);
		for (uint32_t i = 0; rw_next_sample(&s.samples, &v); i++) {
			expect(i == 0 || v.ms > before);
			before = v.ms;
		}
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct merge *m = merge_new();
	struct sp_buf out = {0}, again = {0};
	struct rw_totals t, t2;
	size_t cut = n ? data[0] % n : 0;
	struct sp_bytes all = sp_bytes(data + (n > 0), n - (n > 0));
	bool ok = n > 0 && n < 2048;
	ok = ok && merge_add(m, sp_bytes(all.p, cut), NULL) == SP_OK;
	ok = ok && merge_add(m, sp_bytes(all.p + cut, all.n - cut), NULL) == SP_OK;
	if (ok) {
		size_t at_most = merge_raw_len(m);
		expect(merge_write(m, 0, merge_series(m), &out, &t, NULL) == SP_OK);
		expect(out.n <= at_most && t.raw_len == out.n);
		compare(all, sp_buf_view(&out));
		merge_clear(m);
		expect(merge_add(m, sp_buf_view(&out), NULL) == SP_OK && !merge_is_unordered(m));
		expect(merge_write(m, 0, merge_series(m), &again, &t2, NULL) == SP_OK);
		expect(sp_eq(sp_buf_view(&out), sp_buf_view(&again)) && memcmp(&t, &t2, sizeof t) == 0);
	}
	merge_free(&m);
	sp_buf_free(&out);
	sp_buf_free(&again);
	return 0;
}
