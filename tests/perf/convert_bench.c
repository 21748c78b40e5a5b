/* convert_bench - CPU per point of the convert path in one process, by stage.
 *
 *   convert_bench [BODY.json]    a captured body, or one that is generated: 3 records of 350 points, 20,000 series
 *
 * decode: a plan without groups. snappy: the slices compressed once more. map + encode: what is left of the whole.
 * 2.0: what it costs ship to make 2.0 requests of the slices, one of each.
 */
#include "convert/delivery.h"

#include "common/alloc.h"
#include "proto/remote_write2.h"
#include "tests/lib/delivery_lib.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define RECORDS 3
#define PER_RECORD 350
#define BODIES 20 /* so that names and values are not always the same in the caches */
#define T0 1700000040000
#define MEASURE_NS 2e9

static double cpu_ns(void)
{
	struct timespec t;
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

/* Gauges of instances: four statistics, as CloudWatch sends them by default. */
static void generate(struct sp_buf *body, enum cw_format format, size_t number)
{
	static const char *const metrics[] = {"CPUUtilization", "NetworkIn", "NetworkOut", "DiskReadOps",
	    "DiskWriteOps", "StatusCheckFailed", "NetworkPacketsIn", "EBSReadBytes", "EBSWriteBytes", "CPUCreditUsage"};
	static struct cw_point p[PER_RECORD];
	static struct cw_dim dims[PER_RECORD][2];
	static char id[PER_RECORD][24];
	lib_envelope_begin(body, "0a1b2c3d", T0);
	for (size_t r = 0; r < RECORDS; r++) {
		for (size_t i = 0; i < PER_RECORD; i++) {
			size_t series = (number * RECORDS + r) * PER_RECORD + i, metric = series % 10;
			snprintf(id[i], sizeof id[i], "i-0%08zx%08zx", series / 10 * 2654435761u % 0xffffffff,
			    series / 10 * 40503u % 0xffffffff);
			dims[i][0] = (struct cw_dim){SP_LIT("AutoScalingGroupName"), SP_LIT("web-frontend")};
			dims[i][1] = (struct cw_dim){SP_LIT("InstanceId"), sp_str(id[i])};
			double v = (double)(series * 7919 % 10007) / 8;
			p[i] = (struct cw_point){.account = SP_LIT("123456789012"),
			    .region = SP_LIT("eu-central-1"),
			    .ns = SP_LIT("AWS/EC2"),
			    .metric = sp_str(metrics[metric]),
			    .unit = SP_LIT("{Count}"),
			    .dims = dims[i],
			    .n_dims = 2,
			    .has = CW_COUNT | CW_SUM | CW_MIN | CW_MAX,
			    .start_ms = T0 - 60000,
			    .end_ms = T0,
			    .count = 5,
			    .sum = 5 * v,
			    .min = v / 2,
			    .max = v * 1.5};
		}
		struct sp_buf record = {0};
		lib_record(&record, format, p, PER_RECORD);
		lib_envelope_record(body, sp_buf_view(&record));
		sp_buf_free(&record);
	}
	lib_envelope_end(body);
}

static bool load(struct sp_buf *body, const char *path)
{
	FILE *f = fopen(path, "rb");
	uint8_t block[65536];
	if (!f)
		return false;
	for (size_t n; (n = fread(block, 1, sizeof block, f)) > 0;)
		sp_buf_add(body, sp_bytes(block, n));
	fclose(f);
	return true;
}

static uint64_t points_of(const struct convert_out *out)
{
	return out->points[CW_OTLP07] + out->points[CW_OTLP10] + out->points[CW_JSON];
}

/* CPU ns per point of whole runs; *out is the last one. */
static double measure_run(struct converter *c, const struct sp_buf *bodies, size_t n, struct convert_out *out)
{
	uint64_t points = 0;
	double start = cpu_ns(), spent;
	do {
		for (size_t i = 0; i < n; i++) {
			struct convert_in in = {.body = sp_buf_view(&bodies[i]), .max_inflated = (size_t)96 << 20, .has_request_id = true,
				.request_id = SP_LIT("bench"), .now_ms = T0 + 60000};
			struct sp_why why = {0};
			if (converter_run(c, &in, out, &why) != SP_OK || out->http_status) {
				fprintf(stderr, "convert_bench: %s%s\n", why.text, out->text);
				exit(1);
			}
			points += points_of(out);
		}
		spent = cpu_ns() - start;
	} while (spent < MEASURE_NS && points);
	return points ? spent / (double)points : 0;
}

static double measure_snappy(const struct convert_out *out)
{
	struct sp_buf block = {0}, *raw = sp_new_array(struct sp_buf, out->groups[0].n_slices);
	for (size_t i = 0; i < out->groups[0].n_slices; i++) {
		const struct convert_slice *s = &out->groups[0].slices[i];
		if (rw_uncompress(sp_bytes(out->groups[0].payload.p + s->off, s->len), s->raw_len, &raw[i], NULL) != SP_OK)
			exit(1);
	}
	uint64_t rounds = 0;
	double start = cpu_ns(), spent;
	do {
		for (size_t i = 0; i < out->groups[0].n_slices; i++) {
			sp_buf_clear(&block);
			rw_compress(sp_buf_view(&raw[i]), &block);
		}
		rounds++;
		spent = cpu_ns() - start;
	} while (spent < MEASURE_NS / 4);
	for (size_t i = 0; i < out->groups[0].n_slices; i++)
		sp_buf_free(&raw[i]);
	sp_free(raw);
	sp_buf_free(&block);
	return spent / (double)rounds / (double)points_of(out);
}

/* CPU ns per sample; *bytes: of a sample. */
static double measure_version2(const struct convert_out *out, double *bytes)
{
	const struct convert_group *g = &out->groups[0];
	struct rw2_writer *w = rw2_writer_new();
	struct sp_buf block = {0}, raw = {0};
	uint64_t rounds = 0;
	double start = cpu_ns(), spent;
	do {
		sp_buf_clear(&block);
		for (size_t i = 0; i < g->n_slices; i++) {
			struct info *info;
			sp_buf_clear(&raw);
			rw2_begin(w);
			if (info_read(g->info, &info, NULL) != SP_OK ||
			    rw_uncompress(sp_bytes(g->payload.p + g->slices[i].off, g->slices[i].len), RW_RAW_MAX_BYTES, &raw, NULL) != SP_OK ||
			    rw2_add(w, sp_buf_view(&raw), info, NULL) != SP_OK || rw2_finish(w, &block, NULL) != SP_OK)
				exit(1);
			info_free(&info);
		}
		rounds++;
		spent = cpu_ns() - start;
	} while (spent < MEASURE_NS / 4);
	*bytes = (double)block.n / (double)out->samples;
	rw2_writer_free(&w);
	sp_buf_free(&block);
	sp_buf_free(&raw);
	return spent / (double)rounds / (double)out->samples;
}

static void bench(const char *name, const struct sp_buf *bodies, size_t n)
{
	Standpipe__Group group = STANDPIPE__GROUP__INIT, *groups[] = {&group};
	Standpipe__Plan nothing = STANDPIPE__PLAN__INIT, plan = STANDPIPE__PLAN__INIT;
	char *statistics[] = {(char *)(uintptr_t)"sum", (char *)(uintptr_t)"sample_count", (char *)(uintptr_t)"minimum",
		(char *)(uintptr_t)"maximum"};
	group.naming = (char *)(uintptr_t)"cloudwatch";
	group.shards = 4;
	group.max_samples = 10000;
	group.max_bytes = 1 << 20;
	group.max_raw_bytes = 4 << 20;
	group.statistics = statistics;
	group.n_statistics = 4;
	plan.groups = groups;
	plan.n_groups = 1;
	lib_one_tenant(&plan);
	nothing.max_future_ms = plan.max_future_ms = 600000;

	struct converter *c = converter_new((size_t)256 << 20);
	struct convert_out out = {0};
	if (converter_plan(c, &nothing, NULL) != SP_OK)
		exit(1);
	double decode = measure_run(c, bodies, n, &out);
	if (converter_plan(c, &plan, NULL) != SP_OK)
		exit(1);
	double all = measure_run(c, bodies, n, &out), snappy = out.n_groups ? measure_snappy(&out) : 0;
	double bytes2 = 0, version2 = out.n_groups ? measure_version2(&out, &bytes2) : 0;
	printf("%-28s %6.0f ns/point = decode %4.0f + map and encode %4.0f + snappy %4.0f; %.1f bytes a sample, %zu "
	       "slices of a delivery; 2.0: %.0f ns and %.1f bytes a sample\n",
	    name, all, decode, all - decode - snappy, snappy, (double)out.groups[0].payload.n / (double)out.samples,
	    out.groups[0].n_slices, version2, bytes2);
	converter_free(&c);
}

int main(int argc, char **argv)
{
	static struct sp_buf bodies[BODIES];
	if (argc > 1) {
		if (!load(&bodies[0], argv[1])) {
			fprintf(stderr, "convert_bench: %s: %s\n", argv[1], strerror(errno));
			return 1;
		}
		bench(strrchr(argv[1], '/') ? strrchr(argv[1], '/') + 1 : argv[1], bodies, 1);
		return 0;
	}
	static const char *const names[] = {"OTLP 0.7", "OTLP 1.0", "JSON"};
	for (int format = 0; format < CW_FORMATS; format++) {
		for (size_t i = 0; i < BODIES; i++) {
			sp_buf_clear(&bodies[i]);
			generate(&bodies[i], (enum cw_format)format, i);
		}
		bench(names[format], bodies, BODIES);
	}
	for (size_t i = 0; i < BODIES; i++)
		sp_buf_free(&bodies[i]);
	return 0;
}
