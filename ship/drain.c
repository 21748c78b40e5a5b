#include "ship/drain.h"

#include "common/alloc.h"
#include "common/log.h"
#include "common/metrics.h"

#define LOOK_MS 100

struct drain {
	struct sp_loop *loop;
	struct writer *writer;
	const struct senders *senders;
	struct sp_timer timer;
	struct sp_mono began;
	int64_t timeout_ms;
	void (*over)(void *arg);
	void *arg;
};

static uint64_t waiting(const struct drain *d, bool configured)
{
	uint64_t n = 0;
	for (uint32_t dest = 1; dest <= writer_max_dest_id(d->writer); dest++)
		if (senders_serve(d->senders, dest) == configured)
			n += writer_totals(d->writer, dest).spooled;
	return n;
}

static void look(void *arg)
{
	struct drain *d = arg;
	if (waiting(d, true) == 0 || sp_mono_since_ms(d->began) >= d->timeout_ms)
		d->over(d->arg);
	else
		sp_timer_set(d->loop, &d->timer, LOOK_MS, look, d);
}

enum sp_status drain_new(struct sp_loop *l, struct writer *w, const struct senders *senders, int64_t timeout_ms,
    void (*over)(void *arg), void *arg, struct drain **out, struct sp_why *why)
{
	if (writer_spool_is_new(w))
		return sp_fail(why, SP_IO, "the spool is damaged: it was set aside, and nothing of it is sent");
	struct drain *d = sp_new(struct drain);
	*d = (struct drain){.loop = l, .writer = w, .senders = senders, .began = sp_mono_now(), .timeout_ms = timeout_ms,
	    .over = over, .arg = arg};
	sp_timer_set(l, &d->timer, 0, look, d);
	*out = d;
	return SP_OK;
}

void drain_free(struct drain **dp)
{
	if (!*dp)
		return;
	sp_timer_cancel((*dp)->loop, &(*dp)->timer);
	sp_free(*dp);
	*dp = NULL;
}

int drain_result(const struct drain *d)
{
	writer_metrics(d->writer);
	for (uint32_t dest = 1; dest <= writer_max_dest_id(d->writer); dest++) {
		uint64_t samples = writer_totals(d->writer, dest).spooled;
		if (samples)
			sp_log(SP_LOG_WARN, "ship.not_drained", sp_f_str("destination", writer_dest_name(d->writer, dest)),
			    sp_f_u64("samples", samples),
			    sp_f_str("msg", senders_serve(d->senders, dest) ? "it did not take all of them in time"
								   : "the configuration has no such destination"),
			    SP_LOG_END);
	}
	uint64_t left = waiting(d, true), removed = waiting(d, false);
	sp_log(SP_LOG_INFO, left + removed ? "ship.drain_ended" : "ship.drained", sp_f_u64("samples_left", left + removed),
	    sp_f_u64("dead_letters", (uint64_t)sp_metric_value(M_DEADLETTER_ITEMS, NULL)),
	    sp_f_u64("quarantined", (uint64_t)sp_metric_value(M_QUARANTINE_ITEMS, NULL)), SP_LOG_END);
	return left ? SP_EXIT_UNFINISHED : removed ? SP_EXIT_FAILED : SP_EXIT_OK;
}
