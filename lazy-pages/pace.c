// SPDX-License-Identifier: GPL-2.0-only
#include "lazy-pages/pace.h"

#include "common/util.h"

#define SECOND_NS 1000000000ULL

void pace_start(struct pace *p, const struct lazy_modes *modes, uint64_t now)
{
	*p = (struct pace){ .modes = *modes, .since = now };
}

void pace_hurry(struct pace *p)
{
	p->modes = (struct lazy_modes){ 0 };
}

uint64_t pace_hold(const struct pace *p, uint64_t last_fault)
{
	if (p->modes.until_idle)
		return MAX(last_fault, p->since) + PACE_IDLE_NS;
	return last_fault ? last_fault + PACE_HOLD_NS : 0;
}

bool pace_beside(const struct pace *p)
{
	return !p->modes.until_idle && !p->modes.on_demand;
}

uint64_t pace_next(const struct pace *p)
{
	if (p->modes.on_demand)
		return PACE_NEVER;
	return p->modes.drain_rate ? p->due : 0;
}

uint64_t pace_limit(const struct pace *p, uint64_t pages)
{
	if (!p->modes.drain_rate)
		return pages;
	return MAX(MIN(pages, p->modes.drain_rate / (SECOND_NS / PACE_PIECE_NS) / PAGE_SIZE), 1U);
}

/* What the rate asks for between the start of a job of @pages and that of the next. */
static uint64_t cost(const struct pace *p, uint64_t pages)
{
	return p->modes.drain_rate ? pages * PAGE_SIZE * SECOND_NS / p->modes.drain_rate : 0;
}

void pace_spend(struct pace *p, uint64_t pages, uint64_t now)
{
	p->due = MAX(p->due, MAX(now, PACE_SLACK_NS) - PACE_SLACK_NS) + cost(p, pages);
}

void pace_refund(struct pace *p, uint64_t pages)
{
	p->due -= MIN(cost(p, pages), p->due);
}
