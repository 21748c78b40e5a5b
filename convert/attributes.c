#include "convert/attributes.h"

#include "convert/json.h"

static void leave_out(struct attributes *a, const char *why)
{
	a->left_out++;
	if (!a->why_out)
		a->why_out = why;
}

/* AWS counts characters, not bytes. */
static size_t characters(struct sp_bytes s)
{
	size_t n = 0;
	for (size_t i = 0; i < s.n; i++)
		n += (s.p[i] & 0xc0) != 0x80;
	return n;
}

static void add(struct attributes *a, struct sp_bytes name, struct sp_bytes value)
{
	if (characters(sp_trim(name)) == 0 || characters(name) > ATTRIBUTE_NAME_CHARS)
		leave_out(a, "a name is blank or over 256 characters");
	else if (characters(value) > ATTRIBUTE_VALUE_CHARS)
		leave_out(a, "a value is over 1024 characters");
	else if (a->n == ATTRIBUTES_MAX)
		leave_out(a, "there are more than 50");
	else
		a->v[a->n++] = (struct attribute){name, value};
}

static void read_pair(struct json *j, struct sp_bytes name, struct attributes *a)
{
	struct sp_bytes value;
	double number;
	switch (json_peek(j)) {
	case JSON_STRING:
		if (json_string(j, &value))
			add(a, name, value);
		break;
	case JSON_NUMBER:
		if (json_number(j, &number, &value))
			add(a, name, value);
		break;
	case JSON_WORD:
		if (!json_word(j, &value))
			break;
		if (!sp_eq(value, SP_LIT("null"))) {
			add(a, name, value);
			break;
		}
		/* fall through */
	default:
		leave_out(a, "a value is no string");
		if (json_peek(j) == JSON_OBJECT || json_peek(j) == JSON_ARRAY)
			json_skip(j);
	}
}

enum sp_status attributes_read(struct sp_bytes header, struct sp_arena *arena, struct attributes *out)
{
	struct json j = json_begin(header, arena);
	struct sp_bytes key;
	bool found = false;
	*out = (struct attributes){.n = 0};
	if (sp_trim(header).n == 0)
		return SP_OK;
	if (json_peek(&j) == JSON_OBJECT) {
		for (json_enter(&j); json_next_member(&j, &key);) {
			if (!sp_eq(key, SP_LIT("commonAttributes")) || json_peek(&j) != JSON_OBJECT) {
				json_skip(&j);
				continue;
			}
			found = true;
			for (json_enter(&j); json_next_member(&j, &key);)
				read_pair(&j, key, out);
		}
	}
	if (j.no_mem)
		return SP_NO_MEM;
	if (j.error || !found) {
		*out = (struct attributes){.n = 0};
		leave_out(out, j.error ? j.error : "there is no object \"commonAttributes\"");
	}
	return SP_OK;
}

struct sp_bytes attributes_get(const struct attributes *a, struct sp_bytes name)
{
	for (size_t i = 0; i < a->n; i++)
		if (sp_eq_nocase(a->v[i].name, name))
			return a->v[i].value;
	return (struct sp_bytes){0};
}
