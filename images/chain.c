// SPDX-License-Identifier: GPL-2.0-only
/*
 * Chains of dumps.
 *
 * What had not changed since an earlier dump is not in the images of a later one: the runs say PE_PARENT, and the link
 * `parent` in the directory leads to the earlier images, which can have a parent as well. pagemap_read_whole() cuts
 * such runs to those of the parent, itself read whole, and numbers all pages anew, as if they were in one store; where
 * a page really is, its run knows (level and origin). The store of such a pagemap hands each request on to one of two:
 * that of the directory's own pages, and the parent's.
 */
#include <errno.h>
#include <stdlib.h>

#include "common/cleanup.h"
#include "common/util.h"
#include "images/codec.h"
#include "images/store.h"

#define OWN 0
#define PARENT 1

/* The pages of @run, which the parent has. */
static int add_from_parent(struct pagemap *map, const struct page_run *run, struct diag *diag)
{
	const struct pagemap *parent = map->parent;
	uint64_t at = run->vaddr, end = run->vaddr + run->nr_pages * PAGE_SIZE;

	while (at < end) {
		size_t i = pagemap_find(parent, at);
		const struct page_run *from = i < parent->nr ? &parent->runs[i] : NULL;
		struct page_run piece = { .vaddr = at, .level = PARENT };
		uint64_t to;

		if (!from || from->vaddr > at)
			return diag_fail(
				diag, EPROTO,
				"%s: the page at 0x%llx is in the parent images, and these do not have it; get "
				"all images of the chain",
				map->name, (unsigned long long)at);
		if (!(from->flags & PE_PRESENT) && from->flags & PE_LAZY)
			return diag_fail(diag, EOPNOTSUPP,
					 "%s: the page at 0x%llx was left at the source of the parent images",
					 map->name, (unsigned long long)at);
		to = MIN(end, from->vaddr + from->nr_pages * PAGE_SIZE);
		piece.nr_pages = (to - at) / PAGE_SIZE;
		piece.flags = from->flags;
		piece.origin = from->index + (at - from->vaddr) / PAGE_SIZE;
		if (pagemap_push(map, piece))
			return diag_fail(diag, ENOMEM, "out of memory for the runs of %s", map->name);
		at = to;
	}
	return 0;
}

static int resolve(struct pagemap *map, struct diag *diag)
{
	for (size_t i = 0; i < map->own->nr; i++) {
		struct page_run run = map->own->runs[i];
		int ret;

		run.origin = run.index;
		ret = run.flags & PE_PARENT ? add_from_parent(map, &run, diag) : pagemap_push(map, run);
		if (ret)
			return ret;
	}
	return 0;
}

static bool needs_parent(const struct pagemap *map)
{
	for (size_t i = 0; i < map->nr; i++)
		if (map->runs[i].flags & PE_PARENT)
			return true;
	return false;
}

int pagemap_read_whole(struct image_dir *dir, enum image_kind kind, uint64_t id, struct pagemap *out, struct diag *diag)
{
	struct pagemap map = { 0 };
	int ret = pagemap_read(dir, kind, id, &map, diag);

	if (ret || !needs_parent(&map)) {
		if (!ret)
			*out = map;
		return ret;
	}
	*out = (struct pagemap){ .pages_id = map.pages_id };
	snprintf(out->name, sizeof(out->name), "%s", map.name);
	out->own = calloc(1, sizeof(*out->own));
	out->parent = calloc(1, sizeof(*out->parent));
	if (!out->own || !out->parent)
		ret = diag_fail(diag, ENOMEM, "out of memory for the runs of %s", map.name);
	if (out->own)
		*out->own = map;
	else
		pagemap_free(&map);
	if (!ret)
		ret = image_dir_open_parent(dir, &out->parent_dir, diag);
	if (!ret)
		ret = pagemap_read_whole(out->parent_dir, kind, id, out->parent, diag);
	if (!ret)
		ret = resolve(out, diag);
	if (ret)
		pagemap_free(out);
	return ret;
}

struct chain_store {
	struct page_store base;
	struct page_store *level[2];
};

static struct page_store *find(struct page_store *s, const struct page_run *run, uint64_t skip,
			       const struct page_run **there)
{
	const struct chain_store *cs = (struct chain_store *)s;

	*there = pagemap_find_page(run->level == PARENT ? s->map->parent : s->map->own, run->origin + skip);
	return cs->level[run->level == PARENT];
}

static int chain_get(struct page_store *s, const struct page_run *run, uint64_t skip, uint64_t nr_pages, void *buf,
		     const void **data, struct diag *diag)
{
	const struct page_run *there;
	struct page_store *store = find(s, run, skip, &there);

	return page_store_get(store, there, run->origin + skip - there->index, nr_pages, buf, data, diag);
}

static void chain_prefetch(struct page_store *s, const struct page_run *run, uint64_t skip, uint64_t nr_pages)
{
	const struct page_run *there;
	struct page_store *store = find(s, run, skip, &there);

	page_store_prefetch(store, there, run->origin + skip - there->index, nr_pages);
}

static void chain_close(struct page_store *s)
{
	struct chain_store *cs = (struct chain_store *)s;

	page_store_close(cs->level[OWN]);
	page_store_close(cs->level[PARENT]);
}

static const struct store_type store_chain = {
	.name = "chain",
	.get = chain_get,
	.prefetch = chain_prefetch,
	.close = chain_close,
};

int page_store_open_chain(struct image_dir *dir, const struct pagemap *map, struct page_store **out, struct diag *diag)
{
	struct chain_store *cs = calloc(1, sizeof(*cs));
	int ret;

	if (!cs)
		return diag_fail(diag, ENOMEM, "out of memory");
	cs->base.type = &store_chain;
	cs->base.map = map;
	ret = page_store_open(dir, map->own, &cs->level[OWN], diag);
	if (!ret)
		ret = page_store_open(map->parent_dir, map->parent, &cs->level[PARENT], diag);
	if (ret) {
		page_store_close(&cs->base);
		return ret;
	}
	cs->base.old_sums = page_store_has_old_sums(cs->level[OWN]) || page_store_has_old_sums(cs->level[PARENT]);
	*out = &cs->base;
	return 0;
}
