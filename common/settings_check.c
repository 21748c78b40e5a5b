#include "common/conf_list.h"

#include "common/alloc.h"
#include "common/lane.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdlib.h>
#include <strings.h>
#include <sys/vfs.h>
#include <unistd.h>

#define DESTINATIONS_MAX 64 /* a delivery is handed over with a payload for each */
#define FILTER_RULES_MAX 64 /* a bit each in convert */
#define ACCESS_HASHES_MAX 8
#define HEADER_FILES_MAX 8
#define RUNTIME_DIR_BYTES 80 /* names of sockets come behind it, and the kernel takes 107 in all */

/* A section of the configuration that is looked at. */
struct part {
	const struct conf *c;
	char path[96]; /* "destinations.mimir" */
	struct sp_why *why;
};

static struct part part_of(const struct conf *c, const char *section, const char *name, struct sp_why *why)
{
	struct part p = {.c = c, .why = why};
	snprintf(p.path, sizeof p.path, "%s.%s", section, name);
	return p;
}

/* "file:line: " of the first entry at or below path, or of the section above it; "" when nothing of it is written
 * anywhere. */
static const char *where(const struct conf *c, const char *path, char *out, size_t size)
{
	size_t n = strlen(path);
	out[0] = '\0';
	for (size_t i = 0; i < c->n && !out[0]; i++)
		if (strncmp(c->entries[i].path, path, n) == 0 && (c->entries[i].path[n] == '\0' || c->entries[i].path[n] == '.'))
			snprintf(out, size, "%s: ", c->entries[i].origin);
	return out;
}

/* Refuses with the place of PATH.KEY, or of PATH when that is not written. */
SP_PRINTF(3, 4) static enum sp_status refuse(const struct part *at, const char *what, const char *key, ...)
{
	char full[256], place[256];
	size_t n = (size_t)snprintf(full, sizeof full, "%s.", at->path);
	va_list ap;
	va_start(ap, key);
	vsnprintf(full + n, sizeof full - n, key, ap);
	va_end(ap);
	if (!*where(at->c, full, place, sizeof place))
		where(at->c, at->path, place, sizeof place);
	return sp_fail(at->why, SP_CONFIG, "%s%s %s", place, full, what);
}

struct rule {
	bool broken;
	const char *key, *what;
};

/* Refuses for the first that is broken. */
static enum sp_status check_rules(const struct part *at, const struct rule *rules, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (rules[i].broken)
			return refuse(at, rules[i].what, "%s", rules[i].key);
	return SP_OK;
}
#define CHECK_RULES(at, rules) check_rules(at, rules, sizeof rules / sizeof rules[0])

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

static enum sp_status check_labels(const struct part *at, const char *section, const struct sp_map *labels)
{
	for (size_t i = 0; i < labels->n; i++)
		if (!label_name_ok(sp_str(labels->names[i])))
			return refuse(at, "is not the name of a label: right are letters, digits and _, no digit or __ first, not le or quantile",
			    "%s.%s", section, labels->names[i]);
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

static enum sp_status check_filters(const struct part *at, const struct sp_rules *rules)
{
	if (rules->n > FILTER_RULES_MAX)
		return refuse(at, "has more than 64 rules", "filters");
	for (size_t i = 0; i < rules->n; i++) {
		const char *action = sp_map_get(&rules->v[i], "action");
		if (!action || (strcmp(action, "include") != 0 && strcmp(action, "exclude") != 0))
			return refuse(at, "needs an action: include or exclude", "filters.%zu", i);
		if (!is_choosy(&rules->v[i]))
			return refuse(at, "fits everything: it needs namespace, metric, dimensions, account or region", "filters.%zu", i);
	}
	return SP_OK;
}

static enum sp_status check_overrides(const struct part *at, const struct sp_rules *rules)
{
	for (size_t i = 0; i < rules->n; i++) {
		const char *statistics = sp_map_get(&rules->v[i], "statistics");
		if (!statistics)
			return refuse(at, "needs statistics: a list as in statistics, [] for none", "statistics_overrides.%zu", i);
		if (!statistics_ok(statistics))
			return refuse(at, "names a statistic that there is not (`standpipe help settings`)", "statistics_overrides.%zu", i);
	}
	return SP_OK;
}

/* section: headers or header_files; NULL: name is that of lanes.header. */
static enum sp_status check_header(const struct part *at, const char *section, const char *name)
{
	static const char *const ours[] = {"Authorization", "Content-Encoding", "Content-Type", "X-Prometheus-Remote-Write-Version",
	    "User-Agent", "Host", "Content-Length"};
	const char *what = NULL;
	for (size_t k = 0; k < sizeof ours / sizeof ours[0]; k++)
		if (strcasecmp(ours[k], name) == 0)
			what = k == 0 ? "cannot be set here: use basic_auth, bearer_token_file, authorization or sigv4"
				      : "cannot be set: standpipe sends its own";
	for (const char *s = name; *s; s++)
		if (*s <= ' ' || *s >= 0x7f || strchr("\"(),/:;<=>?@[\\]{}", *s))
			what = "is not the name of a header";
	if (!what)
		return SP_OK;
	return section ? refuse(at, what, "%s.%s", section, name) : refuse(at, what, "lanes.header");
}

static enum sp_status check_headers(const struct part *at, const struct dest_settings *d)
{
	enum sp_status status = d->header_files.n > HEADER_FILES_MAX ? refuse(at, "has more than 8 headers", "header_files") : SP_OK;
	for (size_t i = 0; i < d->headers.n + d->header_files.n && status == SP_OK; i++) {
		bool secret = i >= d->headers.n;
		const char *name = secret ? d->header_files.names[i - d->headers.n] : d->headers.names[i];
		const char *section = secret ? "header_files" : "headers";
		status = check_header(at, section, name);
		if (status == SP_OK && d->lanes_header && strcasecmp(name, d->lanes_header) == 0)
			status = refuse(at, "is lanes.header too: each lane has its own", "%s.%s", section, name);
		for (size_t k = 0; secret && k < d->headers.n && status == SP_OK; k++)
			if (strcasecmp(name, d->headers.names[k]) == 0)
				status = refuse(at, "is in headers too", "%s.%s", section, name);
	}
	return status;
}

static enum sp_status check_lanes(const struct part *at, const struct dest_settings *d)
{
	const char *by = d->lanes_by ? d->lanes_by : "";
	bool by_attribute = strncmp(by, LANE_BY_ATTRIBUTE, strlen(LANE_BY_ATTRIBUTE)) == 0 && by[strlen(LANE_BY_ATTRIBUTE)];
	bool by_key = strcmp(by, "key") == 0;
	if (!*by && !d->lanes_header && !d->lanes_map.n && !d->lanes_default && !d->lanes_token)
		return SP_OK;
	const struct rule rules[] = {
	    {!*by, "lanes.by", "is missing: key, account or attribute:NAME"},
	    {!by_key && !by_attribute && strcmp(by, "account") != 0, "lanes.by", "is wrong: right are key, account, attribute:NAME"},
	    {!d->lanes_header && !d->lanes_token, "lanes",
		"needs lanes.header or lanes.token: nothing else tells the receiver whose lane it is"},
	    {d->lanes_default && !lane_name_ok(sp_str(d->lanes_default)), "lanes.default",
		"is wrong: right are 1 to 150 visible ASCII characters"},
	    /* Each sends what it takes only under its own key, so nobody's falls to another. */
	    {d->lanes_token && !by_key, "lanes.token", "goes with lanes.by: key only"},
	    {d->lanes_token && d->lanes_default, "lanes.default", "and lanes.token exclude each other: whose token would it have?"}};
	enum sp_status status = CHECK_RULES(at, rules);
	for (size_t i = 0; i < d->lanes_map.n && status == SP_OK; i++)
		if (!lane_name_ok(sp_str(d->lanes_map.names[i])) || !lane_name_ok(sp_str(d->lanes_map.values[i])))
			status = refuse(at, "is wrong: right are 1 to 150 visible ASCII characters on both sides", "lanes.map.%s",
			    d->lanes_map.names[i]);
	return status == SP_OK && d->lanes_header ? check_header(at, NULL, d->lanes_header) : status;
}

static enum sp_status check_mapping(const struct part *at, const struct dest_settings *d)
{
	enum sp_status status = check_labels(at, "external_labels", &d->external_labels);
	if (status == SP_OK)
		status = check_filters(at, &d->filters);
	return status == SP_OK ? check_overrides(at, &d->statistics_overrides) : status;
}

static enum sp_status check_url(const struct part *at, const struct dest_settings *d)
{
	bool plain, userinfo;
	struct sp_bytes host;
	if (!d->url && strcmp(d->receiver, "logzio") == 0)
		return SP_OK; /* its listener depends on the region */
	if (!d->url)
		return refuse(at, "is missing: the remote-write URL of the receiver", "url");
	if (!url_parse(d->url, &plain, &userinfo, &host))
		return refuse(at, "is not a URL: right is http://HOST[:PORT]/PATH or https://...", "url");
	if (userinfo)
		return refuse(at, "holds a user name: credentials go into basic_auth", "url");
	bool secret = d->basic_auth_username || d->bearer_token_file || d->authorization_file || d->header_files.n || d->lanes_token;
	if (plain && secret && !loopback(host) && !d->allow_plain_credentials)
		return refuse(at, "would send credentials unencrypted: use https, or set allow_plain_credentials: true", "url");
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

static enum sp_status check_auth(const struct part *at, const struct dest_settings *d)
{
	bool basic = d->basic_auth_username || d->basic_auth_password_file;
	const struct {
		const char *key;
		bool used;
	} ways[] = {{"basic_auth", basic}, {"bearer_token_file", d->bearer_token_file},
	    {"authorization", d->authorization_type || d->authorization_file}, {"sigv4", d->sigv4_region}, {"lanes.token", d->lanes_token}};
	const char *first = NULL, *type = d->authorization_type;
	char what[80], sigv4[128], place[256];
	for (size_t i = 0; i < sizeof ways / sizeof ways[0]; i++) {
		snprintf(what, sizeof what, "and %s exclude each other", first ? first : "");
		if (ways[i].used && first)
			return refuse(at, what, "%s", ways[i].key);
		if (ways[i].used)
			first = ways[i].key;
	}
	snprintf(sigv4, sizeof sigv4, "%s.sigv4", at->path);
	const struct rule rules[] = {
	    {!d->sigv4_region && *where(at->c, sigv4, place, sizeof place), "sigv4.region", "is missing"},
	    {!region_ok(d->sigv4_region), "sigv4.region", "is wrong: right is a name such as eu-central-1"},
	    {!region_ok(d->logzio_region), "logzio.region", "is wrong: right is a name such as eu-central-1"},
	    {d->sigv4_role_arn && strncmp(d->sigv4_role_arn, "arn:", 4) != 0, "sigv4.role_arn",
		"is wrong: right is arn:aws:iam::ACCOUNT:role/NAME"},
	    {d->sigv4_external_id && !d->sigv4_role_arn, "sigv4.external_id", "goes with sigv4.role_arn only"},
	    {type && (strcasecmp(type, "basic") == 0 || strpbrk(type, " \t:,")), "authorization.type",
		"is wrong: right is one word, not Basic, for which there is basic_auth"},
	    {type && !d->authorization_file, "authorization.credentials_file", "is missing"},
	    {basic && !d->basic_auth_username, "basic_auth.username", "is missing: basic_auth needs username and password_file"},
	    {basic && !d->basic_auth_password_file, "basic_auth.password_file", "is missing: basic_auth needs username and password_file"}};
	return CHECK_RULES(at, rules);
}

static enum sp_status check_dest(const struct conf *c, const struct dest_settings *d, struct sp_why *why)
{
	const struct part at = part_of(c, "destinations", d->name, why);
	const struct rule rules[] = {
	    {d->tls_cert_file && !d->tls_key_file, "tls_config.key_file", "is missing: cert_file and key_file go together"},
	    {!d->tls_cert_file && d->tls_key_file, "tls_config.cert_file", "is missing: cert_file and key_file go together"},
	    {d->backoff_min > d->backoff_unreachable_max, "backoff.unreachable_max", "is less than backoff.min"},
	    {d->backoff_unreachable_max > d->backoff_max, "backoff.max", "is less than backoff.unreachable_max"},
	    {d->probe_min > d->probe_max, "probe.max", "is less than probe.min"}};
	enum sp_status status = CHECK_RULES(&at, rules);
	if (status == SP_OK)
		status = check_auth(&at, d);
	if (status == SP_OK)
		status = check_url(&at, d);
	if (status == SP_OK)
		status = check_headers(&at, d);
	if (status == SP_OK)
		status = check_lanes(&at, d);
	return status == SP_OK ? check_mapping(&at, d) : status;
}

bool key_takes(const struct key_settings *k, const struct dest_settings *d)
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
	struct part at = part_of(c, "destinations", d->name, why);
	char what[160];
	if (d->lanes_token && s->n_keys == 0 && !s->ingest_keys_dir)
		return refuse(&at, "needs access keys, and there are none: set keys.NAME.file", "lanes.token");
	snprintf(what, sizeof what, "is missing: destinations.%.64s sends the key itself (lanes.token)", d->name);
	for (size_t i = 0; d->lanes_token && i < s->n_keys; i++) {
		at = part_of(c, "keys", s->keys[i].name, why);
		if (!s->keys[i].file && key_takes(&s->keys[i], d))
			return refuse(&at, what, "file");
	}
	return SP_OK;
}

static enum sp_status check_tenant(const struct part *at, const struct key_settings *k)
{
	enum sp_status status = check_labels(at, "labels", &k->labels);
	return status == SP_OK ? check_filters(at, &k->filters) : status;
}

/* What ship needs of the access keys. */
static enum sp_status check_key(const struct conf *c, const struct settings *s, const struct key_settings *k, struct sp_why *why)
{
	const struct part at = part_of(c, "keys", k->name, why);
	char what[120];
	for (size_t i = 0; i < k->destinations.n; i++) {
		size_t d = 0;
		while (d < s->n_dests && strcmp(s->dests[d].name, k->destinations.v[i]) != 0)
			d++;
		snprintf(what, sizeof what, "names \"%.64s\", and there is no such destination", k->destinations.v[i]);
		if (d == s->n_dests)
			return refuse(&at, what, "destinations");
	}
	return check_tenant(&at, k);
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
static enum sp_status check_secret(const struct part *at, const struct key_settings *k)
{
	char place[256];
	uint8_t digest[32];
	if (!!k->file + !!k->value + !!k->hash.n != 1)
		return sp_fail(at->why, SP_CONFIG, "%s%s needs either file, hash or value", where(at->c, at->path, place, sizeof place), at->path);
	if (k->hash.n > ACCESS_HASHES_MAX)
		return refuse(at, "has more than 8 items", "hash");
	for (size_t i = 0; i < k->hash.n; i++)
		if (!access_hash_parse(k->hash.v[i], digest))
			return refuse(at, "is wrong: right is sha256: and 64 hexadecimal digits, as `standpipe keys new` writes it", "hash");
	return SP_OK;
}

enum sp_status settings_check_key(const struct conf *c, const struct settings *s, const char *name, struct sp_why *why)
{
	const struct part at = part_of(c, "keys", name, why);
	enum sp_status status = SP_OK;
	for (size_t i = 0; i < s->n_keys && status == SP_OK; i++) {
		if (strcmp(s->keys[i].name, name) != 0)
			continue;
		status = check_secret(&at, &s->keys[i]);
		if (status == SP_OK)
			status = check_tenant(&at, &s->keys[i]);
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
	const struct part at = {c, "ingest", why};
	char place[256];
	const struct rule rules[] = {{!s->ingest_listen, "listen", "is empty: right are :443, 127.0.0.1:8080"},
	    {s->ingest_tls_key && !s->ingest_tls_cert, "tls.cert", "is missing: cert and key go together"},
	    {s->ingest_tls_cert && !s->ingest_tls_key, "tls.key", "is missing: cert and key go together"},
	    {s->ingest_paths.n == 0, "paths", "is empty"}};
	enum sp_status status = CHECK_RULES(&at, rules);
	for (size_t i = 0; i < s->ingest_paths.n && status == SP_OK; i++)
		if (s->ingest_paths.v[i][0] != '/')
			status = refuse(&at, "holds a path that does not begin with /", "paths");
	for (size_t i = 0; i < s->n_keys && status == SP_OK; i++) {
		const struct part key = part_of(c, "keys", s->keys[i].name, why);
		status = check_secret(&key, &s->keys[i]);
	}
	if (status != SP_OK)
		return status;
	if (s->n_keys == 0 && !s->ingest_keys_dir && !s->ingest_allow_unauthenticated && !loopback_address(s->ingest_listen))
		return sp_fail(why, SP_CONFIG,
		    "%sno access key is configured, and ingest.listen %s is open to others: set keys.NAME.file, or "
		    "ingest.allow_unauthenticated: true",
		    where(c, "ingest.listen", place, sizeof place), s->ingest_listen);
	if (s->ingest_max_body > s->memory / 2)
		return sp_fail(why, SP_CONFIG,
		    "%sone body of ingest.max_body must fit into half of runtime.memory: raise runtime.memory to at least %lldMiB, or lower "
		    "ingest.max_body",
		    where(c, "ingest.max_body", place, sizeof place), (long long)((s->ingest_max_body * 2 + (1 << 20) - 1) >> 20));
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
		const struct part at = part_of(c, "destinations", d->name, why);
		bool drops = strcmp(d->on_full, "drop") == 0;
		if (d->queue_max > s->spool_max)
			return refuse(&at, "is more than spool.max: the spool is full first, for all destinations", "queue_max");
		if (!d->queue_max && (d->lanes_by || drops))
			d->queue_max = s->spool_max / 2 / n;
		if (drops &&
		    (__builtin_add_overflow(dropped, d->queue_max, &dropped) || dropped > s->spool_max - s->spool_max / 4))
			return refuse(&at, "is too large: the queues of destinations with on_full: drop may take three quarters of spool.max in all",
			    "queue_max");
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
