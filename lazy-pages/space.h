/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef THAW_LAZY_SPACE_H
#define THAW_LAZY_SPACE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/diag.h"
#include "common/ivmap.h"
#include "lazy-pages/gate.h"
#include "lazy-pages/shared.h"
#include "lazy-pages/source/source.h"

/*
 * The address space of one restored process: what of it is missing.
 *
 * An interval map leads from today's addresses to those that the pages have in the images; only events change it. A
 * bit for each page of the store says that the page is there, or never will be wanted: fillers set it, in any thread,
 * while they are inside the gate. Both lie in a memfd, so that a successor of the server finds them.
 *
 * All functions are the owner thread's, except those marked "any thread".
 */

struct space_mem; /* the memfd's layout */

/* The map's other slots, each as large as an address space: what reorder.c knows beyond what is missing. */
#define SPACE_SLOT(n) ((uint64_t)(n) << 57)

#define SPACE_MAX_TAILS 16

/* What an object of shared memory has beside its space; see objects.c. */
struct object {
	char *base; /* where the server has it mapped */
	size_t size;
	struct hold *hold;
	bool adopted; /* from a dead server, which may have filled pages that it has not marked */
	bool holes;   /* somebody makes, or made, holes */
};

struct space {
	struct shared_row *row;
	struct shared_stats *stats;
	struct source *src;
	struct space_mem *mem;
	size_t mem_len;
	struct ivmap map;
	uint64_t *there;       /* bits by page number in the store */
	struct object *object; /* NULL: a process */
	struct gate gate;
	unsigned in_flight;		/* jobs that workers have */
	bool over;			/* the process is gone or has all: retire when nothing is in flight */
	uint64_t cursor;		/* where the drain goes on */
	uint64_t expected;		/* a fault here goes on with the last one */
	uint64_t window;		/* pages to fill around a fault */
	uint64_t tail[SPACE_MAX_TAILS]; /* ends of what has moved, to see whether it has grown */
	unsigned nr_tails;
};

/* Pages that are missing, together in one run: what a job is about. */
struct piece {
	uint64_t dst; /* address in the process */
	const struct page_run *run;
	uint64_t skip, nr;   /* pages of the run */
	const uint8_t *data; /* what they hold; NULL: the source is asked */
};

/**
 * space_open() - The space of a process that has just been received
 * @row: its row, with uffd, pidfd and pids; the memfd is made
 * @src: its pages; a reference is taken
 *
 * Return: 0, or -errno with a sentence in @diag
 */
int space_open(struct space **out, struct shared_row *row, struct shared_stats *stats, struct source *src,
	       struct diag *diag);

/** space_adopt() - The space that a dead server left in @row. Return: 0, or -errno with a sentence */
int space_adopt(struct space **out, struct shared_row *row, struct shared_stats *stats, struct source *src,
		struct diag *diag);

/**
 * space_fork() - The space of a child: what the parent lacks it lacks too
 *
 * A successor knows of it when space_publish() says so.
 *
 * Return: 0, or -errno with a sentence
 */
int space_fork(struct space **out, const struct space *parent, struct shared_row *row, struct diag *diag);

/** space_publish() - The map is as it should be: let a successor find the space */
void space_publish(struct space *sp);

/** space_close() - Forget a space, close its descriptors and free its row; takes NULL */
void space_close(struct space *sp);

/** space_close_row() - Close what a row holds and free it; a userfaultfd that stayed open, unserved, would hang its
 * process */
void space_close_row(struct shared_row *row);

/**
 * space_begin() - Start to change the map by the event with number @serial
 *
 * The map is then a copy, to be changed at will, which space_commit() makes valid at one stroke. A server that dies
 * in between leaves the map as it was, and its successor applies the event from the start: to mark pages once more
 * changes nothing.
 *
 * Return: false when that event has been applied already
 */
bool space_begin(struct space *sp, uint64_t serial);

/** space_commit() - End it */
void space_commit(struct space *sp, uint64_t serial);

/** space_remaining() - Pages that are still missing (any thread) */
uint64_t space_remaining(const struct space *sp);

/**
 * space_mark() - Pages [@slot, @slot + @nr) of the store are there; each that was not is counted in @counter (any
 * thread)
 *
 * Return: how many were not; of several threads that mark a page, one gets it counted
 */
uint64_t space_mark(struct space *sp, uint64_t slot, uint64_t nr, uint64_t *counter);

/** space_give_up() - All that is missing is gone */
void space_give_up(struct space *sp);

/** space_drop() - [@start, @end) is no more, or zero from now on. Return: 0, or -ENOSPC */
int space_drop(struct space *sp, uint64_t start, uint64_t end);

/** space_next() - The first missing pages at or behind @from, at most @max. Return: whether there are any */
bool space_next(const struct space *sp, uint64_t from, uint64_t max, struct piece *out);

/**
 * space_around() - What to fill for a fault: missing pages around @addr inside its aligned window
 * @window: pages, a power of two
 *
 * Return: 1 with @out set, 0 when the page is there already, -ENOENT when the images have no such page (it is zero)
 */
int space_around(const struct space *sp, uint64_t addr, uint64_t window, struct piece *out);

/**
 * space_of_pages() - Where missing pages of the store belong now
 * @slot, @max: pages [@slot, @slot + @max) of the store
 *
 * Return: whether any of them is missing and has an address; @out is set to the first ones, which lie together
 */
bool space_of_pages(const struct space *sp, uint64_t slot, uint64_t max, struct piece *out);

/** space_there() - How many pages from @slot on, at most @max, are there (any thread) */
uint64_t space_there(const struct space *sp, uint64_t slot, uint64_t max);

/** space_missing() - How many pages from @slot on, at most @max, are missing (any thread) */
uint64_t space_missing(const struct space *sp, uint64_t slot, uint64_t max);

#endif
