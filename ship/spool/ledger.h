/* ledger - the keys of the deliveries that were accepted lately, in memory.
 *
 * The truth is the spool's table `accepted`; the spool fills this at start and keeps the two equal. Bounded by time only, by who
 * removes keys: 600,000 keys (a large account's three hours) take 16 MiB.
 * Any thread.
 */
#ifndef SHIP_LEDGER_H
#define SHIP_LEDGER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LEDGER_KEY_BYTES 16

struct ledger;

struct ledger *ledger_new(void);
void ledger_free(struct ledger **l);
void ledger_add(struct ledger *l, const uint8_t key[LEDGER_KEY_BYTES]);
void ledger_remove(struct ledger *l, const uint8_t key[LEDGER_KEY_BYTES]);
bool ledger_has(struct ledger *l, const uint8_t key[LEDGER_KEY_BYTES]);
size_t ledger_count(struct ledger *l);

#endif
