// SPDX-License-Identifier: GPL-2.0-only
#include "lazy-pages/reorder.h"

#include <string.h>

#include "common/util.h"

/*
 * munmap() and mremap() queue their events when they have done their work and let go of the address space. Another
 * thread's mremap() may find the hole and queue its event first:
 *
 *	thread 1: mremap(A to B), which also unmaps A	REMAP A->B ............ UNMAP A
 *	thread 2:		 mremap(C to A)			    REMAP C->A
 *
 * UNMAP A, taken as it comes, would drop what has just arrived at A, and that would read as zeros. So a range to which
 * something was moved is an *arrival* until no event is under way any more (the kernel tells, see
 * fill_event_pending()), and meanwhile
 *
 *   - an UNMAP spares arrivals. If it was meant for one after all, its fills will say ENOENT, which comes to the same;
 *   - a REMAP to where something else still is cannot be right yet: what has arrived is kept *aside* (at its address
 *     plus SPACE_ASIDE) until the late event has taken away what was there before;
 *   - a REMAP from an arrival is late if it came with the same read() (whoever could know of the arrival was still
 *     asleep then) or if something is aside; else it is meant for the arrival.
 *
 * While anything is aside nobody may fill from the map. That does not last: as soon as no event is under way, what is
 * aside takes its place, whatever is there.
 */

static bool overlaps(const struct arrival *a, uint64_t start, uint64_t end)
{
	return a->start < end && start < a->end;
}

/* Is anything mapped in [start, end)? */
static bool occupied(const struct space *sp, uint64_t start, uint64_t end)
{
	size_t i = ivmap_find(&sp->map, start);

	return i < sp->map.nr && sp->map.v[i].start < end;
}

static void forget_arrival(struct arrivals *all, unsigned i)
{
	memmove(&all->v[i], &all->v[i + 1], (all->nr - i - 1) * sizeof(all->v[0]));
	all->nr--;
}

static void note_arrival(struct arrivals *all, struct arrival new)
{
	if (new.start >= new.end)
		return;
	if (all->nr == ARRAY_SIZE(all->v)) /* the oldest is the least likely to be met by a late event */
		forget_arrival(all, 0);
	all->v[all->nr++] = new;
}

/* The part [from, to) of an arrival that was aside is in its place. */
static void arrival_placed(struct arrivals *all, unsigned i, uint64_t from, uint64_t to)
{
	struct arrival a = all->v[i];

	all->v[i] = (struct arrival){ from, to, a.batch, false };
	note_arrival(all, (struct arrival){ a.start, from, a.batch, true });
	note_arrival(all, (struct arrival){ to, a.end, a.batch, true });
}

/* Must an event on [start, end) spare this arrival? @batch 0: all are to be spared. */
static bool spared(const struct arrival *a, uint64_t start, uint64_t end, uint64_t batch)
{
	return overlaps(a, start, end) && (!batch || a->batch == batch || a->aside);
}

/* Before a late event on [start, end): put the arrivals there out of its way. */
static int shelter(struct space *sp, uint64_t start, uint64_t end, uint64_t batch)
{
	struct arrivals *all = sp->arrivals;
	int ret = 0;

	for (unsigned i = 0; i < all->nr && !ret; i++) {
		const struct arrival *a = &all->v[i];
		uint64_t from = MAX(a->start, start), to = MIN(a->end, end);

		if (spared(a, start, end, batch) && !a->aside)
			ret = ivmap_move(&sp->map, from, from + SPACE_ASIDE, to - from);
	}
	return ret;
}

/* After it: [start, end) is empty now, and what arrived there takes its place. */
static int unshelter(struct space *sp, uint64_t start, uint64_t end, uint64_t batch)
{
	struct arrivals *all = sp->arrivals;
	int ret = 0;

	for (unsigned i = 0; i < all->nr && !ret; i++) {
		struct arrival *a = &all->v[i];
		uint64_t from = MAX(a->start, start), to = MIN(a->end, end);

		if (!spared(a, start, end, batch))
			continue;
		ret = ivmap_move(&sp->map, from + SPACE_ASIDE, from, to - from);
		if (a->aside)
			arrival_placed(all, i, from, to);
	}
	return ret;
}

int reorder_unmap(struct space *sp, uint64_t start, uint64_t end)
{
	int ret = shelter(sp, start, end, 0);

	if (!ret)
		ret = space_drop(sp, start, end);
	return ret ?: unshelter(sp, start, end, 0);
}

int reorder_remove(struct space *sp, uint64_t start, uint64_t end)
{
	const struct arrivals *all = sp->arrivals;

	/* Who discards memory knows of it: it is the arrival that is meant, wherever it is kept. */
	for (unsigned i = 0; i < all->nr; i++) {
		const struct arrival *a = &all->v[i];
		uint64_t from = MAX(a->start, start), to = MIN(a->end, end);
		int ret;

		if (!a->aside || !overlaps(a, start, end))
			continue;
		ret = space_drop(sp, from + SPACE_ASIDE, to + SPACE_ASIDE);
		if (!ret && start < from)
			ret = reorder_remove(sp, start, from);
		if (!ret && to < end)
			ret = reorder_remove(sp, to, end);
		return ret;
	}
	return space_drop(sp, start, end);
}

int reorder_remap(struct space *sp, uint64_t from, uint64_t to, uint64_t len, uint64_t batch)
{
	struct arrivals *all = sp->arrivals;
	bool conflict;
	int ret = shelter(sp, from, from + len, batch);

	conflict = occupied(sp, to, to + len);
	if (!ret)
		ret = ivmap_move(&sp->map, from, conflict ? to + SPACE_ASIDE : to, len);
	if (!ret)
		ret = unshelter(sp, from, from + len, batch);
	for (unsigned i = all->nr; i-- > 0;)
		if (!all->v[i].aside && all->v[i].start >= to && all->v[i].end <= to + len)
			forget_arrival(all, i);
	note_arrival(all, (struct arrival){ to, to + len, batch, conflict });
	return ret;
}

bool reorder_aside(const struct space *sp)
{
	const struct arrivals *all = sp->arrivals;

	for (unsigned i = 0; i < all->nr; i++)
		if (all->v[i].aside)
			return true;
	return false;
}

bool reorder_unsure(const struct space *sp)
{
	return sp->arrivals->nr;
}

int reorder_settle(struct space *sp)
{
	struct arrivals *all = sp->arrivals;
	int ret = 0;

	for (unsigned i = 0; i < all->nr && !ret; i++) {
		const struct arrival *a = &all->v[i];

		if (!a->aside)
			continue;
		ret = space_drop(sp, a->start, a->end);
		if (!ret)
			ret = ivmap_move(&sp->map, a->start + SPACE_ASIDE, a->start, a->end - a->start);
	}
	all->nr = 0;
	return ret;
}
