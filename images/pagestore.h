/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef THAW_IMAGES_PAGESTORE_H
#define THAW_IMAGES_PAGESTORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/diag.h"
#include "images/image.h"

/*
 * Page contents, behind one interface, so that dump, restore and the lazy-pages server know nothing of how they are
 * kept. A *pagemap* says which pages of an address space are in the images, as runs; a *page store* holds their bytes.
 *
 * Stores: "raw" (pages-N.img as CRIU lays it out: the pages of all runs with PE_PRESENT, in order, nothing between) and
 * "files" (a directory pages-N.d, a gzip file for each page, named by its address in hexadecimal); and the chain of a
 * directory with its parents. Later ones (compressed blocks, deduplicated) fit behind the same calls. Beside a store is
 * a file with a checksum for each page, images/sums.h; a page is checked when it is loaded.
 */

/* Flags of a pagemap entry, as in the format. */
#define PE_PARENT (1u << 0)  /* the content is in the parent images */
#define PE_LAZY (1u << 1)    /* may be restored lazily */
#define PE_PRESENT (1u << 2) /* the content is in this store; without PE_PARENT and PE_PRESENT the pages are zero */

/* No run reaches beyond these. */
#define PAGEMAP_ADDRESS_END (1ULL << 56) /* the largest address space of x86-64, with five levels of page tables */
#define PAGEMAP_OFFSET_END ((uint64_t)INT64_MAX) /* the largest file */
#define PAGEMAP_FLAGS (PE_PARENT | PE_LAZY | PE_PRESENT)

struct page_run {
	uint64_t vaddr;	   /* first byte; for shared memory the offset in it */
	uint64_t nr_pages; /* pages of 4096 bytes */
	uint64_t index;	   /* number, in the store, of the first page: runs before it hold that many present pages */
	uint32_t flags;	   /* PE_* */
	/* In a pagemap of pagemap_read_whole() that has a parent, whose pages are numbered through: */
	uint32_t level;	 /* 0: in this directory's own store, 1: in the parent's */
	uint64_t origin; /* its number there */
};

struct pagemap {
	uint32_t pages_id;     /* names the store: pages-<id>.img */
	struct page_run *runs; /* ascending, not overlapping, aligned */
	size_t nr;
	uint64_t nr_present; /* pages in the store */
	char name[64];	     /* of the image that it was read from, for messages */
	/* Of pagemap_read_whole() where pages are in a parent; else NULL. Owned. */
	struct image_dir *parent_dir;
	struct pagemap *own, *parent; /* as the image has it, and the parent's, whole */
};

/**
 * pagemap_read() - Read and check a pagemap
 * @kind: IMG_PAGEMAP or IMG_PAGEMAP_SHMEM
 * @id: pid or shmid
 * @out: filled; free with pagemap_free()
 *
 * Return: 0, or -errno with a sentence (-EPROTO: unaligned, overlapping, out of order, out of the address space)
 */
int pagemap_read(struct image_dir *dir, enum image_kind kind, uint64_t id, struct pagemap *out, struct diag *diag);

/**
 * pagemap_read_whole() - As pagemap_read(), with the pages of the parent images in the place of PE_PARENT
 *
 * The pagemap and its store are used like any other.
 *
 * Return: 0, or -errno with a sentence (-EPROTO also: there is no parent, or it lacks pages)
 */
int pagemap_read_whole(struct image_dir *dir, enum image_kind kind, uint64_t id, struct pagemap *out,
		       struct diag *diag);

/** pagemap_write() - Write the image of @map. Return: 0, or -errno with a sentence */
int pagemap_write(struct image_dir *dir, enum image_kind kind, uint64_t id, const struct pagemap *map,
		  struct diag *diag);

/** pagemap_append() - Add pages at the end, merged with the last run where they continue it; sets the index. Return: 0,
 * or -ENOMEM */
int pagemap_append(struct pagemap *map, uint64_t vaddr, uint64_t nr_pages, uint32_t flags);

/**
 * pagemap_find() - The run that holds @vaddr, or the first one behind it
 *
 * Return: index into map->runs, or map->nr
 */
size_t pagemap_find(const struct pagemap *map, uint64_t vaddr);

/**
 * pagemap_find_page() - The run that holds page number @index of the store
 *
 * Return: it, or NULL when the store has no such page
 */
const struct page_run *pagemap_find_page(const struct pagemap *map, uint64_t index);

/** pagemap_free() - Free the runs */
void pagemap_free(struct pagemap *map);

/* Writing. A writer may be used by several threads at once, each with pages of its own. */
struct page_writer;

/**
 * page_writer_create() - Start a store
 * @store: "raw" or "files"
 * @pages_id: its number
 *
 * Return: 0, or -errno with a sentence (-EINVAL: no such store)
 */
int page_writer_create(struct image_dir *dir, const char *store, uint32_t pages_id, struct page_writer **out,
		       struct diag *diag);

/**
 * page_writer_put() - Store whole pages
 * @runs: which they are; the flags do not matter. Each run's index continues the one before it, so that together they
 *	are one piece of the store
 * @nr: runs
 * @data: the pages of all runs, nothing between
 *
 * Return: 0, or -errno with a sentence
 */
int page_writer_put(struct page_writer *w, const struct page_run *runs, size_t nr, const void *data);

/** page_writer_finish() - Flush and close; takes NULL. Return: 0, or -errno with a sentence */
int page_writer_finish(struct page_writer *w);

/** page_writer_abandon() - Close and remove, for error paths; takes NULL */
void page_writer_abandon(struct page_writer *w);

/* Reading. A store may be used by several threads at once. */
struct page_store;

/**
 * page_store_open() - Open the store of a pagemap, whichever kind it is, and check that it holds all present pages
 * @map: the pagemap, kept by the caller until page_store_close()
 *
 * Pages will be checked against their checksums, unless there are none or image_dir_trust_pages() was called.
 *
 * Return: 0, or -errno with a sentence (a missing or short pages file is named)
 */
int page_store_open(struct image_dir *dir, const struct pagemap *map, struct page_store **out, struct diag *diag);

/**
 * page_store_get() - The content of pages of one run
 * @run: a run of the pagemap, with PE_PRESENT
 * @skip: pages of the run before the first wanted
 * @nr_pages: pages wanted, @skip + @nr_pages at most run->nr_pages
 * @buf: room for them, used when the store has to decode; page aligned
 * @data: set to @buf, or to the pages in the store's own mapping, valid until page_store_close()
 *
 * Return: 0, or -errno with a sentence that names file, offset and address (-EBADMSG: a page is not what was written)
 */
int page_store_get(struct page_store *s, const struct page_run *run, uint64_t skip, uint64_t nr_pages, void *buf,
		   const void **data, struct diag *diag);

/** page_store_has_old_sums() - Are there checksums that belong to another dump, and pages taken without? */
bool page_store_has_old_sums(const struct page_store *s);

/** page_store_check_sums() - Is the file of checksums itself as it was written? Return: 0, or -EBADMSG with a sentence
 */
int page_store_check_sums(const struct page_store *s, struct diag *diag);

/** page_store_prefetch() - Ask for pages to be read into the page cache soon; never fails */
void page_store_prefetch(struct page_store *s, const struct page_run *run, uint64_t skip, uint64_t nr_pages);

/** page_store_close() - Close; takes NULL */
void page_store_close(struct page_store *s);

#endif
