#include "ship/pace.h"

void budget_count(struct budget *b, int64_t now_ms, bool extra)
{
	int64_t number = now_ms / BUDGET_SLOT_MS;
	struct budget_slot *s = &b->slots[number % BUDGET_SLOTS];
	if (s->number != number)
		*s = (struct budget_slot){.number = number};
	if (extra)
		s->extra++;
	else
		s->ordinary++;
}

bool budget_allows(const struct budget *b, int64_t now_ms)
{
	unsigned ordinary = 0, extra = 0;
	for (size_t i = 0; i < BUDGET_SLOTS; i++)
		if (b->slots[i].number > now_ms / BUDGET_SLOT_MS - BUDGET_SLOTS) {
			ordinary += b->slots[i].ordinary;
			extra += b->slots[i].extra;
		}
	return extra < (ordinary > BUDGET_FLOOR ? ordinary : BUDGET_FLOOR);
}

void pace_sent(struct pace *p, int64_t now_ms)
{
	p->sent_ms[p->next] = now_ms;
	p->next = (p->next + 1) % PACE_REQUESTS;
}

int64_t pace_wait_ms(const struct pace *p, int64_t now_ms)
{
	int64_t oldest = p->sent_ms[p->next];
	return oldest > 0 && oldest + PACE_MS > now_ms ? oldest + PACE_MS - now_ms : 0;
}
