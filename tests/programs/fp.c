// SPDX-License-Identifier: GPL-2.0-only
/* modes: plain eager lazy twice */
/*
 * The processor's extended state: a thread holds known values in the x87 control word, MXCSR and all vector registers
 * (SSE, AVX, AVX-512 as the machine has them) in a loop without any call, and looks at them after the restore.
 */
#ifndef __x86_64__
#error "fp.c knows the registers of x86-64 only"
#endif
#include <pthread.h>

#include "harness.h"

static volatile int spinning, stop;
static uint8_t in[32][64] __attribute__((aligned(64))), out[32][64] __attribute__((aligned(64)));

#define MOVE_OUT(insn, r, n) #insn " %%" #r #n ", 64*" #n "(%[out])\n\t"
#define MOVE_IN(insn, r, n) #insn " 64*" #n "(%[in]), %%" #r #n "\n\t"
#define SIXTEEN(m, i, r)                                                                                              \
	m(i, r, 0) m(i, r, 1) m(i, r, 2) m(i, r, 3) m(i, r, 4) m(i, r, 5) m(i, r, 6) m(i, r, 7) m(i, r, 8) m(i, r, 9) \
		m(i, r, 10) m(i, r, 11) m(i, r, 12) m(i, r, 13) m(i, r, 14) m(i, r, 15)
#define SIXTEEN_MORE(m, i, r)                                                                                       \
	m(i, r, 16) m(i, r, 17) m(i, r, 18) m(i, r, 19) m(i, r, 20) m(i, r, 21) m(i, r, 22) m(i, r, 23) m(i, r, 24) \
		m(i, r, 25) m(i, r, 26) m(i, r, 27) m(i, r, 28) m(i, r, 29) m(i, r, 30) m(i, r, 31)
#define SPIN                       \
	"movl $1, %[spinning]\n\t" \
	"1: pause\n\t"             \
	"cmpl $0, %[stop]\n\t"     \
	"je 1b\n\t"
#define OPERANDS : [spinning] "=m"(spinning) : [stop] "m"(stop), [in] "r"(in), [out] "r"(out) : "memory", "cc"
#define XMMS                                                                                                       \
	"xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11", "xmm12", \
		"xmm13", "xmm14", "xmm15"

static void spin_sse(void)
{
	asm volatile(SIXTEEN(MOVE_IN, movdqa, xmm) SPIN SIXTEEN(MOVE_OUT, movdqa, xmm) OPERANDS, XMMS);
}

static void __attribute__((target("avx"))) spin_avx(void)
{
	asm volatile(SIXTEEN(MOVE_IN, vmovdqa, ymm) SPIN SIXTEEN(MOVE_OUT, vmovdqa, ymm) OPERANDS, XMMS);
}

static void __attribute__((target("avx512f"))) spin_avx512(void)
{
	asm volatile(SIXTEEN(MOVE_IN, vmovdqa64, zmm) SIXTEEN_MORE(MOVE_IN, vmovdqa64, zmm)
			     SPIN SIXTEEN(MOVE_OUT, vmovdqa64, zmm) SIXTEEN_MORE(MOVE_OUT, vmovdqa64, zmm) OPERANDS,
		     XMMS, "xmm16", "xmm17", "xmm18", "xmm19", "xmm20", "xmm21", "xmm22", "xmm23", "xmm24", "xmm25",
		     "xmm26", "xmm27", "xmm28", "xmm29", "xmm30", "xmm31");
}

static void verify(int registers, int bytes)
{
	for (int r = 0; r < registers; r++)
		if (memcmp(in[r], out[r], (size_t)bytes))
			test_fail("vector register %d (%d bytes) differs: %#lx, was %#lx", r, bytes,
				  *(uint64_t *)out[r], *(uint64_t *)in[r]);
}

static void *worker(void *arg)
{
	const uint16_t fcw = 0x0f7f;   /* extended precision, round to zero, all masked but the stack's own bits */
	const uint32_t mxcsr = 0x7f80; /* round to zero, all masked */
	uint16_t fcw_now;
	uint32_t mxcsr_now;

	(void)arg;
	for (int r = 0; r < 32; r++)
		for (int i = 0; i < 64; i++)
			in[r][i] = (uint8_t)(r * 7 + i * 3 + 1);
	asm volatile("fldcw %0" : : "m"(fcw));
	asm volatile("ldmxcsr %0" : : "m"(mxcsr));
	if (__builtin_cpu_supports("avx512f")) {
		spin_avx512();
		verify(32, 64);
	} else if (__builtin_cpu_supports("avx")) {
		spin_avx();
		verify(16, 32);
	} else {
		spin_sse();
		verify(16, 16);
	}
	asm volatile("fnstcw %0" : "=m"(fcw_now));
	asm volatile("stmxcsr %0" : "=m"(mxcsr_now));
	if (fcw_now != fcw)
		test_fail("x87 control word %#x, was %#x", fcw_now, fcw);
	if (mxcsr_now != mxcsr)
		test_fail("MXCSR %#x, was %#x", mxcsr_now, mxcsr);
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
