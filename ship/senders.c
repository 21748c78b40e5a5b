#include "ship/senders.h"

#include "common/alloc.h"
#include "ship/destination.h"

#include <jansson.h>

/* How often secret files are looked at. */
#define POLL_MS 1000

struct senders {
	struct sp_loop *loop;
	struct writer *writer;
	struct http_client *client;
	struct destination **dests;
	uint32_t *ids; /* of dests */
	size_t n;
	struct sp_timer poll;
};

static void on_batch(void *arg, const struct batch *b, struct payload *p)
{
	struct senders *s = arg;
	for (size_t i = 0; i < s->n; i++)
		if (s->ids[i] == b->dest)
			destination_add(s->dests[i], b, p);
}

static void on_poll(void *arg)
{
	struct senders *s = arg;
	for (size_t i = 0; i < s->n; i++)
		destination_poll(s->dests[i]);
	sp_timer_set(s->loop, &s->poll, POLL_MS, on_poll, s);
}

enum sp_status senders_new(
    struct sp_loop *l, struct writer *w, const struct settings *settings, struct senders **out, struct sp_why *why)
{
	struct senders *s = sp_new(struct senders);
	s->loop = l;
	s->writer = w;
	s->client = http_client_new(l);
	s->dests = sp_new_array(struct destination *, settings->n_dests);
	s->ids = sp_new_array(uint32_t, settings->n_dests);
	enum sp_status status = SP_OK;
	for (size_t i = 0; i < settings->n_dests && status == SP_OK; i++) {
		status = destination_new(l, w, s->client, &settings->dests[i], &s->dests[i], why);
		s->ids[i] = writer_dest_id(w, settings->dests[i].name);
		s->n += status == SP_OK;
	}
	if (status != SP_OK) {
		senders_free(&s);
		return status;
	}
	writer_on_batch(w, on_batch, s);
	*out = s;
	return SP_OK;
}

void senders_close(struct senders *s)
{
	senders_stop(s);
	for (size_t i = 0; i < s->n && s->client; i++)
		destination_abandon(s->dests[i]);
	http_client_free(&s->client);
}

void senders_free(struct senders **senders)
{
	struct senders *s = *senders;
	if (!s)
		return;
	senders_close(s);
	for (size_t i = 0; i < s->n; i++)
		destination_free(&s->dests[i]);
	sp_free(s->dests);
	sp_free(s->ids);
	sp_free(s);
	*senders = NULL;
}

void senders_start(struct senders *s)
{
	for (size_t i = 0; i < s->n; i++)
		destination_start(s->dests[i]);
	sp_timer_set(s->loop, &s->poll, POLL_MS, on_poll, s);
}

void senders_stop(struct senders *s)
{
	sp_timer_cancel(s->loop, &s->poll);
	for (size_t i = 0; i < s->n; i++)
		destination_stop(s->dests[i]);
}

bool senders_idle(const struct senders *s)
{
	for (size_t i = 0; i < s->n; i++)
		if (!destination_idle(s->dests[i]))
			return false;
	return true;
}

void senders_probe(struct senders *s)
{
	for (size_t i = 0; i < s->n; i++)
		destination_probe(s->dests[i]);
}

void senders_metrics(const struct senders *s)
{
	for (size_t i = 0; i < s->n; i++)
		destination_metrics(s->dests[i]);
}

size_t senders_complaints(const struct senders *s, struct sp_buf *out)
{
	size_t n = 0;
	for (size_t i = 0; i < s->n; i++) {
		struct destination_report r;
		destination_report(s->dests[i], &r);
		if (r.state == HEALTH_OK)
			continue;
		sp_buf_printf(out, "destination %s: %s (%s)\n", r.name, health_state_name(r.state), r.reason);
		n++;
	}
	return n;
}

/* ---- admin ---- */

static json_t *count(uint64_t v)
{
	return json_integer((json_int_t)v);
}

static json_t *destination_json(const struct senders *s, const struct destination *d)
{
	struct destination_report r;
	destination_report(d, &r);
	const struct writer_totals *t = writer_totals(s->writer, r.id);
	json_t *o = json_object();
	json_object_set_new(o, "name", json_string(r.name));
	json_object_set_new(o, "state", json_string(health_state_name(r.state)));
	json_object_set_new(o, "reason", json_string(r.reason));
	json_object_set_new(o, "since_ms", json_integer(r.since_wall_ms));
	json_object_set_new(
	    o, "next_probe_in_ms", r.next_probe_in_ms < 0 ? json_null() : json_integer(r.next_probe_in_ms));
	json_object_set_new(o, "refusing", json_boolean(r.refusing));
	json_object_set_new(o, "queued_samples", count(t->spooled));
	json_object_set_new(o, "queued_batches", count(t->batches));
	json_object_set_new(o, "oldest_ms", t->oldest_ms ? json_integer(t->oldest_ms) : json_null());
	json_object_set_new(o, "oldest_age_ms", t->oldest_ms ? json_integer(sp_wall_ms() - t->oldest_ms) : json_null());
	json_object_set_new(o, "accepted", count(t->accepted));
	json_object_set_new(o, "delivered", count(t->delivered));
	json_object_set_new(o, "dead_lettered", count(t->dead_lettered));
	json_object_set_new(o, "expired", count(t->expired));
	json_object_set_new(o, "dropped", count(t->dropped));
	json_object_set_new(o, "merged", count(t->merged));
	return o;
}

static int append_json(const char *text, size_t n, void *arg)
{
	sp_buf_add(arg, sp_bytes(text, n));
	return 0;
}

static int show_status(void *arg, const struct sp_admin_request *req, struct sp_admin_token *token,
    struct sp_buf *reply, const char **content_type)
{
	static const char *const accepting[] = {"starting", "yes", "full", "failing"};
	const struct senders *s = arg;
	(void)req, (void)token;
	json_t *root = json_object(), *dests = json_array();
	for (size_t i = 0; i < s->n; i++)
		json_array_append_new(dests, destination_json(s, s->dests[i]));
	json_object_set_new(root, "version", json_string(STANDPIPE_VERSION));
	json_object_set_new(root, "accepting", json_string(accepting[writer_accepting(s->writer)]));
	json_object_set_new(root, "spool_bytes", count(writer_bytes_used(s->writer)));
	json_object_set_new(root, "destinations", dests);
	json_dump_callback(root, append_json, reply, JSON_INDENT(1));
	sp_buf_u8(reply, '\n');
	json_decref(root);
	*content_type = "application/json";
	return 200;
}

static int probe_now(void *arg, const struct sp_admin_request *req, struct sp_admin_token *token, struct sp_buf *reply,
    const char **content_type)
{
	(void)token, (void)content_type;
	if (!sp_eq(req->method, SP_LIT("POST"))) {
		sp_buf_str(reply, "POST only\n");
		return 405;
	}
	senders_probe(arg);
	sp_buf_str(reply, "probing\n");
	return 200;
}

void senders_routes(struct senders *s, struct sp_admin *a)
{
	sp_admin_route(a, "/status", true, show_status, s);
	sp_admin_route(a, "/-/probe", false, probe_now, s);
}
