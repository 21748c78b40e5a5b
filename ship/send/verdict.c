#include "ship/send/verdict.h"

/* First match wins; a status that is not listed is SHIP_KEEP. */
static const struct {
	int from, to;
	struct ship_ruling ruling;
} rules[] = {
    {200, 299, {SHIP_DELIVERED, ""}},
    {300, 399, {SHIP_PAUSE, "redirected"}},
    {400, 400, {SHIP_DATA, "rejected"}},
    {401, 401, {SHIP_PAUSE, "unauthorized"}},
    {403, 403, {SHIP_PAUSE, "forbidden"}},
    {404, 404, {SHIP_PAUSE, "not_found"}},
    {405, 405, {SHIP_PAUSE, "method_not_allowed"}},
    {407, 407, {SHIP_PAUSE, "proxy_unauthorized"}},
    {408, 408, {SHIP_KEEP, "timeout"}},
    {409, 409, {SHIP_DATA, "rejected"}},
    {410, 410, {SHIP_PAUSE, "gone"}},
    {413, 413, {SHIP_TOO_BIG, "too_large"}},
    {415, 415, {SHIP_PAUSE, "unsupported"}},
    {422, 422, {SHIP_DATA, "rejected"}},
    {425, 425, {SHIP_KEEP, "too_early"}},
    {429, 429, {SHIP_KEEP, "too_many_requests"}},
    {400, 499, {SHIP_PAUSE, "unexpected_status"}}, /* a proxy in between, not the receiver */
    {501, 501, {SHIP_PAUSE, "not_implemented"}},
    {502, 504, {SHIP_UNREACHABLE, "unavailable"}},
    {505, 505, {SHIP_PAUSE, "not_implemented"}},
    {500, 599, {SHIP_KEEP, "server_error"}},
};

struct ship_ruling ship_rule(enum ship_transport transport, int status, int64_t retry_after_ms)
{
	switch (transport) {
	case SHIP_NOT_SENT:
		return (struct ship_ruling){SHIP_UNREACHABLE, "unreachable"};
	case SHIP_UNANSWERED:
		return (struct ship_ruling){SHIP_UNREACHABLE, "no_answer"};
	case SHIP_BAD_CERTIFICATE:
		return (struct ship_ruling){SHIP_PAUSE, "bad_certificate"};
	case SHIP_ANSWERED:
		break;
	}
	for (size_t i = 0; i < sizeof(rules) / sizeof(rules[0]); i++) {
		if (status < rules[i].from || status > rules[i].to)
			continue;
		struct ship_ruling r = rules[i].ruling;
		/* Whoever says when to come back is there. */
		if (r.verdict == SHIP_UNREACHABLE && retry_after_ms != SHIP_NO_RETRY_AFTER)
			r.verdict = SHIP_KEEP;
		return r;
	}
	return (struct ship_ruling){SHIP_KEEP, "malformed_answer"};
}

bool ship_answer_is_suspicious(enum ship_transport transport, int status)
{
	return transport == SHIP_ANSWERED && status >= 500 && status <= 599 && status != 501 && status != 503 &&
	       status != 505 && status != 529;
}

bool ship_answer_is_not_now(enum ship_transport transport, enum ship_verdict verdict)
{
	return transport == SHIP_ANSWERED && (verdict == SHIP_KEEP || verdict == SHIP_UNREACHABLE);
}
