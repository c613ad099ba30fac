/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef THAW_STATE_CALLS_H
#define THAW_STATE_CALLS_H

#include "criu-like/process.h"

/**
 * calls_restart() - Run a thread into the call that it was interrupted in, with the time that was left
 *
 * When all its state is in place, and the region for batches is still mapped. kind_calls sets its registers then.
 *
 * Return: 0, or -errno with a sentence
 */
int calls_restart(struct restore *r, struct process *p, struct thread *t);

#endif
