/* Ship's side of the tools: rows are read and changed on the database thread, between or within its commits. */
#include "ship/tools/tools_impl.h"

#include "common/alloc.h"
#include "ship/spool/inspect.h"

#include <stdio.h>
#include <stdlib.h>

const char *const tools_verbs[TOOLS_VERBS] = {"ls", "show", "body", "purge", "replay"};

struct question {
	enum tools_verb verb;
	struct edit edit; /* which rows, and how it ended, also of a look */
	struct sp_buf answer;
	struct sp_admin_token *token;
};

enum sp_status tools_look(struct spool *sp, enum inspect_table t, enum tools_verb verb, const struct pick *pick, const char *after,
	struct sp_buf *out, struct sp_why *why)
{
	enum sp_status status = verb == TOOLS_LS ? inspect_list(sp, t, pick, after, out, why)
						 : inspect_row(sp, t, pick->id, verb == TOOLS_BODY, out, why);
	return status == SP_OK && !sp_buf_ok(out) ? sp_fail(why, SP_NO_MEM, "no memory for the answer") : status;
}

struct edit tools_edit(enum inspect_table t, enum tools_verb verb, const struct pick *pick, const char *after)
{
	struct edit e = {.verb = verb == TOOLS_PURGE ? EDIT_PURGE : EDIT_REPLAY, .table = t, .pick = *pick};
	snprintf(e.after, sizeof e.after, "%s", after);
	return e;
}

void tools_edit_json(const struct edit *e, struct sp_buf *out)
{
	sp_json_put(out,
		json_pack("{sI sI sI ss ss sb}", "rows", (json_int_t)e->rows, "samples", (json_int_t)e->samples, "refused",
			(json_int_t)e->refused, "refusal", e->refused ? e->refusal : "", "last", e->last, "more", (int)e->more),
		JSON_COMPACT);
}

static void look_up(struct spool *sp, void *arg)
{
	struct question *q = arg;
	struct edit *e = &q->edit;
	e->status = tools_look(sp, e->table, q->verb, &e->pick, e->after, &q->answer, &e->why);
}

static void reply(void *arg)
{
	struct question *q = arg;
	enum sp_status status = q->edit.status;
	int http = status == SP_OK ? 200 : status == SP_NOT_FOUND ? 404 : status == SP_BAD_DATA ? 400 : 500;
	const char *type = http != 200		   ? "text/plain; charset=utf-8"
			   : q->verb == TOOLS_BODY ? "application/octet-stream"
						   : "application/json";
	if (q->verb >= TOOLS_PURGE)
		tools_edit_json(&q->edit, &q->answer);
	sp_admin_reply(&q->token, http, type, http == 200 ? sp_buf_view(&q->answer) : sp_str(q->edit.why.text));
	sp_buf_free(&q->answer);
	sp_free(q);
}

static struct edit asked_of(const struct sp_admin_request *req, enum inspect_table table, enum tools_verb verb)
{
	char before[32] = "0", after[64] = "";
	struct pick p = {.id = ""};
	(void)sp_admin_param(req, "id", p.id, sizeof p.id);
	(void)sp_admin_param(req, "reason", p.reason, sizeof p.reason);
	(void)sp_admin_param(req, "key", p.key, sizeof p.key);
	(void)sp_admin_param(req, "destination", p.destination, sizeof p.destination);
	(void)sp_admin_param(req, "before", before, sizeof before);
	(void)sp_admin_param(req, "after", after, sizeof after);
	p.before_ms = strtoll(before, NULL, 10);
	return tools_edit(table, verb, &p, after);
}

/* /TABLE/VERB?id=...&reason=...: GET looks, POST changes. */
static int serve(void *arg, struct sp_admin_request *req)
{
	bool is_post = sp_eq(req->method, SP_LIT("POST"));
	for (unsigned i = 0; i < INSPECT_TABLES * TOOLS_VERBS; i++) {
		enum inspect_table table = i / TOOLS_VERBS;
		enum tools_verb verb = i % TOOLS_VERBS;
		char path[64];
		snprintf(path, sizeof path, "/%s/%s", inspect_name(table), tools_verbs[verb]);
		if (!sp_eq(req->path, sp_str(path)) || (verb == TOOLS_REPLAY && table != INSPECT_DEADLETTER))
			continue;
		if (is_post != (verb >= TOOLS_PURGE))
			return 405;
		struct question *q = sp_new(struct question);
		*q = (struct question){.verb = verb, .edit = asked_of(req, table, verb), .token = req->token};
		if (is_post)
			writer_edit(arg, &q->edit, reply, q);
		else
			writer_query(arg, look_up, reply, q);
		return 0;
	}
	return 404;
}

void tools_routes(struct sp_admin *a, struct writer *w)
{
	sp_admin_route(a, "/spool/", false, serve, w);
	sp_admin_route(a, "/quarantine/", false, serve, w);
	sp_admin_route(a, "/deadletter/", false, serve, w);
}
