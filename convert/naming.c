#include "convert/naming_preset.h"

#include "common/conf.h"

#include <stdio.h>
#include <stdlib.h>

static const struct naming_preset *const presets[] = {
    &naming_cloudwatch, &naming_yace, &naming_logzio, &naming_otel};

/* ---- what the presets share ---- */

void naming_add_legal(struct sp_buf *out, struct sp_buf *name)
{
	if (name->n == 0 || isdigit(name->p[0]))
		sp_buf_u8(out, '_');
	sp_buf_join(out, name);
}

void naming_add_runs(struct sp_buf *out, struct sp_bytes s, bool with_underscores)
{
	bool gap = false, any = false;
	for (size_t i = 0; i < s.n; i++) {
		uint8_t c = s.p[i];
		if (!isalnum(c) && c != ':' && !(with_underscores && c == '_')) {
			gap = any;
			continue;
		}
		if (gap)
			sp_buf_u8(out, '_');
		sp_buf_u8(out, c);
		gap = false;
		any = true;
	}
}

/* ---- what holds for every preset ---- */

const struct naming_preset *naming_find(struct sp_bytes name)
{
	for (size_t i = 0; i < sizeof(presets) / sizeof(*presets); i++) {
		if (sp_eq(name, sp_str(presets[i]->name)))
			return presets[i];
	}
	return NULL;
}

bool naming_bug(struct naming_preset *preset, struct sp_bytes word)
{
	return preset->bug && preset->bug(preset, word);
}

enum naming_stat naming_stat(struct sp_bytes word)
{
	static const char *const words[STATS] = {
	    "sum", "sample_count", "minimum", "maximum", "average", "percentiles", "other"};
	int i = 0;
	while (i < STATS && !sp_eq(word, sp_str(words[i])))
		i++;
	return (enum naming_stat)i;
}

void naming_attribute(struct sp_buf *out, struct sp_bytes attribute)
{
	struct sp_buf name = {0};
	for (size_t i = 0; i < attribute.n; i++) {
		uint8_t c = (uint8_t)tolower(attribute.p[i]);
		if (!is_continuation(c))
			sp_buf_u8(&name, isalnum(c) ? c : '_');
	}
	if (!label_name_ok(sp_buf_view(&name)))
		sp_buf_str(out, "attribute_");
	sp_buf_join(out, &name);
}

static bool is_reserved(const struct naming_preset *preset, struct sp_bytes name)
{
	for (const char *const *r = preset->reserved; *r; r++) {
		if (sp_eq(name, sp_str(*r)))
			return true;
	}
	for (size_t i = 0; i < preset->n_identity && !preset->dimensions_win; i++) {
		if (sp_eq(name, preset->identity[i].name))
			return true;
	}
	return false;
}

static bool is_taken(const struct sp_bytes *taken, size_t n, struct sp_bytes name)
{
	size_t i = 0;
	while (i < n && !sp_eq(taken[i], name))
		i++;
	return i < n;
}

/* Makes name differ from all that are taken by adding _2, _3 ..., counting from `number`, and keeps it in the arena. */
static struct sp_bytes keep_unique(
    struct sp_buf *name, size_t number, const struct sp_bytes *taken, size_t n, struct sp_arena *arena)
{
	size_t clean = name->n;
	const char *joint = sp_eq(sp_buf_view(name), SP_LIT("_")) ? "" : "_"; /* names that start with "__" are reserved */
	do {
		name->n = clean;
		if (number > 1)
			sp_buf_printf(name, "%s%zu", joint, number);
		number++;
	} while (sp_buf_ok(name) && is_taken(taken, n, sp_buf_view(name)));
	return sp_buf_ok(name) ? sp_arena_copy(arena, sp_buf_view(name)) : (struct sp_bytes){0};
}

/* By name; of one name the source that is asked first. */
static int label_order(const void *a, const void *b)
{
	const struct naming_label *x = a, *y = b;
	int c = sp_cmp(x->name, y->name);
	return c ? c : (x->from > y->from) - (x->from < y->from);
}

enum sp_status naming_labels(const struct naming_preset *preset, const struct cw_dim *dims, size_t n_dims,
    const struct naming_label *external, size_t n_external, struct sp_arena *arena, const struct naming_label **out,
    size_t *out_n)
{
	size_t n = 0;
	struct naming_label *v = sp_arena_alloc(arena, (n_dims + preset->n_identity + n_external) * sizeof(*v));
	struct sp_bytes *names = sp_arena_alloc(arena, (n_dims + 1) * sizeof(*names));
	if (!v || !names)
		return SP_NO_MEM;
	for (; n < n_dims; n++) {
		struct sp_buf name = {0};
		preset->label(&name, dims[n].name);
		if (is_reserved(preset, sp_buf_view(&name))) {
			sp_buf_clear(&name);
			sp_buf_str(&name, "dim_");
			preset->label(&name, dims[n].name);
		}
		names[n] = keep_unique(&name, 1, names, n, arena);
		sp_buf_free(&name);
		if (!names[n].p)
			return SP_NO_MEM;
		v[n] = (struct naming_label){.name = names[n], .from = LABEL_DIM, .dim = (uint16_t)n};
	}
	for (size_t i = 0; i < preset->n_identity; i++)
		v[n++] = preset->identity[i];
	for (size_t i = 0; i < n_external; i++)
		v[n++] = external[i];
	qsort(v, n, sizeof(*v), label_order);
	for (size_t i = 1; i < n; i++)
		v[i].is_default = sp_eq(v[i].name, v[i - 1].name);
	*out = v;
	*out_n = n;
	return SP_OK;
}

/* A suffix that no other statistic may have, because one with a place of its own has or could have it: "_p" and digits
 * too. */
static bool is_suffix_reserved(const struct naming_preset *preset, struct sp_bytes suffix)
{
	for (int i = 0; i < STATS_FIXED; i++) {
		if (sp_eq(suffix, preset->fixed[i].suffix))
			return true;
	}
	return suffix.n >= 3 && suffix.p[1] == 'p' && isdigit(suffix.p[2]);
}

struct keyed {
	struct sp_bytes key;
	size_t at;
};

static int key_order(const void *a, const void *b)
{
	const struct keyed *x = a, *y = b;
	int c = sp_cmp(x->key, y->key);
	return c ? c : (x->at > y->at) - (x->at < y->at);
}

/* Shortest decimal that reads back as q, without exponent: 0.5, 0.0001. q lies between 0 and 1. */
static void add_quantile(struct sp_buf *out, double q)
{
	char text[40];
	int digits = 0;
	do
		snprintf(text, sizeof text, "%.*e", digits, q);
	while (strtod(text, NULL) != q && ++digits < 17);
	const char *exponent = strchr(text, 'e');
	sp_buf_str(out, "0.");
	for (long zeros = -strtol(exponent + 1, NULL, 10) - 1; zeros > 0; zeros--)
		sp_buf_u8(out, '0');
	for (const char *c = text; c < exponent; c++) {
		if (*c != '.')
			sp_buf_u8(out, (uint8_t)*c);
	}
}

static enum sp_status add_percentile(const struct naming_preset *preset, double q, struct sp_bytes *taken, size_t n,
	struct sp_arena *arena, struct naming_series *out)
{
	struct sp_buf text = {0};
	*out = (struct naming_series){0};
	struct sp_bytes *kept = preset->percentile ? &out->suffix : &out->quantile;
	(preset->percentile ? preset->percentile : add_quantile)(&text, q);
	*kept = taken[n] = keep_unique(&text, 1, taken, n, arena);
	sp_buf_free(&text);
	return kept->p ? SP_OK : SP_NO_MEM;
}

enum sp_status naming_statistics(const struct naming_preset *preset, const struct cw_point *p, struct sp_arena *arena,
	const struct naming_series **out)
{
	size_t n = (size_t)p->n_quantiles + p->n_extras;
	struct naming_series *v = sp_arena_alloc(arena, (n + 1) * sizeof(*v)); /* by position in the point */
	struct sp_bytes *taken = sp_arena_alloc(arena, (n + 1) * sizeof(*taken));
	struct keyed *order = sp_arena_alloc(arena, (p->n_extras + 1u) * sizeof(*order));
	if (!v || !taken || !order)
		return SP_NO_MEM;
	for (size_t i = 0; i < p->n_quantiles; i++) {
		if (add_percentile(preset, p->quantiles[i].q, taken, i, arena, &v[i]) != SP_OK)
			return SP_NO_MEM;
	}
	for (size_t i = 0; i < p->n_extras; i++)
		order[i] = (struct keyed){p->extras[i].key, p->n_quantiles + i};
	qsort(order, p->n_extras, sizeof(*order), key_order);
	for (size_t i = p->n_quantiles; i < n; i++) {
		struct keyed k = order[i - p->n_quantiles];
		struct sp_buf suffix = {0};
		preset->other(&suffix, k.key);
		size_t number = 1u + is_suffix_reserved(preset, sp_buf_view(&suffix));
		v[k.at] = (struct naming_series){.suffix = taken[i] = keep_unique(&suffix, number, taken, i, arena)};
		sp_buf_free(&suffix);
		if (!v[k.at].suffix.p)
			return SP_NO_MEM;
	}
	*out = v;
	return SP_OK;
}
