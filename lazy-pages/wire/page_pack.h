/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef THAW_LAZY_PAGE_PACK_H
#define THAW_LAZY_PAGE_PACK_H

#include "lazy-pages/wire/page_wire.h"

/*
 * The pages of a THAW_PAGES message: at most PAGE_PACK_MAX, in one of these encodings (the message's flags). Behind the
 * message come message.len bytes:
 *
 *	PACK_ZERO	none; the pages are zero
 *	else		u64 checksum, then the pages, as they are or compressed as one
 *
 * The checksum is the XXH3 of the pages' XXH3s, each a little-endian u64.
 */
enum page_codec { PACK_RAW, PACK_ZERO, PACK_LZ4, PACK_ZSTD, PACK_NR };

#define PAGE_PACK_MAX 64UL				 /* pages */
#define PAGE_PACK_ROOM (PAGE_PACK_MAX * 4096UL + 2048UL) /* bytes that a codec may need */
#define PAGE_PACK_SUM sizeof(uint64_t)

/** page_codec_named() - The codec that --compress names. Return: it, or PACK_NR */
enum page_codec page_codec_named(const char *name);

/** pages_sum() - The checksum of pages */
uint64_t pages_sum(const void *pages, uint64_t nr);

/** pages_zero() - How many pages from the first on are zero (or, @zero false, are not)? */
uint64_t pages_zero(const void *pages, uint64_t nr, bool zero);

/**
 * page_pack() - Encode pages, none of them zero or all
 * @codec: for pages that are not zero; they go as they are if it does not make them smaller
 * @room: PAGE_PACK_ROOM bytes
 * @msg: its nr_pages are those of @pages; flags and len are set
 *
 * Return: the bytes that go behind the checksum, in @room or @pages
 */
const void *page_pack(enum page_codec codec, const void *pages, void *room, struct page_msg *msg);

/** page_pack_check() - Can a message's pages be unpacked? Return: NULL, or what is wrong */
const char *page_pack_check(const struct page_msg *msg);

/**
 * page_unpack() - Decode what page_pack_check() has found right, and compare the checksum
 * @packed: msg->len bytes, the checksum first; of PACK_RAW only that is looked at, and @pages are there already
 *
 * Return: 0, or -EBADMSG
 */
int page_unpack(const struct page_msg *msg, const void *packed, void *pages);

#endif
