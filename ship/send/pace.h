/* pace - how many requests a destination gets: two counts over time. Pure; times are monotonic milliseconds.
 *
 * budget: requests that only narrow a refused batch down stay, over five minutes, below the batches that arrived
 * (ordinarily a request each, and 20 a second at most), or below one a second; half a minute takes a third of what is
 * left, so that there is always something. pace: above 20 requests a second small ones wait for more data, up to a
 * second.
 */
#ifndef SHIP_PACE_H
#define SHIP_PACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define BUDGET_SLOTS 10
#define BUDGET_SLOT_MS 30000
#define BUDGET_FLOOR 300
#define BUDGET_SHARE 3
#define PACE_REQUESTS 20
#define PACE_MS 1000

struct budget {
	struct budget_slot {
		int64_t number; /* time / BUDGET_SLOT_MS */
		unsigned arrived, spent;
	} slots[BUDGET_SLOTS];
};

void budget_arrived(struct budget *b, int64_t now_ms);
void budget_spend(struct budget *b, int64_t now_ms);
bool budget_allows(const struct budget *b, int64_t now_ms);

struct pace {
	int64_t sent_ms[PACE_REQUESTS]; /* of the last requests, a ring; 0: none yet */
	size_t next;
};

void pace_sent(struct pace *p, int64_t now_ms);
/* How long until fewer than PACE_REQUESTS were sent in the last PACE_MS; 0: now. */
int64_t pace_wait_ms(const struct pace *p, int64_t now_ms);

#endif
