// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/cleanup.h"
#include "common/util.h"
#include "images/codec.h"
#include "images/store.h"
#include "images/pagestore.h"
#include "images/proto/all.h"

/*
 * Add a run as it is. The array's room follows from the number of runs: 16, and the next power of two from there,
 * so that a pagemap that was read can be appended to as well.
 */
int pagemap_push(struct pagemap *map, struct page_run run)
{
	size_t nr = map->nr;

	if (nr == 0 || (nr >= 16 && !(nr & (nr - 1)))) {
		struct page_run *runs = reallocarray(map->runs, nr ? nr * 2 : 16, sizeof(*runs));

		if (!runs)
			return -ENOMEM;
		map->runs = runs;
	}
	run.index = map->nr_present;
	map->runs[map->nr++] = run;
	if (run.flags & PE_PRESENT)
		map->nr_present += run.nr_pages;
	return 0;
}

int pagemap_append(struct pagemap *map, uint64_t vaddr, uint64_t nr_pages, uint32_t flags)
{
	struct page_run *last = map->nr ? &map->runs[map->nr - 1] : NULL;

	if (!nr_pages)
		return 0;
	if (last && last->flags == flags && last->vaddr + last->nr_pages * PAGE_SIZE == vaddr) {
		last->nr_pages += nr_pages;
		if (flags & PE_PRESENT)
			map->nr_present += nr_pages;
		return 0;
	}
	return pagemap_push(map, (struct page_run){ .vaddr = vaddr, .nr_pages = nr_pages, .flags = flags });
}

/*
 * Flags of an entry. Before they were written, in_parent stood for PE_PARENT, and its absence for PE_PRESENT.
 */
static uint32_t entry_flags(const PagemapEntry *e)
{
	uint32_t flags = e->has_flags ? e->flags : 0;

	if (e->has_in_parent && e->in_parent)
		return flags | PE_PARENT;
	return e->has_flags ? flags : PE_PRESENT;
}

/* What is wrong with a run, or NULL; @end is where the one before it ended. */
static const char *run_fault(const PagemapEntry *e, const struct page_run *run, uint64_t end, uint64_t limit)
{
	if (e->base.n_unknown_fields || (run->flags & ~PAGEMAP_FLAGS))
		return "says more than this Thaw understands; use a newer Thaw";
	if ((run->flags & PE_PARENT) && (run->flags & PE_PRESENT))
		return "is both here and in the parent";
	if (!PAGE_ALIGNED(run->vaddr))
		return "is not aligned to pages";
	if (!run->nr_pages)
		return "has no pages";
	if (run->vaddr >= limit || run->nr_pages > (limit - run->vaddr) / PAGE_SIZE)
		return "leaves the address space";
	if (run->vaddr < end)
		return "overlaps the one before it, or comes too late";
	return NULL;
}

static int read_runs(struct image_reader *r, const char *name, uint64_t limit, struct pagemap *map, struct diag *diag)
{
	uint64_t end = 0;
	PagemapEntry *e;
	int ret;

	while ((ret = image_get(r, &e)) > 0) {
		struct page_run run = { .vaddr = e->vaddr,
					.nr_pages = e->has_nr_pages ? e->nr_pages : e->compat_nr_pages,
					.flags = entry_flags(e) };
		const char *fault = run_fault(e, &run, end, limit);

		image_free(e);
		if (fault)
			return diag_fail(diag, EPROTO, "%s is damaged: run %zu (0x%llx, %llu pages, flags 0x%x) %s",
					 name, map->nr + 1, (unsigned long long)run.vaddr,
					 (unsigned long long)run.nr_pages, run.flags, fault);
		end = run.vaddr + run.nr_pages * PAGE_SIZE;
		ret = pagemap_push(map, run);
		if (ret)
			return diag_fail(diag, ENOMEM, "out of memory for the runs of %s", name);
	}
	return ret;
}

int pagemap_read_from(struct image_reader *r, enum image_kind kind, const char *name, struct pagemap *out,
		      struct diag *diag)
{
	struct pagemap map = { 0 };
	PagemapHead *head;
	int ret = image_get(r, &head);

	if (ret < 0)
		return ret;
	if (ret == 0)
		return diag_fail(diag, EPROTO, "%s is truncated: it has no head; get a whole copy", name);
	map.pages_id = head->pages_id;
	snprintf(map.name, sizeof(map.name), "%s", name);
	image_free(head);
	ret = read_runs(r, name, kind == IMG_PAGEMAP ? PAGEMAP_ADDRESS_END : PAGEMAP_OFFSET_END, &map, diag);
	if (ret)
		pagemap_free(&map);
	else
		*out = map;
	return ret;
}

int pagemap_read(struct image_dir *dir, enum image_kind kind, uint64_t id, struct pagemap *out, struct diag *diag)
{
	struct image_reader *r;
	char name[64];
	int ret = image_open(dir, kind, id, &r, diag);

	if (ret)
		return ret;
	ret = pagemap_read_from(r, kind, image_name(kind, id, name), out, diag);
	image_close(r);
	return ret;
}

static int write_runs(struct image_writer *w, const struct pagemap *map)
{
	PagemapHead head = PAGEMAP_HEAD__INIT;
	int ret;

	head.pages_id = map->pages_id;
	ret = image_put(w, &head);
	for (size_t i = 0; !ret && i < map->nr; i++) {
		const struct page_run *run = &map->runs[i];
		PagemapEntry e = PAGEMAP_ENTRY__INIT;

		e.vaddr = run->vaddr;
		e.compat_nr_pages = (uint32_t)MIN(run->nr_pages, UINT32_MAX);
		e.has_nr_pages = true;
		e.nr_pages = run->nr_pages;
		e.has_flags = true;
		e.flags = run->flags;
		ret = image_put(w, &e);
	}
	return ret;
}

int pagemap_write(struct image_dir *dir, enum image_kind kind, uint64_t id, const struct pagemap *map,
		  struct diag *diag)
{
	struct image_writer *w;
	int ret = image_create(dir, kind, id, &w, diag);

	if (ret)
		return ret;
	ret = write_runs(w, map);
	if (ret) {
		image_abandon(w);
		return ret;
	}
	return image_finish(w);
}

size_t pagemap_find(const struct pagemap *map, uint64_t vaddr)
{
	size_t low = 0, high = map->nr;

	while (low < high) {
		size_t mid = low + (high - low) / 2;
		const struct page_run *run = &map->runs[mid];

		if (run->vaddr + run->nr_pages * PAGE_SIZE > vaddr)
			high = mid;
		else
			low = mid + 1;
	}
	return low;
}

const struct page_run *pagemap_find_page(const struct pagemap *map, uint64_t index)
{
	size_t low = 0, high = map->nr;

	if (index >= map->nr_present)
		return NULL;
	/* The last run that starts at or before it: those without pages in the store start where the next one does. */
	while (high - low > 1) {
		size_t middle = low + (high - low) / 2;

		if (map->runs[middle].index <= index)
			low = middle;
		else
			high = middle;
	}
	return &map->runs[low];
}

void pagemap_free(struct pagemap *map)
{
	free(map->runs);
	if (map->own)
		pagemap_free(map->own);
	if (map->parent)
		pagemap_free(map->parent);
	free(map->own);
	free(map->parent);
	image_dir_close(map->parent_dir);
	*map = (struct pagemap){ 0 };
}
