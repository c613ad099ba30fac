// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <stdlib.h>

#include "lazy-pages/source/source.h"

/* The source that reads a directory of images, through its page store. */
struct image_source {
	struct source src;
	struct page_store *store;
};

static int image_source_read(struct source *src, const struct page_run *run, uint64_t skip, uint64_t nr, void *buf,
			     const void **data, struct diag *diag)
{
	struct image_source *is = (struct image_source *)src;

	return page_store_get(is->store, run, skip, nr, buf, data, diag);
}

static void image_source_prefetch(struct source *src, const struct page_run *run, uint64_t skip, uint64_t nr)
{
	struct image_source *is = (struct image_source *)src;

	page_store_prefetch(is->store, run, skip, nr);
}

static void image_source_close(struct source *src)
{
	struct image_source *is = (struct image_source *)src;

	page_store_close(is->store);
	pagemap_free(&src->map);
	free(is);
}

static const struct source_ops image_source_ops = {
	.name = "images",
	.read = image_source_read,
	.prefetch = image_source_prefetch,
	.close = image_source_close,
};

static int open_images(struct image_dir *dir, enum image_kind kind, uint64_t id, struct source **out, struct diag *diag)
{
	struct image_source *is = calloc(1, sizeof(*is));
	int ret;

	if (!is)
		return diag_fail(diag, ENOMEM, "out of memory opening pages");
	is->src.ops = &image_source_ops;
	is->src.refs = 1;
	ret = pagemap_read_whole(dir, kind, id, &is->src.map, diag);
	if (ret) {
		free(is);
		return ret;
	}
	ret = page_store_open(dir, &is->src.map, &is->store, diag);
	if (!ret && kind == IMG_PAGEMAP)
		ret = source_read_areas(&is->src, dir, (pid_t)id, diag);
	if (ret) {
		source_put(&is->src);
		return ret;
	}
	*out = &is->src;
	return 0;
}

int source_open_images(struct image_dir *dir, pid_t pid, struct source **out, struct diag *diag)
{
	return open_images(dir, IMG_PAGEMAP, (uint64_t)pid, out, diag);
}

/* The format marks no pages of shared memory as lazy. */
int source_open_shared(struct image_dir *dir, uint64_t number, struct source **out, struct diag *diag)
{
	int ret = open_images(dir, IMG_PAGEMAP_SHMEM, number, out, diag);

	for (size_t i = 0; !ret && i < (*out)->map.nr; i++)
		(*out)->map.runs[i].flags |= PE_LAZY;
	return ret;
}
