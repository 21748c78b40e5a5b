#include "ship/send/destination_impl.h"

#include "common/alloc.h"
#include "common/crash.h"
#include "common/metrics.h"

#include <stdio.h>

/* Failures of one batch, or of all in a row, whatever the answer was, before the batch is suspect. */
#define SUSPECT_ANYHOW_AFTER 10
/* Once 429 or 5xx turned out to be about data, the next one without Retry-After is taken to be so, for this long. */
#define LOAD_IS_DATA_MS 600000
/* Probes for a suspect batch, with no other shard to ask, before the next batch of its own shard may overtake it. */
#define OVERTAKE_AFTER 8
/* Failed probes with whole batches, where everything is refused, before every other probe is a single sample. */
#define WITNESS_AFTER 5
/* The same for a receiver that took something since the start: there are rather some late batches in a row. */
#define WITNESS_OF_KNOWN_AFTER 2
/* One in so many failed probes (an even number) takes that sample from the newest batch of all. */
#define FAR_WITNESS_EVERY 16
/* Where refused requests leave their good part behind, one batch a minute is narrowed down, to name the culprits. */
#define PARTLY_REFUSED_MS 60000
#define PARTLY_REFUSED_REQUESTS 64
/* After a 413 requests are half as big, and grow again by a tenth in this time. */
#define MAX_BYTES_GROW_MS 3600000
/* Requests that fill this part of the limits never wait for more data. */
#define PACE_FILL 4

static void shard_answered(void *arg, const struct http_answer *a);
static bool begin_narrowing(struct shard *s);

static int64_t now_ms(const struct shard *s)
{
	return sp_loop_now(s->dest->loop).ms;
}

/* ---- sending ---- */

static void post(struct shard *s, enum request_kind kind, const struct composed *c, unsigned attempt)
{
	struct destination *d = s->dest;
	s->kind = kind;
	s->version = c->version;
	s->epoch = d->health.epoch;
	s->samples = c->samples;
	s->busy = s->out = true;
	d->in_flight++;
	if (*d->lane)
		gate_sent(&d->receiver->gate);
	health_sent(&d->health);
	if (kind == REQUEST_WITNESS || kind == REQUEST_RESUME ||
	    (kind == REQUEST_PIECE && s->pieces++ > 0)) /* the first carries what the refused request should have */
		budget_spend(&d->budget, now_ms(s));
	if (kind != REQUEST_WHOLE) {
		sp_metric_add(M_DESTINATION_EXTRA_REQUESTS, SP_L(DESTINATION_LABELS(d)), 1);
		sp_crash_point("ship.during_bisect");
	}
	sp_metric_observe(M_DESTINATION_REQUEST_SAMPLES, SP_L(d->settings->name), (double)c->samples);
	sp_crash_point("ship.before_send");
	const char *lines[HTTP_LINES_MAX];
	destination_lines(d, c->body, lines);
	http_post(d->receiver->target, lines, c->body, c->version, attempt, shard_answered, s);
	sp_crash_point("ship.after_send_before_response");
}

/* Many small streams make many small requests; only then is it worth waiting for more. */
static bool must_wait_for_more(struct shard *s, const struct window_limits *l, size_t n)
{
	struct destination *d = s->dest;
	size_t samples = 0, bytes = 0;
	int64_t wait = pace_wait_ms(&d->pace, now_ms(s));
	if (wait == 0 || n == l->batches || n == WINDOW_JOIN_MAX || d->health.state != HEALTH_OK)
		return false;
	for (size_t i = 0; i < n; i++) {
		samples += d->receiver->entries[i]->batch.samples;
		bytes += d->receiver->entries[i]->batch.len;
	}
	if (samples >= l->samples / PACE_FILL || bytes >= l->bytes / PACE_FILL)
		return false;
	if (window_after(s->window, d->receiver->entries[n - 1]->batch.seq)) /* in a backlog: the others will move the horizon */
		return d->receiver->entries[0]->batch.max_ms > l->until_ms - SHARDS_APART_MS / 2;
	if (d->pace_timer.at == 0)
		sp_timer_set(d->loop, &d->pace_timer, wait, destination_pump_again, d);
	return true;
}

/* A part of the batch seq. */
static void post_part(struct shard *s, enum request_kind kind, uint64_t seq, enum rw_version version, unsigned attempt)
{
	struct composed c = compose_part(
	    s->dest->receiver->composer, window_find(s->window, seq), s->block, s->samples, version, &s->body);
	post(s, kind, &c, attempt);
}

static struct window_limits limits_of(const struct shard *s)
{
	const struct destination *d = s->dest;
	return (struct window_limits){.batches = d->health.failures >= SUSPECT_AFTER ? 1 : s->join_limit,
	    .samples = (size_t)d->settings->max_samples,
	    .bytes = d->receiver->max_bytes,
	    .raw_bytes = (size_t)d->settings->max_raw_bytes,
	    .until_ms = destination_horizon(d)};
}

/* The same data in another version. */
static void send_again(struct shard *s, enum rw_version version)
{
	struct window_limits l = limits_of(s);
	struct entry **entries = s->dest->receiver->entries;
	s->again = true;
	if (s->kind != REQUEST_WHOLE) {
		post_part(s, s->kind, s->kind == REQUEST_PIECE ? s->narrow_seq : s->seqs[0], version, 0);
		return;
	}
	for (size_t i = 0; i < s->n; i++)
		entries[i] = window_find(s->window, s->seqs[i]);
	struct composed c = compose_batches(s->dest->receiver->composer, entries, s->n, &l, version, &s->body);
	for (size_t i = c.n; i < s->n; i++)
		entries[i]->state = ENTRY_QUEUED;
	s->n = c.n;
	post(s, REQUEST_WHOLE, &c, 0);
}

static void room_for_seqs(struct shard *s, size_t n)
{
	if (n > s->cap_seqs)
		s->seqs = sp_realloc(s->seqs, (s->cap_seqs = n) * sizeof *s->seqs);
}

/* The receiver would answer 413, so much is known: the batch goes in parts. */
static bool cut(struct shard *s, struct entry *e)
{
	e->too_big = true;
	e->state = ENTRY_REFUSED;
	s->any_refused = true;
	s->too_big = false;
	return begin_narrowing(s);
}

static bool send_whole(struct shard *s)
{
	struct destination *d = s->dest;
	struct window_limits l = limits_of(s), wanted = l;
	struct entry **entries = d->receiver->entries;
	wanted.bytes *= composer_gain(d->receiver->composer);
	wanted.raw_bytes *= composer_gain(d->receiver->composer);
	size_t n = window_collect(s->window, &wanted, entries);
	if (n == 0 || must_wait_for_more(s, &l, n))
		return false;
	if (!s->narrow && entries[0]->batch.len > l.bytes && entries[0]->batch.samples > 1)
		return cut(s, entries[0]);
	enum rw_version version = entries[0]->batch.flags & BATCH_AS_IT_IS ? RW_1 : d->receiver->protocol.spoken;
	struct composed c = compose_batches(d->receiver->composer, entries, n, &l, version, &s->body);
	s->held = payload_ref(entries[0]->payload);
	room_for_seqs(s, c.n);
	s->n = c.n;
	for (size_t i = 0; i < c.n; i++) {
		s->seqs[i] = entries[i]->batch.seq;
		entries[i]->state = ENTRY_SENT;
	}
	pace_sent(&d->pace, now_ms(s));
	post(s, REQUEST_WHOLE, &c, entries[0]->attempts);
	window_collect(s->window, &wanted, entries); /* the next ones may be read while these are out */
	return true;
}

static void settle(struct shard *s, const struct batch *batches, size_t n, uint64_t delivered,
    const struct dead_letter *dead, size_t n_dead)
{
	const char *name = s->dest->settings->name;
	for (size_t i = 0; i < n_dead; i++) {
		sp_metric_add(M_DESTINATION_DEADLETTERED, SP_L(name, s->dest->lane, dead[i].reason), dead[i].samples);
		order_notice(&s->dest->receiver->order, s->dest->name, s->dest->settings->receiver, &dead[i], sp_loop_now(s->dest->loop));
	}
	sp_metric_observe(
	    M_DESTINATION_DELAY_SECONDS, SP_L(name), (double)(sp_wall_ms() - batches[0].accepted_ms) / 1000);
	writer_settle(s->dest->writer, batches, n, delivered, dead, n_dead, NULL, NULL);
}

/* The whole batch as a dead letter. */
static void bury(struct shard *s, struct entry *e, const char *reason, int status, struct sp_bytes words)
{
	const struct batch *b = &e->batch;
	struct dead_letter dead = {.dest = b->dest,
	    .shard = b->shard,
	    .seq = b->seq,
	    .reason = reason,
	    .http_status = status,
	    .answer = words,
	    .body = entry_block(e),
	    .series = b->series,
	    .samples = b->samples,
	    .min_ms = b->min_ms,
	    .max_ms = b->max_ms};
	settle(s, b, 1, 0, &dead, 1);
	window_remove(s->window, e);
}

/* ---- narrowing ---- */

static void end_narrowing(struct shard *s)
{
	narrow_free(&s->narrow);
	s->blind = false;
}

static bool narrowed_lately(const struct destination *d)
{
	return d->last_narrowing.ms > 0 && sp_loop_now(d->loop).ms - d->last_narrowing.ms < PARTLY_REFUSED_MS;
}

static bool load_is_data(const struct destination *d)
{
	return d->load_refusal.ms > 0 && sp_loop_now(d->loop).ms - d->load_refusal.ms < LOAD_IS_DATA_MS;
}

/* Its payload is about to be decoded: that is on disk now, so that a batch which kills us is found out. */
static void noted(void *arg)
{
	struct shard *s = arg;
	struct destination *d = s->dest;
	struct entry *e = window_find(s->window, s->narrow_seq);
	struct sp_why why = {.text = ""};
	s->busy = false;
	if (d->stopping || !e || e->state != ENTRY_REFUSED || !e->payload)
		return;
	if (!d->known)
		d->known = known_new();
	known_clock(d->known, now_ms(s));
	bool lately = narrowed_lately(d);
	struct narrow_rules rules = {.status = s->refusal_status,
	    .words = sp_buf_view(&s->refusal),
	    .suspect = e->suspect,
	    .probe = e->stored_rest ? lately : e->suspect && !load_is_data(d),
	    .too_big = e->too_big,
	    .max_bytes = e->too_big && e->batch.len > d->receiver->max_bytes ? d->receiver->max_bytes : 0,
	    .maybe_delivered = e->batch.flags & BATCH_MAYBE_DELIVERED,
	    .max_requests = !e->stored_rest ? 0
			    : lately	    ? 1
					    : PARTLY_REFUSED_REQUESTS,
	    .max_raw = RW_RAW_MAX_BYTES};
	s->pieces = 0;
	s->largest = 0;
	s->load = e->suspect && e->strikes < SUSPECT_AFTER;
	enum sp_status status = narrow_new(entry_block(e), &rules, d->known, &s->narrow, &why);
	if (!e->stored_rest || !lately)
		d->last_narrowing = sp_loop_now(d->loop);
	if (status == SP_BAD_DATA || status == SP_TOO_BIG)
		bury(s, e, "rejected", 0, sp_str(why.text));
	if (s->narrow && d->vouched)
		narrow_witness(s->narrow);
	destination_pump(d);
}

static bool begin_narrowing(struct shard *s)
{
	struct entry *e = s->any_refused ? window_first(s->window, ENTRY_REFUSED) : NULL;
	s->any_refused = e != NULL;
	if (!e)
		return false;
	if (!window_load(s->window, e))
		return true;
	s->narrow_seq = e->batch.seq;
	s->busy = true;
	writer_note_decoding(s->dest->writer, e->batch.payload, noted, s);
	return true;
}

static void learn_max_bytes(struct destination *d, size_t bytes)
{
	struct receiver *r = d->receiver;
	r->max_bytes = bytes < r->max_bytes ? bytes : r->max_bytes;
	r->max_bytes_at = sp_loop_now(d->loop);
}

static void grow_max_bytes(struct destination *d)
{
	struct receiver *r = d->receiver;
	size_t configured = (size_t)d->settings->max_bytes, more = r->max_bytes + r->max_bytes / 10;
	if (r->max_bytes >= configured || sp_loop_now(d->loop).ms - r->max_bytes_at.ms < MAX_BYTES_GROW_MS)
		return;
	r->max_bytes = more < configured ? more : configured;
	r->max_bytes_at = sp_loop_now(d->loop);
}

static void finish_narrowing(struct shard *s)
{
	struct entry *e = window_find(s->window, s->narrow_seq);
	struct dead_letter *dead;
	size_t n_dead;
	uint64_t delivered, lost = 0;
	struct sp_why why;
	if (narrow_result(s->narrow, &delivered, &dead, &n_dead, &why) != SP_OK)
		return; /* short of memory; the next pump tries again */
	for (size_t i = 0; i < n_dead; i++) {
		dead[i].dest = e->batch.dest;
		dead[i].shard = e->batch.shard;
		dead[i].seq = e->batch.seq;
		lost += dead[i].samples;
		if (dead[i].http_status == 429 || dead[i].http_status >= 500)
			s->dest->load_refusal = sp_loop_now(s->dest->loop);
	}
	if (e->too_big && s->too_big && n_dead == 0)
		learn_max_bytes(s->dest, s->largest);
	else if (e->too_big)
		grow_max_bytes(s->dest);
	if (narrow_doubted(s->narrow))
		s->dest->load_refusal.ms = 0;
	if (n_dead > 0)
		sp_log(SP_LOG_WARN, "batch.refused", sp_f_str("destination", s->dest->name),
		    sp_f_u64("shard", s->index), sp_f_u64("delivered", delivered), sp_f_u64("dead_lettered", lost),
		    sp_f_bytes("answer", dead[0].answer), SP_LOG_END);
	settle(s, &e->batch, 1, delivered, dead, n_dead);
	window_remove(s->window, e);
	end_narrowing(s);
}

/* What is refused is narrowed down as far as the budget goes; then it waits. */
static bool may_narrow(struct destination *d)
{
	if (budget_allows(&d->budget, sp_loop_now(d->loop).ms))
		return true;
	destination_refuses(d, true);
	if (d->budget_timer.at == 0)
		sp_timer_set(d->loop, &d->budget_timer, 1000, destination_pump_again, d);
	return false;
}

/* When the receiver may be one that refuses everything, one shard finds out; the others would but repeat its requests.
 */
static bool is_scout(const struct shard *s)
{
	const struct destination *d = s->dest;
	if (d->refused_in_a_row < REFUSED_IN_A_ROW)
		return true;
	for (size_t i = 0; i < s->index; i++)
		if (d->shards[i] && d->shards[i]->narrow)
			return false;
	return true;
}

/* True when the shard is busy with it or must wait; false when another batch may go out. */
static bool send_piece(struct shard *s)
{
	struct narrow_piece piece;
	if (!is_scout(s) || (s->pieces > 0 && !may_narrow(s->dest) && !narrow_give_up(s->narrow)))
		return true;
	switch (narrow_next(s->narrow, &piece)) {
	case NARROW_SEND:
		s->block = piece.block;
		s->samples = piece.samples;
		post_part(s, REQUEST_PIECE, s->narrow_seq, s->dest->receiver->protocol.spoken, 0);
		return true;
	case NARROW_DONE:
		finish_narrowing(s);
		return false;
	case NARROW_WITNESS:
		s->blind = true;
		break;
	}
	return false;
}

/* False when there is none. */
static bool make_witness(struct shard *s, const struct entry *e)
{
	struct sp_buf raw = {0}, one = {0};
	struct sp_why why;
	struct rw_series series;
	struct rw_sample v, newest = {INT64_MIN, 0};
	bool made = rw_uncompress(entry_block(e), RW_RAW_MAX_BYTES, &raw, &why) == SP_OK;
	struct sp_bytes in = sp_buf_view(&raw);
	made = made && rw_next(&in, &series, &why) == SP_OK;
	if (made) {
		while (rw_next_sample(&series.samples, &v))
			newest = v.ms >= newest.ms ? v : newest;
		rw_add_series(&one, series.labels, &newest, 1);
		sp_buf_clear(&s->witness);
		rw_compress(sp_buf_view(&one), &s->witness);
	}
	sp_buf_free(&one);
	sp_buf_free(&raw);
	return made;
}

static void witness_noted(void *arg)
{
	struct shard *s = arg;
	struct destination *d = s->dest;
	struct entry *e = window_find(s->window, s->seqs[0]);
	s->busy = false;
	if (d->stopping)
		return;
	if (!e || !e->payload || !make_witness(s, e)) { /* purged meanwhile, or damaged: the next probe, after a pause as always, may find another */
		health_rejects_everything(&d->health, d->health.epoch, NULL);
		return;
	}
	s->n = 0;
	s->block = sp_buf_view(&s->witness);
	s->samples = 1;
	post_part(s, REQUEST_WITNESS, e->batch.seq, d->receiver->protocol.spoken, d->health.failures);
}

/* One sample of a newer batch: should the oldest batches all be bad, this shows that the receiver is not. What it overtakes are older
 * samples of that one series only, within the horizon first, because beyond it would outdate all that waits. */
static bool send_witness(struct shard *s)
{
	bool far = s->dest->health.failures % FAR_WITNESS_EVERY == 0;
	struct entry *e = window_newest(s->window, far ? INT64_MAX : destination_horizon(s->dest));
	if (!e)
		return false;
	if (!window_load(s->window, e))
		return true;
	room_for_seqs(s, 1);
	s->seqs[0] = e->batch.seq;
	s->busy = true;
	health_sent(&s->dest->health);
	writer_note_decoding(s->dest->writer, e->batch.payload, witness_noted, s);
	return true;
}

/* ---- what came back ---- */

static void delivered_whole(struct shard *s)
{
	struct batch batches[WINDOW_JOIN_MAX];
	sp_crash_point("ship.after_2xx_before_delete");
	s->narrowing_since = (struct sp_mono){0};
	for (size_t i = 0; i < s->n; i++) {
		batches[i] = window_find(s->window, s->seqs[i])->batch;
		if (batches[i].max_ms > s->dest->reached_ms)
			s->dest->reached_ms = batches[i].max_ms;
	}
	settle(s, batches, s->n, s->samples, NULL, 0);
	for (size_t i = 0; i < s->n; i++)
		window_remove(s->window, window_find(s->window, s->seqs[i]));
	s->join_limit = s->join_limit * 2 < WINDOW_JOIN_MAX ? s->join_limit * 2 : WINDOW_JOIN_MAX;
	grow_max_bytes(s->dest);
}

/* 429 and 5xx. */
static bool is_not_now(const struct http_answer *a, struct ship_ruling r)
{
	return a->transport == SHIP_ANSWERED && (r.verdict == SHIP_KEEP || r.verdict == SHIP_UNREACHABLE);
}

static void mark_maybe(struct shard *s)
{
	struct batch batches[WINDOW_JOIN_MAX];
	size_t n = 0;
	for (size_t i = 0; i < s->n; i++) {
		struct batch *b = &window_find(s->window, s->seqs[i])->batch;
		if (b->flags & BATCH_MAYBE_DELIVERED)
			continue;
		b->flags |= BATCH_MAYBE_DELIVERED;
		batches[n++] = *b;
	}
	if (n > 0)
		writer_mark_maybe(s->dest->writer, batches, n);
}

static void requeue(struct shard *s, bool maybe)
{
	for (size_t i = 0; i < s->n; i++) {
		struct entry *e = window_find(s->window, s->seqs[i]);
		e->state = ENTRY_QUEUED;
		e->attempts++;
	}
	if (maybe)
		mark_maybe(s);
}

void shard_step_aside(struct shard *s, struct entry *e)
{
	e->state = ENTRY_REFUSED;
	s->any_refused = true;
}

void shard_bury(struct shard *s, struct entry *e, const char *reason)
{
	bury(s, e, reason, s->refusal_status, sp_buf_view(&s->refusal));
}

void shard_post_part(struct shard *s, enum request_kind kind, uint64_t seq)
{
	post_part(s, kind, seq, s->dest->receiver->protocol.spoken, 0);
}

/* A single batch is refused, or suspect: it steps aside to be narrowed down. */
static void refused_whole(struct shard *s, const struct http_answer *a, struct ship_ruling r)
{
	struct destination *d = s->dest;
	struct entry *e = window_find(s->window, s->seqs[0]);
	e->too_big = s->too_big = r.verdict == SHIP_TOO_BIG;
	e->suspect = r.verdict != SHIP_DATA && !e->too_big;
	e->stored_rest = r.verdict == SHIP_DATA && (!d->receiver->rolls_back || protocol_stored_a_part(s->version, a));
	bool vouched = d->refused_in_a_row < REFUSED_IN_A_ROW && d->last_success.ms > 0;
	if (!e->suspect)
		d->refused_in_a_row++;
	if (health_is_rejecting(&d->health))
		return; /* it stays queued */
	if (e->stored_rest && vouched && narrowed_lately(d)) {
		bury(s, e, "partly_refused", a->status, a->words);
		return;
	}
	s->refusal_status = a->status;
	sp_buf_clear(&s->refusal);
	sp_buf_add(&s->refusal, a->words);
	if (s->narrowing_since.ms == 0)
		s->narrowing_since = sp_loop_now(d->loop);
	if (r.verdict != SHIP_DATA || !resume_begin(s, e))
		shard_step_aside(s, e);
}

/* "Not now", again and again to the same batch: it may be the batch. While the receiver is the one that is ill, to
 * narrow it down only means to ask with one sample instead of all. */
static bool is_suspect(const struct destination *d, const struct entry *e, bool answered)
{
	bool others_are_taken = d->last_success.ms > 0 && e->attempts > d->health.failures;
	unsigned tried = answered && d->health.failures > e->attempts ? d->health.failures : e->attempts;
	return e->strikes >= SUSPECT_AFTER || (tried >= SUSPECT_ANYHOW_AFTER && (answered || others_are_taken));
}

static void remove_purged(struct shard *s)
{
	for (size_t i = 0; i < s->n; i++) {
		struct entry *e = window_find(s->window, s->seqs[i]);
		if (e && e->purged)
			window_remove(s->window, e);
	}
}

/* True when the answer was about data. */
static bool whole_answered(struct shard *s, const struct http_answer *a, struct ship_ruling r)
{
	struct destination *d = s->dest;
	bool suspicious = ship_answer_is_suspicious(a->transport, a->status), not_now = is_not_now(a, r);
	bool known_as_data = not_now && a->retry_after_ms == SHIP_NO_RETRY_AFTER && load_is_data(d);
	bool about_data = r.verdict == SHIP_DATA || r.verdict == SHIP_TOO_BIG || known_as_data;
	payload_unref(&s->held);
	if (r.verdict == SHIP_DELIVERED) {
		delivered_whole(s);
		return false;
	}
	requeue(
	    s, a->repeated || a->transport == SHIP_UNANSWERED || (a->transport == SHIP_ANSWERED && a->status >= 500));
	struct entry *e = window_find(s->window, s->seqs[0]);
	if (r.verdict == SHIP_TOO_BIG && s->n > 1) {
		learn_max_bytes(d, s->body.n / 2);
	}
	if (s->n > 1) {
		if (about_data || suspicious)
			s->join_limit = suspicious ? 1 : s->n / 2;
		remove_purged(s);
		return about_data;
	}
	e->strikes = suspicious ? e->strikes + 1 : 0;
	if (about_data || (r.verdict != SHIP_PAUSE && is_suspect(d, e, not_now)))
		refused_whole(s, a, r);
	remove_purged(s);
	return about_data;
}

/* True when the answer was about data. */
static bool piece_answered(struct shard *s, const struct http_answer *a, struct ship_ruling r)
{
	bool suspicious = ship_answer_is_suspicious(a->transport, a->status) || (s->load && is_not_now(a, r));
	known_clock(s->dest->known, now_ms(s));
	s->too_big |= r.verdict == SHIP_TOO_BIG;
	if (r.verdict == SHIP_DELIVERED && s->block.n > s->largest)
		s->largest = s->block.n;
	if (health_is_rejecting(&s->dest->health) && r.verdict != SHIP_DELIVERED) {
		end_narrowing(s);
		window_find(s->window, s->narrow_seq)->state = ENTRY_QUEUED;
		return true;
	}
	return narrow_answer(s->narrow, r.verdict, suspicious, a->status, a->words);
}

static void shard_answered(void *arg, const struct http_answer *a)
{
	struct shard *s = arg;
	struct destination *d = s->dest;
	struct ship_ruling r = ship_rule(a->transport, a->status, a->retry_after_ms);
	char code[12];
	snprintf(code, sizeof(code), "%d", a->status);
	sp_metric_add(M_DESTINATION_REQUESTS, SP_L(DESTINATION_LABELS(d), code), 1);
	sp_metric_observe(M_DESTINATION_REQUEST_SECONDS, SP_L(d->settings->name), a->seconds);
	if (r.verdict == SHIP_DELIVERED && a->samples_written >= 0 && (uint64_t)a->samples_written < s->samples)
		destination_unconfirmed(d, s->samples, (uint64_t)a->samples_written);

	/* First, so that those in line have their turn before this lane has another one. This lane may be in line, too: the shard is
	 * busy until it has looked at the answer. */
	if (*d->lane)
		gate_returned(&d->receiver->gate, a->transport != SHIP_NOT_SENT);
	d->in_flight--;
	s->busy = s->out = false;
	enum rw_version next;
	if (destination_sends_again(d, s->version, s->again, a, &next)) {
		/* Prometheus 2.54 to 3.5 stores what it answers 415 to. */
		if (s->kind == REQUEST_WHOLE && a->status == 415)
			mark_maybe(s);
		send_again(s, next);
		return;
	}
	s->again = false;
	bool about_data = r.verdict == SHIP_DATA || r.verdict == SHIP_TOO_BIG;
	if (s->kind == REQUEST_PIECE)
		about_data = piece_answered(s, a, r);
	else if (s->kind == REQUEST_RESUME)
		about_data = resume_answered(s, r.verdict == SHIP_DELIVERED, about_data);
	else if (s->kind == REQUEST_WHOLE)
		about_data = whole_answered(s, a, r);

	if (r.verdict == SHIP_DELIVERED)
		destination_accepted(d, s->epoch);
	else if (!about_data)
		destination_failed(d, s->epoch, r, a);
	else if (health_is_rejecting(&d->health))
		health_rejects_everything(&d->health, s->epoch, a);
	else
		health_answered(&d->health, s->epoch);
	destination_pump(d);
	if (*d->lane && shard_is_idle(s)) /* lanes are many: what this one does not need until its next delivery is given back */
		shard_free(&d->shards[s->index]);
}

/* ---- what to do next ---- */

bool shard_send(struct shard *s, bool alone)
{
	struct destination *d = s->dest;
	if (s->busy)
		return false;
	unsigned witness_after = d->last_success.ms > 0 ? WITNESS_OF_KNOWN_AFTER : WITNESS_AFTER;
	if (health_is_rejecting(&d->health) && d->health.failures >= witness_after && d->health.failures % 2 == 0)
		return send_witness(s);
	if (s->resume.active)
		return resume_send(s);
	if (s->narrow && send_piece(s))
		return s->busy;
	if (s->narrow && !alone)
		return false; /* another shard may show that the receiver is well, without overtaking anybody */
	if (s->narrow && narrow_failed_probes(s->narrow) > 0 && narrow_failed_probes(s->narrow) < OVERTAKE_AFTER)
		return send_piece(s) && s->busy;
	if (!s->narrow && begin_narrowing(s))
		return s->busy;
	if (send_whole(s))
		return true;
	return s->blind && send_piece(s) && s->busy;
}

void shard_forget(struct shard *s, uint64_t seq)
{
	struct entry *e = window_find(s->window, seq);
	if (!e)
		return;
	e->purged = true;
	bool narrowed = s->narrow && s->narrow_seq == seq;
	if (e->state == ENTRY_SENT || (narrowed && s->busy))
		return;
	if (narrowed)
		end_narrowing(s);
	window_remove(s->window, e);
}

void shard_forget_refusals(struct shard *s)
{
	if (s->narrow && !s->busy)
		end_narrowing(s);
	if (!s->busy)
		resume_end(s);
	for (struct entry *e; !s->narrow && (e = window_first(s->window, ENTRY_REFUSED));)
		e->state = ENTRY_QUEUED, e->strikes = 0;
}

void shard_abandon(struct shard *s)
{
	struct entry *e = s->narrow ? window_find(s->window, s->narrow_seq) : NULL;
	if (s->out && s->kind == REQUEST_WHOLE)
		requeue(s, true);
	if (e) /* parts of it may be delivered */
		writer_mark_maybe(s->dest->writer, &e->batch, 1);
	s->busy = s->out = false;
}

static void shard_ready(void *arg)
{
	struct shard *s = arg;
	destination_pump(s->dest);
}

struct shard *shard_new(struct destination *d, uint32_t index, bool behind)
{
	struct shard *s = sp_new(struct shard);
	s->dest = d;
	s->index = index;
	s->join_limit = WINDOW_JOIN_MAX;
	s->window = window_new(d->writer, d->id, index, behind, shard_ready, s);
	return s;
}

void shard_free(struct shard **shard)
{
	struct shard *s = *shard;
	if (!s)
		return;
	narrow_free(&s->narrow);
	payload_unref(&s->held);
	sp_buf_free(&s->body);
	sp_buf_free(&s->witness);
	sp_buf_free(&s->refusal);
	resume_end(s);
	window_free(&s->window);
	sp_free(s->seqs);
	sp_free(s);
	*shard = NULL;
}

bool shard_is_idle(const struct shard *s)
{
	return !s->busy && !s->narrow && window_is_idle(s->window);
}
