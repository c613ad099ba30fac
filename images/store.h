/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef THAW_IMAGES_STORE_H
#define THAW_IMAGES_STORE_H

#include "images/dir.h"
#include "images/pagestore.h"
#include "images/sums.h"

/*
 * A kind of page store: one const table and one file, store_NAME.c. What a store keeps for itself follows the
 * struct page_writer or struct page_store at the start of its own struct. pagestore.c finds the kind, checks
 * the arguments, and makes and compares the checksums of pages; the operations do as pagestore.h says of the calls with
 * their names.
 */

struct page_writer {
	const struct store_type *type;
	struct image_dir *dir;
	struct diag *diag;
	char name[IMAGE_NAME_MAX]; /* of the file or directory, below @dir */
	uint32_t pages_id;
	struct sums_list sums;
};

struct page_store {
	const struct store_type *type;
	const struct pagemap *map;
	char *path;	   /* of the file or directory, for messages */
	struct sums *sums; /* NULL: pages are not checked */
	bool old_sums;	   /* there are some of another dump */
};

struct store_type {
	const char *name;   /* for page_writer_create() */
	const char *suffix; /* of the file or directory: "pages-<id><suffix>" */
	size_t writer_size; /* bytes to allocate for a writer */
	size_t store_size;  /* and for a store */

	/* Start; the common part is filled. On failure nothing is left behind. */
	int (*create)(struct page_writer *w);
	int (*put)(struct page_writer *w, const struct page_run *runs, size_t nr, const void *data);
	/* Give back what the writer holds, all written pages being in the file. Return: 0, or -errno with a sentence */
	int (*finish)(struct page_writer *w);

	/* Open and check; the common part is filled, @name is there. On failure close() is called. */
	int (*open)(struct page_store *s, int dirfd, const char *name, struct diag *diag);
	int (*get)(struct page_store *s, const struct page_run *run, uint64_t skip, uint64_t nr_pages, void *buf,
		   const void **data, struct diag *diag);
	void (*prefetch)(struct page_store *s, const struct page_run *run, uint64_t skip, uint64_t nr_pages);
	void (*close)(struct page_store *s);
};

/** pagemap_push() - Add a run as it is; its index is set. Return: 0, or -ENOMEM */
int pagemap_push(struct pagemap *map, struct page_run run);

/** page_store_open_chain() - page_store_open() for a pagemap with a parent */
int page_store_open_chain(struct image_dir *dir, const struct pagemap *map, struct page_store **out, struct diag *diag);

extern const struct store_type store_raw;
extern const struct store_type store_files;

#endif
