#include "ship/send/order.h"

#include "common/log.h"
#include "common/receivers.h"

#define PAUSE_MS 3600000

/* Without regard to case, and to what stands between the words: "err-mimir-sample-out-of-order". */
static bool says(struct sp_bytes answer, const char *words)
{
	size_t n = strlen(words);
	for (size_t at = 0; at + n <= answer.n; at++) {
		size_t i = 0;
		while (i < n && (words[i] == ' ' ? strchr(" -_", answer.p[at + i]) != NULL : (answer.p[at + i] | 0x20) == words[i]))
			i++;
		if (i == n)
			return true;
	}
	return false;
}

/* Another value for a time that is there, or the same: no window is to blame. */
static bool is_repeat(struct sp_bytes answer)
{
	return says(answer, "duplicate");
}

bool order_says(struct sp_bytes answer)
{
	return !is_repeat(answer) && (says(answer, "out of order") || says(answer, "out of bounds") || says(answer, "too old"));
}

bool order_says_newer(struct sp_bytes answer)
{
	return !is_repeat(answer) && says(answer, "out of order");
}

bool order_is_why(const struct dead_letter *dead)
{
	if (is_repeat(dead->answer) || strcmp(dead->reason, "maybe_duplicate") == 0)
		return false;
	return order_says(dead->answer) || strcmp(dead->reason, "out_of_order") == 0;
}

void order_notice(
    struct order_notice *n, const char *destination, const char *receiver, const struct dead_letter *dead, struct sp_mono now)
{
	if (now.ms < n->next.ms || !order_is_why(dead))
		return;
	n->next.ms = now.ms + PAUSE_MS;
	sp_log(SP_LOG_WARN, "destination.order_refused", sp_f_str("destination", destination),
	    sp_f_str("setting", receiver_kind(receiver)->order_setting), sp_f_bytes("answer", dead->answer),
	    sp_f_str("msg", "the receiver refuses samples that come late; raise this setting of it"), SP_LOG_END);
}
