/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef THAW_IMAGES_WSET_H
#define THAW_IMAGES_WSET_H

#include <stddef.h>
#include <stdint.h>

#include "images/dir.h"
#include "images/pagestore.h"

/*
 * The working set of a page store: which of its pages a restored process asked for by touching them, and in which
 * order, coarsely. The lazy-pages server records it (--record) in the file pages-N.wset beside pages-N.img, and fills
 * these pages ahead at the next restore. It is Thaw's own; CRIU and crit do not look at it.
 *
 *	u32 magic	WSET_MAGIC
 *	u32 version	WSET_VERSION; another one is not read
 *	u32 pages_id	N
 *	u32 0
 *	u64 identity	of the images that it was recorded from, wset_identity()
 *	u64 nr_pages	in the store
 *	u64 nr		chunks
 *	u64 self	XXH3 of the 40 bytes before and of all that follows
 *	{ u64 number, u64 pages } chunk[nr]
 *
 * All numbers are little-endian. Chunk n is pages [n * 64, (n + 1) * 64) of the store; bit i of its pages says that the
 * i-th belongs to the set. Chunks are in the order of the first touch of any of their pages.
 */

#define WSET_MAGIC 0x54485758u
#define WSET_VERSION 1
#define WSET_CHUNK 64u /* pages */

struct wset_header {
	uint32_t magic, version, pages_id, zero;
	uint64_t identity, nr_pages, nr, self;
};

struct wset_chunk {
	uint64_t number;
	uint64_t pages; /* bits */
};

struct wset {
	struct wset_chunk *chunks;
	size_t nr;
};

/** wset_name() - The name of the file */
void wset_name(uint32_t pages_id, char buf[static IMAGE_NAME_MAX]);

/**
 * wset_identity() - A number that tells images from all others: of the inventory, the pagemap and, where there are any,
 * the pages' checksums
 *
 * Return: 0, or -errno with a sentence
 */
int wset_identity(struct image_dir *dir, const struct pagemap *map, uint64_t *identity, struct diag *diag);

/**
 * wset_read() - Read the working set of @map's store
 * @out: filled; free with wset_free()
 *
 * Return: 0, -ENOENT without a sentence when there is none, or -errno with one (-EPROTO: damaged, or of another
 * version; -ESTALE: of other images)
 */
int wset_read(struct image_dir *dir, const struct pagemap *map, struct wset *out, struct diag *diag);

/** wset_write() - Write it, in place of an earlier one, at one stroke. Return: 0, or -errno with a sentence */
int wset_write(struct image_dir *dir, const struct pagemap *map, const struct wset *set, struct diag *diag);

/** wset_pages() - How many pages are in it */
uint64_t wset_pages(const struct wset *set);

/**
 * wset_next() - The pages that follow each other, from bit @from of a chunk on
 * @first: set to the number of the first one in the store
 *
 * Return: how many, 0 at the chunk's end
 */
unsigned wset_next(const struct wset_chunk *chunk, unsigned from, uint64_t *first);

/** wset_free() - Give back its memory */
void wset_free(struct wset *set);

#endif
