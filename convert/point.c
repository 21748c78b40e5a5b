#include "convert/point.h"

#define FIRST_POINTS 256

struct cw_point *cw_points_add(struct cw_points *points, struct sp_arena *arena)
{
	if (points->n == points->cap) {
		size_t cap = points->cap ? 2 * points->cap : FIRST_POINTS;
		void *v = sp_arena_grow(arena, points->v, points->cap * sizeof *points->v, cap * sizeof *points->v);
		if (!v)
			return NULL;
		points->v = v, points->cap = cap;
	}
	struct cw_point *p = &points->v[points->n++];
	*p = (struct cw_point){0};
	return p;
}
