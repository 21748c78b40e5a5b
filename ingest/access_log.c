#include "ingest/access_log.h"

#include "common/log.h"
#include "common/metrics.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

#include <stdio.h>

#define REFUSED_LOG_MS 60000
#define REFUSED_LOG_PLACES 512 /* so many lines in that time, whoever sends what; those that share a place share its line */

void access_log_delivery(
	const struct request *q, const char *key_name, const struct outcome *o, size_t body_bytes, struct sp_mono began)
{
	const Standpipe__Counts *n = o->counts;
	sp_log(o->http_status == 200 ? SP_LOG_INFO : SP_LOG_WARN, "delivery", sp_f_str("request_id", o->request_id ? o->request_id : ""),
		sp_f_str("account", n && n->account[0] ? n->account : NULL), sp_f_bytes("stream", q->header[HEADER_SOURCE_ARN]),
		sp_f_str("key", key_name), sp_f_u64("points", n ? n->points_otlp07 + n->points_otlp10 + n->points_json : 0),
		sp_f_u64("samples", n ? n->samples : 0), sp_f_u64("quarantined", n ? n->quarantined : 0), sp_f_u64("bytes", body_bytes),
		sp_f_i64("ms", sp_mono_since_ms(began)), sp_f_str("outcome", o->result), sp_f_i64("http_status", o->http_status),
		sp_f_str("error", o->code), sp_f_str("msg", o->code ? o->text : NULL), SP_LOG_END);
}

void access_log_refused(const struct request *q, const char *key_name, int http_status, const char *code, const char *text)
{
	static struct sp_log_rate rates[REFUSED_LOG_PLACES];
	struct sp_bytes arn = q->header[HEADER_SOURCE_ARN];
	uint64_t place = XXH3_64bits(code, strlen(code));
	if (http_status < 500 && arn.n)
		place = XXH3_64bits_withSeed(arn.p, arn.n, place);
	struct sp_log_rate *rate = &rates[place % REFUSED_LOG_PLACES];
	if (!sp_log_due(rate, REFUSED_LOG_MS))
		return;
	sp_log(SP_LOG_WARN, "request.refused", sp_f_i64("http_status", http_status), sp_f_str("error", code), sp_f_str("msg", text),
		sp_f_bytes("request_id", q->header[HEADER_REQUEST_ID]), sp_f_bytes("source_arn", arn), sp_f_str("key", key_name),
		sp_f_u64("held_back", rate->held), SP_LOG_END);
	rate->held = 0;
}

void access_count(int http_status, const char *code, struct sp_mono began)
{
	char status[8];
	snprintf(status, sizeof status, "%d", http_status);
	sp_metric_add(M_INGEST_REQUESTS, SP_L(status, code ? code : ""), 1);
	sp_metric_observe(M_INGEST_REQUEST_SECONDS, NULL, (double)sp_mono_since_ms(began) / 1000);
}
