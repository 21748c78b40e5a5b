/* spool_fixture - what the tests of the spool share: a spool in a directory of its own, and steps that must succeed. */
#ifndef TESTS_SPOOL_FIXTURE_H
#define TESTS_SPOOL_FIXTURE_H

#include "common/alloc.h"
#include "ship/spool/edit.h"
#include "ship/spool/spool_impl.h"
#include "tests/lib/spool_lib.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

struct spool_fixture {
	char *dir;
	struct settings *s; /* may be changed before `opened` */
	struct spool *sp;
};

extern struct sp_why why;

int spool_set_up(void **state);
int spool_tear_down(void **state);
#define SPOOL_TEST(name) cmocka_unit_test_setup_teardown(name, spool_set_up, spool_tear_down)

void opened(struct spool_fixture *f);
void closed(struct spool_fixture *f);
/* Each in a transaction of its own. */
enum store_result stored(struct spool *sp, const struct store_request *r);
enum store_result stored_number(struct spool *sp, uint64_t n, size_t size); /* delivery_init */
void settled(struct spool *sp, const struct batch *b, size_t n, uint64_t delivered, const struct dead_letter *dead, size_t n_dead);
size_t listed(struct spool *sp, uint32_t dest, uint32_t shard, struct batch *out, size_t max);
/* The payload of the batch, which is the caller's; NULL: it is damaged or gone. */
struct payload *payload_read(struct spool *sp, const struct batch *b);
/* What one step did: of the dead letters, or of all rows of a destination in a table. */
struct edit replay_all(struct spool *sp);
struct edit purge_all(struct spool *sp, enum inspect_table table, const char *destination);
void assert_books(struct spool *sp);
/* Changes the closed file as somebody with an editor would. */
void edit(struct spool_fixture *f, const char *sql);

#define QUEUED_BYTES (4 * (1000 + BATCH_ROW_BYTES)) /* what a delivery of slices of 1,000 bytes takes of a queue */

#endif
