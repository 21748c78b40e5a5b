/* children - the role processes of `standpipe run`: started, watched, started again with back-off, stopped in order.
 *
 * Each gets only its own part of the configuration, as a sealed view on descriptor 3, an almost empty environment, no new privileges, and
 * dies with its parent. A child that ends with 78 (its configuration cannot work) ends everything. This process never uses ZeroMQ.
 * One thread, the loop's.
 */
#ifndef CLI_CHILDREN_H
#define CLI_CHILDREN_H

#include "common/conf.h"
#include "common/loop.h"

struct children;

struct child_report {
	const char *name; /* "ship", "convert-0", "ingest" */
	const char *role;
	const char *socket; /* file name of its admin socket in runtime.dir */
	int worker;         /* -1: none */
	int pid;            /* 0: not running now */
	int64_t up_ms;
	unsigned restarts;
};

/* over is called when all have ended after children_stop, or when one cannot work at all: exit_code says how to end. */
SP_CHECKED enum sp_status children_new(struct sp_loop *l, const struct conf *c, const struct settings *s, const char *libexec,
	void (*over)(void *arg, int exit_code), void *arg, struct children **out, struct sp_why *why);
void children_free(struct children **ch);
/* SIGTERM to ingest (it drains), then to the workers, then to ship; SIGKILL to who takes too long. */
void children_stop(struct children *ch);
/* A new, checked configuration. A role whose part has changed is restarted (convert, ship, ingest, one after another, each draining);
 * the others get SIGHUP. A role that then ends with 78 goes back to its former part. The number of workers does not change. */
SP_CHECKED enum sp_status children_reload(struct children *ch, const struct conf *c, struct sp_why *why);

size_t children_count(const struct children *ch);
void children_report(const struct children *ch, size_t i, struct child_report *out);

#endif
