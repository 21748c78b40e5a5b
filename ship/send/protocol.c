#include "ship/send/protocol.h"

void protocol_init(struct protocol *p, const char *setting)
{
	*p = (struct protocol){.wanted = strcmp(setting, "1.0") == 0 ? RW_1 : RW_2};
	protocol_forget(p);
}

void protocol_forget(struct protocol *p)
{
	p->spoken = p->wanted;
	p->proven = p->stores_part = false;
	p->reason = "";
}

static void fall_back(struct protocol *p, const char *reason)
{
	if (p->spoken == RW_1)
		return; /* another request found it out */
	p->spoken = RW_1;
	p->proven = false;
	p->reason = reason;
}

bool protocol_stored_a_part(const struct protocol *p, enum rw_version sent, const struct http_answer *a)
{
	return sent == RW_2 && (a->samples_written > 0 || (a->samples_written == 0 && p->stores_part));
}

bool protocol_answered(
    struct protocol *p, enum rw_version sent, bool again, const struct http_answer *a, enum rw_version *next)
{
	bool accepted = a->status >= 200 && a->status <= 299;
	*next = RW_1;
	if (sent == RW_1) {
		if (again && accepted && !p->proven)
			fall_back(p, "rejected");
		/* It knows 2.0 alone: what it refused before was the data. Should the data be 1.0 again, it cannot be made 2.0. */
		if (a->status == 415 && p->spoken == RW_2 && !(again && p->proven)) {
			p->proven = true;
			*next = RW_2;
			return true;
		}
		return false;
	}
	if (a->status == 415 || (accepted && a->samples_written < 0)) {
		fall_back(p, a->status == 415 ? "unsupported" : "no_written_headers");
		return true;
	}
	if (accepted || a->samples_written > 0) {
		p->proven = p->spoken == RW_2;
		p->stores_part |= !accepted;
		return false;
	}
	return a->status == 400 && !p->proven;
}

const char *protocol_name(enum rw_version v)
{
	return v == RW_2 ? "2.0" : "1.0";
}
