/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef THAW_LAZY_HUGE_H
#define THAW_LAZY_HUGE_H

#include "images/huge.h"
#include "lazy-pages/fill.h"

/*
 * Private memory of huge pages (MAP_HUGETLB), 2 MiB at a time. The images have it in pages of 4 KiB, without those that
 * are zero; what the images have of a huge page is missing together and comes together. All functions: any thread.
 */

/** huge_is() - Are the pages of @p in such memory? */
bool huge_is(const struct space *sp, const struct piece *p);

/**
 * huge_fill() - Fill the huge page that the first page of @p is in; @p is advanced to behind it
 *
 * Parameters and return as fill_piece().
 */
int huge_fill(struct filler *f, struct space *sp, struct piece *p, uint32_t opening, bool gated, enum shared_lane lane);

/** huge_around() - Missing pages in the huge page at @addr, though none is at @addr itself. Return: whether there are
 * any, in @out */
bool huge_around(const struct space *sp, uint64_t addr, struct piece *out);

/**
 * huge_anchor() - Fill one huge page in each GiB of areas that are in several
 *
 * Without any, the kernel has no table of pages there, and its mremap(2) loses what is in the next one.
 *
 * Return: 0, -EAGAIN or -ESRCH
 */
int huge_anchor(struct filler *f, struct space *sp);

/** huge_zero() - A huge page of zeroes at @addr, and wake who waits for it. Return: 0, -EAGAIN or -ESRCH */
int huge_zero(struct space *sp, uint64_t addr);

#endif
