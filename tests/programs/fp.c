// SPDX-License-Identifier: GPL-2.0-only
/* modes: plain eager lazy leave-running twice user */
/*
 * The processor's extended state: a thread holds known values in the x87 control word and stack, MXCSR, PKRU and all
 * vector and mask registers (SSE, AVX, AVX-512 as the machine has them) in a loop without any call, and looks at them
 * after the restore.
 */
#ifndef __x86_64__
#error "fp.c knows the registers of x86-64 only"
#endif
#include <cpuid.h>
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

/* Eight bytes each. */
#define MASK_IN(n) "kmovq 8*" #n "(%[masks_in]), %%k" #n "\n\t"
#define MASK_OUT(n) "kmovq %%k" #n ", 8*" #n "(%[masks_out])\n\t"
#define EACH_MASK(m) m(0) m(1) m(2) m(3) m(4) m(5) m(6) m(7)

static uint64_t masks_in[8], masks_out[8];

static void __attribute__((target("avx512bw"))) spin_masks(void)
{
	asm volatile(EACH_MASK(MASK_IN) SPIN EACH_MASK(MASK_OUT)
		     : [spinning] "=m"(spinning)
		     : [stop] "m"(stop), [masks_in] "r"(masks_in), [masks_out] "r"(masks_out)
		     : "memory", "cc", "k1", "k2", "k3", "k4", "k5", "k6", "k7");
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

static void fill(void *at, size_t len, unsigned salt)
{
	for (size_t i = 0; i < len; i++)
		((uint8_t *)at)[i] = (uint8_t)(i / 64 * 7 + i * 3 + salt);
}

static void hold_vectors(void)
{
	fill(in, sizeof(in), 1);
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
}

static void *worker(void *arg)
{
	const uint16_t fcw = 0x0f7f;   /* extended precision, round to zero, all masked but the stack's own bits */
	const uint32_t mxcsr = 0x7f80; /* round to zero, all masked */
	uint16_t fcw_now;
	uint32_t mxcsr_now;

	(void)arg;
	asm volatile("fldcw %0" : : "m"(fcw));
	asm volatile("ldmxcsr %0" : : "m"(mxcsr));
	hold_vectors();
	asm volatile("fnstcw %0" : "=m"(fcw_now));
	asm volatile("stmxcsr %0" : "=m"(mxcsr_now));
	if (fcw_now != fcw)
		test_fail("x87 control word %#x, was %#x", fcw_now, fcw);
	if (mxcsr_now != mxcsr)
		test_fail("MXCSR %#x, was %#x", mxcsr_now, mxcsr);
	return NULL;
}

static void *mask_worker(void *arg)
{
	(void)arg;
	fill(masks_in, sizeof(masks_in), 5);
	spin_masks();
	for (int i = 0; i < 8; i++)
		if (masks_in[i] != masks_out[i])
			test_fail("mask register %d is %#lx, was %#lx", i, masks_out[i], masks_in[i]);
	return NULL;
}

/* Eight constants and what they leave on the x87 stack; 2 of them popped, so that its top is not at the start. */
static void *stack_worker(void *arg)
{
	long double left[6] = { 0 };

	(void)arg;
	asm volatile("fninit\n\t fldpi\n\t fldl2e\n\t fldl2t\n\t fldlg2\n\t fldln2\n\t fld1\n\t fldz\n\t fld1\n\t"
		     "fstp %%st(0)\n\t fstp %%st(0)\n\t" SPIN "fstpt (%[left])\n\t fstpt 16(%[left])\n\t"
		     "fstpt 32(%[left])\n\t fstpt 48(%[left])\n\t fstpt 64(%[left])\n\t fstpt 80(%[left])"
		     : [spinning] "=m"(spinning)
		     : [stop] "m"(stop), [left] "r"(left)
		     : "memory", "cc", "st", "st(1)", "st(2)", "st(3)", "st(4)", "st(5)", "st(6)", "st(7)");
	if (left[0] != 1 || left[1] < 0.693L || left[1] > 0.694L || left[5] < 3.141L || left[5] > 3.142L)
		test_fail("x87 stack: %Lf %Lf ... %Lf", left[0], left[1], left[5]);
	return NULL;
}

/* No code of its own runs between the two but the loop, as another may change the register. */
static void *pkru_worker(void *arg)
{
	uint32_t pkru = 0x55555550, now, zero; /* key 1 can be used */

	(void)arg;
	asm volatile("wrpkru" : : "a"(pkru), "c"(0), "d"(0));
	asm volatile(SPIN : [spinning] "=m"(spinning) : [stop] "m"(stop) : "memory", "cc");
	asm volatile("rdpkru" : "=a"(now), "=d"(zero) : "c"(0));
	asm volatile("wrpkru" : : "a"(0x55555554), "c"(0), "d"(0));
	if (now != pkru)
		test_fail("PKRU %#x, was %#x", now, pkru);
	return NULL;
}

static bool have_protection_keys(void)
{
	unsigned a, b, c, d;

	return __get_cpuid_count(7, 0, &a, &b, &c, &d) && c & 1 << 4; /* OSPKE */
}

static void start(pthread_t *thread, void *(*run)(void *))
{
	spinning = 0;
	test_check(!pthread_create(thread, NULL, run, NULL));
	while (!spinning)
		sched_yield();
}

int main(int argc, char **argv)
{
	pthread_t thread[4];
	int nr = 0;

	test_init(argc, argv);
	start(&thread[nr++], worker);
	start(&thread[nr++], stack_worker);
	if (__builtin_cpu_supports("avx512bw"))
		start(&thread[nr++], mask_worker);
	if (have_protection_keys())
		start(&thread[nr++], pkru_worker);
	test_ready();
	test_wait();
	stop = 1;
	while (nr)
		test_check(!pthread_join(thread[--nr], NULL));
	test_pass();
}
