/* tools_impl - what the files of the tools share: tools.c (the command line), tools_ask.c (questions to a ship, or to the files),
 * tools_show.c (ls, show, export), tools_change.c (purge, replay), tools_serve.c (ship's side). Nobody else includes this.
 */
#ifndef SHIP_TOOLS_IMPL_H
#define SHIP_TOOLS_IMPL_H

#include "common/conf.h"
#include "common/json.h"
#include "ship/spool/edit.h"
#include "ship/tools/tools.h"

#include <curl/curl.h>

/* Questions, and what they are called in paths. From TOOLS_PURGE on they change the spool. */
enum tools_verb { TOOLS_LS, TOOLS_SHOW, TOOLS_BODY, TOOLS_PURGE, TOOLS_REPLAY, TOOLS_VERBS };
extern const char *const tools_verbs[TOOLS_VERBS];

struct tool {
	const char *noun;
	enum inspect_table table;
	struct settings *settings;
	CURL *curl;
	struct spool *spool; /* opened when no ship runs */
	bool may_write;      /* how it was opened */
	bool json, raw, all, yes;
	struct pick pick;
	char **ids;
	size_t n_ids;
};

/* ---- tools_serve.c: the answer to one question, from an open spool ---- */
SP_CHECKED enum sp_status tools_look(struct spool *sp, enum inspect_table t, enum tools_verb verb, const struct pick *pick,
	const char *after, struct sp_buf *out, struct sp_why *why);
/* A step of a purge or a replay, and what it did, as JSON. */
struct edit tools_edit(enum inspect_table t, enum tools_verb verb, const struct pick *pick, const char *after);
void tools_edit_json(const struct edit *e, struct sp_buf *out);

/* ---- tools_ask.c ---- */
struct pick tools_pick(const char *id);
/* The answer to one question: rows, a row, or what one step of a purge or a replay did. *out is the caller's (json_decref). */
SP_CHECKED enum sp_status tools_step(
	struct tool *t, enum tools_verb verb, const struct pick *pick, const char *after, json_t **out, struct sp_why *why);
/* A row and its bytes, which are the caller's also after a failure. */
SP_CHECKED enum sp_status tools_row(struct tool *t, const char *id, json_t **row, struct sp_buf *body, struct sp_why *why);
typedef enum sp_status (*tools_row_fn)(struct tool *t, const json_t *row, void *arg, struct sp_why *why);
/* Calls fn for every row that is meant, in order, until it fails: those with the ids given, else those of the pick. */
SP_CHECKED enum sp_status tools_each(struct tool *t, tools_row_fn fn, void *arg, struct sp_why *why);
/* A GET over a socket of runtime.dir, or a POST of the body when that has an address. SP_AGAIN: nobody answers. */
SP_CHECKED enum sp_status tools_http(struct tool *t, const char *socket, const struct sp_buf *url, struct sp_bytes body,
	struct sp_buf *answer, long *http, struct sp_why *why);
/* Appends &name=value to a URL, unless the value is "". */
void tools_add_param(struct tool *t, struct sp_buf *url, const char *name, const char *value);
const char *tools_id(const json_t *row, char out[64]);

/* ---- tools_show.c ---- */
SP_CHECKED enum sp_status tools_list(struct tool *t, struct sp_why *why);
SP_CHECKED enum sp_status tools_show(struct tool *t, struct sp_why *why);
SP_CHECKED enum sp_status tools_export(struct tool *t, struct sp_why *why);

/* ---- tools_change.c ---- */
/* What n rows are called. */
const char *tools_thing(enum inspect_table t, uint64_t n);
SP_CHECKED enum sp_status tools_purge(struct tool *t, struct sp_why *why);
SP_CHECKED enum sp_status tools_replay(struct tool *t, struct sp_why *why);

#endif
