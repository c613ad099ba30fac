/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The stub that walks a list of records in another task (batch.h has the layout). It uses registers only: no stack, no
 * relocation, no memory but the records, so that it runs in a task whose whole memory is being replaced.
 *
 * In:	r12	the record to begin with
 *	r13	the task's thread group id
 *	r14	the task's thread id
 *	r15	0: it ends with SIGSTOP to itself; 1: with a trap
 * The tracer swallows either; r12 then is the record that it stopped at. A trap resets the task's own disposition of
 * SIGTRAP while that is blocked or ignored, so that it is only for tasks where it is neither. SIGSTOP takes the kernel
 * a walk over all threads of the process.
 */
#include <sys/syscall.h>

#define REC_ARG(n)	(8 + 8 * (n))
#define REC_RESULT	56
#define REC_FLAGS	64
#define REC_LINK	72
#define REC_SIZE	80

#define FLAG_MUST	1
#define FLAG_STORE	2
#define FLAG_END	4
#define FLAG_LARGE	8	/* AMX: argument 0 points to a tile configuration */

	.text
	.globl	batch_stub_start, batch_stub_end
	.type	batch_stub_start, @object
batch_stub_start:
next:	testl	$FLAG_END, REC_FLAGS(%r12)
	jnz	stop
	testl	$FLAG_LARGE, REC_FLAGS(%r12)
	jnz	large
	movq	(%r12), %rax
	movq	REC_ARG(0)(%r12), %rdi
	movq	REC_ARG(1)(%r12), %rsi
	movq	REC_ARG(2)(%r12), %rdx
	movq	REC_ARG(3)(%r12), %r10
	movq	REC_ARG(4)(%r12), %r8
	movq	REC_ARG(5)(%r12), %r9
	syscall
	movq	%rax, REC_RESULT(%r12)
	cmpq	$-4096, %rax
	ja	failed
	testl	$FLAG_STORE, REC_FLAGS(%r12)
	jz	done
	movq	REC_LINK(%r12), %rcx
	movq	%rax, (%rcx)
done:	addq	$REC_SIZE, %r12
	jmp	next
large:	movq	REC_ARG(0)(%r12), %rdi
	ldtilecfg (%rdi)
	tilezero %tmm0		/* traps into the kernel the first time */
	tilerelease
	jmp	done
failed:	testl	$FLAG_MUST, REC_FLAGS(%r12)
	jz	done
stop:	testl	%r15d, %r15d
	jnz	trap
	movl	$SYS_tgkill, %eax
	movq	%r13, %rdi
	movq	%r14, %rsi
	movl	$19, %edx	/* SIGSTOP */
	syscall
	jmp	stop
trap:	int3
	jmp	trap
batch_stub_end:
	.section .note.GNU-stack, "", @progbits
