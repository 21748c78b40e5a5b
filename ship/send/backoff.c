#include "ship/send/backoff.h"

static int64_t least(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

int64_t backoff_fail(
    struct backoff *b, const struct dest_settings *s, enum backoff_kind kind, int64_t retry_after_ms, double random)
{
	const int64_t first[BACKOFF_KINDS] = {[BACKOFF_ANSWERED] = s->backoff_min * 5 / 2,
	    [BACKOFF_UNREACHABLE] = s->backoff_min,
	    [BACKOFF_PAUSED] = s->probe_min};
	const int64_t last[BACKOFF_KINDS] = {[BACKOFF_ANSWERED] = s->backoff_max,
	    [BACKOFF_UNREACHABLE] = s->backoff_unreachable_max,
	    [BACKOFF_PAUSED] = s->probe_max};

	int64_t wait = b->next_ms && b->kind == kind ? b->next_ms : first[kind];
	wait = least(wait, last[kind]);
	b->kind = kind;
	b->next_ms = least(wait * 2, last[kind]);
	b->allowed = 1;

	int64_t jittered = wait + (int64_t)((double)wait * (random * 0.2 - 0.1));
	int64_t asked = least(retry_after_ms, s->retry_after_max);
	return jittered > asked ? jittered : asked;
}

void backoff_succeed(struct backoff *b, unsigned most)
{
	unsigned allowed = b->allowed ? b->allowed * 2 : 2;
	b->next_ms = 0;
	b->allowed = allowed < most ? allowed : most;
}
