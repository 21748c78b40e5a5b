#include "ship/backoff.h"

static int64_t least(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

int64_t backoff_fail(
    struct backoff *b, const struct backoff_limits *l, enum backoff_kind kind, int64_t retry_after_ms, double random)
{
	const int64_t first[BACKOFF_KINDS] = {[BACKOFF_ANSWERED] = l->min_ms * 5 / 2,
	    [BACKOFF_UNREACHABLE] = l->min_ms,
	    [BACKOFF_PAUSED] = l->probe_min_ms};
	const int64_t last[BACKOFF_KINDS] = {[BACKOFF_ANSWERED] = l->max_ms,
	    [BACKOFF_UNREACHABLE] = l->unreachable_max_ms,
	    [BACKOFF_PAUSED] = l->probe_max_ms};

	int64_t wait = b->next_ms && b->kind == kind ? b->next_ms : first[kind];
	wait = least(wait, last[kind]);
	b->kind = kind;
	b->next_ms = least(wait * 2, last[kind]);
	b->allowed = 1;

	int64_t jittered = wait + (int64_t)((double)wait * (random * 0.2 - 0.1));
	int64_t asked = least(retry_after_ms, l->retry_after_max_ms);
	return jittered > asked ? jittered : asked;
}

void backoff_succeed(struct backoff *b, unsigned most)
{
	unsigned allowed = b->allowed ? b->allowed * 2 : 2;
	b->next_ms = 0;
	b->allowed = allowed < most ? allowed : most;
}
