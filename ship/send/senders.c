#include "ship/send/senders.h"

#include "common/alloc.h"
#include "common/json.h"
#include "common/log.h"
#include "ship/send/destination.h"
#include "ship/send/listener.h"

#include <errno.h>
#include <stdio.h>

/* How often secret files are looked at. */
#define POLL_MS 1000

struct senders {
	struct sp_loop *loop;
	struct writer *writer;
	struct http_client *client;
	struct settings *settings;
	uint32_t *ids; /* of the settings' destinations */
	struct destination **by_id; /* destinations, and lanes that had something to send */
	uint32_t n_ids, max_id;
	size_t *waiting; /* of the settings' destinations: those whose address depends on the first delivery */
	size_t n_waiting;
	struct sp_timer poll;
	const struct settings *keys; /* the access keys as they are now */
	void (*on_unauthorized)(void *arg, const char *const *keys, size_t n);
	void *on_unauthorized_arg;
	const struct active *active;
	int64_t started_wall_ms; /* 0: not yet */
	bool stopped;
};

static struct destination *find(const struct senders *s, uint32_t id)
{
	return id <= s->max_id ? s->by_id[id] : NULL;
}

/* The next one after *id, which begins with 0; NULL: there is none. */
static struct destination *next(const struct senders *s, uint32_t *id)
{
	while (++*id <= s->max_id)
		if (s->by_id[*id])
			return s->by_id[*id];
	return NULL;
}

static void put(struct senders *s, uint32_t id, struct destination *d)
{
	if (id >= s->n_ids) {
		uint32_t n = 2 * id + 16;
		s->by_id = sp_realloc(s->by_id, n * sizeof(struct destination *));
		memset(s->by_id + s->n_ids, 0, (n - s->n_ids) * sizeof(struct destination *));
		s->n_ids = n;
	}
	s->max_id = id > s->max_id ? id : s->max_id;
	s->by_id[id] = d;
}

/* Place in the settings of the destination that this is, or a lane of; n_dests: there is none, or it has no lanes now. */
static size_t place_of(const struct senders *s, const char *name)
{
	size_t n = strcspn(name, "/"), i = 0;
	while (i < s->settings->n_dests &&
	       (strncmp(s->settings->dests[i].name, name, n) != 0 || s->settings->dests[i].name[n] ||
		   (name[n] && !s->settings->dests[i].lanes_by)))
		i++;
	return i;
}

bool senders_serve(const struct senders *s, uint32_t dest)
{
	return place_of(s, writer_dest_name(s->writer, dest)) < s->settings->n_dests;
}

/* NULL: nobody sends it. A lane is made when there is something to send for the first time. */
static struct destination *sender_of(struct senders *s, uint32_t id)
{
	struct destination *d = find(s, id), *of;
	if (d || s->stopped) /* what comes now waits in the spool */
		return d;
	const char *name = writer_dest_name(s->writer, id);
	size_t i = place_of(s, name);
	if (i == s->settings->n_dests || !(of = find(s, s->ids[i])))
		return NULL;
	d = destination_lane(of, id, name);
	put(s, id, d);
	return d;
}

static void on_batch(void *arg, const struct batch *b, struct payload *p)
{
	struct destination *d = sender_of(arg, b->dest);
	if (d)
		destination_add(d, b, p);
}

static void on_gone(void *arg, const struct batch *b)
{
	struct destination *d = find(arg, b->dest);
	if (d)
		destination_forget(d, b);
}

static void tell_unauthorized(const struct senders *s)
{
	const char **keys = sp_new_array(const char *, s->max_id + 1);
	size_t n = 0;
	uint32_t id = 0;
	for (struct destination *d; (d = next(s, &id));)
		if ((keys[n] = destination_unauthorized_key(d)))
			n++;
	s->on_unauthorized(s->on_unauthorized_arg, keys, n);
	sp_free(keys);
}

static void on_poll(void *arg)
{
	struct senders *s = arg;
	uint32_t id = 0;
	for (struct destination *d; (d = next(s, &id));)
		destination_poll(d);
	if (s->on_unauthorized)
		tell_unauthorized(s);
	sp_timer_set(s->loop, &s->poll, POLL_MS, on_poll, s);
}

static void start_all(struct senders *s)
{
	for (uint32_t id = 1; id <= writer_max_dest_id(s->writer); id++) {
		struct destination *d = writer_totals(s->writer, id).batches ? sender_of(s, id) : NULL;
		if (d)
			destination_start(d);
	}
}

static enum sp_status add_destination(struct senders *s, size_t i, struct sp_why *why)
{
	struct destination *d;
	enum sp_status status = destination_new(s->loop, s->writer, s->client, &s->settings->dests[i], &d, why);
	if (status == SP_OK) {
		destination_keys(d, s->keys);
		put(s, s->ids[i], d);
	}
	return status;
}

/* The region that was chosen outlives this process: all of a destination's samples go to one place. */
static char *region_path(const struct senders *s)
{
	return sp_asprintf("%s/logzio.region", s->settings->spool_dir);
}

static char *region_load(const struct senders *s)
{
	struct sp_buf text = {0};
	struct sp_why why;
	char *path = region_path(s);
	char *region = secret_read(path, &text, &why) == SP_OK ? sp_strndup(text.p, text.n) : NULL;
	sp_buf_free(&text);
	sp_free(path);
	return region;
}

static void region_save(const struct senders *s, struct sp_bytes region)
{
	char *path = region_path(s), *unfinished = sp_asprintf("%s.new", path);
	FILE *f = fopen(unfinished, "w");
	bool ok = f && fprintf(f, "%.*s\n", (int)region.n, (const char *)region.p) > 0;
	if (f)
		ok = fclose(f) == 0 && ok;
	if (!ok || rename(unfinished, path) != 0)
		sp_log(SP_LOG_WARN, "destination.region_not_kept", sp_f_str("file", path), sp_f_str("msg", strerror(errno)),
		    SP_LOG_END);
	sp_free(unfinished);
	sp_free(path);
}

static void set_listener(struct dest_settings *d, struct sp_bytes region)
{
	d->url = sp_strdup(listener_url(region));
	char *name = sp_strndup(region.p, region.n);
	sp_log(SP_LOG_INFO, "destination.listener", sp_f_str("destination", d->name), sp_f_str("region", name),
	    sp_f_str("url", d->url), SP_LOG_END);
	sp_free(name);
}

enum sp_status senders_new(
    struct sp_loop *l, struct writer *w, struct settings *settings, struct senders **out, struct sp_why *why)
{
	struct senders *s = sp_new(struct senders);
	s->loop = l;
	s->writer = w;
	s->settings = settings;
	s->keys = settings;
	s->client = http_client_new(l);
	s->ids = sp_new_array(uint32_t, settings->n_dests);
	for (size_t i = 0; i < settings->n_dests; i++)
		s->ids[i] = writer_dest_id(w, settings->dests[i].name);
	s->waiting = sp_new_array(size_t, settings->n_dests);
	enum sp_status status = SP_OK;
	char *region = region_load(s);
	for (size_t i = 0; i < settings->n_dests && status == SP_OK; i++) {
		struct dest_settings *d = &settings->dests[i];
		if (!d->url && (d->logzio_region || region))
			set_listener(d, sp_str(d->logzio_region ? d->logzio_region : region));
		if (d->url)
			status = add_destination(s, i, why);
		else
			s->waiting[s->n_waiting++] = i;
	}
	sp_free(region);
	if (status != SP_OK) {
		senders_free(&s);
		return status;
	}
	writer_on_batch(w, on_batch, on_gone, s);
	*out = s;
	return SP_OK;
}

void senders_source(struct senders *s, const char *source_arn)
{
	struct sp_bytes region = listener_arn_region(sp_str(source_arn));
	struct sp_why why;
	if (region.n && s->n_waiting)
		region_save(s, region);
	while (region.n && s->n_waiting && !s->stopped) {
		size_t i = s->waiting[--s->n_waiting];
		set_listener(&s->settings->dests[i], region);
		if (add_destination(s, i, &why) != SP_OK)
			sp_log(SP_LOG_ERROR, "destination.failed", sp_f_str("destination", s->settings->dests[i].name),
			    sp_f_str("msg", why.text), SP_LOG_END);
		else if (s->started_wall_ms)
			start_all(s);
	}
}

void senders_close(struct senders *s)
{
	senders_stop(s);
	uint32_t id = 0;
	for (struct destination *d; s->client && (d = next(s, &id));)
		destination_abandon(d);
	http_client_free(&s->client);
}

void senders_free(struct senders **senders)
{
	struct senders *s = *senders;
	if (!s)
		return;
	senders_close(s);
	for (; s->max_id; s->max_id--) /* a lane has a larger number than its destination */
		destination_free(&s->by_id[s->max_id]);
	sp_free(s->by_id);
	sp_free(s->ids);
	sp_free(s->waiting);
	sp_free(s);
	*senders = NULL;
}

void senders_start(struct senders *s)
{
	s->started_wall_ms = sp_wall_ms();
	start_all(s);
	sp_timer_set(s->loop, &s->poll, POLL_MS, on_poll, s);
}

void senders_stop(struct senders *s)
{
	s->stopped = true;
	sp_timer_cancel(s->loop, &s->poll);
	uint32_t id = 0;
	for (struct destination *d; (d = next(s, &id));)
		destination_stop(d);
}

bool senders_idle(const struct senders *s)
{
	uint32_t id = 0;
	for (struct destination *d; (d = next(s, &id));)
		if (!destination_idle(d))
			return false;
	return true;
}

void senders_forget_protocols(struct senders *s)
{
	uint32_t id = 0;
	for (struct destination *d; (d = next(s, &id));)
		destination_forget_protocol(d);
}

void senders_probe(struct senders *s)
{
	uint32_t id = 0;
	for (struct destination *d; (d = next(s, &id));)
		destination_probe(d);
}

size_t senders_complaints(const struct senders *s, struct sp_buf *out)
{
	size_t n = 0;
	uint32_t id = 0;
	for (struct destination *d; (d = next(s, &id));) {
		struct destination_report r;
		destination_report(d, &r);
		if (r.state == HEALTH_OK)
			continue;
		sp_buf_printf(out, "destination %s: %s (%s)\n", r.name, health_state_name(r.state), r.reason);
		n++;
	}
	for (size_t i = 0; i < s->n_waiting; i++)
		sp_buf_printf(out, "destination %s: waiting (no_region_yet)\n", s->settings->dests[s->waiting[i]].name);
	return n + s->n_waiting;
}

void senders_keys(struct senders *s, const struct settings *keys)
{
	s->keys = keys;
	uint32_t id = 0;
	for (struct destination *d; (d = next(s, &id));)
		destination_keys(d, keys);
}

void senders_on_unauthorized(struct senders *s, void (*fn)(void *arg, const char *const *keys, size_t n), void *arg)
{
	s->on_unauthorized = fn;
	s->on_unauthorized_arg = arg;
}

void senders_set_active(struct senders *s, const struct active *active)
{
	s->active = active;
}

/* ---- admin ---- */

/* 0 is "none". */
static json_t *or_null(int64_t v)
{
	return v ? json_integer(v) : json_null();
}

static json_t *row_json(const struct senders *s, const struct destination_report *r, const char *state)
{
	const struct writer_totals now = writer_totals(s->writer, r->id), *t = &now;
	const char *slash = strchr(r->name, '/');
	return json_pack("{ss ss? ss ss si ss sI so sb ss? ss? sI sI sI sI sb so so sI sI sI sI sI sI sb sI}", "name", r->name, "lane",
	    slash ? slash + 1 : NULL, "state", state, "reason",
	    r->reason, "http_status", r->http_status, "answer", r->answer, "since_ms", (json_int_t)r->since_wall_ms, "next_probe_in_ms",
	    r->next_probe_in_ms < 0 ? json_null() : json_integer(r->next_probe_in_ms), "refusing", (int)r->refusing,
	    "protocol", r->protocol, "protocol_reason", r->protocol_reason,
	    "queued_samples", (json_int_t)t->spooled, "queued_batches", (json_int_t)t->batches, "queued_bytes",
	    (json_int_t)t->bytes, "queue_max", (json_int_t)t->queue_max, "full", (int)t->full, "oldest_ms",
	    or_null(t->oldest_ms), "oldest_age_ms", or_null(t->oldest_ms ? sp_wall_ms() - t->oldest_ms : 0), "accepted",
	    (json_int_t)t->accepted, "delivered", (json_int_t)t->delivered, "dead_lettered",
	    (json_int_t)t->dead_lettered, "expired", (json_int_t)t->expired, "dropped", (json_int_t)t->dropped,
	    "merged", (json_int_t)t->merged, "balanced", (int)writer_totals_balance(t), "active_series",
	    (json_int_t)(s->active ? active_series(s->active, r->id) : 0));
}

/* NULL: it is not configured any more, and nothing of it is left. */
static json_t *status_row(const struct senders *s, uint32_t id)
{
	const struct destination *d = find(s, id);
	struct destination_report r = {.name = writer_dest_name(s->writer, id), .id = id, .reason = "", .answer = "", .next_probe_in_ms = -1};
	struct writer_totals t = writer_totals(s->writer, id);
	if (d) {
		destination_report(d, &r);
		return row_json(s, &r, health_state_name(r.state));
	}
	if (!senders_serve(s, id)) {
		r.reason = "not_configured";
		return t.spooled + t.dead_lettered ? row_json(s, &r, "removed") : NULL;
	}
	r.since_wall_ms = s->started_wall_ms;
	if (strchr(r.name, '/'))
		return row_json(s, &r, "idle"); /* a lane that had nothing to send since the start */
	r.reason = "no_region_yet";
	return row_json(s, &r, "waiting");
}

static int show_status(void *arg, struct sp_admin_request *req)
{
	const struct senders *s = arg;
	json_t *dests = json_array();
	for (uint32_t id = 1; id <= writer_max_dest_id(s->writer); id++) {
		json_t *row = status_row(s, id);
		if (row)
			json_array_append_new(dests, row);
	}
	json_t *root = json_pack("{ss ss sI sI so}", "version", STANDPIPE_VERSION, "accepting",
	    writer_is_full(s->writer) ? "full" : "yes", "spool_bytes", (json_int_t)writer_bytes_used(s->writer),
	    "unbalanced_checks", (json_int_t)writer_unbalanced(s->writer), "destinations", dests);
	sp_json_put(&req->reply, root, JSON_INDENT(1));
	req->content_type = "application/json";
	return 200;
}

static int probe_now(void *arg, struct sp_admin_request *req)
{
	if (!sp_eq(req->method, SP_LIT("POST"))) {
		sp_buf_str(&req->reply, "POST only\n");
		return 405;
	}
	senders_probe(arg);
	sp_buf_str(&req->reply, "probing\n");
	return 200;
}

void senders_routes(struct senders *s, struct sp_admin *a)
{
	sp_admin_route(a, "/status", true, show_status, s);
	sp_admin_route(a, "/-/probe", false, probe_now, s);
}
