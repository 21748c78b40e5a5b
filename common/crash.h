/* crash - named places where tests let a process die, as if by SIGKILL. Compiled in only with STANDPIPE_CRASH_POINTS.
 *
 * STANDPIPE_CRASH_AT=ship.after_commit[:n] in the environment kills the process at the n-th visit (default 1). Any thread.
 */
#ifndef SP_CRASH_H
#define SP_CRASH_H

#ifdef STANDPIPE_CRASH_POINTS
void sp_crash_point(const char *name);
#else
static inline void sp_crash_point(const char *name)
{
	(void)name;
}
#endif

#endif
