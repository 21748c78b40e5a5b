/* The preset yace: the names of yet-another-cloudwatch-exporter. Characters that it passes on although they are not
 * legal become "_". */
#include "convert/naming_preset.h"

#include <stdio.h>

/* Its characters that become "_" are among those that are not legal here. */
static void add_text(struct sp_buf *out, struct sp_bytes s)
{
	for (size_t i = 0; i < s.n; i++) {
		uint8_t c = s.p[i];
		if (c == '%')
			sp_buf_str(out, "_percent");
		else if (!is_continuation(c))
			sp_buf_u8(out, isalnum(c) ? c : '_');
	}
}

static void add_snake(struct sp_buf *out, struct sp_bytes s, bool snake)
{
	size_t from = out->n;
	for (size_t i = 0; i < s.n; i++) {
		if (snake && i > 0 && isupper(s.p[i]) && (islower(s.p[i - 1]) || isdigit(s.p[i - 1])))
			sp_buf_u8(out, '_');
		add_text(out, sp_bytes(s.p + i, 1));
	}
	for (size_t i = from; i < out->n; i++)
		out->p[i] = (uint8_t)tolower(out->p[i]);
}

/* Without what the namespace has said before, as the exporter finds it out: each part is looked for behind the one found
 * last. */
static struct sp_bytes without_namespace(struct sp_bytes metric, struct sp_bytes ns)
{
	size_t skip = 0;
	if (metric.n == 0)
		return metric;
	for (size_t i = 0, start = 0; i <= ns.n && ns.n; i++) {
		if (i < ns.n && ns.p[i] != '_')
			continue;
		struct sp_bytes part = sp_bytes(ns.p + start, i - start);
		if (sp_starts(sp_bytes(metric.p + skip, metric.n - skip), part))
			skip = part.n;
		start = i + 1;
	}
	skip += skip < metric.n && metric.p[skip] == '_';
	return sp_bytes(metric.p + skip, metric.n - skip);
}

static void yace_metric(struct sp_buf *out, struct sp_bytes ns, struct sp_bytes metric, struct sp_bytes unit)
{
	(void)unit;
	struct sp_buf space = {0}, name = {0};
	bool slash = sp_starts(ns, SP_LIT("/"));
	add_snake(&space, sp_bytes(ns.p + slash, ns.n - slash), false);
	add_snake(&name, metric, true);
	if (!sp_starts(sp_buf_view(&space), SP_LIT("aws")))
		sp_buf_str(out, "aws_");
	sp_buf_add(out, sp_buf_view(&space));
	sp_buf_u8(out, '_');
	sp_buf_add(out, without_namespace(sp_buf_view(&name), sp_buf_view(&space)));
	out->failed |= space.failed | name.failed;
	sp_buf_free(&space);
	sp_buf_free(&name);
}

static void yace_label(struct sp_buf *out, struct sp_bytes dim)
{
	sp_buf_str(out, "dimension_");
	add_text(out, dim);
}

static void yace_other(struct sp_buf *out, struct sp_bytes key)
{
	sp_buf_u8(out, '_');
	add_snake(out, key, true);
}

static void yace_percentile(struct sp_buf *out, double q)
{
	char text[40];
	snprintf(text, sizeof text, "p%.13g", q * 100);
	yace_other(out, sp_str(text));
}

static const char *const reserved[] = {NULL}; /* the prefix keeps dimensions apart from everything */

static const struct naming_label identity[] = {
    {.name = TEXT("account_id"), .from = LABEL_ACCOUNT}, {.name = TEXT("region"), .from = LABEL_REGION}};

const struct naming_preset naming_yace = {
	.name = "yace",
	.fixed = {{.suffix = TEXT("_sum")}, {.suffix = TEXT("_sample_count")}, {.suffix = TEXT("_minimum")},
		{.suffix = TEXT("_maximum")}, {.suffix = TEXT("_average")}},
	.identity = identity,
	.n_identity = 2,
	.reserved = reserved,
	.metric = yace_metric,
	.label = yace_label,
	.percentile = yace_percentile,
	.other = yace_other,
};
