#include "common/conf_list.h"

#include "common/alloc.h"
#include "common/lane.h"

#include <ctype.h>
#include <stdlib.h>
#include <strings.h>
#include <sys/vfs.h>
#include <unistd.h>

#define DESTINATIONS_MAX 64 /* a delivery is handed over with a payload for each */
#define FILTER_RULES_MAX 64 /* a bit each in convert */
#define ACCESS_HASHES_MAX 8
#define HEADER_FILES_MAX 8
#define RUNTIME_DIR_BYTES 80 /* names of sockets come behind it, and the kernel takes 107 in all */

/* "file:line: " of the first entry at or below path, or of the section above it; "" when nothing of it is written
 * anywhere. */
static const char *where(const struct conf *c, const char *path, char *out, size_t size)
{
	size_t n = strlen(path);
	out[0] = '\0';
	for (size_t i = 0; i < c->n && !out[0]; i++)
		if (strncmp(c->entries[i].path, path, n) == 0 &&
		    (c->entries[i].path[n] == '\0' || c->entries[i].path[n] == '.'))
			snprintf(out, size, "%s: ", c->entries[i].origin);
	return out;
}

/* Refuses with the place of PATH.KEY, or of PATH when that is not written. */
static enum sp_status refuse_at(
    const struct conf *c, const char *path, const char *key, const char *what, struct sp_why *why)
{
	char full[256], place[256];
	snprintf(full, sizeof full, "%s.%s", path, key);
	if (!*where(c, full, place, sizeof place))
		where(c, path, place, sizeof place);
	return sp_fail(why, SP_CONFIG, "%s%s %s", place, full, what);
}

static enum sp_status refuse_dest(
    const struct conf *c, const struct dest_settings *d, const char *key, const char *what, struct sp_why *why)
{
	char path[96];
	snprintf(path, sizeof path, "destinations.%s", d->name);
	return refuse_at(c, path, key, what, why);
}

static bool loopback(struct sp_bytes host)
{
	return sp_eq_nocase(host, SP_LIT("localhost")) || sp_eq(host, SP_LIT("::1")) ||
	       (host.n >= 4 && memcmp(host.p, "127.", 4) == 0 && strspn((const char *)host.p, "0123456789.") >= host.n);
}

/* Host of "http://host:port/path"; false when it is no such thing. */
static bool url_parse(const char *url, bool *plain, bool *userinfo, struct sp_bytes *host)
{
	*plain = strncasecmp(url, "http://", 7) == 0;
	if (!*plain && strncasecmp(url, "https://", 8) != 0)
		return false;
	const char *at = url + (*plain ? 7 : 8);
	size_t n = strcspn(at, "/?#");
	*userinfo = memchr(at, '@', n) != NULL;
	const char *end = at[0] == '[' ? memchr(at, ']', n) : NULL;
	if (at[0] == '[' && !end)
		return false;
	*host = end ? sp_bytes(at + 1, (size_t)(end - at) - 1) : sp_bytes(at, strcspn(at, ":/?#"));
	for (const char *s = url; *s; s++)
		if (*s <= ' ' || *s >= 0x7f)
			return false;
	return host->n > 0;
}

bool label_name_ok(struct sp_bytes name)
{
	return sp_is_name(name, false) && !sp_starts(name, SP_LIT("__")) && !sp_eq(name, SP_LIT("le")) && !sp_eq(name, SP_LIT("quantile"));
}

static enum sp_status check_labels(
    const struct conf *c, const char *path, const char *section, const struct sp_map *labels, struct sp_why *why)
{
	char key[160];
	for (size_t i = 0; i < labels->n; i++) {
		snprintf(key, sizeof key, "%s.%s", section, labels->names[i]);
		if (!label_name_ok(sp_str(labels->names[i])))
			return refuse_at(c, path, key,
			    "is not the name of a label: right are letters, digits and _, no digit or __ first, not le or quantile", why);
	}
	return SP_OK;
}

/* Is anything asked of a point? An empty list asks for nothing, but for that of dimensions: it wants none. */
static bool is_choosy(const struct sp_map *rule)
{
	for (size_t i = 0; i < rule->n; i++) {
		const char *key = rule->names[i], *value = rule->values[i];
		if (strcmp(key, "dimensions") == 0 ||
		    (strcmp(key, "name") != 0 && strcmp(key, "action") != 0 && value[strspn(value, " ,\n")]))
			return true;
	}
	return false;
}

static enum sp_status check_filters(
    const struct conf *c, const char *path, const struct sp_rules *rules, struct sp_why *why)
{
	char key[40];
	if (rules->n > FILTER_RULES_MAX)
		return refuse_at(c, path, "filters", "has more than 64 rules", why);
	for (size_t i = 0; i < rules->n; i++) {
		const struct sp_map *r = &rules->v[i];
		const char *action = sp_map_get(r, "action");
		snprintf(key, sizeof key, "filters.%zu", i);
		if (!action || (strcmp(action, "include") != 0 && strcmp(action, "exclude") != 0))
			return refuse_at(c, path, key, "needs an action: include or exclude", why);
		if (!is_choosy(r))
			return refuse_at(c, path, key,
			    "fits everything: it needs namespace, metric, dimensions, account or region", why);
	}
	return SP_OK;
}

static enum sp_status check_overrides(const struct conf *c, const char *path, const struct dest_settings *d, struct sp_why *why)
{
	char key[60];
	for (size_t i = 0; i < d->statistics_overrides.n; i++) {
		const char *statistics = sp_map_get(&d->statistics_overrides.v[i], "statistics");
		snprintf(key, sizeof key, "statistics_overrides.%zu", i);
		if (!statistics)
			return refuse_at(c, path, key, "needs statistics: a list as in statistics, [] for none", why);
		if (!statistics_ok(statistics))
			return refuse_at(c, path, key, "names a statistic that there is not (`standpipe help settings`)", why);
	}
	return SP_OK;
}

static enum sp_status check_header(
    const struct conf *c, const struct dest_settings *d, const char *key, const char *name, struct sp_why *why)
{
	static const char *const ours[] = {"Content-Encoding", "Content-Type", "X-Prometheus-Remote-Write-Version",
	    "User-Agent", "Host", "Content-Length", "Authorization"};
	for (const char *s = name; *s; s++)
		if (*s <= ' ' || *s >= 0x7f || strchr("\"(),/:;<=>?@[\\]{}", *s))
			return refuse_dest(c, d, key, "is not the name of a header", why);
	for (size_t k = 0; k < sizeof ours / sizeof ours[0]; k++)
		if (strcasecmp(ours[k], name) == 0)
			return refuse_dest(c, d, key,
			    k == 6 ? "cannot be set here: use basic_auth, bearer_token_file, authorization or sigv4"
				   : "cannot be set: standpipe sends its own",
			    why);
	return SP_OK;
}

static enum sp_status check_headers(const struct conf *c, const struct dest_settings *d, struct sp_why *why)
{
	char key[160];
	enum sp_status status = d->header_files.n > HEADER_FILES_MAX ? refuse_dest(c, d, "header_files", "has more than 8 headers", why) : SP_OK;
	for (size_t i = 0; i < d->headers.n + d->header_files.n && status == SP_OK; i++) {
		bool secret = i >= d->headers.n;
		const char *name = secret ? d->header_files.names[i - d->headers.n] : d->headers.names[i];
		snprintf(key, sizeof key, "%s.%s", secret ? "header_files" : "headers", name);
		status = check_header(c, d, key, name, why);
		if (status == SP_OK && d->lanes_header && strcasecmp(name, d->lanes_header) == 0)
			status = refuse_dest(c, d, key, "is lanes.header too: each lane has its own", why);
		for (size_t k = 0; secret && k < d->headers.n && status == SP_OK; k++)
			if (strcasecmp(name, d->headers.names[k]) == 0)
				status = refuse_dest(c, d, key, "is in headers too", why);
	}
	return status;
}

/* Each sends what it takes only under its own key, so nobody's falls to another. */
static enum sp_status check_lane_tokens(const struct conf *c, const struct dest_settings *d, struct sp_why *why)
{
	if (strcmp(d->lanes_by, "key") != 0)
		return refuse_dest(c, d, "lanes.token", "goes with lanes.by: key only", why);
	if (d->lanes_default)
		return refuse_dest(
		    c, d, "lanes.default", "and lanes.token exclude each other: whose token would it have?", why);
	return SP_OK;
}

static enum sp_status check_lanes(const struct conf *c, const struct dest_settings *d, struct sp_why *why)
{
	char key[200];
	if (!d->lanes_by)
		return d->lanes_header || d->lanes_map.n || d->lanes_default || d->lanes_token
			   ? refuse_dest(c, d, "lanes.by", "is missing: key, account or attribute:NAME", why)
			   : SP_OK;
	bool attribute = strncmp(d->lanes_by, LANE_BY_ATTRIBUTE, strlen(LANE_BY_ATTRIBUTE)) == 0;
	if (strcmp(d->lanes_by, "key") != 0 && strcmp(d->lanes_by, "account") != 0 &&
	    !(attribute && d->lanes_by[strlen(LANE_BY_ATTRIBUTE)]))
		return refuse_dest(c, d, "lanes.by", "is wrong: right are key, account, attribute:NAME", why);
	if (!d->lanes_header && !d->lanes_token)
		return refuse_dest(c, d, "lanes",
		    "needs lanes.header or lanes.token: nothing else tells the receiver whose lane it is", why);
	for (size_t i = 0; i < d->lanes_map.n; i++) {
		snprintf(key, sizeof key, "lanes.map.%s", d->lanes_map.names[i]);
		if (!lane_name_ok(sp_str(d->lanes_map.names[i])) || !lane_name_ok(sp_str(d->lanes_map.values[i])))
			return refuse_dest(
			    c, d, key, "is wrong: right are 1 to 150 visible ASCII characters on both sides", why);
	}
	if (d->lanes_default && !lane_name_ok(sp_str(d->lanes_default)))
		return refuse_dest(c, d, "lanes.default", "is wrong: right are 1 to 150 visible ASCII characters", why);
	enum sp_status status = d->lanes_header ? check_header(c, d, "lanes.header", d->lanes_header, why) : SP_OK;
	return status == SP_OK && d->lanes_token ? check_lane_tokens(c, d, why) : status;
}

static enum sp_status check_mapping(const struct conf *c, const struct dest_settings *d, struct sp_why *why)
{
	char path[96];
	snprintf(path, sizeof path, "destinations.%s", d->name);
	enum sp_status status = check_labels(c, path, "external_labels", &d->external_labels, why);
	if (status == SP_OK)
		status = check_filters(c, path, &d->filters, why);
	return status == SP_OK ? check_overrides(c, path, d, why) : status;
}

static enum sp_status check_url(const struct conf *c, const struct dest_settings *d, struct sp_why *why)
{
	bool plain, userinfo;
	struct sp_bytes host;
	if (!d->url && strcmp(d->receiver, "logzio") == 0)
		return SP_OK; /* its listener depends on the region */
	if (!d->url)
		return refuse_dest(c, d, "url", "is missing: the remote-write URL of the receiver", why);
	if (!url_parse(d->url, &plain, &userinfo, &host))
		return refuse_dest(c, d, "url", "is not a URL: right is http://HOST[:PORT]/PATH or https://...", why);
	if (userinfo)
		return refuse_dest(c, d, "url", "holds a user name: credentials go into basic_auth", why);
	bool secret = d->basic_auth_username || d->bearer_token_file || d->authorization_file || d->header_files.n || d->lanes_token;
	if (plain && secret && !loopback(host) && !d->allow_plain_credentials)
		return refuse_dest(c, d, "url",
		    "would send credentials unencrypted: use https, or set allow_plain_credentials: true", why);
	return SP_OK;
}

/* Amazon's own addresses hold the region, and nothing but signed requests is taken there. */
static void default_region(struct dest_settings *d)
{
	static const char amazon[] = "https://aps-workspaces.";
	bool wanted = d->sigv4_profile || d->sigv4_credentials_file || d->sigv4_role_arn || d->sigv4_external_id;
	const char *told = getenv("AWS_REGION") ? getenv("AWS_REGION") : getenv("AWS_DEFAULT_REGION");
	if (d->sigv4_region)
		return;
	if (d->url && strncasecmp(d->url, amazon, sizeof amazon - 1) == 0)
		d->sigv4_region = sp_strndup(d->url + sizeof amazon - 1, strcspn(d->url + sizeof amazon - 1, "./:"));
	else if (wanted && told && *told)
		d->sigv4_region = sp_strdup(told);
}

static bool region_ok(const char *region)
{
	return !region || !region[strspn(region, "abcdefghijklmnopqrstuvwxyz0123456789-")];
}

static enum sp_status check_auth(const struct conf *c, const struct dest_settings *d, struct sp_why *why)
{
	bool basic = d->basic_auth_username || d->basic_auth_password_file;
	const struct {
		const char *key;
		bool used;
	} ways[] = {{"basic_auth", basic}, {"bearer_token_file", d->bearer_token_file},
	    {"authorization", d->authorization_type || d->authorization_file}, {"sigv4", d->sigv4_region}, {"lanes.token", d->lanes_token}};
	const char *first = NULL;
	char what[80], path[96], place[256];
	for (size_t i = 0; i < sizeof ways / sizeof ways[0]; i++) {
		snprintf(what, sizeof what, "and %s exclude each other", first ? first : "");
		if (ways[i].used && first)
			return refuse_dest(c, d, ways[i].key, what, why);
		if (ways[i].used)
			first = ways[i].key;
	}
	snprintf(path, sizeof path, "destinations.%s.sigv4", d->name);
	if (!d->sigv4_region && *where(c, path, place, sizeof place))
		return refuse_dest(c, d, "sigv4.region", "is missing", why);
	if (!region_ok(d->sigv4_region) || !region_ok(d->logzio_region))
		return refuse_dest(c, d, region_ok(d->sigv4_region) ? "logzio.region" : "sigv4.region",
		    "is wrong: right is a name such as eu-central-1", why);
	if (d->sigv4_role_arn && strncmp(d->sigv4_role_arn, "arn:", 4) != 0)
		return refuse_dest(c, d, "sigv4.role_arn", "is wrong: right is arn:aws:iam::ACCOUNT:role/NAME", why);
	if (d->sigv4_external_id && !d->sigv4_role_arn)
		return refuse_dest(c, d, "sigv4.external_id", "goes with sigv4.role_arn only", why);
	if (d->authorization_type && (strcasecmp(d->authorization_type, "basic") == 0 || strpbrk(d->authorization_type, " \t:,")))
		return refuse_dest(c, d, "authorization.type", "is wrong: right is one word, not Basic, for which there is basic_auth", why);
	if (d->authorization_type && !d->authorization_file)
		return refuse_dest(c, d, "authorization.credentials_file", "is missing", why);
	if (basic && !(d->basic_auth_username && d->basic_auth_password_file))
		return refuse_dest(c, d, d->basic_auth_username ? "basic_auth.password_file" : "basic_auth.username",
		    "is missing: basic_auth needs username and password_file", why);
	return SP_OK;
}

static enum sp_status check_dest(const struct conf *c, const struct dest_settings *d, struct sp_why *why)
{
	if (!d->tls_cert_file != !d->tls_key_file)
		return refuse_dest(c, d, d->tls_cert_file ? "tls_config.key_file" : "tls_config.cert_file",
		    "is missing: cert_file and key_file go together", why);
	enum sp_status status = check_auth(c, d, why);
	if (status == SP_OK)
		status = check_url(c, d, why);
	if (status != SP_OK)
		return status;
	if (d->backoff_min > d->backoff_unreachable_max)
		return refuse_dest(c, d, "backoff.unreachable_max", "is less than backoff.min", why);
	if (d->backoff_unreachable_max > d->backoff_max)
		return refuse_dest(c, d, "backoff.max", "is less than backoff.unreachable_max", why);
	if (d->probe_min > d->probe_max)
		return refuse_dest(c, d, "probe.max", "is less than probe.min", why);
	status = check_headers(c, d, why);
	if (status == SP_OK)
		status = check_lanes(c, d, why);
	return status == SP_OK ? check_mapping(c, d, why) : status;
}

static enum sp_status check_tenant(const struct conf *c, const struct key_settings *k, struct sp_why *why)
{
	char path[96];
	snprintf(path, sizeof path, "keys.%s", k->name);
	enum sp_status status = check_labels(c, path, "labels", &k->labels, why);
	return status == SP_OK ? check_filters(c, path, &k->filters, why) : status;
}

static bool takes(const struct key_settings *k, const struct dest_settings *d)
{
	bool named = k->destinations.n == 0;
	for (size_t i = 0; i < k->destinations.n; i++)
		named |= strcmp(k->destinations.v[i], d->name) == 0;
	return named;
}

/* A destination that sends the keys themselves must be able to know them. */
static enum sp_status check_token_keys(
    const struct conf *c, const struct settings *s, const struct dest_settings *d, struct sp_why *why)
{
	char path[96], what[160];
	if (d->lanes_token && s->n_keys == 0 && !s->ingest_keys_dir)
		return refuse_dest(
		    c, d, "lanes.token", "needs access keys, and there are none: set keys.NAME.file", why);
	snprintf(what, sizeof what, "is missing: destinations.%.64s sends the key itself (lanes.token)", d->name);
	for (size_t i = 0; d->lanes_token && i < s->n_keys; i++) {
		snprintf(path, sizeof path, "keys.%s", s->keys[i].name);
		if (!s->keys[i].file && takes(&s->keys[i], d))
			return refuse_at(c, path, "file", what, why);
	}
	return SP_OK;
}

/* What ship needs of the access keys. */
static enum sp_status check_key(const struct conf *c, const struct settings *s, const struct key_settings *k, struct sp_why *why)
{
	char path[96], what[120];
	snprintf(path, sizeof path, "keys.%s", k->name);
	for (size_t i = 0; i < k->destinations.n; i++) {
		size_t d = 0;
		while (d < s->n_dests && strcmp(s->dests[d].name, k->destinations.v[i]) != 0)
			d++;
		snprintf(what, sizeof what, "names \"%.64s\", and there is no such destination", k->destinations.v[i]);
		if (d == s->n_dests)
			return refuse_at(c, path, "destinations", what, why);
	}
	return check_tenant(c, k, why);
}

bool access_hash_parse(const char *text, uint8_t digest[32])
{
	static const char prefix[] = "sha256:", digits[] = "0123456789abcdef";
	if (strncmp(text, prefix, sizeof prefix - 1) != 0 || strlen(text) != sizeof prefix - 1 + 64)
		return false;
	text += sizeof prefix - 1;
	for (size_t i = 0; i < 64; i++) {
		const char *digit = strchr(digits, tolower((unsigned char)text[i]));
		if (!digit)
			return false;
		digest[i / 2] = (uint8_t)((i % 2 ? digest[i / 2] << 4 : 0) | (digit - digits));
	}
	return true;
}

/* What ingest needs of them. */
static enum sp_status check_secret(const struct conf *c, const struct key_settings *k, struct sp_why *why)
{
	char path[96], place[256];
	uint8_t digest[32];
	snprintf(path, sizeof path, "keys.%s", k->name);
	if (!!k->file + !!k->value + !!k->hash.n != 1)
		return sp_fail(why, SP_CONFIG, "%s%s needs either file, hash or value", where(c, path, place, sizeof place), path);
	if (k->hash.n > ACCESS_HASHES_MAX)
		return refuse_at(c, path, "hash", "has more than 8 items", why);
	for (size_t i = 0; i < k->hash.n; i++)
		if (!access_hash_parse(k->hash.v[i], digest))
			return refuse_at(c, path, "hash",
			    "is wrong: right is sha256: and 64 hexadecimal digits, as `standpipe keys new` writes it", why);
	return SP_OK;
}

enum sp_status settings_check_key(const struct conf *c, const struct settings *s, const char *name, struct sp_why *why)
{
	enum sp_status status = SP_OK;
	for (size_t i = 0; i < s->n_keys && status == SP_OK; i++) {
		if (strcmp(s->keys[i].name, name) != 0)
			continue;
		status = check_secret(c, &s->keys[i], why);
		if (status == SP_OK)
			status = check_tenant(c, &s->keys[i], why);
	}
	return status;
}

static bool loopback_address(const char *address)
{
	const char *colon = strrchr(address, ':');
	struct sp_bytes host = sp_bytes(address, colon ? (size_t)(colon - address) : strlen(address));
	if (host.n >= 2 && host.p[0] == '[')
		host.p++, host.n -= 2;
	return loopback(host);
}

static enum sp_status check_ingest(const struct conf *c, const struct settings *s, struct sp_why *why)
{
	char place[256];
	if (!s->ingest_listen)
		return sp_fail(why, SP_CONFIG, "%singest.listen is empty: right are :443, 127.0.0.1:8080",
		    where(c, "ingest.listen", place, sizeof place));
	if (!s->ingest_tls_cert != !s->ingest_tls_key)
		return sp_fail(why, SP_CONFIG, "%singest.tls.%s is missing: cert and key go together",
		    where(c, "ingest.tls", place, sizeof place), s->ingest_tls_cert ? "key" : "cert");
	for (size_t i = 0; i < s->ingest_paths.n; i++)
		if (s->ingest_paths.v[i][0] != '/')
			return sp_fail(why, SP_CONFIG, "%singest.paths: \"%.60s\" does not begin with /",
			    where(c, "ingest.paths", place, sizeof place), s->ingest_paths.v[i]);
	if (s->ingest_paths.n == 0)
		return sp_fail(
		    why, SP_CONFIG, "%singest.paths is empty", where(c, "ingest.paths", place, sizeof place));
	for (size_t i = 0; i < s->n_keys; i++) {
		enum sp_status status = check_secret(c, &s->keys[i], why);
		if (status != SP_OK)
			return status;
	}
	if (s->n_keys == 0 && !s->ingest_keys_dir && !s->ingest_allow_unauthenticated && !loopback_address(s->ingest_listen))
		return sp_fail(why, SP_CONFIG,
		    "%sno access key is configured, and ingest.listen %s is open to others: set keys.NAME.file, or "
		    "ingest.allow_unauthenticated: true",
		    where(c, "ingest.listen", place, sizeof place), s->ingest_listen);
	if (s->ingest_max_body > s->memory / 2)
		return sp_fail(why, SP_CONFIG,
		    "%sone body of ingest.max_body must fit into half of runtime.memory: raise runtime.memory to at "
		    "least "
		    "%lldMiB, or lower ingest.max_body",
		    where(c, "ingest.max_body", place, sizeof place),
		    (long long)((s->ingest_max_body * 2 + (1 << 20) - 1) >> 20));
	return SP_OK;
}

static bool writable_dir(const char *path)
{
	if (access(path, F_OK) == 0)
		return access(path, W_OK | X_OK) == 0;
	return access("/run", W_OK | X_OK) == 0;
}

/* systemd's variables hold one directory or several with ":" between: the first is ours. */
static char *env_dir(const char *name)
{
	const char *v = getenv(name);
	return v && *v ? sp_strndup(v, strcspn(v, ":")) : NULL;
}

static enum sp_status default_dirs(const struct conf *c, struct settings *s, struct sp_why *why)
{
	char place[256];
	if (!s->spool_dir && !(s->spool_dir = env_dir("STATE_DIRECTORY")))
		s->spool_dir = sp_strdup("/var/lib/standpipe");
	if (!s->runtime_dir)
		s->runtime_dir = env_dir("RUNTIME_DIRECTORY");
	if (!s->runtime_dir)
		s->runtime_dir =
		    writable_dir("/run/standpipe") ? sp_strdup("/run/standpipe") : sp_asprintf("%s/run", s->spool_dir);
	if (strlen(s->runtime_dir) > RUNTIME_DIR_BYTES)
		return sp_fail(why, SP_CONFIG,
		    "%sruntime.dir %.120s is longer than %d bytes, too long for the paths of sockets",
		    where(c, "runtime.dir", place, sizeof place), s->runtime_dir, RUNTIME_DIR_BYTES);
	return SP_OK;
}

/* Destinations that drop must not fill the spool: then all deliveries would be refused for their sake. Of those with lanes no lane may. */
static enum sp_status check_queues(const struct conf *c, struct settings *s, struct sp_why *why)
{
	int64_t dropped = 0, n = 0;
	for (size_t i = 0; i < s->n_dests; i++)
		n += s->dests[i].lanes_by || strcmp(s->dests[i].on_full, "drop") == 0;
	for (size_t i = 0; i < s->n_dests; i++) {
		struct dest_settings *d = &s->dests[i];
		bool drops = strcmp(d->on_full, "drop") == 0;
		if (d->queue_max > s->spool_max)
			return refuse_dest(c, d, "queue_max", "is more than spool.max: the spool is full first, for all destinations", why);
		if (!d->queue_max && (d->lanes_by || drops))
			d->queue_max = s->spool_max / 2 / n;
		if (drops &&
		    (__builtin_add_overflow(dropped, d->queue_max, &dropped) || dropped > s->spool_max - s->spool_max / 4))
			return refuse_dest(c, d, "queue_max",
			    "is too large: the queues of destinations with on_full: drop may take three quarters of spool.max in all",
			    why);
	}
	return SP_OK;
}

enum sp_status settings_check(const struct conf *c, enum sp_role role, struct settings *s, struct sp_why *why)
{
	enum sp_status status = default_dirs(c, s, why);
	if (status == SP_OK && (role & SP_ROLE_INGEST))
		status = check_ingest(c, s, why);
	if (status != SP_OK || !(role & SP_ROLE_SHIP))
		return status;
	if (s->n_dests == 0)
		return sp_fail(why, SP_CONFIG, "no destination is configured: ship needs destinations.NAME.url");
	if (s->n_dests > DESTINATIONS_MAX)
		return sp_fail(why, SP_CONFIG, "there are %zu destinations, and there can be %d", s->n_dests, DESTINATIONS_MAX);
	for (size_t i = 0; status == SP_OK && i < s->n_dests; i++) {
		default_region(&s->dests[i]);
		status = check_dest(c, &s->dests[i], why);
	}
	for (size_t i = 0; status == SP_OK && i < s->n_keys; i++)
		status = check_key(c, s, &s->keys[i], why);
	for (size_t i = 0; status == SP_OK && i < s->n_dests; i++)
		status = check_token_keys(c, s, &s->dests[i], why);
	return status == SP_OK ? check_queues(c, s, why) : status;
}

const char *volatile_fs(const char *dir)
{
	static const struct {
		uint32_t type;
		const char *name;
	} types[] = {
		{0x01021994, "tmpfs"},
		{0x858458f6, "ramfs"},
		{0x794c7630, "overlay"},
		{0x00006969, "nfs"},
		{0xff534d42, "cifs"},
		{0xfe534d42, "smb2"},
		{0x0000517b, "smb"},
	};
	struct statfs fs;
	if (statfs(dir, &fs) != 0)
		return NULL;
	for (size_t i = 0; i < sizeof types / sizeof *types; i++)
		if ((uint32_t)fs.f_type == types[i].type)
			return types[i].name;
	return NULL;
}
