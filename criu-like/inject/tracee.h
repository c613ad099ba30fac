/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef THAW_INJECT_TRACEE_H
#define THAW_INJECT_TRACEE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/user.h>

#include "common/diag.h"
#include "criu-like/inject/batch.h"

/* 5 s of tracee_sleep(): what does not stop by then is in a call that is not interrupted. */
#define TRACEE_STOP_TICKS 100

/* What a thread waited in before it was interrupted. */
struct waiting {
	long nr;	/* a call whose relative time-out only the kernel knows (arch_timed_call()); 0: none */
	int cpu;	/* that it ran on last */
	uint64_t since; /* since when it has slept, at the earliest: ns of that CPU's run-queue clock; 0: not known */
};

/* Syscall user dispatch, as ptrace(2) has it. Mode 0: off. */
struct dispatch {
	uint64_t mode, selector, offset, len;
};

/* A task under ptrace, stopped. */
struct tracee {
	pid_t tid; /* 0: not traced */
	pid_t tgid;
	pid_t own_tid, own_tgid;	   /* the same as the task knows them, in its PID namespace */
	bool taken;			   /* registers and mask below are its own */
	bool late;			   /* it did not stop in time; maybe it never will */
	bool running;			   /* it was let run, and its stop has not been seen yet */
	bool group_stopped;		   /* it was in a group stop when seized */
	struct dispatch dispatch;	   /* its own, put back at the release */
	struct waiting waiting;		   /* before it was seized */
	bool ends_by_trap;		   /* how its lists end; see stub.S */
	int stop_signal;		   /* the one that made the group stop */
	uint64_t sigmask;		   /* its own blocked signals, put back at the release */
	struct user_regs_struct regs;	   /* its own registers, put back at the release */
	struct user_regs_struct stub_regs; /* scratch: what the remote calls run with */
};

/**
 * tracee_seize() - PTRACE_SEIZE and PTRACE_INTERRUPT without waiting
 * @options: PTRACE_O_* beside TRACESYSGOOD
 *
 * Return: 0, or -errno (-ESRCH: it is gone)
 */
int tracee_seize(struct tracee *t, pid_t tgid, pid_t tid, unsigned long options);

/** tracee_interrupt() - As tracee_seize(), for a task that is this process's tracee already. Return: 0, or -errno */
int tracee_interrupt(struct tracee *t, pid_t tgid, pid_t tid);

/**
 * tracee_suspend_seccomp() - Have the task's seccomp filters not judge what it does until it is released
 * @t: in a stop
 * @options: those it was seized with
 *
 * Return: 0, or -errno (-EPERM: takes CAP_SYS_ADMIN and a tracer without seccomp)
 */
int tracee_suspend_seccomp(struct tracee *t, unsigned long options);

/**
 * tracee_suspend_dispatch() - Turn the task's syscall user dispatch off until it is released
 * @t: in a stop
 *
 * Return: 0 (also on kernels that do not have it), or -errno
 */
int tracee_suspend_dispatch(struct tracee *t);

/**
 * tracee_wait() - Wait until @t is in its stop, and read its registers and signal mask
 *
 * SIGCHLD must be blocked in the caller. All signals are then blocked in it (the stub must not be disturbed) until
 * tracee_release().
 *
 * Return: 0, or -errno (-ESRCH: it died meanwhile, -ETIME: it did not stop within some seconds)
 */
int tracee_wait(struct tracee *t);

/** tracee_poll() - As tracee_wait(), without waiting. Return: 0, or -errno (-EAGAIN: not yet) */
int tracee_poll(struct tracee *t);

/** tracee_stands() - Is it in a stop, with nothing to be taken? Another thread that executes a program can have come in
 * its place */
bool tracee_stands(const struct tracee *t);

/** tracee_sleep() - Sleep until a tracee may have done something. Return: 0, -ETIME after 50 ms, or -EINTR: a signal is
 * pending that ends the command */
int tracee_sleep(void);

/** tracee_take_end() - Take the end of a tracee that has died, so that it goes; may be called by a signal handler */
void tracee_take_end(const struct tracee *t);

/**
 * tracee_adopt() - As tracee_wait(), for a task that was born attached (CLONE_PTRACE)
 *
 * Its own numbers are taken for the same until the caller knows better.
 *
 * Return: 0, or -errno
 */
int tracee_adopt(struct tracee *t, pid_t tgid, pid_t tid);

/** tracee_release() - Put registers and mask back and detach; a group-stopped task stays stopped. Return: 0 or -errno
 */
int tracee_release(struct tracee *t);

/**
 * tracee_release_stopped() - As tracee_release(), for the leader of a process that shall be in a job-control stop
 * @sig: the signal that stops it; SIGSTOP, or one whose action is known to be that
 *
 * The other threads, released afterwards, join the stop before they have run an instruction. Return: 0 or -errno
 */
int tracee_release_stopped(struct tracee *t, int sig);

/**
 * tracee_syscall() - One remote system call at a `syscall` instruction of the task's own
 * @insn: address of that instruction
 *
 * Return: 0 and the kernel's result in @result, or -errno when the task could not be run
 */
int tracee_syscall(struct tracee *t, uint64_t insn, long nr, const uint64_t arg[6], int64_t *result);

/**
 * tracee_interrupted_call() - As tracee_syscall(), but interrupt the call as soon as it would sleep
 *
 * A call that the kernel restarts (-ERESTART_RESTARTBLOCK) has then been prepared to go on by restart_syscall(2).
 *
 * Return: 0 and the kernel's result in @result, or -errno when the task could not be run
 */
int tracee_interrupted_call(struct tracee *t, uint64_t insn, long nr, const uint64_t arg[6], int64_t *result);

/**
 * tracee_start_list() - Let @t walk a list of a batch; tracee_finish_list() waits for its end
 * @first: index of the list's first record
 *
 * Return: 0, or -errno
 */
int tracee_start_list(struct tracee *t, const struct batch *b, size_t first);

/**
 * tracee_finish_list() - Wait until the list has ended
 * @stopped_at: set to the index of the record it stopped at: BATCH_END's, or one that MUST succeed and did not
 *
 * Return: 0, or -errno (-ESRCH: it died)
 */
int tracee_finish_list(struct tracee *t, const struct batch *b, size_t *stopped_at);

/**
 * tracee_finish_life() - As tracee_finish_list(), for a list at whose end the task ends
 *
 * Return: 0: it has ended, 1: it has stopped at the record @stopped_at, or -errno
 */
int tracee_finish_life(struct tracee *t, const struct batch *b, size_t *stopped_at);

/** tracee_try_regs() - Set the registers that the release will set, to see whether the kernel takes them. Return: 0, or
 * -errno (-EIO: no registers of a program) */
int tracee_try_regs(const struct tracee *t);

/** tracee_bury() - Wait until a task that is being killed, or that ends itself, has ended */
void tracee_bury(struct tracee *t);

/** tracee_rseq() - PTRACE_GET_RSEQ_CONFIGURATION into @conf. Return: bytes, or -errno */
int tracee_rseq(const struct tracee *t, void *conf, size_t size);

#endif
