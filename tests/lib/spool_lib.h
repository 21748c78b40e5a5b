/* spool_lib - a spool in a directory of its own, and deliveries to put into it, for the tests of the spool and its writer. */
#ifndef TESTS_SPOOL_LIB_H
#define TESTS_SPOOL_LIB_H

#include "ship/spool/spool.h"

/* Two destinations, "a" and "b", of 4 shards; everything may be changed before the spool is opened. The directory is made. */
struct settings *spool_settings_new(const char *dir);
/* Makes a directory below $TMPDIR and returns its name. */
char *spool_dir_new(void);
void spool_dir_clear(const char *dir); /* removes the files in it */
void spool_dir_remove(char *dir);
/* Of a closed spool: what is not in the first page of its row cannot be found any more. */
void spool_damage_long_rows(const char *dir);

struct delivery {
	struct store_request r;
	struct store_group group;
	struct store_slice slices[4];
	uint32_t dests[2];
	uint8_t *bytes;
};
/* Delivery number n for both destinations: four slices of `size` bytes that n decides, with 10, 11, 12 and 13 samples. */
void delivery_init(struct delivery *d, uint64_t n, size_t size);
void delivery_clear(struct delivery *d);
#define DELIVERY_SAMPLES 46

/* Is this the slice that delivery_init gave to that batch? */
bool slice_is_whole(const uint8_t *bytes, size_t n);
/* The delivery's number, from its slice's bytes. */
uint64_t slice_number(const uint8_t *bytes);

#endif
