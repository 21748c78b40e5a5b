/* clock - two kinds of time that cannot be mixed up.
 *
 * sp_mono: milliseconds of CLOCK_MONOTONIC, for every timer and time-out. Meaning only inside this boot of this machine.
 * sp_wall_ms: milliseconds since 1970 UTC, for stamps that leave the process (answers, spool rows, logs).
 */
#ifndef SP_CLOCK_H
#define SP_CLOCK_H

#include <stdint.h>
#include <time.h>

struct sp_mono {
	int64_t ms;
};

static inline struct sp_mono sp_mono_now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (struct sp_mono){(int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000};
}

static inline int64_t sp_mono_since_ms(struct sp_mono then)
{
	return sp_mono_now().ms - then.ms;
}

static inline int64_t sp_wall_ms(void)
{
	struct timespec t;
	clock_gettime(CLOCK_REALTIME, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

#endif
