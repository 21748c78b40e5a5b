/* What the spool costs: CPU and disk per sample for deliveries that are stored, sent and settled at once, and the ledger at the size
 * of a large account. Not a test: prints numbers. usage: spool_bench [DIRECTORY]   (on a real disk: fsync is free on tmpfs) */
#include "common/alloc.h"
#include "tests/lib/spool_lib.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>

#define DELIVERIES 3000
#define IN_FLIGHT 4
#define SLICE_BYTES 21000          /* 4 of them: 5,250 samples of 16 bytes */
#define SAMPLES_OF_DELIVERY 5250.0 /* 1,050 data points */
#define KEYS 600000

struct bench {
	struct sp_loop *loop;
	struct writer *w;
	struct delivery d[IN_FLIGHT];
	uint64_t next, answered;
};

static double cpu_s(void)
{
	struct rusage u;
	getrusage(RUSAGE_SELF, &u);
	return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) + (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

static double written_bytes(void)
{
	char line[128];
	double n = 0;
	FILE *f = fopen("/proc/self/io", "r");
	while (f && fgets(line, sizeof line, f))
		if (strncmp(line, "write_bytes: ", 13) == 0)
			n = strtod(line + 13, NULL);
	if (f)
		fclose(f);
	return n;
}

static void on_batch(void *arg, const struct batch *b, struct payload *p)
{
	struct bench *x = arg;
	(void)p;
	writer_settle(x->w, b, 1, b->samples, NULL, 0, NULL, NULL);
}

static void store_next(struct bench *x, struct delivery *d);

static void stored(void *arg, struct store_request *r, enum store_result result)
{
	struct bench *x = arg;
	SP_BUG_IF(result != STORE_COMMITTED);
	for (size_t i = 0; i < IN_FLIGHT; i++)
		if (&x->d[i].r == r)
			store_next(x, &x->d[i]);
	if (++x->answered == DELIVERIES)
		sp_loop_stop(x->loop);
}

static void store_next(struct bench *x, struct delivery *d)
{
	if (x->next == DELIVERIES)
		return;
	memcpy(d->r.key, &x->next, sizeof x->next);
	d->r.key[15] = 2;
	x->next++;
	writer_store(x->w, &d->r);
}

static void bench_deliveries(struct settings *s)
{
	struct bench x = {.loop = sp_loop_new()};
	struct sp_why why;
	if (writer_open(x.loop, s, &x.w, &why) != SP_OK) {
		fprintf(stderr, "%s\n", why.text);
		exit(1);
	}
	writer_on_batch(x.w, on_batch, NULL, &x);
	struct sp_mono start = sp_mono_now();
	double cpu = cpu_s(), written = written_bytes();
	for (size_t i = 0; i < IN_FLIGHT; i++) {
		delivery_init(&x.d[i], i, SLICE_BYTES);
		x.d[i].group.n_dests = 1;
		x.d[i].r.done = stored;
		x.d[i].r.arg = &x;
		store_next(&x, &x.d[i]);
	}
	sp_loop_run(x.loop);
	writer_close(&x.w);
	double wall = (double)sp_mono_since_ms(start) / 1000;
	cpu = cpu_s() - cpu;
	written = written_bytes() - written;
	printf("deliveries            %d in %.2f s (%.0f a second)\n", DELIVERIES, wall, DELIVERIES / wall);
	printf("CPU per delivery      %.0f us (%.3f us a data point of 1,050)\n", cpu * 1e6 / DELIVERIES, cpu * 1e6 / DELIVERIES / 1050);
	printf("disk per sample       %.1f bytes (%d of them are the payload)\n", written / DELIVERIES / SAMPLES_OF_DELIVERY,
		(int)(4 * SLICE_BYTES / SAMPLES_OF_DELIVERY));
	for (size_t i = 0; i < IN_FLIGHT; i++)
		delivery_clear(&x.d[i]);
	sp_loop_free(&x.loop);
}

static void bench_ledger(struct settings *s)
{
	struct spool *sp = NULL;
	struct sp_why why;
	struct stat file;
	enum store_result result;
	bool ok = spool_open(s, &sp, &why) == SP_OK;
	uint64_t before = ok ? spool_sizes(sp).used : 0;
	for (uint64_t n = 0; n < KEYS && ok; n++) {
		struct store_request r = {.received_ms = 1};
		uint64_t mixed = (n + 1) * UINT64_C(0x9e3779b97f4a7c15);
		memcpy(r.key, &mixed, 8);
		memcpy(r.key + 8, &n, 8);
		if (n % 1000 == 0)
			spool_begin(sp);
		spool_store(sp, &r, NULL, NULL, &result);
		if (n % 1000 == 999)
			ok = spool_commit(sp, &why) == SP_OK && spool_checkpoint(sp, false, &why) == SP_OK;
	}
	uint64_t used = ok ? spool_sizes(sp).used - before : 0;
	ok = ok && spool_close(&sp, &why) == SP_OK;
	struct sp_mono start = sp_mono_now();
	ok = ok && spool_open(s, &sp, &why) == SP_OK;
	int64_t ms = sp_mono_since_ms(start);
	if (!ok) {
		fprintf(stderr, "%s\n", why.text);
		exit(1);
	}
	char *path = sp_asprintf("%s/spool.db", s->spool_dir);
	if (stat(path, &file) == 0)
		printf("ledger                %d keys: %.1f MiB in the file of %.1f MiB, start %" PRId64 " ms\n", KEYS,
			(double)used / (1 << 20), (double)file.st_size / (1 << 20), ms);
	sp_free(path);
	if (spool_close(&sp, &why) != SP_OK)
		exit(1);
}

int main(int argc, char **argv)
{
	if (argc > 1)
		setenv("TMPDIR", argv[1], 1);
	char *dir = spool_dir_new();
	struct settings *s = spool_settings_new(dir);
	s->spool_max = INT64_C(10) << 30;
	bench_deliveries(s);
	bench_ledger(s);
	sp_free(s);
	spool_dir_remove(dir);
	return 0;
}
