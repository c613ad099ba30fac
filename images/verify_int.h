/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef THAW_IMAGES_VERIFY_INT_H
#define THAW_IMAGES_VERIFY_INT_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "images/image.h"
#include "images/pagestore.h"

/* What the parts of the verifier share: verify.c, verify_files.c, verify_process.c. */

/* A set of numbers, ascending. */
struct set {
	uint64_t *v;
	size_t nr, cap;
};

bool set_has(const struct set *s, uint64_t n);

struct verify {
	struct image_dir *dir;
	FILE *out;
	int faults;
	bool out_of_memory;

	struct set files;	     /* FILE_KEY(type, id) of each open file */
	struct set file_ids;	     /* their ids alone */
	struct set pipes;	     /* pipe ids */
	struct set fifos;	     /* pipe ids of FIFOs */
	struct set ttys;	     /* of tty-info.img */
	struct set inodes;	     /* of memfd.img */
	struct set pids;	     /* of pstree.img */
	struct set shmems;	     /* of VMAs that were checked */
	struct set vms, fss, tables; /* objects that a process before had images for: mm, fs, fdinfo */
	uint64_t nr_filters;	     /* of seccomp.img */
};

#define FILE_KEY(type, id) ((uint64_t)(type) << 32 | (id))

void set_add(struct verify *v, struct set *s, uint64_t n);

/* Say what is wrong and count it. */
void fault(struct verify *v, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

typedef void (*entry_fn)(struct verify *v, const char *name, const void *msg);

/* Call @fn for each entry of an image, faults in it are counted. @must: it is a fault when there is none. */
void each_entry(struct verify *v, enum image_kind kind, uint64_t id, bool must, entry_fn fn);

/* The one entry of an image, for image_free(), or NULL after counting the fault. */
void *the_entry(struct verify *v, enum image_kind kind, uint64_t id);

/* Check a pagemap alone, with its pages file. Return: true when @map was filled */
bool check_pagemap(struct verify *v, enum image_kind kind, uint64_t id, struct pagemap *map);

/* Check what pages there are against their checksums, and those against theirs. */
void check_pages(struct verify *v, const struct pagemap *map, struct page_store *store);

void load_files(struct verify *v);	/* fill the sets from files.img and the like */
void check_files(struct verify *v);	/* and follow what leads from one to another */
void check_processes(struct verify *v); /* follow all that leads from pstree.img */

#endif
