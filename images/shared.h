/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef THAW_IMAGES_SHARED_H
#define THAW_IMAGES_SHARED_H

#include <stdbool.h>

#include "images/proto/all.h"
#include "images/vma_status.h"

/** shared_is_anonymous() - Is the VMA shared memory without a name, other than a System V segment? */
static inline bool shared_is_anonymous(const VmaEntry *v)
{
	return v->status & VMA_ANON_SHARED && !(v->status & VMA_SYSVIPC);
}

#endif
