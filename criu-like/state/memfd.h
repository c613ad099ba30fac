/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef THAW_STATE_MEMFD_H
#define THAW_STATE_MEMFD_H

#include "criu-like/process.h"

/** memfd_is_name() - Is that how /proc names a memfd? */
bool memfd_is_name(const char *name);

/**
 * memfd_dump_area() - The memfd that a VMA maps
 * @id: set to the id of its entry in files.img
 * @fdflags: set to the open flags that the mapping needs
 *
 * Return: 0, or -errno with a sentence
 */
int memfd_dump_area(struct dump *d, const struct process *p, const struct area *a, uint32_t *id, uint32_t *fdflags);

#endif
