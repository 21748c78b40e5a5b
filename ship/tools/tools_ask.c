/* Questions of the tools: the running ship answers them, or, when none runs, the files do. */
#include "ship/tools/tools_impl.h"

#include "common/alloc.h"
#include "ship/spool/inspect.h"

#include <inttypes.h>
#include <stdio.h>

static size_t take_answer(char *p, size_t size, size_t n, void *arg)
{
	struct sp_buf *out = arg;
	sp_buf_add(out, sp_bytes(p, size * n));
	return sp_buf_ok(out) ? size * n : 0;
}

enum sp_status tools_http(struct tool *t, const char *socket, const struct sp_buf *url, struct sp_bytes body, struct sp_buf *answer,
	long *http, struct sp_why *why)
{
	struct curl_slist *headers = curl_slist_append(NULL, "Expect:");
	char path[256];
	snprintf(path, sizeof path, "%s/%s", t->settings->runtime_dir, socket);
	curl_easy_reset(t->curl);
	curl_easy_setopt(t->curl, CURLOPT_UNIX_SOCKET_PATH, path);
	curl_easy_setopt(t->curl, CURLOPT_URL, (const char *)url->p);
	curl_easy_setopt(t->curl, CURLOPT_NOPROXY, "*");
	curl_easy_setopt(t->curl, CURLOPT_HTTPHEADER, headers);
	curl_easy_setopt(t->curl, CURLOPT_WRITEFUNCTION, take_answer);
	curl_easy_setopt(t->curl, CURLOPT_WRITEDATA, answer);
	if (body.p) {
		curl_easy_setopt(t->curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)body.n);
		curl_easy_setopt(t->curl, CURLOPT_POSTFIELDS, (const char *)body.p);
	}
	CURLcode rc = curl_easy_perform(t->curl);
	curl_easy_getinfo(t->curl, CURLINFO_RESPONSE_CODE, http);
	curl_slist_free_all(headers);
	if (rc == CURLE_OK)
		return SP_OK;
	return sp_fail(why, rc == CURLE_COULDNT_CONNECT ? SP_AGAIN : SP_IO, "%s: %s", path, curl_easy_strerror(rc));
}

void tools_add_param(struct tool *t, struct sp_buf *url, const char *name, const char *value)
{
	char *escaped = *value ? curl_easy_escape(t->curl, value, 0) : NULL;
	if (escaped)
		sp_buf_printf(url, "&%s=%s", name, escaped);
	curl_free(escaped);
}

/* SP_AGAIN: there is no ship. */
static enum sp_status ask_ship(
	struct tool *t, enum tools_verb verb, const struct pick *pick, const char *after, struct sp_buf *out, struct sp_why *why)
{
	struct sp_buf url = {0};
	long http = 0;
	sp_buf_printf(&url, "http://ship/%s/%s?before=%" PRId64, inspect_name(t->table), tools_verbs[verb], pick->before_ms);
	tools_add_param(t, &url, "id", pick->id);
	tools_add_param(t, &url, "reason", pick->reason);
	tools_add_param(t, &url, "key", pick->key);
	tools_add_param(t, &url, "destination", pick->destination);
	tools_add_param(t, &url, "after", after);
	sp_buf_u8(&url, 0);
	struct sp_bytes body = verb >= TOOLS_PURGE ? SP_LIT("") : (struct sp_bytes){0};
	enum sp_status status = tools_http(t, TOOLS_SOCKET, &url, body, out, &http, why);
	sp_buf_free(&url);
	if (status != SP_OK || http == 200)
		return status;
	return sp_fail(why, http == 404 ? SP_NOT_FOUND : SP_BAD_DATA, "%.*s", (int)out->n, (const char *)out->p);
}

static enum sp_status open_files(struct tool *t, bool to_write, struct sp_why *why)
{
	struct sp_why second;
	if (t->spool && (t->may_write || !to_write))
		return SP_OK;
	if (t->spool && spool_close(&t->spool, &second) != SP_OK)
		return sp_fail(why, SP_IO, "%s", second.text);
	enum sp_status status = to_write ? spool_exists(t->settings, why) : SP_OK;
	if (status == SP_OK)
		status = to_write ? spool_open(t->settings, &t->spool, why) : spool_open_to_read(t->settings, &t->spool, why);
	t->may_write = to_write;
	return status;
}

/* One step in a transaction of its own. */
static enum sp_status edit_files(
	struct tool *t, enum tools_verb verb, const struct pick *pick, const char *after, struct sp_buf *out, struct sp_why *why)
{
	struct edit e = tools_edit(t->table, verb, pick, after);
	spool_begin(t->spool);
	edit_run(t->spool, &e, NULL, NULL, NULL);
	enum sp_status status = spool_commit(t->spool, why);
	if (status != SP_OK) {
		spool_rollback(t->spool);
		return status;
	}
	tools_edit_json(&e, out);
	*why = e.why;
	return e.status;
}

static enum sp_status answer(
	struct tool *t, enum tools_verb verb, const struct pick *pick, const char *after, struct sp_buf *out, struct sp_why *why)
{
	sp_buf_clear(out);
	enum sp_status status = t->spool ? SP_AGAIN : ask_ship(t, verb, pick, after, out, why);
	if (status != SP_AGAIN)
		return status;
	status = open_files(t, verb >= TOOLS_PURGE, why);
	if (status != SP_OK)
		return status;
	return verb >= TOOLS_PURGE ? edit_files(t, verb, pick, after, out, why)
				   : tools_look(t->spool, t->table, verb, pick, after, out, why);
}

enum sp_status tools_step(
	struct tool *t, enum tools_verb verb, const struct pick *pick, const char *after, json_t **out, struct sp_why *why)
{
	struct sp_buf text = {0};
	enum sp_status status = answer(t, verb, pick, after, &text, why);
	if (status == SP_OK && !(*out = sp_json_read(sp_buf_view(&text))))
		status = sp_fail(why, SP_BAD_DATA, "ship's answer is no JSON");
	sp_buf_free(&text);
	return status;
}

struct pick tools_pick(const char *id)
{
	struct pick pick = {.id = ""};
	snprintf(pick.id, sizeof pick.id, "%s", id);
	return pick;
}

enum sp_status tools_row(struct tool *t, const char *id, json_t **row, struct sp_buf *body, struct sp_why *why)
{
	struct pick pick = tools_pick(id);
	enum sp_status status = tools_step(t, TOOLS_SHOW, &pick, "", row, why);
	return status == SP_OK ? answer(t, TOOLS_BODY, &pick, "", body, why) : status;
}

/* ---- rows ---- */

const char *tools_id(const json_t *row, char out[64])
{
	if (json_is_integer(json_object_get(row, "id")))
		snprintf(out, 64, "%" PRId64, sp_json_number(row, "id"));
	else
		snprintf(out, 64, "%s", sp_json_text(row, "id"));
	return out;
}

static enum sp_status each_id(struct tool *t, tools_row_fn fn, void *arg, struct sp_why *why)
{
	enum sp_status status = SP_OK;
	for (size_t i = 0; i < t->n_ids && status == SP_OK; i++) {
		struct pick pick = tools_pick(t->ids[i]);
		json_t *row = NULL;
		status = tools_step(t, TOOLS_SHOW, &pick, "", &row, why);
		if (status == SP_OK)
			status = fn(t, row, arg, why);
		json_decref(row);
	}
	return status;
}

enum sp_status tools_each(struct tool *t, tools_row_fn fn, void *arg, struct sp_why *why)
{
	char after[64] = "";
	enum sp_status status = SP_OK;
	size_t n = INSPECT_PAGE_ROWS, i;
	if (t->n_ids)
		return each_id(t, fn, arg, why);
	while (n == INSPECT_PAGE_ROWS && status == SP_OK) {
		json_t *rows = NULL, *row;
		status = tools_step(t, TOOLS_LS, &t->pick, after, &rows, why);
		n = json_array_size(rows);
		json_array_foreach(rows, i, row)
		{
			if (status == SP_OK)
				status = fn(t, row, arg, why);
			tools_id(row, after);
		}
		json_decref(rows);
	}
	return status;
}
