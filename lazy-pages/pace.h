/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef THAW_LAZY_PACE_H
#define THAW_LAZY_PACE_H

#include <stdbool.h>
#include <stdint.h>

#include "lazy-pages/modes.h"

/*
 * How fast the drain may go: slower, or not, while faults come in, not at all on demand, and not beyond its rate. All
 * times are now_ns()'s.
 */

#define PACE_HOLD_NS 150000    /* the drain stands still for so long after a fault */
#define PACE_IDLE_NS 500000000 /* and for so long with --no-drain-until-idle */
#define PACE_SLACK_NS 10000000 /* of the time that it came late the drain may make up so much */
#define PACE_PIECE_NS 20000000 /* a job is what the rate allows in this time, at most */
#define PACE_NEVER UINT64_MAX

struct pace {
	struct lazy_modes modes; /* none of them once it is to hurry */
	uint64_t since;		 /* when there was first something to fill */
	uint64_t due;		 /* when the rate allows the next job */
};

/** pace_start() - From @now on there is something to fill */
void pace_start(struct pace *p, const struct lazy_modes *modes, uint64_t now);

/** pace_hurry() - Drain as if no mode had been asked for */
void pace_hurry(struct pace *p);

/** pace_hold() - When the drain may go on after the last fault (0: there was none). Return: a time, perhaps past */
uint64_t pace_hold(const struct pace *p, uint64_t last_fault);

/** pace_beside() - May the drain go on beside faults, if there is a CPU for it? */
bool pace_beside(const struct pace *p);

/** pace_next() - When the next job of the drain may start. Return: a time, perhaps past, or PACE_NEVER */
uint64_t pace_next(const struct pace *p);

/** pace_limit() - How many pages such a job may have, given that @pages would be right without a rate; at least 1 */
uint64_t pace_limit(const struct pace *p, uint64_t pages);

/** pace_spend() - A job of so many pages starts */
void pace_spend(struct pace *p, uint64_t pages, uint64_t now);

/** pace_refund() - So many of its pages were not filled */
void pace_refund(struct pace *p, uint64_t pages);

#endif
