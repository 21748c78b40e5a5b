#include "common/log.h"

#include "common/clock.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#define LINE_BYTES 4096	 /* PIPE_BUF: lines of several processes do not mix */
#define TAIL_BYTES 16	 /* kept free for the mark of a cut line and its end */
#define VALUE_BYTES 1024 /* of one field; the rest is cut off */

static struct {
	const char *role;
	int worker;
	enum sp_log_level least;
	bool json;
} log_state = {.role = "standpipe", .worker = -1, .least = SP_LOG_INFO};

void sp_log_init(const char *role, int worker, enum sp_log_level least, enum sp_log_format format)
{
	log_state.role = role;
	log_state.worker = worker;
	log_state.least = least;
	log_state.json = format == SP_LOG_JSON || (format == SP_LOG_AUTO && !isatty(STDERR_FILENO));
}

static bool plain(struct sp_bytes s)
{
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] <= ' ' || s.p[i] >= 0x7f || s.p[i] == '"' || s.p[i] == '=' || s.p[i] == '\\')
			return false;
	return s.n > 0;
}

static void add_text(struct sp_buf *line, struct sp_bytes s)
{
	if (s.n > VALUE_BYTES)
		s.n = VALUE_BYTES;
	if (!log_state.json && plain(s))
		sp_buf_add(line, s);
	else
		sp_buf_json(line, s);
}

/* JSON knows no NaN or infinity: those become text there. */
static void add_double(struct sp_buf *line, double v)
{
	bool finite = v - v == 0;
	if (log_state.json && !finite)
		sp_buf_u8(line, '"');
	sp_buf_double(line, v);
	if (log_state.json && !finite)
		sp_buf_u8(line, '"');
}

/* Appends one field; false when it does not fit, and then the line is as before. */
static bool add_field(struct sp_buf *line, struct sp_log_field f)
{
	size_t before = line->n;
	if (f.kind == SP_F_STR && !f.str)
		return true;
	if (log_state.json)
		sp_buf_printf(line, "%s\"%s\":", line->n ? "," : "{", f.key);
	else
		sp_buf_printf(line, "%s%s=", line->n ? " " : "", f.key);
	switch (f.kind) {
	case SP_F_STR:
		add_text(line, sp_str(f.str));
		break;
	case SP_F_BYTES:
		add_text(line, f.bytes);
		break;
	case SP_F_I64:
		sp_buf_printf(line, "%" PRId64, f.i64);
		break;
	case SP_F_U64:
		sp_buf_printf(line, "%" PRIu64, f.u64);
		break;
	case SP_F_DOUBLE:
		add_double(line, f.d);
		break;
	}
	if (sp_buf_ok(line))
		return true;
	line->failed = false;
	line->n = before;
	return false;
}

static void write_line(const uint8_t *p, size_t n)
{
	/* One write: a short one (a full disk, a closed pipe) loses the rest rather than mix lines. */
	while (write(STDERR_FILENO, p, n) < 0 && errno == EINTR)
		;
}

void sp_log(enum sp_log_level level, const char *event, ...)
{
	static const char *const levels[] = {"debug", "info", "warn", "error"};
	if (level < log_state.least)
		return;
	int saved = errno;
	uint8_t text[LINE_BYTES];
	/* cap = max: this buffer never grows, it fails. */
	struct sp_buf line = {.p = text, .cap = sizeof text - TAIL_BYTES, .max = sizeof text - TAIL_BYTES};
	int64_t now = sp_wall_ms();
	time_t seconds = (time_t)(now / 1000);
	struct tm tm;
	char date[32], ts[40];
	strftime(date, sizeof date, "%Y-%m-%dT%H:%M:%S", gmtime_r(&seconds, &tm));
	snprintf(ts, sizeof ts, "%s.%03dZ", date, (int)(now % 1000));

	add_field(&line, sp_f_str("ts", ts));
	add_field(&line, sp_f_str("level", levels[level]));
	add_field(&line, sp_f_str("event", event));
	add_field(&line, sp_f_str("role", log_state.role));
	if (log_state.worker >= 0)
		add_field(&line, sp_f_i64("worker", log_state.worker));
	bool whole = true;
	va_list ap;
	va_start(ap, event);
	for (struct sp_log_field f = va_arg(ap, struct sp_log_field); f.key; f = va_arg(ap, struct sp_log_field))
		whole &= add_field(&line, f);
	va_end(ap);

	line.cap = line.max = sizeof text;
	if (!whole)
		sp_buf_str(&line, log_state.json ? ",\"cut\":true" : " cut=true");
	sp_buf_str(&line, log_state.json ? "}\n" : "\n");
	write_line(line.p, line.n);
	errno = saved;
}

bool sp_log_due(struct sp_log_rate *r, int64_t period_ms)
{
	int64_t now = sp_mono_now().ms;
	if (now < r->next_ms) {
		r->held++;
		return false;
	}
	r->next_ms = now + period_ms;
	return true;
}
