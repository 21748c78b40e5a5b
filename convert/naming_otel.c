/* The preset otel: the names that Prometheus gives to the OTLP summaries of a metric stream. Where those rules drop a
 * label or join values, ours keep both (naming.h), and no label starts with "__". */
#include "convert/naming_preset.h"

struct word {
	const char *unit, *word;
};

static const struct word main_units[] = {{"d", "days"}, {"h", "hours"}, {"min", "minutes"}, {"s", "seconds"},
	{"ms", "milliseconds"}, {"us", "microseconds"}, {"ns", "nanoseconds"}, {"By", "bytes"}, {"KiBy", "kibibytes"},
	{"MiBy", "mebibytes"}, {"GiBy", "gibibytes"}, {"TiBy", "tebibytes"}, {"KBy", "kilobytes"}, {"kBy", "kilobytes"},
	{"MBy", "megabytes"}, {"GBy", "gigabytes"}, {"TBy", "terabytes"}, {"m", "meters"}, {"V", "volts"}, {"A", "amperes"},
	{"J", "joules"}, {"W", "watts"}, {"g", "grams"}, {"Cel", "celsius"}, {"Hz", "hertz"}, {"%", "percent"}, {"1", ""},
	{NULL, NULL}};

static const struct word per_units[] = {{"s", "second"}, {"m", "minute"}, {"h", "hour"}, {"d", "day"}, {"w", "week"},
	{"mo", "month"}, {"y", "year"}, {NULL, NULL}};

/* One half of a unit: its word, or itself with "_" for runs of characters that are not legal. Empty: it says nothing. */
static void add_unit(struct sp_buf *out, struct sp_bytes unit, const struct word *words)
{
	unit = sp_trim(unit);
	if (unit.n && (memchr(unit.p, '{', unit.n) || memchr(unit.p, '}', unit.n)))
		return;
	for (; words->unit; words++) {
		if (sp_eq(unit, sp_str(words->unit))) {
			sp_buf_str(out, words->word);
			return;
		}
	}
	for (size_t i = 0; i < unit.n; i++) {
		uint8_t c = isalnum(unit.p[i]) || unit.p[i] == ':' ? unit.p[i] : '_';
		if (c != '_' || (out->n && out->p[out->n - 1] != '_'))
			sp_buf_u8(out, c);
	}
}

static bool has_run(struct sp_bytes name, struct sp_bytes run)
{
	for (size_t i = 0, start = 0; i <= name.n && name.n; i++) {
		if (i < name.n && name.p[i] != '_')
			continue;
		if (sp_eq(run, sp_bytes(name.p + start, i - start)))
			return true;
		start = i + 1;
	}
	return false;
}

void naming_unit(struct sp_buf *out, struct sp_bytes unit)
{
	struct sp_buf half = {0};
	struct sp_bytes per = unit, counted;
	(void)sp_take_part(&per, '/', &counted); /* "By/s": what is counted and, after the first slash, per what */
	add_unit(out, counted, main_units);
	add_unit(&half, per, per_units);
	sp_buf_str(out, !half.n ? "" : out->n ? "_per_" : "per_");
	sp_buf_join(out, &half);
}

void naming_otel_metric(struct sp_buf *out, struct sp_bytes name, struct sp_bytes unit)
{
	struct sp_buf base = {0}, half = {0};
	struct sp_bytes per = unit, counted;
	(void)sp_take_part(&per, '/', &counted);
	naming_add_runs(&base, name, false);
	add_unit(&half, counted, main_units);
	if (half.n && !has_run(sp_buf_view(&base), sp_buf_view(&half))) {
		sp_buf_str(&base, base.n ? "_" : "");
		sp_buf_add(&base, sp_buf_view(&half));
	}
	sp_buf_clear(&half);
	add_unit(&half, per, per_units);
	sp_buf_str(&base, !half.n ? "" : base.n ? "_per_" : "per_");
	sp_buf_join(&base, &half);
	naming_add_legal(out, &base);
}

static void otel_metric(struct sp_buf *out, struct sp_bytes ns, struct sp_bytes metric, struct sp_bytes unit)
{
	struct sp_buf name = {0};
	sp_buf_str(&name, "amazonaws.com/");
	sp_buf_add(&name, ns);
	sp_buf_u8(&name, '/');
	sp_buf_add(&name, metric);
	naming_otel_metric(out, sp_buf_view(&name), unit);
	out->failed |= name.failed;
	sp_buf_free(&name);
}

void naming_otel_label(struct sp_buf *out, struct sp_bytes dim)
{
	if (dim.n == 0 || isdigit(dim.p[0]))
		sp_buf_str(out, "key_");
	else if (!isalnum(dim.p[0]))
		sp_buf_str(out, "key");
	for (size_t i = 0; i < dim.n; i++) {
		if (i == 0 || !is_continuation(dim.p[i]))
			sp_buf_u8(out, isalnum(dim.p[i]) ? dim.p[i] : '_');
	}
}

static void otel_other(struct sp_buf *out, struct sp_bytes key)
{
	sp_buf_u8(out, '_');
	naming_add_runs(out, key, false);
}

static const char *const reserved[] = {"le", "quantile", NULL};

static const struct naming_label identity[] = {{.name = TEXT("MetricName"), .from = LABEL_METRIC},
	{.name = TEXT("Namespace"), .from = LABEL_NAMESPACE}, {.name = TEXT("cloud_account_id"), .from = LABEL_ACCOUNT},
	{.name = TEXT("cloud_region"), .from = LABEL_REGION}};

const struct naming_preset naming_otel = {
	.name = "otel",
	.fixed = {{.suffix = TEXT("_sum")}, {.suffix = TEXT("_count")}, {.quantile = TEXT("0")}, {.quantile = TEXT("1")},
		{.suffix = TEXT("_average")}},
	.no_average = true,
	.by_unit = true,
	.is_summary = true,
	.identity = identity,
	.n_identity = 4,
	.reserved = reserved,
	.metric = otel_metric,
	.label = naming_otel_label,
	.other = otel_other,
};
