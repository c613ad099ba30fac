/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef THAW_LAZY_WORKERS_H
#define THAW_LAZY_WORKERS_H

#include <stdint.h>

#include "lazy-pages/fill.h"

/*
 * The fillers: threads that take jobs, one lane before the next, and give them back when they are done, or when they
 * were stopped half way (then the owner looks the rest up again). A job says all that a filler needs to know.
 */

#define JOB_MORE 63

struct job {
	struct space *sp;
	struct piece piece;	     /* advanced over what has been filled */
	struct piece more[JOB_MORE]; /* small ones that come after it, so that they are handed over together */
	unsigned nr_more;
	size_t chunk;	     /* of the working set that they are from, the first one */
	uint64_t start, end; /* addresses, as it was handed out: the owner's */
	uint32_t opening;
	enum shared_lane lane;
	int result;		   /* as fill_piece() */
	struct delivery *delivery; /* what the pages lie in, if they came over the network */
	uint64_t filled;	   /* pages */
	uint64_t began, ended;	   /* ns */
	unsigned worker;	   /* number, from 1 */
	struct job *next;
};

struct workers;

/**
 * workers_new() - A pool; its threads are made when the first jobs come
 * @nr: threads, at least 1
 *
 * Return: 0, or -errno with a sentence in @diag
 */
int workers_new(unsigned nr, struct diag *diag, struct workers **out);

/** workers_free() - End all threads (no job may be under way) and free the pool; takes NULL */
void workers_free(struct workers *w);

/** workers_fd() - A descriptor to poll: readable when jobs have come back. Owned by the pool */
int workers_fd(const struct workers *w);

/** workers_submit() - Queue a job in its lane; it comes back through workers_collect(). Return: 0, or -errno */
int workers_submit(struct workers *w, struct job *job);

/** workers_collect() - The jobs that have come back, linked by next, or NULL */
struct job *workers_collect(struct workers *w);

/**
 * workers_allow() - Let the drain's jobs fill @step pages at once; FILL_STEP in the beginning
 *
 * With 0 those under way come back after the step that they are at, and the others wait.
 */
void workers_allow(struct workers *w, uint32_t step);

#endif
