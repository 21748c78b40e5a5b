/* Rows of `dest`: a number for each name that ever had data, a destination's or a lane's ("DESTINATION/LANE"). */
#include "ship/spool/spool.h"

#include "common/alloc.h"
#include "common/lane.h"
#include "ship/spool/spool_impl.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

struct named {
	uint64_t key[2]; /* hash of the name */
	uint32_t id;
};

void dests_init(struct spool *sp)
{
	sp->names = (struct table){.key_bytes = sizeof(uint64_t[2]), .entry_bytes = sizeof(struct named)};
	sp->dests = sp_new(struct spool_dest);
	sp->cap_dests = 1;
}

void dests_free(struct spool *sp)
{
	for (uint32_t d = 1; d <= sp->max_dest; d++) {
		sp_free(sp->dests[d].name);
		sp_free(sp->dests[d].reached);
	}
	table_free(&sp->names);
	sp_free(sp->dests);
	sp_free(sp->changes);
}

static void hash_name(const char *name, uint64_t key[2])
{
	XXH128_hash_t h = XXH3_128bits(name, strlen(name));
	key[0] = h.low64 | 1; /* no entry is all zeros */
	key[1] = h.high64;
}

uint32_t spool_dest_id(const struct spool *sp, const char *name)
{
	uint64_t key[2];
	hash_name(name, key);
	const struct named *found = table_find(&sp->names, key);
	return found ? found->id : 0;
}

const char *spool_dest_name(const struct spool *sp, uint32_t dest)
{
	return dest && dest <= sp->max_dest && sp->dests[dest].name ? sp->dests[dest].name : "?";
}

uint32_t spool_max_dest_id(const struct spool *sp)
{
	return sp->max_dest;
}

struct spool_dest *dest_add(struct spool *sp, uint32_t id, struct sp_bytes name)
{
	if (id >= sp->cap_dests) {
		uint32_t cap = id + id / 4 + 1;
		sp->dests = sp_realloc(sp->dests, cap * sizeof *sp->dests);
		sp->changes = sp_realloc(sp->changes, cap * sizeof *sp->changes);
		sp->cap_dests = cap;
	}
	for (; sp->max_dest < id; sp->max_dest++) /* not all that there is room for: what is not touched takes no memory */
		sp->dests[sp->max_dest + 1] = (struct spool_dest){0};
	struct spool_dest *d = &sp->dests[id];
	uint64_t key[2];
	d->name = sp_strndup(name.p, name.n);
	hash_name(d->name, key);
	((struct named *)table_put(&sp->names, key))->id = id;
	return d;
}

uint32_t dest_make(struct spool *sp, const char *name, int64_t shards)
{
	uint32_t id = sp->max_dest + 1;
	dest_add(sp, id, sp_str(name))->shards = shards;
	db_run(sp->db, "INSERT INTO dest(id, name, shards) VALUES (?1, ?2, ?3)", DB_ARGS(db_int(id), db_text(name), db_int(shards)));
	return id;
}

void dest_adopt_lane(struct spool *sp, uint32_t lane, uint32_t of)
{
	struct spool_dest *d = &sp->dests[lane], *whole = &sp->dests[of];
	d->parent = of;
	d->shards = whole->shards;
	d->settings = whole->settings;
	whole->n_lanes++;
	whole->lanes_bytes += d->totals.bytes;
}

/* The newest rows, which a rollback takes away. */
void dests_forget_made(struct spool *sp)
{
	size_t kept = 0;
	for (size_t i = 0; i < sp->n_changes; i++)
		if (sp->changes[i] <= sp->max_dest - sp->tx.n_made)
			sp->changes[kept++] = sp->changes[i];
	sp->n_changes = kept;
	for (; sp->tx.n_made; sp->tx.n_made--) {
		struct spool_dest *d = &sp->dests[sp->max_dest--];
		uint64_t key[2];
		hash_name(d->name, key);
		table_remove(&sp->names, table_find(&sp->names, key));
		sp->dests[d->parent].n_lanes--;
		sp_free(d->name);
		sp_free(d->reached);
		*d = (struct spool_dest){0};
	}
}

int64_t dest_reached(const struct spool *sp, uint32_t dest, uint32_t shard)
{
	const struct spool_dest *d = &sp->dests[dest];
	return shard < d->n_reached ? d->reached[shard].ms : 0;
}

struct reached *dest_reached_of(struct spool *sp, uint32_t dest, uint32_t shard)
{
	struct spool_dest *d = &sp->dests[dest];
	if (shard >= d->n_reached) {
		d->reached = sp_realloc(d->reached, (shard + 1) * sizeof *d->reached);
		memset(d->reached + d->n_reached, 0, (shard + 1 - d->n_reached) * sizeof *d->reached);
		d->n_reached = shard + 1;
	}
	return &d->reached[shard];
}

void dest_mix_reached(struct spool *sp, uint32_t dest, uint32_t shards)
{
	int64_t newest = 0;
	for (uint32_t i = 0; i < sp->dests[dest].n_reached; i++)
		newest = sp->dests[dest].reached[i].ms > newest ? sp->dests[dest].reached[i].ms : newest;
	for (uint32_t i = 0; i < shards && newest > 0; i++)
		dest_reached_of(sp, dest, i)->ms = newest;
	spool_change(sp, dest);
}

/* ---- lanes ---- */

static uint32_t lane_find(struct spool *sp, uint32_t dest, const char *lane, bool make)
{
	char name[DEST_NAME_BYTES];
	snprintf(name, sizeof name, "%s/%s", sp->dests[dest].name, lane);
	uint32_t id = spool_dest_id(sp, name);
	if (id || !make)
		return id;
	id = dest_make(sp, name, sp->dests[dest].shards);
	dest_adopt_lane(sp, id, dest);
	sp->tx.n_made++;
	return id;
}

uint32_t spool_lane(struct spool *sp, uint32_t dest, const char *name, bool make, const char **reason)
{
	const struct spool_dest *d = &sp->dests[dest];
	const struct dest_settings *s = d->settings;
	const char *lane = lane_of(s, name);
	uint32_t id = lane ? lane_find(sp, dest, lane, false) : 0;
	*reason = NULL;
	if (id)
		return id;
	if (lane && d->n_lanes < s->lanes_max && sp->max_dest < DEST_ID_MAX)
		return lane_find(sp, dest, lane, make);
	if (s->lanes_default)
		return lane_find(sp, dest, s->lanes_default, make);
	*reason = lane ? "lane_limit" : "bad_lane";
	return 0;
}
