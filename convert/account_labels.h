/* account_labels - what the configuration says of AWS accounts, for all groups of a plan. One thread. */
#ifndef CONVERT_ACCOUNT_LABELS_H
#define CONVERT_ACCOUNT_LABELS_H

#include "convert/intern.h"
#include "proto/standpipe.pb-c.h"

struct account_labels {
	struct sp_bytes *names; /* of all labels that any account has */
	size_t n_names;
	struct intern table;
	struct sp_arena *arena;
};

/* The plan must outlive it. */
struct account_labels *account_labels_new(const Standpipe__Plan *plan);
void account_labels_free(struct account_labels **a);
/* One value for each of the names, empty where nothing is said; NULL for an account that is not in the plan. */
const struct sp_bytes *account_labels_find(const struct account_labels *a, struct sp_bytes account);

#endif
