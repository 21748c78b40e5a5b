/* Any text as a configuration: a refusal always says why; what is accepted survives a trip through a view. */
#include "common/conf.h"

#include <stdlib.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void expect(bool true_)
{
	if (!true_)
		abort();
}

static void trip(const struct conf *c, enum sp_role role)
{
	struct conf *back = conf_new();
	struct settings *s;
	struct sp_buf view = {0};
	conf_write_view(c, role, &view);
	int fd = conf_open_view(sp_buf_view(&view));
	expect(fd >= 0 && conf_read_view(back, fd, NULL) == SP_OK);
	sp_buf_free(&view);
	expect(settings_load(back, role, &s, NULL) == SP_OK);
	settings_free(&s);
	conf_free(&back);
	close(fd);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct sp_why why = {0};
	struct settings *s;
	struct conf *c = conf_new();
	enum sp_status status = conf_read_yaml_text(c, "fuzz.yaml", sp_bytes(data, n), &why);
	if (status == SP_OK)
		status = settings_load(c, SP_ROLE_ALL, &s, &why);
	if (status == SP_OK) {
		settings_free(&s);
		trip(c, SP_ROLE_INGEST);
		trip(c, SP_ROLE_SHIP);
		trip(c, SP_ROLE_ALL);
	} else {
		expect(status == SP_CONFIG && why.text[0]);
	}
	conf_free(&c);
	return 0;
}
