#include "cli/source.h"

#include "common/alloc.h"
#include "common/clock.h"

#include <errno.h>
#include <inttypes.h>
#include <libdeflate.h>
#include <stdlib.h>
#include <sys/random.h>

#define LEAST_BYTES_PER_POINT 150 /* of any format in a body: so many points are always enough for a size */
#define GZIP_LEVEL 6

struct stream {
	int64_t minute;
	size_t at; /* next of its series */
};

struct source {
	struct source_options o;
	struct stream *streams;
	struct source_body *pool;
	size_t pool_at, file_at, records_made;
	uint64_t points_made;
	bool size_done;
	struct cloudwatch_point *points;
};

static void new_id(char out[64])
{
	uint8_t r[16];
	if (getrandom(r, sizeof r, 0) != sizeof r)
		memset(r, 0, sizeof r);
	snprintf(out, 64, "%02x%02x%02x%02x-%02x%02x-4%01x%02x-a%01x%02x-%02x%02x%02x%02x%02x%02x", r[0], r[1], r[2], r[3], r[4], r[5], r[6] & 15, r[7],
		r[8] & 15, r[9], r[10], r[11], r[12], r[13], r[14], r[15]);
}

static enum sp_status compress(struct source_body *b, struct sp_why *why)
{
	struct libdeflate_compressor *c = libdeflate_alloc_compressor(GZIP_LEVEL);
	struct sp_buf out = {0};
	size_t max = c ? libdeflate_gzip_compress_bound(c, b->bytes.n) : 0;
	uint8_t *to = c ? sp_buf_room(&out, max) : NULL;
	if (to)
		out.n = libdeflate_gzip_compress(c, b->bytes.p, b->bytes.n, to, max);
	libdeflate_free_compressor(c);
	if (out.n == 0)
		return sp_fail(why, SP_NO_MEM, "no memory to compress a body");
	sp_buf_free(&b->bytes);
	b->bytes = out;
	return SP_OK;
}

/* Series are dealt out in blocks, so that a stream has the metrics of a resource together. */
static size_t block_of(const struct source *s)
{
	size_t fair = s->o.generate.series / s->o.streams;
	return fair == 0 ? 1 : fair < GENERATE_BLOCK ? fair : GENERATE_BLOCK;
}

static size_t series_of(const struct source *s, size_t stream)
{
	size_t block = block_of(s), whole = s->o.generate.series / block, k = s->o.streams;
	return (whole / k + (stream < whole % k)) * block + (stream == whole % k ? s->o.generate.series % block : 0);
}

static size_t series_at(const struct source *s, size_t stream, size_t at)
{
	size_t block = block_of(s);
	return (at / block * s->o.streams + stream) * block + at % block;
}

/* Fills one record with the next points of a stream, within one minute. False when the stream has no more. */
static size_t take_points(struct source *s, size_t stream)
{
	struct stream *st = &s->streams[stream];
	size_t n = 0, all = series_of(s, stream);
	while (n == 0 && all > 0 && (s->o.minutes == 0 || st->minute < s->o.minutes)) {
		for (; st->at < all && n + 2 <= s->o.points_per_record + 1; st->at++)
			n += generate_sent(&s->o.generate, series_at(s, stream, st->at), st->minute, &s->points[n]);
		if (st->at == all)
			st->at = 0, st->minute++;
	}
	for (size_t i = 0; i < n && s->o.expected; i++) {
		struct sp_buf line = {0};
		generate_expected(&line, &s->points[i]);
		fwrite(line.p, 1, line.n, s->o.expected);
		sp_buf_free(&line);
	}
	return n;
}

static enum sp_status generate_body(struct source *s, size_t stream, size_t max_records, struct source_body *out, struct sp_why *why)
{
	struct sp_buf *records = sp_new_array(struct sp_buf, max_records);
	struct sp_bytes *views = sp_new_array(struct sp_bytes, max_records);
	size_t n = 0, points, bytes = 0; /* bytes: of the body, so far */
	/* As a stream does: a minute's points, then the next minute's; no delivery has two of them, unless it must be large. */
	int64_t minute = s->streams[stream].minute;
	out->first_point = s->points_made;
	for (; n < max_records && (s->o.size ? bytes < s->o.size : minute == s->streams[stream].minute) &&
		(points = take_points(s, stream)) > 0; n++) {
		int format = s->o.format < 0 ? (int)(s->records_made++ % 3) : s->o.format;
		cloudwatch_record(&records[n], (enum cloudwatch_format)format, s->points, points);
		views[n] = sp_buf_view(&records[n]);
		bytes += (records[n].n + 2) / 3 * 4;
		out->points += points;
		s->points_made += points;
	}
	new_id(out->request_id);
	if (n > 0)
		cloudwatch_body(&out->bytes, out->request_id, sp_wall_ms(), views, n);
	bool complete = sp_buf_ok(&out->bytes);
	for (size_t i = 0; i < n; i++) {
		complete &= sp_buf_ok(&records[i]);
		sp_buf_free(&records[i]);
	}
	sp_free(records);
	sp_free(views);
	if (n == 0)
		return SP_NOT_FOUND;
	if (!complete)
		return sp_fail(why, SP_NO_MEM, "no memory for a body");
	return s->o.gzip ? compress(out, why) : SP_OK;
}

/* Firehose's id of a captured body, so that it is recognised as the same delivery. */
static void find_id(struct source_body *b)
{
	static const char key[] = "\"requestId\"";
	const uint8_t *at = b->bytes.n ? memmem(b->bytes.p, b->bytes.n, key, sizeof key - 1) : NULL;
	const uint8_t *end = b->bytes.p + b->bytes.n;
	size_t n = 0;
	if (!at)
		return;
	for (at += sizeof key - 1; at < end && (*at == ' ' || *at == ':' || *at == '"'); at++)
		;
	for (; at < end && *at != '"' && n < sizeof b->request_id - 1; at++)
		b->request_id[n++] = (char)*at;
	b->request_id[n] = '\0';
}

static enum sp_status read_file(struct source *s, const char *path, struct source_body *out, struct sp_why *why)
{
	FILE *f = fopen(path, "rb");
	if (!f)
		return sp_fail(why, SP_IO, "%s: %s", path, strerror(errno));
	for (size_t got = 1; got > 0;) {
		uint8_t *room = sp_buf_room(&out->bytes, 65536);
		got = room ? fread(room, 1, 65536, f) : 0;
		out->bytes.n += got;
	}
	bool failed = ferror(f) || !sp_buf_ok(&out->bytes);
	fclose(f);
	if (failed)
		return sp_fail(why, SP_IO, "%s cannot be read", path);
	bool is_gzip = out->bytes.n > 2 && out->bytes.p[0] == 0x1f && out->bytes.p[1] == 0x8b;
	if (!is_gzip)
		find_id(out);
	if (s->o.new_id || !out->request_id[0])
		new_id(out->request_id);
	return s->o.gzip && !is_gzip ? compress(out, why) : SP_OK;
}

static enum sp_status fill_pool(struct source *s, struct sp_why *why)
{
	enum sp_status status = SP_OK;
	s->pool = sp_new_array(struct source_body, s->o.pool);
	for (size_t i = 0; i < s->o.pool && status == SP_OK; i++) {
		status = generate_body(s, i % s->o.streams, s->o.records, &s->pool[i], why);
		s->pool[i].shared = true;
	}
	return status;
}

enum sp_status source_new(const struct source_options *o, struct source **out, struct sp_why *why)
{
	struct source *s = sp_new(struct source);
	s->o = *o;
	if (o->size)
		s->o.minutes = 0; /* as many as it takes */
	if (o->size && o->minutes) /* enough series, so that its points are not of the future */
		s->o.generate.series = o->size / LEAST_BYTES_PER_POINT / (size_t)o->minutes + 1;
	s->streams = sp_new_array(struct stream, o->streams);
	s->points = sp_new_array(struct cloudwatch_point, o->points_per_record + 2);
	enum sp_status status = o->pool && !o->n_files ? fill_pool(s, why) : SP_OK;
	if (status != SP_OK) {
		source_free(&s);
		return status == SP_NOT_FOUND ? sp_fail(why, SP_CONFIG, "there are no points for the pool: raise --series or --minutes") : status;
	}
	*out = s;
	return SP_OK;
}

void source_free(struct source **sp)
{
	struct source *s = *sp;
	if (!s)
		return;
	for (size_t i = 0; s->pool && i < s->o.pool; i++)
		sp_buf_free(&s->pool[i].bytes);
	sp_free(s->pool);
	sp_free(s->streams);
	sp_free(s->points);
	sp_free(s);
	*sp = NULL;
}

enum sp_status source_next(struct source *s, size_t stream, struct source_body *out, struct sp_why *why)
{
	*out = (struct source_body){0};
	if (s->o.n_files)
		return s->file_at < s->o.n_files ? read_file(s, s->o.files[s->file_at++], out, why) : SP_NOT_FOUND;
	if (s->o.pool) {
		*out = s->pool[s->pool_at++ % s->o.pool];
		new_id(out->request_id);
		return SP_OK;
	}
	if (s->o.size) {
		size_t records = s->o.size / (s->o.points_per_record * LEAST_BYTES_PER_POINT) + (size_t)s->o.minutes + 1;
		if (s->size_done)
			return SP_NOT_FOUND;
		s->size_done = true;
		return generate_body(s, stream, records, out, why);
	}
	return generate_body(s, stream, s->o.records, out, why);
}

void source_body_free(struct source_body *b)
{
	if (!b->shared)
		sp_buf_free(&b->bytes);
	*b = (struct source_body){0};
}
