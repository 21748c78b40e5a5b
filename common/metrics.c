#include "common/metrics.h"

#include "common/alloc.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#define MAX_LABEL_SETS 50000
#define MAX_LABELS 6
#define HASH_SLOTS 8192

enum kind { COUNTER, GAUGE, HISTOGRAM };

static const struct {
	enum kind kind;
	const char *name, *labels, *help;
} metrics[] = {
#define METRIC(id, kind, name, labels, help) [id] = {kind, name, labels, help},
#include "common/metrics.def"
#undef METRIC
};

struct sp_metric_series {
	enum sp_metric metric;
	uint32_t hash;
	double value;		/* histograms: the sum */
	uint64_t *buckets;	/* histograms: one per bound, not cumulative, and one for +Inf */
	struct sp_metric_series *hash_next;
	struct sp_metric_series *next, **link; /* of the same metric, in order of appearance */
	char labels[];		       /* the values, each with its NUL */
};

static struct sp_metric_series *by_hash[HASH_SLOTS];
static struct sp_metric_series *first[SP_METRICS], **last[SP_METRICS];
static size_t label_sets;

static const double bounds_seconds[] = {.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 20, 60};
static const double bounds_age[] = {60, 120, 180, 300, 600, 900, 1800, 3600, 7200, 21600, 43200, 86400, 172800};
static const double bounds_bytes[] = {256, 1024, 4096, 16384, 65536, 262144, 1048576, 4194304, 16777216, 67108864};
static const double bounds_count[] = {
    1, 2, 5, 10, 20, 50, 100, 200, 500, 1e3, 2e3, 5e3, 1e4, 2e4, 5e4, 1e5, 2e5, 5e5, 1e6};
#define BOUNDS(suffix, bounds) {suffix, bounds, sizeof(bounds) / sizeof(bounds)[0]}
/* The first whose suffix the name has. */
static const struct {
	const char *suffix;
	const double *v;
	size_t n;
} bounds_by_name[] = {BOUNDS("_age_seconds", bounds_age), BOUNDS("_seconds", bounds_seconds), BOUNDS("_bytes", bounds_bytes),
    BOUNDS("", bounds_count)};

static const double *bounds_of(enum sp_metric m, size_t *n)
{
	size_t i = 0;
	while (!sp_ends(sp_str(metrics[m].name), sp_str(bounds_by_name[i].suffix)))
		i++;
	*n = bounds_by_name[i].n;
	return bounds_by_name[i].v;
}

static size_t label_count(enum sp_metric m)
{
	size_t n = metrics[m].labels[0] != '\0';
	for (const char *s = metrics[m].labels; *s; s++)
		n += *s == ',';
	SP_BUG_IF(n > MAX_LABELS);
	return n;
}

static uint32_t hash_labels(enum sp_metric m, const char *const *labels, size_t n)
{
	uint32_t h = 2166136261u ^ (uint32_t)m;
	for (size_t i = 0; i < n; i++)
		for (const char *s = labels[i];; s++) {
			h = (h ^ (uint8_t)*s) * 16777619u;
			if (!*s)
				break;
		}
	return h;
}

static bool same_labels(const struct sp_metric_series *s, const char *const *labels, size_t n)
{
	const char *at = s->labels;
	for (size_t i = 0; i < n; at += strlen(at) + 1, i++)
		if (strcmp(at, labels[i]) != 0)
			return false;
	return true;
}

static struct sp_metric_series **series_find(enum sp_metric m, const char *const *labels, size_t n, uint32_t hash)
{
	struct sp_metric_series **link = &by_hash[hash % HASH_SLOTS];
	while (*link && ((*link)->hash != hash || (*link)->metric != m || !same_labels(*link, labels, n)))
		link = &(*link)->hash_next;
	return link;
}

struct sp_metric_series *sp_metric_series(enum sp_metric m, const char *const *labels)
{
	size_t n = label_count(m);
	uint32_t hash = hash_labels(m, labels, n);
	struct sp_metric_series **link = series_find(m, labels, n, hash);
	if (*link)
		return *link;
	if (n && label_sets >= MAX_LABEL_SETS) {
		sp_metric_add(M_METRICS_LEFT_OUT, NULL, 1);
		return NULL;
	}
	size_t size = 0;
	for (size_t i = 0; i < n; i++)
		size += strlen(labels[i]) + 1;
	struct sp_metric_series *s = sp_alloc(sizeof *s + size);
	*s = (struct sp_metric_series){.metric = m, .hash = hash};
	char *to = s->labels;
	for (size_t i = 0; i < n; i++)
		to = stpcpy(to, labels[i]) + 1;
	if (metrics[m].kind == HISTOGRAM) {
		size_t bounds;
		bounds_of(m, &bounds);
		s->buckets = sp_new_array(uint64_t, bounds + 1);
	}
	*link = s;
	if (!last[m])
		last[m] = &first[m];
	s->link = last[m];
	*last[m] = s;
	last[m] = &s->next;
	label_sets += n > 0;
	return s;
}

void sp_series_add(struct sp_metric_series *s, double by)
{
	if (s)
		s->value += by;
}

void sp_metric_add(enum sp_metric m, const char *const *labels, double by)
{
	sp_series_add(sp_metric_series(m, labels), by);
}

void sp_metric_set(enum sp_metric m, const char *const *labels, double value)
{
	struct sp_metric_series *s = sp_metric_series(m, labels);
	if (s)
		s->value = value;
}

void sp_series_observe(struct sp_metric_series *s, double value, uint64_t times)
{
	if (!s)
		return;
	size_t n, i = 0;
	const double *bounds = bounds_of(s->metric, &n);
	while (i < n && value > bounds[i])
		i++;
	s->buckets[i] += times;
	s->value += value * (double)times;
}

void sp_metric_observe(enum sp_metric m, const char *const *labels, double value)
{
	SP_BUG_IF(metrics[m].kind != HISTOGRAM);
	sp_series_observe(sp_metric_series(m, labels), value, 1);
}

void sp_metric_forget(enum sp_metric m, const char *const *labels)
{
	size_t n = label_count(m);
	struct sp_metric_series **link = series_find(m, labels, n, hash_labels(m, labels, n)), *s = *link;
	if (!s)
		return;
	*link = s->hash_next;
	*s->link = s->next;
	if (s->next)
		s->next->link = s->link;
	else
		last[m] = s->link;
	label_sets -= n > 0;
	sp_free(s->buckets);
	sp_free(s);
}

double sp_metric_value(enum sp_metric m, const char *const *labels)
{
	size_t n = label_count(m);
	struct sp_metric_series *s = *series_find(m, labels, n, hash_labels(m, labels, n));
	return s ? s->value : 0;
}

static void add_escaped(struct sp_buf *out, const char *s)
{
	for (; *s; s++)
		if (*s == '\n')
			sp_buf_str(out, "\\n");
		else if (*s == '"' || *s == '\\')
			sp_buf_u8(out, '\\'), sp_buf_u8(out, (uint8_t)*s);
		else
			sp_buf_u8(out, (uint8_t)*s);
}

/* name_suffix{labels,extra,le="..."} value */
static void add_line(
    struct sp_buf *out, const struct sp_metric_series *s, const char *suffix, const char *extra, const char *le, double value)
{
	const char *sep = "{", *name = metrics[s->metric].labels, *at = s->labels;
	sp_buf_printf(out, "%s%s", metrics[s->metric].name, suffix);
	while (*name) {
		int n = (int)strcspn(name, ",");
		if (*at) { /* to Prometheus an empty label is none */
			sp_buf_printf(out, "%s%.*s=\"", sep, n, name);
			add_escaped(out, at);
			sp_buf_u8(out, '"');
			sep = ",";
		}
		name += n + (name[n] == ',');
		at += strlen(at) + 1;
	}
	if (extra)
		sp_buf_printf(out, "%s%s", sep, extra), sep = ",";
	if (le)
		sp_buf_printf(out, "%sle=\"%s\"", sep, le), sep = ",";
	sp_buf_str(out, sep[0] == ',' ? "} " : " ");
	sp_buf_double(out, value);
	sp_buf_u8(out, '\n');
}

static void add_histogram(struct sp_buf *out, const struct sp_metric_series *s, const char *extra)
{
	size_t n;
	const double *bounds = bounds_of(s->metric, &n);
	uint64_t sum = 0;
	for (size_t i = 0; i <= n; i++) {
		char le[32] = "+Inf";
		if (i < n)
			snprintf(le, sizeof le, "%.10g", bounds[i]);
		sum += s->buckets[i];
		add_line(out, s, "_bucket", extra, le, (double)sum);
	}
	add_line(out, s, "_sum", extra, NULL, s->value);
	add_line(out, s, "_count", extra, NULL, (double)sum);
}

void sp_metrics_write(struct sp_buf *out, const char *extra)
{
	static const char *const types[] = {"counter", "gauge", "histogram"};
	for (size_t m = 0; m < SP_METRICS; m++) {
		if (!first[m])
			continue;
		sp_buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n", metrics[m].name, metrics[m].help, metrics[m].name,
		    types[metrics[m].kind]);
		for (const struct sp_metric_series *s = first[m]; s; s = s->next)
			if (metrics[m].kind == HISTOGRAM)
				add_histogram(out, s, extra);
			else
				add_line(out, s, "", extra, NULL, s->value);
	}
}

struct family {
	struct sp_bytes name, text; /* text from "# HELP" to the next family */
	bool done;
};

void sp_metrics_join(struct sp_buf *out, const struct sp_bytes *pages, size_t n)
{
	static const struct sp_bytes head = {(const uint8_t *)"# HELP ", 7};
	struct family *families = NULL;
	size_t count = 0;
	for (size_t i = 0; i < n; i++) {
		struct sp_bytes rest = pages[i], line;
		size_t before = count; /* what comes before the first HELP belongs to no family */
		while (sp_take_part(&rest, '\n', &line)) {
			if (sp_starts(line, head)) {
				families = sp_realloc(families, (count + 1) * sizeof *families);
				struct sp_bytes name = sp_bytes(line.p + head.n, line.n - head.n);
				(void)sp_take_part(&name, ' ', &name);
				families[count++] = (struct family){.name = name, .text.p = line.p};
			}
			if (count > before)
				families[count - 1].text.n = (size_t)(rest.p - families[count - 1].text.p);
		}
	}
	for (size_t i = 0; i < count; i++) {
		if (families[i].done)
			continue;
		sp_buf_add(out, families[i].text);
		for (size_t j = i + 1; j < count; j++) {
			if (!sp_eq(families[i].name, families[j].name))
				continue;
			families[j].done = true;
			for (struct sp_bytes rest = families[j].text, line; sp_take_part(&rest, '\n', &line);)
				if (!sp_starts(line, SP_LIT("#")))
					sp_buf_add(out, sp_bytes(line.p, (size_t)(rest.p - line.p)));
		}
	}
	sp_free(families);
}

/* Seconds since 1970 at which this process started; 0 when /proc does not tell. */
static double start_seconds(void)
{
	char text[1024];
	FILE *f = fopen("/proc/self/stat", "re");
	if (!f)
		return 0;
	size_t n = fread(text, 1, sizeof text - 1, f);
	fclose(f);
	text[n] = '\0';
	const char *at = strrchr(text, ')'); /* field 2; the start is field 22, in ticks since boot */
	for (int field = 2; at && field < 22; field++)
		at = strchr(at + 1, ' ');
	if (!at)
		return 0;
	struct timespec boot, wall;
	clock_gettime(CLOCK_BOOTTIME, &boot);
	clock_gettime(CLOCK_REALTIME, &wall);
	double ticks = (double)strtoull(at + 1, NULL, 10) / (double)sysconf(_SC_CLK_TCK);
	return (double)wall.tv_sec - (double)boot.tv_sec + ticks;
}

void sp_metrics_process(void)
{
	static double started;
	sp_metric_set(M_BUILD_INFO, SP_L(STANDPIPE_VERSION), 1);
	struct rusage used;
	getrusage(RUSAGE_SELF, &used);
	sp_metric_set(M_PROCESS_CPU, NULL,
	    (double)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) +
		(double)(used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6);
	if (started == 0)
		started = start_seconds();
	if (started != 0)
		sp_metric_set(M_PROCESS_START, NULL, started);
	FILE *f = fopen("/proc/self/statm", "re");
	unsigned long pages, resident;
	if (f) {
		if (fscanf(f, "%lu %lu", &pages, &resident) == 2)
			sp_metric_set(M_PROCESS_RSS, NULL, (double)resident * (double)sysconf(_SC_PAGESIZE));
		fclose(f);
	}
	DIR *d = opendir("/proc/self/fd");
	if (d) {
		int open_fds = -3; /* ".", ".." and the directory itself */
		while (readdir(d))
			open_fds++;
		closedir(d);
		sp_metric_set(M_PROCESS_FDS, NULL, open_fds);
	}
}

void sp_metrics_describe(struct sp_buf *out)
{
	static const char *const types[] = {"counter", "gauge", "histogram"};
	sp_buf_str(out, "| Metric | Type | Labels | Meaning |\n| --- | --- | --- | --- |\n");
	for (size_t m = 0; m < SP_METRICS; m++)
		sp_buf_printf(out, "| `%s` | %s | %s | %s |\n", metrics[m].name, types[metrics[m].kind],
		    metrics[m].labels, metrics[m].help);
}
