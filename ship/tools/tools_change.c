/* purge and replay: what changes the spool, in steps of one transaction each. */
#include "ship/tools/tools_impl.h"

#include "common/clock.h"

#include <inttypes.h>
#include <stdio.h>

const char *tools_thing(enum inspect_table t, uint64_t n)
{
	static const char *const words[INSPECT_TABLES][2] = {
		{"batches", "batch"}, {"pieces", "piece"}, {"dead letters", "dead letter"}};
	return words[t][n == 1];
}

struct sum {
	uint64_t rows, samples, refused;
	char refusal[256];
};

static uint64_t number(const json_t *o, const char *name)
{
	return (uint64_t)json_integer_value(json_object_get(o, name));
}

/* All steps of one pick. */
static enum sp_status change(struct tool *t, enum tools_verb verb, const struct pick *pick, struct sum *sum, struct sp_why *why)
{
	char after[64] = "";
	bool more = true;
	enum sp_status status = SP_OK;
	while (more && status == SP_OK) {
		json_t *did = NULL;
		status = tools_step(t, verb, pick, after, &did, why);
		if (status != SP_OK)
			break;
		const char *last = json_string_value(json_object_get(did, "last"));
		const char *refusal = json_string_value(json_object_get(did, "refusal"));
		if (!sum->refused && refusal)
			snprintf(sum->refusal, sizeof sum->refusal, "%s", refusal);
		sum->rows += number(did, "rows");
		sum->samples += number(did, "samples");
		sum->refused += number(did, "refused");
		snprintf(after, sizeof after, "%s", last ? last : "");
		more = json_is_true(json_object_get(did, "more"));
		json_decref(did);
	}
	return status;
}

static enum sp_status change_all(struct tool *t, enum tools_verb verb, struct sum *sum, struct sp_why *why)
{
	if (!t->n_ids)
		return change(t, verb, &t->pick, sum, why);
	enum sp_status status = SP_OK;
	for (size_t i = 0; i < t->n_ids && status == SP_OK; i++) {
		struct pick pick = {.id = ""};
		uint64_t before = sum->rows + sum->refused;
		snprintf(pick.id, sizeof pick.id, "%s", t->ids[i]);
		status = change(t, verb, &pick, sum, why);
		if (status == SP_OK && sum->rows + sum->refused == before)
			status = sp_fail(why, SP_NOT_FOUND, "there is no %s: it may have been sent, replayed, purged or have expired", t->ids[i]);
	}
	return status;
}

static void print_sum(const struct tool *t, const char *done, const struct sum *sum, const char *words)
{
	if (t->json) {
		json_t *o = json_pack("{sI sI sI}", done, (json_int_t)sum->rows, "samples", (json_int_t)sum->samples, "refused",
			(json_int_t)sum->refused);
		json_dumpf(o, stdout, JSON_COMPACT);
		json_decref(o);
		putchar('\n');
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
	sum->samples += number(row, "samples");
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

enum sp_status tools_replay(struct tool *t, struct sp_why *why)
{
	int64_t now_ms = sp_wall_ms();
	if (!t->pick.before_ms || t->pick.before_ms > now_ms)
		t->pick.before_ms = now_ms; /* not those that come back from this */
	if (t->table == INSPECT_QUARANTINE)
		return tools_replay_quarantine(t, why);
	struct sum sum = {0};
	enum sp_status status = change_all(t, TOOLS_REPLAY, &sum, why);
	if (status == SP_OK || sum.rows)
		print_sum(t, "replayed", &sum, sum.rows ? "; they wait in the spool, to be sent after what waits there already" : "");
	if (status == SP_OK && sum.refused)
		status = sp_fail(why, SP_DENIED, "%" PRIu64 " stay where they are; %s", sum.refused, sum.refusal);
	return status;
}
