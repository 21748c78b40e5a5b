/* log - one line per event, to stderr, written with one write(2) of at most 4,096 bytes (processes share a pipe unmixed).
 *
 * Text is logfmt, JSON has the same keys: ts level event role [worker] ... msg. Events are stable dotted names
 * ("spool.full"); error = act, warn = we coped, info = life cycle, state changes and one line per delivery, debug = the rest.
 * Secrets have no formatter. Any thread.
 *
 *   sp_log(SP_LOG_WARN, "spool.full", sp_f_u64("bytes", n), sp_f_str("limit", "spool.max"), SP_LOG_END);
 */
#ifndef SP_LOG_H
#define SP_LOG_H

#include "common/bytes.h"

enum sp_log_level { SP_LOG_DEBUG, SP_LOG_INFO, SP_LOG_WARN, SP_LOG_ERROR };
enum sp_log_format { SP_LOG_AUTO /* text on a terminal, JSON otherwise */, SP_LOG_TEXT, SP_LOG_JSON };

struct sp_log_field {
	const char *key; /* NULL ends the list */
	enum { SP_F_STR, SP_F_BYTES, SP_F_I64, SP_F_U64, SP_F_DOUBLE } kind;
	union {
		const char *str; /* NULL leaves the field out */
		struct sp_bytes bytes;
		int64_t i64;
		uint64_t u64;
		double d;
	};
};

static inline struct sp_log_field sp_f_str(const char *key, const char *v)
{
	return (struct sp_log_field){.key = key, .kind = SP_F_STR, .str = v};
}
static inline struct sp_log_field sp_f_bytes(const char *key, struct sp_bytes v)
{
	return (struct sp_log_field){.key = key, .kind = SP_F_BYTES, .bytes = v};
}
static inline struct sp_log_field sp_f_i64(const char *key, int64_t v)
{
	return (struct sp_log_field){.key = key, .kind = SP_F_I64, .i64 = v};
}
static inline struct sp_log_field sp_f_u64(const char *key, uint64_t v)
{
	return (struct sp_log_field){.key = key, .kind = SP_F_U64, .u64 = v};
}
static inline struct sp_log_field sp_f_double(const char *key, double v)
{
	return (struct sp_log_field){.key = key, .kind = SP_F_DOUBLE, .d = v};
}
#define SP_LOG_END ((struct sp_log_field){.key = NULL})

/* role and worker (-1: none) are in every line from then on. Call before threads start. */
void sp_log_init(const char *role, int worker, enum sp_log_level least, enum sp_log_format format);
void sp_log(enum sp_log_level level, const char *event, ... /* struct sp_log_field, ..., SP_LOG_END */);
/* True at most once per period for each rate-limit object: `if (sp_log_due(&r, 60000)) sp_log(...)`. Counts what it held back
 * in r->held, which the caller may put in the line. */
struct sp_log_rate {
	int64_t next_ms;
	uint64_t held;
};
bool sp_log_due(struct sp_log_rate *r, int64_t period_ms);

#endif
