#include "cli/generate.h"

#include "common/json.h"
#include "proto/known.h"

#include <inttypes.h>
#include <stdio.h>

#define MINUTE_MS 60000

/* A few namespaces at a time are interleaved. */
#define AT_A_TIME 7
_Static_assert(KNOWN_FAMILIES % AT_A_TIME == 0 && GENERATE_BLOCK % AT_A_TIME == 0, "a block is of whole rows");

/* SplitMix64: every input bit moves every output bit. */
static uint64_t mix(uint64_t x)
{
	x += 0x9e3779b97f4a7c15u;
	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
	x = (x ^ x >> 27) * 0x94d049bb133111ebu;
	return x ^ x >> 31;
}

/* What people call things: unique by its number, and most of it said before. */
static int print_name(char *out, size_t room, uint64_t h, size_t resource)
{
	static const char *const stages[] = {"prod", "prod", "prod", "staging", "dev"};
	static const char *const services[] = {"checkout", "payments", "search", "catalog", "orders", "inventory", "billing", "accounts", "gateway",
		"mailer", "reports"};
	static const char *const parts[] = {"api", "worker", "web", "events", "batch", "primary"};
	return snprintf(out, room, "%s-%s-%s-%zu", stages[h % 5], services[(h >> 8) % 11], parts[(h >> 16) % 6], resource);
}

static void print_value(char *out, size_t room, const char *pattern, uint64_t h, size_t resource)
{
	size_t words = 1, n = 0;
	for (const char *c = pattern; *c; c++)
		words += *c == '|';
	for (size_t skip = (h >> 32) % words; skip > 0; pattern++)
		skip -= *pattern == '|';
	for (; *pattern && *pattern != '|' && n < room - 1; pattern++) {
		if (*pattern == '#')
			n += (size_t)snprintf(out + n, room - n, "%016" PRIx64, mix(h));
		else if (*pattern == '*')
			n += (size_t)print_name(out + n, room - n, h, resource);
		else
			out[n++] = *pattern;
	}
	out[n < room ? n : room - 1] = '\0';
}

static const struct known_family *family_of(size_t series)
{
	const size_t turns = KNOWN_FAMILIES / AT_A_TIME;
	return &known_families[series % GENERATE_BLOCK % AT_A_TIME * turns + series / GENERATE_BLOCK % turns];
}

static void set_identity(const struct generate *g, size_t series, struct cloudwatch_point *p)
{
	static const char *const accounts[] = {"111122223333", "444455556666", "777788889999"};
	static const char *const regions[] = {"eu-central-1", "us-east-1"};
	const struct known_family *f = family_of(series);
	const size_t turns = KNOWN_FAMILIES / AT_A_TIME, place = series % GENERATE_BLOCK;
	size_t n_metrics = 0, resource = series / GENERATE_BLOCK / turns * (GENERATE_BLOCK / AT_A_TIME) + place / AT_A_TIME;
	while (n_metrics < sizeof f->metrics / sizeof f->metrics[0] && f->metrics[n_metrics].name)
		n_metrics++;
	p->series = series;
	p->account = accounts[(series / GENERATE_BLOCK + series / GENERATE_BLOCK / turns) % 3]; /* each namespace in every account */
	p->region = regions[series / GENERATE_BLOCK / 3 % 2];
	p->ns = f->ns;
	p->metric = f->metrics[resource % n_metrics].name;
	p->unit = f->metrics[resource % n_metrics].unit;
	p->n_dims = 0;
	/* The first resources of each family are CloudWatch's roll-ups: the same metric without dimensions. */
	uint64_t h = mix(g->seed ^ mix(resource / n_metrics));
	for (size_t i = 0; i < 4 && f->dims[i].name && resource >= n_metrics; i++, p->n_dims++) {
		p->dim_names[i] = f->dims[i].name;
		print_value(p->dim_values[i], sizeof p->dim_values[i], f->dims[i].value, h, resource / n_metrics);
	}
}

void generate_point(const struct generate *g, size_t series, int64_t minute, struct cloudwatch_point *p)
{
	static const double percentiles[] = {0.5, 0.9, 0.95, 0.99, 0.999};
	uint64_t h = mix(mix(g->seed) ^ mix(series + 1) ^ (uint64_t)minute << 20);
	memset(p, 0, sizeof *p);
	set_identity(g, series, p);
	p->start_ms = g->start_ms + minute * MINUTE_MS;
	/* Shares as in captured deliveries: half of the points have one sample, two fifths are zero, counts and bytes are whole. */
	p->count = h % 20 == 0 ? 0 : h % 20 == 1 ? 60 : h % 4 == 2 ? 5 : h % 8 == 3 ? 2 : 1;
	if (p->count == 0 || (h >> 8) % 8 < 3)
		return;
	bool percent = strcmp(p->unit, "%") == 0, whole = strcmp(p->unit, "{Count}") == 0 || strcmp(p->unit, "By") == 0;
	/* Small numbers are as frequent as large ones. */
	double part = whole ? 1 : 8;
	double low = (double)((h >> 16 & (percent ? 0x1ff : 0xffff)) >> (h >> 48) % (percent ? 4 : 12)) / part;
	double high = low + (double)((h >> 32 & (percent ? 0xff : 0xfff)) >> (h >> 52) % 8) / part;
	if (family_of(series)->negative && (h >> 44 & 7) == 0)
		low = high = -1;
	p->min = low;
	p->max = p->count == 1 ? low : high;
	p->sum = p->count == 1 ? low : low * (double)(p->count - 1) + high;
	if (low >= 0 && series % 9 == 4)
		for (; p->n_quantiles < sizeof percentiles / sizeof percentiles[0]; p->n_quantiles++) {
			p->quantiles[p->n_quantiles][0] = percentiles[p->n_quantiles];
			p->quantiles[p->n_quantiles][1] = low + (p->max - low) * (double)(p->n_quantiles + 1) / 8;
		}
}

static bool is_late(const struct generate *g, size_t series, int64_t minute)
{
	return minute >= 0 && mix(g->seed ^ mix(series) ^ (uint64_t)minute * 31 ^ 0x1a7e) % 100 < g->late_percent;
}

size_t generate_sent(const struct generate *g, size_t series, int64_t minute, struct cloudwatch_point out[2])
{
	size_t n = 0;
	if (!is_late(g, series, minute))
		generate_point(g, series, minute, &out[n++]);
	if (minute > 0 && is_late(g, series, minute - 1))
		generate_point(g, series, minute - 1, &out[n++]);
	return n;
}

void generate_expected(struct sp_buf *out, const struct cloudwatch_point *p)
{
	json_t *dims = json_array(), *quantiles = json_array();
	for (size_t i = 0; i < p->n_dims; i++)
		json_array_append_new(dims, json_pack("[ss]", p->dim_names[i], p->dim_values[i]));
	for (size_t i = 0; i < p->n_quantiles; i++)
		json_array_append_new(quantiles, json_pack("[ff]", p->quantiles[i][0], p->quantiles[i][1]));
	json_t *o = json_pack("{ss ss so ss ss ss sI sI sI sf sf sf so}", "namespace", p->ns, "metric", p->metric, "dims", dims,
		"account", p->account, "region", p->region, "unit", p->unit, "start_ms", (json_int_t)p->start_ms,
		"end_ms", (json_int_t)(p->start_ms + MINUTE_MS), "count", (json_int_t)p->count,
		"sum", p->sum, "min", p->min, "max", p->max, "quantiles", quantiles);
	sp_json_put(out, o, JSON_COMPACT);
}
