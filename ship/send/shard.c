#include "ship/send/destination_impl.h"

#include "common/alloc.h"
#include "common/crash.h"
#include "common/metrics.h"

#include <stdio.h>

/* 429 to the same batch, without word of when to come again, before the next tries are of one sample: a small one may pass a limit on
 * the rate, and tells when the limit is another one. */
#define BUSY_AFTER 2
/* Failures of one batch, or of all in a row, whatever the answer was, before the batch is suspect. */
#define SUSPECT_ANYHOW_AFTER 10
/* Probes for a suspect batch, with no other shard to ask, before the next batch of its own shard may overtake it. */
#define OVERTAKE_AFTER 8
/* Failed probes with whole batches, where everything is refused, before every other probe is a single sample. */
#define WITNESS_AFTER 5
/* The same for a receiver that took something since the start: there are rather some late batches in a row. */
#define WITNESS_OF_KNOWN_AFTER 2
/* Requests that fill this part of the limits never wait for more data. */
#define PACE_FILL 4
/* This part of the memory for payloads may keep some that are delivered. */
#define RECENT_PART 16

static void shard_answered(void *arg, const struct http_answer *a);

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
	/* The first piece carries what the refused request should have, and those of resume.c stand for batches that are not sent again. */
	if (kind == REQUEST_WITNESS || kind == REQUEST_REPEAT || (kind == REQUEST_PIECE && s->pieces++ > 0))
		budget_spend(&d->budget, sp_loop_now(d->loop).ms);
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
	int64_t wait = pace_wait_ms(&d->pace, sp_loop_now(d->loop).ms);
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

static void post_part(struct shard *s, enum request_kind kind, uint64_t seq, enum rw_version version, unsigned attempt)
{
	struct composed c = compose_part(
	    s->dest->receiver->composer, window_find(s->window, seq), s->block, s->samples, version, &s->body);
	post(s, kind, &c, attempt);
}

void shard_post_part(struct shard *s, enum request_kind kind, uint64_t seq, unsigned attempt)
{
	post_part(s, kind, seq, s->dest->receiver->protocol.spoken, attempt);
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
		post_part(s, s->kind, s->kind == REQUEST_PIECE ? s->narrow_seq : s->kind == REQUEST_REPEAT ? 0 : s->seqs[0], version, 0);
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
	e->suspect = e->stored_rest = false;
	s->refusal_status = 413;
	sp_buf_clear(&s->refusal);
	e->state = ENTRY_REFUSED;
	s->any_refused = true;
	s->too_big = false;
	return shard_narrow_begin(s);
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
	pace_sent(&d->pace, sp_loop_now(d->loop).ms);
	post(s, REQUEST_WHOLE, &c, entries[0]->attempts);
	window_collect(s->window, &wanted, entries); /* the next ones may be read while these are out */
	return true;
}

void shard_settle(struct shard *s, const struct batch *batches, size_t n, uint64_t delivered,
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

void shard_bury(struct shard *s, struct entry *e, const char *reason, int status, struct sp_bytes words)
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
	shard_settle(s, b, 1, 0, &dead, 1);
	window_remove(s->window, e);
}

/* ---- what came back ---- */

static void delivered_whole(struct shard *s)
{
	struct batch batches[WINDOW_JOIN_MAX];
	sp_crash_point("ship.after_2xx_before_delete");
	s->narrowing_since = (struct sp_mono){0};
	s->dest->repeat_refused = false;
	for (size_t i = 0; i < s->n; i++) {
		const struct entry *e = window_find(s->window, s->seqs[i]);
		batches[i] = e->batch;
		destination_reached(s->dest, &e->batch);
		if (s->dest->receiver->rolls_back && e->payload && !(e->batch.flags & BATCH_AS_IT_IS))
			recent_add(&s->dest->receiver->recent, &e->batch, e->payload, sp_loop_now(s->dest->loop).ms, writer_memory(s->dest->writer) / RECENT_PART);
	}
	shard_settle(s, batches, s->n, s->samples, NULL, 0);
	for (size_t i = 0; i < s->n; i++)
		window_remove(s->window, window_find(s->window, s->seqs[i]));
	s->join_limit = s->join_limit * 2 < WINDOW_JOIN_MAX ? s->join_limit * 2 : WINDOW_JOIN_MAX;
	destination_grow_max_bytes(s->dest);
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

/* "Not now", again and again to the same batch: it may be the batch. While the receiver is the one that is ill, to
 * narrow it down only means to ask with one sample instead of all. */
static bool is_suspect(const struct destination *d, const struct entry *e, bool answered)
{
	bool others_are_taken = d->last_success.ms > 0 && e->attempts > d->health.failures;
	unsigned tried = answered && d->health.failures > e->attempts ? d->health.failures : e->attempts;
	return tried >= SUSPECT_ANYHOW_AFTER && (answered || others_are_taken);
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
	bool suspicious = ship_answer_is_suspicious(a->transport, a->status), not_now = ship_answer_is_not_now(a->transport, r.verdict);
	bool known_as_data = not_now && a->retry_after_ms == SHIP_NO_RETRY_AFTER && destination_load_is_data(d);
	bool about_data = r.verdict == SHIP_DATA || r.verdict == SHIP_TOO_BIG || known_as_data;
	bool busy = a->status == 429 && a->retry_after_ms == SHIP_NO_RETRY_AFTER;
	payload_unref(&s->held);
	if (r.verdict == SHIP_DELIVERED) {
		delivered_whole(s);
		return false;
	}
	requeue(
	    s, a->repeated || a->transport == SHIP_UNANSWERED || (a->transport == SHIP_ANSWERED && a->status >= 500));
	struct entry *e = window_find(s->window, s->seqs[0]);
	if (r.verdict == SHIP_TOO_BIG && s->n > 1) {
		destination_learn_max_bytes(d, s->body.n / 2);
	}
	if (s->n > 1) {
		if (about_data || suspicious || busy)
			s->join_limit = suspicious ? 1 : s->n / 2;
		remove_purged(s);
		return about_data;
	}
	e->strikes = suspicious || busy ? e->strikes + 1 : 0;
	bool suspect = e->strikes >= (busy ? BUSY_AFTER : SUSPECT_AFTER) || is_suspect(d, e, not_now);
	if (about_data || (r.verdict != SHIP_PAUSE && suspect))
		shard_refused(s, a, r);
	remove_purged(s);
	return about_data;
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
		about_data = shard_narrow_answered(s, a, r);
	else if (s->kind == REQUEST_RESUME)
		about_data = resume_answered(s, r.verdict, a->words);
	else if (s->kind == REQUEST_WHOLE)
		about_data = whole_answered(s, a, r);
	else if (s->kind == REQUEST_REPEAT)
		d->repeat_refused = about_data;
	if (s->kind == REQUEST_REPEAT && s->narrow && r.verdict == SHIP_DELIVERED)
		narrow_control(s->narrow);

	if (r.verdict == SHIP_DELIVERED)
		destination_accepted(d, s->epoch);
	else if (!about_data)
		destination_failed(d, s->epoch, r, a);
	else if (health_is_rejecting(&d->health) && s->kind == REQUEST_WITNESS && witness_round_goes_on(d))
		d->health.probe_due = true;
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
	if (health_is_rejecting(&d->health) &&
	    (witness_round_goes_on(d) || witness_is_promising(d) || (d->health.failures >= witness_after && d->health.failures % 2 == 0)))
		return shard_send_witness(s);
	if (s->resume.active)
		return resume_send(s);
	if (s->narrow && shard_narrow_send(s))
		return s->busy;
	if (s->narrow && !alone)
		return false; /* another shard may show that the receiver is well, without overtaking anybody */
	if (s->narrow && narrow_failed_probes(s->narrow) > 0 && narrow_failed_probes(s->narrow) < OVERTAKE_AFTER)
		return shard_narrow_send(s) && s->busy;
	if (!s->narrow && shard_narrow_begin(s))
		return s->busy;
	if (send_whole(s))
		return true;
	return s->blind && shard_narrow_send(s) && s->busy;
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
		shard_narrow_end(s);
	window_remove(s->window, e);
}

void shard_forget_refusals(struct shard *s)
{
	if (s->narrow && !s->busy)
		shard_narrow_end(s);
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
	room_for_seqs(s, 1);
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
