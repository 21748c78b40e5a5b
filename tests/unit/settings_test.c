/* What a person who writes the configuration is told: file, line, setting, and what would be right. */
#include "common/conf.h"
#include "common/receivers.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#define DEST "destinations: {main: {url: https://r.example/push}}\n"
#define OPEN "ingest: {listen: 127.0.0.1:8080}\n"

static enum sp_status load_env(
    const char *yaml, const char *const *env, enum sp_role role, struct settings **out, struct sp_why *why)
{
	struct conf *c = conf_new();
	enum sp_status status = conf_read_yaml_text(c, "s.yaml", sp_str(yaml), why);
	if (status == SP_OK)
		status = conf_read_env(c, (char *const *)env, why);
	if (status == SP_OK)
		status = settings_load(c, role, out, why);
	conf_free(&c);
	return status;
}

static enum sp_status load(const char *yaml, enum sp_role role, struct settings **out, struct sp_why *why)
{
	return load_env(yaml, (const char *const[]){NULL}, role, out, why);
}

static void the_smallest_file_of_the_readme_is_enough(void **state)
{
	(void)state;
	struct settings *s;
	struct sp_why why = {0};
	assert_int_equal(
	    load("ingest: {listen: \":443\", tls: {cert: /c, key: /k}}\n"
		 "keys: {prod: {file: /etc/standpipe/prod.key}}\n"
		 "destinations: {mimir: {receiver: mimir, url: https://m.example/api/v1/push, bearer_token_file: /t,\n"
		 "  external_labels: {cluster: a}, statistics: [sum, average], headers: {X-Scope-OrgID: t1}}}\n"
		 "spool: {dir: /var/lib/standpipe, max: 20GiB}\n",
		SP_ROLE_ALL, &s, &why),
	    SP_OK);
	assert_string_equal(s->ingest_listen, ":443");
	assert_true(s->spool_max == (int64_t)20 << 30);
	assert_int_equal(s->n_keys, 1);
	assert_string_equal(s->keys[0].name, "prod");
	assert_string_equal(s->dests[0].receiver, "mimir");
	assert_string_equal(s->dests[0].external_labels.names[0], "cluster");
	assert_string_equal(s->dests[0].headers.values[0], "t1");
	assert_int_equal(s->dests[0].statistics.n, 2);
	assert_int_equal(s->dests[0].backoff_max, 30000);
	assert_string_equal(s->ingest_paths.v[1], "/firehose");
	settings_free(&s);
	settings_free(&s);
}

static void a_refusal_names_file_line_and_what_is_right(void **state)
{
	(void)state;
	static const struct {
		const char *yaml, *message; /* a part of it */
	} cases[] = {
	    {"spool:\n  maxx: 5GiB\n" DEST OPEN, "s.yaml:2: there is no setting spool.maxx; did you mean spool.max?"},
	    {"\ndestination: {main: {url: https://x/}}\n",
		"s.yaml:2: there is no setting destination.main.url; did you mean destinations.main.url?"},
	    {"destinations:\n  main:\n    url: https://x/\n    shardz: 4\n",
		"s.yaml:4: there is no setting destinations.main.shardz; did you mean destinations.main.shards?"},
	    {"zebra: 1\n", "s.yaml:1: there is no setting zebra (`standpipe help settings` lists them)"},
	    {"spool:\n  max: 20\n",
		"s.yaml:2: spool.max is \"20\": right is a whole number with its unit (B, KiB, MiB, GiB, TiB)"},
	    {"spool: {max: 20GB}\n", "right is a whole number with its unit"},
	    {"spool: {max: 99999999999999999999GiB}\n", "right is a whole number with its unit"},
	    {"spool: {max: 9000000000TiB}\n", "right is a whole number with its unit"},
	    {"spool: {max: 1MiB}\n", "spool.max is \"1MiB\": right is 4MiB.."},
	    {"ingest: {deadline: 5}\n", "ms, s, m, h, d"},
	    {"ingest: {deadline: 10m}\n", "right is 1s..170s"},
	    {"ingest: {max_connections: -1}\n", "right is a whole number"},
	    {"log:\n\n  level: loud\n", "s.yaml:3: log.level is \"loud\": right is debug|info|warn|error"},
	    {"admin: {allow_reload: yes}\n", "right is true or false"},
	    {"spool: {max: }\n", "spool.max has no value"},
	    {"spool: 5\n", "spool is a section, not a setting"},
	    {"spool: {max: [1GiB, 2GiB]}\n", "spool.max takes one value, not a list"},
	    {"spool: {max: 5GiB}\nlog: {level: info}\nspool: {max: 6GiB}\n",
		"s.yaml:3: spool.max is there twice (first at s.yaml:1)"},
	    {"destinations: {Main: {url: https://x/}}\n", "\"Main\" cannot be a name in destinations"},
	    {"destinations: {a__b: {url: https://x/}}\n", "cannot be a name in destinations"},
	    {"destinations: {a: {statistics: [sum, media]}}\n", "right is sum|sample_count"},
	    {"destinations: {a: {headers: x}}\n", "takes names with values below it"},
	    {"spool: &a {max: 5GiB}\nlog: *a\n", "aliases (*name) are not supported"},
	    {"spool: {max: 5GiB}\n---\nspool: {max: 6GiB}\n", "only one document"},
	    {"- a\n", "a configuration consists of sections"},
	    {"spool: {max: 5GiB\n", "s.yaml:2:"},
	    {"a: {a: {a: {a: {a: {a: {a: {a: {a: {a: 1}}}}}}}}}}\n", "too deep"},
	};
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct settings *s = NULL;
		struct sp_why why = {0};
		if (load(cases[i].yaml, SP_ROLE_RUN, &s, &why) != SP_CONFIG || !strstr(why.text, cases[i].message))
			fail_msg("case %zu: %s\nwanted: %s", i, why.text, cases[i].message);
	}
}

static void the_rules_between_settings_hold(void **state)
{
	(void)state;
#define D(more) "destinations:\n main: {url: \"http://r.example/\", " more "}\n"
	static const struct {
		enum sp_role role;
		const char *yaml, *message; /* NULL: fine */
	} cases[] = {
	    {SP_ROLE_SHIP, "", "no destination is configured"},
	    {SP_ROLE_INGEST, "keys: {a: {file: /k}}\n", NULL}, /* ingest needs no destination */
	    {SP_ROLE_SHIP, "destinations:\n  main:\n", "s.yaml:2: destinations.main.url is missing"},
	    {SP_ROLE_SHIP, "destinations: {main: {url: ftp://x/}}\n", "is not a URL"},
	    {SP_ROLE_SHIP, "destinations: {main: {url: \"https://\"}}\n", "is not a URL"},
	    {SP_ROLE_SHIP, "destinations: {main: {url: \"https://u:p@h/\"}}\n", "credentials go into basic_auth"},
	    {SP_ROLE_SHIP, D("shards: 2"), NULL},
	    {SP_ROLE_SHIP, D("bearer_token_file: /t"),
		"s.yaml:2: destinations.main.url would send credentials unencrypted"},
	    {SP_ROLE_SHIP, D("bearer_token_file: /t, allow_plain_credentials: true"), NULL},
	    {SP_ROLE_SHIP, "destinations: {main: {url: \"http://127.0.0.1:9090/w\", bearer_token_file: /t}}\n", NULL},
	    {SP_ROLE_SHIP, "destinations: {main: {url: \"http://[::1]:9090/w\", bearer_token_file: /t}}\n", NULL},
	    {SP_ROLE_SHIP, "destinations: {main: {url: \"http://127.example/w\", bearer_token_file: /t}}\n",
		"unencrypted"},
	    {SP_ROLE_SHIP, D("bearer_token_file: /t, basic_auth: {username: u, password_file: /p}"),
		"exclude each other"},
	    {SP_ROLE_SHIP, D("authorization: {credentials_file: /c}, basic_auth: {username: u, password_file: /p}"),
		"s.yaml:2: destinations.main.authorization and basic_auth exclude each other"},
	    {SP_ROLE_SHIP, D("authorization: {credentials_file: /c}"), "would send credentials unencrypted"},
	    {SP_ROLE_SHIP, D("authorization: {type: Token}"), "authorization.credentials_file is missing"},
	    {SP_ROLE_SHIP, D("authorization: {type: Basic, credentials_file: /c}"), "authorization.type is wrong"},
	    {SP_ROLE_SHIP, D("header_files: {X-Key: /k}"), "would send credentials unencrypted"},
	    {SP_ROLE_SHIP, D("header_files: {authorization: /k}, allow_plain_credentials: true"), "header_files.authorization cannot be set here"},
	    {SP_ROLE_SHIP, D("header_files: {x-key: /k}, headers: {X-Key: a}, allow_plain_credentials: true"), "header_files.x-key is in headers too"},
	    {SP_ROLE_SHIP, D("sigv4: {region: eu-west-1}"), NULL},
	    {SP_ROLE_SHIP, D("sigv4: {}"), "s.yaml:2: destinations.main.sigv4.region is missing"},
	    {SP_ROLE_SHIP, D("sigv4: {profile: p}"), "destinations.main.sigv4.region is missing"},
	    {SP_ROLE_SHIP, "destinations: {main: {url: \"https://aps-workspaces.eu-west-1.amazonaws.com/w\", bearer_token_file: /t}}\n",
		"sigv4 and bearer_token_file exclude each other"},
	    {SP_ROLE_SHIP, D("basic_auth: {username: u}"), "basic_auth.password_file is missing"},
	    {SP_ROLE_SHIP, D("tls_config: {cert_file: /c}"), "tls_config.key_file is missing"},
	    {SP_ROLE_SHIP, D("headers: {content-type: x}"), "headers.content-type cannot be set"},
	    {SP_ROLE_SHIP, D("headers: {Authorization: x}"), "use basic_auth, bearer_token_file, authorization or sigv4"},
	    {SP_ROLE_SHIP, D("headers: {\"a b\": x}"), "is not the name of a header"},
	    {SP_ROLE_SHIP, D("headers: {a: \"x\\r\\ny\"}"), "without a line break"},
	    {SP_ROLE_SHIP, D("external_labels: {a-b: x}"), "is not the name of a label"},
	    {SP_ROLE_SHIP, D("external_labels: {quantile: x}"), "is not the name of a label"},
	    {SP_ROLE_SHIP, D("logzio: {bugs: [all]}"), "right is lowercase_values|"},
	    {SP_ROLE_SHIP, D("backoff: {min: 2s}"), "backoff.unreachable_max is less than backoff.min"},
	    {SP_ROLE_SHIP, D("on_full: drop, queue_max: 8GiB"), "destinations.main.queue_max is too large"},
	    {SP_ROLE_SHIP, D("queue_max: 10GiB"), NULL},
	    {SP_ROLE_SHIP, D("queue_max: 11GiB"), "s.yaml:2: destinations.main.queue_max is more than spool.max"},
	    {SP_ROLE_SHIP, "destinations: {main: {receiver: logzio, logzio: {region: us-gov-west-1}}}\n", NULL},
	    {SP_ROLE_SHIP, "destinations: {main: {receiver: logzio, logzio: {region: Frankfurt}}}\n",
		"s.yaml:1: destinations.main.logzio.region is wrong: right is a name such as eu-central-1"},
	    {SP_ROLE_SHIP, D("probe: {min: 20m}"), "probe.max is less than probe.min"},
	    {SP_ROLE_SHIP, "destinations: {main: {receiver: logzio, bearer_token_file: /t}}\n", NULL},
	    {SP_ROLE_SHIP, "destinations: {main: {receiver: mimir}}\n", "destinations.main.url is missing"},
	    {SP_ROLE_SHIP, D("filters: [{action: include, namespace: [AWS/EC2, AWS/EBS]}]"), NULL},
	    {SP_ROLE_SHIP, D("filters: [{acton: include}]"), "destinations.main.filters.0.acton: right is name|action|"},
	    {SP_ROLE_SHIP, D("filters: [{metric: x}]"), "destinations.main.filters.0 needs an action"},
	    {SP_ROLE_SHIP, D("filters: [{action: include, metric: x}, {name: all, action: exclude}]"),
		"destinations.main.filters.1 fits everything"},
	    {SP_ROLE_SHIP, D("filters: [{action: exclude, namespace: []}]"), "destinations.main.filters.0 fits everything"},
	    {SP_ROLE_SHIP, D("filters: [{action: exclude, dimensions: []}]"), NULL},
	    {SP_ROLE_SHIP, D("filters: [a, b]"), "takes rules"},
	    {SP_ROLE_SHIP, D("filters: [{action: include, metric: x}, b]"), "must have names and values"},
	    {SP_ROLE_SHIP, D("filters: x"), "a list of rules, not one value"},
	    {SP_ROLE_SHIP, D("filters: []"), NULL},
	    {SP_ROLE_SHIP, D("statistics_overrides: [{metric: x}]"), "needs statistics"},
	    {SP_ROLE_SHIP, D("statistics_overrides: [{metric: x, statistics: [sum, mean]}]"), "names a statistic"},
	    {SP_ROLE_SHIP, D("statistics_overrides: [{metric: x, statistics: []}]"), NULL},
	    {SP_ROLE_SHIP, D("write_relabel_configs: [{source_labels: [a, b], regex: \"x;y\", action: drop}]"), NULL},
	    {SP_ROLE_SHIP, DEST "keys: {a: {destinations: [other]}}\n", "keys.a.destinations names \"other\""},
	    {SP_ROLE_SHIP, DEST "keys: {a: {destinations: [main], labels: {__x: y}}}\n", "not the name of a label"},
	    {SP_ROLE_SHIP, D("lanes: {by: account, header: X-Scope-OrgID, map: {\"1\": a, \"2\": b}, default: c}"), NULL},
	    {SP_ROLE_SHIP, D("lanes: {by: \"attribute:team\", header: X-Scope-OrgID, max: 20}"), NULL},
	    {SP_ROLE_SHIP, D("lanes: {header: X-Scope-OrgID}"), "destinations.main.lanes.by is missing"},
	    {SP_ROLE_SHIP, D("lanes: {by: \"attribute:\", header: X}"), "right are key, account, attribute:NAME"},
	    {SP_ROLE_SHIP, D("lanes: {by: stream, header: X}"), "right are key, account, attribute:NAME"},
	    {SP_ROLE_SHIP, D("lanes: {by: account}"), "destinations.main.lanes needs lanes.header or lanes.token"},
	    {SP_ROLE_SHIP, D("lanes: {by: account, header: Host}"), "destinations.main.lanes.header cannot be set"},
	    {SP_ROLE_SHIP, D("lanes: {by: account, header: X-T}, headers: {x-t: a}"), "headers.x-t is lanes.header too"},
	    {SP_ROLE_SHIP, D("lanes: {by: account, header: X, map: {\"1\": a b}}"), "lanes.map.1 is wrong"},
	    {SP_ROLE_SHIP, D("lanes: {by: account, header: X, default: \"\\u00e4\"}"), "lanes.default is wrong"},
#define TOKEN(more, keys) "destinations: {main: {url: \"https://r.example/\", lanes: {by: key, token: key" more "}}}\nkeys: {" keys "}\n"
	    {SP_ROLE_SHIP, TOKEN("", "a: {file: /k}"), NULL},
	    {SP_ROLE_SHIP, TOKEN(", default: x", "a: {file: /k}"), "lanes.default and lanes.token exclude each other"},
	    {SP_ROLE_SHIP, TOKEN("", "a: {labels: {x: y}}"), "keys.a.file is missing: destinations.main sends the key itself"},
	    {SP_ROLE_SHIP, TOKEN("", ""), "lanes.token needs access keys"},
	    {SP_ROLE_SHIP, "destinations: {main: {url: \"https://r.example/\", lanes: {by: key, token: key}}}\ningest: {keys_dir: /k}\n", NULL},
	    {SP_ROLE_SHIP, D("lanes: {by: key, token: key}") "keys: {a: {file: /k}}\n", "would send credentials unencrypted"},
	    {SP_ROLE_SHIP, D("lanes: {by: account, token: key, header: X}, allow_plain_credentials: true"), "goes with lanes.by: key only"},
	    {SP_ROLE_SHIP, D("lanes: {by: key, token: key}, bearer_token_file: /t, allow_plain_credentials: true"),
		"lanes.token and bearer_token_file exclude each other"},
	    {SP_ROLE_INGEST, "keys: {a: {hash: [\"sha256:ab\"], value: x}}\n", "either file, hash or value"},
	    {SP_ROLE_INGEST, "ingest: {keys_dir: /k}\n", NULL},
	    {SP_ROLE_INGEST, "", "no access key is configured"},
	    {SP_ROLE_INGEST, "ingest: {listen: 127.0.0.1:1}\n", NULL},
	    {SP_ROLE_INGEST, "ingest: {allow_unauthenticated: true}\n", NULL},
	    {SP_ROLE_INGEST, "ingest: {listen: \"\"}\n", "ingest.listen is empty"},
	    {SP_ROLE_INGEST, "keys: {a: {}}\n", "keys.a needs either file, hash or value"},
	    {SP_ROLE_INGEST, OPEN "keys: {a: {file: /k, value: v}}\n", "keys.a needs either file, hash or value"},
	    {SP_ROLE_INGEST, "ingest: {listen: 127.0.0.1:1, tls: {cert: /c}}\n", "ingest.tls.key is missing"},
	    {SP_ROLE_INGEST, "ingest: {listen: 127.0.0.1:1, paths: [x]}\n", "does not begin with /"},
	    {SP_ROLE_INGEST, "ingest: {listen: 127.0.0.1:1, max_body: 200MiB}\n",
		"raise runtime.memory to at least 400MiB"},
	    {SP_ROLE_RUN,
		"runtime: {dir: /a23456789/a23456789/a23456789/a23456789/a23456789/a23456789/a23456789/a23456789/a}\n",
		"runtime.dir"},
	};
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct settings *s = NULL;
		struct sp_why why = {0};
		enum sp_status status = load(cases[i].yaml, cases[i].role, &s, &why);
		if (cases[i].message ? status != SP_CONFIG || !strstr(why.text, cases[i].message) : status != SP_OK)
			fail_msg(
			    "case %zu: %s\nwanted: %s", i, why.text, cases[i].message ? cases[i].message : "no error");
		settings_free(&s);
	}
}

static void a_destination_that_must_not_fill_the_spool_has_a_limit(void **state)
{
	(void)state;
	struct settings *s = NULL;
	struct sp_why why = {0};
	assert_int_equal(load("spool: {max: 8GiB}\ndestinations:\n drops: {url: https://x/, on_full: drop}\n own: {url: https://x/, on_full: drop, queue_max: 1GiB}\n"
			      " lanes: {url: https://x/, lanes: {by: key, header: X}}\n plain: {url: https://x/}\n", SP_ROLE_SHIP, &s, &why), SP_OK);
	for (size_t i = 0; i < s->n_dests; i++) {
		const char *name = s->dests[i].name;
		int64_t want = strcmp(name, "plain") == 0 ? 0 : strcmp(name, "own") == 0 ? 1 << 30 : ((int64_t)4 << 30) / 3;
		assert_int_equal(s->dests[i].queue_max, want);
	}
	settings_free(&s);
}

static void the_environment_overrides_and_only_double_underscores_are_ours(void **state)
{
	(void)state;
	const char *const env[] = {"HOME=/", "STANDPIPE_SERVICE_HOST=10.0.0.1", "STANDPIPE_CRASH_AT=x",
	    "STANDPIPE_SPOOL__MAX=7GiB", "STANDPIPE_KEYS__PROD_2__FILE=/k",
	    "STANDPIPE_DESTINATIONS__A_B__URL=https://x/", "STANDPIPE_DESTINATIONS__A_B__STATISTICS=sum, average",
	    "STANDPIPE_DESTINATIONS__A_B__EXTERNAL_LABELS__CLUSTER=one", NULL};
	struct settings *s = NULL;
	struct sp_why why = {0};
	assert_int_equal(load_env("spool: {max: 5GiB}\n", env, SP_ROLE_ALL, &s, &why), SP_OK);
	assert_true(s->spool_max == (int64_t)7 << 30);
	assert_string_equal(s->keys[0].name, "prod_2");
	assert_string_equal(s->dests[0].name, "a_b");
	assert_int_equal(s->dests[0].statistics.n, 2);
	assert_string_equal(s->dests[0].statistics.v[1], "average");
	assert_string_equal(s->dests[0].external_labels.names[0], "cluster");
	settings_free(&s);
	const char *const bad[] = {"STANDPIPE_SPOOL__MAXI=7GiB", NULL};
	assert_int_equal(load_env(DEST OPEN, bad, SP_ROLE_ALL, &s, &why), SP_CONFIG);
	assert_string_equal(why.text, "STANDPIPE_SPOOL__MAXI: there is no setting spool.maxi; did you mean spool.max?");
}

static void rules_keep_their_order_and_lists(void **state)
{
	(void)state;
	const char *const env[] = {"STANDPIPE_DESTINATIONS__MAIN__WRITE_RELABEL_CONFIGS__1__REGEX=b", NULL};
	struct settings *s = NULL;
	struct sp_why why = {0};
	assert_int_equal(load_env("destinations:\n  main:\n    url: https://x/\n    write_relabel_configs:\n"
				  "    - source_labels: [__name__, job]\n      regex: a\n    - regex: x\n      action: labeldrop\n",
			     env, SP_ROLE_SHIP, &s, &why),
	    SP_OK);
	assert_int_equal(s->dests[0].relabel.n, 2);
	assert_string_equal(sp_map_get(&s->dests[0].relabel.v[0], "source_labels"), "__name__\njob");
	assert_string_equal(sp_map_get(&s->dests[0].relabel.v[1], "regex"), "b");
	assert_null(sp_map_get(&s->dests[0].relabel.v[1], "modulus"));
	settings_free(&s);
	const char *const gap[] = {"STANDPIPE_DESTINATIONS__MAIN__WRITE_RELABEL_CONFIGS__1__REGEX=b", NULL};
	assert_int_equal(load_env(DEST, gap, SP_ROLE_SHIP, &s, &why), SP_CONFIG);
	assert_non_null(strstr(why.text, "the first numbered 0"));
}

static void a_secret_is_never_shown(void **state)
{
	(void)state;
	struct settings *s = NULL;
	struct sp_why why = {0};
	assert_int_equal(load("keys: {a: {value: \"hush\\nhush\"}}\n", SP_ROLE_INGEST, &s, &why), SP_CONFIG);
	assert_null(strstr(why.text, "hush"));
}

static void a_kind_of_receiver_sets_what_is_not_written(void **state)
{
	(void)state;
	struct settings *s;
	struct sp_why why = {0};
	static const char yaml[] = "destinations:\n"
				   "  a: {receiver: mimir, url: https://m/, label_limit: 50, lanes: {by: account}}\n"
				   "  b: {label_limit: 0, url: https://v/, receiver: victoriametrics}\n"
				   "  c: {url: https://p/, label_value_length_limit: 7}\n";
	assert_int_equal(load_env(yaml, (const char *const[]){"STANDPIPE_DESTINATIONS__C__RECEIVER=grafana-cloud", NULL}, SP_ROLE_SHIP, &s, &why), SP_OK);
	assert_string_equal(s->dests[0].lanes_header, "X-Scope-OrgID");
	assert_null(s->dests[1].lanes_header);
	assert_int_equal(s->dests[0].label_limit, 50);
	assert_int_equal(s->dests[0].label_name_limit, 1024);
	assert_int_equal(s->dests[0].label_value_limit, 2048);
	assert_int_equal(s->dests[1].label_limit, 0);
	assert_int_equal(s->dests[1].label_value_limit, 4096);
	assert_int_equal(s->dests[2].label_name_limit, 1024);
	assert_int_equal(s->dests[2].label_value_limit, 7);
	settings_free(&s);
}

/* Every choice of the setting is a row of the table, and what it sets can be set. */
static void every_kind_of_receiver_can_be_chosen(void **state)
{
	(void)state;
	struct settings *s;
	struct sp_why why = {0}, none;
	char yaml[200], *rest = NULL;
	size_t n = 0;
	assert_int_equal(load("destinations: {a: {url: https://a/, receiver: x}}\n", SP_ROLE_SHIP, &s, &why), SP_CONFIG);
	char *choices = strstr(why.text, "right is ");
	assert_non_null(choices);
	for (char *kind = strtok_r(choices + strlen("right is "), "|", &rest); kind; kind = strtok_r(NULL, "|", &rest), n++) {
		snprintf(yaml, sizeof yaml, "destinations: {a: {url: https://a/, receiver: %s}}\n", kind);
		assert_int_equal(load(yaml, SP_ROLE_SHIP, &s, &none), SP_OK);
		assert_non_null(receiver_kind(kind));
		settings_free(&s);
	}
	assert_true(n >= 8);
}

static void names_are_sorted_and_described(void **state)
{
	(void)state;
	struct settings *s = NULL;
	struct sp_why why = {0};
	assert_int_equal(load("destinations: {b: {url: https://b/}, c: {url: https://c/}, a: {url: https://a/}}\n",
			     SP_ROLE_SHIP, &s, &why),
	    SP_OK);
	assert_string_equal(s->dests[0].url, "https://a/");
	assert_string_equal(s->dests[2].name, "c");
	settings_free(&s);
	struct sp_buf text = {0};
	settings_describe(&text);
	sp_buf_u8(&text, 0);
	assert_non_null(strstr((char *)text.p, "| `destinations.NAME.backoff.min` | time | 100ms | 1ms..10m | ship |"));
	assert_non_null(strstr((char *)text.p, "| auto, text, json | all |"));
	sp_buf_free(&text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(the_smallest_file_of_the_readme_is_enough),
	    cmocka_unit_test(a_refusal_names_file_line_and_what_is_right),
	    cmocka_unit_test(the_rules_between_settings_hold),
	    cmocka_unit_test(a_destination_that_must_not_fill_the_spool_has_a_limit),
	    cmocka_unit_test(the_environment_overrides_and_only_double_underscores_are_ours),
	    cmocka_unit_test(rules_keep_their_order_and_lists),
	    cmocka_unit_test(a_secret_is_never_shown),
	    cmocka_unit_test(a_kind_of_receiver_sets_what_is_not_written),
	    cmocka_unit_test(every_kind_of_receiver_can_be_chosen),
	    cmocka_unit_test(names_are_sorted_and_described),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
