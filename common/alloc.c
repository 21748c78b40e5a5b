#include "common/alloc.h"

#include "common/status.h"

#include <malloc.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LARGE_BYTES (4 << 20)
#define KEPT_BYTES (16 << 20)

void sp_alloc_tune(void)
{
	mallopt(M_MMAP_THRESHOLD, LARGE_BYTES);
	mallopt(M_TRIM_THRESHOLD, KEPT_BYTES);
	mallopt(M_TOP_PAD, LARGE_BYTES / 4);
}

void *sp_alloc(size_t n)
{
	void *p = calloc(1, n ? n : 1);
	SP_BUG_IF(!p);
	return p;
}

void *sp_alloc_array(size_t size, size_t count)
{
	void *p = calloc(count ? count : 1, size);
	SP_BUG_IF(!p);
	return p;
}

void *sp_realloc(void *p, size_t n)
{
	p = realloc(p, n ? n : 1);
	SP_BUG_IF(!p);
	return p;
}

void *sp_grow(void *array, size_t n, size_t *cap, size_t size)
{
	if (n < *cap)
		return array;
	*cap = *cap ? 2 * *cap : 16;
	return sp_realloc(array, *cap * size);
}

char *sp_strdup(const char *s)
{
	return sp_strndup(s, strlen(s));
}

char *sp_strndup(const void *p, size_t n)
{
	char *s = sp_alloc(n + 1);
	if (n)
		memcpy(s, p, n);
	return s;
}

char *sp_asprintf(const char *fmt, ...)
{
	va_list ap;
	char *s = NULL;
	va_start(ap, fmt);
	int n = vasprintf(&s, fmt, ap);
	va_end(ap);
	SP_BUG_IF(n < 0);
	return s;
}

void *sp_try_alloc(size_t n)
{
	return malloc(n ? n : 1);
}

void *sp_try_realloc(void *p, size_t n)
{
	return realloc(p, n ? n : 1);
}

void sp_free(void *p)
{
	free(p);
}

void sp_free_secret(char **s)
{
	if (*s)
		explicit_bzero(*s, strlen(*s));
	free(*s);
	*s = NULL;
}
