/* mapping_lib - points, a mapping group, and what an encoder makes of the two, for tests. */
#ifndef TESTS_MAPPING_LIB_H
#define TESTS_MAPPING_LIB_H

#include "convert/encode.h"

#define MINUTE 60000
#define T0 1700000040000
#define CPU_LABELS "{account_id=\"1234\", instance_id=\"i-1\", job=\"aws_ec2\", region=\"eu-west-1\"}"

extern const struct convert_in now;

/* Number 7, preset cloudwatch, four shards, wide limits. */
Standpipe__Group cloudwatch_group(void);
/* AWS/EC2 CPUUtilization of instance i-1. */
struct cw_point cpu(int64_t minute, double count, double sum, double min, double max);
/* cpu() with a percentile and a statistic of the JSON format. */
struct cw_point rich(void);

struct many {
	struct cw_point p[600];
	struct cw_dim d[600];
	char id[600][16];
};
/* Three metrics of each of n / 3 instances. */
void make_many(struct many *m, size_t n);

struct convert_group run(struct encoder *e, const struct cw_point *p, size_t n);
/* What the slices of a run say, one line per sample: "shard/slice name{labels} value @minute". */
struct sp_buf text_of(const struct convert_group *g, bool with_place);
/* A run of an encoder made for it says exactly this, without places. */
void becomes(const Standpipe__Group *group, const struct cw_point *p, size_t n, uint64_t merged, const char *want);
void becomes_with(const struct attributes *attributes, const Standpipe__Group *group, const struct cw_point *p, size_t n,
    uint64_t merged, const char *want);
/* label NULL: of any. */
uint64_t counted(const struct convert_group *g, enum sp_metric metric, const char *label);

#endif
