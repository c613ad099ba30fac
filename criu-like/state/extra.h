/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef THAW_STATE_EXTRA_H
#define THAW_STATE_EXTRA_H

#include "criu-like/process.h"

/** extra_write() - Write the extras of a process's threads, thaw-task-PID. Return: 0, or -errno with a sentence */
int extra_write(struct dump *d, struct process *p);

/** extra_read() - Read them, if there are any. Return: 0, or -errno with a sentence (-EPROTO: damaged or newer) */
int extra_read(struct restore *r, struct process *p);

/** extra_free() - Free what extra_read() has read */
void extra_free(struct process *p);

#endif
