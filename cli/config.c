#include "cli/config.h"

#include "proto/plan.h"

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
