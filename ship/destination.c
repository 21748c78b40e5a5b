#include "ship/destination_impl.h"

#include "common/alloc.h"
#include "common/log.h"
#include "common/metrics.h"
#include "common/receivers.h"

static void show_protocol(const struct destination *d)
{
	const char *name = d->settings->name;
	for (enum rw_version v = RW_1; v <= RW_2; v++)
		sp_metric_set(M_DESTINATION_PROTOCOL, SP_L(name, protocol_name(v)), v == d->protocol.spoken);
}

bool destination_sends_again(
    struct destination *d, enum rw_version sent, bool again, const struct http_answer *a, enum rw_version *next)
{
	enum rw_version before = d->protocol.spoken;
	bool sends = protocol_answered(&d->protocol, sent, again, a, next);
	if (d->protocol.spoken == before)
		return sends;
	bool wanted = strcmp(d->settings->protocol, "auto") != 0;
	sp_log(wanted ? SP_LOG_WARN : SP_LOG_INFO, "destination.protocol", sp_f_str("destination", d->settings->name),
	    sp_f_str("reason", d->protocol.reason), sp_f_i64("http_status", a->status),
	    sp_f_str("msg", "the receiver does not take remote write 2.0: it gets 1.0 until a reload"), SP_LOG_END);
	sp_metric_add(M_DESTINATION_PROTOCOL_FALLBACKS, SP_L(d->settings->name, d->protocol.reason), 1);
	show_protocol(d);
	return sends;
}

void destination_forget_protocol(struct destination *d)
{
	protocol_forget(&d->protocol);
	show_protocol(d);
}

void destination_accepted(struct destination *d, uint64_t epoch)
{
	d->vouched = health_is_rejecting(&d->health);
	d->refused_in_a_row = 0;
	d->last_success = sp_loop_now(d->loop);
	health_answered(&d->health, epoch);
	for (size_t i = 0; i < d->n_shards; i++) {
		d->shards[i].blind = false;
		if (d->shards[i].narrow)
			narrow_witness(d->shards[i].narrow);
	}
}

void destination_failed(struct destination *d, uint64_t epoch, struct ship_ruling r, const struct http_answer *a)
{
	if (epoch == d->health.epoch)
		d->vouched = false;
	health_failed(&d->health, epoch, r, a);
}

/* Several batches in a row are refused, and what was narrowed down of one of them was refused to the last request. What
 * was refused so far may have been fine, so nothing dies: all of it starts anew when the receiver takes something. */
static void pause_if_all_is_refused(struct destination *d)
{
	bool blind = false;
	for (size_t i = 0; i < d->n_shards; i++)
		blind |= d->shards[i].blind;
	if (d->refused_in_a_row < REFUSED_IN_A_ROW || !blind || d->health.state != HEALTH_OK)
		return;
	for (size_t i = 0; i < d->n_shards; i++)
		shard_forget_refusals(&d->shards[i]);
	d->vouched = false;
	health_rejects_everything(&d->health, d->health.epoch, NULL);
}

static void ask_shards(struct destination *d, bool alone)
{
	for (size_t i = 0; i < d->n_shards && !d->stopping && health_may_send(&d->health, d->in_flight); i++) {
		struct shard *s = &d->shards[(d->turn + i) % d->n_shards];
		if (shard_send(s, alone) && d->health.state != HEALTH_OK)
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
	pause_if_all_is_refused(d);
	if (d->in_flight == 0)
		ask_shards(d, true);
}

void destination_pump_again(void *arg)
{
	destination_pump(arg);
}

/* ---- beginning and end ---- */

enum sp_status destination_new(struct sp_loop *l, struct writer *w, struct http_client *c,
    const struct dest_settings *settings, struct destination **out, struct sp_why *why)
{
	struct destination *d = sp_new(struct destination);
	d->settings = settings;
	d->loop = l;
	d->writer = w;
	d->rolls_back = receiver_kind(settings->receiver)->rolls_back;
	d->max_bytes = (size_t)settings->max_bytes;
	d->composer = composer_new();
	protocol_init(&d->protocol, settings->protocol);
	show_protocol(d);
	enum sp_status status = auth_new(settings, &d->auth, why);
	if (status == SP_OK)
		status = http_target_new(c, settings, &d->target, why);
	if (status != SP_OK) {
		destination_free(&d);
		return status;
	}
	d->id = writer_dest_id(w, settings->name);
	health_init(&d->health, l, settings, destination_pump_again, d);
	sp_metric_set(M_DESTINATION_REFUSING, SP_L(settings->name), 0);
	d->n_shards = (size_t)settings->shards;
	d->shards = sp_new_array(struct shard, d->n_shards);
	for (size_t i = 0; i < d->n_shards; i++)
		shard_init(&d->shards[i], d, (uint32_t)i);
	*out = d;
	return SP_OK;
}

void destination_free(struct destination **destination)
{
	struct destination *d = *destination;
	if (!d)
		return;
	destination_stop(d);
	for (size_t i = 0; i < d->n_shards; i++)
		shard_done(&d->shards[i]);
	sp_free(d->shards);
	newest_free(&d->newest);
	composer_free(&d->composer);
	http_target_free(&d->target);
	auth_free(&d->auth);
	sp_free(d);
	*destination = NULL;
}

void destination_start(struct destination *d)
{
	for (size_t i = 0; i < d->n_shards; i++)
		window_start(d->shards[i].window);
}

void destination_add(struct destination *d, const struct batch *b, struct payload *p)
{
	SP_BUG_IF(b->shard >= d->n_shards);
	window_add(d->shards[b->shard].window, b, p);
}

void destination_probe(struct destination *d)
{
	health_probe(&d->health);
}

void destination_poll(struct destination *d)
{
	if (auth_poll(d->auth)) {
		sp_log(
		    SP_LOG_INFO, "destination.secret_changed", sp_f_str("destination", d->settings->name), SP_LOG_END);
		health_probe(&d->health);
	}
}

void destination_stop(struct destination *d)
{
	d->stopping = true;
	health_stop(&d->health);
	sp_timer_cancel(d->loop, &d->budget_timer);
	sp_timer_cancel(d->loop, &d->pace_timer);
}

bool destination_idle(const struct destination *d)
{
	return d->in_flight == 0;
}

void destination_abandon(struct destination *d)
{
	for (size_t i = 0; i < d->n_shards; i++)
		shard_abandon(&d->shards[i]);
	d->in_flight = 0;
}

/* ---- for people ---- */

void destination_report(const struct destination *d, struct destination_report *out)
{
	const struct health *h = &d->health;
	int64_t in = h->retry.due_ms - sp_loop_now(d->loop).ms;
	*out = (struct destination_report){.name = d->settings->name,
	    .id = d->id,
	    .state = h->state,
	    .reason = h->reason,
	    .since_wall_ms = h->since_wall_ms,
	    .next_probe_in_ms = h->retry.at == 0 ? -1
				: in > 0	 ? in
						 : 0,
	    .refusing = d->refusing,
	    .protocol = protocol_name(d->protocol.spoken),
	    .protocol_reason = d->protocol.reason};
}
