// SPDX-License-Identifier: GPL-2.0-only
/* modes: plain eager lazy leave-running twice user new-pidns new-pidns-lazy */
/*
 * Many threads, each with its own id, name, thread-local data, signal mask and alternative stack. After the
 * restore also what the kernel does at a thread's end: the robust list, the joinable id; and the rseq area it writes.
 */
#include <pthread.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/rseq.h>
#include <sys/syscall.h>

#include "harness.h"

#define NR 24
#define SIGSTACK_BYTES 32768

static pthread_barrier_t ready;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
static bool go;
static pthread_mutex_t robust[NR];
static __thread uint64_t tls_word = 42;
static __thread char tls_text[64];

struct facts {
	pid_t tid;
	char name[16];
	sigset_t mask;
	stack_t stack;
	uint64_t tls_word;
	char tls_text[64];
};

static void read_facts(struct facts *f)
{
	memset(f, 0, sizeof(*f));
	f->tid = gettid();
	test_check(!prctl(PR_GET_NAME, f->name));
	test_check(!pthread_sigmask(SIG_BLOCK, NULL, &f->mask));
	test_check(!sigaltstack(NULL, &f->stack));
	f->tls_word = tls_word;
	memcpy(f->tls_text, tls_text, sizeof(tls_text));
}

static void compare_facts(int nr, const struct facts *a, const struct facts *b)
{
	if (a->tid != b->tid)
		test_fail("thread %d: tid %d, was %d", nr, b->tid, a->tid);
	if (strcmp(a->name, b->name))
		test_fail("thread %d: name %s, was %s", nr, b->name, a->name);
	if (memcmp(&a->mask, &b->mask, 8))
		test_fail("thread %d: signal mask %#lx, was %#lx", nr, *(uint64_t *)&b->mask, *(uint64_t *)&a->mask);
	if (a->stack.ss_sp != b->stack.ss_sp || a->stack.ss_size != b->stack.ss_size)
		test_fail("thread %d: alternative stack %p, was %p", nr, b->stack.ss_sp, a->stack.ss_sp);
	if (a->tls_word != b->tls_word || memcmp(a->tls_text, b->tls_text, sizeof(a->tls_text)))
		test_fail("thread %d: thread-local data differ: %#lx, was %#lx", nr, b->tls_word, a->tls_word);
}

/* The kernel writes the CPU into the area that glibc registered: pinned to one, it must be that one. */
static void verify_rseq(int nr)
{
	const volatile struct rseq *area = (void *)((char *)__builtin_thread_pointer() + __rseq_offset);
	cpu_set_t cpus;
	unsigned cpu;

	if (!__rseq_size)
		return;
	test_check(!syscall(SYS_getcpu, &cpu, NULL, NULL));
	CPU_ZERO(&cpus);
	CPU_SET(cpu, &cpus);
	if (sched_setaffinity(0, sizeof(cpus), &cpus))
		return;
	sched_yield();
	if (area->cpu_id != cpu)
		test_fail("thread %d: rseq says CPU %d, it runs on %u", nr, (int)area->cpu_id, cpu);
}

static void set_up(int nr)
{
	char name[16];
	sigset_t set;
	stack_t stack = { .ss_sp = mmap(NULL, SIGSTACK_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
					0),
			  .ss_size = SIGSTACK_BYTES };

	snprintf(name, sizeof(name), "worker (%d)", nr);
	test_check(!prctl(PR_SET_NAME, name));
	tls_word = test_word((uint64_t)nr, 3);
	snprintf(tls_text, sizeof(tls_text), "text of thread %d", nr);
	sigemptyset(&set);
	sigaddset(&set, SIGRTMIN + nr);
	sigaddset(&set, SIGUSR2);
	test_check(!pthread_sigmask(SIG_SETMASK, &set, NULL));
	test_check(stack.ss_sp != MAP_FAILED && !sigaltstack(&stack, NULL));
}

static void *worker(void *arg)
{
	int nr = (int)(intptr_t)arg;
	struct facts before, after;

	set_up(nr);
	read_facts(&before);
	test_check(!pthread_mutex_lock(&robust[nr]));
	pthread_barrier_wait(&ready);
	pthread_mutex_lock(&lock);
	while (!go)
		pthread_cond_wait(&cond, &lock);
	pthread_mutex_unlock(&lock);
	read_facts(&after);
	compare_facts(nr, &before, &after);
	verify_rseq(nr);
	return (void *)(intptr_t)(nr + 1); /* with its robust mutex held */
}

int main(int argc, char **argv)
{
	pthread_t thread[NR];
	pthread_mutexattr_t attr;
	struct facts before, after;
	void *result;

	test_init(argc, argv);
	pthread_mutexattr_init(&attr);
	pthread_mutexattr_setrobust(&attr, PTHREAD_MUTEX_ROBUST);
	pthread_barrier_init(&ready, NULL, NR + 1);
	tls_word = 4711;
	for (int i = 0; i < NR; i++) {
		pthread_mutex_init(&robust[i], &attr);
		test_check(!pthread_create(&thread[i], NULL, worker, (void *)(intptr_t)i));
	}
	pthread_barrier_wait(&ready);
	read_facts(&before);
	test_ready();
	test_wait();
	read_facts(&after);
	compare_facts(-1, &before, &after);
	verify_rseq(-1);
	pthread_mutex_lock(&lock);
	go = true;
	pthread_cond_broadcast(&cond);
	pthread_mutex_unlock(&lock);
	for (int i = 0; i < NR; i++) {
		int got;

		test_check(!pthread_join(thread[i], &result));
		if ((intptr_t)result != i + 1)
			test_fail("thread %d returned %p", i, result);
		got = pthread_mutex_lock(&robust[i]);
		if (got != EOWNERDEAD)
			test_fail("the robust mutex of thread %d said %s", i, strerror(got));
	}
	test_pass();
}
