// SPDX-License-Identifier: GPL-2.0-only
/* The CPU's part of a thread's core image. */
#include <errno.h>

#include "criu-like/inject/arch.h"
#include "criu-like/inject/arch/x86_64/parts.h"

#define USER_CS_64 0x33
#define USER_CS_32 0x23

int arch_dump_regs(const struct arch_cpu *cpu, struct arena *a, pid_t tid, const struct user_regs_struct *regs,
		   CoreEntry *core, struct diag *diag)
{
	ThreadInfoX86 *info = core->thread_info;

	if (regs->cs != USER_CS_64)
		return diag_fail(diag, EOPNOTSUPP, "thread %d runs %s code, which Thaw does not support", tid,
				 regs->cs == USER_CS_32 ? "32-bit" : "LDT segment");
	info->gpregs = arena_alloc(a, sizeof(*info->gpregs));
	if (!info->gpregs)
		return -ENOMEM;
	user_x86_regs_entry__init(info->gpregs);
	arch_encode_regs(regs, info->gpregs);
	return arch_dump_xstate(cpu, a, tid, info, diag);
}

int arch_check_core(const struct arch_cpu *cpu, const CoreEntry *core, pid_t tid, struct diag *diag)
{
	const ThreadInfoX86 *info = core->thread_info;

	if (core->mtype != CORE_ENTRY__MARCH__X86_64 || !info)
		return diag_fail(diag, EOPNOTSUPP,
				 "core-%d.img is of another kind of CPU (machine type %d); restore it on such a one",
				 tid, (int)core->mtype);
	if (info->gpregs->has_mode && info->gpregs->mode != USER_X86_REGS_MODE__NATIVE)
		return diag_fail(diag, EOPNOTSUPP, "thread %d runs 32-bit code, which Thaw does not support", tid);
	if (info->gpregs->ip >= ARCH_TASK_SIZE && (int64_t)info->gpregs->ip > 0)
		return diag_fail(diag, EPROTO, "core-%d.img is damaged: the instruction pointer is 0x%llx", tid,
				 (unsigned long long)info->gpregs->ip);
	return arch_check_xstate(cpu, info->fpregs, tid, diag);
}

int arch_restore_regs(const struct arch_cpu *cpu, pid_t tid, const CoreEntry *core, struct user_regs_struct *regs,
		      struct diag *diag)
{
	arch_decode_regs(core->thread_info->gpregs, regs);
	return arch_restore_xstate(cpu, tid, core->thread_info->fpregs, diag);
}
