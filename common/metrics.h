/* metrics - the numbers a process shows, in Prometheus' text format. Their one list is common/metrics.def.
 *
 * Each line of the list: METRIC(id, KIND, "name", "label[,label]", "help"). Values of labels come from closed or bounded sets;
 * a process keeps at most 50,000 label sets and counts what it had to leave out. A label whose value is empty is not written.
 * One thread: the one that runs the process' loop.
 */
#ifndef SP_METRICS_H
#define SP_METRICS_H

#include "common/bytes.h"

enum sp_metric {
#define METRIC(id, kind, name, labels, help) id,
#include "common/metrics.def"
#undef METRIC
	SP_METRICS
};

/* labels: as many values as the metric has labels, in their order; unlabelled metrics take none (NULL). */
void sp_metric_add(enum sp_metric m, const char *const *labels, double by);
void sp_metric_set(enum sp_metric m, const char *const *labels, double value);
/* Histograms: buckets are by name suffix: _age_seconds 1 min..2 d, _seconds 1 ms..60 s, _bytes 256..64 Mi by 4, else 1, 2, 5, ... 1e6. */
void sp_metric_observe(enum sp_metric m, const char *const *labels, double value);
/* Removes one label set (a destination that is gone). */
void sp_metric_forget(enum sp_metric m, const char *const *labels);
/* A label set looked up once, for what is counted often: valid until it is forgotten. NULL, which counts nothing, when there
 * are too many. */
struct sp_metric_series;
struct sp_metric_series *sp_metric_series(enum sp_metric m, const char *const *labels);
void sp_series_add(struct sp_metric_series *s, double by);
void sp_series_observe(struct sp_metric_series *s, double value, uint64_t times);
double sp_metric_value(enum sp_metric m, const char *const *labels);
#define SP_L(...) ((const char *const[]){__VA_ARGS__})

/* The page, HELP and TYPE included; families without a value are left out. extra: a label pair for every line
 * ('role="ship"'), or NULL. */
void sp_metrics_write(struct sp_buf *out, const char *extra);
/* Appends page (another process' output of sp_metrics_write) to out such that each family stands together once. */
void sp_metrics_join(struct sp_buf *out, const struct sp_bytes *pages, size_t n);
/* CPU, memory, descriptors, start time of this process: fills standpipe_process_*. */
void sp_metrics_process(void);
/* The whole list as a Markdown table: docs/reference.md has this text. */
void sp_metrics_describe(struct sp_buf *out);

#endif
