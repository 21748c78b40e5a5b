/* Any names: metric names and labels are legal, labels sorted and unique, suffixes unique, and all of it the same the
 * second time. */
#include "convert/naming.h"

#include "common/conf.h"
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

#define MAX_NAMES 24

static void expect(bool true_)
{
	if (!true_)
		abort();
}

static bool is_metric_name(struct sp_bytes s)
{
	for (size_t i = 0; i < s.n; i++) {
		uint8_t c = s.p[i];
		bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c == ':';
		if (!letter && !(i > 0 && c >= '0' && c <= '9'))
			return false;
	}
	return s.n > 0;
}

static int by_name(const void *a, const void *b)
{
	return sp_cmp(((const struct cw_dim *)a)->name, ((const struct cw_dim *)b)->name);
}

static void check_labels(
    const struct naming_preset *preset, const struct cw_dim *dims, size_t n, struct sp_arena *arena)
{
	const struct naming_label external[] = {{.name = SP_LIT("cluster"), .value = SP_LIT("c"), .from = LABEL_CONSTANT},
		{.name = SP_LIT("region"), .value = SP_LIT("r"), .from = LABEL_CONSTANT}};
	const struct naming_label *v, *again;
	size_t n_v, n_again;
	expect(naming_labels(preset, dims, n, external, 2, arena, &v, &n_v) == SP_OK);
	expect(naming_labels(preset, dims, n, external, 2, arena, &again, &n_again) == SP_OK);
	expect(n_v == n + preset->n_identity + 2 && n_again == n_v);
	for (size_t i = 0; i < n_v; i++) {
		expect(label_name_ok(v[i].name) && sp_eq(v[i].name, again[i].name) && v[i].dim == again[i].dim);
		expect(i == 0 || sp_cmp(v[i - 1].name, v[i].name) < (v[i].is_default ? 1 : 0));
		expect(!v[i].is_default || v[i].from == LABEL_CONSTANT || preset->dimensions_win);
	}
}

static void check_suffixes(
    const struct naming_preset *preset, const struct cw_point *p, struct sp_bytes base, struct sp_arena *arena)
{
	const struct naming_series *v;
	expect(naming_statistics(preset, p, arena, &v) == SP_OK);
	for (size_t i = 0; i < (size_t)p->n_quantiles + p->n_extras; i++) {
		struct sp_buf name = {0};
		sp_buf_add(&name, base);
		sp_buf_add(&name, v[i].suffix);
		expect(is_metric_name(sp_buf_view(&name)));
		sp_buf_free(&name);
		for (size_t j = 0; j < i; j++)
			expect(!sp_eq(v[i].suffix, v[j].suffix) || !sp_eq(v[i].quantile, v[j].quantile));
		for (int j = 0; j < STATS_FIXED; j++)
			expect(!sp_eq(v[i].suffix, preset->fixed[j].suffix) || !sp_eq(v[i].quantile, preset->fixed[j].quantile));
	}
}

static void check(const struct naming_preset *preset, const struct sp_bytes *names, const struct cw_dim *dims,
	size_t n_dims, const struct cw_point *p)
{
	struct sp_arena *arena = sp_arena_new(0);
	struct sp_buf base = {0};
	preset->metric(&base, names[0], names[1], names[2]);
	expect(is_metric_name(sp_buf_view(&base)));
	check_labels(preset, dims, n_dims, arena);
	check_suffixes(preset, p, sp_buf_view(&base), arena);
	sp_buf_free(&base);
	sp_arena_free(&arena);
}

/* Names in the input end at a line feed: namespace, metric, unit, then names used as dimensions and as keys. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct sp_bytes names[MAX_NAMES + 3] = {{0}};
	size_t n_names = 0, n_dims = 0;
	for (size_t i = 0, start = 0; i <= n && n_names < MAX_NAMES + 3; i++) {
		if (i == n || data[i] == '\n') {
			names[n_names++] = sp_bytes(data + start, i - start);
			start = i + 1;
		}
	}
	struct cw_dim dims[MAX_NAMES];
	struct cw_extra extras[MAX_NAMES];
	struct cw_quantile quantiles[2] = {{n % 997 / 997.0 + 1e-7, 0}, {1 - 1e-12, 0}};
	struct cw_point p = {.quantiles = quantiles, .n_quantiles = 2, .extras = extras};
	for (size_t i = 3; i < n_names; i++) {
		extras[p.n_extras++].key = names[i];
		dims[n_dims++].name = names[i];
	}
	qsort(dims, n_dims, sizeof(*dims), by_name);
	size_t unique = 0;
	for (size_t i = 0; i < n_dims; i++) {
		if (dims[i].name.n && (unique == 0 || !sp_eq(dims[i].name, dims[unique - 1].name)))
			dims[unique++] = dims[i];
	}
	static const char *const presets[] = {"cloudwatch", "yace", "logzio", "otel"};
	for (size_t i = 0; i < sizeof(presets) / sizeof(*presets); i++)
		check(naming_find(sp_str(presets[i])), names, dims, unique, &p);
	struct naming_preset logzio = *naming_find(SP_LIT("logzio"));
	expect(naming_bug(&logzio, SP_LIT("uncollapsed_names")) && naming_bug(&logzio, SP_LIT("dimensions_win")));
	check(&logzio, names, dims, unique, &p);
	return 0;
}
