/* keys - the access keys that may deliver, and how much each may.
 *
 * A key is a name with up to ACCESS_KEYS_PER_NAME secrets, all good at once, so that one can replace another. Only digests are kept.
 * A presented secret is compared with all of them, each in constant time, and only the name leaves this module. SHA-256 without salt
 * or rounds is enough because the secrets are random (256 bits, `standpipe keys new`), not chosen by people. Files are looked at again
 * by keys_poll; one that cannot be read keeps its former secrets and is logged once. One thread.
 */
#ifndef INGEST_KEYS_H
#define INGEST_KEYS_H

#include "common/clock.h"
#include "common/conf.h"
#include "common/keys_dir.h"
#include "ingest/answer.h"

#define ACCESS_KEY_MAX 4096 /* bytes; AWS' limit */
#define ACCESS_KEYS_PER_NAME 8

struct keys;
struct key;

/* SP_CONFIG when a file cannot be read or holds no usable key. dir, from which s was made, may be NULL; of its keys such a one is only
 * logged, and tried again: one tenant's fault is not that of all. Both must outlive it. */
SP_CHECKED enum sp_status keys_new(const struct settings *s, struct keys_dir *dir, struct keys **out, struct sp_why *why);
void keys_free(struct keys **k);
/* Once a second. After it the keys found before are not valid any more. */
void keys_poll(struct keys *k);
/* No key at all is configured, and none can come: everybody may deliver. */
bool keys_none(const struct keys *k);

/* NULL: none. Until the next keys_poll. */
struct key *keys_find(const struct keys *k, struct sp_bytes presented);
struct key *keys_named(const struct keys *k, const char *name);
const char *key_name(const struct key *k);
bool key_in_dir(const struct key *k);
/* May this stream use the key? Without a list everyone may; with one, not who does not say its ARN. */
bool key_allows(const struct key *k, struct sp_bytes source_arn);
/* Is there something left of the key's quotas for one more delivery? REFUSE_NOTHING, or REFUSE_RATE or REFUSE_QUOTA: counted, logged
 * when it begins and when there has been none for a minute. */
enum refusal key_limits(struct key *k, struct sp_mono now);
/* Takes this from the quotas of the key of that name, if it still is there; they may end below zero, so that the next ones wait. */
void keys_charge(struct keys *k, const char *name, size_t deliveries, size_t bytes);

#endif
