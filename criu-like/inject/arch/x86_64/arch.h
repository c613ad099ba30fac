/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef THAW_INJECT_ARCH_H
#define THAW_INJECT_ARCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/user.h>

#include "common/arena.h"
#include "common/diag.h"
#include "criu-like/inject/batch.h"
#include "images/proto/all.h"

/* Everything that knows the CPU. Another CPU gives the same functions in a folder of its own. */

#define ARCH_MACHINE CORE_ENTRY__MARCH__X86_64
#define ARCH_TASK_SIZE 0x7ffffffff000ULL
#define ARCH_SYSCALL_INSN "\x0f\x05"

/** The stub's machine code (stub.S). */
extern const uint8_t batch_stub_start[], batch_stub_end[];

/** arch_regs_list() - Make @regs walk records from @record on, in the stub at @stub; @trap: it ends by a trap */
void arch_regs_list(struct user_regs_struct *regs, uint64_t stub, uint64_t record, pid_t tgid, pid_t tid, bool trap);

/** arch_regs_record() - The record that the stub stands at */
uint64_t arch_regs_record(const struct user_regs_struct *regs);

/** arch_regs_syscall() - Make @regs do one system call at the instruction @insn */
void arch_regs_syscall(struct user_regs_struct *regs, uint64_t insn, long nr, const uint64_t arg[6]);

/**
 * arch_regs_hide_stop() - Undo what our stop alone did to a system call
 *
 * A few calls say EINTR when a task is stopped in them, although no handler runs (signal(7), "Interruption of system
 * calls by stop signals"). Their result is changed to the kernel's own word for: begin again, unless a handler runs.
 */
void arch_regs_hide_stop(struct user_regs_struct *regs);

/** arch_regs_result() - The result of a system call */
int64_t arch_regs_result(const struct user_regs_struct *regs);

/* A system call with a relative time-out that goes on by restart_syscall(2) when it was interrupted. */
struct arch_timed_call {
	long nr;
	unsigned time;	   /* the argument that holds or points to the time */
	unsigned rest;	   /* the one that points to where the kernel puts the time left; 0: none */
	bool ms;	   /* the time is the argument itself, milliseconds; else a struct timespec */
	const char *wchan; /* part of the name of the kernel's function that it sleeps in; "": any */
};

#define ARCH_SYS_restart_syscall 219
#define ARCH_ERESTART_RESTARTBLOCK 516

/** arch_timed_call() - The one with that number. Return: it, or NULL */
const struct arch_timed_call *arch_timed_call(long nr);

/**
 * arch_timed_call_by_wchan() - The call that a thread in restart_syscall(2) is in
 * @wchan: the function that it sleeps in
 * @arg: its first argument, still that of the first call
 *
 * Return: it, or NULL
 */
const struct arch_timed_call *arch_timed_call_by_wchan(const char *wchan, uint64_t arg);

/**
 * arch_regs_interrupted() - Is the thread to go on with a call by restart_syscall(2)?
 * @mem_fd: its memory
 * @nr: the number of the call, as the registers have it
 * @arg: its arguments
 *
 * It was interrupted in the call, or it stands at it and has not run since arch_regs_restart().
 */
bool arch_regs_interrupted(const struct user_regs_struct *regs, int mem_fd, uint64_t *nr, uint64_t arg[6]);

/**
 * arch_regs_restart() - Have a thread go on with its call by restart_syscall(2)
 * @regs: it was interrupted in the call, or stands at it
 * @nr: the number of restart_syscall, and what else the thread shall have in that register
 */
void arch_regs_restart(struct user_regs_struct *regs, uint64_t nr);

/** arch_regs_returned() - Have a thread that stands at its system call go on behind it with that result */
void arch_regs_returned(struct user_regs_struct *regs, int64_t result);

/** arch_core_set_call(), arch_core_args() - The interrupted call that the registers in @core stand at: its number is
 * @nr, its arguments @arg
 */
void arch_core_set_call(CoreEntry *core, long nr);
void arch_core_args(const CoreEntry *core, uint64_t arg[6]);

/* The call that tells, and sets, whether a thread may use the CPUID instruction. */
#define ARCH_PRCTL SYS_arch_prctl
#define ARCH_PRCTL_GET_CPUID 0x1011
#define ARCH_PRCTL_SET_CPUID 0x1012
#define ARCH_PRCTL_GET_UNTAG_MASK 0x4001 /* the address bits that the CPU looks at, into 8 bytes */

/** arch_spare_nr_bits() - Does this kernel look at the lower 32 bits of a system call's number only? (since 5.13) */
bool arch_spare_nr_bits(void);

/** arch_regs_ip() - Where the instruction pointer is kept in @regs */
unsigned long long *arch_regs_ip(struct user_regs_struct *regs);

#define ARCH_NR_XSTATE 10

/* What is asked of the CPU once, since in a virtual machine each question leads to the host. */
struct arch_cpu {
	uint64_t xstate; /* XSAVE components that are enabled */
	struct {
		unsigned offset, size; /* in the XSAVE area; size 0: there is none */
	} component[ARCH_NR_XSTATE];
};

/** arch_cpu_read() - Ask the CPU */
void arch_cpu_read(struct arch_cpu *cpu);

/**
 * arch_dump_regs() - Registers and extended state of a stopped task into its core message
 * @core: its thread_info is filled, from @a
 * @regs: general registers, already read
 *
 * Return: 0, or -errno with a sentence
 */
int arch_dump_regs(const struct arch_cpu *cpu, struct arena *a, pid_t tid, const struct user_regs_struct *regs,
		   CoreEntry *core, struct diag *diag);

/**
 * arch_check_core() - Does the message hold a state that this CPU can run?
 * Return: 0, or -errno with a sentence that names the missing feature
 */
int arch_check_core(const struct arch_cpu *cpu, const CoreEntry *core, pid_t tid, struct diag *diag);

/**
 * arch_restore_regs() - Extended state into a stopped task at once, general registers into @regs for its release
 * Return: 0, or -errno with a sentence
 */
int arch_restore_regs(const struct arch_cpu *cpu, pid_t tid, const CoreEntry *core, struct user_regs_struct *regs,
		      struct diag *diag);

/* Large registers (AMX tiles): a process asks for them, and a thread gets room for them when it first uses them. */

/** arch_ask_large() - Append the call that reads which of them the process has asked for, into 8 bytes */
void arch_ask_large(struct batch *b);

/**
 * arch_dump_large() - The large registers of a stopped thread
 * @asked: what arch_ask_large() has read
 * @e: gets them, and @asked without what all processes have, from @a
 *
 * Return: 0, or -errno with a sentence
 */
int arch_dump_large(struct arena *a, pid_t tid, uint64_t asked, ThawThreadEntry *e, struct diag *diag);

/**
 * arch_tell_large() - Append what asks for them, and makes room if @e holds some
 * @e: NULL if there is none, as in CRIU's images
 *
 * Return: 0, or -errno with a sentence if they were in use but are not in @e
 */
int arch_tell_large(struct batch *b, const CoreEntry *core, const ThawThreadEntry *e, pid_t tid, struct diag *diag);

/** arch_restore_large() - Put them into a stopped thread, after arch_restore_regs(). Return: 0, or -errno with a
 * sentence
 */
int arch_restore_large(pid_t tid, const ThawThreadEntry *e, struct diag *diag);

/** arch_tell_vdso() - Append the call that maps [vvar] and [vdso], both from @start on (arch_prctl(2)) */
void arch_tell_vdso(struct batch *b, uint64_t start);

#endif
