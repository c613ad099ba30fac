// SPDX-License-Identifier: GPL-2.0-only
/* The AVX2 half: all that is included here is compiled for it too. */
#pragma GCC target("avx2")

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "images/arch/x86_64/page_hash_avx2.h"

uint64_t page_hash_avx2(const void *page)
{
	return XXH3_64bits(page, 4096);
}
