/* accounts - labels for AWS accounts, from a YAML file: ACCOUNT_ID: {LABEL: VALUE, ...}.
 *
 * Start-up and reload only; one thread.
 */
#ifndef SP_ACCOUNTS_H
#define SP_ACCOUNTS_H

#include "common/conf.h"

struct accounts {
	struct account {
		char *id;
		struct sp_map labels;
	} * v;
	size_t n;
};

/* SP_CONFIG with file, line and what would be right. The caller frees. */
SP_CHECKED enum sp_status accounts_read(const char *path, struct accounts **out, struct sp_why *why);
void accounts_free(struct accounts **a);

#endif
