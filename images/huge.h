/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef THAW_IMAGES_HUGE_H
#define THAW_IMAGES_HUGE_H

#include <linux/mman.h>
#include <stdbool.h>
#include <sys/mman.h>

#include "images/proto/all.h"
#include "images/vma_status.h"

#define HUGE_PAGE (2UL << 20)

/** huge_can_be_lazy() - Is the VMA private memory of huge pages that a lazy-pages server can fill? */
static inline bool huge_can_be_lazy(const VmaEntry *v)
{
	uint32_t shift = v->flags >> MAP_HUGE_SHIFT & MAP_HUGE_MASK; /* 0: the default */

	return v->status & VMA_ANON_PRIVATE && v->flags & MAP_HUGETLB && !(v->flags & (MAP_SHARED | MAP_LOCKED)) &&
	       1UL << shift == HUGE_PAGE && !(v->start % HUGE_PAGE) && !(v->end % HUGE_PAGE);
}

#endif
