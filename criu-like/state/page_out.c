// SPDX-License-Identifier: GPL-2.0-only
#include "criu-like/state/page_out.h"

#include "common/cleanup.h"
#include "criu-like/freeze.h"
#include "lazy-pages/wire/page_stream.h"

static int interrupted(void *context)
{
	return dump_interrupted(context);
}

/* The same memory in the earlier images, if it was there then. */
static int open_old(struct dump *d, enum image_kind kind, uint64_t id, struct pagemap *map, struct page_copy *copy)
{
	int ret;

	if (!d->prev_dir || !image_exists(d->prev_dir, kind, id))
		return 0;
	ret = pagemap_read_whole(d->prev_dir, kind, id, map, d->diag);
	if (!ret)
		ret = page_store_open(d->prev_dir, map, &copy->old, d->diag);
	copy->old_map = map;
	return ret;
}

static uint64_t count_old(const struct pagemap *map)
{
	uint64_t nr = 0;

	for (size_t i = 0; i < map->nr; i++)
		nr += map->runs[i].flags & PE_PARENT ? map->runs[i].nr_pages : 0;
	return nr;
}

static int to_store(struct dump *d, enum image_kind kind, uint64_t id, struct page_copy *copy)
{
	struct pagemap old = { 0 };
	int ret = page_writer_create(d->dir, d->opt->page_store, copy->map->pages_id, &copy->out, d->diag);

	if (!ret)
		ret = open_old(d, kind, id, &old, copy);
	if (!ret)
		ret = page_copy_run(copy);
	page_store_close(copy->old);
	pagemap_free(&old);
	*(kind == IMG_PAGEMAP ? &d->stats.pages_skipped_parent : &d->stats.shpages_skipped_parent) +=
		count_old(copy->map);
	if (!ret)
		ret = page_writer_finish(TAKE_PTR(copy->out));
	if (!ret)
		ret = pagemap_write(d->dir, kind, id, copy->map, d->diag);
	page_writer_abandon(copy->out);
	return ret;
}

int page_out_run(struct dump *d, enum image_kind kind, uint64_t id, struct page_copy *copy)
{
	int ret;

	copy->interrupted = interrupted;
	copy->context = d;
	copy->diag = d->diag;
	if (!d->stream)
		return to_store(d, kind, id, copy);
	copy->stream = d->stream;
	ret = page_stream_open(d->stream, kind, id);
	return ret ? ret : page_copy_run(copy);
}
