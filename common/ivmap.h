/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef THAW_COMMON_IVMAP_H
#define THAW_COMMON_IVMAP_H

#include <stddef.h>
#include <stdint.h>

/*
 * An interval map: disjoint ranges of 64-bit numbers in ascending order, each with a value that advances with the
 * number (the value of start + n is val + n). Neighbours whose values continue each other are one interval.
 *
 * The array is the caller's, of a fixed capacity, so that it can lie in shared memory. An operation that would need
 * more room says -ENOSPC and changes nothing.
 */

struct interval {
	uint64_t start, end; /* [start, end) */
	uint64_t val;	     /* of start */
};

struct ivmap {
	struct interval *v;
	size_t nr, cap;
};

/**
 * ivmap_find() - The interval that holds @at, or the first one behind it
 *
 * Return: index into map->v, or map->nr
 */
size_t ivmap_find(const struct ivmap *map, uint64_t at);

/** ivmap_set() - Map [@start, @end) to @val onwards, in place of what was there. Return: 0, -EINVAL (empty), -ENOSPC */
int ivmap_set(struct ivmap *map, uint64_t start, uint64_t end, uint64_t val);

/** ivmap_clear() - Forget [@start, @end). Return: 0, or -ENOSPC */
int ivmap_clear(struct ivmap *map, uint64_t start, uint64_t end);

/**
 * ivmap_move() - Move what is in [@from, @from + @len) to @to, in place of what was there
 *
 * Source and destination may overlap. Gaps stay gaps.
 *
 * Return: 0, -ENOSPC, or -ENOMEM
 */
int ivmap_move(struct ivmap *map, uint64_t from, uint64_t to, uint64_t len);

#endif
