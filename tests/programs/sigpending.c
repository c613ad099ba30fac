// SPDX-License-Identifier: GPL-2.0-only
/* modes: plain eager lazy leave-running twice user new-pidns */
/*
 * Pending signals: of the process and of each thread, real-time ones in order and several of a kind, with all that was
 * sent along, also by the kernel. They are taken only after the restore.
 */
#include <pthread.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "harness.h"

#define NR 40

static pthread_barrier_t barrier;
static volatile bool taken;

static int take(int sig, siginfo_t *info)
{
	uint64_t set = 1ULL << (sig - 1);

	/* The C library's would make SI_USER of SI_TKILL. */
	return (int)syscall(SYS_rt_sigtimedwait, &set, info, &(struct timespec){ 0 }, sizeof(set));
}

static void *thread(void *arg)
{
	siginfo_t info;

	test_check(!pthread_sigqueue(pthread_self(), SIGRTMIN + 9, (union sigval){ .sival_int = 17 }));
	test_check(!pthread_kill(pthread_self(), SIGUSR1));
	pthread_barrier_wait(&barrier);
	pthread_barrier_wait(&barrier);
	test_check(take(SIGRTMIN + 9, &info) == SIGRTMIN + 9);
	test_check(info.si_value.sival_int == 17 && info.si_code == SI_QUEUE);
	test_check(take(SIGUSR1, &info) == SIGUSR1);
	test_check(info.si_code == SI_TKILL && info.si_pid == getpid());
	test_check(take(SIGRTMIN + 9, &info) < 0);
	return NULL;
}

static void verify_process(pid_t kid)
{
	siginfo_t info;

	for (int i = 0; i < NR; i++) {
		test_check(take(SIGRTMIN + i % 3, &info) == SIGRTMIN + i % 3);
		if (info.si_value.sival_int != i || info.si_pid != getpid() || info.si_uid != getuid())
			test_fail("signal %d of %d: value %d from pid %d uid %d", i, NR, info.si_value.sival_int,
				  info.si_pid, info.si_uid);
	}
	test_check(take(SIGCHLD, &info) == SIGCHLD);
	if (info.si_pid != kid || info.si_code != CLD_EXITED || info.si_status != 7)
		test_fail("SIGCHLD: pid %d code %d status %d", info.si_pid, info.si_code, info.si_status);
	test_check(take(SIGHUP, &info) == SIGHUP && info.si_code == SI_USER);
	for (int sig = 1; sig <= SIGRTMAX; sig++)
		if (sig != 32 && sig != 33 && take(sig, &info) == sig)
			test_fail("one signal %d too many", sig);
}

int main(int argc, char **argv)
{
	sigset_t all;
	pthread_t t;
	pid_t kid;

	test_init(argc, argv);
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, NULL);
	pthread_barrier_init(&barrier, NULL, 2);
	test_check(!pthread_create(&t, NULL, thread, NULL));
	pthread_barrier_wait(&barrier);
	for (int i = 0; i < NR; i++)
		test_check(!sigqueue(getpid(), SIGRTMIN + i % 3, (union sigval){ .sival_int = i }));
	/* Ignored later than sent, and sent later than ignored: both stay while blocked. */
	signal(SIGHUP, SIG_IGN);
	test_check(!kill(getpid(), SIGHUP));
	kid = fork();
	test_check(kid >= 0);
	if (!kid)
		_exit(7);
	test_check(waitpid(kid, NULL, 0) == kid);
	test_ready();
	test_wait();
	verify_process(kid);
	pthread_barrier_wait(&barrier);
	pthread_join(t, NULL);
	test_pass();
}
