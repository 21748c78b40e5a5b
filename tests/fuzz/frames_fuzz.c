/* Any bytes as a message between the processes: a header, one of the protobuf messages, and a STORE with its bulk
 * frames. What is taken as a header is written back as it came; whatever a STORE claims, the writer is only given bytes
 * that lie within its frames.
 *
 * Input: 48 bytes of header, 1 byte number of bulk frames, 2 bytes each for the size of the message and of the bulk
 * frames (cut to what there is), then their bytes. */
#include "common/alloc.h"
#include "common/lane.h"
#include "ship/store.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void expect(bool true_)
{
	if (!true_)
		abort();
}

static struct sp_bytes take_piece(struct sp_bytes *sizes, struct sp_bytes *rest)
{
	uint8_t low = 0, high = 0;
	struct sp_bytes piece = {0};
	(void)(sp_take_u8(sizes, &low) && sp_take_u8(sizes, &high));
	size_t n = (size_t)(low | high << 8);
	(void)sp_take_n(rest, n < rest->n ? n : rest->n, &piece);
	return piece;
}

static bool lies_within(struct sp_bytes inner, struct sp_bytes outer)
{
	return inner.n == 0 || (inner.p >= outer.p && inner.p + inner.n <= outer.p + outer.n);
}

static void check_request(const struct store *s)
{
	const struct store_request *r = &s->request;
	volatile uint8_t sum = 0;
	for (size_t i = 0; i < r->n_groups; i++) {
		const struct store_group *g = &r->groups[i];
		expect(g->n_dests == 1 && (g->dests[0] == 1) == !g->lane);
		expect(!g->lane || !g->lane[0] || lane_name_ok(sp_str(g->lane)));
		for (size_t k = 0; k < g->n_slices; k++) {
			expect(g->slices[k].shard < 4 && g->slices[k].len > 0);
			expect(lies_within(
			    sp_bytes(g->bytes + g->slices[k].off, g->slices[k].len), sp_bytes(g->bytes, g->n)));
			sum = (uint8_t)(sum + g->bytes[g->slices[k].off + g->slices[k].len - 1]);
		}
	}
	for (size_t i = 0; i < r->n_quarantine; i++)
		expect(lies_within(r->quarantine[i].bytes, s->frame->bulk[s->frame->n_bulk - 1]));
}

static void try_store(struct frame *f)
{
	static uint32_t ids[] = {1, 2};
	static struct plan_dests dests[] = {{&ids[0], 1}, {&ids[1], 1}};
	static Standpipe__Group plain = STANDPIPE__GROUP__INIT, with_lanes = STANDPIPE__GROUP__INIT;
	static Standpipe__Group *groups[] = {&plain, &with_lanes};
	struct plan plan = {.message = STANDPIPE__PLAN__INIT, .dests = dests};
	struct store *s;
	struct sp_why why;
	plain.shards = with_lanes.shards = 4;
	with_lanes.lane_by = (char *)"account";
	plan.message.n_groups = 2;
	plan.message.groups = groups;
	if (store_new(f, &plan, &s, &why) != SP_OK) {
		expect(why.text[0] != '\0');
		frame_free(f);
		sp_free(f);
		return;
	}
	check_request(s);
	store_free(&s);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct sp_bytes in = {data, n}, head, sizes, piece;
	uint8_t back[FRAME_HEADER_BYTES], n_bulk;
	struct frame_header h;
	(void)frame_header_read(in, &h); /* of any length */
	if (!sp_take_n(&in, FRAME_HEADER_BYTES, &head) || !frame_header_read(head, &h) || !sp_take_u8(&in, &n_bulk))
		return 0;
	frame_header_write(&h, back);
	expect(memcmp(back, head.p, sizeof back) == 0);
	n_bulk %= 8;
	if (!sp_take_n(&in, 2 * ((size_t)n_bulk + 1), &sizes))
		return 0;
	piece = take_piece(&sizes, &in);
	struct frame *f = sp_new(struct frame);
	f->header = h;
	f->message = frame_unpack((enum frame_type)h.type, piece);
	for (; f->message && f->n_bulk < n_bulk; f->n_bulk++) {
		piece = take_piece(&sizes, &in);
		expect(zmq_msg_init_size(&f->parts[f->n_bulk], piece.n) == 0);
		f->bulk[f->n_bulk] = sp_bytes(zmq_msg_data(&f->parts[f->n_bulk]), piece.n);
		if (piece.n)
			memcpy(zmq_msg_data(&f->parts[f->n_bulk]), piece.p, piece.n);
	}
	if (f->message && h.type == FRAME_STORE) {
		try_store(f);
		return 0;
	}
	frame_free(f);
	sp_free(f);
	return 0;
}
