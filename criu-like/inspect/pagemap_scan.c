// SPDX-License-Identifier: GPL-2.0-only
#include "criu-like/inspect/pagemap_scan.h"

#include <errno.h>
#include <sys/ioctl.h>

#include "common/util.h"

/* include/uapi/linux/fs.h of kernel 6.7; Debian 12's headers are older. */
#ifndef PAGEMAP_SCAN
#define PAGE_IS_FILE (1 << 2)
#define PAGE_IS_PRESENT (1 << 3)
#define PAGE_IS_SWAPPED (1 << 4)
#define PAGE_IS_PFNZERO (1 << 5)
#define PAGE_IS_GUARD (1 << 8) /* kernel 6.15 */

struct page_region {
	uint64_t start, end, categories;
};

struct pm_scan_arg {
	uint64_t size, flags, start, end, walk_end, vec, vec_len, max_pages;
	uint64_t category_inverted, category_mask, category_anyof_mask, return_mask;
};
#define PAGEMAP_SCAN _IOWR('f', 16, struct pm_scan_arg)
#endif

static int append(const struct page_region *region, struct page_range **ranges, size_t *nr, size_t *cap)
{
	struct page_range *last = *nr ? &(*ranges)[*nr - 1] : NULL;
	int ret;

	bool guard = region->categories & PAGE_IS_GUARD;

	if (last && last->end == region->start && last->guard == guard) {
		last->end = region->end;
		return 0;
	}
	ret = grow(ranges, *nr, cap, sizeof(**ranges));
	if (!ret)
		(*ranges)[(*nr)++] = (struct page_range){ region->start, region->end, guard };
	return ret;
}

int pagemap_scan(int fd, uint64_t start, uint64_t end, int file_backed, struct page_range **ranges, size_t *nr,
		 size_t *cap)
{
	struct page_region regions[256];
	struct pm_scan_arg arg = { .size = sizeof(arg),
				   .start = start,
				   .end = end,
				   .vec = (uintptr_t)regions,
				   .vec_len = ARRAY_SIZE(regions),
				   .category_inverted = PAGE_IS_PFNZERO | (file_backed ? PAGE_IS_FILE : 0),
				   .category_anyof_mask = PAGE_IS_PRESENT | PAGE_IS_SWAPPED,
				   .return_mask = PAGE_IS_GUARD };

	/* "Not the zero page (nor the file's)": those categories are inverted, and then required. */
	arg.category_mask = arg.category_inverted;
	while (arg.start < end) {
		int found = ioctl(fd, PAGEMAP_SCAN, &arg);

		if (found < 0 && errno == EINVAL && arg.return_mask) {
			arg.return_mask = 0; /* a kernel that does not tell guard regions, or has none */
			continue;
		}
		if (found < 0)
			return -errno;
		for (int i = 0; i < found; i++) {
			int ret = append(&regions[i], ranges, nr, cap);

			if (ret)
				return ret;
		}
		arg.start = arg.walk_end;
	}
	return 0;
}
