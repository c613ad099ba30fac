// SPDX-License-Identifier: GPL-2.0-only
/* System calls that the kernel goes on with by restart_syscall(2). */
#include <linux/futex.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "common/util.h"
#include "criu-like/inject/arch.h"

#define INSN_LEN (sizeof(ARCH_SYSCALL_INSN) - 1)
#define LOWEST_POINTER 4096

/* A sleep that is gone on with is in no function of its own; so that is what is left when it is none of the others. */
static const struct arch_timed_call timed_calls[] = {
	{ SYS_poll, 2, 0, true, "poll" },
	{ SYS_futex, 3, 0, false, "futex" },
	{ SYS_nanosleep, 0, 1, false, "" },
	{ SYS_clock_nanosleep, 2, 3, false, "" },
};

const struct arch_timed_call *arch_timed_call(long nr)
{
	for (size_t i = 0; i < ARRAY_SIZE(timed_calls); i++)
		if (timed_calls[i].nr == nr)
			return &timed_calls[i];
	return NULL;
}

/* nanosleep's first argument is a pointer, clock_nanosleep's the small number of a clock, or a negative one. */
const struct arch_timed_call *arch_timed_call_by_wchan(const char *wchan, uint64_t arg)
{
	for (size_t i = 0; i < ARRAY_SIZE(timed_calls); i++)
		if (strstr(wchan, timed_calls[i].wchan) &&
		    (timed_calls[i].nr != SYS_nanosleep || (arg >= LOWEST_POINTER && arg < ARCH_TASK_SIZE)))
			return &timed_calls[i];
	return NULL;
}

static bool stands_at_call(const struct user_regs_struct *regs, int mem_fd)
{
	uint8_t code[INSN_LEN];

	return full_pread(mem_fd, code, INSN_LEN, (off_t)regs->rip) == INSN_LEN &&
	       !memcmp(code, ARCH_SYSCALL_INSN, INSN_LEN);
}

bool arch_regs_interrupted(const struct user_regs_struct *regs, int mem_fd, uint64_t *nr, uint64_t arg[6])
{
	bool in_call = (int64_t)regs->orig_rax >= 0;

	if (in_call && (int64_t)regs->rax != -ARCH_ERESTART_RESTARTBLOCK)
		return false;
	if (!in_call && ((uint32_t)regs->rax != ARCH_SYS_restart_syscall || !stands_at_call(regs, mem_fd)))
		return false;
	*nr = in_call ? regs->orig_rax : regs->rax;
	arg[0] = regs->rdi;
	arg[1] = regs->rsi;
	arg[2] = regs->rdx;
	arg[3] = regs->r10;
	arg[4] = regs->r8;
	arg[5] = regs->r9;
	return true;
}

void arch_regs_restart(struct user_regs_struct *regs, uint64_t nr)
{
	if ((int64_t)regs->orig_rax >= 0)
		regs->rip -= INSN_LEN;
	regs->rax = nr;
	regs->orig_rax = (unsigned long long)-1;
}

void arch_regs_returned(struct user_regs_struct *regs, int64_t result)
{
	regs->rax = (unsigned long long)result;
	regs->rip += INSN_LEN;
}

void arch_core_set_call(CoreEntry *core, long nr)
{
	core->thread_info->gpregs->ax = (uint64_t)nr;
	core->thread_info->gpregs->orig_ax = (uint64_t)nr;
}

void arch_core_args(const CoreEntry *core, uint64_t arg[6])
{
	const UserX86RegsEntry *r = core->thread_info->gpregs;

	arg[0] = r->di;
	arg[1] = r->si;
	arg[2] = r->dx;
	arg[3] = r->r10;
	arg[4] = r->r8;
	arg[5] = r->r9;
}

bool arch_spare_nr_bits(void)
{
	int64_t ret;

	asm volatile("syscall" : "=a"(ret) : "a"(1ULL << 32 | SYS_getpid) : "rcx", "r11", "memory");
	return ret == getpid();
}
