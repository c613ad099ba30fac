/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef THAW_STATE_MM_H
#define THAW_STATE_MM_H

#include "criu-like/process.h"

/* What the kernel remembers of an address space beside its VMAs: code, data, heap and argument limits, auxv, executable
 */

/** mm_dump() - Allocate p->mm and fill it from /proc. Return: 0, or -errno with a sentence */
int mm_dump(struct dump *d, struct process *p);

/** mm_ask() - Append the call that tells the end of the heap */
void mm_ask(struct process *p, struct batch *b);

/** mm_take() - Take its result. Return: 0, or -errno with a sentence */
int mm_take(struct dump *d, struct process *p, const struct batch *b);

/** mm_tell() - Append the call that sets them all (prctl(2), PR_SET_MM_MAP), after the VMAs. Return: 0, or -errno with
 * a sentence */
int mm_tell(struct restore *r, struct process *p, struct batch *b);

#endif
