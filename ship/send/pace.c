#include "ship/send/pace.h"

static struct budget_slot *slot_of(struct budget *b, int64_t now_ms)
{
	int64_t number = now_ms / BUDGET_SLOT_MS;
	struct budget_slot *s = &b->slots[number % BUDGET_SLOTS];
	if (s->number != number)
		*s = (struct budget_slot){.number = number};
	return s;
}

void budget_arrived(struct budget *b, int64_t now_ms)
{
	struct budget_slot *s = slot_of(b, now_ms);
	s->arrived += s->arrived < PACE_REQUESTS * BUDGET_SLOT_MS / PACE_MS;
}

void budget_spend(struct budget *b, int64_t now_ms)
{
	slot_of(b, now_ms)->spent++;
}

bool budget_allows(const struct budget *b, int64_t now_ms)
{
	unsigned arrived = 0, spent = 0, now = 0;
	for (size_t i = 0; i < BUDGET_SLOTS; i++)
		if (b->slots[i].number > now_ms / BUDGET_SLOT_MS - BUDGET_SLOTS) {
			arrived += b->slots[i].arrived;
			if (b->slots[i].number == now_ms / BUDGET_SLOT_MS)
				now = b->slots[i].spent;
			else
				spent += b->slots[i].spent;
		}
	unsigned all = arrived > BUDGET_FLOOR ? arrived : BUDGET_FLOOR;
	return spent < all && now * BUDGET_SHARE < all - spent;
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
