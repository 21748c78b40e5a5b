#include "convert/decoder.h"

#define FRAME_MAX INT32_MAX /* lengths are unsigned base-128 varints of up to 5 bytes */

/* One frame: a varint length and as many bytes. */
static bool take_frame(struct sp_bytes *in, struct sp_bytes *message, const char **text)
{
	uint64_t n;
	struct sp_bytes rest = *in;
	*text = "the length of a message is cut off or no varint of 5 bytes";
	if (!sp_take_varint(&rest, &n) || rest.p - in->p > 5)
		return false;
	*text = "a message is longer than the record";
	if (n > FRAME_MAX || !sp_take_n(&rest, (size_t)n, message))
		return false;
	*in = rest;
	return true;
}

/* A record that begins with '{' may still be frames: of a first message of 123 bytes. */
static bool is_framed(struct sp_bytes in)
{
	struct sp_bytes message;
	const char *text;
	while (in.n) {
		if (!take_frame(&in, &message, &text) || message.n == 0 || message.p[0] != 0x0a)
			return false;
	}
	return true;
}

static bool is_json(struct sp_bytes record)
{
	size_t at = 0;
	while (at < record.n && (record.p[at] == ' ' || record.p[at] == '\n' || record.p[at] == '\r' || record.p[at] == '\t'))
		at++;
	return at < record.n && record.p[at] == '{' && !is_framed(record);
}

static enum sp_status decode_frames(struct decoder *d, struct sp_bytes record)
{
	enum sp_status status = SP_OK;
	struct sp_bytes rest = record, message;
	const char *text;
	while (rest.n && status == SP_OK) {
		size_t at = record.n - rest.n;
		if (!take_frame(&rest, &message, &text)) {
			d->bad(d->arg, "bad_frame", at, rest, PIECE_RECORD, text);
			break;
		}
		status = otlp_decode(d, message, (uint64_t)(message.p - record.p));
	}
	return status;
}

enum sp_status record_decode(struct decoder *d, struct sp_bytes record)
{
	struct sp_why why;
	if (record.n > RECORD_MAX_BYTES) {
		d->bad(d->arg, "record_too_big", 0, record, PIECE_RECORD, NULL);
		return SP_OK;
	}
	if (gunzip_is_gzip(record)) {
		struct sp_bytes inflated;
		enum sp_status status = gunzip_run(d->gunzip, record, RECORD_MAX_BYTES, d->arena, &inflated, &why);
		if (status == SP_NO_MEM)
			return status;
		if (status != SP_OK) {
			d->bad(d->arg, status == SP_TOO_BIG ? "record_too_big" : "bad_gzip", 0, record, PIECE_RECORD, why.text);
			return SP_OK;
		}
		record = inflated;
	}
	return is_json(record) ? cwjson_decode(d, record) : decode_frames(d, record);
}
