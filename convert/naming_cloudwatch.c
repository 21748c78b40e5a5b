/* The preset cloudwatch: the names of prometheus/cloudwatch_exporter. */
#include "convert/naming_preset.h"

#include <stdio.h>

/* Appends one character that is legal or becomes "_"; runs of "_" since `from` collapse into one. */
static void add_safe(struct sp_buf *out, size_t from, uint8_t c, bool colon)
{
	if (!isalnum(c) && !(colon && c == ':'))
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
		if (snake && isupper(c) && i > 0 && (islower(s.p[i - 1]) || isdigit(s.p[i - 1])))
			add_safe(out, from, '_', colon);
		add_safe(out, from, (uint8_t)tolower(c), colon);
	}
}

static void cloudwatch_metric(struct sp_buf *out, struct sp_bytes ns, struct sp_bytes metric, struct sp_bytes unit)
{
	(void)unit;
	struct sp_buf name = {0};
	add_lower(&name, 0, ns, true, false);
	add_safe(&name, 0, '_', true);
	add_lower(&name, 0, metric, true, true);
	if (name.n && name.p[0] == '_') /* a namespace like "/aws/sagemaker/TrainingJobs" */
		memmove(name.p, name.p + 1, --name.n);
	naming_add_legal(out, &name);
}

static void cloudwatch_job(struct sp_buf *out, struct sp_bytes ns)
{
	add_lower(out, out->n, ns, true, false);
}

static void cloudwatch_label(struct sp_buf *out, struct sp_bytes dim)
{
	struct sp_buf name = {0};
	add_lower(&name, 0, dim, false, true);
	naming_add_legal(out, &name);
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

static const struct naming_label identity[] = {{.name = TEXT("account_id"), .from = LABEL_ACCOUNT},
    {.name = TEXT("job"), .from = LABEL_JOB}, {.name = TEXT("region"), .from = LABEL_REGION}};

const struct naming_preset naming_cloudwatch = {
	.name = "cloudwatch",
	.fixed = {{.suffix = TEXT("_sum")}, {.suffix = TEXT("_sample_count")}, {.suffix = TEXT("_minimum")},
		{.suffix = TEXT("_maximum")}, {.suffix = TEXT("_average")}},
	.identity = identity,
	.n_identity = 3,
	.reserved = cloudwatch_reserved,
	.metric = cloudwatch_metric,
	.job_value = cloudwatch_job,
	.label = cloudwatch_label,
	.percentile = cloudwatch_percentile,
	.other = cloudwatch_other,
};
