/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef THAW_STATE_TIMERS_H
#define THAW_STATE_TIMERS_H

#include <stdbool.h>
#include <stddef.h>

/* Since kernel 6.16; prctl(2). */
#ifndef PR_TIMER_CREATE_RESTORE_IDS
#define PR_TIMER_CREATE_RESTORE_IDS 77
#define PR_TIMER_CREATE_RESTORE_IDS_OFF 0
#define PR_TIMER_CREATE_RESTORE_IDS_ON 1
#define PR_TIMER_CREATE_RESTORE_IDS_GET 2
#endif

/* Without it no timer number above this is restored: each costs two system calls. */
#define TIMERS_MAX_COUNTED 10000UL

/* A timer of timer_create(2), as /proc/PID/timers shows it. */
struct proc_timer {
	int id;
	unsigned signo;
	unsigned long value; /* sigev_value */
	int notify;	     /* SIGEV_* */
	int target;	     /* pid, or tid with SIGEV_THREAD_ID */
	int clock;
};

/** proc_read_timers() - Parse /proc/PID/timers, malloc'ed. Return: 0, or -errno */
int proc_read_timers(int proc_fd, struct proc_timer **timers, size_t *nr);

/** timers_by_number() - Does the kernel create timers with a given number? */
bool timers_by_number(void);

#endif
