#include "ship/spool/sources.h"

#include "common/alloc.h"
#include "common/metrics.h"
#include "ship/spool/spool_impl.h"

#include <search.h>

/* Rows of `meta`: a table of their own would be a new schema, which the previous release could not open. */
#define KEY_PREFIX "source "

struct source {
	char *arn;
	int64_t at_ms, saved_ms;
};

struct sources {
	void *by_arn; /* tsearch */
	struct source *v[SOURCES_MAX];
	size_t n;
};

static int by_arn(const void *a, const void *b)
{
	return strcmp(((const struct source *)a)->arn, ((const struct source *)b)->arn);
}

static bool is_usable(const char *arn)
{
	size_t n = 0;
	while (arn[n] > ' ' && arn[n] <= '~')
		n++;
	return arn[n] == '\0' && n > 0 && n <= SOURCE_NAME_BYTES;
}

static void show(const struct source *s)
{
	sp_metric_set(M_SOURCE_LAST_RECEIVED, SP_L(s->arn), (double)s->at_ms / 1000);
}

static void remove_at(struct sources *s, size_t i)
{
	struct source *gone = s->v[i];
	tdelete(gone, &s->by_arn, by_arn);
	sp_metric_forget(M_SOURCE_LAST_RECEIVED, SP_L(gone->arn));
	s->v[i] = s->v[--s->n];
	sp_free(gone->arn);
	sp_free(gone);
}

static struct source *add(struct sources *s, const char *arn, int64_t at_ms)
{
	for (size_t i = 0; i < s->n;)
		if (at_ms - s->v[i]->at_ms > SOURCE_FORGOTTEN_MS)
			remove_at(s, i);
		else
			i++;
	if (s->n == SOURCES_MAX || !is_usable(arn))
		return NULL;
	struct source *new = sp_new(struct source);
	*new = (struct source){.arn = sp_strdup(arn), .at_ms = at_ms};
	SP_BUG_IF(!tsearch(new, &s->by_arn, by_arn));
	return s->v[s->n++] = new;
}

enum sp_status sources_load(struct spool *sp, int64_t now_ms, struct sources **out, struct sp_why *why)
{
	struct sources *s = sp_new(struct sources);
	db_run(sp->db, "DELETE FROM meta WHERE key BETWEEN '" KEY_PREFIX "' AND '" KEY_PREFIX "~' AND value < ?1",
		DB_ARGS(db_int(now_ms - SOURCE_FORGOTTEN_MS)));
	enum sp_status status = db_end(sp->db, why);
	*out = s;
	if (status != SP_OK)
		return status == SP_FULL ? SP_OK : status;
	sqlite3_stmt *st = db_query(
		sp->db, "SELECT key, value FROM meta WHERE key BETWEEN '" KEY_PREFIX "' AND '" KEY_PREFIX "~'", DB_NO_ARGS);
	while (db_next(sp->db, st)) {
		const char *key = (const char *)sqlite3_column_text(st, 0);
		struct source *source = add(s, key + strlen(KEY_PREFIX), sqlite3_column_int64(st, 1));
		if (!source)
			continue;
		source->saved_ms = source->at_ms;
		show(source);
	}
	return db_end(sp->db, why);
}

void sources_free(struct sources **sp)
{
	struct sources *s = *sp;
	*sp = NULL;
	while (s && s->n)
		remove_at(s, s->n - 1);
	sp_free(s);
}

bool sources_seen(struct sources *s, const char *arn, int64_t at_ms)
{
	void *found = tfind(&(struct source){.arn = (char *)arn}, &s->by_arn, by_arn);
	struct source *source = found ? *(struct source **)found : add(s, arn, at_ms);
	if (!source) {
		sp_metric_add(M_METRICS_LEFT_OUT, NULL, 1);
		return false;
	}
	if (at_ms > source->at_ms)
		source->at_ms = at_ms;
	show(source);
	bool due = source->at_ms - source->saved_ms >= SOURCE_SAVED_EVERY_MS;
	if (due)
		source->saved_ms = source->at_ms;
	return due;
}

void source_write(struct spool *sp, const char *arn, int64_t at_ms)
{
	db_run(sp->db, "INSERT OR REPLACE INTO meta(key, value) VALUES ('" KEY_PREFIX "' || ?1, ?2)",
		DB_ARGS(db_text(arn), db_int(at_ms)));
}

enum sp_status sources_save(const struct sources *s, struct spool *sp, struct sp_why *why)
{
	spool_begin(sp);
	for (size_t i = 0; i < s->n; i++)
		if (s->v[i]->at_ms > s->v[i]->saved_ms)
			source_write(sp, s->v[i]->arn, s->v[i]->at_ms);
	return spool_end(sp, why);
}
