/* watch - has a file changed since the last look? By inode, size and time; a file that is not there is a state as well. */
#ifndef SP_WATCH_H
#define SP_WATCH_H

#include <stdbool.h>
#include <sys/stat.h>

struct sp_watch { /* {0}: never looked, or nothing there */
	ino_t inode;
	off_t size;
	struct timespec modified;
};

static inline bool sp_watch_changed(struct sp_watch *w, const char *path)
{
	struct stat s;
	struct sp_watch now = {0};
	if (stat(path, &s) == 0)
		now = (struct sp_watch){s.st_ino, s.st_size, s.st_mtim};
	bool changed = now.inode != w->inode || now.size != w->size || now.modified.tv_sec != w->modified.tv_sec ||
		now.modified.tv_nsec != w->modified.tv_nsec;
	*w = now;
	return changed;
}

#endif
