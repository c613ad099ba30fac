/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef THAW_LAZY_REORDER_H
#define THAW_LAZY_REORDER_H

#include "lazy-pages/space.h"

/* Events whose order in the queue is not that in which they happened; see reorder.c. Between space_begin() and
 * space_commit(). */

/** reorder_unmap() - UNMAP of [@start, @end). Return: 0, -ENOSPC or -ENOMEM */
int reorder_unmap(struct space *sp, uint64_t start, uint64_t end);

/** reorder_remove() - REMOVE of [@start, @end). Return: as above */
int reorder_remove(struct space *sp, uint64_t start, uint64_t end);

/** reorder_remap() - REMAP; @batch: number of the read() that it came with. Return: as above */
int reorder_remap(struct space *sp, uint64_t from, uint64_t to, uint64_t len, uint64_t batch);

/** reorder_unsure() - May an event come that happened before one that has come already? */
bool reorder_unsure(const struct space *sp);

/** reorder_aside() - Is the map not fit to fill from, because something waits for its place? */
bool reorder_aside(const struct space *sp);

/** reorder_settle() - No event is under way: what is aside takes its place. Return: as above */
int reorder_settle(struct space *sp);

#endif
