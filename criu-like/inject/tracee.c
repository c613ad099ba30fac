// SPDX-License-Identifier: GPL-2.0-only
/*
 * A task under ptrace.
 *
 * Theory of operation. A task is seized (PTRACE_SEIZE sends no signal) and interrupted; it then stands in a stop with
 * PTRACE_EVENT_STOP. While it is ours all its signals are blocked: a handler must not run on top of the stub. To run a
 * list, the tracer points the registers at the stub and continues; the list ends with a SIGSTOP that the task sends to
 * itself, seen here as a signal-delivery stop and swallowed at the next resume. At the release its own registers and
 * mask are put back. Raw registers are put back as they were read, orig_rax included: so an interrupted system call is
 * restarted by the kernel with the right semantics.
 *
 * A task that was group-stopped gives one extra PTRACE_EVENT_STOP after a resume; it is resumed again.
 */
#include "criu-like/inject/tracee.h"

#include <elf.h>
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <sys/ptrace.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>

#include "common/util.h"
#include "criu-like/inject/arch.h"
#include "criu-like/inject/waiting.h"

#define STOP_SYSCALL (SIGTRAP | 0x80)
#define PTRACE_TRIES 3

#ifndef PTRACE_EVENT_STOP
#define PTRACE_EVENT_STOP 128
#endif
#ifndef PTRACE_GET_RSEQ_CONFIGURATION
#define PTRACE_GET_RSEQ_CONFIGURATION 0x420f
#endif

#ifndef PTRACE_GET_SYSCALL_USER_DISPATCH_CONFIG
#define PTRACE_SET_SYSCALL_USER_DISPATCH_CONFIG 0x4210
#define PTRACE_GET_SYSCALL_USER_DISPATCH_CONFIG 0x4211
#endif

static int event_of(int status)
{
	return status >> 16;
}

static int signal_of(int status)
{
	return WSTOPSIG(status);
}

/* Has it come to the next stop? Return: 0, -EAGAIN: not yet, or -errno */
static int poll_stop(pid_t tid, int *status)
{
	pid_t got = waitpid(tid, status, __WALL | WNOHANG);

	if (got < 0 && errno == ECHILD)
		return -ESRCH;
	if (got <= 0)
		return -EAGAIN;
	return WIFSTOPPED(*status) ? 0 : -ESRCH;
}

int tracee_sleep(void)
{
	static const struct timespec tick = { .tv_nsec = 50 * 1000 * 1000 };
	sigset_t wake, pending;
	int ret;

	sigemptyset(&wake);
	sigaddset(&wake, SIGCHLD);
	ret = sigtimedwait(&wake, NULL, &tick) < 0 ? -ETIME : 0;
	if (!sigpending(&pending) && (sigismember(&pending, SIGINT) || sigismember(&pending, SIGTERM) ||
				      sigismember(&pending, SIGHUP) || sigismember(&pending, SIGALRM)))
		return -EINTR;
	return ret;
}

void tracee_take_end(const struct tracee *t)
{
	siginfo_t info = { 0 };

	if (!waitid(P_PID, (id_t)t->tid, &info, WEXITED | WNOHANG | WNOWAIT | __WALL) && info.si_pid &&
	    info.si_code != CLD_TRAPPED && info.si_code != CLD_STOPPED)
		waitid(P_PID, (id_t)t->tid, &info, WEXITED | WNOHANG | __WALL);
}

/*
 * Wait for the next stop. Sleeps in sigtimedwait() with SIGCHLD blocked rather than in waitpid(), so that SIGINT and
 * the like, which the commands block too, end the wait: -EINTR. They stay pending for the caller to see.
 */
static int wait_stop(pid_t tid, int *status, unsigned ticks)
{
	while (ticks) {
		int ret = poll_stop(tid, status), slept;

		if (ret != -EAGAIN)
			return ret;
		slept = tracee_sleep();
		if (slept == -EINTR) {
			ret = poll_stop(tid, status);
			return ret == -EAGAIN ? -EINTR : ret;
		}
		ticks -= slept == -ETIME;
	}
	return -ETIME;
}

/* ptrace(2), tried again unless the task is gone: it fails for no reason that lasts, and a task left half-way is lost.
 */
static int must_ptrace(int request, pid_t tid, unsigned long addr, void *data)
{
	for (int i = 0; ptrace(request, tid, addr, data) < 0; i++)
		if (errno == ESRCH || i == PTRACE_TRIES)
			return -errno;
	return 0;
}

/* Let the task run. */
static int go(struct tracee *t, int request, int sig)
{
	int ret = must_ptrace(request, t->tid, 0, (void *)(intptr_t)sig);

	t->running = !ret;
	return ret;
}

/* The stop after go(), however long that takes. */
static int wait_end(struct tracee *t, int *status)
{
	int ret;

	do {
		ret = wait_stop(t->tid, status, UINT_MAX);
	} while (ret == -EINTR);
	t->running = ret && ret != -ESRCH;
	return ret;
}

static int get_regs(pid_t tid, struct user_regs_struct *regs)
{
	struct iovec iov = { .iov_base = regs, .iov_len = sizeof(*regs) };

	return must_ptrace(PTRACE_GETREGSET, tid, NT_PRSTATUS, &iov);
}

static int set_regs(pid_t tid, const struct user_regs_struct *regs)
{
	struct iovec iov = { .iov_base = (void *)regs, .iov_len = sizeof(*regs) };

	return must_ptrace(PTRACE_SETREGSET, tid, NT_PRSTATUS, &iov);
}

static int set_sigmask(pid_t tid, uint64_t mask)
{
	return must_ptrace(PTRACE_SETSIGMASK, tid, sizeof(mask), &mask);
}

static void begin(struct tracee *t, pid_t tgid, pid_t tid)
{
	*t = (struct tracee){ .tid = tid, .tgid = tgid, .own_tid = tid, .own_tgid = tgid };
}

int tracee_seize(struct tracee *t, pid_t tgid, pid_t tid, unsigned long options)
{
	if (ptrace(PTRACE_SEIZE, tid, NULL, PTRACE_O_TRACESYSGOOD | options) < 0)
		return -errno;
	begin(t, tgid, tid);
	waiting_read(tgid, tid, &t->waiting);
	return must_ptrace(PTRACE_INTERRUPT, tid, 0, NULL);
}

int tracee_interrupt(struct tracee *t, pid_t tgid, pid_t tid)
{
	begin(t, tgid, tid);
	return must_ptrace(PTRACE_INTERRUPT, tid, 0, NULL);
}

int tracee_suspend_seccomp(struct tracee *t, unsigned long options)
{
	options |= PTRACE_O_TRACESYSGOOD | PTRACE_O_SUSPEND_SECCOMP;
	return ptrace(PTRACE_SETOPTIONS, t->tid, NULL, options) < 0 ? -errno : 0;
}

/* In its stop: what it must get back. */
static int take_over(struct tracee *t)
{
	int ret = get_regs(t->tid, &t->regs);

	if (!ret)
		ret = must_ptrace(PTRACE_GETSIGMASK, t->tid, sizeof(t->sigmask), &t->sigmask);
	if (ret)
		return ret;
	arch_regs_hide_stop(&t->regs);
	t->stub_regs = t->regs;
	t->taken = true;
	return set_sigmask(t->tid, ~0ULL);
}

/* Return: 1 when it is ours now, 0 when it goes on to its next stop, or -errno */
static int take_stop(struct tracee *t, int status)
{
	int ret;

	t->running = false;
	if (event_of(status) == PTRACE_EVENT_STOP) {
		t->group_stopped = signal_of(status) != SIGTRAP;
		t->stop_signal = t->group_stopped ? signal_of(status) : 0;
		ret = take_over(t);
		return ret ? ret : 1;
	}
	/* A signal came first: let it be delivered, the interrupt still stands. */
	return go(t, PTRACE_CONT, event_of(status) ? 0 : signal_of(status));
}

int tracee_poll(struct tracee *t)
{
	int status, ret;

	do {
		ret = poll_stop(t->tid, &status);
		if (!ret)
			ret = take_stop(t, status);
	} while (!ret);
	return MIN(ret, 0);
}

bool tracee_stands(const struct tracee *t)
{
	uint64_t mask;

	return !must_ptrace(PTRACE_GETSIGMASK, t->tid, sizeof(mask), &mask);
}

int tracee_wait(struct tracee *t)
{
	int status, ret;

	do {
		ret = wait_stop(t->tid, &status, TRACEE_STOP_TICKS);
		if (!ret)
			ret = take_stop(t, status);
	} while (!ret);
	t->late = ret == -ETIME;
	return MIN(ret, 0);
}

int tracee_adopt(struct tracee *t, pid_t tgid, pid_t tid)
{
	begin(t, tgid, tid);
	return tracee_wait(t);
}

static int set_dispatch(pid_t tid, const struct dispatch *d)
{
	return must_ptrace(PTRACE_SET_SYSCALL_USER_DISPATCH_CONFIG, tid, sizeof(*d), (void *)d);
}

int tracee_suspend_dispatch(struct tracee *t)
{
	static const struct dispatch off;

	if (ptrace(PTRACE_GET_SYSCALL_USER_DISPATCH_CONFIG, t->tid, sizeof(t->dispatch), &t->dispatch) < 0)
		return errno == EIO || errno == EINVAL ? 0 : -errno;
	return t->dispatch.mode ? set_dispatch(t->tid, &off) : 0;
}

/* Something failed between a task's start and its stop: one that runs takes no registers, and cannot be let go. */
static void await_stop(struct tracee *t)
{
	int status;

	for (int i = 0; i < TRACEE_STOP_TICKS && !t->taken && !t->late; i++)
		if (tracee_wait(t) != -EINTR)
			break;
	if (t->running)
		wait_end(t, &status);
}

static int give_back(struct tracee *t)
{
	int ret;

	await_stop(t);
	ret = t->taken ? set_regs(t->tid, &t->regs) : 0;

	if (!ret && t->dispatch.mode)
		ret = set_dispatch(t->tid, &t->dispatch);
	return !ret && t->taken ? set_sigmask(t->tid, t->sigmask) : ret;
}

int tracee_try_regs(const struct tracee *t)
{
	return set_regs(t->tid, &t->regs);
}

static int detach(struct tracee *t, int ret)
{
	int left = must_ptrace(PTRACE_DETACH, t->tid, 0, NULL);

	t->tid = 0;
	return ret ? ret : left;
}

int tracee_release(struct tracee *t)
{
	return t->tid ? detach(t, give_back(t)) : 0;
}

int tracee_release_stopped(struct tracee *t, int stop)
{
	int ret = give_back(t), sig = 0, status = 0;

	if (!ret && kill(t->tgid, SIGSTOP) < 0)
		ret = -errno;
	while (!ret) {
		ret = go(t, PTRACE_CONT, sig);
		if (!ret)
			ret = wait_end(t, &status);
		if (!ret && event_of(status) == PTRACE_EVENT_STOP && signal_of(status) != SIGTRAP)
			break; /* the group has stopped; a detached task stays so */
		sig = event_of(status) ? 0 : signal_of(status) == SIGSTOP ? stop : signal_of(status);
	}
	return detach(t, ret);
}

/* Resume with @request and wait for a stop; what a group stop adds is passed over. */
static int resume(struct tracee *t, int request, int *status)
{
	do {
		int ret = go(t, request, 0);

		if (!ret)
			ret = wait_end(t, status);
		if (ret)
			return ret;
	} while (event_of(*status) == PTRACE_EVENT_STOP);
	return 0;
}

int tracee_syscall(struct tracee *t, uint64_t insn, long nr, const uint64_t arg[6], int64_t *result)
{
	int ret, status;

	await_stop(t); /* of a call that failed half-way */
	arch_regs_syscall(&t->stub_regs, insn, nr, arg);
	ret = set_regs(t->tid, &t->stub_regs);
	for (int stop = 0; !ret && stop < 2; stop++) { /* at its entry, at its exit */
		ret = resume(t, PTRACE_SYSCALL, &status);
		if (!ret && signal_of(status) != STOP_SYSCALL)
			ret = -EPROTO;
	}
	if (!ret)
		ret = get_regs(t->tid, &t->stub_regs);
	if (!ret)
		*result = arch_regs_result(&t->stub_regs);
	return ret;
}

int tracee_interrupted_call(struct tracee *t, uint64_t insn, long nr, const uint64_t arg[6], int64_t *result)
{
	int ret, status;

	arch_regs_syscall(&t->stub_regs, insn, nr, arg);
	ret = set_regs(t->tid, &t->stub_regs);
	if (!ret)
		ret = resume(t, PTRACE_SYSCALL, &status);
	if (!ret && signal_of(status) != STOP_SYSCALL)
		ret = -EPROTO;
	/* It stands at the call's entry. The interrupt waits for it there, so that it does not come to sleep. */
	if (!ret)
		ret = must_ptrace(PTRACE_INTERRUPT, t->tid, 0, NULL);
	if (!ret)
		ret = go(t, PTRACE_CONT, 0);
	if (!ret)
		ret = wait_end(t, &status);
	if (!ret && event_of(status) != PTRACE_EVENT_STOP)
		ret = -EPROTO;
	if (!ret)
		ret = get_regs(t->tid, &t->stub_regs);
	if (!ret)
		*result = arch_regs_result(&t->stub_regs);
	return ret;
}

int tracee_start_list(struct tracee *t, const struct batch *b, size_t first)
{
	int ret;

	arch_regs_list(&t->stub_regs, b->remote, batch_record_address(b, first), t->own_tgid, t->own_tid,
		       t->ends_by_trap);
	ret = set_regs(t->tid, &t->stub_regs);
	if (!ret && t->ends_by_trap)
		ret = set_sigmask(t->tid, ~(1ULL << (SIGTRAP - 1)));
	return ret ? ret : go(t, PTRACE_CONT, 0);
}

int tracee_finish_list(struct tracee *t, const struct batch *b, size_t *stopped_at)
{
	struct user_regs_struct regs;
	int status, ret = wait_end(t, &status);

	if (!ret && event_of(status) == PTRACE_EVENT_STOP)
		ret = resume(t, PTRACE_CONT, &status);
	if (!ret && signal_of(status) != (t->ends_by_trap ? SIGTRAP : SIGSTOP))
		ret = -EPROTO;
	if (!ret && t->ends_by_trap)
		ret = set_sigmask(t->tid, ~0ULL);
	if (!ret)
		ret = get_regs(t->tid, &regs);
	if (!ret)
		*stopped_at = (arch_regs_record(&regs) - batch_record_address(b, 0)) / sizeof(struct batch_record);
	return ret;
}

int tracee_finish_life(struct tracee *t, const struct batch *b, size_t *stopped_at)
{
	struct user_regs_struct regs;
	int status, ret = wait_end(t, &status);

	while (!ret && (event_of(status) || signal_of(status) != SIGSTOP)) {
		ret = go(t, PTRACE_CONT,
			 event_of(status) ? 0 : signal_of(status)); /* perhaps the signal that ends it */
		if (!ret)
			ret = wait_end(t, &status);
	}
	if (ret == -ESRCH) {
		t->tid = 0;
		return 0;
	}
	if (!ret)
		ret = get_regs(t->tid, &regs);
	if (ret)
		return ret;
	*stopped_at = (arch_regs_record(&regs) - batch_record_address(b, 0)) / sizeof(struct batch_record);
	return 1;
}

void tracee_bury(struct tracee *t)
{
	int status;

	for (;;) {
		pid_t got = waitpid(t->tid, &status, __WALL);

		if (got < 0 && errno == EINTR)
			continue;
		if (got != t->tid || !WIFSTOPPED(status))
			break;
		ptrace(PTRACE_CONT, t->tid, NULL, event_of(status) ? 0 : signal_of(status)); /* on its way to the end */
	}
	t->tid = 0;
}

int tracee_rseq(const struct tracee *t, void *conf, size_t size)
{
	long ret = ptrace(PTRACE_GET_RSEQ_CONFIGURATION, t->tid, size, conf);

	return ret < 0 ? -errno : (int)ret;
}
