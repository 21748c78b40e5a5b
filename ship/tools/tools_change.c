/* purge and replay: what changes the spool, in steps of one transaction each. */
#include "ship/tools/tools_impl.h"

#include "common/clock.h"
#include "proto/cloudwatch.h"
#include "proto/standpipe.pb-c.h"

#include <inttypes.h>
#include <stdio.h>

const char *tools_thing(enum inspect_table t, uint64_t n)
{
	static const char *const words[INSPECT_TABLES][2] = {
		{"batches", "batch"}, {"pieces", "piece"}, {"dead letters", "dead letter"}};
	return words[t][n == 1];
}

struct sum {
	uint64_t rows, samples, quarantined; /* quarantined: pieces that are in the quarantine anew */
	uint64_t refused;
	char refusal[256]; /* why the first of them stays */
};

/* Adds what one step did. */
static void add(struct sum *sum, const json_t *did)
{
	if (!sum->refused)
		snprintf(sum->refusal, sizeof sum->refusal, "%s", sp_json_text(did, "refusal"));
	sum->rows += (uint64_t)sp_json_number(did, "rows");
	sum->samples += (uint64_t)sp_json_number(did, "samples");
	sum->refused += (uint64_t)sp_json_number(did, "refused");
}

/* All steps of one pick. */
static enum sp_status change(struct tool *t, enum tools_verb verb, const struct pick *pick, struct sum *sum, struct sp_why *why)
{
	char after[64] = "";
	for (bool more = true; more;) {
		json_t *did = NULL;
		enum sp_status status = tools_step(t, verb, pick, after, &did, why);
		if (status != SP_OK)
			return status;
		add(sum, did);
		snprintf(after, sizeof after, "%s", sp_json_text(did, "last"));
		more = sp_json_is(did, "more");
		json_decref(did);
	}
	return SP_OK;
}

static enum sp_status change_all(struct tool *t, enum tools_verb verb, struct sum *sum, struct sp_why *why)
{
	if (!t->n_ids)
		return change(t, verb, &t->pick, sum, why);
	enum sp_status status = SP_OK;
	for (size_t i = 0; i < t->n_ids && status == SP_OK; i++) {
		struct pick pick = tools_pick(t->ids[i]);
		uint64_t before = sum->rows + sum->refused;
		status = change(t, verb, &pick, sum, why);
		if (status == SP_OK && sum->rows + sum->refused == before)
			status = sp_fail(why, SP_NOT_FOUND, "there is no %s: it may have been sent, replayed, purged or have expired", t->ids[i]);
	}
	return status;
}

/* words: what else there is to say. */
static void print_sum(const struct tool *t, const char *done, const struct sum *sum, const char *words)
{
	if (t->json) {
		json_t *o = json_pack("{sI sI sI}", done, (json_int_t)sum->rows, "samples", (json_int_t)sum->samples, "refused",
			(json_int_t)sum->refused);
		if (t->table == INSPECT_QUARANTINE)
			json_object_set_new(o, "quarantined", json_integer((json_int_t)sum->quarantined));
		sp_json_print(o, JSON_COMPACT);
		return;
	}
	printf("%s %" PRIu64 " %s", done, sum->rows, tools_thing(t->table, sum->rows));
	if (t->table != INSPECT_QUARANTINE)
		printf(" with %" PRIu64 " sample%s", sum->samples, sum->samples == 1 ? "" : "s");
	printf("%s\n", words);
}

static enum sp_status count_row(struct tool *t, const json_t *row, void *arg, struct sp_why *why)
{
	struct sum *sum = arg;
	(void)t, (void)why;
	sum->rows++;
	sum->samples += (uint64_t)sp_json_number(row, "samples");
	return SP_OK;
}

enum sp_status tools_purge(struct tool *t, struct sp_why *why)
{
	struct sum sum = {0};
	enum sp_status status = t->yes ? change_all(t, TOOLS_PURGE, &sum, why) : tools_each(t, count_row, &sum, why);
	if (status == SP_OK && !t->yes && !sum.rows) {
		printf("no %s fit; nothing is purged\n", tools_thing(t->table, 0));
		return SP_OK;
	}
	if (status == SP_OK && !t->yes && t->table == INSPECT_QUARANTINE)
		return sp_fail(why, SP_DENIED, "this would purge %" PRIu64 " %s for good; add --yes to do it", sum.rows, tools_thing(t->table, sum.rows));
	if (status == SP_OK && !t->yes)
		return sp_fail(why, SP_DENIED, "this would purge %" PRIu64 " %s for good (%" PRIu64 " sample%s); add --yes to do it",
			sum.rows, tools_thing(t->table, sum.rows), sum.samples, sum.samples == 1 ? "" : "s");
	if (status == SP_OK || sum.rows)
		print_sum(t, "purged", &sum, t->table == INSPECT_QUARANTINE ? "" : ", counted as dropped");
	return status;
}

/* ---- replaying what is in the quarantine ----
 *
 * A piece goes through the running ingest and convert once more, and its row goes when that is committed. Whoever is killed in between
 * finds the row again, and the ledger finds the repeat. */

/* The body that Firehose would send for this piece; false when it is nothing by itself. */
static bool make_body(const json_t *row, struct sp_bytes piece, struct sp_buf *out)
{
	struct sp_buf framed = {0};
	struct sp_bytes record = piece;
	switch (sp_json_number(row, "form")) {
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
	cloudwatch_body(out, "replay", sp_json_number(row, "at_ms"), &record, 1);
	sp_buf_free(&framed);
	return true;
}

/* *out: what ingest says became of it. */
static enum sp_status post(
	struct tool *t, const json_t *row, const char *id, struct sp_bytes body, json_t **out, long *http, struct sp_why *why)
{
	struct sp_buf url = {0}, answer = {0};
	struct sp_why no;
	sp_buf_printf(&url, "http://ingest/replay?id=quarantine-%s-%" PRId64, id, sp_json_number(row, "at_ms"));
	tools_add_param(t, &url, "key", sp_json_text(row, "key"));
	tools_add_param(t, &url, "request_id", *sp_json_text(row, "request_id") ? sp_json_text(row, "request_id") : "replay");
	tools_add_param(t, &url, "arn", sp_json_text(row, "source_arn"));
	tools_add_param(t, &url, "attributes", sp_json_text(row, "attributes"));
	sp_buf_u8(&url, 0);
	enum sp_status status = tools_http(t, "ingest.sock", &url, body, &answer, http, &no);
	if (status != SP_OK)
		status = sp_fail(why, SP_AGAIN, "a replay needs the running relay, and ingest does not answer on %s", no.text);
	else if (!(*out = sp_json_read(sp_buf_view(&answer))))
		status = sp_fail(why, SP_BAD_DATA, "ingest's answer to %s is no JSON (HTTP %ld)", id, *http);
	sp_buf_free(&url);
	sp_buf_free(&answer);
	return status;
}

static void keep(struct sum *sum, const char *id, const char *reason)
{
	if (!sum->refused++)
		snprintf(sum->refusal, sizeof sum->refusal, "%s: %s", id, reason);
}

/* Committed: the row goes. */
static enum sp_status settle(struct tool *t, const char *id, const json_t *did, struct sum *sum, struct sp_why *why)
{
	struct pick pick = tools_pick(id);
	json_t *purged = NULL;
	enum sp_status status = tools_step(t, TOOLS_PURGE, &pick, "", &purged, why);
	json_decref(purged);
	sum->rows++;
	sum->samples += (uint64_t)sp_json_number(did, "samples");
	sum->quarantined += (uint64_t)sp_json_number(did, "quarantined");
	return status;
}

static enum sp_status replay_piece(
	struct tool *t, const json_t *row, const char *id, struct sp_bytes piece, struct sum *sum, struct sp_why *why)
{
	struct sp_buf body = {0};
	json_t *did = NULL;
	long http = 0;
	if (!make_body(row, piece, &body)) {
		keep(sum, id, "it is a part of a message, or no data at all, and nothing by itself");
		return SP_OK;
	}
	enum sp_status status = post(t, row, id, sp_buf_view(&body), &did, &http, why);
	bool found = sp_json_number(did, "points") + sp_json_number(did, "quarantined") + sp_json_number(did, "demo") > 0;
	if (status == SP_OK && http == 200 && (found || strcmp(sp_json_text(did, "result"), "duplicate") == 0))
		status = settle(t, id, did, sum, why);
	else if (status == SP_OK && http == 503)
		status = sp_fail(why, SP_AGAIN, "not now: %s", sp_json_text(did, "text"));
	else if (status == SP_OK)
		keep(sum, id, http == 200 ? "nothing was found in it" : sp_json_text(did, "text"));
	sp_buf_free(&body);
	json_decref(did);
	return status;
}

static enum sp_status replay_row(struct tool *t, const json_t *listed, void *arg, struct sp_why *why)
{
	char id[64];
	struct sp_buf piece = {0};
	json_t *row = NULL;
	enum sp_status status = tools_row(t, tools_id(listed, id), &row, &piece, why);
	if (status == SP_OK && t->spool)
		status = sp_fail(why, SP_AGAIN, "a replay needs the running relay, and there is no ship");
	if (status == SP_OK && !sp_json_is(row, "intact"))
		keep(arg, id, "its bytes are damaged");
	else if (status == SP_OK)
		status = replay_piece(t, row, id, sp_buf_view(&piece), arg, why);
	json_decref(row);
	sp_buf_free(&piece);
	return status;
}

enum sp_status tools_replay(struct tool *t, struct sp_why *why)
{
	struct sum sum = {0};
	bool pieces = t->table == INSPECT_QUARANTINE;
	char words[128] = "; they wait in the spool, to be sent after what waits there already";
	int64_t now_ms = sp_wall_ms();
	if (!t->pick.before_ms || t->pick.before_ms > now_ms)
		t->pick.before_ms = now_ms; /* not those that come back from this */
	enum sp_status status = pieces ? tools_each(t, replay_row, &sum, why) : change_all(t, TOOLS_REPLAY, &sum, why);
	if (pieces)
		snprintf(words, sizeof words, ": %" PRIu64 " samples, and %" PRIu64 " pieces are in the quarantine anew", sum.samples,
			sum.quarantined);
	if (status == SP_OK || sum.rows)
		print_sum(t, "replayed", &sum, pieces || sum.rows ? words : "");
	if (status == SP_OK && sum.refused)
		status = sp_fail(why, SP_DENIED, "%" PRIu64 " stay where they are; %s", sum.refused, sum.refusal);
	return status;
}
