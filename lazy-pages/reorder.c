// SPDX-License-Identifier: GPL-2.0-only
#include "lazy-pages/reorder.h"

#include "common/util.h"

/*
 * munmap() and mremap() queue their events when they have done their work and let go of the address space. Another
 * thread's mremap() may find the hole and queue its event first:
 *
 *	thread 1: mremap(A to B), which also unmaps A	............ REMAP A->B	UNMAP A
 *	thread 2:		 mremap(C to A)	REMAP C->A
 *
 * UNMAP A, taken as it comes, would drop what has just arrived at A, and REMAP A->B would carry it away; the program
 * would read zeros. What tells is that the kernel moves memory only to where nothing is. So the map also says which
 * areas are registered, as far as the events read until now go, and a place may have several *occupants*, one above the
 * other: who comes to a place that is still an area is put on top, for the one below must have left it, and will say
 * so. Until no event is under way (the kernel tells, see fill_event_pending()),
 *
 *   - an UNMAP takes away the lowest, and those above come down. It may have been meant for one above, by a thread that
 *     was faster; but each leaves the place once, so who remains in the end is the same;
 *   - a REMAP moves the lowest that has not been moved yet. One above can be meant only if its thread has read back
 *     from two events, and begun a third system call on the same memory, while the thread of the one below has not yet
 *     come from the unlocking of the address space to the queue, some instructions on;
 *   - a REMOVE is meant for the one on top: who discards memory has it.
 *
 * In the end who is on top has the place. Meanwhile nobody fills; nobody could, for the kernel refuses fills as long as
 * an event is under way.
 *
 * A FORK that comes late, or early, needs no such care: memory that other threads were moving or unmapping at that time
 * is memory that the child cannot make use of.
 *
 * Memory that grows makes no event. It becomes known when it is touched, or when it moves (see events.c).
 *
 * In the interval map this takes place beyond all addresses that a process can have. Each of these slots is as large as
 * an address space:
 *
 *	2 * n      the missing pages of the n-th occupant; slot 0 is what is filled from
 *	2 * n + 1  its area, mapped to itself
 *	48 + n     its parts that have been moved away, and are still to be unmapped
 */

#define LAYERS 16
#define PAGES(layer) SPACE_SLOT(2 * (layer))
#define AREAS(layer) SPACE_SLOT(2 * (layer) + 1)
#define MOVED(layer) SPACE_SLOT(48 + (layer))

/* The first interval of a slot in [at, end), or NULL. */
static const struct interval *first_in(const struct space *sp, uint64_t slot, uint64_t at, uint64_t end)
{
	size_t i = ivmap_find(&sp->map, slot + at);

	return i < sp->map.nr && sp->map.v[i].start < slot + end ? &sp->map.v[i] : NULL;
}

/* Does a slot hold @at? @until is brought down to where that changes. */
static bool holds(const struct space *sp, uint64_t slot, uint64_t at, uint64_t *until)
{
	const struct interval *iv = first_in(sp, slot, at, *until);

	if (!iv)
		return false;
	if (iv->start > slot + at) {
		*until = iv->start - slot;
		return false;
	}
	*until = MIN(*until, iv->end - slot);
	return true;
}

/* How many occupants [@at, @until) has; @until is brought down to where that changes. */
static unsigned occupants(const struct space *sp, uint64_t at, uint64_t *until)
{
	unsigned n = 0;

	while (n < LAYERS && holds(sp, AREAS(n), at, until))
		n++;
	return n;
}

/* Which occupant of [@at, @until) a REMAP from there is about. */
static unsigned mover(const struct space *sp, uint64_t at, uint64_t *until)
{
	unsigned nr = occupants(sp, at, until), n = 0;

	while (n + 1 < nr && holds(sp, MOVED(n), at, until))
		n++;
	return n;
}

static int set_identity(struct space *sp, uint64_t slot, uint64_t start, uint64_t end)
{
	return ivmap_set(&sp->map, slot + start, slot + end, start);
}

int reorder_area(struct space *sp, uint64_t start, uint64_t end)
{
	return set_identity(sp, AREAS(0), start, end);
}

int reorder_unmap(struct space *sp, uint64_t start, uint64_t end)
{
	uint64_t len = end - start;
	int ret = space_drop(sp, start, end);

	ret = ret ?: ivmap_clear(&sp->map, AREAS(0) + start, AREAS(0) + end);
	ret = ret ?: ivmap_clear(&sp->map, MOVED(0) + start, MOVED(0) + end);
	for (unsigned n = 1; !ret && n < LAYERS && first_in(sp, AREAS(n), start, end); n++) {
		ret = ivmap_move(&sp->map, PAGES(n) + start, PAGES(n - 1) + start, len);
		ret = ret ?: ivmap_move(&sp->map, AREAS(n) + start, AREAS(n - 1) + start, len);
		ret = ret ?: ivmap_move(&sp->map, MOVED(n) + start, MOVED(n - 1) + start, len);
	}
	return ret;
}

int reorder_remove(struct space *sp, uint64_t start, uint64_t end)
{
	int ret = 0;

	for (uint64_t at = start, until; at < end && !ret; at = until) {
		unsigned nr;

		until = end;
		nr = occupants(sp, at, &until);
		nr = nr ? nr - 1 : 0;
		ret = space_drop(sp, PAGES(nr) + at, PAGES(nr) + until);
	}
	return ret;
}

/* A part of a REMAP: from the @who-th occupant of its place to where @nr are already. */
static int remap_part(struct space *sp, unsigned who, uint64_t from, unsigned nr, uint64_t to, uint64_t len)
{
	int ret = 0;

	if (nr == LAYERS) {
		ret = reorder_unmap(sp, to, to + len);
		nr--;
	}
	ret = ret ?: set_identity(sp, AREAS(who), from, from + len); /* if it was not known: it has grown */
	ret = ret ?: set_identity(sp, MOVED(who), from, from + len);
	ret = ret ?: space_drop(sp, PAGES(nr) + to, PAGES(nr) + to + len);
	ret = ret ?: ivmap_move(&sp->map, PAGES(who) + from, PAGES(nr) + to, len);
	return ret ?: set_identity(sp, AREAS(nr), to, to + len);
}

int reorder_remap(struct space *sp, uint64_t from, uint64_t to, uint64_t len)
{
	int ret = 0;

	for (uint64_t done = 0, part; done < len && !ret; done += part) {
		uint64_t from_end = from + len, to_end = to + len;
		unsigned who = mover(sp, from + done, &from_end), nr = occupants(sp, to + done, &to_end);

		part = MIN(from_end - from, to_end - to) - done;
		ret = remap_part(sp, who, from + done, nr, to + done, part);
	}
	return ret;
}

bool reorder_unsettled(const struct space *sp)
{
	return sp->map.nr && sp->map.v[sp->map.nr - 1].start >= PAGES(1);
}

int reorder_settle(struct space *sp)
{
	const struct interval *iv;
	int ret = 0;

	while (!ret && (iv = first_in(sp, AREAS(1), 0, SPACE_SLOT(1))))
		ret = reorder_unmap(sp, iv->start - AREAS(1), iv->end - AREAS(1));
	return ret ?: ivmap_clear(&sp->map, PAGES(1), UINT64_MAX);
}

bool reorder_known(const struct space *sp, uint64_t addr, uint64_t *end)
{
	size_t i = ivmap_find(&sp->map, AREAS(0) + addr);

	*end = 0;
	if (i < sp->map.nr && sp->map.v[i].start <= AREAS(0) + addr) {
		*end = sp->map.v[i].end - AREAS(0);
		return true;
	}
	if (i && sp->map.v[i - 1].start >= AREAS(0))
		*end = sp->map.v[i - 1].end - AREAS(0);
	return false;
}

int reorder_prune(struct space *sp, uint64_t (*area)(const struct space *sp, uint64_t start, uint64_t max))
{
	const struct interval *iv;
	int ret = 0;

	for (uint64_t at = 0; !ret && (iv = first_in(sp, AREAS(0), at, SPACE_SLOT(1)));) {
		uint64_t end = iv->end - AREAS(0), len;

		at = iv->start - AREAS(0);
		while ((len = area(sp, at, end - at)))
			at += len;
		ret = ivmap_clear(&sp->map, AREAS(0) + at, AREAS(0) + end);
		at = end;
	}
	return ret;
}
