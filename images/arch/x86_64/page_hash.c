// SPDX-License-Identifier: GPL-2.0-only
#define XXH_INLINE_ALL
#include <sys/platform/x86.h>
#include <xxhash.h>

#include "common/util.h"
#include "images/arch/x86_64/page_hash_avx2.h"
#include "images/page_hash.h"

uint64_t page_hash(const void *page)
{
	return CPU_FEATURE_ACTIVE(AVX2) ? page_hash_avx2(page) : XXH3_64bits(page, PAGE_SIZE);
}

uint64_t bytes_hash(const void *first, size_t len, const void *second, size_t second_len)
{
	XXH3_state_t state;

	XXH3_64bits_reset(&state);
	XXH3_64bits_update(&state, first, len);
	XXH3_64bits_update(&state, second, second_len);
	return XXH3_64bits_digest(&state);
}
