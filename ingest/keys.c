#include "ingest/keys.h"

#include "common/alloc.h"
#include "common/log.h"
#include "common/metrics.h"
#include "common/watch.h"

#include <openssl/crypto.h>
#include <openssl/sha.h>

#define BURST_SECONDS 60 /* what a quota holds: Firehose comes in bursts, once a minute or so */
#define CALM_MS 60000	 /* so long without a refusal, and it is said that a quota is kept again */
#define ARN_MAX 2048

enum { DELIVERIES, BYTES, QUOTAS };

struct quota {
	double left; /* below zero: in debt */
	int64_t at_ms; /* of `left`; 0: never used, so full */
	int64_t refused_ms; /* the last time; 0: kept */
	uint64_t refused;
};

struct key {
	const struct key_settings *settings;
	uint8_t digests[ACCESS_KEYS_PER_NAME][SHA256_DIGEST_LENGTH];
	size_t n_digests;
	struct sp_watch seen;
	bool reported;
	struct quota quotas[QUOTAS];
};

struct keys {
	struct key *v;
	size_t n;
	struct keys_dir *dir;
	struct settings *settings; /* from the directory; NULL: still those of the start, which are not ours */
};

static const struct {
	const char *name;
	enum refusal refusal;
} quotas[QUOTAS] = {{"rate", REFUSE_RATE}, {"bytes_per_second", REFUSE_QUOTA}};

/* ---- secrets ---- */

static enum sp_status take_secret(struct key *k, struct sp_bytes secret, const char *where, struct sp_why *why)
{
	if (secret.n && secret.p[secret.n - 1] == '\r')
		secret.n--;
	secret = sp_trim(secret); /* HTTP strips blanks around a header's value, so they cannot count here either */
	if (secret.n == 0)
		return SP_OK;
	if (secret.n > ACCESS_KEY_MAX)
		return sp_fail(why, SP_CONFIG, "keys.%s: %s holds more than %d bytes, which Firehose cannot send", k->settings->name,
			where, ACCESS_KEY_MAX);
	if (k->n_digests == ACCESS_KEYS_PER_NAME)
		return sp_fail(why, SP_CONFIG, "keys.%s: %s holds more than %d keys", k->settings->name, where, ACCESS_KEYS_PER_NAME);
	SHA256(secret.p, secret.n, k->digests[k->n_digests++]);
	return SP_OK;
}

static enum sp_status take_file(struct key *k, struct sp_why *why)
{
	struct sp_buf text = {0};
	struct sp_bytes line;
	sp_watch_changed(&k->seen, k->settings->file); /* before reading: a change in between is seen next time */
	enum sp_status status = secret_read(k->settings->file, &text, why);
	for (struct sp_bytes rest = sp_buf_view(&text); status == SP_OK && sp_take_part(&rest, '\n', &line);)
		status = take_secret(k, line, k->settings->file, why);
	if (text.p)
		OPENSSL_cleanse(text.p, text.n);
	sp_buf_free(&text);
	return status;
}

/* On failure k has the secrets it had. */
static enum sp_status read_key(struct key *k, struct sp_why *why)
{
	const struct key_settings *s = k->settings;
	struct key fresh = {.settings = s};
	enum sp_status status = s->file ? take_file(&fresh, why) : s->value ? take_secret(&fresh, sp_str(s->value), "the value", why) : SP_OK;
	for (size_t i = 0; i < s->hash.n && status == SP_OK; i++)
		if (!access_hash_parse(s->hash.v[i], fresh.digests[fresh.n_digests++]))
			status = sp_fail(why, SP_CONFIG, "keys.%s: hash %zu is none", s->name, i);
	k->seen = fresh.seen;
	if (status == SP_OK && fresh.n_digests == 0)
		status = sp_fail(why, SP_CONFIG, "keys.%s: %s holds no key", s->name, s->file ? s->file : "the value");
	if (status != SP_OK)
		return SP_CONFIG;
	memcpy(k->digests, fresh.digests, sizeof k->digests);
	k->n_digests = fresh.n_digests;
	return SP_OK;
}

static void report(struct key *k, const struct sp_why *why)
{
	sp_log(SP_LOG_ERROR, "key.unreadable", sp_f_str("key", k->settings->name), sp_f_str("reason", why->text),
		sp_f_str("msg", k->n_digests ? "the former key stays in force" : "nobody can use it"), SP_LOG_END);
	k->reported = true;
}

static void read_again(struct key *k, bool changed)
{
	struct sp_why why = {.text = ""};
	const struct key former = *k;
	/* What could not be read is tried again each time: a change of its permissions is no change of the file. */
	if (!changed && !k->reported)
		return;
	if (read_key(k, &why) == SP_OK) {
		if (k->n_digests != former.n_digests || memcmp(k->digests, former.digests, sizeof k->digests) != 0)
			sp_log(SP_LOG_INFO, "key.changed", sp_f_str("key", k->settings->name), sp_f_u64("secrets", k->n_digests), SP_LOG_END);
		k->reported = false;
	} else if (!k->reported) {
		report(k, &why);
	}
}

/* ---- all keys ---- */

enum sp_status keys_new(const struct settings *s, struct keys_dir *dir, struct keys **out, struct sp_why *why)
{
	struct keys *k = sp_new(struct keys);
	enum sp_status status = SP_OK;
	k->dir = dir;
	k->v = sp_new_array(struct key, s->n_keys);
	for (; k->n < s->n_keys && status == SP_OK; k->n++) {
		k->v[k->n].settings = &s->keys[k->n];
		status = read_key(&k->v[k->n], why);
		if (status != SP_OK && dir && s->keys[k->n].in_dir) {
			report(&k->v[k->n], why);
			status = SP_OK;
		}
	}
	if (status != SP_OK) {
		keys_free(&k);
		return status;
	}
	*out = k;
	return SP_OK;
}

void keys_free(struct keys **k)
{
	if (!*k)
		return;
	settings_free(&(*k)->settings);
	sp_free((*k)->v);
	sp_free(*k);
	*k = NULL;
}

struct key *keys_named(const struct keys *keys, const char *name)
{
	for (size_t i = 0; i < keys->n; i++)
		if (strcmp(keys->v[i].settings->name, name) == 0)
			return &keys->v[i];
	return NULL;
}

static bool same(const char *a, const char *b)
{
	return a == b || (a && b && strcmp(a, b) == 0);
}

/* Quotas go on where they were; a file that could not be read keeps the secrets it had. */
static void replace(struct keys *keys, struct settings *fresh)
{
	struct keys next = {.v = sp_new_array(struct key, fresh->n_keys), .n = fresh->n_keys, .dir = keys->dir, .settings = fresh};
	for (size_t i = 0; i < next.n; i++) {
		struct key *k = &next.v[i];
		const struct key *old = keys_named(keys, fresh->keys[i].name);
		bool same_file = old && fresh->keys[i].file && same(old->settings->file, fresh->keys[i].file);
		if (old)
			*k = *old;
		k->settings = &fresh->keys[i];
		if (!same_file)
			read_again(k, true);
	}
	for (size_t i = 0; i < keys->n; i++)
		for (int q = 0; q < QUOTAS && !keys_named(&next, keys->v[i].settings->name); q++)
			sp_metric_forget(M_INGEST_KEY_LIMITED, SP_L(keys->v[i].settings->name, quotas[q].name));
	settings_free(&keys->settings);
	sp_free(keys->v);
	*keys = next;
}

static void poll_quotas(struct key *k, int64_t now_ms)
{
	for (int i = 0; i < QUOTAS; i++) {
		struct quota *q = &k->quotas[i];
		if (!q->refused_ms || now_ms - q->refused_ms < CALM_MS)
			continue;
		sp_log(SP_LOG_INFO, "key.within_limit", sp_f_str("key", k->settings->name), sp_f_str("limit", quotas[i].name),
			sp_f_u64("refused", q->refused), SP_LOG_END);
		q->refused_ms = 0;
		q->refused = 0;
	}
}

void keys_poll(struct keys *keys)
{
	struct settings *fresh = keys->dir ? keys_dir_poll(keys->dir) : NULL;
	int64_t now_ms = sp_mono_now().ms;
	if (fresh)
		replace(keys, fresh);
	for (size_t i = 0; i < keys->n; i++) {
		struct key *k = &keys->v[i];
		if (k->settings->file)
			read_again(k, sp_watch_changed(&k->seen, k->settings->file));
		poll_quotas(k, now_ms);
	}
}

bool keys_none(const struct keys *k)
{
	return k->n == 0 && !k->dir;
}

struct key *keys_find(const struct keys *keys, struct sp_bytes presented)
{
	uint8_t digest[SHA256_DIGEST_LENGTH];
	struct key *found = NULL;
	if (presented.n == 0 || presented.n > ACCESS_KEY_MAX)
		return NULL;
	SHA256(presented.p, presented.n, digest);
	for (size_t i = 0; i < keys->n; i++)
		for (size_t d = 0; d < keys->v[i].n_digests; d++)
			if (CRYPTO_memcmp(digest, keys->v[i].digests[d], sizeof digest) == 0)
				found = &keys->v[i];
	return found;
}

const char *key_name(const struct key *k)
{
	return k->settings->name;
}

bool key_in_dir(const struct key *k)
{
	return k->settings->in_dir;
}

bool key_allows(const struct key *k, struct sp_bytes source_arn)
{
	const struct sp_list *globs = &k->settings->source_arns;
	if (globs->n == 0)
		return true;
	for (size_t i = 0; i < globs->n && source_arn.n > 0 && source_arn.n < ARN_MAX; i++)
		if (sp_glob(sp_str(globs->v[i]), source_arn))
			return true;
	return false;
}

/* ---- quotas ---- */

static double rate_of(const struct key *k, int quota)
{
	return (double)(quota == DELIVERIES ? k->settings->rate : k->settings->bytes_per_second);
}

static void refill(struct quota *q, double rate, int64_t now_ms)
{
	double full = rate * BURST_SECONDS, more = q->left + rate * (double)(now_ms - q->at_ms) / 1000;
	q->left = q->at_ms == 0 || more > full ? full : more;
	q->at_ms = now_ms;
}

enum refusal key_limits(struct key *k, struct sp_mono now)
{
	for (int i = 0; i < QUOTAS; i++) {
		struct quota *q = &k->quotas[i];
		double rate = rate_of(k, i);
		if (rate <= 0)
			continue;
		refill(q, rate, now.ms);
		if (q->left > 0)
			continue;
		if (!q->refused_ms)
			sp_log(SP_LOG_WARN, "key.over_limit", sp_f_str("key", k->settings->name), sp_f_str("limit", quotas[i].name),
				sp_f_double("per_second", rate), sp_f_str("msg", "deliveries of this key get 429; Firehose tries again"),
				SP_LOG_END);
		q->refused_ms = now.ms;
		q->refused++;
		sp_metric_add(M_INGEST_KEY_LIMITED, SP_L(k->settings->name, quotas[i].name), 1);
		return quotas[i].refusal;
	}
	return REFUSE_NOTHING;
}

void keys_charge(struct keys *keys, const char *name, size_t deliveries, size_t bytes)
{
	struct key *k = keys_named(keys, name);
	if (!k)
		return;
	if (k->settings->rate)
		k->quotas[DELIVERIES].left -= (double)deliveries;
	if (k->settings->bytes_per_second)
		k->quotas[BYTES].left -= (double)bytes;
}
