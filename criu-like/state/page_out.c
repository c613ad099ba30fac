// SPDX-License-Identifier: GPL-2.0-only
#include "criu-like/state/page_out.h"

#include "common/cleanup.h"
#include "criu-like/freeze.h"
#include "lazy-pages/wire/page_stream.h"

static int interrupted(void *context)
{
	return dump_interrupted(context);
}

static int to_store(struct dump *d, enum image_kind kind, uint64_t id, struct page_copy *copy)
{
	int ret = page_writer_create(d->dir, d->opt->page_store, copy->map->pages_id, &copy->out, d->diag);

	if (!ret)
		ret = page_copy_run(copy);
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
