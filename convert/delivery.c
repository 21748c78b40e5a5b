#include "convert/delivery.h"

#include "common/alloc.h"
#include "convert/sketches.h"
#include "convert/attributes.h"
#include "convert/base64.h"
#include "convert/encode.h"
#include "convert/envelope.h"
#include "convert/evidence.h"
#include "convert/decoder.h"
#include "convert/utf8.h"

#include <inttypes.h>
#include <malloc.h>
#include <stdio.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#define REQUEST_ID_MAX 256
#define YEAR_1971_MS INT64_C(31536000000)
#define YEAR_2100_MS INT64_C(4102444800000)

#define BODY_BYTES_PER_POINT 256
#define LARGE_BYTES ((size_t)16 << 20)
#define ENCODERS_KEPT 64 /* as many groups as one delivery can have; with hundreds of tenants the others' are made anew */

struct converter {
	struct sp_arena *arena; /* of one delivery */
	size_t budget;
	struct gunzip *gunzip;
	Standpipe__Plan *plan;
	struct account_labels *accounts; /* of the plan */
	struct group_encoder {
		struct encoder *encoder; /* NULL: nobody has needed it lately */
		uint64_t used;           /* number of the delivery that needed it last */
	} * encoders;                    /* of the plan's groups */
	uint64_t deliveries;
	struct sketches *sketches;
	struct convert_group groups[ENCODERS_KEPT]; /* results of one delivery */
};

/* The largest body takes three times its size while it is decoded and mapped, and a body is at most half of the budget: so twice
 * the budget is the bound that no delivery must meet. What is over 16 MiB is given back after each. */
struct converter *converter_new(size_t memory_budget)
{
	struct converter *c = sp_new(struct converter);
	c->budget = memory_budget;
	c->arena = sp_arena_new(2 * memory_budget);
	c->gunzip = gunzip_new();
	c->sketches = sketches_new();
	return c;
}

static void plan_drop(Standpipe__Plan *plan, struct account_labels *accounts, struct group_encoder *encoders)
{
	for (size_t i = 0; plan && i < plan->n_groups; i++)
		encoder_free(&encoders[i].encoder);
	sp_free(encoders);
	account_labels_free(&accounts);
	if (plan)
		standpipe__plan__free_unpacked(plan, NULL);
}

void converter_free(struct converter **cp)
{
	struct converter *c = *cp;
	*cp = NULL;
	if (!c)
		return;
	plan_drop(c->plan, c->accounts, c->encoders);
	gunzip_free(&c->gunzip);
	sketches_free(&c->sketches);
	sp_arena_free(&c->arena);
	sp_free(c);
}

struct sketches *converter_sketches(struct converter *c)
{
	return c->sketches;
}

void converter_rest(struct converter *c)
{
	bool large = sp_arena_used(c->arena) > LARGE_BYTES;
	sp_arena_reset(c->arena);
	for (size_t i = 0; c->plan && i < c->plan->n_groups; i++)
		if (c->encoders[i].encoder)
			encoder_rest(c->encoders[i].encoder);
	if (large)
		malloc_trim(0); /* many small pieces do not find their way back to the system by themselves */
}

/* By way of the wire: protobuf-c has no other copy. */
static Standpipe__Plan *plan_copy(const Standpipe__Plan *plan)
{
	size_t n = standpipe__plan__get_packed_size(plan);
	uint8_t *packed = sp_alloc(n + 1);
	standpipe__plan__pack(plan, packed);
	Standpipe__Plan *copy = standpipe__plan__unpack(NULL, n, packed);
	sp_free(packed);
	return copy;
}

static enum sp_status make_encoder(const Standpipe__Group *group, const struct account_labels *accounts, size_t budget,
    struct encoder **out, struct sp_why *why)
{
	enum sp_status status = encoder_new(group, budget, out, why);
	if (status == SP_OK)
		encoder_accounts(*out, accounts);
	return status;
}

enum sp_status converter_plan(struct converter *c, const Standpipe__Plan *from, struct sp_why *why)
{
	for (size_t i = 0; i < from->n_tenants; i++)
		for (size_t k = 0; k < from->tenants[i]->n_groups; k++)
			if (from->tenants[i]->groups[k] >= from->n_groups)
				return sp_fail(why, SP_CONFIG, "the plan has no group %u", from->tenants[i]->groups[k]);
	Standpipe__Plan *plan = plan_copy(from);
	if (!plan)
		return sp_fail(why, SP_NO_MEM, "no memory for the plan");
	struct group_encoder *encoders = sp_new_array(struct group_encoder, plan->n_groups + 1);
	struct account_labels *accounts = account_labels_new(plan);
	/* Each is made once here, so that a plan that cannot be followed is refused as a whole. */
	for (size_t i = 0; i < plan->n_groups; i++) {
		enum sp_status status = make_encoder(plan->groups[i], accounts, c->budget / 4, &encoders[i].encoder, why);
		if (status != SP_OK) {
			plan_drop(plan, accounts, encoders);
			return status;
		}
		if (i >= ENCODERS_KEPT)
			encoder_free(&encoders[i].encoder);
	}
	plan_drop(c->plan, c->accounts, c->encoders);
	c->plan = plan;
	c->accounts = accounts;
	c->encoders = encoders;
	sketches_clear(c->sketches);
	return SP_OK;
}

/* ---- refusals: what the sender is told with a 400 ---- */

static void refuse(struct convert_out *out, const char *code, const char *text)
{
	out->http_status = 400;
	out->code = code;
	snprintf(out->text, sizeof out->text, "%s", text);
}

/* A request id must be echoed exactly as it came. */
static bool is_id_usable(struct sp_bytes id)
{
	for (size_t i = 0; i < id.n; i++) {
		if (id.p[i] < 0x20 || id.p[i] == 0x7f)
			return false;
	}
	return id.n <= REQUEST_ID_MAX && utf8_ok(id);
}

static void check_id(struct convert_out *out)
{
	if (is_id_usable(out->request_id))
		return;
	out->request_id = (struct sp_bytes){0};
	refuse(out, "E_REQID", "request id not usable");
}

/* The JSON text of the body. Compressed bodies whose header a proxy took away are inflated as well. */
static enum sp_status inflate_body(struct converter *c, const struct convert_in *in, struct convert_out *out,
    struct sp_bytes *json, struct sp_why *why)
{
	char text[80];
	enum sp_status status = in->body.n > in->max_inflated ? SP_TOO_BIG : SP_OK;
	*json = in->body;
	if (status == SP_OK && gunzip_is_gzip(in->body))
		status = gunzip_run(c->gunzip, in->body, in->max_inflated, c->arena, json, why);
	else if (status == SP_OK && in->gzip)
		refuse(out, "E_GZIP", "not gzip");
	if (status == SP_TOO_BIG) {
		snprintf(text, sizeof text, "decompressed body over %zu bytes", in->max_inflated);
		refuse(out, "E_SIZE", text);
	} else if (status == SP_BAD_DATA) {
		refuse(out, "E_GZIP", "damaged");
	}
	return status == SP_NO_MEM ? SP_NO_MEM : SP_OK;
}

static enum sp_status open_envelope(struct converter *c, struct sp_bytes json, const struct convert_in *in,
    struct convert_out *out, struct envelope *envelope, struct sp_why *why)
{
	const char *code = NULL;
	struct sp_why bad = {.text = ""};
	enum sp_status status = envelope_read(json, c->arena, envelope, &code, &bad);
	if (status == SP_BAD_DATA) {
		refuse(out, code, bad.text);
		return SP_OK;
	}
	if (status != SP_OK)
		return sp_fail(why, status, "%s", bad.text);
	if (envelope->timestamp_ms > YEAR_1971_MS && envelope->timestamp_ms < YEAR_2100_MS)
		out->sent_ms = envelope->timestamp_ms;
	if (!in->has_request_id || in->request_id.n == 0) {
		out->request_id = envelope->request_id;
		if (out->request_id.n == 0)
			refuse(out, "E_REQID", "request id missing");
		else
			check_id(out);
	}
	return SP_OK;
}

/* ---- records ---- */

static void take_bad_piece(void *arg, const char *reason, uint64_t offset, struct sp_bytes bytes, enum piece_form form,
    const char *text)
{
	evidence_add(arg, reason, offset, bytes, form, text ? text : "");
}

/* A point beyond the limit would make receivers refuse good ones for as long as it lies ahead. */
static void set_future_aside(struct cw_points *points, size_t first, int64_t limit_ms, struct evidence *evidence)
{
	size_t kept = first;
	int64_t latest_ms = limit_ms;
	for (size_t i = first; i < points->n; i++) {
		if (points->v[i].end_ms > limit_ms) {
			latest_ms = points->v[i].end_ms > latest_ms ? points->v[i].end_ms : latest_ms;
			continue;
		}
		if (kept != i)
			points->v[kept] = points->v[i];
		kept++;
	}
	size_t removed = points->n - kept;
	points->n = kept;
	if (removed == 0)
		return;
	char text[160];
	snprintf(text, sizeof text,
	    "%zu points of this record lie in the future, the latest %" PRId64 " s beyond what is let through", removed,
	    (latest_ms - limit_ms) / 1000);
	evidence_add_record(evidence, "future", removed, text);
}

static enum sp_status decode_record(
    struct decoder *d, struct evidence *evidence, const struct envelope_record *record, int index, int64_t limit_ms)
{
	evidence_record(evidence, index, record->json, PIECE_PART);
	if (!record->has_data) {
		evidence_add(evidence, "no_data", 0, record->json, PIECE_PART, "a record without \"data\", or its data is no string");
		return SP_OK;
	}
	uint8_t *bytes = sp_arena_alloc(d->arena, base64_room(record->data.n));
	size_t n, bad_at, first = d->points->n;
	if (!bytes)
		return SP_NO_MEM;
	if (!base64_decode(record->data, bytes, &n, &bad_at)) {
		char text[80];
		snprintf(text, sizeof text, "not base64 at character %zu", bad_at);
		evidence_record(evidence, index, record->data, PIECE_PART);
		evidence_add(evidence, "bad_base64", 0, record->data, PIECE_PART, text);
		return SP_OK;
	}
	evidence_record(evidence, index, sp_bytes(bytes, n), PIECE_RECORD);
	enum sp_status status = record_decode(d, sp_bytes(bytes, n));
	if (status == SP_OK)
		set_future_aside(d->points, first, limit_ms, evidence);
	return status;
}

static enum sp_status decode_records(struct converter *c, const struct envelope *envelope, const struct convert_in *in,
	struct cw_points *points, struct convert_out *out)
{
	struct evidence evidence;
	evidence_begin(&evidence, c->arena);
	struct decoder d = {.arena = c->arena, .points = points, .gunzip = c->gunzip, .bad = take_bad_piece, .arg = &evidence};
	int64_t limit_ms = (in->now_ms > out->sent_ms ? in->now_ms : out->sent_ms) + c->plan->max_future_ms;
	for (size_t i = 0; i < envelope->n_records; i++) {
		enum sp_status status = decode_record(&d, &evidence, &envelope->records[i], (int)i, limit_ms);
		if (status != SP_OK)
			return status;
	}
	if (evidence.failed)
		return SP_NO_MEM;
	out->records = envelope->n_records;
	out->messages = d.messages;
	memcpy(out->points, d.points_of, sizeof(out->points));
	out->demo = d.demo;
	out->dropped_values = d.dropped_values;
	out->quarantine = evidence.v;
	out->n_quarantine = evidence.n;
	out->quarantined = evidence.pieces;
	out->arrived = points->v;
	out->n_arrived = points->n;
	if (points->n)
		out->account = points->v[0].account;
	return SP_OK;
}

/* ---- groups ---- */

static const Standpipe__Tenant *find_tenant(const Standpipe__Plan *plan, struct sp_bytes key_name)
{
	const Standpipe__Tenant *others = NULL;
	for (size_t i = 0; i < plan->n_tenants; i++) {
		if (sp_eq(sp_str(plan->tenants[i]->key_name), key_name))
			return plan->tenants[i];
		if (!plan->tenants[i]->key_name[0])
			others = plan->tenants[i];
	}
	return others;
}

static bool matches(const Standpipe__Group *g, const struct attributes *a)
{
	for (size_t i = 0; i < g->n_match_attributes; i++) {
		struct sp_bytes value = attributes_get(a, sp_str(g->match_attributes[i]->name));
		if (!value.n || XXH3_64bits(value.p, value.n) != g->match_attributes[i]->value_hash)
			return false;
	}
	return true;
}

/* The encoder of a group; where too many are kept, the one that has not been needed longest makes way. */
static enum sp_status get_encoder(struct converter *c, size_t group, struct encoder **out, struct sp_why *why)
{
	struct group_encoder *e = &c->encoders[group], *oldest = NULL;
	size_t kept = 0;
	enum sp_status status = SP_OK;
	for (size_t i = 0; !e->encoder && i < c->plan->n_groups; i++) {
		struct group_encoder *other = &c->encoders[i];
		kept += other->encoder != NULL;
		if (other->encoder && (!oldest || other->used < oldest->used))
			oldest = other;
	}
	if (kept >= ENCODERS_KEPT)
		encoder_free(&oldest->encoder);
	if (!e->encoder)
		status = make_encoder(c->plan->groups[group], c->accounts, c->budget / 4, &e->encoder, why);
	if (status == SP_OK)
		encoder_count(e->encoder, c->sketches);
	e->used = c->deliveries;
	*out = e->encoder;
	return status;
}

/* Groups that ask for certain attributes take the deliveries that have them from all groups that do not ask. */
static enum sp_status encode_groups(struct converter *c, const struct convert_in *in, const struct attributes *attributes,
    const struct cw_points *points, struct convert_out *out, struct sp_why *why)
{
	const Standpipe__Tenant *tenant = find_tenant(c->plan, in->key_name);
	bool taken = false;
	enum sp_status status = SP_OK;
	c->deliveries++;
	for (size_t i = 0; tenant && i < tenant->n_groups; i++) {
		const Standpipe__Group *g = c->plan->groups[tenant->groups[i]];
		taken |= g->n_match_attributes && matches(g, attributes);
	}
	for (size_t i = 0; tenant && i < tenant->n_groups && status == SP_OK; i++) {
		const Standpipe__Group *g = c->plan->groups[tenant->groups[i]];
		struct encoder *encoder;
		if ((g->n_match_attributes > 0) != taken || !matches(g, attributes))
			continue;
		if (out->n_groups == ENCODERS_KEPT)
			return sp_fail(why, SP_TOO_BIG, "more than %d mapping groups for one delivery", ENCODERS_KEPT);
		status = get_encoder(c, tenant->groups[i], &encoder, why);
		if (status == SP_OK)
			status = encoder_run(encoder, points, attributes, in, c->arena, &c->groups[out->n_groups]);
		if (status == SP_OK)
			out->samples += c->groups[out->n_groups++].samples;
	}
	out->groups = c->groups;
	return status;
}

static enum sp_status convert(
    struct converter *c, const struct convert_in *in, struct convert_out *out, struct sp_why *why)
{
	struct sp_bytes json;
	struct envelope envelope;
	struct cw_points points = {0};
	struct attributes attributes;
	out->request_id = in->has_request_id ? in->request_id : (struct sp_bytes){0};
	check_id(out);
	enum sp_status status = out->http_status ? SP_OK : inflate_body(c, in, out, &json, why);
	if (status == SP_OK && !out->http_status)
		status = open_envelope(c, json, in, out, &envelope, why);
	if (status != SP_OK || out->http_status)
		return status;
	/* A point takes about 300 bytes of a body: room for all of them at once, since a growing array would leave its former copies behind. */
	points.cap = json.n / BODY_BYTES_PER_POINT + 16;
	points.v = sp_arena_alloc(c->arena, points.cap * sizeof(*points.v));
	status = points.v ? decode_records(c, &envelope, in, &points, out) : SP_NO_MEM;
	if (status == SP_OK)
		status = attributes_read(in->common_attributes, c->arena, &attributes);
	if (status != SP_OK)
		return status;
	out->attributes_left_out = attributes.left_out;
	out->attributes_text = attributes.why_out;
	return encode_groups(c, in, &attributes, &points, out, why);
}

enum sp_status converter_run(
    struct converter *c, const struct convert_in *in, struct convert_out *out, struct sp_why *why)
{
	struct convert_out result = {0};
	sp_arena_reset(c->arena);
	enum sp_status status = convert(c, in, &result, why);
	if (status == SP_OK)
		*out = result;
	else if (status == SP_NO_MEM)
		sp_fail(why, SP_NO_MEM,
		    "a delivery of %zu bytes needs more memory than the %zu bytes there are for one", in->body.n,
		    c->budget);
	return status;
}
