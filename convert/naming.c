#include "convert/naming.h"

#include <stdio.h>
#include <stdlib.h>

static bool is_upper(uint8_t c)
{
	return c >= 'A' && c <= 'Z';
}

static bool is_lower_or_digit(uint8_t c)
{
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

static bool is_digit(uint8_t c)
{
	return c >= '0' && c <= '9';
}

/* ---- preset cloudwatch: the names of prometheus/cloudwatch_exporter ---- */

/* Appends one character that is legal or becomes "_"; runs of "_" since `from` collapse into one. */
static void add_safe(struct sp_buf *out, size_t from, uint8_t c, bool colon)
{
	if (!is_upper(c) && !is_lower_or_digit(c) && !(colon && c == ':'))
		c = '_';
	if (c == '_' && out->n > from && out->p[out->n - 1] == '_')
		return;
	sp_buf_u8(out, c);
}

/* snake: "_" between [a-z0-9] and a capital that follows. */
static void add_lower(struct sp_buf *out, size_t from, struct sp_bytes s, bool colon, bool snake)
{
	for (size_t i = 0; i < s.n; i++) {
		uint8_t c = s.p[i];
		if (is_upper(c)) {
			if (snake && i > 0 && is_lower_or_digit(s.p[i - 1]))
				add_safe(out, from, '_', colon);
			c |= 0x20;
		}
		add_safe(out, from, c, colon);
	}
}

/* A name that starts with a digit, or is empty, gets a "_" in front. */
static void add_legal(struct sp_buf *out, struct sp_bytes name)
{
	if (name.n == 0 || is_digit(name.p[0]))
		sp_buf_u8(out, '_');
	sp_buf_add(out, name);
}

static void cloudwatch_metric(struct sp_buf *out, struct sp_bytes ns, struct sp_bytes metric)
{
	struct sp_buf name = {0};
	add_lower(&name, 0, ns, true, false);
	add_safe(&name, 0, '_', true);
	add_lower(&name, 0, metric, true, true);
	struct sp_bytes rest = sp_buf_view(&name);
	if (rest.n && rest.p[0] == '_') /* a namespace like "/aws/sagemaker/TrainingJobs" */
		rest.p++, rest.n--;
	add_legal(out, rest);
	out->failed |= name.failed;
	sp_buf_free(&name);
}

static void cloudwatch_job(struct sp_buf *out, struct sp_bytes ns)
{
	add_lower(out, out->n, ns, true, false);
}

static void cloudwatch_label(struct sp_buf *out, struct sp_bytes dim)
{
	struct sp_buf name = {0};
	add_lower(&name, 0, dim, false, true);
	add_legal(out, sp_buf_view(&name));
	out->failed |= name.failed;
	sp_buf_free(&name);
}

static void cloudwatch_percentile(struct sp_buf *out, double q)
{
	char text[40];
	/* Thirteen digits are more than a percentile can have and hide what the division by 100 did to the last bits. */
	snprintf(text, sizeof text, "_p%.13g", q * 100);
	size_t from = out->n;
	for (const char *c = text; *c; c++)
		add_safe(out, from, (uint8_t)*c, false);
}

static void cloudwatch_other(struct sp_buf *out, struct sp_bytes key)
{
	size_t from = out->n;
	sp_buf_u8(out, '_');
	add_lower(out, from, key, true, false);
}

static const char *const cloudwatch_reserved[] = {"instance", "le", "name", "quantile", NULL};

static const struct naming_preset presets[] = {
	{
		.name = "cloudwatch",
		.suffixes = {"_sum", "_sample_count", "_minimum", "_maximum", "_average"},
		.job = "job",
		.account = "account_id",
		.region = "region",
		.reserved = cloudwatch_reserved,
		.metric = cloudwatch_metric,
		.job_value = cloudwatch_job,
		.label = cloudwatch_label,
		.percentile = cloudwatch_percentile,
		.other = cloudwatch_other,
	},
};

/* ---- what holds for every preset ---- */

const struct naming_preset *naming_find(struct sp_bytes name)
{
	for (size_t i = 0; i < sizeof(presets) / sizeof(*presets); i++) {
		if (sp_eq(name, sp_str(presets[i].name)))
			return &presets[i];
	}
	return NULL;
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

bool naming_label_ok(struct sp_bytes name)
{
	if (name.n == 0 || is_digit(name.p[0]) || (name.n >= 2 && name.p[0] == '_' && name.p[1] == '_'))
		return false;
	for (size_t i = 0; i < name.n; i++) {
		if (!is_upper(name.p[i]) && !is_lower_or_digit(name.p[i]) && name.p[i] != '_')
			return false;
	}
	return true;
}

static bool is_reserved(const struct naming_preset *preset, struct sp_bytes name)
{
	for (const char *const *r = preset->reserved; *r; r++) {
		if (sp_eq(name, sp_str(*r)))
			return true;
	}
	return sp_eq(name, sp_str(preset->job)) || sp_eq(name, sp_str(preset->account)) || sp_eq(name, sp_str(preset->region));
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

/* By name; an external label after the label of the data that has the same name. */
static int label_order(const void *a, const void *b)
{
	const struct naming_label *x = a, *y = b;
	int c = sp_cmp(x->name, y->name);
	return c ? c : (x->from == LABEL_EXTERNAL) - (y->from == LABEL_EXTERNAL);
}

enum sp_status naming_labels(const struct naming_preset *preset, const struct cw_dim *dims, size_t n_dims,
    const struct naming_label *external, size_t n_external, struct sp_arena *arena, const struct naming_label **out,
    size_t *out_n)
{
	size_t n = 0;
	struct naming_label *v = sp_arena_alloc(arena, (n_dims + 3 + n_external) * sizeof(*v));
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
	v[n++] = (struct naming_label){.name = sp_str(preset->job), .from = LABEL_JOB};
	v[n++] = (struct naming_label){.name = sp_str(preset->account), .from = LABEL_ACCOUNT};
	v[n++] = (struct naming_label){.name = sp_str(preset->region), .from = LABEL_REGION};
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
		if (sp_eq(suffix, sp_str(preset->suffixes[i])))
			return true;
	}
	return suffix.n >= 3 && suffix.p[1] == 'p' && is_digit(suffix.p[2]);
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

enum sp_status naming_suffixes(const struct naming_preset *preset, const struct cw_point *p, struct sp_arena *arena,
	const struct sp_bytes **out)
{
	size_t n = (size_t)p->n_quantiles + p->n_extras;
	struct sp_bytes *v = sp_arena_alloc(arena, (n + 1) * sizeof(*v)); /* by position in the point */
	struct sp_bytes *taken = sp_arena_alloc(arena, (n + 1) * sizeof(*taken));
	struct keyed *order = sp_arena_alloc(arena, (p->n_extras + 1u) * sizeof(*order));
	if (!v || !taken || !order)
		return SP_NO_MEM;
	for (size_t i = 0; i < p->n_extras; i++)
		order[i] = (struct keyed){p->extras[i].key, i};
	qsort(order, p->n_extras, sizeof(*order), key_order);
	for (size_t i = 0; i < n; i++) {
		struct sp_buf suffix = {0};
		size_t at = i, number = 1;
		if (i < p->n_quantiles) {
			preset->percentile(&suffix, p->quantiles[i].q);
		} else {
			at = p->n_quantiles + order[i - p->n_quantiles].at;
			preset->other(&suffix, order[i - p->n_quantiles].key);
			number += is_suffix_reserved(preset, sp_buf_view(&suffix));
		}
		v[at] = taken[i] = keep_unique(&suffix, number, taken, i, arena);
		sp_buf_free(&suffix);
		if (!v[at].p)
			return SP_NO_MEM;
	}
	*out = v;
	return SP_OK;
}
