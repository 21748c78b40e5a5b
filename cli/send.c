/* send - a Firehose client: delivers, retries and judges answers as Firehose does, and says what it would not accept. */
#include "cli/firehose.h"
#include "cli/source.h"
#include "cli/verbs.h"
#include "common/alloc.h"
#include "common/clock.h"
#include "common/conf.h"
#include "common/json.h"

#include <curl/curl.h>
#include <getopt.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#define RETRY_FOR_DEFAULT_MS (300 * 1000) /* Firehose's own default */
#define ANSWER_TIMEOUT_MS (180 * 1000L)   /* as long as Firehose waits */
#define FAULTS_SHOWN 5

struct stream {
	struct sender *sender;
	size_t number;
	CURL *curl;
	struct curl_slist *headers;
	struct source_body body;
	bool busy, ended;
	unsigned attempts;
	int64_t began_us, first_try_ms, not_before_ms;
	struct sp_buf answer;
};

struct sender {
	const char *url, *arn;
	char *key;
	bool insecure, gzip;
	struct source *source;
	struct stream *streams;
	size_t n_streams;
	CURLM *multi;
	double points_per_second;
	int64_t end_ms, retry_for_ms, began_ms;
	FILE *acked;
	uint64_t deliveries, failed, retries, points, handed_out, bytes;
	unsigned codes[600];
	double *latencies_ms;
	size_t n_latencies, cap_latencies;
	unsigned faults_shown;
};

static volatile sig_atomic_t interrupted;

static void on_interrupt(int sig)
{
	(void)sig;
	interrupted = 1;
}

static int64_t now_us(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

static size_t take_body(char *data, size_t size, size_t n, void *arg)
{
	struct stream *s = arg;
	sp_buf_add(&s->answer, sp_bytes(data, size * n));
	return size * n;
}

static void set_headers(struct stream *s)
{
	const struct sender *d = s->sender;
	char line[4200];
	curl_slist_free_all(s->headers);
	s->headers = curl_slist_append(NULL, "Content-Type: application/json");
	s->headers = curl_slist_append(s->headers, "X-Amz-Firehose-Protocol-Version: 1.0");
	snprintf(line, sizeof line, "X-Amz-Firehose-Request-Id: %s", s->body.request_id);
	s->headers = curl_slist_append(s->headers, line);
	snprintf(line, sizeof line, "X-Amz-Firehose-Source-Arn: %s", d->arn);
	s->headers = curl_slist_append(s->headers, line);
	if (d->key) {
		snprintf(line, sizeof line, "X-Amz-Firehose-Access-Key: %s", d->key);
		s->headers = curl_slist_append(s->headers, line);
	}
	if (d->gzip)
		s->headers = curl_slist_append(s->headers, "Content-Encoding: gzip");
	s->headers = curl_slist_append(s->headers, "Expect:");
	s->headers = curl_slist_append(s->headers, "Accept:");
	curl_easy_setopt(s->curl, CURLOPT_HTTPHEADER, s->headers);
}

static void post(struct stream *s)
{
	sp_buf_clear(&s->answer);
	s->began_us = now_us();
	curl_easy_setopt(s->curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)s->body.bytes.n);
	curl_easy_setopt(s->curl, CURLOPT_POSTFIELDS, s->body.bytes.p);
	curl_multi_add_handle(s->sender->multi, s->curl);
	s->busy = true;
}

static void count_latency(struct sender *d, double ms)
{
	d->latencies_ms = sp_grow(d->latencies_ms, d->n_latencies, &d->cap_latencies, sizeof *d->latencies_ms);
	d->latencies_ms[d->n_latencies++] = ms;
}

static void show_fault(struct sender *d, const char *fault, const char *message)
{
	if (d->faults_shown++ < FAULTS_SHOWN)
		fprintf(stderr, "not accepted by Firehose: %s%s%s\n", fault, message[0] ? " - " : "", message);
}

static const char *curl_fault(CURLcode code, const char *url)
{
	static char text[400];
	const char *hint = "";
	if (code == CURLE_PEER_FAILED_VERIFICATION)
		hint = "; the certificate must come from a public authority, carry the host's name, and be sent with all its intermediates";
	snprintf(text, sizeof text, "%s: %s%s", url, curl_easy_strerror(code), hint);
	return text;
}

static void delivered(struct stream *s)
{
	struct sender *d = s->sender;
	d->deliveries++;
	d->points += s->body.points;
	d->bytes += s->body.bytes.n;
	count_latency(d, (double)(now_us() - s->began_us) / 1000);
	if (d->acked) {
		fprintf(d->acked, "{\"request_id\":\"%s\",\"points\":%" PRIu64 ",\"first\":%" PRIu64 "}\n", s->body.request_id, s->body.points,
			s->body.first_point);
		fflush(d->acked);
	}
	source_body_free(&s->body);
	s->attempts = 0;
}

static void give_up(struct stream *s)
{
	s->sender->failed++;
	source_body_free(&s->body);
	s->attempts = 0;
}

/* NULL: the answer has none of that name. */
static const char *header(const struct stream *s, const char *name)
{
	struct curl_header *h;
	return curl_easy_header(s->curl, name, 0, CURLH_HEADER, -1, &h) == CURLHE_OK ? h->value : NULL;
}

static void completed(struct stream *s, CURLcode code)
{
	struct sender *d = s->sender;
	char message[300] = "";
	long status = 0;
	const char *type = NULL, *fault;
	curl_multi_remove_handle(d->multi, s->curl);
	s->busy = false;
	curl_easy_getinfo(s->curl, CURLINFO_RESPONSE_CODE, &status);
	curl_easy_getinfo(s->curl, CURLINFO_CONTENT_TYPE, &type);
	struct firehose_answer a = {.status = (int)status, .content_type = type, .content_encoding = header(s, "Content-Encoding"),
		.has_length = header(s, "Content-Length"), .body = sp_buf_view(&s->answer)};
	fault = code == CURLE_OK ? firehose_fault(&a, s->body.request_id) : curl_fault(code, d->url);
	d->codes[status > 0 && status < 600 ? status : 0]++;
	if (!fault) {
		delivered(s);
		return;
	}
	if (code == CURLE_OK)
		firehose_message(&a, message, sizeof message);
	show_fault(d, fault, message);
	int64_t now = sp_mono_now().ms;
	if (now - s->first_try_ms >= d->retry_for_ms || interrupted) {
		give_up(s);
		return;
	}
	d->retries++;
	s->not_before_ms = now + firehose_backoff_ms(s->attempts++, (double)random() / (double)RAND_MAX);
}

static bool has_body(const struct stream *s)
{
	return s->body.bytes.n > 0;
}

/* Gives an idle stream something to do; false when it will never have anything again. */
static bool feed(struct stream *s, int64_t now)
{
	struct sender *d = s->sender;
	struct sp_why why;
	if (s->busy)
		return true;
	if (has_body(s) && interrupted)
		give_up(s);
	if (has_body(s)) {
		if (now >= s->not_before_ms)
			post(s);
		return true;
	}
	if (s->ended || interrupted || (d->end_ms && now >= d->end_ms))
		return false;
	if (d->points_per_second > 0 && (double)d->handed_out > d->points_per_second * (double)(now - d->began_ms) / 1000)
		return true;
	enum sp_status status = source_next(d->source, s->number, &s->body, &why);
	if (status != SP_OK) {
		if (status != SP_NOT_FOUND)
			fprintf(stderr, "standpipe send: %s\n", why.text);
		d->failed += status != SP_NOT_FOUND;
		s->ended = true;
		return false;
	}
	d->handed_out += s->body.points;
	s->first_try_ms = now;
	set_headers(s);
	post(s);
	return true;
}

static void run(struct sender *d)
{
	d->began_ms = sp_mono_now().ms;
	for (bool more = true; more;) {
		int running, left;
		int64_t now = sp_mono_now().ms;
		more = false;
		for (size_t i = 0; i < d->n_streams; i++)
			more |= feed(&d->streams[i], now);
		curl_multi_perform(d->multi, &running);
		bool any = false;
		for (CURLMsg *m; (m = curl_multi_info_read(d->multi, &left));) {
			struct stream *s;
			curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, &s);
			completed(s, m->data.result);
			any = true;
		}
		if (more && !any)
			curl_multi_poll(d->multi, NULL, 0, d->points_per_second > 0 ? 2 : 20, NULL);
	}
}

static void open_streams(struct sender *d)
{
	d->multi = curl_multi_init();
	d->streams = sp_new_array(struct stream, d->n_streams);
	for (size_t i = 0; i < d->n_streams; i++) {
		struct stream *s = &d->streams[i];
		s->sender = d;
		s->number = i;
		s->curl = curl_easy_init();
		curl_easy_setopt(s->curl, CURLOPT_URL, d->url);
		curl_easy_setopt(s->curl, CURLOPT_NOPROXY, "*");
		curl_easy_setopt(s->curl, CURLOPT_NOSIGNAL, 1L);
		curl_easy_setopt(s->curl, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
		curl_easy_setopt(s->curl, CURLOPT_USERAGENT, "Amazon Kinesis Data Firehose Agent/1.0");
		curl_easy_setopt(s->curl, CURLOPT_TIMEOUT_MS, ANSWER_TIMEOUT_MS);
		curl_easy_setopt(s->curl, CURLOPT_WRITEFUNCTION, take_body);
		curl_easy_setopt(s->curl, CURLOPT_WRITEDATA, s);
		curl_easy_setopt(s->curl, CURLOPT_PRIVATE, s);
		if (d->insecure) {
			curl_easy_setopt(s->curl, CURLOPT_SSL_VERIFYPEER, 0L);
			curl_easy_setopt(s->curl, CURLOPT_SSL_VERIFYHOST, 0L);
		}
	}
}

static void close_streams(struct sender *d)
{
	for (size_t i = 0; i < d->n_streams; i++) {
		curl_easy_cleanup(d->streams[i].curl);
		curl_slist_free_all(d->streams[i].headers);
		sp_buf_free(&d->streams[i].answer);
		source_body_free(&d->streams[i].body);
	}
	curl_multi_cleanup(d->multi);
	sp_free(d->streams);
	sp_free(d->latencies_ms);
	sp_free(d->key);
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return (x > y) - (x < y);
}

static double percentile(const struct sender *d, double q)
{
	return d->n_latencies ? d->latencies_ms[(size_t)(q * (double)(d->n_latencies - 1) + 0.5)] : 0;
}

static void summarise(struct sender *d, bool as_json)
{
	double seconds = (double)(sp_mono_now().ms - d->began_ms) / 1000;
	if (d->n_latencies)
		qsort(d->latencies_ms, d->n_latencies, sizeof *d->latencies_ms, by_value);
	if (as_json) {
		json_t *codes = json_object();
		for (int i = 0; i < 600; i++) {
			char name[8];
			snprintf(name, sizeof name, "%d", i);
			if (d->codes[i])
				json_object_set_new(codes, name, json_integer(d->codes[i]));
		}
		json_t *o = json_pack("{s:I, s:I, s:I, s:I, s:I, s:f, s:f, s:f, s:o}", "deliveries", (json_int_t)d->deliveries, "points", (json_int_t)d->points,
			"bytes", (json_int_t)d->bytes, "retries", (json_int_t)d->retries, "failed", (json_int_t)d->failed, "seconds", seconds, "p50_ms",
			percentile(d, 0.5), "p99_ms", percentile(d, 0.99), "codes", codes);
		sp_json_print(o, JSON_COMPACT);
		return;
	}
	printf("%" PRIu64 " deliveries acknowledged, %" PRIu64 " points, %.1f MiB in %.1f s; answers in %.1f ms (half), %.1f ms (99 %%)\n", d->deliveries,
		d->points, (double)d->bytes / (1 << 20), seconds, percentile(d, 0.5), percentile(d, 0.99));
	for (int i = 0; i < 600; i++)
		if (d->codes[i] && i != 200)
			printf("%u x %s%.0d\n", d->codes[i], i ? "status " : "no answer", i);
	if (d->retries || d->failed)
		printf("%" PRIu64 " retries; %" PRIu64 " given up\n", d->retries, d->failed);
}

/* ---- the command line ---- */

/* A number, or one with a unit: of time, in milliseconds, or of size, in bytes. -1: it is none. */
static int64_t parse_number(const char *text, bool bytes)
{
	char *end;
	double v = strtod(text, &end);
	static const struct {
		const char *suffix;
		int64_t factor;
		bool bytes;
	} units[] = {{"ms", 1, false}, {"s", 1000, false}, {"m", 60000, false}, {"h", 3600000, false}, {"KiB", 1 << 10, true}, {"MiB", 1 << 20, true},
		{"GiB", 1 << 30, true}, {"B", 1, true}};
	for (size_t i = 0; i < sizeof units / sizeof units[0]; i++)
		if (units[i].bytes == bytes && strcmp(end, units[i].suffix) == 0)
			return (int64_t)(v * (double)units[i].factor);
	return *end || end == text || v < 0 ? -1 : (int64_t)v;
}

static const char usage_line[] = "usage: standpipe send URL [--key-file FILE | --key KEY] FILE... | --generate | --size 64MiB\n";

static int usage(const char *why)
{
	fprintf(stderr, "standpipe send: %s\n%s`standpipe send --help` lists the options\n", why, usage_line);
	return SP_EXIT_USAGE;
}

static int help(void)
{
	fputs(usage_line, stdout);
	fputs("  --insecure            http, other ports and unknown certificates too (Firehose would refuse them)\n"
	      "  --arn ARN             source ARN\n"
	      "  --gzip                compress bodies\n"
	      "  --retry-for 300s      as the stream's retry duration; 0s: never\n"
	      "  --connections N       parallel streams (1)\n"
	      "  --new-id              a fresh request id for captured bodies\n"
	      "  --acked FILE          a JSON line for each delivery that got its 200, when it gets it: id, points, first point's line in --expected\n"
	      "  --json                the summary as JSON\n"
	      "generated:\n"
	      "  --format mixed        otlp07, otlp10, json, or mixed: each record another\n"
	      "  --series 100          metrics, one point a minute each\n"
	      "  --minutes 3           minutes of each; 0: until --duration\n"
	      "  --duration 0s         end after this time; 0s: when the minutes are sent\n"
	      "  --points-per-second 0 0: as fast as answers come\n"
	      "  --start UNIX_MS       begin of the first minute (so that the last one is now)\n"
	      "  --late 0              percent of points that come a minute late\n"
	      "  --records 3, --points-per-record 350, --seed 1\n"
	      "  --pool N              make N bodies beforehand and send them again and again, under new ids\n"
	      "  --expected FILE       a JSON line for each point\n",
		stdout);
	return SP_EXIT_OK;
}

enum option_code { O_HELP = 256, O_KEY_FILE, O_KEY, O_INSECURE, O_ARN, O_GZIP, O_RETRY, O_CONNECTIONS, O_NEW_ID, O_ACKED, O_JSON, O_FORMAT, O_SERIES, O_MINUTES,
	O_DURATION, O_RATE, O_START, O_LATE, O_RECORDS, O_POINTS, O_SEED, O_POOL, O_EXPECTED, O_GENERATE, O_SIZE };

static const struct option options[] = {{"help", 0, NULL, O_HELP}, {"key-file", 1, NULL, O_KEY_FILE}, {"key", 1, NULL, O_KEY}, {"insecure", 0, NULL, O_INSECURE}, {"arn", 1, NULL, O_ARN},
	{"gzip", 0, NULL, O_GZIP}, {"retry-for", 1, NULL, O_RETRY}, {"connections", 1, NULL, O_CONNECTIONS}, {"new-id", 0, NULL, O_NEW_ID},
	{"acked", 1, NULL, O_ACKED}, {"json", 0, NULL, O_JSON}, {"format", 1, NULL, O_FORMAT}, {"series", 1, NULL, O_SERIES},
	{"minutes", 1, NULL, O_MINUTES}, {"duration", 1, NULL, O_DURATION}, {"points-per-second", 1, NULL, O_RATE}, {"start", 1, NULL, O_START},
	{"late", 1, NULL, O_LATE}, {"records", 1, NULL, O_RECORDS}, {"points-per-record", 1, NULL, O_POINTS}, {"seed", 1, NULL, O_SEED},
	{"pool", 1, NULL, O_POOL}, {"expected", 1, NULL, O_EXPECTED}, {"generate", 0, NULL, O_GENERATE}, {"size", 1, NULL, O_SIZE}, {0}};

static int parse_format(const char *word)
{
	static const char *const words[] = {"otlp07", "otlp10", "json", "mixed"};
	for (int i = 0; i < 4; i++)
		if (strcmp(word, words[i]) == 0)
			return i == 3 ? -1 : i;
	return -2;
}

static bool read_key(struct sender *d, const char *path)
{
	struct sp_buf secret = {0};
	struct sp_why why;
	if (secret_read(path, &secret, &why) != SP_OK) {
		fprintf(stderr, "standpipe send: %s\n", why.text);
		return false;
	}
	/* Of several keys the last, which is the newest one. */
	const uint8_t *before = memrchr(secret.p, '\n', secret.n);
	size_t skip = before ? (size_t)(before + 1 - secret.p) : 0;
	d->key = sp_strndup(secret.p + skip, secret.n - skip);
	sp_buf_free(&secret);
	return true;
}

struct asked {
	bool generate, as_json, has_start;
};

/* One option; false: the value makes no sense. */
static bool take_option(struct sender *d, struct source_options *o, struct asked *asked, int code, const char *value)
{
	int64_t n = value ? parse_number(value, code == O_SIZE) : 0;
	switch (code) {
	case O_KEY_FILE: return read_key(d, value);
	case O_KEY: d->key = sp_strdup(value); return true;
	case O_INSECURE: return d->insecure = true;
	case O_ARN: d->arn = value; return true;
	case O_GZIP: return o->gzip = d->gzip = true;
	case O_RETRY: return (d->retry_for_ms = n) >= 0;
	case O_CONNECTIONS: return (d->n_streams = o->streams = (size_t)n) > 0 && n <= 1000;
	case O_NEW_ID: return o->new_id = true;
	case O_ACKED: return (d->acked = fopen(value, "w")) != NULL;
	case O_JSON: return asked->as_json = true;
	case O_FORMAT: return (o->format = parse_format(value)) >= -1;
	case O_SERIES: return (o->generate.series = (size_t)n) > 0 && n > 0;
	case O_MINUTES: return (o->minutes = n) >= 0;
	case O_DURATION: return (d->end_ms = n) >= 0;
	case O_RATE: return (d->points_per_second = (double)n) >= 0;
	case O_START: asked->has_start = true; return (o->generate.start_ms = n) >= 0;
	case O_LATE: return (o->generate.late_percent = (unsigned)n) <= 100 && n >= 0;
	case O_RECORDS: return (o->records = (size_t)n) > 0 && n <= 100000;
	case O_POINTS: return (o->points_per_record = (size_t)n) > 0 && n <= 100000;
	case O_SEED: o->generate.seed = (uint64_t)n; return n >= 0;
	case O_POOL: o->pool = (size_t)n; return n >= 0 && n <= 1000000;
	case O_EXPECTED: return (o->expected = fopen(value, "w")) != NULL;
	case O_GENERATE: return asked->generate = true;
	case O_SIZE: asked->generate = true; return (o->size = (size_t)n) > 0 && n > 0;
	default: return false;
	}
}

int send_main(int argc, char **argv)
{
	struct source_options o = {.generate = {.seed = 1, .series = 100}, .minutes = 3, .streams = 1, .records = 3, .points_per_record = 350, .format = -1};
	struct sender d = {.arn = "arn:aws:firehose:eu-central-1:111122223333:deliverystream/standpipe-send", .n_streams = 1, .retry_for_ms = RETRY_FOR_DEFAULT_MS};
	struct asked asked = {0};
	struct sp_why why;
	for (int c; (c = getopt_long(argc, argv, "", options, NULL)) != -1;)
		if (c == O_HELP)
			return help();
		else if (!take_option(&d, &o, &asked, c, optarg))
			return usage(c == '?' ? "an option is wrong" : "an option's value makes no sense");
	if (optind >= argc)
		return usage("the URL is missing");
	d.url = argv[optind++];
	o.files = argv + optind;
	o.n_files = (size_t)(argc - optind);
	if (asked.generate == (o.n_files > 0))
		return usage("give files, or --generate");
	const char *fault = firehose_url_fault(d.url);
	if (fault && !d.insecure) {
		fprintf(stderr, "standpipe send: %s; --insecure sends all the same\n", fault);
		return SP_EXIT_USAGE;
	}
	if (fault || d.insecure)
		fprintf(stderr, "note: %s%sthis is a test that Firehose could not make\n", fault ? fault : "", fault ? "; " : "");
	if (!asked.has_start)
		o.generate.start_ms = sp_wall_ms() / 60000 * 60000 - 60000 * (o.minutes ? o.minutes : 60);
	if (source_new(&o, &d.source, &why) != SP_OK) {
		fprintf(stderr, "standpipe send: %s\n", why.text);
		return SP_EXIT_FAILED;
	}
	signal(SIGINT, on_interrupt);
	signal(SIGTERM, on_interrupt);
	curl_global_init(CURL_GLOBAL_DEFAULT);
	open_streams(&d);
	d.end_ms = d.end_ms ? sp_mono_now().ms + d.end_ms : 0;
	run(&d);
	summarise(&d, asked.as_json);
	int result = d.failed || d.deliveries == 0 ? SP_EXIT_FAILED : SP_EXIT_OK;
	close_streams(&d);
	curl_global_cleanup();
	source_free(&d.source);
	if (d.acked)
		fclose(d.acked);
	if (o.expected)
		fclose(o.expected);
	return result;
}
