/* gunzip - a whole gzip body (RFC 1952) at once: several members, zero padding after the last one.
 *
 * Allocates what the trailer announces, never more than max or than deflate can produce from so many bytes.
 * One thread; one object serves any number of bodies.
 */
#ifndef CONVERT_GUNZIP_H
#define CONVERT_GUNZIP_H

#include "common/arena.h"

struct gunzip;

struct gunzip *gunzip_new(void);
void gunzip_free(struct gunzip **g);
bool gunzip_is_gzip(struct sp_bytes in); /* starts like a gzip member */
/* SP_BAD_DATA: damaged; SP_TOO_BIG: more than max bytes; SP_NO_MEM: the arena is spent. *out is in the arena. */
SP_CHECKED enum sp_status gunzip_run(struct gunzip *g, struct sp_bytes in, size_t max, struct sp_arena *arena, struct sp_bytes *out,
    struct sp_why *why);

#endif
