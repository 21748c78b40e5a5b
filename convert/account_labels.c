#include "convert/account_labels.h"

#include "common/alloc.h"
#include "common/arena.h"

struct account {
	struct interned entry; /* key: the account's id */
	struct sp_bytes *values;
};

/* The place of a name, which is added when it is new. */
static size_t place_of(struct account_labels *a, struct sp_bytes name)
{
	size_t i = 0;
	while (i < a->n_names && !sp_eq(a->names[i], name))
		i++;
	if (i == a->n_names) {
		a->names = sp_realloc(a->names, (i + 1) * sizeof *a->names);
		a->names[a->n_names++] = name;
	}
	return i;
}

static void add_account(struct account_labels *a, const Standpipe__Account *from)
{
	struct account *account = sp_arena_take(a->arena, sizeof *account);
	struct sp_bytes *values = sp_arena_take(a->arena, a->n_names * sizeof *values);
	for (size_t i = 0; i < from->n_labels; i++)
		values[place_of(a, sp_str(from->labels[i]->name))] = sp_str(from->labels[i]->value);
	struct sp_bytes id = sp_str(from->id);
	*account = (struct account){.entry = {.key = id, .hash = intern_hash(id)}, .values = values};
	if (!intern_find(&a->table, id, account->entry.hash))
		intern_add(&a->table, &account->entry);
}

struct account_labels *account_labels_new(const Standpipe__Plan *plan)
{
	struct account_labels *a = sp_new(struct account_labels);
	a->arena = sp_arena_new(0);
	for (size_t i = 0; i < plan->n_accounts; i++)
		for (size_t k = 0; k < plan->accounts[i]->n_labels; k++)
			place_of(a, sp_str(plan->accounts[i]->labels[k]->name));
	for (size_t i = 0; i < plan->n_accounts; i++)
		add_account(a, plan->accounts[i]);
	return a;
}

void account_labels_free(struct account_labels **ap)
{
	struct account_labels *a = *ap;
	if (!a)
		return;
	*ap = NULL;
	intern_free(&a->table);
	sp_arena_free(&a->arena);
	sp_free(a->names);
	sp_free(a);
}

const struct sp_bytes *account_labels_find(const struct account_labels *a, struct sp_bytes account)
{
	const struct account *found = (const struct account *)intern_find(&a->table, account, intern_hash(account));
	return found ? found->values : NULL;
}
