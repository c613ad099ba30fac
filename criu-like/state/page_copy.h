/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef THAW_STATE_PAGE_COPY_H
#define THAW_STATE_PAGE_COPY_H

#include "common/diag.h"
#include "criu-like/inspect/pagemap_scan.h"
#include "images/pagestore.h"
#include "lazy-pages/wire/page_stream.h"

/* Pages to copy into a store, with what they may be. */
struct copy_range {
	uint64_t start, end; /* bytes, in the descriptor that they are read from */
	uint32_t flags;	     /* PE_*; without PE_PRESENT they are noted in the pagemap only */
	bool skip_zero;	     /* pages of zeroes need not be kept: what backs them is zero */
};

struct page_copy {
	int fd;		  /* /proc/PID/mem, or a shared memory object */
	bool is_file;	  /* it may end inside its last page, whose rest is zero */
	const char *what; /* for messages */
	const struct copy_range *ranges;
	size_t nr;
	struct pagemap *map; /* appended to */
	struct page_writer *out;
	/* The same memory in earlier images, NULL: none. What has not changed since becomes PE_PARENT. */
	const struct pagemap *old_map;
	struct page_store *old;
	struct page_stream *stream;	   /* to a page server, in place of @out */
	int (*interrupted)(void *context); /* asked between pieces; may be NULL */
	void *context;
	struct diag *diag;
};

/**
 * page_copy_run() - Copy ranges of pages into a store, by two threads where that pays
 *
 * Return: 0, or -errno with a sentence
 */
int page_copy_run(struct page_copy *copy);

#endif
