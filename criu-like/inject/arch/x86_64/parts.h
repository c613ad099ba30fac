/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef THAW_INJECT_ARCH_X86_PARTS_H
#define THAW_INJECT_ARCH_X86_PARTS_H

#include "criu-like/inject/arch/x86_64/arch.h"

/** arch_encode_regs() - General registers into their message, an interrupted system call undone */
void arch_encode_regs(const struct user_regs_struct *regs, UserX86RegsEntry *r);

/** arch_decode_regs() - And back */
void arch_decode_regs(const UserX86RegsEntry *r, struct user_regs_struct *regs);

/** arch_dump_xstate() - Extended state of a stopped thread into @info->fpregs, from @a. Return: 0, or -errno with a
 * sentence */
int arch_dump_xstate(const struct arch_cpu *cpu, struct arena *a, pid_t tid, ThreadInfoX86 *info, struct diag *diag);

/** arch_check_xstate() - Can this CPU hold that state? Return: 0, or -errno with a sentence */
int arch_check_xstate(const struct arch_cpu *cpu, const UserX86FpregsEntry *f, pid_t tid, struct diag *diag);

/** arch_restore_xstate() - Extended state into a stopped thread. Return: 0, or -errno with a sentence */
int arch_restore_xstate(const struct arch_cpu *cpu, pid_t tid, const UserX86FpregsEntry *f, struct diag *diag);

#endif
