/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef THAW_LAZY_SOURCE_H
#define THAW_LAZY_SOURCE_H

#include <stdint.h>
#include <sys/types.h>

#include "common/diag.h"
#include "images/pagestore.h"

/*
 * A page source: where the pages of one process's memory come from. Whatever it is, it knows its pagemap from the
 * start; a run's present pages are then asked for by any thread.
 */

struct source;

struct source_ops {
	const char *name;
	/* The pages' content: in @buf, or in the source's own memory. As page_store_get(). */
	int (*read)(struct source *src, const struct page_run *run, uint64_t skip, uint64_t nr, void *buf,
		    const void **data, struct diag *diag);
	/* These pages are wanted soon. Never fails. */
	void (*prefetch)(struct source *src, const struct page_run *run, uint64_t skip, uint64_t nr);
	/* These pages will never be asked for again; NULL: does not care. */
	void (*forget)(struct source *src, const struct page_run *run, uint64_t skip, uint64_t nr);
	void (*close)(struct source *src);
};

struct source_area {
	uint64_t start, end;
};

/* A part of an object of shared memory. */
struct source_share {
	uint64_t start, end;
	uint64_t number, offset; /* the object's, and of start in it */
};

struct source {
	const struct source_ops *ops;
	struct pagemap map;
	struct source_area *areas; /* private anonymous memory: what the restore may have registered */
	size_t nr_areas;
	struct source_area *huge; /* those of huge pages that can be lazy */
	size_t nr_huge;
	struct source_share *shares; /* shared anonymous memory */
	size_t nr_shares;
	unsigned refs; /* spaces that use it; the owner thread's */
};

/**
 * source_open_images() - The source that reads a directory of images
 * @dir: kept by the caller until the close
 * @pid: process, as the images number it
 * @out: set to a source with one reference
 *
 * Return: 0, or -errno with a sentence in @diag
 */
int source_open_images(struct image_dir *dir, pid_t pid, struct source **out, struct diag *diag);

/**
 * source_read_areas() - Fill @src's areas from the mm image of a process; without the image there are none
 *
 * Return: 0, or -errno with a sentence in @diag
 */
int source_read_areas(struct source *src, struct image_dir *dir, pid_t pid, struct diag *diag);

/** source_open_shared() - The source of the object of shared memory with that number. Return: as source_open_images()
 */
int source_open_shared(struct image_dir *dir, uint64_t number, struct source **out, struct diag *diag);

/** source_put() - Drop a reference, and close the source with the last one; takes NULL */
void source_put(struct source *src);

#endif
