// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/util.h"
#include "lazy-pages/source/network.h"

/* The pages that are served count as present: they are what the source has. */
static int served_map(struct pagemap *map)
{
	struct pagemap served = { .pages_id = map->pages_id };

	memcpy(served.name, map->name, sizeof(served.name));
	for (size_t i = 0; i < map->nr; i++) {
		const struct page_run *run = &map->runs[i];
		uint32_t flags =
			run->flags & PE_LAZY && !(run->flags & PE_PARENT) ? run->flags | PE_PRESENT : run->flags;

		if (pagemap_append(&served, run->vaddr, run->nr_pages, flags)) {
			pagemap_free(&served);
			return -ENOMEM;
		}
	}
	pagemap_free(map);
	*map = served;
	return 0;
}

/* Nobody reads from it: pages come as deliveries. */
static int network_source_read(struct source *src, const struct page_run *run, uint64_t skip, uint64_t nr, void *buf,
			       const void **data, struct diag *diag)
{
	return diag_fail(diag, ENODATA, "the page at 0x%llx has not come yet",
			 (unsigned long long)(run->vaddr + skip * PAGE_SIZE));
}

static void network_source_close(struct source *src)
{
	struct network_source *ns = (struct network_source *)src;

	pagemap_free(&src->map);
	free(ns->asked);
	free(ns->dropped);
	free(ns);
}

static const struct source_ops network_source_ops = {
	.name = "network",
	.read = network_source_read,
	.close = network_source_close,
};

/* What is not served is dropped from the start. */
static int make_bits(struct network_source *ns)
{
	size_t words = ns->src.map.nr_present / 64 + 1;

	ns->asked = calloc(words, sizeof(*ns->asked));
	ns->dropped = malloc(words * sizeof(*ns->dropped));
	if (!ns->asked || !ns->dropped)
		return -ENOMEM;
	memset(ns->dropped, 0xff, words * sizeof(*ns->dropped));
	for (size_t i = 0; i < ns->src.map.nr; i++) {
		const struct page_run *run = &ns->src.map.runs[i];

		if (!(run->flags & PE_LAZY) || !(run->flags & PE_PRESENT))
			continue;
		for (uint64_t p = run->index; p < run->index + run->nr_pages; p++)
			ns->dropped[p / 64] &= ~(1ULL << p % 64);
	}
	return 0;
}

int source_open_network(struct image_dir *dir, pid_t pid, struct source **out, struct diag *diag)
{
	struct network_source *ns = calloc(1, sizeof(*ns));
	int ret;

	if (!ns)
		return diag_fail(diag, ENOMEM, "out of memory opening the pages of process %d", pid);
	ns->src.ops = &network_source_ops;
	ns->src.refs = 1;
	ns->id = (uint64_t)pid;
	ret = pagemap_read(dir, IMG_PAGEMAP, (uint64_t)pid, &ns->src.map, diag);
	if (!ret && served_map(&ns->src.map))
		ret = diag_fail(diag, ENOMEM, "out of memory for the pagemap of process %d", pid);
	if (!ret && make_bits(ns))
		ret = diag_fail(diag, ENOMEM, "out of memory for the pages of process %d", pid);
	if (!ret)
		ret = source_read_areas(&ns->src, dir, pid, diag);
	if (ret)
		source_put(&ns->src);
	else
		*out = &ns->src;
	return ret;
}
