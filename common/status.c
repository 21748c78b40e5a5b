#include "common/status.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

enum sp_status sp_fail(struct sp_why *why, enum sp_status status, const char *fmt, ...)
{
	if (why) {
		va_list ap;
		va_start(ap, fmt);
		vsnprintf(why->text, sizeof why->text, fmt, ap);
		va_end(ap);
		why->status = status;
	}
	return status;
}

const char *sp_status_name(enum sp_status status)
{
	static const char *const names[] = {"ok",       "again",  "full",      "io",     "no_mem", "bad_data",
					    "too_big", "denied", "not_found", "config", "locked"};
	return status < sizeof names / sizeof names[0] ? names[status] : "unknown";
}

void sp_bug(const char *cond, const char *file, int line)
{
	fprintf(stderr, "level=error event=bug file=%s line=%d cond=\"%s\"\n", file, line, cond);
	abort();
}
