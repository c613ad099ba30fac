/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef THAW_LAZY_MODES_H
#define THAW_LAZY_MODES_H

#include <stdbool.h>
#include <stdint.h>

/* What the server does beside serving faults. `thaw lazy-pages` and `thaw restore --lazy-pages` have these options. */
struct lazy_modes {
	bool on_demand;	     /* no drain: only what is touched is filled */
	bool until_idle;     /* no drain while there are faults: not until none came for PACE_IDLE_NS */
	bool record;	     /* note what is touched, in working sets for the next restore */
	const char *trace;   /* file for the trace, in the work directory; NULL: none */
	const char *metrics; /* where to serve metrics; NULL: nowhere */
	uint64_t drain_rate; /* bytes a second that the drain fills at most; 0: no limit */
};

/** lazy_modes_given() - Does any of them differ from what a server does by itself? */
static inline bool lazy_modes_given(const struct lazy_modes *m)
{
	return m->on_demand || m->until_idle || m->record || m->trace || m->metrics || m->drain_rate;
}

#endif
