/* The preset logzio: the names that logz.io's Lambda for metric streams gave, versions 1.0.2 and 2.0.0. */
#include "convert/naming_preset.h"

/* Before it is made legal: "/" is a "_" here, everything is small. */
static void add_raw(struct sp_buf *out, struct sp_bytes ns, struct sp_bytes metric)
{
	sp_buf_add(out, ns);
	sp_buf_u8(out, '/');
	sp_buf_add(out, metric);
	for (size_t i = 0; i < out->n; i++)
		out->p[i] = out->p[i] == '/' ? '_' : (uint8_t)tolower(out->p[i]);
}

static void logzio_metric(struct sp_buf *out, struct sp_bytes ns, struct sp_bytes metric, struct sp_bytes unit)
{
	(void)unit;
	struct sp_buf raw = {0}, name = {0};
	add_raw(&raw, ns, metric);
	naming_add_runs(&name, sp_buf_view(&raw), true);
	name.failed |= raw.failed;
	sp_buf_free(&raw);
	naming_add_legal(out, &name);
}

/* 1.0.2 cleaned names of metrics as it cleaned those of labels. */
static void uncollapsed_metric(struct sp_buf *out, struct sp_bytes ns, struct sp_bytes metric, struct sp_bytes unit)
{
	(void)unit;
	struct sp_buf raw = {0};
	add_raw(&raw, ns, metric);
	naming_otel_label(out, sp_buf_view(&raw));
	out->failed |= raw.failed;
	sp_buf_free(&raw);
}

static void logzio_label(struct sp_buf *out, struct sp_bytes dim)
{
	size_t from = out->n;
	naming_otel_label(out, dim);
	for (size_t i = from; i < out->n; i++)
		out->p[i] = (uint8_t)tolower(out->p[i]);
}

static void logzio_other(struct sp_buf *out, struct sp_bytes key)
{
	size_t from = out->n;
	sp_buf_u8(out, '_');
	naming_add_runs(out, key, false);
	for (size_t i = from; i < out->n; i++)
		out->p[i] = (uint8_t)tolower(out->p[i]);
}

static bool logzio_bug(struct naming_preset *preset, struct sp_bytes word)
{
	const struct {
		const char *word;
		bool *rule;
	} rules[] = {{"lowercase_values", &preset->lowercase_values}, {"dimensions_win", &preset->dimensions_win},
		{"quantiles_gated", &preset->quantiles_gated}, {"min_max_at_start", &preset->min_max_at_start},
		{"max_without_origin", &preset->max_without_origin}};
	for (size_t i = 0; i < sizeof(rules) / sizeof(*rules); i++) {
		if (sp_eq(word, sp_str(rules[i].word)))
			return *rules[i].rule = true;
	}
	if (!sp_eq(word, SP_LIT("uncollapsed_names")))
		return false;
	preset->metric = uncollapsed_metric;
	return true;
}

static const char *const reserved[] = {"le", "quantile", NULL};

static const struct naming_label identity[] = {{.name = TEXT("account"), .from = LABEL_ACCOUNT},
	{.name = TEXT("metricname"), .from = LABEL_METRIC}, {.name = TEXT("namespace"), .from = LABEL_NAMESPACE},
	{.name = TEXT("region"), .from = LABEL_REGION}};

static const struct naming_label constants[] = {
    {.name = TEXT("cloud_provider"), .value = TEXT("aws"), .from = LABEL_CONSTANT},
    {.name = TEXT("p8s_logzio_name"), .value = TEXT("P8S_LOGZIO_NAME"), .from = LABEL_ATTRIBUTE},
    {.name = TEXT("p8s_logzio_name"), .value = TEXT("logzio-otlp-metrics-stream"), .from = LABEL_CONSTANT}};

const struct naming_preset naming_logzio = {
	.name = "logzio",
	.fixed = {{.suffix = TEXT("_sum")}, {.suffix = TEXT("_count")}, {.suffix = TEXT("_min")}, {.suffix = TEXT("_max")},
		{.suffix = TEXT("_average")}},
	.no_average = true,
	.identity = identity,
	.n_identity = 4,
	.constants = constants,
	.n_constants = 3,
	.reserved = reserved,
	.metric = logzio_metric,
	.label = logzio_label,
	.other = logzio_other,
	.bug = logzio_bug,
};
