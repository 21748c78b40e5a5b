#include "tests/lib/spool_fixture.h"

struct sp_why why;

int spool_set_up(void **state)
{
	struct spool_fixture *f = sp_new(struct spool_fixture);
	f->dir = spool_dir_new();
	f->s = spool_settings_new(f->dir);
	*state = f;
	return 0;
}

int spool_tear_down(void **state)
{
	struct spool_fixture *f = *state;
	if (f->sp)
		assert_int_equal(spool_close(&f->sp, &why), SP_OK);
	spool_dir_remove(f->dir);
	sp_free(f->s);
	sp_free(f);
	return 0;
}

void opened(struct spool_fixture *f)
{
	if (spool_open(f->s, &f->sp, &why) != SP_OK)
		fail_msg("open: %s", why.text);
}

void closed(struct spool_fixture *f)
{
	assert_int_equal(spool_close(&f->sp, &why), SP_OK);
}

enum store_result stored(struct spool *sp, const struct store_request *r)
{
	enum store_result result = STORE_ERROR;
	spool_begin(sp);
	spool_store(sp, r, NULL, NULL, &result);
	if (spool_commit(sp, &why) != SP_OK)
		fail_msg("store: %s", why.text);
	return result;
}

enum store_result stored_number(struct spool *sp, uint64_t n, size_t size)
{
	struct delivery d;
	delivery_init(&d, n, size);
	enum store_result result = stored(sp, &d.r);
	delivery_clear(&d);
	return result;
}

void settled(struct spool *sp, const struct batch *b, size_t n, uint64_t delivered, const struct dead_letter *dead, size_t n_dead)
{
	spool_begin(sp);
	spool_settle(sp, b, n, delivered, dead, n_dead);
	if (spool_commit(sp, &why) != SP_OK)
		fail_msg("settle: %s", why.text);
}

size_t listed(struct spool *sp, uint32_t dest, uint32_t shard, struct batch *out, size_t max)
{
	size_t n = 0;
	bool more = true;
	int64_t reached_ms;
	assert_int_equal(spool_list(sp, dest, shard, 0, max, out, &n, &more, &reached_ms, &why), SP_OK);
	return n;
}

struct payload *payload_read(struct spool *sp, const struct batch *b)
{
	struct payload *p = NULL;
	assert_int_equal(spool_read(sp, b->payload, &p, &why), SP_OK);
	return p;
}

static struct edit edited(struct spool *sp, struct edit e)
{
	spool_begin(sp);
	edit_run(sp, &e, NULL, NULL, NULL);
	assert_int_equal(spool_commit(sp, &why), SP_OK);
	return e;
}

struct edit replay_all(struct spool *sp)
{
	return edited(sp, (struct edit){.verb = EDIT_REPLAY, .table = INSPECT_DEADLETTER});
}

struct edit purge_all(struct spool *sp, enum inspect_table table, const char *destination)
{
	struct edit e = {.verb = EDIT_PURGE, .table = table};
	snprintf(e.pick.destination, sizeof e.pick.destination, "%s", destination);
	return edited(sp, e);
}

void assert_books(struct spool *sp)
{
	uint32_t wrong = 1;
	assert_int_equal(spool_check_books(sp, &wrong, &why), SP_OK);
	assert_int_equal(wrong, 0);
}

void edit(struct spool_fixture *f, const char *sql)
{
	sqlite3 *db;
	char path[512], *text = NULL;
	snprintf(path, sizeof path, "%s/spool.db", f->dir);
	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	if (sqlite3_exec(db, sql, NULL, NULL, &text) != SQLITE_OK)
		fail_msg("%s: %s", sql, text);
	sqlite3_close(db);
}
