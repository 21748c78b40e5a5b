#include "convert/envelope.h"

#include "convert/json.h"

#define BOM "\xef\xbb\xbf"

struct records {
	struct envelope_record *v;
	size_t n, cap;
	bool found; /* an array */
};

static void read_record(struct json *j, struct envelope_record *r)
{
	struct sp_bytes key;
	*r = (struct envelope_record){0};
	(void)json_peek(j);
	const uint8_t *start = j->at;
	if (json_peek(j) != JSON_OBJECT) {
		json_skip(j);
	} else {
		for (json_enter(j); json_next_member(j, &key);) {
			if (!sp_eq(key, SP_LIT("data"))) {
				json_skip(j);
				continue;
			}
			r->has_data = json_peek(j) == JSON_STRING;
			if (r->has_data)
				json_string(j, &r->data);
			else
				json_skip(j);
		}
	}
	r->json = sp_bytes(start, (size_t)(j->at - start));
}

static void read_records(struct json *j, struct records *records)
{
	records->n = 0;
	records->found = json_peek(j) == JSON_ARRAY;
	if (!records->found) {
		json_skip(j);
		return;
	}
	for (json_enter(j); json_next_item(j);) {
		if (records->n == records->cap) {
			size_t cap = records->cap ? 2 * records->cap : 64, size = sizeof *records->v;
			void *v = sp_arena_grow(j->arena, records->v, records->cap * size, cap * size);
			if (!v) {
				j->no_mem = true;
				json_fail(j, "out of memory");
				return;
			}
			records->v = v, records->cap = cap;
		}
		read_record(j, &records->v[records->n++]);
	}
}

static void read_timestamp(struct json *j, int64_t *out)
{
	double v;
	*out = 0;
	if (json_peek(j) != JSON_NUMBER)
		json_skip(j);
	else if (json_number(j, &v, NULL) && v > 0 && v < 1e15 && v == (double)(int64_t)v)
		*out = (int64_t)v;
}

enum sp_status envelope_read(struct sp_bytes body, struct sp_arena *arena, struct envelope *out, const char **code, struct sp_why *why)
{
	struct json j = json_begin(body, arena);
	struct records records = {0};
	struct envelope e = {0};
	struct sp_bytes key;
	if (sp_starts(body, SP_LIT(BOM)))
		j.at += strlen(BOM);
	enum json_type top = json_peek(&j);
	if (j.at == j.end) {
		*code = "E_BODY";
		return sp_fail(why, SP_BAD_DATA, "empty body");
	}
	*code = "E_JSON";
	if (top != JSON_OBJECT)
		return sp_fail(why, SP_BAD_DATA, "object expected at byte %zu", json_offset(&j));
	for (json_enter(&j); json_next_member(&j, &key);) {
		if (sp_eq(key, SP_LIT("records"))) {
			read_records(&j, &records);
		} else if (sp_eq(key, SP_LIT("timestamp"))) {
			read_timestamp(&j, &e.timestamp_ms);
		} else if (sp_eq(key, SP_LIT("requestId"))) {
			e.request_id = (struct sp_bytes){0};
			if (json_peek(&j) == JSON_STRING)
				json_string(&j, &e.request_id);
			else
				json_skip(&j);
		} else {
			json_skip(&j);
		}
	}
	if (j.no_mem)
		return sp_fail(why, SP_NO_MEM, "no memory for %zu records", records.n);
	if (j.error)
		return sp_fail(why, SP_BAD_DATA, "%s at byte %zu", j.error, json_offset(&j));
	(void)json_peek(&j);
	if (j.at < j.end)
		return sp_fail(why, SP_BAD_DATA, "data after the document at byte %zu", json_offset(&j));
	if (!records.found) {
		*code = "E_RECORDS";
		return sp_fail(why, SP_BAD_DATA, "records array missing");
	}
	e.records = records.v;
	e.n_records = records.n;
	*out = e;
	return SP_OK;
}
