/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef THAW_STATE_AIO_H
#define THAW_STATE_AIO_H

#include "criu-like/process.h"

/*
 * Contexts of asynchronous I/O, io_setup(2). To the program a context is the address of a ring of events, which the
 * kernel maps; a restore makes one of the same size, moves it there, and brings it to where it stood.
 */

/** aio_is_area() - Is it such a ring? */
bool aio_is_area(const struct area *a);

/** aio_dump_area() - Note the ring @a, whose VMA is @v. Return: 0, or -errno with a sentence */
int aio_dump_area(struct dump *d, struct process *p, const struct area *a, VmaEntry *v);

/** aio_room() - Room in a batch for aio_tell(): @records and @bytes are added to */
void aio_room(const struct process *p, size_t *records, size_t *bytes);

/** aio_tell() - Append the calls that make the rings, while no other memory is mapped. Return: 0, or -errno with a
 * sentence */
int aio_tell(struct restore *r, struct process *p, struct batch *b);

/**
 * aio_fill() - Put events into a ring that has been made
 * @addr, @data, @len: pages of it as they were
 *
 * Return: 0, or -errno with a sentence
 */
int aio_fill(struct restore *r, const struct process *p, const VmaEntry *v, uint64_t addr, const void *data,
	     size_t len);

#endif
