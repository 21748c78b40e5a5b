/* quarantine replay: a piece goes through the running ingest and convert once more, and its row goes when that is committed. Whoever is
 * killed in between finds the row again, and the ledger finds the repeat. */
#include "ship/tools/tools_impl.h"

#include "proto/cloudwatch.h"
#include "proto/standpipe.pb-c.h"

#include <inttypes.h>
#include <stdio.h>

struct sums {
	uint64_t replayed, samples, back; /* back: pieces that are in the quarantine anew */
	uint64_t kept;
	char reason[256]; /* why the first one was kept */
};

static const char *text_of(const json_t *row, const char *name)
{
	const char *s = json_string_value(json_object_get(row, name));
	return s ? s : "";
}

static int64_t number(const json_t *row, const char *name)
{
	return json_integer_value(json_object_get(row, name));
}

/* The body that Firehose would send for this piece; false when it is nothing by itself. */
static bool make_body(const json_t *row, struct sp_bytes piece, struct sp_buf *out)
{
	struct sp_buf framed = {0};
	struct sp_bytes record = piece;
	switch (number(row, "form")) {
	case STANDPIPE__QUARANTINE_ITEM__FORM__BODY:
		sp_buf_add(out, piece);
		return true;
	case STANDPIPE__QUARANTINE_ITEM__FORM__MESSAGE:
		sp_buf_varint(&framed, piece.n);
		sp_buf_add(&framed, piece);
		record = sp_buf_view(&framed);
		break;
	case STANDPIPE__QUARANTINE_ITEM__FORM__RECORD:
		break;
	default:
		return false;
	}
	cloudwatch_body(out, "replay", number(row, "at_ms"), &record, 1);
	sp_buf_free(&framed);
	return true;
}

/* http is 0 when ingest does not answer. */
static enum sp_status post(
	struct tool *t, const json_t *row, const char *id, const struct sp_buf *body, json_t **out, long *http, struct sp_why *why)
{
	struct sp_buf url = {0}, answer = {0};
	struct curl_slist *headers = curl_slist_append(NULL, "Expect:");
	char path[256];
	snprintf(path, sizeof path, "%s/ingest.sock", t->settings->runtime_dir);
	sp_buf_printf(&url, "http://ingest/replay?id=quarantine-%s-%" PRId64, id, number(row, "at_ms"));
	tools_add_param(t, &url, "key", text_of(row, "key"));
	tools_add_param(t, &url, "request_id", *text_of(row, "request_id") ? text_of(row, "request_id") : "replay");
	tools_add_param(t, &url, "arn", text_of(row, "source_arn"));
	tools_add_param(t, &url, "attributes", text_of(row, "attributes"));
	sp_buf_u8(&url, 0);
	curl_easy_reset(t->curl);
	curl_easy_setopt(t->curl, CURLOPT_UNIX_SOCKET_PATH, path);
	curl_easy_setopt(t->curl, CURLOPT_URL, (const char *)url.p);
	curl_easy_setopt(t->curl, CURLOPT_NOPROXY, "*");
	curl_easy_setopt(t->curl, CURLOPT_HTTPHEADER, headers);
	curl_easy_setopt(t->curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)body->n);
	curl_easy_setopt(t->curl, CURLOPT_POSTFIELDS, (const char *)body->p);
	curl_easy_setopt(t->curl, CURLOPT_WRITEFUNCTION, tools_take_answer);
	curl_easy_setopt(t->curl, CURLOPT_WRITEDATA, &answer);
	CURLcode rc = curl_easy_perform(t->curl);
	curl_easy_getinfo(t->curl, CURLINFO_RESPONSE_CODE, http);
	*out = json_loadb((const char *)answer.p, answer.n, 0, NULL);
	curl_slist_free_all(headers);
	sp_buf_free(&url);
	sp_buf_free(&answer);
	if (rc != CURLE_OK)
		return sp_fail(why, SP_AGAIN, "a replay needs the running relay, and ingest does not answer on %s: %s", path, curl_easy_strerror(rc));
	return *out ? SP_OK : sp_fail(why, SP_BAD_DATA, "ingest's answer to %s is no JSON (HTTP %ld)", id, *http);
}

static void keep(struct sums *s, const char *id, const char *reason)
{
	if (!s->kept++)
		snprintf(s->reason, sizeof s->reason, "%s: %s", id, reason);
}

/* Committed: the row goes. */
static enum sp_status settle(struct tool *t, const char *id, const json_t *did, struct sums *s, struct sp_why *why)
{
	struct pick pick = {.id = ""};
	json_t *purged = NULL;
	snprintf(pick.id, sizeof pick.id, "%s", id);
	enum sp_status status = tools_step(t, TOOLS_PURGE, &pick, "", &purged, why);
	json_decref(purged);
	s->replayed++;
	s->samples += (uint64_t)number(did, "samples");
	s->back += (uint64_t)number(did, "quarantined");
	return status;
}

static enum sp_status replay_piece(struct tool *t, const json_t *row, const char *id, struct sp_bytes piece, struct sums *s, struct sp_why *why)
{
	struct sp_buf body = {0};
	json_t *did = NULL;
	long http = 0;
	if (!make_body(row, piece, &body)) {
		keep(s, id, "it is a part of a message, or no data at all, and nothing by itself");
		return SP_OK;
	}
	enum sp_status status = post(t, row, id, &body, &did, &http, why);
	sp_buf_free(&body);
	bool found = number(did, "points") + number(did, "quarantined") + number(did, "demo") > 0;
	if (status == SP_OK && http == 200 && (found || strcmp(text_of(did, "result"), "duplicate") == 0))
		status = settle(t, id, did, s, why);
	else if (status == SP_OK && http == 503)
		status = sp_fail(why, SP_AGAIN, "not now: %s", text_of(did, "text"));
	else if (status == SP_OK)
		keep(s, id, http == 200 ? "nothing was found in it" : text_of(did, "text"));
	json_decref(did);
	return status;
}

static enum sp_status replay_row(struct tool *t, const json_t *listed, void *arg, struct sp_why *why)
{
	struct pick pick = {.id = ""};
	struct sp_buf piece = {0};
	json_t *row = NULL;
	(void)tools_id(listed, pick.id);
	enum sp_status status = tools_step(t, TOOLS_SHOW, &pick, "", &row, why);
	if (status == SP_OK && t->spool)
		status = sp_fail(why, SP_AGAIN, "a replay needs the running relay, and there is no ship");
	if (status == SP_OK)
		status = tools_body(t, pick.id, &piece, why);
	if (status == SP_OK && !json_is_true(json_object_get(row, "intact")))
		keep(arg, pick.id, "its bytes are damaged");
	else if (status == SP_OK)
		status = replay_piece(t, row, pick.id, sp_buf_view(&piece), arg, why);
	json_decref(row);
	sp_buf_free(&piece);
	return status;
}

static void print_sums(const struct tool *t, const struct sums *s)
{
	if (t->json)
		printf("{\"replayed\":%" PRIu64 ",\"samples\":%" PRIu64 ",\"quarantined\":%" PRIu64 ",\"refused\":%" PRIu64 "}\n", s->replayed,
			s->samples, s->back, s->kept);
	else
		printf("replayed %" PRIu64 " piece%s: %" PRIu64 " samples, and %" PRIu64 " pieces are in the quarantine anew\n", s->replayed,
			s->replayed == 1 ? "" : "s", s->samples, s->back);
}

enum sp_status tools_replay_quarantine(struct tool *t, struct sp_why *why)
{
	struct sums s = {0};
	enum sp_status status = tools_each(t, replay_row, &s, why);
	if (status == SP_OK || s.replayed)
		print_sums(t, &s);
	if (status == SP_OK && s.kept)
		status = sp_fail(why, SP_DENIED, "%" PRIu64 " stay where they are; %s", s.kept, s.reason);
	return status;
}
