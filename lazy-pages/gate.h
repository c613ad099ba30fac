/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef THAW_LAZY_GATE_H
#define THAW_LAZY_GATE_H

#include <sched.h>
#include <stdbool.h>
#include <stdint.h>

/*
 * The gate of an address space: workers pass it one by one around each fill; the owner shuts it while it reads and
 * applies events. A worker never waits at a shut gate, it hands its job back.
 *
 * Each opening has a number. A job carries the number at which its destination was looked up, and passes only while
 * that is still current; the owner changes it when an event has changed the map.
 */
struct gate {
	uint32_t state; /* GATE_SHUT | fills under way */
	uint32_t opening;
};

#define GATE_SHUT (1u << 31)

/** gate_enter() - Pass, if open and @opening is current. Return: whether the caller is inside, to gate_leave() */
static inline bool gate_enter(struct gate *g, uint32_t opening)
{
	uint32_t state = __atomic_fetch_add(&g->state, 1, __ATOMIC_ACQUIRE);

	if (!(state & GATE_SHUT) && __atomic_load_n(&g->opening, __ATOMIC_RELAXED) == opening)
		return true;
	__atomic_fetch_sub(&g->state, 1, __ATOMIC_RELEASE);
	return false;
}

/** gate_leave() - The fill is over and its pages are marked */
static inline void gate_leave(struct gate *g)
{
	__atomic_fetch_sub(&g->state, 1, __ATOMIC_RELEASE);
}

/** gate_shut() - Let nobody in and wait until nobody is inside: at most the time of one fill */
static inline void gate_shut(struct gate *g)
{
	unsigned spins = 0;

	__atomic_fetch_or(&g->state, GATE_SHUT, __ATOMIC_ACQUIRE);
	while (__atomic_load_n(&g->state, __ATOMIC_ACQUIRE) != GATE_SHUT)
		if (++spins > 200)
			sched_yield();
}

/** gate_open() - Open again; with @changed what was looked up before is void */
static inline void gate_open(struct gate *g, bool changed)
{
	if (changed)
		__atomic_fetch_add(&g->opening, 1, __ATOMIC_RELAXED);
	__atomic_fetch_and(&g->state, ~GATE_SHUT, __ATOMIC_RELEASE);
}

#endif
