// SPDX-License-Identifier: GPL-2.0-only
/* General registers, and what the tracer does to them (see syscall(2) for the calling convention). */
#include <asm/prctl.h>
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>

#include "common/util.h"
#include "criu-like/inject/arch.h"
#include "criu-like/inject/arch/x86_64/parts.h"

#define USER_CS 0x33
#define FLAG_TRAP 0x100ULL
#define FLAG_DIRECTION 0x400ULL

/* What the kernel leaves in rax of a task that was interrupted in a system call (include/linux/errno.h). */
#define ERESTARTSYS 512
#define ERESTARTNOINTR 513
#define ERESTARTNOHAND 514

/* orig_rax -1: the kernel must not take the new rax for the result of the interrupted call. */
static void redirect(struct user_regs_struct *regs, uint64_t to)
{
	regs->rip = to;
	regs->orig_rax = (unsigned long long)-1;
	regs->eflags &= ~(FLAG_TRAP | FLAG_DIRECTION);
	regs->cs = USER_CS;
}

void arch_regs_list(struct user_regs_struct *regs, uint64_t stub, uint64_t record, pid_t tgid, pid_t tid, bool trap)
{
	redirect(regs, stub);
	regs->r12 = record;
	regs->r13 = (unsigned)tgid;
	regs->r14 = (unsigned)tid;
	regs->r15 = trap;
}

uint64_t arch_regs_record(const struct user_regs_struct *regs)
{
	return regs->r12;
}

void arch_regs_syscall(struct user_regs_struct *regs, uint64_t insn, long nr, const uint64_t arg[6])
{
	redirect(regs, insn);
	regs->rax = (unsigned long long)nr;
	regs->rdi = arg[0];
	regs->rsi = arg[1];
	regs->rdx = arg[2];
	regs->r10 = arg[3];
	regs->r8 = arg[4];
	regs->r9 = arg[5];
}

void arch_regs_hide_stop(struct user_regs_struct *regs)
{
	static const int calls[] = { SYS_epoll_wait, SYS_epoll_pwait,	  SYS_epoll_pwait2, SYS_semop,
				     SYS_semtimedop, SYS_rt_sigtimedwait, SYS_io_getevents, SYS_io_pgetevents };

	if ((int64_t)regs->rax != -EINTR)
		return;
	for (size_t i = 0; i < ARRAY_SIZE(calls); i++)
		if ((int64_t)regs->orig_rax == calls[i])
			regs->rax = (unsigned long long)-ERESTARTNOHAND;
}

int64_t arch_regs_result(const struct user_regs_struct *regs)
{
	return (int64_t)regs->rax;
}

/*
 * The images hold registers that run on without the kernel's help: an interrupted system call is made again by
 * stepping back to its instruction. A call with a restart block begins anew with its own arguments; state/calls.c knows
 * better where it can.
 */
static void undo_interrupted_call(UserX86RegsEntry *r)
{
	if ((int64_t)r->orig_ax < 0)
		return;
	switch ((int64_t)r->ax) {
	case -ERESTARTSYS:
	case -ERESTARTNOINTR:
	case -ERESTARTNOHAND:
	case -ARCH_ERESTART_RESTARTBLOCK:
		r->ax = r->orig_ax;
		r->ip -= sizeof(ARCH_SYSCALL_INSN) - 1;
	}
}

#define FOR_EACH_REG(do)                                                                                                                                      \
	do                                                                                                                                                    \
	(r15, r15) do(r14, r14) do(r13, r13) do(r12, r12) do(bp, rbp) do(bx, rbx) do(r11, r11) do(r10, r10) do(r9, r9) do(r8, r8) do(ax, rax) do(cx, rcx) do( \
		dx,                                                                                                                                           \
		rdx) do(si,                                                                                                                                   \
			rsi) do(di,                                                                                                                           \
				rdi) do(orig_ax,                                                                                                              \
					orig_rax) do(ip,                                                                                                      \
						     rip) do(cs,                                                                                              \
							     cs) do(flags,                                                                                    \
								    eflags) do(sp,                                                                            \
									       rsp) do(ss,                                                                    \
										       ss) do(fs_base,                                                        \
											      fs_base) do(gs_base,                                            \
													  gs_base) do(ds,                                     \
														      ds) do(es,                              \
															     es) do(fs,                       \
																    fs) do(gs,                \
																	   gs)

void arch_encode_regs(const struct user_regs_struct *regs, UserX86RegsEntry *r)
{
#define ENCODE(entry, reg) r->entry = regs->reg;
	FOR_EACH_REG(ENCODE)
#undef ENCODE
	r->has_mode = 1;
	r->mode = USER_X86_REGS_MODE__NATIVE;
	undo_interrupted_call(r);
}

void arch_decode_regs(const UserX86RegsEntry *r, struct user_regs_struct *regs)
{
#define DECODE(entry, reg) regs->reg = r->entry;
	FOR_EACH_REG(DECODE)
#undef DECODE
	regs->orig_rax = (unsigned long long)-1;
}

unsigned long long *arch_regs_ip(struct user_regs_struct *regs)
{
	return &regs->rip;
}

void arch_tell_vdso(struct batch *b, uint64_t start)
{
	batch_call(b, BATCH_MUST, SYS_arch_prctl, ARCH_MAP_VDSO_64, start);
}
