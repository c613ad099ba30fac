/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef THAW_LAZY_GATE_H
#define THAW_LAZY_GATE_H

#include <sched.h>
#include <stdbool.h>
#include <stdint.h>

/*
 * The gate of an address space: workers pass it one by one around each fill; the owner shuts it while it reads and
 * applies events. A worker that finds it shut waits a moment, then it hands its job back.
 *
 * Each opening has a number. A job carries the number at which its destination was looked up, and passes only while
 * that is still current; the owner changes it when an event has changed the map.
 */
struct gate {
	uint32_t state; /* GATE_SHUT | fills under way */
	uint32_t opening;
};

#define GATE_SHUT (1u << 31)

/* Read as often as this, some microseconds long, a gate may be shut before somebody gives up: most often it is shut for
 * faults, which change nothing. */
#define GATE_PATIENCE 400

/**
 * gate_enter() - Pass, if @opening is current and the gate is open, or will be in a moment
 *
 * Return: whether the caller is inside, to gate_leave()
 */
static inline bool gate_enter(struct gate *g, uint32_t opening)
{
	for (unsigned tries = 0; tries < GATE_PATIENCE; tries++) {
		if (__atomic_load_n(&g->state, __ATOMIC_RELAXED) & GATE_SHUT) {
			__builtin_ia32_pause();
			continue;
		}
		if (!(__atomic_fetch_add(&g->state, 1, __ATOMIC_ACQUIRE) & GATE_SHUT) &&
		    __atomic_load_n(&g->opening, __ATOMIC_RELAXED) == opening)
			return true;
		__atomic_fetch_sub(&g->state, 1, __ATOMIC_RELEASE);
		if (__atomic_load_n(&g->opening, __ATOMIC_RELAXED) != opening)
			return false;
	}
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
