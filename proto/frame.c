#include "proto/frame.h"

#include "common/alloc.h"

#include <errno.h>
#include <sys/random.h>

static const uint8_t magic[4] = {'S', 'P', 'F', '1'};

static const struct {
	const char *name;
	const ProtobufCMessageDescriptor *message;
} types[FRAME_TYPES] = {
    [FRAME_HELLO] = {"HELLO", &standpipe__hello__descriptor},
    [FRAME_WELCOME] = {"WELCOME", &standpipe__welcome__descriptor},
    [FRAME_REFUSED] = {"REFUSED", &standpipe__refused__descriptor},
    [FRAME_STATE] = {"STATE", &standpipe__state__descriptor},
    [FRAME_PLAN] = {"PLAN", &standpipe__plan__descriptor},
    [FRAME_JOB] = {"JOB", &standpipe__job__descriptor},
    [FRAME_DONE] = {"DONE", &standpipe__done__descriptor},
    [FRAME_OFFER] = {"OFFER", &standpipe__offer__descriptor},
    [FRAME_GO] = {"GO", &standpipe__go__descriptor},
    [FRAME_STORE] = {"STORE", &standpipe__store__descriptor},
    [FRAME_STORED] = {"STORED", &standpipe__stored__descriptor},
    [FRAME_ASK] = {"ASK", &standpipe__ask__descriptor},
    [FRAME_TOLD] = {"TOLD", &standpipe__told__descriptor},
    [FRAME_PING] = {"PING", &standpipe__ping__descriptor},
    [FRAME_BYE] = {"BYE", &standpipe__bye__descriptor},
};

const char *frame_name(enum frame_type type)
{
	return type > 0 && type < FRAME_TYPES ? types[type].name : "unknown";
}

static uint8_t *put_le(uint8_t *to, uint64_t v, size_t bytes)
{
	for (size_t i = 0; i < bytes; i++)
		to[i] = (uint8_t)(v >> 8 * i);
	return to + bytes;
}

void frame_header_write(const struct frame_header *h, uint8_t out[FRAME_HEADER_BYTES])
{
	memcpy(out, magic, sizeof magic);
	uint8_t *to = out + sizeof magic;
	*to++ = h->type;
	*to++ = h->flags;
	to = put_le(to, h->version, 2);
	to = put_le(to, h->session, 8);
	to = put_le(to, h->job, 8);
	to = put_le(to, h->attempt, 4);
	to = put_le(to, h->remaining_ms, 4);
	memcpy(to, h->key, sizeof h->key);
}

bool frame_header_read(struct sp_bytes in, struct frame_header *out)
{
	struct frame_header h;
	struct sp_bytes start, key;
	uint8_t low, high;
	if (in.n != FRAME_HEADER_BYTES)
		return false;
	bool ok = sp_take_n(&in, sizeof magic, &start) && memcmp(start.p, magic, sizeof magic) == 0;
	ok = ok && sp_take_u8(&in, &h.type) && sp_take_u8(&in, &h.flags) && sp_take_u8(&in, &low) &&
	     sp_take_u8(&in, &high);
	ok = ok && sp_take_le64(&in, &h.session) && sp_take_le64(&in, &h.job);
	ok = ok && sp_take_le32(&in, &h.attempt) && sp_take_le32(&in, &h.remaining_ms) &&
	     sp_take_n(&in, sizeof h.key, &key);
	if (!ok || h.type == 0 || h.type >= FRAME_TYPES)
		return false;
	h.version = (uint16_t)(low | high << 8);
	if (h.version != FRAME_VERSION && h.type != FRAME_HELLO && h.type != FRAME_REFUSED)
		return false;
	memcpy(h.key, key.p, sizeof h.key);
	*out = h;
	return true;
}

static void *unpack_alloc(void *arg, size_t n)
{
	(void)arg;
	return sp_try_alloc(n);
}

static void unpack_free(void *arg, void *p)
{
	(void)arg;
	sp_free(p);
}

static ProtobufCAllocator unpack_memory = {unpack_alloc, unpack_free, NULL};

ProtobufCMessage *frame_unpack(enum frame_type type, struct sp_bytes bytes)
{
	return protobuf_c_message_unpack(types[type].message, &unpack_memory, bytes.n, bytes.p);
}

void frame_unpacked_free(ProtobufCMessage *m)
{
	if (m)
		protobuf_c_message_free_unpacked(m, &unpack_memory);
}

static struct sp_bytes part_bytes(zmq_msg_t *m)
{
	return sp_bytes(zmq_msg_data(m), zmq_msg_size(m));
}

/* Throws away what follows a frame that we do not want. */
static void drop_rest(void *zsock, bool more)
{
	while (more) {
		zmq_msg_t m;
		zmq_msg_init(&m);
		more = zmq_msg_recv(&m, zsock, ZMQ_DONTWAIT) >= 0 && zmq_msg_more(&m);
		zmq_msg_close(&m);
	}
}

/* The next frame of the message at hand; false when the message has no further one. The message waits whole in the
 * queue, so this does not wait. */
static bool take_part(void *zsock, zmq_msg_t *out, bool *more)
{
	if (!*more)
		return false;
	zmq_msg_init(out);
	if (zmq_msg_recv(out, zsock, ZMQ_DONTWAIT) < 0) {
		zmq_msg_close(out);
		*more = false;
		return false;
	}
	*more = zmq_msg_more(out);
	return true;
}

enum sp_status frame_take(void *zsock, bool router, struct frame *out, struct sp_why *why)
{
	zmq_msg_t part;
	enum sp_status status = SP_BAD_DATA;
	bool more = true;
	*out = (struct frame){.connection_fd = -1};
	if (!take_part(zsock, &part, &more))
		return sp_fail(why, SP_AGAIN, "no message waits");
	if (router) {
		struct sp_bytes peer = part_bytes(&part);
		bool right = peer.n == sizeof out->peer;
		if (right)
			memcpy(out->peer, peer.p, sizeof out->peer);
		zmq_msg_close(&part);
		if (!right || !take_part(zsock, &part, &more)) {
			drop_rest(zsock, more);
			return sp_fail(why, SP_BAD_DATA, "a message without a header, or of a peer that is no worker");
		}
	}
	bool header = frame_header_read(part_bytes(&part), &out->header);
	out->connection_fd = zmq_msg_get(&part, ZMQ_SRCFD);
	zmq_msg_close(&part);
	if (!header || !take_part(zsock, &part, &more)) {
		status = sp_fail(why, SP_BAD_DATA, "a message whose header cannot be read");
		goto bad;
	}
	out->message = frame_unpack((enum frame_type)out->header.type, part_bytes(&part));
	zmq_msg_close(&part);
	if (!out->message) {
		status = sp_fail(why, SP_BAD_DATA, "a %s that cannot be read", frame_name(out->header.type));
		goto bad;
	}
	while (out->n_bulk < FRAME_BULK_MAX && take_part(zsock, &out->parts[out->n_bulk], &more)) {
		struct sp_bytes bulk = part_bytes(&out->parts[out->n_bulk]);
		out->bulk[out->n_bulk++] = bulk;
		out->bulk_bytes += bulk.n;
	}
	if (!more)
		return SP_OK;
	status =
	    sp_fail(why, SP_BAD_DATA, "a %s of more than %d bulk frames", frame_name(out->header.type), FRAME_BULK_MAX);
bad:
	drop_rest(zsock, more);
	frame_free(out);
	return status;
}

void frame_free(struct frame *f)
{
	frame_unpacked_free(f->message);
	f->message = NULL;
	for (size_t i = 0; i < f->n_bulk; i++)
		zmq_msg_close(&f->parts[i]);
	f->n_bulk = 0;
}

/* Only the first frame of a message can be refused: the queue counts whole messages. */
static enum sp_status send_part(void *zsock, zmq_msg_t *part, int flags)
{
	int rc;
	do
		rc = zmq_msg_send(part, zsock, ZMQ_DONTWAIT | flags);
	while (rc < 0 && errno == EINTR);
	if (rc >= 0)
		return SP_OK;
	zmq_msg_close(part);
	return errno == EAGAIN ? SP_AGAIN : SP_NOT_FOUND;
}

static enum sp_status send_bytes(void *zsock, const void *p, size_t n)
{
	zmq_msg_t part;
	if (zmq_msg_init_size(&part, n) != 0)
		return SP_NO_MEM;
	memcpy(zmq_msg_data(&part), p, n);
	return send_part(zsock, &part, ZMQ_SNDMORE);
}

enum sp_status frame_pack(const ProtobufCMessage *m, zmq_msg_t *out)
{
	if (zmq_msg_init_size(out, protobuf_c_message_get_packed_size(m)) != 0)
		return SP_NO_MEM;
	protobuf_c_message_pack(m, zmq_msg_data(out));
	return SP_OK;
}

enum sp_status frame_send_parts(
    void *zsock, const uint8_t *peer, const struct frame_header *h, zmq_msg_t *parts, size_t n)
{
	uint8_t header[FRAME_HEADER_BYTES];
	struct frame_header stamped = *h;
	SP_BUG_IF(n == 0 || n > 1 + FRAME_BULK_MAX);
	stamped.version = FRAME_VERSION;
	frame_header_write(&stamped, header);
	enum sp_status status = peer ? send_bytes(zsock, peer, FRAME_IDENTITY_BYTES) : SP_OK;
	if (status == SP_OK)
		status = send_bytes(zsock, header, sizeof header);
	for (size_t i = 0; status == SP_OK && i < n; i++) {
		zmq_msg_t shared;
		zmq_msg_init(&shared);
		SP_BUG_IF(zmq_msg_copy(&shared, &parts[i]) != 0);
		status = send_part(zsock, &shared, i + 1 < n ? ZMQ_SNDMORE : 0);
	}
	return status;
}

enum sp_status frame_send(void *zsock, const uint8_t *peer, const struct frame_header *h, const ProtobufCMessage *m)
{
	zmq_msg_t packed;
	SP_BUG_IF(h->type == 0 || h->type >= FRAME_TYPES || types[h->type].message != m->descriptor);
	enum sp_status status = frame_pack(m, &packed);
	if (status != SP_OK)
		return status;
	status = frame_send_parts(zsock, peer, h, &packed, 1);
	zmq_msg_close(&packed);
	return status;
}

struct frame_header frame_answer(const struct frame *f, enum frame_type type)
{
	struct frame_header h = f->header;
	h.type = (uint8_t)type;
	h.flags = 0;
	return h;
}

enum sp_status frame_check_hello(const Standpipe__Hello *hello, const char *our_role, struct sp_why *why)
{
	if (hello->min_version > FRAME_VERSION || hello->max_version < FRAME_VERSION)
		return sp_fail(why, SP_BAD_DATA, "%s speaks protocol %d, this worker %u to %u: upgrade the older one",
		    our_role, FRAME_VERSION, hello->min_version, hello->max_version);
	if (strcmp(hello->release, STANDPIPE_VERSION) != 0)
		return sp_fail(why, SP_DENIED,
		    "%s is release %s, this worker %.32s: all roles of a host are one release, start both anew",
		    our_role, STANDPIPE_VERSION, hello->release);
	return SP_OK;
}

void frame_random(uint8_t *out, size_t n)
{
	SP_BUG_IF(n > 256 || getrandom(out, n, 0) != (ssize_t)n); /* up to 256 bytes come whole */
}
