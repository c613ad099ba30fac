/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef THAW_LAZY_FILL_H
#define THAW_LAZY_FILL_H

#include <stdbool.h>
#include <stdint.h>

#include "lazy-pages/space.h"

/* What a filling thread has of its own. */
struct filler {
	void *huge; /* a huge page being put together, NULL: none has been yet */
	void *buf;  /* for sources that decode; FILL_STEP pages */
	struct diag *diag;
	const uint32_t *step; /* pages to be filled at once, 0: stop after the step under way; NULL: FILL_STEP */
};

#define FILL_STEP 64 /* pages that one system call fills at most: 256 KiB, 60 us */

/**
 * filler_init() - Prepare a thread for filling
 *
 * Return: 0, or -ENOMEM
 */
int filler_init(struct filler *f, struct diag *diag, const uint32_t *step);

/** filler_free() - Give its buffer back */
void filler_free(struct filler *f);

/**
 * fill_piece() - Fill missing pages, step by step (any thread)
 * @opening: the gate's opening at which @p was looked up
 * @gated: pass the gate at each step; the owner thread, which alone shuts it, need not
 * @lane: who is to be credited
 *
 * @p is advanced over what is done. A page that cannot be read is poisoned, one whose range is no more is gone.
 *
 * Return: 0 all done, -EAGAIN: look the rest up again once pending events have been read, -ECANCELED: paused, -ESRCH:
 * the process is gone
 */
int fill_piece(struct filler *f, struct space *sp, struct piece *p, uint32_t opening, bool gated,
	       enum shared_lane lane);

/**
 * fill_bad() - The content of the first page of @p cannot be had: never let the process read zeros there
 * @error: -errno, and @why in words
 *
 * Several threads may find it at once: the one that marks it says so.
 *
 * Return: 0, -EAGAIN or -ESRCH
 */
int fill_bad(struct filler *f, struct space *sp, const struct piece *p, int error, const char *why);

/**
 * fill_zero() - A zero page at @addr, and wake who waits for it
 *
 * Return: 0, -EAGAIN or -ESRCH
 */
int fill_zero(struct space *sp, uint64_t addr);

/* All addresses that a process can have. */
#define FILL_LOWEST 0x10000UL
#define FILL_HIGHEST 0x7ffffffff000UL

/** fill_wake() - Wake who waits for [@addr, @addr + @len): the pages are there, or the range is gone */
void fill_wake(const struct space *sp, uint64_t addr, uint64_t len);

/** fill_event_pending() - Is there an event that nobody has read, or whose system call has not gone on yet? */
bool fill_event_pending(const struct space *sp);

/**
 * fill_area() - Is [@start, @end) in one registered area of private memory? Changes nothing
 *
 * Return: 1, 0, or -EAGAIN: an event is under way
 */
int fill_area(const struct space *sp, uint64_t start, uint64_t end);

/** fill_memory_gone() - Has the kernel freed the whole address space? */
bool fill_memory_gone(const struct space *sp);

/** fill_poison_rest() - Make a touch of all that is missing in a space fail. Return: 0 (also when it is gone), or
 * -errno
 */
int fill_poison_rest(const struct space *sp);

/**
 * fill_forbid() - Make a touch of these pages fail, or kill the process where that cannot be
 * @then: set to what comes of it, in words
 *
 * Return: 0, -EAGAIN or -ESRCH
 */
int fill_forbid(struct space *sp, uint64_t addr, uint64_t len, const char **then);

/** fill_poison() - Make a touch of these pages fail. Return: 0, or -errno */
int fill_poison(int uffd, uint64_t addr, uint64_t len);

#endif
