/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef THAW_LAZY_PROGRESS_H
#define THAW_LAZY_PROGRESS_H

#include <stdbool.h>
#include <stddef.h>

#include "lazy-pages/shared.h"

#define PROGRESS_NS 100000000
#define PROGRESS_LEN 256

/* The progress bar: a line that is drawn again and again. */
struct progress {
	uint64_t drawn;	 /* ns, when it was drawn last; 0: not yet */
	uint64_t filled; /* pages, then */
	double rate;	 /* pages a second since the time before, smoothed */
};

/**
 * progress_line() - The line for now: a bar with what each lane has filled (faults #, working set =, drain -, gone ~),
 * how much is there, the rate, and each lane's share
 * @now: in ns
 * @buf: PROGRESS_LEN bytes
 *
 * Return: @buf, empty while nothing is to be filled
 */
const char *progress_line(struct progress *p, const struct shared *sh, uint64_t now, char *buf);

/** progress_draw() - Draw it on standard error; @last: for the last time */
void progress_draw(struct progress *p, const struct shared *sh, uint64_t now, bool last);

#endif
