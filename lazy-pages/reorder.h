/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef THAW_LAZY_REORDER_H
#define THAW_LAZY_REORDER_H

#include "lazy-pages/space.h"

/* Events whose order in the queue is not that in which they happened; see reorder.c. All that change the map: between
 * space_begin() and space_commit(), or on a map that is nobody else's yet. */

/** reorder_area() - [@start, @end) is registered. Return: 0, or -ENOSPC */
int reorder_area(struct space *sp, uint64_t start, uint64_t end);

/** reorder_unmap() - UNMAP of [@start, @end). Return: 0, -ENOSPC or -ENOMEM */
int reorder_unmap(struct space *sp, uint64_t start, uint64_t end);

/** reorder_remove() - REMOVE of [@start, @end). Return: as above */
int reorder_remove(struct space *sp, uint64_t start, uint64_t end);

/** reorder_remap() - REMAP of [@from, @from + @len) to @to. Return: as above */
int reorder_remap(struct space *sp, uint64_t from, uint64_t to, uint64_t len);

/** reorder_unsettled() - Is the map not fit to fill from, because events are under way? */
bool reorder_unsettled(const struct space *sp);

/** reorder_settle() - No event is under way: who came last to a place has it. Return: as above */
int reorder_settle(struct space *sp);

/** reorder_known() - Is @addr known to be in a registered area? @end: set to the end of the area, else of the last one
 * below; 0: none */
bool reorder_known(const struct space *sp, uint64_t addr, uint64_t *end);

/** reorder_prune() - Forget of each area what does not lie in an @area() from its start on. Return: as above */
int reorder_prune(struct space *sp, uint64_t (*area)(const struct space *sp, uint64_t start, uint64_t max));

#endif
