#include "tests/lib/spool_lib.h"

#include "common/alloc.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

void spool_damage_long_rows(const char *dir)
{
	char path[512];
	uint8_t page[16384];
	snprintf(path, sizeof path, "%s/spool.db", dir);
	FILE *f = fopen(path, "r+b");
	for (long at = 0; f && fread(page, sizeof page, 1, f) == 1; at += (long)sizeof page) {
		if (at < 2 * (long)sizeof page || page[0] != 0) /* the others are of a tree */
			continue;
		fseek(f, at, SEEK_SET);
		fwrite("\xff\xff\xff\xff", 4, 1, f);
		fseek(f, at + (long)sizeof page, SEEK_SET);
	}
	if (f)
		fclose(f);
}

struct settings *spool_settings_new(const char *dir)
{
	static char names[2][2] = {"a", "b"};
	static struct dest_settings dests[2];
	static char refuse[] = "refuse";
	for (size_t i = 0; i < 2; i++)
		dests[i] = (struct dest_settings){.name = names[i], .shards = 4, .on_full = refuse};
	struct settings *s = sp_new(struct settings);
	s->spool_dir = (char *)dir;
	s->spool_max = 64 << 20;
	s->spool_min_free = 0;
	s->spool_allow_volatile = true;
	s->spool_dedupe = 3 * 3600 * 1000;
	s->spool_evidence_max = 16 << 20;
	s->spool_evidence_age = INT64_C(30) * 86400 * 1000;
	s->memory = 256 << 20;
	s->dests = dests;
	s->n_dests = 2;
	return s;
}

char *spool_dir_new(void)
{
	const char *tmp = getenv("TMPDIR");
	char *dir = sp_asprintf("%s/spool-test-XXXXXX", tmp ? tmp : "/tmp");
	SP_BUG_IF(!mkdtemp(dir));
	return dir;
}

void spool_dir_clear(const char *dir)
{
	DIR *d = opendir(dir);
	for (struct dirent *e; d && (e = readdir(d));) {
		char *path = sp_asprintf("%s/%s", dir, e->d_name);
		unlink(path);
		sp_free(path);
	}
	if (d)
		closedir(d);
}

void spool_dir_remove(char *dir)
{
	spool_dir_clear(dir);
	rmdir(dir);
	sp_free(dir);
}

static uint8_t slice_byte(uint64_t n, size_t i)
{
	return (uint8_t)((n + 1) * 2654435761u >> (i % 24));
}

void delivery_init(struct delivery *d, uint64_t n, size_t size)
{
	SP_BUG_IF(size < 8);
	*d = (struct delivery){.dests = {1, 2}};
	d->bytes = sp_alloc(4 * size);
	for (size_t s = 0; s < 4; s++) {
		memcpy(d->bytes + s * size, &n, 8);
		for (size_t i = 8; i < size; i++)
			d->bytes[s * size + i] = slice_byte(n, i);
		d->slices[s] = (struct store_slice){.shard = (uint32_t)s, .len = (uint32_t)size, .raw_len = (uint32_t)size * 5, .series = 10,
			.samples = 10 + (uint32_t)s, .off = s * size, .min_ms = 1700000000000 + (int64_t)n * 60000,
			.max_ms = 1700000000000 + (int64_t)n * 60000};
	}
	d->group = (struct store_group){
		.bytes = d->bytes, .n = 4 * size, .slices = d->slices, .n_slices = 4, .dests = d->dests, .n_dests = 2,
		.info = SP_LIT("info")};
	d->r = (struct store_request){.groups = &d->group, .n_groups = 1, .key_name = "prod", .source_arn = "arn:aws:firehose:x",
		.request_id = "r", .received_ms = 1700000000000};
	memcpy(d->r.key, &n, 8);
	d->r.key[15] = 1;
}

void delivery_clear(struct delivery *d)
{
	sp_free(d->bytes);
	d->bytes = NULL;
}

uint64_t slice_number(const uint8_t *bytes)
{
	uint64_t n;
	memcpy(&n, bytes, 8);
	return n;
}

bool slice_is_whole(const uint8_t *bytes, size_t n)
{
	for (size_t i = 8; i < n; i++)
		if (bytes[i] != slice_byte(slice_number(bytes), i))
			return false;
	return n >= 8;
}
