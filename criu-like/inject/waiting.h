/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef THAW_INJECT_WAITING_H
#define THAW_INJECT_WAITING_H

#include "criu-like/inject/tracee.h"

/*
 * How long a thread has slept. The kernel does not tell how much of a time-out is left, but /proc/TID/sched says when
 * the thread ran last, by the clock of its CPU's run queue. That must be read before the thread is interrupted, which
 * makes it run.
 */

/** waiting_read() - What does the thread wait in? All is zero in @w if in no call of interest, or if it cannot be read
 */
void waiting_read(pid_t tgid, pid_t tid, struct waiting *w);

/**
 * waiting_time() - For how long has it waited, at the least?
 * @clocks: the clocks of CPUs that were looked at already, 0 for the others; added to
 * @nr: how many CPUs
 *
 * Return: nanoseconds
 */
uint64_t waiting_time(const struct waiting *w, uint64_t *clocks, size_t nr);

#endif
