/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef THAW_IMAGES_PAGE_HASH_H
#define THAW_IMAGES_PAGE_HASH_H

#include <stddef.h>
#include <stdint.h>

/* XXH3, 64 bits, seed 0, by what the CPU at hand does fastest: images/arch/. */

/** page_hash() - The checksum of a page of 4096 bytes */
uint64_t page_hash(const void *page);

/** bytes_hash() - The same of @len bytes behind one another in two pieces */
uint64_t bytes_hash(const void *first, size_t len, const void *second, size_t second_len);

#endif
