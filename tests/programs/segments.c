// SPDX-License-Identifier: GPL-2.0-only
/* modes: plain eager lazy leave-running twice user */
/*
 * The base of the gs segment, the flags (alignment check and direction among them), and all general registers of a
 * thread that makes no call.
 */
#ifndef __x86_64__
#error "segments.c knows the registers of x86-64 only"
#endif
#include <asm/prctl.h>
#include <pthread.h>
#include <sys/syscall.h>

#include "harness.h"

#define FLAGS_ALIGNMENT (1UL << 18)
#define FLAGS_DIRECTION (1UL << 10)

#define WANTED (FLAGS_ALIGNMENT | FLAGS_DIRECTION)

/* The assembler code names them. */
__attribute__((used)) static volatile int spinning, stop;
__attribute__((used)) static volatile uint64_t now[14];
static uint64_t area[4] = { 0, 0x1122334455667788, 0, 0 };

/* Each register holds its number in all its bytes; rax has the flags in the end. */
static uint64_t spin(uint64_t flags)
{
	asm volatile("push %%rbp\n\t"
		     "push %%rax\n\t"
		     "popfq\n\t"
		     "movabs $0x0101010101010101, %%rbx\n\t movabs $0x0202020202020202, %%rcx\n\t"
		     "movabs $0x0303030303030303, %%rdx\n\t movabs $0x0404040404040404, %%rsi\n\t"
		     "movabs $0x0505050505050505, %%rdi\n\t movabs $0x0606060606060606, %%rbp\n\t"
		     "movabs $0x0707070707070707, %%r8\n\t movabs $0x0808080808080808, %%r9\n\t"
		     "movabs $0x0909090909090909, %%r10\n\t movabs $0x0a0a0a0a0a0a0a0a, %%r11\n\t"
		     "movabs $0x0b0b0b0b0b0b0b0b, %%r12\n\t movabs $0x0c0c0c0c0c0c0c0c, %%r13\n\t"
		     "movabs $0x0d0d0d0d0d0d0d0d, %%r14\n\t movabs $0x0e0e0e0e0e0e0e0e, %%r15\n\t"
		     "movl $1, spinning(%%rip)\n\t"
		     "1: pause\n\t"
		     "cmpl $0, stop(%%rip)\n\t"
		     "je 1b\n\t"
		     "mov %%rbx, now(%%rip)\n\t mov %%rcx, now+8(%%rip)\n\t mov %%rdx, now+16(%%rip)\n\t"
		     "mov %%rsi, now+24(%%rip)\n\t mov %%rdi, now+32(%%rip)\n\t mov %%rbp, now+40(%%rip)\n\t"
		     "mov %%r8, now+48(%%rip)\n\t mov %%r9, now+56(%%rip)\n\t mov %%r10, now+64(%%rip)\n\t"
		     "mov %%r11, now+72(%%rip)\n\t mov %%r12, now+80(%%rip)\n\t mov %%r13, now+88(%%rip)\n\t"
		     "mov %%r14, now+96(%%rip)\n\t mov %%r15, now+104(%%rip)\n\t"
		     "pushfq\n\t"
		     "pop %%rax\n\t"
		     "push $0x202\n\t"
		     "popfq\n\t"
		     "pop %%rbp"
		     : "+a"(flags)
		     :
		     : "rbx", "rcx", "rdx", "rsi", "rdi", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15",
		       "memory", "cc");
	return flags;
}

static void *worker(void *arg)
{
	uint64_t flags, base, word;

	(void)arg;
	test_check(!syscall(SYS_arch_prctl, ARCH_SET_GS, area));
	flags = spin(0x202 | WANTED);
	if ((flags & WANTED) != WANTED)
		test_fail("flags %#lx, wanted are %#lx", flags, WANTED);
	for (uint64_t i = 0; i < 14; i++)
		if (now[i] != 0x0101010101010101 * (i + 1))
			test_fail("register %lu holds %#lx", i, now[i]);
	test_check(!syscall(SYS_arch_prctl, ARCH_GET_GS, &base));
	asm volatile("mov %%gs:8, %0" : "=r"(word));
	if (base != (uint64_t)area || word != area[1])
		test_fail("gs base %#lx (%#lx there), was %p", base, word, (void *)area);
	return NULL;
}

int main(int argc, char **argv)
{
	pthread_t thread;

	test_init(argc, argv);
	test_check(!pthread_create(&thread, NULL, worker, NULL));
	while (!spinning)
		sched_yield();
	test_ready();
	test_wait();
	stop = 1;
	test_check(!pthread_join(thread, NULL));
	test_pass();
}
