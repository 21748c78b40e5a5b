#include "convert/lanes.h"

#include "common/alloc.h"

enum sp_status lanes_init(struct lanes *l, const char *by, struct sp_why *why)
{
	static const size_t prefix = sizeof LANE_BY_ATTRIBUTE - 1;
	*l = (struct lanes){.by = LANES_NONE};
	if (strcmp(by, "key") == 0)
		l->by = LANES_BY_KEY;
	else if (strcmp(by, "account") == 0)
		l->by = LANES_BY_ACCOUNT;
	else if (strncmp(by, LANE_BY_ATTRIBUTE, prefix) == 0)
		l->by = LANES_BY_ATTRIBUTE;
	else if (by[0])
		return sp_fail(why, SP_CONFIG, "lanes by \"%.40s\" are not known", by);
	if (l->by == LANES_BY_ATTRIBUTE)
		l->attribute = sp_strdup(by + prefix);
	size_t room = l->by == LANES_BY_ACCOUNT ? LANES_OF_DELIVERY + 1 : 1;
	l->v = sp_new_array(struct convert_lane, room);
	l->known = sp_new_array(struct interned, room);
	return SP_OK;
}

void lanes_free(struct lanes *l)
{
	intern_free(&l->table);
	sp_free(l->attribute);
	sp_free(l->v);
	sp_free(l->known);
}

static struct sp_bytes usable(struct sp_bytes name)
{
	return lane_name_ok(name) ? name : (struct sp_bytes){0};
}

void lanes_begin(struct lanes *l, const struct attributes *attributes, struct sp_bytes key_name)
{
	struct sp_bytes name = l->by == LANES_BY_KEY ? key_name : (struct sp_bytes){0};
	if (l->by == LANES_BY_ATTRIBUTE && attributes)
		name = attributes_get(attributes, sp_str(l->attribute));
	l->v[0] = (struct convert_lane){.name = usable(name)};
	l->n = l->by != LANES_BY_ACCOUNT;
	l->last = (struct sp_bytes){0};
	intern_clear(&l->table);
}

static uint16_t find(struct lanes *l, struct sp_bytes name)
{
	uint64_t hash = intern_hash(name);
	struct interned *e = intern_find(&l->table, name, hash);
	if (e)
		return (uint16_t)(e - l->known);
	if (l->n >= LANES_OF_DELIVERY && name.n)
		return find(l, (struct sp_bytes){0});
	l->known[l->n] = (struct interned){.hash = hash, .key = name};
	l->v[l->n] = (struct convert_lane){.name = name};
	intern_add(&l->table, &l->known[l->n]);
	return (uint16_t)l->n++;
}

uint16_t lanes_of_account(struct lanes *l, struct sp_bytes account)
{
	if (!l->last.p || !sp_eq(l->last, account)) {
		l->last = account;
		l->last_lane = find(l, usable(account));
	}
	return l->last_lane;
}
