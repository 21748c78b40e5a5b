/* Questions of the tools: the running ship answers them, or, when none runs, the files do. */
#include "ship/tools/tools_impl.h"

#include "common/alloc.h"
#include "ship/spool/inspect.h"

#include <inttypes.h>
#include <stdio.h>

size_t tools_take_answer(char *p, size_t size, size_t n, void *arg)
{
	struct sp_buf *out = arg;
	sp_buf_add(out, sp_bytes(p, size * n));
	return sp_buf_ok(out) ? size * n : 0;
}

void tools_add_param(struct tool *t, struct sp_buf *url, const char *name, const char *value)
{
	char *escaped = *value ? curl_easy_escape(t->curl, value, 0) : NULL;
	if (escaped)
		sp_buf_printf(url, "&%s=%s", name, escaped);
	curl_free(escaped);
}

static void make_url(
	struct tool *t, enum tools_verb verb, const struct pick *pick, const char *after, struct sp_buf *url)
{
	sp_buf_printf(url, "http://ship/%s/%s?before=%" PRId64, inspect_name(t->table), tools_verbs[verb], pick->before_ms);
	tools_add_param(t, url, "id", pick->id);
	tools_add_param(t, url, "reason", pick->reason);
	tools_add_param(t, url, "key", pick->key);
	tools_add_param(t, url, "destination", pick->destination);
	tools_add_param(t, url, "after", after);
	sp_buf_u8(url, 0);
}

/* SP_AGAIN: there is no ship. */
static enum sp_status ask_ship(
	struct tool *t, enum tools_verb verb, const struct pick *pick, const char *after, struct sp_buf *out, struct sp_why *why)
{
	struct sp_buf url = {0};
	char path[256];
	long http = 0;
	snprintf(path, sizeof path, "%s/%s", t->settings->runtime_dir, TOOLS_SOCKET);
	make_url(t, verb, pick, after, &url);
	curl_easy_reset(t->curl);
	curl_easy_setopt(t->curl, CURLOPT_UNIX_SOCKET_PATH, path);
	curl_easy_setopt(t->curl, CURLOPT_URL, (const char *)url.p);
	curl_easy_setopt(t->curl, CURLOPT_NOPROXY, "*");
	curl_easy_setopt(t->curl, CURLOPT_WRITEFUNCTION, tools_take_answer);
	curl_easy_setopt(t->curl, CURLOPT_WRITEDATA, out);
	if (verb >= TOOLS_PURGE)
		curl_easy_setopt(t->curl, CURLOPT_POSTFIELDS, "");
	CURLcode rc = curl_easy_perform(t->curl);
	sp_buf_free(&url);
	if (rc == CURLE_COULDNT_CONNECT)
		return sp_fail(why, SP_AGAIN, "no ship answers on %s", path);
	if (rc != CURLE_OK)
		return sp_fail(why, SP_IO, "%s: %s", path, curl_easy_strerror(rc));
	curl_easy_getinfo(t->curl, CURLINFO_RESPONSE_CODE, &http);
	if (http == 200)
		return SP_OK;
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
	struct edit e = {.verb = verb == TOOLS_PURGE ? EDIT_PURGE : EDIT_REPLAY, .table = t->table, .pick = *pick};
	snprintf(e.after, sizeof e.after, "%s", after);
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

enum sp_status tools_body(struct tool *t, const char *id, struct sp_buf *out, struct sp_why *why)
{
	struct pick pick = {.id = ""};
	snprintf(pick.id, sizeof pick.id, "%s", id);
	return answer(t, TOOLS_BODY, &pick, "", out, why);
}

static enum sp_status parse(const struct sp_buf *text, json_t **out, struct sp_why *why)
{
	*out = json_loadb((const char *)text->p, text->n, 0, NULL);
	return *out ? SP_OK : sp_fail(why, SP_BAD_DATA, "ship's answer is no JSON");
}

enum sp_status tools_step(
	struct tool *t, enum tools_verb verb, const struct pick *pick, const char *after, json_t **out, struct sp_why *why)
{
	struct sp_buf text = {0};
	enum sp_status status = answer(t, verb, pick, after, &text, why);
	if (status == SP_OK)
		status = parse(&text, out, why);
	sp_buf_free(&text);
	return status;
}

const char *tools_id(const json_t *row, char out[64])
{
	const json_t *id = json_object_get(row, "id");
	if (json_is_integer(id))
		snprintf(out, 64, "%" PRId64, (int64_t)json_integer_value(id));
	else
		snprintf(out, 64, "%s", json_is_string(id) ? json_string_value(id) : "");
	return out;
}

static enum sp_status each_id(struct tool *t, tools_row_fn fn, void *arg, struct sp_why *why)
{
	enum sp_status status = SP_OK;
	for (size_t i = 0; i < t->n_ids && status == SP_OK; i++) {
		struct pick pick = {.id = ""};
		json_t *row = NULL;
		snprintf(pick.id, sizeof pick.id, "%s", t->ids[i]);
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
