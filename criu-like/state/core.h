/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef THAW_STATE_CORE_H
#define THAW_STATE_CORE_H

#include "criu-like/process.h"

/* The core image of each thread: registers, and what the kinds of in-task state put into it. */

/** core_dump_alloc() - Allocate the messages of a process and its threads. Return: 0, or -errno with a sentence */
int core_dump_alloc(struct dump *d, struct process *p);

/**
 * core_dump() - Ask the threads of a frozen process for their state, in one stop
 *
 * Return: 0, or -errno with a sentence; the batch's region may then still be mapped (inject_close())
 */
int core_dump(struct dump *d, struct process *p);

/** core_write() - Write the images of one process, all but its pages. Return: 0, or -errno with a sentence */
int core_write(struct dump *d, struct process *p);

/** core_read() - Read and check the images of one process. Return: 0, or -errno with a sentence */
int core_read(struct restore *r, struct process *p);

/** core_free() - Free what core_read() read */
void core_free(struct process *p);

#endif
