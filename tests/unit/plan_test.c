/* Settings to plan: who shares a group, and when the epoch is another one. */
#include "proto/plan.h"

#include "common/alloc.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

static struct settings *settings_of(const char *yaml)
{
	struct conf *c = conf_new();
	struct settings *s;
	struct sp_why why = {.text = ""};
	enum sp_status status = conf_read_yaml_text(c, "test.yaml", sp_str(yaml), &why);
	if (status == SP_OK)
		status = settings_load(c, SP_ROLE_SHIP, &s, &why);
	if (status != SP_OK)
		fail_msg("%s", why.text);
	conf_free(&c);
	return s;
}

static uint64_t epoch_of(const char *yaml)
{
	struct settings *s = settings_of(yaml);
	struct plan *p = plan_new(s, NULL, (const uint32_t[]){1, 2, 3, 4});
	uint64_t epoch = p->message.epoch;
	plan_free(&p);
	settings_free(&s);
	return epoch;
}

static void equal_mappings_share_a_group(void **state)
{
	struct settings *s = settings_of("destinations:\n"
					 "  a: {url: 'http://127.0.0.1:1/a'}\n"
					 "  b: {url: 'http://127.0.0.1:1/b', external_labels: {site: x}}\n"
					 "  c: {url: 'http://127.0.0.1:1/c', receiver: thanos}\n"
					 "  d: {url: 'http://127.0.0.1:1/d', timestamp: start}\n");
	struct plan *p = plan_new(s, NULL, (const uint32_t[]){7, 8, 9, 10});
	(void)state;
	assert_int_equal(p->message.n_groups, 3);
	assert_int_equal(p->dests[0].n, 2);
	assert_int_equal(p->dests[0].ids[0], 7);
	assert_int_equal(p->dests[0].ids[1], 9);
	assert_int_equal(p->dests[1].n, 1);
	assert_int_equal(p->dests[1].ids[0], 8);
	assert_int_equal(p->message.groups[1]->id, 1);
	assert_int_equal(p->message.groups[1]->n_external_labels, 1);
	assert_string_equal(p->message.groups[1]->external_labels[0]->name, "site");
	assert_false(p->message.groups[0]->stamp_start);
	assert_true(p->message.groups[2]->stamp_start);
	assert_int_equal(p->message.groups[0]->shards, 4);
	assert_int_equal(p->message.groups[0]->max_samples, 5000);
	assert_true(p->message.max_future_ms > 0);

	/* It survives the wire. */
	size_t n = standpipe__plan__get_packed_size(&p->message);
	uint8_t *packed = sp_alloc(n);
	standpipe__plan__pack(&p->message, packed);
	Standpipe__Plan *again = standpipe__plan__unpack(NULL, n, packed);
	assert_non_null(again);
	assert_int_equal(again->epoch, p->message.epoch);
	assert_int_equal(again->n_groups, 3);
	standpipe__plan__free_unpacked(again, NULL);
	sp_free(packed);
	plan_free(&p);
	settings_free(&s);
}

static void the_epoch_is_the_content(void **state)
{
	uint64_t one = epoch_of("destinations: {a: {url: 'http://127.0.0.1:1/a'}}");
	(void)state;
	assert_true(one != 0);
	assert_true(one == epoch_of("destinations: {a: {url: 'http://127.0.0.1:1/a'}}"));
	assert_true(one == epoch_of("destinations: {other: {url: 'http://127.0.0.1:2/b', receiver: thanos}}"));
	assert_true(one != epoch_of("destinations: {a: {url: 'http://127.0.0.1:1/a', shards: 8}}"));
	assert_true(one != epoch_of("destinations: {a: {url: 'http://127.0.0.1:1/a', external_labels: {b: c}}}"));
	assert_true(one != epoch_of("destinations: {a: {url: 'http://127.0.0.1:1/a', lanes: {by: account, header: X}}}"));
}

static const Standpipe__Group *group_of(const struct plan *p, size_t tenant, size_t i)
{
	assert_true(i < p->message.tenants[tenant]->n_groups);
	return p->message.groups[p->message.tenants[tenant]->groups[i]];
}

static void a_key_with_settings_of_its_own_is_a_tenant(void **state)
{
	struct settings *s = settings_of("destinations:\n"
					 "  a: {url: 'http://127.0.0.1:1/a', external_labels: {site: x, team: none}}\n"
					 "  b: {url: 'http://127.0.0.1:1/b', filters: [{action: exclude, metric: [x, 'y*']}]}\n"
					 "keys:\n"
					 "  plain: {file: /k}\n"
					 "  named: {file: /k, destinations: [a], labels: {team: core}}\n"
					 "  narrow: {file: /k, naming: yace, filters: [{name: ec2, action: include, namespace: AWS/EC2}]}\n"
					 "  some: {file: /k, destinations: [b]}\n");
	struct plan *p = plan_new(s, NULL, (const uint32_t[]){7, 8});
	(void)state;
	assert_int_equal(p->message.n_tenants, 4); /* "", named, narrow, some: in the order of the settings */
	assert_string_equal(p->message.tenants[0]->key_name, "");
	assert_int_equal(p->message.tenants[0]->n_groups, 2);
	assert_string_equal(p->message.tenants[1]->key_name, "named");
	assert_int_equal(p->message.tenants[1]->n_groups, 1);
	assert_int_equal(p->dests[group_of(p, 1, 0)->id].ids[0], 7);
	assert_int_equal(group_of(p, 1, 0)->n_external_labels, 2);
	assert_string_equal(group_of(p, 1, 0)->external_labels[0]->value, "core"); /* the key's, not the destination's */
	assert_int_equal(p->message.tenants[2]->n_groups, 2);
	assert_string_equal(group_of(p, 2, 0)->naming, "yace");
	assert_int_equal(group_of(p, 2, 1)->n_filter_sets, 2); /* the destination's and the key's */
	assert_int_equal(group_of(p, 2, 1)->filter_sets[0]->filters[0]->n_metrics, 2);
	assert_string_equal(group_of(p, 2, 1)->filter_sets[1]->filters[0]->name, "ec2");
	assert_true(group_of(p, 3, 0) == group_of(p, 0, 1)); /* the same mapping for the same destinations is one group */
	plan_free(&p);
	settings_free(&s);
}

static void a_wrong_relabelling_rule_is_refused_with_its_place(void **state)
{
	(void)state;
	static const char *const cases[][2] = {
	    {"{regex: '[a', source_labels: [x], target_label: y}", "test.yaml:4: destinations.a.write_relabel_configs.1: regex \"[a\""},
	    {"{action: keepequal, source_labels: [x]}", "write_relabel_configs.1: action keepequal needs target_label"},
	    {"{action: hashmod, source_labels: [x], target_label: y, modulus: 4x}", "modulus \"4x\" is not a number"},
	};
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		char yaml[400];
		struct sp_why why = {.text = ""};
		snprintf(yaml, sizeof yaml, "destinations:\n  a: {url: 'http://127.0.0.1:1/a', write_relabel_configs: [\n"
		    "    {target_label: env, replacement: ''},\n    %s]}\n", cases[i][0]);
		struct settings *s = settings_of(yaml);
		assert_int_equal(plan_check(s, &why), SP_CONFIG);
		if (!strstr(why.text, cases[i][1]))
			fail_msg("%s", why.text);
		settings_free(&s);
	}
}

static void a_plan_that_no_worker_could_receive_is_refused(void **state)
{
	(void)state;
	struct sp_buf yaml = {0};
	struct sp_why why = {.text = ""};
	sp_buf_str(&yaml, "destinations: {a: {url: 'http://127.0.0.1:1/a', external_labels: {much: ");
	for (int i = 0; i < 400000; i++)
		sp_buf_u8(&yaml, 'x');
	sp_buf_str(&yaml, "}}}\nkeys:\n");
	for (int i = 0; i < 50; i++)
		sp_buf_printf(&yaml, "  k%d: {labels: {team: t%d}}\n", i, i);
	sp_buf_u8(&yaml, 0);
	struct settings *s = settings_of((char *)yaml.p);
	assert_int_equal(plan_check(s, &why), SP_CONFIG);
	assert_non_null(strstr(why.text, "plan"));
	settings_free(&s);
	sp_buf_free(&yaml);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_plan_that_no_worker_could_receive_is_refused),
	    cmocka_unit_test(equal_mappings_share_a_group), cmocka_unit_test(the_epoch_is_the_content),
	    cmocka_unit_test(a_key_with_settings_of_its_own_is_a_tenant),
	    cmocka_unit_test(a_wrong_relabelling_rule_is_refused_with_its_place)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
