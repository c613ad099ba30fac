// SPDX-License-Identifier: GPL-2.0-only
/*
 * Timers: the three of setitimer(2), and those of timer_create(2) with their numbers.
 *
 * An ITIMER_REAL whose signal is not taken yet reads as value 0 with an interval: it counts on when the signal is
 * taken. It is told as 1 us, since value 0 would disarm it; the signal that this sends is pending already.
 *
 * Timer numbers. Kernels since 6.16 take the number from the caller under PR_TIMER_CREATE_RESTORE_IDS. Older ones count
 * up from 0 in a new process: timers are created and deleted until the wanted number comes. A number that is not the
 * expected one shows as a failure of the call that sets the timer.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>

#include "common/arena.h"
#include "common/cleanup.h"
#include "common/util.h"
#include "criu-like/state/kinds.h"
#include "criu-like/state/timers.h"

/* In the order of their numbers. */
#define NR_ITIMERS 3

static int ask_itimers(struct dump *d, struct process *p, struct thread *t, struct batch *b)
{
	for (uint64_t which = 0; which < NR_ITIMERS; which++)
		batch_call(b, 0, SYS_getitimer, which, batch_data(b, NULL, sizeof(struct itimerval)));
	return 0;
}

/* The message that holds both kinds; whichever kind comes first makes it. */
static TaskTimersEntry *timers_entry(struct dump *d, struct thread *t)
{
	TaskTimersEntry *timers = t->core->tc->timers;

	if (timers)
		return timers;
	timers = arena_alloc(d->arena, sizeof(*timers));
	if (timers) {
		task_timers_entry__init(timers);
		t->core->tc->timers = timers;
	}
	return timers;
}

static int take_itimers(struct dump *d, struct process *p, struct thread *t, struct batch *b, size_t first)
{
	TaskTimersEntry *timers = timers_entry(d, t);
	ItimerEntry *entries = arena_array(d->arena, NR_ITIMERS, sizeof(*entries));

	if (!timers || !entries)
		return kind_no_memory(d->diag);
	for (size_t i = 0; i < NR_ITIMERS; i++) {
		const struct itimerval *v = kind_answer(b, first + i, 1);

		if (batch_result(b, first + i) < 0)
			return kind_unread(d, p, t, batch_result(b, first + i), "interval timers");
		itimer_entry__init(&entries[i]);
		entries[i].isec = (uint64_t)v->it_interval.tv_sec;
		entries[i].iusec = (uint64_t)v->it_interval.tv_usec;
		entries[i].vsec = (uint64_t)v->it_value.tv_sec;
		entries[i].vusec = (uint64_t)v->it_value.tv_usec;
	}
	timers->real = &entries[ITIMER_REAL];
	timers->virt = &entries[ITIMER_VIRTUAL];
	timers->prof = &entries[ITIMER_PROF];
	return 0;
}

static int tell_itimers(struct restore *r, struct process *p, struct thread *t, struct batch *b)
{
	const TaskTimersEntry *timers = t->core->tc->timers;
	const ItimerEntry *entries[NR_ITIMERS];

	if (!timers)
		return 0;
	entries[ITIMER_REAL] = timers->real;
	entries[ITIMER_VIRTUAL] = timers->virt;
	entries[ITIMER_PROF] = timers->prof;
	for (size_t i = 0; i < NR_ITIMERS; i++) {
		struct itimerval v = {
			.it_interval = { (time_t)entries[i]->isec, (suseconds_t)entries[i]->iusec },
			.it_value = { (time_t)entries[i]->vsec, (suseconds_t)entries[i]->vusec },
		};

		if (i == ITIMER_REAL && timerisset(&v.it_interval) && !timerisset(&v.it_value))
			v.it_value.tv_usec = 1;
		if (timerisset(&v.it_interval) || timerisset(&v.it_value))
			batch_call(b, BATCH_MUST, SYS_setitimer, i, batch_data(b, &v, sizeof(v)), 0);
	}
	return 0;
}

const struct state_kind kind_itimers = {
	.name = "interval timers",
	.leader_only = true,
	.ask = ask_itimers,
	.take = take_itimers,
	.tell = tell_itimers,
};

/* One timer of /proc/PID/timers: four lines. Return: where the next begins, or NULL. */
static const char *parse_timer(const char *s, struct proc_timer *out)
{
	char how[8], whom[4];
	int len = 0;

	if (sscanf(s, "ID: %d\nsignal: %u/%lx\nnotify: %7[a-z]/%3[a-z].%d\nClockID: %d\n%n", &out->id, &out->signo,
		   &out->value, how, whom, &out->target, &out->clock, &len) != 7 ||
	    !len)
		return NULL;
	out->notify = strcmp(how, "none") == 0 ? SIGEV_NONE : strcmp(how, "thread") == 0 ? SIGEV_THREAD : SIGEV_SIGNAL;
	if (strcmp(whom, "tid") == 0)
		out->notify |= SIGEV_THREAD_ID;
	return s + len;
}

int proc_read_timers(int proc_fd, struct proc_timer **timers, size_t *nr)
{
	_cleanup_free_ struct proc_timer *list = NULL;
	_cleanup_free_ char *text = NULL;
	ssize_t len = read_text(proc_fd, "timers", &text);
	size_t n = 0, cap = 0;

	if (len < 0)
		return (int)len;
	for (const char *s = text; *s; n++) {
		if (grow(&list, n, &cap, sizeof(*list)))
			return -ENOMEM;
		s = parse_timer(s, &list[n]);
		if (!s)
			return -EPROTO;
	}
	*timers = TAKE_PTR(list);
	*nr = n;
	return 0;
}

/* The CPU clock of "the calling thread": bits as in the kernel's posix-timers_types.h. */
static bool is_own_thread_clock(int clock)
{
	return clock < 0 && (clock & 4) && ~(uint32_t)clock >> 3 == 0;
}

static int check_posix_timers(struct dump *d, struct process *p, struct thread *t)
{
	_cleanup_free_ struct proc_timer *timers = NULL;
	size_t nr;
	int ret = proc_read_timers(p->proc_fd, &timers, &nr);

	if (ret < 0)
		return kind_unread(d, p, t, ret, "timers");
	for (size_t i = 0; i < nr; i++)
		if (p->nr_threads > 1 && is_own_thread_clock(timers[i].clock))
			return diag_fail(
				d->diag, EOPNOTSUPP,
				"timer %d of process %d runs on the CPU clock of one of its threads, and the kernel "
				"does not tell which: use pthread_getcpuclockid() for it",
				timers[i].id, p->pid);
	return 0;
}

static PosixTimerEntry *new_posix_timer(struct dump *d, const struct proc_timer *timer)
{
	PosixTimerEntry *e = arena_alloc(d->arena, sizeof(*e));

	if (!e)
		return NULL;
	posix_timer_entry__init(e);
	e->it_id = (uint32_t)timer->id;
	e->clock_id = (uint32_t)timer->clock;
	e->si_signo = timer->signo;
	e->it_sigev_notify = (uint32_t)timer->notify;
	e->sival_ptr = timer->value;
	if (timer->notify & SIGEV_THREAD_ID) {
		e->has_notify_thread_id = true;
		e->notify_thread_id = timer->target;
	}
	return e;
}

/* The kernel lists the newest first; the format wants them by number. */
static int compare_timers(const void *a, const void *b)
{
	const struct proc_timer *x = a, *y = b;

	return (x->id > y->id) - (x->id < y->id);
}

static int ask_posix_timers(struct dump *d, struct process *p, struct thread *t, struct batch *b)
{
	_cleanup_free_ struct proc_timer *list = NULL;
	TaskTimersEntry *timers = timers_entry(d, t);
	size_t nr;
	int ret = proc_read_timers(p->proc_fd, &list, &nr);

	if (ret < 0)
		return kind_unread(d, p, t, ret, "timers");
	if (!timers)
		return kind_no_memory(d->diag);
	if (nr == 0)
		return 0;
	qsort(list, nr, sizeof(*list), compare_timers);
	timers->posix = arena_array(d->arena, nr, sizeof(*timers->posix));
	if (!timers->posix)
		return kind_no_memory(d->diag);
	for (size_t i = 0; i < nr; i++) {
		timers->posix[i] = new_posix_timer(d, &list[i]);
		if (!timers->posix[i])
			return kind_no_memory(d->diag);
		timers->n_posix++;
		batch_call(b, 0, SYS_timer_gettime, (uint64_t)list[i].id,
			   batch_data(b, NULL, sizeof(struct itimerspec)));
		batch_call(b, 0, SYS_timer_getoverrun, (uint64_t)list[i].id);
	}
	return 0;
}

static int take_posix_timers(struct dump *d, struct process *p, struct thread *t, struct batch *b, size_t first)
{
	const TaskTimersEntry *timers = t->core->tc->timers;

	for (size_t i = 0; i < timers->n_posix; i++) {
		PosixTimerEntry *e = timers->posix[i];
		const struct itimerspec *v = kind_answer(b, first + 2 * i, 1);

		for (size_t k = 0; k < 2; k++)
			if (batch_result(b, first + 2 * i + k) < 0)
				return kind_unread(d, p, t, batch_result(b, first + 2 * i + k), "timers");
		e->isec = (uint64_t)v->it_interval.tv_sec;
		e->insec = (uint64_t)v->it_interval.tv_nsec;
		e->vsec = (uint64_t)v->it_value.tv_sec;
		e->vnsec = (uint64_t)v->it_value.tv_nsec;
		e->overrun = (uint32_t)batch_result(b, first + 2 * i + 1);
	}
	return 0;
}

bool timers_by_number(void)
{
	return prctl(PR_TIMER_CREATE_RESTORE_IDS, PR_TIMER_CREATE_RESTORE_IDS_GET, 0, 0, 0) >= 0;
}

/* sigevent as the kernel has it: 64 bytes. */
struct kernel_sigevent {
	uint64_t value;
	int32_t signo, notify, tid;
	int32_t pad[11];
};

static void tell_create(struct batch *b, uint32_t clock, const struct kernel_sigevent *event, uint32_t id)
{
	batch_call(b, BATCH_MUST, SYS_timer_create, (uint64_t)(int64_t)(int32_t)clock,
		   batch_data(b, event, sizeof(*event)), batch_data(b, &id, sizeof(id)));
}

static void tell_posix_timer(struct batch *b, const PosixTimerEntry *e)
{
	struct kernel_sigevent event = {
		.value = e->sival_ptr,
		.signo = (int32_t)e->si_signo,
		.notify = (int32_t)e->it_sigev_notify,
		.tid = e->notify_thread_id,
	};
	struct itimerspec v = {
		.it_interval = { (time_t)e->isec, (long)e->insec },
		.it_value = { (time_t)e->vsec, (long)e->vnsec },
	};

	tell_create(b, e->clock_id, &event, e->it_id);
	batch_call(b, BATCH_MUST, SYS_timer_settime, e->it_id, 0, batch_data(b, &v, sizeof(v)), 0);
}

static int compare_entries(const void *a, const void *b)
{
	uint32_t x = (*(PosixTimerEntry *const *)a)->it_id, y = (*(PosixTimerEntry *const *)b)->it_id;

	return (x > y) - (x < y);
}

/* Count up to each wanted number with timers that notify nobody. */
static int tell_counted(struct restore *r, struct process *p, struct batch *b, PosixTimerEntry **list, size_t nr)
{
	static const struct kernel_sigevent silent = { .notify = SIGEV_NONE };
	uint32_t next = 0;

	if (list[nr - 1]->it_id > TIMERS_MAX_COUNTED)
		return diag_fail(r->diag, EOPNOTSUPP,
				 "process %d has a timer with the number %u, which takes a kernel with "
				 "PR_TIMER_CREATE_RESTORE_IDS (6.16)",
				 p->pid, list[nr - 1]->it_id);
	for (size_t i = 0; i < nr; i++, next++) {
		for (; next < list[i]->it_id; next++) {
			tell_create(b, CLOCK_MONOTONIC, &silent, 0);
			batch_call(b, BATCH_MUST, SYS_timer_delete, next);
		}
		tell_posix_timer(b, list[i]);
	}
	return 0;
}

static int tell_posix_timers(struct restore *r, struct process *p, struct thread *t, struct batch *b)
{
	const TaskTimersEntry *timers = t->core->tc->timers;
	PosixTimerEntry **list;
	size_t nr = timers ? timers->n_posix : 0;

	if (!nr)
		return 0;
	list = arena_array(r->arena, nr, sizeof(*list));
	if (!list)
		return kind_no_memory(r->diag);
	memcpy(list, timers->posix, nr * sizeof(*list));
	qsort(list, nr, sizeof(*list), compare_entries);
	for (size_t i = 1; i < nr; i++)
		if (list[i]->it_id == list[i - 1]->it_id)
			return diag_fail(r->diag, EPROTO, "the images of process %d have two timers with the number %u",
					 p->pid, list[i]->it_id);
	if (!timers_by_number())
		return tell_counted(r, p, b, list, nr);
	batch_call(b, BATCH_MUST, SYS_prctl, PR_TIMER_CREATE_RESTORE_IDS, PR_TIMER_CREATE_RESTORE_IDS_ON);
	for (size_t i = 0; i < nr; i++)
		tell_posix_timer(b, list[i]);
	batch_call(b, BATCH_MUST, SYS_prctl, PR_TIMER_CREATE_RESTORE_IDS, PR_TIMER_CREATE_RESTORE_IDS_OFF);
	return 0;
}

const struct state_kind kind_posix_timers = {
	.name = "timers",
	.leader_only = true,
	.check = check_posix_timers,
	.ask = ask_posix_timers,
	.take = take_posix_timers,
	.tell = tell_posix_timers,
};
