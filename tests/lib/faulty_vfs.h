/* faulty_vfs - a disk under SQLite that can lose what was not synced, refuse to sync, or be full.
 *
 * Beside each file NAME it keeps NAME.synced: what a power cut would leave. Register it before the first database is opened.
 * All counters may be changed at any time, from any thread.
 */
#ifndef TESTS_FAULTY_VFS_H
#define TESTS_FAULTY_VFS_H

#include <stdint.h>

extern _Atomic int faulty_vfs_fail_sync;       /* 1: every sync fails from now on */
extern _Atomic int64_t faulty_vfs_max_bytes;   /* no file grows beyond it */

void faulty_vfs_register(void);
/* The power is cut: the file becomes its synced self. */
void faulty_vfs_cut(const char *path);

#endif
