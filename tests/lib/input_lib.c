#include "tests/lib/input_lib.h"

#include "convert/base64.h"
#include "convert/decoder.h"

#include <math.h>
#include <stdlib.h>

#define GUNZIP_MAX 100000

static void must(bool holds)
{
	if (!holds)
		abort();
}

/* ---- decoders ---- */

struct run {
	struct decoder d;
	struct cw_points points;
	size_t size; /* of the record; 0: compressed, offsets are within what it holds */
	size_t bad;
};

static void take_bad(void *arg, const char *reason, uint64_t offset, struct sp_bytes bytes, enum piece_form form,
    const char *text)
{
	struct run *r = arg;
	(void)form;
	must(reason[0] && (!text || text[0]));
	must(!r->size || (offset <= r->size && bytes.n <= r->size - offset));
	r->bad++;
}

static void check_point(const struct cw_point *p)
{
	must(p->metric.n > 0 && p->format < CW_FORMATS);
	for (size_t i = 0; i < p->n_dims; i++)
		must(p->dims[i].name.n > 0 && (i == 0 || sp_cmp(p->dims[i - 1].name, p->dims[i].name) < 0));
	for (size_t i = 0; i < p->n_quantiles; i++) {
		must(p->quantiles[i].q > 0 && p->quantiles[i].q < 1 && !isnan(p->quantiles[i].value));
		must(i == 0 || p->quantiles[i - 1].q < p->quantiles[i].q);
	}
	for (size_t i = 0; i < p->n_extras; i++)
		must(p->extras[i].key.n > 0 && !isnan(p->extras[i].value));
	must(!isnan(p->count) && !isnan(p->sum) && !isnan(p->min) && !isnan(p->max));
}

static enum sp_status decode_message(struct decoder *d, struct sp_bytes message)
{
	return otlp_decode(d, message, 0);
}

static size_t check(struct sp_bytes in, enum sp_status (*decode)(struct decoder *d, struct sp_bytes in))
{
	struct run r = {.size = gunzip_is_gzip(in) ? 0 : in.n};
	r.d = (struct decoder){.arena = sp_arena_new(0), .points = &r.points, .gunzip = gunzip_new(), .bad = take_bad, .arg = &r};
	must(decode(&r.d, in) == SP_OK);
	must(r.points.n == r.d.points_of[CW_OTLP07] + r.d.points_of[CW_OTLP10] + r.d.points_of[CW_JSON]);
	for (size_t i = 0; i < r.points.n; i++)
		check_point(&r.points.v[i]);
	/* With little memory the answer is "not now", never half a result that looks whole. */
	size_t whole = r.points.n, bad = r.bad;
	struct sp_arena *small = sp_arena_new(4096);
	struct run again = {.size = r.size};
	again.d = (struct decoder){.arena = small, .points = &again.points, .gunzip = r.d.gunzip, .bad = take_bad, .arg = &again};
	enum sp_status status = decode(&again.d, in);
	must(status == SP_NO_MEM || (status == SP_OK && again.points.n == whole && again.bad == bad));
	gunzip_free(&r.d.gunzip);
	sp_arena_free(&small);
	sp_arena_free(&r.d.arena);
	return whole;
}

size_t input_check_record(struct sp_bytes record)
{
	return check(record, record_decode);
}

size_t input_check_otlp(struct sp_bytes message)
{
	return check(message, decode_message);
}

size_t input_check_cwjson(struct sp_bytes record)
{
	struct sp_bytes plain = record;
	if (gunzip_is_gzip(plain))
		return 0;
	return check(plain, cwjson_decode);
}

/* ---- base64, gzip ---- */

void input_check_base64(struct sp_bytes text)
{
	struct sp_arena *arena = sp_arena_new(0);
	uint8_t *a = sp_arena_alloc(arena, base64_room(text.n)), *b = sp_arena_alloc(arena, base64_room(text.n));
	size_t a_n, b_n, a_bad = 0, b_bad = 0;
	bool ok = base64_decode(text, a, &a_n, &a_bad);
	must(base64_decode_table(text, b, &b_n, &b_bad) == ok);
	if (ok)
		must(sp_eq(sp_bytes(a, a_n), sp_bytes(b, b_n)) && a_n <= text.n / 4 * 3);
	else
		must(a_bad == b_bad && a_bad <= text.n);
	sp_arena_free(&arena);
}

void input_check_gunzip(struct sp_bytes data)
{
	struct sp_arena *arena = sp_arena_new(0);
	struct gunzip *g = gunzip_new();
	struct sp_bytes out;
	struct sp_why why = {.text = ""};
	enum sp_status status = gunzip_run(g, data, GUNZIP_MAX, arena, &out, &why);
	must(status == SP_OK ? out.n <= GUNZIP_MAX : (status == SP_BAD_DATA || status == SP_TOO_BIG) && why.text[0]);
	must(sp_arena_used(arena) <= 3 * GUNZIP_MAX);
	gunzip_free(&g);
	sp_arena_free(&arena);
}

/* ---- changes ---- */

static uint64_t draw(uint64_t *seed)
{
	*seed ^= *seed << 13, *seed ^= *seed >> 7, *seed ^= *seed << 17;
	return *seed;
}

size_t input_mutate(uint8_t *p, size_t n, size_t cap, uint64_t *seed)
{
	if (n == 0)
		return 0;
	size_t at = draw(seed) % n, some = draw(seed) % 8 + 1;
	some = some < n - at ? some : n - at;
	switch (draw(seed) % 5) {
	case 0:
		p[at] ^= (uint8_t)(1u << draw(seed) % 8);
		break;
	case 1:
		p[at] = (uint8_t)draw(seed);
		break;
	case 2: /* cut a few */
		memmove(p + at, p + at + some, n - at - some);
		return n - some;
	case 3: /* double a few */
		if (n + some > cap)
			return n;
		memmove(p + at + some, p + at, n - at);
		return n + some;
	default: /* cut off */
		return draw(seed) % 8 ? n : at;
	}
	return n;
}
