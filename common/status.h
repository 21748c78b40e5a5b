/* status - how a call ended, and why, in words for a person.
 *
 * Theirs (BAD_DATA, TOO_BIG, DENIED): answer, count, go on. The world's (AGAIN, FULL, IO, NO_MEM): keep the data, back off.
 * Ours (a broken invariant): SP_BUG_IF aborts, in release builds too; the supervisor starts the process again.
 * Results leave through out-parameters that are written only on SP_OK.
 */
#ifndef SP_STATUS_H
#define SP_STATUS_H

#include <stdbool.h>

#define SP_CHECKED __attribute__((warn_unused_result))
#define SP_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))

enum sp_status {
	SP_OK = 0,
	SP_AGAIN,     /* not now: try again later */
	SP_FULL,      /* a named limit is reached */
	SP_IO,        /* the system failed us */
	SP_NO_MEM,    /* memory, or the budget of an arena, is spent */
	SP_BAD_DATA,  /* the input is wrong */
	SP_TOO_BIG,   /* the input is over a named limit */
	SP_DENIED,    /* the caller may not */
	SP_NOT_FOUND, /* no such thing */
	SP_CONFIG,    /* the configuration is wrong */
	SP_LOCKED,    /* another process holds it */
};

struct sp_why {
	enum sp_status status;
	char text[400]; /* one sentence, ASCII, no secrets */
};

/* Process exit codes (sysexits.h numbers); the supervisor does not restart after SP_EXIT_CONFIG. */
enum sp_exit {
	SP_EXIT_OK = 0,
	SP_EXIT_FAILED = 1,
	SP_EXIT_USAGE = 64,
	SP_EXIT_STORAGE = 74,
	SP_EXIT_LOCKED = 75,
	SP_EXIT_UNFINISHED = 75, /* time is over: worth trying again, as is what is locked */
	SP_EXIT_CONFIG = 78
};

/* Fills why (when not NULL) and returns status, so that a refusal is one line: return sp_fail(why, SP_FULL, "..."). */
enum sp_status sp_fail(struct sp_why *why, enum sp_status status, const char *fmt, ...) SP_PRINTF(3, 4);

/* Stable lower-case word for logs and metric labels: "ok", "again", "bad_data", ... */
const char *sp_status_name(enum sp_status status);

/* For invariants only, never for input. Writes the condition to stderr and aborts. */
#define SP_BUG_IF(cond)                                                                                                \
	do {                                                                                                           \
		if (__builtin_expect(!!(cond), 0))                                                                     \
			sp_bug(#cond, __FILE__, __LINE__);                                                             \
	} while (0)
_Noreturn void sp_bug(const char *cond, const char *file, int line);

#endif
