/* source - the deliveries that `standpipe send` makes, one after another: captured bodies, or generated ones.
 *
 * Generated series are dealt out over streams; each stream sends its minutes in order. One thread.
 */
#ifndef CLI_SOURCE_H
#define CLI_SOURCE_H

#include "cli/generate.h"

#include <stdio.h>

struct source_options {
	struct generate generate;
	int64_t minutes;          /* of each series; 0: no end */
	size_t streams, records, points_per_record;
	int format;               /* enum cloudwatch_format, or -1: each record another */
	bool gzip;
	size_t pool;              /* so many bodies are made once and sent again and again; 0: each is made when its turn comes */
	size_t size;              /* one body of about so many bytes before gzip, of as many series as it needs; 0: by records */
	FILE *expected;           /* a line for every point that is handed out; may be NULL */
	char **files;             /* captured bodies instead; may be NULL */
	size_t n_files;
	bool new_id;
};

struct source_body {
	struct sp_buf bytes;
	char request_id[64];
	uint64_t points; /* 0: a captured body, nobody counted */
	uint64_t first_point; /* number of its first one, from 0, in the order they were handed out: the line of `expected` */
	bool shared;     /* the pool's: not to be freed */
};

struct source;

SP_CHECKED enum sp_status source_new(const struct source_options *o, struct source **out, struct sp_why *why);
void source_free(struct source **s);
/* The next body of a stream; SP_NOT_FOUND when it has no more. Given back with source_body_free. */
SP_CHECKED enum sp_status source_next(struct source *s, size_t stream, struct source_body *out, struct sp_why *why);
void source_body_free(struct source_body *b);

#endif
