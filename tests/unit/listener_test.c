/* The table of the predecessor: region of the stream to listener. */
#include "ship/send/listener.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <cmocka.h>

static bool region_is(const char *arn, const char *region)
{
	return sp_eq(listener_arn_region(sp_str(arn)), sp_str(region));
}

static void the_region_of_a_stream_is_the_fourth_part_of_its_arn(void **state)
{
	(void)state;
	assert_true(region_is("arn:aws:firehose:eu-west-2:123456789012:deliverystream/x", "eu-west-2"));
	assert_true(region_is("arn:aws-cn:firehose:cn-north-1:1:deliverystream/a:b", "cn-north-1"));
	assert_true(region_is("", ""));
	assert_true(region_is("arn:aws:firehose:eu-west-2", ""));
	assert_true(region_is("urn:aws:firehose:eu-west-2:1:x", ""));
}

static void each_region_has_its_listener(void **state)
{
	(void)state;
	assert_string_equal(listener_url(SP_LIT("us-east-1")), "https://listener.logz.io:8053");
	assert_string_equal(listener_url(SP_LIT("ca-central-1")), "https://listener-ca.logz.io:8053");
	assert_string_equal(listener_url(SP_LIT("eu-central-1")), "https://listener-eu.logz.io:8053");
	assert_string_equal(listener_url(SP_LIT("eu-west-2")), "https://listener-uk.logz.io:8053");
	assert_string_equal(listener_url(SP_LIT("ap-southeast-2")), "https://listener-au.logz.io:8053");
	assert_string_equal(listener_url(SP_LIT("sa-east-1")), "https://listener.logz.io:8053");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(the_region_of_a_stream_is_the_fourth_part_of_its_arn),
	    cmocka_unit_test(each_region_has_its_listener),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
