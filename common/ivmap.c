// SPDX-License-Identifier: GPL-2.0-only
#include "common/ivmap.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "common/util.h"

size_t ivmap_find(const struct ivmap *map, uint64_t at)
{
	size_t lo = 0, hi = map->nr;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (map->v[mid].end <= at)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

static bool continues(const struct interval *a, const struct interval *b)
{
	return a->end == b->start && a->val + (a->end - a->start) == b->val;
}

/* Put @nr intervals in place of the elements [@first, @last). */
static int splice(struct ivmap *map, size_t first, size_t last, const struct interval *with, size_t nr)
{
	size_t tail = map->nr - last;

	if (first + nr + tail > map->cap)
		return -ENOSPC;
	memmove(map->v + first + nr, map->v + last, tail * sizeof(*map->v));
	memcpy(map->v + first, with, nr * sizeof(*with));
	map->nr = first + nr + tail;
	return 0;
}

/*
 * Replace [start, end) by @mid (NULL: by nothing). What sticks out of the range on either side stays, and @mid melts
 * with a neighbour that continues it.
 */
static int replace(struct ivmap *map, uint64_t start, uint64_t end, const struct interval *mid)
{
	size_t first = ivmap_find(map, start), last = first, nr = 0;
	struct interval with[3];

	if (first < map->nr && map->v[first].start < start) {
		with[nr] = map->v[first];
		with[nr++].end = start;
	} else if (mid && first > 0 && continues(&map->v[first - 1], mid)) {
		with[nr++] = map->v[--first];
	}
	if (mid && nr && continues(&with[nr - 1], mid))
		with[nr - 1].end = end;
	else if (mid)
		with[nr++] = *mid;

	while (last < map->nr && map->v[last].start < end)
		last++;
	if (last > first && map->v[last - 1].end > end) {
		struct interval rest = map->v[last - 1];

		rest.val += end - rest.start;
		rest.start = end;
		if (mid && continues(&with[nr - 1], &rest))
			with[nr - 1].end = rest.end;
		else
			with[nr++] = rest;
	} else if (mid && last < map->nr && continues(&with[nr - 1], &map->v[last])) {
		with[nr - 1].end = map->v[last++].end;
	}
	return splice(map, first, last, with, nr);
}

int ivmap_set(struct ivmap *map, uint64_t start, uint64_t end, uint64_t val)
{
	struct interval mid = { start, end, val };

	return start < end ? replace(map, start, end, &mid) : -EINVAL;
}

int ivmap_clear(struct ivmap *map, uint64_t start, uint64_t end)
{
	return start < end ? replace(map, start, end, NULL) : 0;
}

int ivmap_move(struct ivmap *map, uint64_t from, uint64_t to, uint64_t len)
{
	size_t first = ivmap_find(map, from), last = first, nr;
	struct interval *moved;

	while (last < map->nr && map->v[last].start < from + len)
		last++;
	nr = last - first;
	if (map->nr + nr + 2 > map->cap) /* each moved one, and the rests of two that are cut */
		return -ENOSPC;
	moved = malloc((nr + 1) * sizeof(*moved));
	if (!moved)
		return -ENOMEM;
	for (size_t i = 0; i < nr; i++) {
		struct interval iv = map->v[first + i];
		uint64_t start = MAX(iv.start, from), end = MIN(iv.end, from + len);

		moved[i] = (struct interval){ to + (start - from), to + (end - from), iv.val + (start - iv.start) };
	}
	ivmap_clear(map, from, from + len);
	ivmap_clear(map, to, to + len);
	for (size_t i = 0; i < nr; i++)
		ivmap_set(map, moved[i].start, moved[i].end, moved[i].val);
	free(moved);
	return 0;
}
