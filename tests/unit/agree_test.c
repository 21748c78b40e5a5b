/* agree_test otlp|cwjson|envelope [INPUTS] - the decoders against those of others (tests/lib/agree.h), on inputs from a grammar and then
 * damaged, until so many were accepted by both. STANDPIPE_SEED is another seed than the usual one; ./dev test shows the line that is printed. */
#include "tests/lib/agree.h"

#include "tests/lib/grammar.h"
#include "tests/lib/input_lib.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define INPUTS 100000
#define SEED 20221125
#define DAMAGED 2  /* copies of each */
#define ROOM 64    /* by which damage may lengthen */
#define LEAST 8    /* of so many inputs at least one must be accepted by both, else the grammar is no good */

static const struct pair {
	const char *name, *other;
	void (*make)(struct sp_buf *out, uint64_t *seed);
	enum agree (*agree)(struct sp_bytes in, uint64_t *points);
} pairs[] = {{"otlp", "protobuf-c", grammar_otlp, agree_otlp}, {"cwjson", "jansson", grammar_cwjson, agree_cwjson},
	{"envelope", "jansson", grammar_envelope, agree_envelope}};

int main(int argc, char **argv)
{
	const char *other_seed = getenv("STANDPIPE_SEED");
	uint64_t seed = other_seed ? strtoull(other_seed, NULL, 10) | 1 : SEED, first = seed, points = 0, inputs = 0, counts[AGREE_RESULTS] = {0};
	uint64_t wanted = argc > 2 ? strtoull(argv[2], NULL, 10) : INPUTS;
	const struct pair *p = NULL;
	struct sp_buf whole = {0}, damaged = {0};
	for (size_t i = 0; argc > 1 && i < sizeof pairs / sizeof *pairs; i++)
		p = strcmp(argv[1], pairs[i].name) == 0 ? &pairs[i] : p;
	if (!p)
		return 64;
	for (; counts[AGREE_ACCEPTED] < wanted && inputs < LEAST * wanted; inputs += 1 + DAMAGED) {
		sp_buf_clear(&whole);
		p->make(&whole, &seed);
		counts[p->agree(sp_buf_view(&whole), &points)]++;
		for (size_t k = 0; k < DAMAGED; k++) {
			sp_buf_clear(&damaged);
			sp_buf_add(&damaged, sp_buf_view(&whole));
			if (!sp_buf_room(&damaged, ROOM))
				return 1;
			for (size_t m = 0; m <= k; m++)
				damaged.n = input_mutate(damaged.p, damaged.n, damaged.cap, &seed);
			counts[p->agree(sp_buf_view(&damaged), &points)]++;
		}
	}
	sp_buf_free(&whole);
	sp_buf_free(&damaged);
	printf("agree: %s and %s: %" PRIu64 " inputs accepted by both (%" PRIu64 " %s read alike), %" PRIu64 " refused by both, of %" PRIu64 "; seed %" PRIu64 "\n",
		p->name, p->other, counts[AGREE_ACCEPTED], points, p->agree == agree_envelope ? "records" : "points", counts[AGREE_REFUSED], inputs, first);
	for (size_t i = AGREE_REFUSED + 1; i < AGREE_RESULTS; i++)
		if (counts[i])
			printf("agree: %s by design: %" PRIu64 " x %s\n", p->name, counts[i], agree_text[i]);
	return counts[AGREE_ACCEPTED] >= wanted ? 0 : 1;
}
