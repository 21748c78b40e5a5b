/* destination_impl - what destination.c, shard.c, shard_narrow.c, witness.c and resume.c share, and nobody else includes. */
#ifndef SHIP_DESTINATION_IMPL_H
#define SHIP_DESTINATION_IMPL_H

#include "common/log.h"
#include "ship/auth/auth.h"
#include "ship/send/compose.h"
#include "ship/send/destination.h"
#include "ship/send/gate.h"
#include "ship/send/narrow.h"
#include "ship/send/order.h"
#include "ship/send/pace.h"
#include "ship/send/recent.h"
#include "ship/send/resume.h"
#include "ship/send/protocol.h"
#include "ship/send/window.h"

/* How far shards may be apart in the time of their samples; half of the hour after which Prometheus refuses. */
#define SHARDS_APART_MS 1800000
/* Whole batches refused in a row, without a 2xx in between, before the receiver is taken to refuse everything. */
#define REFUSED_IN_A_ROW 3
/* 5xx to the same batch before the batch is suspect. */
#define SUSPECT_AFTER 3

enum request_kind {
	REQUEST_WHOLE = 0,
	REQUEST_PIECE,
	REQUEST_WITNESS, /* one sample, to see whether anything is accepted */
	REQUEST_REPEAT,	 /* the same, with one that was taken before */
	REQUEST_RESUME	 /* one sample, to see whether it is there already */
};

struct shard {
	struct destination *dest;
	uint32_t index;
	struct window *window;
	bool busy; /* a request is out, or a note is being made */
	bool out;  /* a request is out */

	enum request_kind kind; /* of the request that is out */
	enum rw_version version;
	bool again;    /* it is one that was sent in another version before */
	uint64_t epoch; /* of the destination's health when it went out */
	uint64_t *seqs; /* n of them: entries move while a request is out, seqs do not */
	size_t n, cap_seqs;
	uint64_t samples;
	struct sp_buf body;
	struct payload *held;  /* of a request that is sent as it lies in the payload */
	struct sp_bytes block; /* of a piece or a witness, as 1.0 */
	struct sp_buf witness;
	size_t join_limit;    /* batches of the next request */
	bool any_refused;     /* the window may hold batches to be narrowed down */
	struct sp_mono narrowing_since; /* whole batches were not delivered; 0: they are */

	struct narrow *narrow; /* of the batch narrow_seq */
	uint64_t narrow_seq;
	unsigned pieces; /* sent of it */
	bool load;	 /* 429 and 5xx refuse its pieces */
	bool too_big;	 /* it, or a piece of it, was answered 413 */
	size_t largest;	 /* bytes of its largest piece that was taken */
	bool blind;	 /* waits for a 2xx to another batch */
	struct resume resume;
	struct sp_buf refusal; /* what the receiver said last to a whole batch, and the status */
	int refusal_status;
};

/* How requests reach it, and what is known of it: a destination and its lanes have one. */
struct receiver {
	struct http_target *target;
	struct auth *auth;
	uint64_t secrets; /* how often the secret has changed */
	const struct settings *keys; /* the access keys, for lanes.token; NULL: not known yet */
	struct composer *composer;
	struct entry *entries[WINDOW_JOIN_MAX]; /* of the request that is being made */
	struct protocol protocol;
	bool rolls_back;  /* a refused request leaves nothing behind */
	size_t max_bytes; /* of a request, learnt from 413 */
	struct sp_mono max_bytes_at;
	struct order_notice order;
	struct gate gate; /* of the lanes */
	struct recent recent; /* when it rolls back */
};

struct destination {
	const struct dest_settings *settings;
	struct sp_loop *loop;
	struct writer *writer;
	struct receiver *receiver;
	uint32_t id;
	char *name;	  /* "mimir", "mimir/acme" */
	const char *lane; /* "acme"; "" when it is none */
	char *header;	  /* of the lane, or NULL */
	struct gate_place place;
	struct token *token; /* of a lane with lanes.token */
	uint64_t secrets_seen;
	bool keys_renewed; /* for a 403, since the last 2xx */

	struct health health;
	unsigned in_flight;
	uint32_t turn; /* shard that is asked first */
	bool stopping;

	unsigned refused_in_a_row; /* whole batches since the last 2xx */
	bool vouched;		   /* a witness was accepted: refusals are about data */
	int64_t reached_ms;	   /* newest sample that was delivered */
	int64_t newest_ms;	   /* newest sample that was added */
	bool repeat_refused;	   /* since something was delivered */
	unsigned witnesses;	   /* that were sent */
	int64_t witnessed_ms;	   /* of the batch whose sample was a witness last, and when */
	struct sp_mono witness_at;
	struct sp_mono last_success, last_narrowing;
	struct sp_mono load_refusal; /* when 429 or 5xx last turned out to be about data */
	struct known *known;	     /* NULL: nothing was refused lately */
	struct budget budget;
	struct pace pace;
	struct sp_timer budget_timer, pace_timer;
	bool refusing; /* the budget was spent within the last minutes, at refusing_at */
	struct sp_mono refusing_at;
	struct sp_log_rate unconfirmed_rate;

	struct shard **shards; /* NULL: nothing of it waits */
	size_t n_shards;
};

#define DESTINATION_LABELS(d) (d)->settings->name, (d)->lane

/* destination.c */
void destination_pump(struct destination *d); /* sends what may be sent */
/* The newest sample that may be sent now: no shard runs far ahead of the others. */
int64_t destination_horizon(const struct destination *d);
void destination_pump_again(void *arg);	      /* the same, for timers */
/* The header lines of a request, up to a NULL. Valid until the next call. */
#define HTTP_LINES_MAX 16
void destination_lines(struct destination *d, struct sp_bytes body, const char *lines[HTTP_LINES_MAX]);
/* protocol_answered, with word of what changed. */
bool destination_sends_again(
    struct destination *d, enum rw_version sent, bool again, const struct http_answer *a, enum rw_version *next);
/* A request was accepted, and the receiver says that it wrote fewer samples than were in it. */
void destination_unconfirmed(struct destination *d, uint64_t sent, uint64_t written);
void destination_accepted(struct destination *d, uint64_t epoch);
void destination_failed(struct destination *d, uint64_t epoch, struct ship_ruling r, const struct http_answer *a);

/* So many bytes in one request were too many, so it is said; and, now and then, it may be more again. */
void destination_learn_max_bytes(struct destination *d, size_t bytes);
void destination_grow_max_bytes(struct destination *d);

/* It refuses so much that narrowing it down waits; or it does so no longer. */
void destination_refuses(struct destination *d, bool refuses);

/* shard.c */
/* behind: batches of it are in the spool that were not handed over. */
struct shard *shard_new(struct destination *d, uint32_t index, bool behind);
void shard_free(struct shard **s);
bool shard_is_idle(const struct shard *s); /* nothing waits, nothing is out: it may be freed */
/* True when a request went out. alone: no other shard has one out, so none can vouch for the receiver. */
bool shard_send(struct shard *s, bool alone);
/* The batch with this seq has left the spool. */
void shard_forget(struct shard *s, uint64_t seq);
/* A request of s->block, which is a part of the batch seq. attempt: how often that failed before. */
void shard_post_part(struct shard *s, enum request_kind kind, uint64_t seq, unsigned attempt);
/* What became of n batches in a row: they leave the spool, not yet the window. */
void shard_settle(struct shard *s, const struct batch *batches, size_t n, uint64_t delivered, const struct dead_letter *dead, size_t n_dead);
/* The batch is delivered, or what is good of it. */
void destination_reached(struct destination *d, const struct batch *b);
/* The whole batch becomes a dead letter, and leaves the window. */
void shard_bury(struct shard *s, struct entry *e, const char *reason, int status, struct sp_bytes words);
/* Forgets refusals: those batches are sent anew. */
void shard_forget_refusals(struct shard *s);
/* Its request ends without an answer. */
void shard_abandon(struct shard *s);

/* shard_narrow.c */
/* A single batch is refused, or suspect: it will be narrowed down. */
void shard_refused(struct shard *s, const struct http_answer *a, struct ship_ruling r);
/* The batch steps aside to be narrowed down. */
void shard_step_aside(struct shard *s, struct entry *e);
/* Begins with the oldest of those; false when there is none. */
bool shard_narrow_begin(struct shard *s);
/* Sends the next piece. True when the shard is busy with it or must wait; false when another batch may go out. */
bool shard_narrow_send(struct shard *s);
/* True when the answer to a piece was about data. */
bool shard_narrow_answered(struct shard *s, const struct http_answer *a, struct ship_ruling r);
void shard_narrow_end(struct shard *s);
/* 429 and 5xx turned out to be about data lately. */
bool destination_load_is_data(const struct destination *d);

/* witness.c */
/* One sample of the newest batch: should the older ones all be bad, this shows that the receiver is not. What it overtakes are older
 * samples of that one series only, within the horizon first, because beyond it would outdate all that waits. Then, in the same round,
 * samples of the oldest batch, which overtake nothing: should all batches be bad in part. */
bool shard_send_witness(struct shard *s);
/* A sample that was delivered, once more: overtakes nothing. False: there is none, or the receiver takes no repeats. */
bool shard_send_repeat(struct shard *s);
bool witness_round_goes_on(const struct destination *d);
/* Something waits that is newer than all that was delivered, and was not tried yet: it should be taken. */
bool witness_is_promising(const struct destination *d);

#endif
