// SPDX-License-Identifier: GPL-2.0-only
/* modes: plain eager*20 lazy leave-running twice user */
/*
 * Restartable sequences: two threads are nearly always inside one. While they are, the kernel must know it: a thread
 * that is dumped there and goes on in the middle, forgotten by the kernel, has lost its protection.
 */
#include <pthread.h>
#include <sched.h>
#include <sys/rseq.h>

#include "harness.h"

static volatile bool stop;
static volatile unsigned long finished[2];

/*
 * One sequence: announce it, count down, see that it is still announced, commit. Aborted, it starts again.
 * Return: whether it was still announced at its end
 */
static bool sequence(struct rseq *area, unsigned long rounds)
{
	unsigned long left, seen;

	asm volatile(".pushsection __rseq_cs, \"aw\"\n"
		     ".balign 32\n"
		     "1: .long 0, 0\n"
		     ".quad 2f, 3f - 2f, 4f\n"
		     ".popsection\n"
		     "5: lea 1b(%%rip), %[left]\n"
		     "mov %[left], %[cs]\n"
		     "2: mov %[rounds], %[left]\n"
		     "6: dec %[left]\n"
		     "jnz 6b\n"
		     "mov %[cs], %[seen]\n"
		     "3: jmp 7f\n"
		     ".byte 0x0f, 0xb9, 0x3d\n"
		     ".long %c[sig]\n"
		     "4: jmp 5b\n"
		     "7:\n"
		     : [left] "=&r"(left), [seen] "=&r"(seen), [cs] "+m"(area->rseq_cs)
		     : [rounds] "r"(rounds), [sig] "i"(RSEQ_SIG)
		     : "memory", "cc");
	return seen != 0;
}

static struct rseq *own_area(void)
{
	return (struct rseq *)((char *)__builtin_thread_pointer() + __rseq_offset);
}

static void *thread(void *arg)
{
	int who = (int)(intptr_t)arg;

	while (!stop) {
		if (!sequence(own_area(), 20000))
			test_fail("thread %d went on in a sequence that the kernel had forgotten", who);
		finished[who]++;
	}
	return NULL;
}

static void *waiter(void *arg)
{
	unsigned long before[2];

	test_wait();
	for (int i = 0; i < 2; i++) {
		before[i] = finished[i];
		while (finished[i] == before[i])
			sched_yield();
	}
	stop = true;
	return NULL;
}

/* The leader is one of the two: it is the first in which a dump runs anything. */
int main(int argc, char **argv)
{
	pthread_t t[2];

	test_init(argc, argv);
	if (!__rseq_size)
		test_skip("the C library has registered no rseq area");
	test_check(!pthread_create(&t[0], NULL, waiter, NULL));
	test_check(!pthread_create(&t[1], NULL, thread, (void *)1));
	while (!finished[1])
		sched_yield();
	test_ready();
	thread((void *)0);
	pthread_join(t[0], NULL);
	pthread_join(t[1], NULL);
	if ((int)own_area()->cpu_id < 0 || (int)own_area()->cpu_id >= CPU_SETSIZE)
		test_fail("the kernel does not write into the area: cpu_id %d", (int)own_area()->cpu_id);
	test_pass();
}
