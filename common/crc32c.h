/* crc32c - the checksum (Castagnoli) of what we keep on disk.
 *
 * With the CPU's instruction where it has one (chosen at run time), by table otherwise; equal results. Any thread.
 * Start with seed 0; pass a result as seed to go on: crc(crc(0, a), b) = crc(0, ab).
 */
#ifndef SP_CRC32C_H
#define SP_CRC32C_H

#include <stddef.h>
#include <stdint.h>

uint32_t sp_crc32c(uint32_t seed, const void *p, size_t n);
/* The twin by table: for tests. */
uint32_t sp_crc32c_table(uint32_t seed, const void *p, size_t n);

#endif
