// SPDX-License-Identifier: GPL-2.0-only
#include "lazy-pages/wire/page_pack.h"

#include <endian.h>
#include <errno.h>
#include <lz4.h>
#include <string.h>
#include <zstd.h>

#include "common/util.h"
#include "images/page_hash.h"

#define ZSTD_LEVEL 1

enum page_codec page_codec_named(const char *name)
{
	return !strcmp(name, "none")   ? PACK_RAW
	       : !strcmp(name, "lz4")  ? PACK_LZ4
	       : !strcmp(name, "zstd") ? PACK_ZSTD
				       : PACK_NR;
}

uint64_t pages_sum(const void *pages, uint64_t nr)
{
	uint64_t sums[PAGE_PACK_MAX];

	for (uint64_t i = 0; i < nr; i++)
		sums[i] = htole64(page_hash((const char *)pages + i * PAGE_SIZE));
	return bytes_hash(sums, nr * sizeof(sums[0]), NULL, 0);
}

static bool is_zero(const char *page)
{
	uint64_t first;

	memcpy(&first, page, sizeof(first));
	return !first && !memcmp(page, page + sizeof(first), PAGE_SIZE - sizeof(first));
}

uint64_t pages_zero(const void *pages, uint64_t nr, bool zero)
{
	uint64_t i = 0;

	while (i < nr && is_zero((const char *)pages + i * PAGE_SIZE) == zero)
		i++;
	return i;
}

/* Return: the bytes in @room, or 0 when they are no fewer than those of the pages */
static size_t compress_pages(enum page_codec codec, const void *pages, size_t len, void *room)
{
	size_t n = 0;

	if (codec == PACK_LZ4) {
		n = (size_t)LZ4_compress_default(pages, room, (int)len, PAGE_PACK_ROOM);
	} else if (codec == PACK_ZSTD) {
		n = ZSTD_compress(room, PAGE_PACK_ROOM, pages, len, ZSTD_LEVEL);
		n = ZSTD_isError(n) ? 0 : n;
	}
	return n < len ? n : 0;
}

const void *page_pack(enum page_codec codec, const void *pages, void *room, struct page_msg *msg)
{
	size_t len = msg->nr_pages * PAGE_SIZE, packed;

	if (pages_zero(pages, 1, true)) {
		msg->flags = PACK_ZERO;
		msg->len = 0;
		return pages;
	}
	packed = compress_pages(codec, pages, len, room);
	msg->flags = packed ? codec : PACK_RAW;
	msg->len = (uint32_t)(PAGE_PACK_SUM + (packed ? packed : len));
	return packed ? room : pages;
}

const char *page_pack_check(const struct page_msg *msg)
{
	size_t len = msg->nr_pages * PAGE_SIZE;

	if (!msg->nr_pages || msg->nr_pages > PAGE_PACK_MAX)
		return "it has no pages, or too many";
	if (msg->flags >= PACK_NR)
		return "its encoding is not known";
	if (msg->flags == PACK_ZERO ? msg->len != 0 : msg->len <= PAGE_PACK_SUM)
		return "its length is wrong";
	if (msg->flags == PACK_RAW ? msg->len != PAGE_PACK_SUM + len : msg->len > PAGE_PACK_SUM + len)
		return "its length is wrong";
	return NULL;
}

int page_unpack(const struct page_msg *msg, const void *packed, void *pages)
{
	const char *bytes = (const char *)packed + PAGE_PACK_SUM;
	size_t len = msg->nr_pages * PAGE_SIZE, packed_len = msg->len - PAGE_PACK_SUM;
	uint64_t sum;

	if (msg->flags == PACK_LZ4 && LZ4_decompress_safe(bytes, pages, (int)packed_len, (int)len) != (int)len)
		return -EBADMSG;
	if (msg->flags == PACK_ZSTD && ZSTD_decompress(pages, len, bytes, packed_len) != len)
		return -EBADMSG;
	memcpy(&sum, packed, sizeof(sum));
	return pages_sum(pages, msg->nr_pages) == le64toh(sum) ? 0 : -EBADMSG;
}
