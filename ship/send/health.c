#include "ship/send/health.h"

#include "common/alloc.h"
#include "common/log.h"
#include "common/metrics.h"

#include <stdio.h>
#include <stdlib.h>

static const char rejecting[] = "rejects_everything";

const char *health_state_name(enum health_state s)
{
	static const char *const names[] = {"healthy", "backing_off", "paused"};
	return names[s];
}

void health_init(struct health *h, struct sp_loop *l, const struct dest_settings *d, const char *name, const char *lane,
    void (*again)(void *arg), void *arg)
{
	*h = (struct health){.loop = l, .settings = d, .name = name, .lane = lane, .again = again, .arg = arg, .reason = ""};
	h->backoff.allowed = (unsigned)d->shards;
	h->since_wall_ms = sp_wall_ms();
	sp_metric_set(M_DESTINATION_UP, SP_L(h->settings->name, h->lane, ""), 1);
}

void health_stop(struct health *h)
{
	if (h->loop)
		sp_timer_cancel(h->loop, &h->retry);
	sp_free(h->answer);
	h->answer = NULL;
}

static void keep_answer(struct health *h, const struct http_answer *a)
{
	size_t n = a && a->words.n ? strnlen((const char *)a->words.p, a->words.n < HEALTH_ANSWER_BYTES ? a->words.n : HEALTH_ANSWER_BYTES) : 0;
	h->http_status = a ? a->status : 0;
	sp_free(h->answer);
	h->answer = n ? sp_strndup(a->words.p, n) : NULL; /* lanes are many, and most are well */
	for (size_t i = 0; i < n; i++)
		if (h->answer[i] < ' ' || h->answer[i] >= 0x7f)
			h->answer[i] = ' ';
	while (n && h->answer[n - 1] == ' ')
		h->answer[--n] = '\0';
}

static void enter(struct health *h, enum health_state state, const char *reason, const struct http_answer *a)
{
	int64_t now = sp_wall_ms();
	if (state == h->state && strcmp(reason, h->reason) == 0)
		return;
	if (state != h->state && state == HEALTH_OK)
		sp_log(SP_LOG_INFO, "destination.healthy", sp_f_str("destination", h->name),
		    sp_f_str("after", h->reason), sp_f_i64("seconds", (now - h->since_wall_ms) / 1000), SP_LOG_END);
	else if (state != h->state)
		sp_log(state == HEALTH_PAUSED ? SP_LOG_ERROR : SP_LOG_WARN,
		    state == HEALTH_PAUSED ? "destination.paused" : "destination.backing_off",
		    sp_f_str("destination", h->name), sp_f_str("reason", reason),
		    sp_f_i64("http_status", a ? a->status : 0), sp_f_bytes("answer", a ? a->words : sp_str(NULL)),
		    sp_f_str("msg", "the data waits in the spool"), SP_LOG_END);
	if (state != h->state)
		h->since_wall_ms = now;
	keep_answer(h, a);
	sp_metric_forget(M_DESTINATION_UP, SP_L(h->settings->name, h->lane, h->reason));
	sp_metric_set(M_DESTINATION_UP, SP_L(h->settings->name, h->lane, reason), state == HEALTH_OK);
	h->state = state;
	h->reason = reason;
}

static void retry_due(void *arg)
{
	struct health *h = arg;
	sp_timer_cancel(h->loop, &h->retry);
	h->probe_due = true;
	h->again(h->arg);
}

static void failed(
    struct health *h, uint64_t epoch, enum backoff_kind kind, const char *reason, const struct http_answer *a)
{
	if (epoch != h->epoch)
		return;
	h->epoch++;
	h->failures++;
	enter(h, kind == BACKOFF_PAUSED ? HEALTH_PAUSED : HEALTH_BACKING_OFF, reason, a);
	int64_t asked = a ? a->retry_after_ms : SHIP_NO_RETRY_AFTER;
	int64_t wait = backoff_fail(&h->backoff, h->settings, kind, asked, (double)random() / RAND_MAX);
	sp_timer_set(h->loop, &h->retry, wait, retry_due, h);
}

void health_failed(struct health *h, uint64_t epoch, struct ship_ruling r, const struct http_answer *a)
{
	enum backoff_kind kind = r.verdict == SHIP_PAUSE	 ? BACKOFF_PAUSED
				 : r.verdict == SHIP_UNREACHABLE ? BACKOFF_UNREACHABLE
								 : BACKOFF_ANSWERED;
	failed(h, epoch, kind, r.reason, a);
}

void health_rejects_everything(struct health *h, uint64_t epoch, const struct http_answer *a)
{
	failed(h, epoch, BACKOFF_PAUSED, rejecting, a);
}

bool health_is_rejecting(const struct health *h)
{
	return h->reason == rejecting;
}

void health_answered(struct health *h, uint64_t epoch)
{
	if (epoch != h->epoch)
		return;
	h->failures = 0;
	h->probe_due = false;
	sp_timer_cancel(h->loop, &h->retry);
	enter(h, HEALTH_OK, "", NULL);
	backoff_succeed(&h->backoff, (unsigned)h->settings->shards);
}

bool health_may_send(const struct health *h, unsigned in_flight)
{
	return h->state == HEALTH_OK ? in_flight < h->backoff.allowed : h->probe_due;
}

void health_sent(struct health *h)
{
	h->probe_due = false;
}

void health_disregard(struct health *h)
{
	h->epoch++;
}

void health_probe(struct health *h)
{
	if (h->state == HEALTH_OK)
		return;
	h->backoff.next_ms = 0;
	retry_due(h);
}
