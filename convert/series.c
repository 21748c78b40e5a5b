#include "convert/series.h"

#include "common/alloc.h"
#include "convert/encode.h"
#include "proto/remote_write.h"

#include <inttypes.h>

struct series {
	struct encoder *encoder;
	struct sp_arena *arena;
	struct sp_buf raw;
};

struct series *series_new(void)
{
	struct series *s = sp_new(struct series);
	Standpipe__Group group = STANDPIPE__GROUP__INIT;
	char naming[] = "cloudwatch";
	group.naming = naming;
	group.shards = 1;
	enum sp_status status = encoder_new(&group, 0, &s->encoder, NULL);
	SP_BUG_IF(status != SP_OK); /* the default preset is always there */
	s->arena = sp_arena_new(0);
	return s;
}

void series_free(struct series **sp)
{
	struct series *s = *sp;
	*sp = NULL;
	if (!s)
		return;
	encoder_free(&s->encoder);
	sp_arena_free(&s->arena);
	sp_buf_free(&s->raw);
	sp_free(s);
}

static enum sp_status print_slice(struct series *s, struct sp_bytes block, size_t raw_len, struct sp_buf *out)
{
	sp_buf_clear(&s->raw);
	enum sp_status status = rw_uncompress(block, raw_len, &s->raw, NULL);
	struct sp_bytes in = sp_buf_view(&s->raw);
	struct rw_series one;
	struct rw_sample v;
	while (status == SP_OK && (status = rw_next(&in, &one, NULL)) == SP_OK) {
		while (rw_next_sample(&one.samples, &v)) {
			rw_print_labels(out, one.labels);
			sp_buf_u8(out, ' ');
			sp_buf_double(out, v.value);
			sp_buf_printf(out, " %" PRId64 "\n", v.ms);
		}
	}
	return status == SP_NOT_FOUND ? SP_OK : status;
}

enum sp_status series_print(struct series *s, const struct cw_point *p, struct sp_buf *out)
{
	struct cw_point copy = *p;
	struct cw_points points = {&copy, 1, 1};
	struct convert_group group;
	enum sp_status status = encoder_run(s->encoder, &points, NULL, p->end_ms, s->arena, &group);
	for (size_t i = 0; status == SP_OK && i < group.n_slices; i++)
		status = print_slice(s, sp_bytes(group.payload.p + group.slices[i].off, group.slices[i].len),
		    group.slices[i].raw_len, out);
	if (status == SP_OK && group.n_slices == 0)
		sp_buf_str(out, "# no series: the point has no statistic with a value\n");
	return status;
}
