// SPDX-License-Identifier: GPL-2.0-only
#include "lazy-pages/replay.h"

#include <errno.h>
#include <stdlib.h>

#include "common/util.h"

#define AHEAD 16 /* chunks that are read into the page cache before their turn comes */

int replay_new(struct replay **out, struct image_dir *dir, const struct space *sp, struct diag *diag)
{
	struct replay *r = calloc(1, sizeof(*r));
	int ret = r ? wset_read(dir, &sp->src->map, &r->set, diag) : diag_fail(diag, ENOMEM, "out of memory");

	*out = ret ? NULL : r;
	if (ret)
		free(r);
	return ret == -ENOENT ? 0 : ret;
}

void replay_free(struct replay *r)
{
	if (r)
		wset_free(&r->set);
	free(r);
}

static void prefetch(struct replay *r, const struct space *sp)
{
	for (; r->ahead < MIN(r->chunk + AHEAD, r->set.nr); r->ahead++) {
		const struct page_run *run;
		uint64_t first;
		unsigned nr = wset_next(&r->set.chunks[r->ahead], 0, &first);

		run = nr ? pagemap_find_page(&sp->src->map, first) : NULL;
		if (run)
			sp->src->ops->prefetch(sp->src, run, first - run->index,
					       MIN(WSET_CHUNK, run->index + run->nr_pages - first));
	}
}

/* What is missing of @nr pages of @run, from number @first of the store on, if it is where it was: @out is the first of
 * it. */
static bool missing_piece(const struct space *sp, const struct page_run *run, uint64_t first, uint64_t nr,
			  struct piece *out)
{
	uint64_t at = run->vaddr + (first - run->index) * PAGE_SIZE, end = at + nr * PAGE_SIZE;

	if (!space_next(sp, at, nr, out) || out->dst >= end || out->run->vaddr + out->skip * PAGE_SIZE != out->dst)
		return false;
	out->nr = MIN(out->nr, (end - out->dst) / PAGE_SIZE);
	return true;
}

void replay_rewind(struct replay *r, size_t chunk)
{
	if (chunk > r->chunk)
		return;
	r->chunk = chunk;
	r->bit = 0;
	r->back = true;
}

bool replay_done(const struct replay *r)
{
	return r->chunk == r->set.nr;
}

bool replay_next(struct replay *r, const struct space *sp, struct piece *out)
{
	if (!r || !(r->early || sp->row->settled) || (r->back && sp->in_flight))
		return false;
	r->back = false;
	while (r->chunk < r->set.nr) {
		const struct wset_chunk *c = &r->set.chunks[r->chunk];
		const struct page_run *run;
		uint64_t first, nr = wset_next(c, r->bit, &first);

		prefetch(r, sp);
		run = nr ? pagemap_find_page(&sp->src->map, first) : NULL;
		if (!run) {
			r->chunk++;
			r->bit = 0;
			continue;
		}
		nr = MIN(nr, run->index + run->nr_pages - first);
		if (missing_piece(sp, run, first, nr, out)) {
			r->bit = (unsigned)(run->index + out->skip + out->nr - c->number * WSET_CHUNK);
			return true;
		}
		r->bit = (unsigned)(first + nr - c->number * WSET_CHUNK);
	}
	return false;
}
