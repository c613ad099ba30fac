/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef THAW_LAZY_REPLAY_H
#define THAW_LAZY_REPLAY_H

#include <stdbool.h>

#include "images/wset.h"
#include "lazy-pages/space.h"

/*
 * The replay of a recorded working set: its pages are filled ahead of the program, in the order in which they were
 * asked for when it was recorded. Only pages that are where they were dumped: what a program has moved since comes when
 * it is touched.
 */

struct replay {
	struct wset set;
	size_t chunk; /* the next one */
	unsigned bit; /* and the page in it */
	size_t ahead; /* the next chunk to be read into the page cache */
	bool early;   /* its memory is registered before the restore is through */
	bool back;    /* some pages are to be handed out again, once no job has them */
};

/**
 * replay_new() - Read the working set of a space, if there is one
 *
 * Return: 0 with @out set, 0 with NULL when there is none, or -errno with a sentence: it is not to be used
 */
int replay_new(struct replay **out, struct image_dir *dir, const struct space *sp, struct diag *diag);

/** replay_next() - The next pages of the set that are missing; takes NULL. Return: whether there are any */
bool replay_next(struct replay *r, const struct space *sp, struct piece *out);

/** replay_rewind() - An event was in the way of pages from chunk @chunk on: go on from there */
void replay_rewind(struct replay *r, size_t chunk);

/** replay_done() - Has the whole set been handed out? */
bool replay_done(const struct replay *r);

/** replay_free() - Takes NULL */
void replay_free(struct replay *r);

#endif
