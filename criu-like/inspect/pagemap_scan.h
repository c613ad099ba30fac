/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef THAW_INSPECT_PAGEMAP_SCAN_H
#define THAW_INSPECT_PAGEMAP_SCAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A range of pages, in bytes. */
struct page_range {
	uint64_t start, end;
	bool guard; /* madvise(2) MADV_GUARD_INSTALL: no content, a touch is an error */
};

/**
 * pagemap_scan() - The pages of a range that differ from what backs it, and guard regions (ioctl_pagemap_scan,
 * kernel 6.7)
 * @fd: /proc/PID/pagemap
 * @start, @end: the range, page aligned
 * @file_backed: pages that come from the file do not count
 * @ranges: malloc'ed array, appended to; the caller frees it
 * @nr, @cap: its elements in use and in all
 *
 * Return: 0, or -errno (-ENOTTY: the kernel has no PAGEMAP_SCAN)
 */
int pagemap_scan(int fd, uint64_t start, uint64_t end, int file_backed, struct page_range **ranges, size_t *nr,
		 size_t *cap);

#endif
