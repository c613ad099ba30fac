// SPDX-License-Identifier: GPL-2.0-only
#include "lazy-pages/record.h"

#include <errno.h>
#include <stdlib.h>

#include "common/util.h"

#define INDEX_SIZE (2u * SHARED_MAX_RECORDS) /* a power of two */

struct record {
	struct shared *sh;
	uint32_t index[INDEX_SIZE]; /* by hash: number of the entry, plus one */
};

/* The place in the index of a chunk's entry, or the free one where it belongs. */
static uint32_t *find(struct record *r, uint32_t pages_id, uint64_t chunk)
{
	uint64_t at = (chunk * 0x9e3779b97f4a7c15ULL ^ pages_id * 0xc2b2ae3d27d4eb4fULL) >> 32;

	for (;; at++) {
		uint32_t *place = &r->index[at % INDEX_SIZE];
		const struct shared_record *e = r->sh->records + *place;

		if (!*place || (e[-1].chunk == chunk && e[-1].pages_id == pages_id))
			return place;
	}
}

struct record *record_new(struct shared *sh)
{
	struct record *r = calloc(1, sizeof(*r));

	if (!r)
		return NULL;
	r->sh = sh;
	for (uint32_t i = 0; i < sh->nr_records; i++)
		*find(r, sh->records[i].pages_id, sh->records[i].chunk) = i + 1;
	return r;
}

void record_free(struct record *r)
{
	free(r);
}

/* Beyond a quarter of a million chunks (64 GiB, if they are dense) what is touched is not recorded. */
static void add(struct record *r, const struct space *sp, uint64_t chunk, uint64_t pages)
{
	uint32_t pages_id = sp->src->map.pages_id, *place = find(r, pages_id, chunk), nr = r->sh->nr_records;

	if (*place) {
		r->sh->records[*place - 1].pages |= pages;
	} else if (nr < SHARED_MAX_RECORDS) {
		r->sh->records[nr] = (struct shared_record){
			.pages_id = pages_id,
			.object = sp->row->object != 0,
			.id = sp->row->object ? sp->row->number : (uint64_t)sp->row->image_pid,
			.chunk = chunk,
			.pages = pages,
		};
		__atomic_store_n(&r->sh->nr_records, nr + 1, __ATOMIC_RELEASE);
		*place = nr + 1;
	}
}

void record_fault(struct record *r, const struct space *sp, const struct piece *p, uint64_t nr)
{
	uint64_t slot = p->run->index + p->skip;

	while (r && nr) {
		uint64_t n = MIN(nr, WSET_CHUNK - slot % WSET_CHUNK);

		add(r, sp, slot / WSET_CHUNK, (n == 64 ? ~0ULL : (1ULL << n) - 1) << slot % WSET_CHUNK);
		slot += n;
		nr -= n;
	}
}

void record_set(struct record *r, const struct space *sp, const struct wset *set)
{
	for (size_t i = 0; r && i < set->nr; i++)
		add(r, sp, set->chunks[i].number, set->chunks[i].pages);
}

static int write_set(struct image_dir *dir, const struct shared_record *r, const struct wset *set, struct diag *diag)
{
	struct pagemap map;
	int ret = pagemap_read_whole(dir, r->object ? IMG_PAGEMAP_SHMEM : IMG_PAGEMAP, r->id, &map, diag);

	if (ret)
		return ret;
	ret = wset_write(dir, &map, set, diag);
	pagemap_free(&map);
	return ret;
}

/* A set for each store. @chunks, @written: room for all entries, @written all false. */
static int write_sets(const struct shared *sh, struct image_dir *dir, struct wset_chunk *chunks, bool *written,
		      struct diag *diag)
{
	int ret = 0;

	for (uint32_t i = 0; i < sh->nr_records && !ret; i++) {
		struct wset set = { chunks, 0 };

		if (written[i])
			continue;
		for (uint32_t k = i; k < sh->nr_records; k++) {
			if (sh->records[k].pages_id != sh->records[i].pages_id)
				continue;
			chunks[set.nr++] = (struct wset_chunk){ sh->records[k].chunk, sh->records[k].pages };
			written[k] = true;
		}
		ret = write_set(dir, &sh->records[i], &set, diag);
	}
	return ret;
}

int record_write(const struct shared *sh, const char *images_dir, struct diag *diag)
{
	struct wset_chunk *chunks;
	struct image_dir *dir;
	bool *written;
	int ret = sh->nr_records ? image_dir_open(images_dir, &dir, diag) : 0;

	if (!sh->nr_records || ret)
		return ret;
	chunks = calloc(sh->nr_records, sizeof(*chunks));
	written = calloc(sh->nr_records, sizeof(*written));
	ret = chunks && written ? write_sets(sh, dir, chunks, written, diag)
				: diag_fail(diag, ENOMEM, "out of memory for the working sets");
	free(chunks);
	free(written);
	image_dir_close(dir);
	return ret;
}
