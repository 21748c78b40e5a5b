/* naming - what CloudWatch's names become in Prometheus.
 *
 * A preset is a set of rules, all of them pure functions of the names: the same metric has the same series name and
 * labels whatever arrived before it, in whatever order and format. Names are always legal ([a-zA-Z_:][a-zA-Z0-9_:]*
 * and, for labels, without the colon), labels are sorted by byte order, no label occurs twice and none starts with
 * "__".
 *
 * Nothing here is fast: mapping.h calls it once for each name it has not seen and keeps the result.
 * Errors stick in the buffer that is written to.
 */
#ifndef CONVERT_NAMING_H
#define CONVERT_NAMING_H

#include "convert/point.h"

/* Words of the setting `statistics`. The first five are a series each. */
enum naming_stat {
	STAT_SUM, STAT_SAMPLE_COUNT, STAT_MINIMUM, STAT_MAXIMUM, STAT_AVERAGE, STATS_FIXED,
	STAT_PERCENTILES = STATS_FIXED, STAT_OTHER, STATS
};

/* What a statistic adds to the name of its metric, and the value of its label `quantile` (empty: no such label). */
struct naming_series {
	struct sp_bytes suffix, quantile;
};

/* Where a label's value comes from. Of two labels with one name the earlier source is asked first. */
enum label_source {
	LABEL_DIM, /* a dimension's value */
	LABEL_ACCOUNT,
	LABEL_REGION,
	LABEL_JOB, /* what naming.job_value makes of the namespace */
	LABEL_NAMESPACE,
	LABEL_METRIC,
	LABEL_OF_ACCOUNT, /* what the configuration says of the point's account */
	LABEL_ATTRIBUTE,  /* a common attribute of the delivery */
	LABEL_CONSTANT,   /* a fixed value, of the preset or from the configuration */
};

struct naming_label {
	struct sp_bytes name;
	struct sp_bytes value; /* LABEL_CONSTANT; LABEL_ATTRIBUTE: the attribute's name */
	enum label_source from;
	uint16_t dim;    /* LABEL_DIM: which of the point's dimensions; LABEL_ATTRIBUTE: which of the external labels */
	bool is_default; /* has the name of the label before it: used when that one is empty */
};

struct naming_preset {
	const char *name;
	struct naming_series fixed[STATS_FIXED];
	bool no_average; /* unless it is asked for by name */
	bool by_unit;    /* the metric's name depends on its unit */
	bool is_summary; /* a metric's type in Prometheus; else its series are gauges */
	const struct naming_label *identity; /* labels that say whose point it is; no dimension takes their names */
	size_t n_identity;
	const struct naming_label *constants; /* constants are replaced by external labels of the same name */
	size_t n_constants;
	const char *const *reserved; /* further label names that no dimension may take; ends with NULL */
	/* The name of a metric without the statistic's suffix. */
	void (*metric)(struct sp_buf *out, struct sp_bytes ns, struct sp_bytes metric, struct sp_bytes unit);
	void (*job_value)(struct sp_buf *out, struct sp_bytes ns); /* NULL: no label needs it */
	/* A dimension's label, before clashes are looked at. */
	void (*label)(struct sp_buf *out, struct sp_bytes dim);
	void (*percentile)(struct sp_buf *out, double q);       /* suffix; NULL: none, but the label quantile */
	void (*other)(struct sp_buf *out, struct sp_bytes key); /* suffix, before clashes are looked at */

	bool (*bug)(struct naming_preset *preset, struct sp_bytes word); /* naming_bug; NULL: there are none */

	/* Off in every preset; naming_bug turns them on. */
	bool lowercase_values;   /* of dimensions, namespace and metric */
	bool dimensions_win;     /* a dimension takes the place of an identity label with its name */
	bool quantiles_gated;    /* percentiles only of points with more than one sample and a positive sum */
	bool min_max_at_start;   /* minimum and maximum carry the start of the minute */
	bool max_without_origin; /* the maximum has no labels account, region and cloud_provider */
};

/* NULL when there is no such preset. */
const struct naming_preset *naming_find(struct sp_bytes name);
/* Changes a copy of a preset so that it repeats a bug of the program that it follows. False: it has no such bug. */
bool naming_bug(struct naming_preset *preset, struct sp_bytes word);
/* STATS when there is no such statistic. */
enum naming_stat naming_stat(struct sp_bytes word);
/* Prometheus' words for a unit in OTLP spelling ("bytes_per_second"); none when it says nothing. Appends to an empty buffer. */
void naming_unit(struct sp_buf *out, struct sp_bytes unit);
/* The label of a common attribute: small letters, "_" for what is not legal. */
void naming_attribute(struct sp_buf *out, struct sp_bytes attribute);

/* The labels of a point with these dimensions, sorted. A dimension that would take a name of the preset or a reserved
 * one gets the prefix "dim_"; of dimensions that come out equal the first in byte order of the original names keeps the
 * name, the others get _2, _3. External labels give way to labels of the data, constants to attributes. SP_NO_MEM when
 * the arena is spent. */
SP_CHECKED enum sp_status naming_labels(const struct naming_preset *preset, const struct cw_dim *dims, size_t n_dims,
    const struct naming_label *external, size_t n_external, struct sp_arena *arena, const struct naming_label **out,
    size_t *out_n);

/* The work of the next two grows with the square of the number of dimensions and statistics; the decoders bound both.
 */

/* What a point's percentiles and then its other statistics add, in their order. Other statistics that would look like a
 * fixed one, a percentile or one another get _2, _3 in byte order of their keys. */
SP_CHECKED enum sp_status naming_statistics(const struct naming_preset *preset, const struct cw_point *p,
    struct sp_arena *arena, const struct naming_series **out);

#endif
