/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef THAW_IMAGES_SUMS_H
#define THAW_IMAGES_SUMS_H

#include <pthread.h>
#include <stddef.h>
#include <stdint.h>

#include "images/dir.h"

/*
 * Checksums of the pages of a store: the file pages-N.sum beside pages-N.img or pages-N.d. It is Thaw's own; CRIU and
 * crit do not look at it, and a store without one is read unchecked.
 *
 *	u32 magic	SUMS_MAGIC
 *	u32 version	SUMS_VERSION; a newer one is refused
 *	u32 pages_id	N
 *	u32 run		of the dump: what sums_run() makes of its number; 0: not said
 *	u64 nr		pages that have a checksum
 *	u64 self	XXH3 of the 24 bytes before and of all that follows
 *	u64 sum[nr]	XXH3 of each page, in the order of the store
 *
 * All numbers are little-endian. The checksum of the file itself need not be right for a page to be taken: a damaged
 * page and a damaged sum both make a difference. It says which of the two it was.
 *
 * Sums of another dump, which CRIU has written its own over, are none of these pages: they are left aside. Those of the
 * dump itself must fit.
 */

#define SUMS_MAGIC 0x54485753u
#define SUMS_VERSION 1

struct sums_header {
	uint32_t magic, version, pages_id, run;
	uint64_t nr, self;
};

/** sums_run() - What stands for the dump that is, or will be, in a directory; 0: it has no number */
uint32_t sums_run(const struct image_dir *dir);

/** sums_name() - The name of the file */
void sums_name(uint32_t pages_id, char buf[static IMAGE_NAME_MAX]);

/* Sums to be written; may be added to by several threads at once. */
struct sums_list {
	pthread_mutex_t lock;
	uint64_t *v; /* little-endian */
	size_t nr, cap;
};

/** sums_add() - Note the sums of pages, the first one being number @index of the store. Return: 0, or -ENOMEM */
int sums_add(struct sums_list *list, uint64_t index, const void *data, uint64_t nr_pages);

/** sums_write() - Write the file, under its temporary name. Return: 0, or -errno with a sentence */
int sums_write(const struct sums_list *list, struct image_dir *dir, uint32_t pages_id, struct diag *diag);

/** sums_free() - Give back what the list holds */
void sums_free(struct sums_list *list);

/* A file of sums, open to read; may be used by several threads at once. */
struct sums;

/**
 * sums_open() - Open a file of sums, and check its header
 * @dirfd: directory that @name is in
 * @path: for messages
 * @out: set to a new object for sums_close()
 *
 * Return: 0, or -errno with a sentence (-EPROTO: foreign, truncated or newer); -ENOENT, without one: no such file
 */
int sums_open(int dirfd, const char *name, const char *path, struct sums **out, struct diag *diag);

/** sums_head() - Its header, the numbers in the CPU's order */
const struct sums_header *sums_head(const struct sums *s);

/** sums_whole() - Is it as it was written? Return: 0, or -EBADMSG with a sentence */
int sums_whole(const struct sums *s, struct diag *diag);

/** sums_good() - How many pages, from the first of @data on, which is number @index of the store, are right? */
uint64_t sums_good(const struct sums *s, uint64_t index, const void *data, uint64_t nr_pages);

/** sums_close() - Close; takes NULL */
void sums_close(struct sums *s);

#endif
