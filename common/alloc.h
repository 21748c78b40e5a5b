/* alloc - the only place that calls malloc and free.
 *
 * sp_new and friends are for what the program needs to exist (a connection, a table): without memory for it the process
 * says so and aborts; the supervisor starts it again and nothing acknowledged is lost.
 * sp_try_* are for what grows with input: they return NULL, and the batch fails, not the process.
 * Any thread.
 */
#ifndef SP_ALLOC_H
#define SP_ALLOC_H

#include <stddef.h>
#include <stdint.h>

void *sp_alloc(size_t n); /* zeroed; never NULL */
void *sp_realloc(void *p, size_t n); /* never NULL */
/* A growing array's step: room for one more element of `size` bytes than the n that are used; never NULL. */
void *sp_grow(void *array, size_t n, size_t *cap, size_t size);
char *sp_strdup(const char *s);
char *sp_strndup(const void *p, size_t n); /* adds the NUL */
char *sp_asprintf(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void *sp_try_alloc(size_t n); /* not zeroed; NULL when there is none */
void *sp_try_realloc(void *p, size_t n);
void sp_free(void *p);
void sp_free_secret(char **s); /* wipes the text first; *s becomes NULL and may be */

/* For the start of a process that handles deliveries: what usual ones free is kept for the next (a page fault costs more than the
 * parsing of what lies on the page), what only a large one takes goes back to the system. */
void sp_alloc_tune(void);

#define sp_new(type) ((type *)sp_alloc(sizeof(type)))
#define sp_new_array(type, count) ((type *)sp_alloc_array(sizeof(type), (count)))
void *sp_alloc_array(size_t size, size_t count);

#endif
