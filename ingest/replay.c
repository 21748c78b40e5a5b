#include "ingest/replay.h"

#include "common/alloc.h"
#include "common/json.h"
#include "common/log.h"
#include "ingest/reading.h"

#include <stdlib.h>

#define HEAD_BYTES ((size_t)512 << 10) /* of a request, with the common attributes in it */

struct replay {
	struct sp_admin_token *token;
	char *id, *key;
};

static void reply(struct replay *r, int http_status, const char *result, const char *text, const Standpipe__Counts *c)
{
	uint64_t points = c ? c->points_otlp07 + c->points_otlp10 + c->points_json : 0;
	json_t *o = json_pack("{ss ss sI sI sI sI}", "result", result, "text", text, "points", (json_int_t)points, "samples",
		(json_int_t)(c ? c->samples : 0), "quarantined", (json_int_t)(c ? c->quarantined : 0), "demo",
		(json_int_t)(c ? c->demo : 0));
	struct sp_buf json = {0};
	sp_json_put(&json, o, JSON_COMPACT);
	sp_log(SP_LOG_INFO, "delivery.replayed", sp_f_str("id", r->id), sp_f_str("key", r->key), sp_f_str("outcome", result),
		sp_f_u64("points", points), sp_f_u64("samples", c ? c->samples : 0), sp_f_u64("quarantined", c ? c->quarantined : 0),
		SP_LOG_END);
	sp_admin_reply(&r->token, http_status, "application/json", sp_buf_view(&json));
	sp_buf_free(&json);
	sp_free(r->id);
	sp_free(r->key);
	sp_free(r);
}

static void done(void *arg, const struct outcome *o)
{
	reply(arg, o->http_status, o->result, o->text, o->counts);
}

static char *param(const struct sp_admin_request *req, const char *name)
{
	char *out = sp_alloc(req->query.n + 1);
	out[0] = '\0';
	(void)sp_admin_param(req, name, out, req->query.n + 1);
	return out;
}

/* False when there is no room for the body. */
static bool submit(struct server *srv, struct replay *r, const struct sp_admin_request *req)
{
	struct sp_bytes body = req->body;
	char *arn = param(req, "arn"), *attributes = param(req, "attributes");
	struct request q = {.header[HEADER_SOURCE_ARN] = sp_str(arn), .header[HEADER_REQUEST_ID] = sp_str(r->id)};
	struct reading reading;
	size_t room;
	enum refusal refusal = reading_reserve(&reading, &srv->budget, (size_t)srv->settings->ingest_max_body, body.n);
	if (refusal != REFUSE_NOTHING) {
		reading_drop(&reading);
		sp_free(arn);
		sp_free(attributes);
		return false;
	}
	reading_begin(&reading, &q, sp_bytes(NULL, 0));
	memcpy(reading_room(&reading, &room), body.p, body.n);
	reading_took(&reading, body.n);
	struct delivery *d = delivery_new();
	struct key *key = keys_named(srv->keys, r->key);
	reading_hand_over(&reading, d);
	d->has_request_id = true;
	d->request_id = param(req, "request_id");
	d->source_arn = arn;
	d->key_name = sp_strdup(r->key);
	d->needs_tenant = key && key_in_dir(key);
	d->common_attributes = attributes;
	d->common_attributes_n = strlen(attributes);
	d->received_ms = sp_wall_ms();
	d->replayed = true;
	d->done = done;
	d->done_arg = r;
	pool_submit(srv->pool, d);
	return true;
}

static int take(void *arg, struct sp_admin_request *req)
{
	struct server *srv = arg;
	if (!sp_eq(req->method, SP_LIT("POST")) || req->body.n == 0)
		return 405;
	struct replay *r = sp_new(struct replay);
	*r = (struct replay){.token = req->token, .id = param(req, "id"), .key = param(req, "key")};
	const struct outcome *not_now = pool_refuses(srv->pool, r->key, req->body.n);
	if (!keys_named(srv->keys, r->key) && !(r->key[0] == '\0' && keys_none(srv->keys)))
		reply(r, 403, "refused", "its access key is not in the configuration any more, and so nobody knows whose it would be", NULL);
	else if (not_now)
		reply(r, not_now->http_status, not_now->result, not_now->text, NULL);
	else if (!submit(srv, r, req))
		reply(r, 503, "busy", "no memory for it now", NULL);
	return 0;
}

void replay_route(struct sp_admin *a, struct server *srv)
{
	sp_admin_max_request(a, (size_t)srv->settings->ingest_max_body + HEAD_BYTES);
	sp_admin_route(a, "/replay", false, take, srv);
}
