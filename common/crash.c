#include "common/crash.h"

#ifdef STANDPIPE_CRASH_POINTS
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

void sp_crash_point(const char *name)
{
	static atomic_long visits;
	const char *at = getenv("STANDPIPE_CRASH_AT");
	size_t n = strlen(name);
	if (!at || strncmp(at, name, n) != 0 || (at[n] != '\0' && at[n] != ':'))
		return;
	long due = at[n] == ':' ? strtol(at + n + 1, NULL, 10) : 1;
	if (atomic_fetch_add(&visits, 1) + 1 == due)
		raise(SIGKILL);
}
#endif
