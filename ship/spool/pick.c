#include "ship/spool/pick.h"

#include <stdlib.h>

static const char *const names[INSPECT_TABLES] = {"spool", "quarantine", "deadletter"};

const char *inspect_name(enum inspect_table t)
{
	return names[t];
}

static bool id_parse(enum inspect_table t, const char *text, int64_t out[3])
{
	for (int i = 0; i < (t == INSPECT_SPOOL ? 3 : 1); i++) {
		char *end;
		if (i > 0 && *text++ != '.')
			return false;
		if (*text < '0' || *text > '9')
			return false;
		out[i] = strtoll(text, &end, 10);
		text = end;
	}
	return *text == 0;
}

static struct db_value text_or_null(const char *s)
{
	return db_text(*s ? s : NULL);
}

enum sp_status pick_values(enum inspect_table t, const struct pick *p, const char *after, size_t limit,
	struct db_value out[PICK_VALUES], struct sp_why *why)
{
	int64_t from[3] = {-1, -1, -1}, to[3] = {INT64_MAX, INT64_MAX, INT64_MAX};
	if (*after && !id_parse(t, after, from))
		return sp_fail(why, SP_BAD_DATA, "\"%s\" is no id of %s", after, names[t]);
	if (*p->id) {
		int64_t id[3] = {0};
		if (!id_parse(t, p->id, id))
			return sp_fail(why, SP_BAD_DATA, "\"%s\" is no id of %s", p->id, names[t]);
		memcpy(to, id, sizeof to);
		id[t == INSPECT_SPOOL ? 2 : 0]--;
		memcpy(from, *after ? from : id, sizeof from);
	}
	for (int i = 0; i < 3; i++) {
		out[i] = db_int(from[i]);
		out[3 + i] = db_int(to[i]);
	}
	out[6] = text_or_null(p->reason);
	out[7] = text_or_null(p->key);
	out[8] = text_or_null(p->destination);
	out[9] = p->before_ms ? db_int(p->before_ms) : db_text(NULL);
	out[10] = db_int((int64_t)limit);
	return SP_OK;
}
