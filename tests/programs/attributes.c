// SPDX-License-Identifier: GPL-2.0-only
/* modes: plain eager lazy leave-running twice user */
/*
 * What prctl(2) and arch_prctl(2) can tell of threads and processes, each as this machine allows it; and syscall user
 * dispatch, which must still catch what it caught.
 */
#include <asm/prctl.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include "harness.h"

#ifndef PR_GET_MDWE
#define PR_SET_MDWE 65
#define PR_GET_MDWE 66
#endif
#define SET_MEMORY_MERGE 67
#define GET_MEMORY_MERGE 68

#define THREADS 4
#define OWN_CALL 0x123456 /* no system call has that number */

static pthread_barrier_t barrier;
static volatile char selector = SYSCALL_DISPATCH_FILTER_ALLOW;
static volatile long caught;

struct facts {
	int tsc;
	long cpuid, stores, branches, mce_kill, mdwe, merge, thp, flusher;
};

static struct facts read_facts(void)
{
	struct facts f = { 0 };

	test_check(!prctl(PR_GET_TSC, &f.tsc));
	f.cpuid = syscall(SYS_arch_prctl, ARCH_GET_CPUID, 0);
	f.stores = prctl(PR_GET_SPECULATION_CTRL, PR_SPEC_STORE_BYPASS, 0, 0, 0);
	f.branches = prctl(PR_GET_SPECULATION_CTRL, PR_SPEC_INDIRECT_BRANCH, 0, 0, 0);
	f.mce_kill = prctl(PR_MCE_KILL_GET, 0, 0, 0, 0);
	f.mdwe = prctl(PR_GET_MDWE, 0, 0, 0, 0);
	f.merge = prctl(GET_MEMORY_MERGE, 0, 0, 0, 0);
	f.thp = prctl(PR_GET_THP_DISABLE, 0, 0, 0, 0);
	f.flusher = prctl(PR_GET_IO_FLUSHER, 0, 0, 0, 0);
	return f;
}

static void compare(long who, struct facts a, struct facts b)
{
	if (a.tsc != b.tsc || a.cpuid != b.cpuid || a.stores != b.stores || a.branches != b.branches ||
	    a.mce_kill != b.mce_kill || a.mdwe != b.mdwe || a.merge != b.merge || a.thp != b.thp ||
	    a.flusher != b.flusher)
		test_fail(
			"thread %ld: TSC %d CPUID %ld speculation %ld %ld MCE %ld MDWE %ld KSM %ld THP %ld IO %ld, was "
			"%d %ld %ld %ld %ld %ld %ld %ld %ld",
			who, b.tsc, b.cpuid, b.stores, b.branches, b.mce_kill, b.mdwe, b.merge, b.thp, b.flusher, a.tsc,
			a.cpuid, a.stores, a.branches, a.mce_kill, a.mdwe, a.merge, a.thp, a.flusher);
}

static void on_sigsys(int sig, siginfo_t *info, void *context)
{
	(void)sig, (void)context;
	selector = SYSCALL_DISPATCH_FILTER_ALLOW;
	caught = info->si_syscall;
}

static void use_dispatch(void)
{
	caught = 0;
	selector = SYSCALL_DISPATCH_FILTER_BLOCK;
	asm volatile("syscall" : : "a"((long)OWN_CALL) : "rcx", "r11", "memory");
	selector = SYSCALL_DISPATCH_FILTER_ALLOW;
	if (caught != OWN_CALL)
		test_fail("syscall user dispatch is off: %#lx was caught", caught);
}

static bool set_up(long who)
{
	/* What the machine does not have stays as it is. */
	switch (who) {
	case 0:
		test_check(!prctl(PR_SET_TSC, PR_TSC_SIGSEGV));
		test_check(!prctl(PR_MCE_KILL, PR_MCE_KILL_SET, PR_MCE_KILL_EARLY, 0, 0));
		return false;
	case 1:
		syscall(SYS_arch_prctl, ARCH_SET_CPUID, 0);
		prctl(PR_SET_SPECULATION_CTRL, PR_SPEC_STORE_BYPASS, PR_SPEC_DISABLE, 0, 0);
		return false;
	case 2:
		prctl(PR_SET_SPECULATION_CTRL, PR_SPEC_INDIRECT_BRANCH, PR_SPEC_FORCE_DISABLE, 0, 0);
		prctl(PR_SET_IO_FLUSHER, 1, 0, 0, 0);
		return false;
	default:
		return !prctl(PR_SET_SYSCALL_USER_DISPATCH, PR_SYS_DISPATCH_ON, 0, 0, &selector);
	}
}

static void *thread(void *arg)
{
	long who = (long)arg;
	struct facts before;
	bool dispatch = set_up(who);

	before = read_facts();
	if (dispatch)
		use_dispatch();
	pthread_barrier_wait(&barrier);
	/* Nothing but the dump's own calls is made while they are blocked. */
	pthread_barrier_wait(&barrier);
	compare(who, before, read_facts());
	if (dispatch)
		use_dispatch();
	return NULL;
}

int main(int argc, char **argv)
{
	struct sigaction sa = { .sa_sigaction = on_sigsys, .sa_flags = SA_SIGINFO };
	struct facts before;
	pthread_t t[THREADS];

	test_init(argc, argv);
	test_check(!sigaction(SIGSYS, &sa, NULL));
	prctl(SET_MEMORY_MERGE, 1, 0, 0, 0);
	if (prctl(PR_SET_THP_DISABLE, 1, 2, 0, 0))
		test_check(!prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0));
	prctl(PR_SET_MDWE, 1, 0, 0, 0);
	pthread_barrier_init(&barrier, NULL, THREADS + 1);
	for (long i = 0; i < THREADS; i++)
		test_check(!pthread_create(&t[i], NULL, thread, (void *)i));
	pthread_barrier_wait(&barrier);
	before = read_facts();
	test_ready();
	test_wait();
	compare(-1, before, read_facts());
	if (before.mdwe > 0)
		test_check(mmap(NULL, 4096, PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED);
	pthread_barrier_wait(&barrier);
	for (int i = 0; i < THREADS; i++)
		test_check(!pthread_join(t[i], NULL));
	test_pass();
}
