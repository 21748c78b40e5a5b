/* The bytes between the processes. A change here is a new FRAME_VERSION, not an edited test. */
#include "proto/frame.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static const struct frame_header example = {.type = FRAME_JOB,
    .flags = 0x81,
    .version = 1,
    .session = 0x1122334455667788,
    .job = 0x0102030405060708,
    .attempt = 3,
    .remaining_ms = 20000,
    .key = {0xa0, 0xa1, 0xa2, 0xa3, 0xa4, 0xa5, 0xa6, 0xa7, 0xa8, 0xa9, 0xaa, 0xab, 0xac, 0xad, 0xae, 0xaf}};

static const uint8_t example_bytes[FRAME_HEADER_BYTES] = {'S', 'P', 'F', '1', 6, 0x81, 1, 0, 0x88, 0x77, 0x66, 0x55,
    0x44, 0x33, 0x22, 0x11, 8, 7, 6, 5, 4, 3, 2, 1, 3, 0, 0, 0, 0x20, 0x4e, 0, 0, 0xa0, 0xa1, 0xa2, 0xa3, 0xa4, 0xa5,
    0xa6, 0xa7, 0xa8, 0xa9, 0xaa, 0xab, 0xac, 0xad, 0xae, 0xaf};

static void a_header_is_these_48_bytes(void **state)
{
	uint8_t bytes[FRAME_HEADER_BYTES];
	struct frame_header back;
	(void)state;
	frame_header_write(&example, bytes);
	assert_memory_equal(bytes, example_bytes, sizeof bytes);
	assert_true(frame_header_read(sp_bytes(bytes, sizeof bytes), &back));
	assert_int_equal(back.type, example.type);
	assert_int_equal(back.flags, example.flags);
	assert_int_equal(back.version, example.version);
	assert_true(back.session == example.session && back.job == example.job);
	assert_int_equal(back.attempt, example.attempt);
	assert_int_equal(back.remaining_ms, example.remaining_ms);
	assert_memory_equal(back.key, example.key, sizeof back.key);
}

static void types_have_these_numbers(void **state)
{
	static const char *const names[] = {"unknown", "HELLO", "WELCOME", "REFUSED", "STATE", "PLAN", "JOB", "DONE",
	    "OFFER", "GO", "STORE", "STORED", "ASK", "TOLD", "PING", "BYE", "unknown"};
	(void)state;
	for (int i = 0; i <= FRAME_TYPES; i++)
		assert_string_equal(frame_name((enum frame_type)i), names[i]);
}

static void what_is_not_a_header_is_refused(void **state)
{
	uint8_t bytes[FRAME_HEADER_BYTES + 1] = {0};
	struct frame_header out;
	(void)state;
	memcpy(bytes, example_bytes, sizeof example_bytes);
	for (size_t n = 0; n < sizeof bytes; n++)
		assert_int_equal(frame_header_read(sp_bytes(bytes, n), &out), n == FRAME_HEADER_BYTES);
	assert_false(frame_header_read(sp_bytes(bytes, sizeof bytes), &out));
	for (size_t i = 0; i < 4; i++) {
		bytes[i] ^= 1;
		assert_false(frame_header_read(sp_bytes(bytes, FRAME_HEADER_BYTES), &out));
		bytes[i] ^= 1;
	}
	for (int type = 0; type < 256; type++) {
		bytes[4] = (uint8_t)type;
		assert_int_equal(
		    frame_header_read(sp_bytes(bytes, FRAME_HEADER_BYTES), &out), type > 0 && type < FRAME_TYPES);
	}
}

static void another_version_is_understood_only_in_hello_and_refused(void **state)
{
	uint8_t bytes[FRAME_HEADER_BYTES];
	struct frame_header h = {.version = FRAME_VERSION + 1}, out;
	(void)state;
	for (int type = 1; type < FRAME_TYPES; type++) {
		h.type = (uint8_t)type;
		frame_header_write(&h, bytes);
		assert_int_equal(frame_header_read(sp_bytes(bytes, sizeof bytes), &out),
		    type == FRAME_HELLO || type == FRAME_REFUSED);
	}
}

static void an_answer_repeats_what_it_answers(void **state)
{
	struct frame f = {.header = example};
	(void)state;
	struct frame_header h = frame_answer(&f, FRAME_DONE);
	assert_int_equal(h.type, FRAME_DONE);
	assert_int_equal(h.flags, 0);
	assert_true(h.session == example.session && h.job == example.job && h.attempt == example.attempt);
	assert_memory_equal(h.key, example.key, sizeof h.key);
}

static void a_message_with_bulk_arrives_whole(void **state)
{
	void *zmq = zmq_ctx_new(), *a = zmq_socket(zmq, ZMQ_PAIR), *b = zmq_socket(zmq, ZMQ_PAIR);
	Standpipe__Job m = STANDPIPE__JOB__INIT;
	zmq_msg_t parts[3];
	struct frame f;
	(void)state;
	assert_int_equal(zmq_bind(a, "inproc://x"), 0);
	assert_int_equal(zmq_connect(b, "inproc://x"), 0);
	assert_int_equal(frame_take(b, false, &f, NULL), SP_AGAIN);
	m.request_id = (char *)"r";
	assert_int_equal(frame_pack(&m.base, &parts[0]), SP_OK);
	zmq_msg_init_size(&parts[1], 0);
	zmq_msg_init_size(&parts[2], 100000);
	memset(zmq_msg_data(&parts[2]), 7, 100000);
	for (int i = 0; i < 2; i++) { /* sending does not use the parts up */
		assert_int_equal(frame_send_parts(a, NULL, &example, parts, 3), SP_OK);
		assert_int_equal(frame_take(b, false, &f, NULL), SP_OK);
		assert_int_equal(f.header.version, FRAME_VERSION);
		assert_string_equal(((Standpipe__Job *)f.message)->request_id, "r");
		assert_int_equal(f.n_bulk, 2);
		assert_int_equal(f.bulk[0].n, 0);
		assert_int_equal(f.bulk[1].n, 100000);
		assert_int_equal(f.bulk[1].p[99999], 7);
		assert_int_equal(f.bulk_bytes, 100000);
		frame_free(&f);
	}
	for (int i = 0; i < 3; i++)
		zmq_msg_close(&parts[i]);
	zmq_close(a);
	zmq_close(b);
	zmq_ctx_term(zmq);
}

static void garbage_is_thrown_away_up_to_its_end(void **state)
{
	void *zmq = zmq_ctx_new(), *a = zmq_socket(zmq, ZMQ_PAIR), *b = zmq_socket(zmq, ZMQ_PAIR);
	Standpipe__Ping ping = STANDPIPE__PING__INIT;
	struct frame f;
	(void)state;
	assert_int_equal(zmq_bind(a, "inproc://x"), 0);
	assert_int_equal(zmq_connect(b, "inproc://x"), 0);
	zmq_send(a, "x", 1, ZMQ_SNDMORE); /* no header */
	zmq_send(a, "y", 1, 0);
	zmq_send(a, example_bytes, sizeof example_bytes, 0);	       /* no message */
	zmq_send(a, example_bytes, sizeof example_bytes, ZMQ_SNDMORE); /* a message that is none */
	zmq_send(a, "\xff\xff\xff", 3, ZMQ_SNDMORE);
	zmq_send(a, "z", 1, 0);
	zmq_send(a, example_bytes, sizeof example_bytes, ZMQ_SNDMORE); /* too many frames */
	for (int i = 0; i < FRAME_BULK_MAX + 3; i++)
		zmq_send(a, "", 0, ZMQ_SNDMORE);
	zmq_send(a, "", 0, 0);
	assert_int_equal(frame_send(a, NULL, &(struct frame_header){.type = FRAME_PING}, &ping.base), SP_OK);
	for (int i = 0; i < 4; i++)
		assert_int_equal(frame_take(b, false, &f, NULL), SP_BAD_DATA);
	assert_int_equal(frame_take(b, false, &f, NULL), SP_OK);
	assert_int_equal(f.header.type, FRAME_PING);
	frame_free(&f);
	assert_int_equal(frame_take(b, false, &f, NULL), SP_AGAIN);
	zmq_close(a);
	zmq_close(b);
	zmq_ctx_term(zmq);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_header_is_these_48_bytes),
	    cmocka_unit_test(types_have_these_numbers),
	    cmocka_unit_test(what_is_not_a_header_is_refused),
	    cmocka_unit_test(another_version_is_understood_only_in_hello_and_refused),
	    cmocka_unit_test(an_answer_repeats_what_it_answers),
	    cmocka_unit_test(a_message_with_bulk_arrives_whole),
	    cmocka_unit_test(garbage_is_thrown_away_up_to_its_end),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
