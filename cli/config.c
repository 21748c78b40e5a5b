#include "cli/config.h"

#include "proto/plan.h"

#include <stdlib.h>
#include <unistd.h>

enum sp_status config_read(const char *path, struct conf **conf, struct settings **out, struct sp_why *why)
{
	struct conf *c = conf_new();
	struct settings *s = NULL;
	enum sp_status status = conf_read_usual(c, path, why);
	if (status == SP_OK)
		status = settings_load(c, SP_ROLE_ALL, &s, why);
	if (status == SP_OK)
		status = plan_check(s, why);
	if (status != SP_OK) {
		struct sp_why wrong = *why;
		if (!path && !getenv("STANDPIPE_CONFIG") && access(CONF_USUAL_PATH, F_OK) != 0)
			sp_fail(why, status, "there is no " CONF_USUAL_PATH " (--config FILE names another): %s", wrong.text);
		settings_free(&s);
		conf_free(&c);
		return status;
	}
	conf_set(c, "spool.dir", s->spool_dir, "default");
	conf_set(c, "runtime.dir", s->runtime_dir, "default");
	*conf = c;
	*out = s;
	return SP_OK;
}
