/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef THAW_STATE_PAGES_H
#define THAW_STATE_PAGES_H

#include "criu-like/process.h"

/**
 * pages_dump() - Write the pages of a frozen process that differ from what backs them, and their pagemap
 * @p: with areas, mm and mem_fd
 *
 * With --lazy-pages those that can be served later are only noted in the pagemap, and p->pagemap says which they are.
 *
 * Return: 0, or -errno with a sentence
 */
int pages_dump(struct dump *d, struct process *p);

/**
 * pages_restore() - Fill the memory of a stopped task from the images
 * @lazy: leave to the server what it can fill: runs marked so, in areas that are registered
 *
 * Return: 0, or -errno with a sentence
 */
int pages_restore(struct restore *r, struct process *p, bool lazy);

#endif
