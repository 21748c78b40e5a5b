#include "ship/send/destination_impl.h"

#include "common/alloc.h"
#include "common/metrics.h"
#include "common/receivers.h"

#define LOG_EVERY_MS 60000
/* After a 413 requests are half as big, and grow again by a tenth in this time. */
#define MAX_BYTES_GROW_MS 3600000
#define NARROWING_MS 60000
/* A destination is said to refuse much until this long after the last time that narrowing down had to wait. */
#define REFUSING_MS (BUDGET_SLOTS * BUDGET_SLOT_MS)

static void show_protocol(const struct destination *d)
{
	const char *name = d->settings->name;
	for (enum rw_version v = RW_1; v <= RW_2; v++)
		sp_metric_set(M_DESTINATION_PROTOCOL, SP_L(name, protocol_name(v)), v == d->receiver->protocol.spoken);
}

bool destination_sends_again(
    struct destination *d, enum rw_version sent, bool again, const struct http_answer *a, enum rw_version *next)
{
	enum rw_version before = d->receiver->protocol.spoken;
	bool sends = protocol_answered(&d->receiver->protocol, sent, again, a, next);
	if (d->receiver->protocol.spoken == before)
		return sends;
	bool wanted = strcmp(d->settings->protocol, "auto") != 0;
	sp_log(wanted ? SP_LOG_WARN : SP_LOG_INFO, "destination.protocol", sp_f_str("destination", d->settings->name),
	    sp_f_str("reason", d->receiver->protocol.reason), sp_f_i64("http_status", a->status),
	    sp_f_str("msg", "the receiver does not take remote write 2.0: it gets 1.0 until a reload"), SP_LOG_END);
	sp_metric_add(M_DESTINATION_PROTOCOL_FALLBACKS, SP_L(d->settings->name, d->receiver->protocol.reason), 1);
	show_protocol(d);
	return sends;
}

void destination_reached(struct destination *d, const struct batch *b)
{
	if (b->max_ms > d->reached_ms)
		d->reached_ms = b->max_ms;
}

void destination_forget_protocol(struct destination *d)
{
	protocol_forget(&d->receiver->protocol);
	show_protocol(d);
}

void destination_unconfirmed(struct destination *d, uint64_t sent, uint64_t written)
{
	sp_metric_add(M_DESTINATION_UNCONFIRMED, SP_L(DESTINATION_LABELS(d)), (double)(sent - written));
	if (sp_log_due(&d->unconfirmed_rate, LOG_EVERY_MS))
		sp_log(SP_LOG_WARN, "destination.unconfirmed", sp_f_str("destination", d->name), sp_f_u64("sent", sent),
		    sp_f_u64("written", written),
		    sp_f_str("msg", "accepted, but the receiver says that it wrote fewer samples"), SP_LOG_END);
}

void destination_accepted(struct destination *d, uint64_t epoch)
{
	d->vouched = health_is_rejecting(&d->health);
	d->refused_in_a_row = 0;
	d->witnessed_ms = 0;
	d->last_success = sp_loop_now(d->loop);
	d->keys_renewed = false;
	health_answered(&d->health, epoch);
	for (size_t i = 0; i < d->n_shards; i++) {
		struct shard *s = d->shards[i];
		if (!s)
			continue;
		s->blind = false;
		if (s->narrow)
			narrow_witness(s->narrow);
	}
}

void destination_failed(struct destination *d, uint64_t epoch, struct ship_ruling r, const struct http_answer *a)
{
	if (epoch == d->health.epoch)
		d->vouched = false;
	bool renews = a && a->status == 403 && epoch == d->health.epoch && !d->keys_renewed && auth_forbidden(d->receiver->auth, a);
	d->keys_renewed |= renews;
	if (renews && d->health.state != HEALTH_PAUSED) {
		health_disregard(&d->health); /* whatever else is out was signed the same way */
		return;
	}
	health_failed(&d->health, epoch, r, a);
}

void destination_learn_max_bytes(struct destination *d, size_t bytes)
{
	struct receiver *r = d->receiver;
	r->max_bytes = bytes < r->max_bytes ? bytes : r->max_bytes;
	r->max_bytes_at = sp_loop_now(d->loop);
}

void destination_grow_max_bytes(struct destination *d)
{
	struct receiver *r = d->receiver;
	size_t configured = (size_t)d->settings->max_bytes, more = r->max_bytes + r->max_bytes / 10;
	if (r->max_bytes >= configured || sp_loop_now(d->loop).ms - r->max_bytes_at.ms < MAX_BYTES_GROW_MS)
		return;
	r->max_bytes = more < configured ? more : configured;
	r->max_bytes_at = sp_loop_now(d->loop);
}

void destination_refuses(struct destination *d, bool refuses)
{
	if (refuses)
		d->refusing_at = sp_loop_now(d->loop);
	if (refuses == d->refusing)
		return;
	sp_log(refuses ? SP_LOG_WARN : SP_LOG_INFO, refuses ? "destination.refusing" : "destination.refusing_ended",
	    sp_f_str("destination", d->name),
	    sp_f_str("msg", refuses ? "refuses so much that narrowing it down must wait" : "narrowing down no longer waits"),
	    SP_LOG_END);
	d->refusing = refuses;
	sp_metric_set(M_DESTINATION_REFUSING, SP_L(DESTINATION_LABELS(d)), refuses);
}

/* Late samples in a row look as if all were refused. True: an answer is due that may tell. */
static bool ask_witness(struct destination *d, const struct shard *blind)
{
	if (blind->busy)
		return true;
	for (size_t i = 0; i < d->n_shards && witness_is_promising(d); i++)
		if (d->shards[i] && !d->shards[i]->busy && shard_send_witness(d->shards[i]))
			return true;
	return false;
}

/* Several batches in a row are refused, and what was narrowed down of one of them was refused to the last request. What
 * was refused so far may have been fine, so nothing dies: all of it starts anew when the receiver takes something. */
static void pause_if_all_is_refused(struct destination *d)
{
	const struct shard *blind = NULL;
	for (size_t i = 0; i < d->n_shards; i++)
		if (d->shards[i] && d->shards[i]->blind)
			blind = d->shards[i];
	if (d->refused_in_a_row < REFUSED_IN_A_ROW || !blind || d->health.state != HEALTH_OK || d->stopping || ask_witness(d, blind))
		return;
	for (size_t i = 0; i < d->n_shards; i++)
		if (d->shards[i])
			shard_forget_refusals(d->shards[i]);
	d->vouched = false;
	const struct http_answer last = {.status = blind->refusal_status, .retry_after_ms = SHIP_NO_RETRY_AFTER, .words = sp_buf_view(&blind->refusal)};
	health_rejects_everything(&d->health, d->health.epoch, &last);
}

/* What is refused is narrowed down within this time, or delays only its own shard. */
static bool narrows_for_long(const struct destination *d, const struct shard *s)
{
	return (s->narrow || s->any_refused || s->resume.active) &&
		(d->refusing || sp_loop_now(d->loop).ms - s->narrowing_since.ms > NARROWING_MS);
}

/* A shard with few series would empty its queue hours before the others, and a Prometheus without an out-of-order window takes nothing
 * that is an hour older than the newest sample of all its series. What is that old by now need not be waited for. */
int64_t destination_horizon(const struct destination *d)
{
	int64_t slowest = INT64_MAX, ms;
	for (size_t i = 0; i < d->n_shards; i++) {
		const struct shard *s = d->shards[i];
		if (!s || narrows_for_long(d, s) || !window_front_ms(s->window, &ms))
			continue;
		if (ms == INT64_MIN || ms >= d->reached_ms - 2 * SHARDS_APART_MS)
			slowest = ms < slowest ? ms : slowest;
	}
	return slowest < INT64_MAX - SHARDS_APART_MS ? slowest + SHARDS_APART_MS : INT64_MAX;
}

static bool may_send(struct destination *d)
{
	bool has_key = auth_ready(d->receiver->auth) && (!d->token || token_line(d->token));
	return has_key && !d->stopping && health_may_send(&d->health, d->in_flight) &&
	       (!*d->lane || gate_is_open(&d->receiver->gate, &d->place));
}

/* A shard is blind: shows whether it is the receiver, before another batch of it has to. */
static void ask_repeat(struct destination *d)
{
	for (size_t i = 0; i < d->n_shards && !health_is_rejecting(&d->health); i++) {
		struct shard *s = d->shards[i];
		if (s && s->blind && !s->busy && may_send(d) && shard_send_repeat(s))
			return;
	}
}

static void ask_shards(struct destination *d, bool alone)
{
	for (size_t i = 0; i < d->n_shards && may_send(d); i++) {
		struct shard *s = d->shards[(d->turn + i) % d->n_shards];
		if (s && shard_send(s, alone) && d->health.state != HEALTH_OK)
			d->turn = s->index;
	}
}

void destination_pump(struct destination *d)
{
	/* The shard whose batch failed tries again, so that a batch which cannot be sent is found out; after a few
	 * failures others do. */
	if (d->health.failures > 0 && d->health.failures % (SUSPECT_AFTER + 1) == 0)
		d->turn++;
	ask_shards(d, false);
	ask_repeat(d);
	pause_if_all_is_refused(d);
	if (d->in_flight == 0)
		ask_shards(d, true);
}

void destination_pump_again(void *arg)
{
	destination_pump(arg);
}

void destination_lines(struct destination *d, struct sp_bytes body, const char *lines[HTTP_LINES_MAX])
{
	size_t n = 0;
	for (const char *const *from = auth_lines(d->receiver->auth, body); *from; from++) {
		SP_BUG_IF(n + 3 >= HTTP_LINES_MAX);
		lines[n++] = *from;
	}
	if (d->header)
		lines[n++] = d->header;
	if (d->token)
		lines[n++] = token_line(d->token);
	lines[n] = NULL;
}

/* ---- secrets ---- */

static void secret_changed(struct destination *d)
{
	sp_log(SP_LOG_INFO, "destination.secret_changed", sp_f_str("destination", d->name), SP_LOG_END);
}

static void poll_token(struct destination *d)
{
	bool had_one = token_line(d->token) != NULL;
	if (token_poll(d->token)) {
		if (had_one || d->health.state != HEALTH_OK)
			secret_changed(d);
		health_probe(&d->health);
		destination_pump(d);
	}
	if (!token_line(d->token) && d->health.state == HEALTH_OK)
		health_failed(&d->health, d->health.epoch, (struct ship_ruling){SHIP_PAUSE, "no_key"}, NULL);
}

void destination_keys(struct destination *d, const struct settings *s)
{
	d->receiver->keys = s;
	if (!d->token)
		return;
	token_find(d->token, s);
	poll_token(d);
}

/* Secrets have changed, access keys have come, or cannot be had. */
static void hear_of_secrets(struct destination *d)
{
	static const char no_credentials[] = "no_credentials";
	const char *trouble = auth_trouble(d->receiver->auth);
	if (trouble && !auth_ready(d->receiver->auth) && strcmp(d->health.reason, no_credentials) != 0)
		health_failed(&d->health, d->health.epoch, (struct ship_ruling){SHIP_PAUSE, no_credentials},
		    &(struct http_answer){.retry_after_ms = SHIP_NO_RETRY_AFTER, .words = sp_str(trouble)});
	if (d->secrets_seen == d->receiver->secrets)
		return;
	d->secrets_seen = d->receiver->secrets;
	if (!trouble || d->health.retry.at == 0) /* without a timer it waited for this */
		health_probe(&d->health);
	destination_pump(d);
}

/* Its lanes hear of it when they are polled. */
static void on_keys(void *arg)
{
	struct destination *d = arg;
	d->receiver->secrets++;
	hear_of_secrets(d);
}

/* ---- beginning and end ---- */

static void receiver_free(struct receiver **r)
{
	if (!*r)
		return;
	composer_free(&(*r)->composer);
	recent_free(&(*r)->recent);
	auth_free(&(*r)->auth);
	http_target_free(&(*r)->target);
	sp_free(*r);
	*r = NULL;
}

static enum sp_status receiver_new(struct destination *d, struct http_client *c, struct sp_why *why)
{
	const struct dest_settings *settings = d->settings;
	struct receiver *r = d->receiver = sp_new(struct receiver);
	r->rolls_back = receiver_kind(settings->receiver)->rolls_back;
	r->max_bytes = (size_t)settings->max_bytes;
	r->composer = composer_new();
	protocol_init(&r->protocol, settings->protocol);
	gate_init(&r->gate, d->loop, settings);
	enum sp_status status = http_target_new(c, settings, &r->target, why);
	return status == SP_OK ? auth_new(d->loop, c, r->target, settings, on_keys, d, &r->auth, why) : status;
}

static struct destination *destination_make(
    struct sp_loop *l, struct writer *w, const struct dest_settings *settings, uint32_t id, const char *name)
{
	struct destination *d = sp_new(struct destination);
	const char *slash = strchr(name, '/');
	d->settings = settings;
	d->loop = l;
	d->writer = w;
	d->id = id;
	d->name = sp_strdup(name);
	d->lane = slash ? d->name + (slash - name) + 1 : "";
	d->n_shards = (size_t)settings->shards;
	d->shards = sp_new_array(struct shard *, d->n_shards);
	health_init(&d->health, l, settings, d->name, d->lane, destination_pump_again, d);
	return d;
}

enum sp_status destination_new(struct sp_loop *l, struct writer *w, struct http_client *c,
    const struct dest_settings *settings, struct destination **out, struct sp_why *why)
{
	struct destination *d = destination_make(l, w, settings, writer_dest_id(w, settings->name), settings->name);
	enum sp_status status = receiver_new(d, c, why);
	if (status != SP_OK) {
		destination_free(&d);
		return status;
	}
	show_protocol(d);
	sp_metric_set(M_DESTINATION_REFUSING, SP_L(DESTINATION_LABELS(d)), 0);
	*out = d;
	return SP_OK;
}

struct destination *destination_lane(struct destination *of, uint32_t id, const char *name)
{
	struct destination *d = destination_make(of->loop, of->writer, of->settings, id, name);
	d->receiver = of->receiver;
	d->place = (struct gate_place){.called = destination_pump_again, .arg = d};
	const char *value = sp_map_get(&of->settings->lanes_map, d->lane);
	if (of->settings->lanes_header)
		d->header = sp_asprintf("%s: %s", of->settings->lanes_header, value ? value : d->lane);
	if (of->settings->lanes_token)
		d->token = token_new(d->lane);
	if (of->receiver->keys)
		destination_keys(d, of->receiver->keys);
	d->secrets_seen = of->receiver->secrets;
	return d;
}

void destination_free(struct destination **destination)
{
	struct destination *d = *destination;
	if (!d)
		return;
	destination_stop(d);
	for (size_t i = 0; i < d->n_shards; i++)
		shard_free(&d->shards[i]);
	if (!*d->lane)
		receiver_free(&d->receiver);
	known_free(&d->known);
	sp_free(d->shards);
	sp_free(d->header);
	token_free(&d->token);
	sp_free(d->name);
	sp_free(d);
	*destination = NULL;
}

void destination_start(struct destination *d)
{
	bool waits = writer_totals(d->writer, d->id).batches > 0;
	for (size_t i = 0; i < d->n_shards && waits; i++) {
		if (!d->shards[i])
			d->shards[i] = shard_new(d, (uint32_t)i, true);
		window_start(d->shards[i]->window);
	}
}

static void probe_when_promising(struct destination *d)
{
	if (!health_is_rejecting(&d->health) || !witness_is_promising(d))
		return;
	d->health.probe_due = true;
	destination_pump(d);
}

void destination_add(struct destination *d, const struct batch *b, struct payload *p)
{
	SP_BUG_IF(b->shard >= d->n_shards);
	if (!d->shards[b->shard])
		d->shards[b->shard] = shard_new(d, b->shard, false);
	budget_arrived(&d->budget, sp_loop_now(d->loop).ms);
	if (b->max_ms > d->newest_ms)
		d->newest_ms = b->max_ms;
	window_add(d->shards[b->shard]->window, b, p);
	probe_when_promising(d);
}

void destination_forget(struct destination *d, const struct batch *b)
{
	if (b->shard < d->n_shards && d->shards[b->shard])
		shard_forget(d->shards[b->shard], b->seq);
}

void destination_probe(struct destination *d)
{
	auth_retry(d->receiver->auth);
	if (!*d->lane)
		gate_probe(&d->receiver->gate);
	health_probe(&d->health);
}

const char *destination_unauthorized_key(const struct destination *d)
{
	bool refused = d->health.state == HEALTH_PAUSED && strcmp(d->health.reason, "unauthorized") == 0;
	return d->token && refused && writer_totals(d->writer, d->id).batches ? d->lane : NULL;
}

void destination_poll(struct destination *d)
{
	struct receiver *r = d->receiver;
	if (!*d->lane && auth_poll(r->auth)) {
		r->secrets++;
		secret_changed(d);
	}
	hear_of_secrets(d);
	recent_forget(&r->recent, sp_loop_now(d->loop).ms);
	if (d->token)
		poll_token(d);
	if (d->refusing && sp_loop_now(d->loop).ms - d->refusing_at.ms > REFUSING_MS)
		destination_refuses(d, false);
	/* There may be a thousand lanes, and most of them have nothing to do most of the time. */
	bool idle = true, unloads = d->health.state != HEALTH_OK && payload_bytes_held() > writer_memory(d->writer) / 2;
	for (size_t i = 0; i < d->n_shards; i++) {
		if (d->shards[i] && unloads) /* the memory is for those that are well */
			window_unload(d->shards[i]->window);
		if (d->shards[i] && shard_is_idle(d->shards[i]))
			shard_free(&d->shards[i]);
		idle &= !d->shards[i];
	}
	if (idle && d->known && sp_loop_now(d->loop).ms - d->last_narrowing.ms > KNOWN_FORGET_MS)
		known_free(&d->known);
	probe_when_promising(d);
	if (!idle) /* what waited for time to pass, or for a batch that was purged */
		destination_pump(d);
}

void destination_stop(struct destination *d)
{
	d->stopping = true;
	health_stop(&d->health);
	sp_timer_cancel(d->loop, &d->budget_timer);
	sp_timer_cancel(d->loop, &d->pace_timer);
	if (!*d->lane)
		gate_stop(&d->receiver->gate);
}

bool destination_idle(const struct destination *d)
{
	return d->in_flight == 0;
}

void destination_abandon(struct destination *d)
{
	for (size_t i = 0; i < d->n_shards; i++)
		if (d->shards[i])
			shard_abandon(d->shards[i]);
	d->in_flight = 0;
}

/* ---- for people ---- */

void destination_report(const struct destination *d, struct destination_report *out)
{
	const struct health *h = &d->health;
	int64_t in = h->retry.due_ms - sp_loop_now(d->loop).ms;
	*out = (struct destination_report){.name = d->name,
	    .id = d->id,
	    .state = h->state,
	    .reason = h->reason,
	    .http_status = h->http_status,
	    .answer = h->answer ? h->answer : "",
	    .since_wall_ms = h->since_wall_ms,
	    .next_probe_in_ms = h->retry.at == 0 ? -1
				: in > 0	 ? in
						 : 0,
	    .refusing = d->refusing,
	    .protocol = protocol_name(d->receiver->protocol.spoken),
	    .protocol_reason = d->receiver->protocol.reason};
}
