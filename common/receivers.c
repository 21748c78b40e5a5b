#include "common/receivers.h"

/* Limits are those that the receiver has by itself. Where it says so (400, 413) they save requests; VictoriaMetrics says
 * nothing and ignores a series beyond them. */
static const struct receiver_kind kinds[] = {
    {"generic", true, "", "its out-of-order window (Prometheus and Mimir: out_of_order_time_window; Thanos: --tsdb.out-of-order.time-window)", {{0}}},
    {"prometheus", true, "", "storage.tsdb.out_of_order_time_window", {{0}}},
    {"mimir", false, "X-Scope-OrgID", "limits.out_of_order_time_window, or the tenant's override of it",
	{{"label_limit", "30"}, {"label_name_length_limit", "1024"}, {"label_value_length_limit", "2048"}}},
    {"thanos", false, "THANOS-TENANT", "--tsdb.out-of-order.time-window of thanos receive", {{0}}},
    {"victoriametrics", true, "", "-retentionPeriod (its order does not matter)",
	{{"label_limit", "40"}, {"label_name_length_limit", "256"}, {"label_value_length_limit", "4096"}}},
    {"amp", false, "", "outOfOrderTimeWindowInSeconds of the workspace's configuration", {{"max_bytes_per_send", "900KiB"}}},
    {"grafana-cloud", false, "", "out_of_order_time_window of the stack, which Grafana's support sets", {{"label_name_length_limit", "1024"}}},
    {"logzio", true, "", "the out-of-order window of the account, which logz.io's support sets", {{"max_raw_bytes_per_send", "3000000B"}}},
};
#define KINDS (sizeof kinds / sizeof kinds[0])

const struct receiver_kind *receiver_kind(const char *name)
{
	for (size_t i = 0; i < KINDS; i++)
		if (strcmp(kinds[i].name, name) == 0)
			return &kinds[i];
	return NULL;
}

void receivers_describe(struct sp_buf *out)
{
	sp_buf_str(out, "| `receiver` | Sets, where nothing else is written | Of a refused request | Setting there for samples out of order |\n"
			"| --- | --- | --- | --- |\n");
	for (size_t i = 0; i < KINDS; i++) {
		const struct receiver_kind *k = &kinds[i];
		sp_buf_printf(out, "| `%s` | ", k->name);
		for (size_t n = 0; n < RECEIVER_DEFAULTS_MAX && k->defaults[n].path; n++)
			sp_buf_printf(out, "%s`%s: %s`", n ? ", " : "", k->defaults[n].path, k->defaults[n].value);
		if (*k->tenant_header)
			sp_buf_printf(out, "%s`lanes.header: %s` (with `lanes.by`)", k->defaults[0].path ? ", " : "", k->tenant_header);
		sp_buf_printf(out, " | %s | %s |\n", k->rolls_back ? "nothing is stored" : "the good part is stored", k->order_setting);
	}
}
