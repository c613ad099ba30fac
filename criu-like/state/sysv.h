/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef THAW_STATE_SYSV_H
#define THAW_STATE_SYSV_H

#include "criu-like/process.h"

/* System V shared memory: segments with a number and perhaps a key, which outlive those who attach them (shmat(2)). */

/** sysv_is_area() - Is the area an attached segment? */
bool sysv_is_area(const struct area *a);

/**
 * sysv_dump_area() - Note the segment that an area attaches
 * @shmid: set to its number
 *
 * Return: 0, or -errno with a sentence
 */
int sysv_dump_area(struct dump *d, const struct process *p, const struct area *a, uint64_t *shmid);

/** sysv_write() - Write the image of all segments noted. Return: 0, or -errno with a sentence */
int sysv_write(struct dump *d);

/** sysv_dump_free() - Free the notes */
void sysv_dump_free(struct dump *d);

/**
 * sysv_restore() - Make, or take, the segments of the images and fill them
 *
 * Return: 0, or -errno with a sentence (-EBUSY: a segment has that number or key and is not ours)
 */
int sysv_restore(struct restore *r);

/**
 * sysv_tell() - Append the calls that attach the segments of a task, before its other VMAs are mapped
 *
 * Return: 0, or -errno with a sentence
 */
int sysv_tell(struct restore *r, const struct process *p, struct batch *b);

/**
 * sysv_tell_detach() - Append the calls by which a copy of this process detaches the segments that were attached here
 * @b: NULL: only count
 *
 * Return: how many at most
 */
size_t sysv_tell_detach(const struct restore *r, struct batch *b);

/** sysv_close() - Let go of the segments; @failed: remove those that were made for this restore */
void sysv_close(struct restore *r, bool failed);

#endif
