// SPDX-License-Identifier: GPL-2.0-only
/*
 * System calls with a relative time-out that the dump interrupts: they go on with the time that was left.
 *
 * The kernel prepares such a call (nanosleep, poll, futex ...) to be gone on with by restart_syscall(2), says
 * -ERESTART_RESTARTBLOCK, and keeps the time to itself. Where the call has an argument for the time left, the kernel
 *has put it there. Otherwise the time is what the call was given less how long the thread has slept (inject/waiting.h).
 * In the new task the thread makes the call with that time and is interrupted again, so that the kernel prepares the
 * rest; its registers, which have the call's own arguments, then stand at restart_syscall.
 *
 * A call that is gone on with has lost its number, and the time that it was given no longer counts. So thaw leaves a
 * note: the kernel looks at the lower half of rax alone for the number of a system call, and keeps the upper half with
 * it as long as the call lasts, for the next dump to find:
 *
 *	63	0
 *	60..62	1 + the call's index in noted_calls[]; 0: no note
 *	59	1: it ends too far in the future to be noted
 *	32..58	when it ends, CLOCK_MONOTONIC, milliseconds modulo 2^27
 *	0..31	the number, that of restart_syscall
 *
 * A note is lost when something else than thaw interrupts the call; what a thread sleeps in then tells the number, and
 * it sleeps longer than it should, never less.
 */
#include "criu-like/state/calls.h"

#include <errno.h>
#include <linux/futex.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "common/util.h"
#include "criu-like/inject/arch.h"
#include "criu-like/inject/waiting.h"
#include "criu-like/state/kinds.h"
#include "criu-like/state/region.h"

#define NS_PER_MS 1000000ULL
#define NS_PER_S 1000000000ULL
#define FOREVER UINT64_MAX
#define NOTE_CALL 60
#define NOTE_TIME 32
#define NOTE_FAR (1ULL << 59)
#define NOTE_TIME_MASK ((1ULL << 27) - 1)
#define NOTE_FURTHEST (NOTE_TIME_MASK / 2) /* ms */

static const long noted_calls[] = { SYS_nanosleep, SYS_clock_nanosleep, SYS_poll, SYS_futex };

static uint64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / NS_PER_MS;
}

/* The number for rax of a call that has so much time left. */
static uint64_t write_note(long call, uint64_t left)
{
	uint64_t ms = left / NS_PER_MS + 1;
	uint64_t note = ms > NOTE_FURTHEST ? NOTE_FAR : ((now_ms() + ms) & NOTE_TIME_MASK) << NOTE_TIME;

	for (size_t i = 0; i < ARRAY_SIZE(noted_calls); i++)
		if (noted_calls[i] == call && arch_spare_nr_bits())
			return (i + 1) << NOTE_CALL | note | ARCH_SYS_restart_syscall;
	return ARCH_SYS_restart_syscall;
}

/* The call that a note is about, and the time that it has left. Return: its number, 0: there is no note */
static long read_note(uint64_t rax, uint64_t *left)
{
	uint64_t idx = rax >> NOTE_CALL, ms = ((rax >> NOTE_TIME) - now_ms()) & NOTE_TIME_MASK;

	if (!idx || idx > ARRAY_SIZE(noted_calls))
		return 0;
	if (!(rax & NOTE_FAR))
		*left = ms > NOTE_FURTHEST ? 0 : ms * NS_PER_MS;
	return noted_calls[idx - 1];
}

static int read_timespec(const struct process *p, uint64_t addr, uint64_t *ns)
{
	struct timespec ts;
	ssize_t got = full_pread(p->mem_fd, &ts, sizeof(ts), (off_t)addr);

	if (got != sizeof(ts))
		return got < 0 ? (int)got : -EFAULT;
	if (ts.tv_sec < 0 || ts.tv_nsec < 0 || (uint64_t)ts.tv_nsec >= NS_PER_S)
		return -EINVAL; /* the program has changed it meanwhile */
	*ns = (uint64_t)ts.tv_sec >= FOREVER / NS_PER_S ? UINT64_MAX
							: (uint64_t)ts.tv_sec * NS_PER_S + (uint64_t)ts.tv_nsec;
	return 0;
}

/* Does the call's time pass while it sleeps? That of a clock of CPU time does not. */
static bool passes_asleep(const struct arch_timed_call *call, const uint64_t arg[6])
{
	return call->nr != SYS_clock_nanosleep || (arg[0] != CLOCK_PROCESS_CPUTIME_ID && (int)arg[0] >= 0);
}

/* Is the call given the time when it shall end? It is the same after the restore, so the whole of it is "left". */
static bool is_absolute(const struct arch_timed_call *call, const uint64_t arg[6])
{
	return call->nr == SYS_futex && (arg[1] & FUTEX_CMD_MASK) != FUTEX_WAIT;
}

static uint64_t time_waited(struct dump *d, const struct thread *t)
{
	if (!d->cpu_clocks) {
		d->nr_cpus = (size_t)sysconf(_SC_NPROCESSORS_CONF);
		d->cpu_clocks = arena_array(d->arena, d->nr_cpus, sizeof(*d->cpu_clocks));
	}
	return d->cpu_clocks ? waiting_time(&t->tracee.waiting, d->cpu_clocks, d->nr_cpus) : 0;
}

/* @left: what a note says, FOREVER without one; then the time left. */
static int find_time_left(struct dump *d, const struct process *p, const struct thread *t,
			  const struct arch_timed_call *call, const uint64_t arg[6], uint64_t *left)
{
	uint64_t total, waited = 0;
	int ret = 0;

	if (call->rest && arg[call->rest])
		return read_timespec(p, arg[call->rest], left);
	if (is_absolute(call, arg))
		return read_timespec(p, arg[call->time], left);
	if (call->ms)
		total = (int)arg[call->time] < 0 ? FOREVER : (uint64_t)(int)arg[call->time] * NS_PER_MS;
	else
		ret = read_timespec(p, arg[call->time], &total);
	if (ret)
		return ret;
	if (*left <= total && *left != FOREVER)
		return 0;
	if (total != FOREVER && passes_asleep(call, arg))
		waited = time_waited(d, t);
	*left = total - MIN(waited, total);
	return 0;
}

static int take_call(struct dump *d, struct process *p, struct thread *t, struct batch *b, size_t first)
{
	const struct arch_timed_call *call;
	uint64_t rax, arg[6], left = FOREVER;
	long nr;

	if (!arch_regs_interrupted(&t->tracee.regs, p->mem_fd, &rax, arg))
		return 0;
	nr = read_note(rax, &left);
	if (!nr)
		nr = (uint32_t)rax == ARCH_SYS_restart_syscall ? t->tracee.waiting.nr : (long)(uint32_t)rax;
	call = arch_timed_call(nr);
	if (!call || find_time_left(d, p, t, call, arg, &left) < 0) {
		diag_debug(d->diag, "thread %d is in a restarted call (%#llx) that is not known", t->tid,
			   (unsigned long long)rax);
		return 0;
	}
	t->extra->call = arena_alloc(d->arena, sizeof(*t->extra->call));
	if (!t->extra->call)
		return kind_no_memory(d->diag);
	thaw_call_entry__init(t->extra->call);
	t->extra->call->nr = (uint32_t)nr;
	t->extra->call->left = left;
	arch_core_set_call(t->core, nr); /* for CRIU: begin anew */
	diag_debug(d->diag, "thread %d has %llu ns of its system call %ld left", t->tid, (unsigned long long)left, nr);
	/* If it runs on, then with a note, too. */
	arch_regs_restart(&t->tracee.regs, write_note(nr, left));
	return 0;
}

int calls_restart(struct restore *r, struct process *p, struct thread *t)
{
	const ThawCallEntry *e = t->extra ? t->extra->call : NULL;
	const struct arch_timed_call *call = e ? arch_timed_call((long)e->nr) : NULL;
	uint64_t arg[6];
	int ret;

	if (!e)
		return 0;
	if (!call)
		return diag_fail(r->diag, EOPNOTSUPP, "thread %d is in a system call (%u) that thaw does not know",
				 t->tid, e->nr);
	arch_core_args(t->core, arg);
	if (call->ms && e->left == FOREVER) {
		arg[call->time] = (uint64_t)-1;
	} else if (call->ms) {
		arg[call->time] = MIN(e->left / NS_PER_MS + 1, INT32_MAX);
	} else {
		struct timespec ts = { .tv_sec = (time_t)(e->left / NS_PER_S), .tv_nsec = (long)(e->left % NS_PER_S) };

		arg[call->time] = batch_data(&r->batch, &ts, sizeof(ts));
	}
	ret = r->batch.error;
	if (!ret)
		ret = tracee_interrupted_call(&t->tracee, region_syscall(r), call->nr, arg, &t->call_result);
	return ret ? diag_fail(r->diag, -ret, "thread %d of process %d does not get into its system call %u: %s",
			       t->tid, p->pid, e->nr, strerror(-ret))
		   : 0;
}

/* The time is noted anew: it counts from now on. */
static int apply_call(struct restore *r, struct process *p, struct thread *t)
{
	const ThawCallEntry *e = t->extra ? t->extra->call : NULL;

	if (!e)
		return 0;
	if (t->call_result == -ARCH_ERESTART_RESTARTBLOCK)
		arch_regs_restart(&t->tracee.regs, write_note((long)e->nr, e->left));
	else
		arch_regs_returned(&t->tracee.regs, t->call_result);
	return 0;
}

const struct state_kind kind_calls = {
	.name = "interrupted system call",
	.take = take_call,
	.apply = apply_call,
};
