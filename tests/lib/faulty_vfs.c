#include "tests/lib/faulty_vfs.h"

#include "common/alloc.h"
#include "common/status.h"

#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

_Atomic int faulty_vfs_fail_sync;
_Atomic int64_t faulty_vfs_max_bytes = INT64_MAX;

struct change { /* not synced yet */
	struct change *next;
	sqlite3_int64 at; /* a truncation to this size when data is NULL */
	int n;
	char *data;
};

struct file {
	sqlite3_file base;
	int shadow;
	struct change *first, **last;
	sqlite3_file real[]; /* as long as the real VFS needs */
};

static sqlite3_vfs *real_vfs;

static struct file *file_of(sqlite3_file *f)
{
	return (struct file *)f;
}

static void remember(struct file *f, const void *data, int n, sqlite3_int64 at)
{
	struct change *c = sp_new(struct change);
	*c = (struct change){.at = at, .n = n, .data = data ? sp_strndup(data, (size_t)n) : NULL};
	*f->last = c;
	f->last = &c->next;
}

static void forget(struct file *f, int apply)
{
	while (f->first) {
		struct change *c = f->first;
		f->first = c->next;
		if (apply && c->data)
			SP_BUG_IF(pwrite(f->shadow, c->data, (size_t)c->n, c->at) != c->n);
		else if (apply)
			SP_BUG_IF(ftruncate(f->shadow, c->at) != 0);
		sp_free(c->data);
		sp_free(c);
	}
	f->last = &f->first;
}

static int v_close(sqlite3_file *base)
{
	struct file *f = file_of(base);
	forget(f, 0);
	if (f->shadow >= 0)
		close(f->shadow);
	return f->real->pMethods->xClose(f->real);
}

static int v_read(sqlite3_file *base, void *to, int n, sqlite3_int64 at)
{
	return file_of(base)->real->pMethods->xRead(file_of(base)->real, to, n, at);
}

static int v_write(sqlite3_file *base, const void *from, int n, sqlite3_int64 at)
{
	struct file *f = file_of(base);
	sqlite3_int64 size = 0;
	f->real->pMethods->xFileSize(f->real, &size);
	if (at + n > size && at + n > faulty_vfs_max_bytes)
		return SQLITE_FULL;
	int rc = f->real->pMethods->xWrite(f->real, from, n, at);
	if (rc == SQLITE_OK && f->shadow >= 0)
		remember(f, from, n, at);
	return rc;
}

static int v_truncate(sqlite3_file *base, sqlite3_int64 size)
{
	struct file *f = file_of(base);
	int rc = f->real->pMethods->xTruncate(f->real, size);
	if (rc == SQLITE_OK && f->shadow >= 0)
		remember(f, NULL, 0, size);
	return rc;
}

static int v_sync(sqlite3_file *base, int flags)
{
	struct file *f = file_of(base);
	(void)flags; /* a real sync would only cost time here */
	if (faulty_vfs_fail_sync)
		return SQLITE_IOERR_FSYNC;
	forget(f, 1);
	return SQLITE_OK;
}

static int v_size(sqlite3_file *base, sqlite3_int64 *size)
{
	return file_of(base)->real->pMethods->xFileSize(file_of(base)->real, size);
}

static int v_lock(sqlite3_file *base, int level)
{
	return file_of(base)->real->pMethods->xLock(file_of(base)->real, level);
}

static int v_unlock(sqlite3_file *base, int level)
{
	return file_of(base)->real->pMethods->xUnlock(file_of(base)->real, level);
}

static int v_reserved(sqlite3_file *base, int *out)
{
	return file_of(base)->real->pMethods->xCheckReservedLock(file_of(base)->real, out);
}

static int v_control(sqlite3_file *base, int op, void *arg)
{
	return file_of(base)->real->pMethods->xFileControl(file_of(base)->real, op, arg);
}

static int v_sector(sqlite3_file *base)
{
	return file_of(base)->real->pMethods->xSectorSize(file_of(base)->real);
}

static int v_device(sqlite3_file *base)
{
	return file_of(base)->real->pMethods->xDeviceCharacteristics(file_of(base)->real);
}

/* Version 1: no shared memory, which the spool does not use. */
static const sqlite3_io_methods methods = {1, v_close, v_read, v_write, v_truncate, v_sync, v_size, v_lock, v_unlock, v_reserved,
	v_control, v_sector, v_device, NULL, NULL, NULL, NULL, NULL, NULL};

static void shadow_name(const char *path, char *out, size_t n)
{
	snprintf(out, n, "%s.synced", path);
}

static int v_open(sqlite3_vfs *vfs, const char *path, sqlite3_file *base, int flags, int *out_flags)
{
	struct file *f = file_of(base);
	char shadow[1024];
	(void)vfs;
	memset(f, 0, sizeof *f);
	f->last = &f->first;
	f->shadow = -1;
	int rc = real_vfs->xOpen(real_vfs, path, f->real, flags, out_flags);
	if (rc != SQLITE_OK)
		return rc;
	f->base.pMethods = &methods;
	if (path && (flags & (SQLITE_OPEN_MAIN_DB | SQLITE_OPEN_WAL))) {
		shadow_name(path, shadow, sizeof shadow);
		f->shadow = open(shadow, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
		SP_BUG_IF(f->shadow < 0);
	}
	return SQLITE_OK;
}

static int v_delete(sqlite3_vfs *vfs, const char *path, int sync_dir)
{
	char shadow[1024];
	(void)vfs;
	shadow_name(path, shadow, sizeof shadow);
	unlink(shadow);
	return real_vfs->xDelete(real_vfs, path, sync_dir);
}

void faulty_vfs_register(void)
{
	static sqlite3_vfs vfs;
	real_vfs = sqlite3_vfs_find(NULL);
	vfs = *real_vfs;
	vfs.zName = "faulty";
	vfs.pNext = NULL;
	vfs.szOsFile = (int)sizeof(struct file) + real_vfs->szOsFile;
	vfs.xOpen = v_open;
	vfs.xDelete = v_delete;
	SP_BUG_IF(sqlite3_vfs_register(&vfs, 1) != SQLITE_OK);
}

void faulty_vfs_cut(const char *path)
{
	char shadow[1024];
	shadow_name(path, shadow, sizeof shadow);
	if (access(shadow, F_OK) == 0)
		SP_BUG_IF(rename(shadow, path) != 0);
	else
		unlink(path);
}
