/* keys - the access keys that may deliver: several at a time, so that they can be rotated.
 *
 * Only digests are kept. A presented key is compared with all of them, each in constant time, and only the key's name leaves this
 * module. Files are looked at again by keys_poll; one that cannot be read keeps its former key and is logged once. One thread.
 */
#ifndef INGEST_KEYS_H
#define INGEST_KEYS_H

#include "common/conf.h"

#define ACCESS_KEY_MAX 4096 /* AWS' limit */

struct keys;

/* SP_CONFIG when a file cannot be read or holds no usable key. The settings must outlive it. */
SP_CHECKED enum sp_status keys_new(const struct settings *s, struct keys **out, struct sp_why *why);
void keys_free(struct keys **k);
void keys_poll(struct keys *k);
/* No key at all is configured: everybody may deliver. */
bool keys_none(const struct keys *k);
/* The name of the key, or NULL. Lives as long as the settings. */
const char *keys_find(const struct keys *k, struct sp_bytes presented);

#endif
