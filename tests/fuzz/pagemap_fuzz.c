// SPDX-License-Identifier: GPL-2.0-only
/* Any bytes as a pagemap: what is accepted keeps the promises of struct pagemap. */
#include <stdio.h>
#include <stdlib.h>

#include "common/util.h"
#include "images/codec.h"
#include "tests/fuzz/fuzz.h"

static void check(const struct pagemap *map)
{
	uint64_t end = 0, index = 0;

	for (size_t i = 0; i < map->nr; i++) {
		const struct page_run *run = &map->runs[i];
		uint64_t next = run->vaddr + run->nr_pages * PAGE_SIZE;

		if (!PAGE_ALIGNED(run->vaddr) || run->vaddr < end || next <= run->vaddr || run->index != index)
			abort();
		if (pagemap_find(map, run->vaddr) != i || pagemap_find(map, next - 1) != i)
			abort();
		index += run->flags & PE_PRESENT ? run->nr_pages : 0;
		end = next;
	}
	if (index != map->nr_present)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	FILE *f = size ? fmemopen((void *)data, size, "r") : NULL;
	struct image_reader *r;
	struct pagemap map;
	struct diag diag;
	int ret;

	if (!f)
		return 0;
	diag_init(&diag, -1, DIAG_ERROR);
	ret = image_open_stream(f, size, "input", IMG_PAGEMAP, &r, &diag);
	if (!ret) {
		ret = pagemap_read_from(r, IMG_PAGEMAP, "input", &map, &diag);
		image_close(r);
		if (!ret) {
			check(&map);
			pagemap_free(&map);
		}
	}
	if (ret && !diag.code)
		abort();
	return 0;
}
