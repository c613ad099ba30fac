// SPDX-License-Identifier: GPL-2.0-only
/* modes: plain eager lazy leave-running twice user */
/*
 * Filters: two on top of each other that all threads share, one more on top in one thread, and a child in the strict
 * mode. Which judge, and in which order, shows in the errors of a call that nobody needs. None of them may hinder the
 * dump, though they would kill for what it injects.
 */
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "harness.h"

static pthread_barrier_t barrier;

/* Call @nr gets the error @err, or kills if it is 0; call @other the error 50. */
static void add_filter(unsigned flags, int nr, unsigned err, int other)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)nr, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, err ? SECCOMP_RET_ERRNO | err : SECCOMP_RET_KILL_PROCESS),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)other, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | 50),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog prog = { .len = sizeof(code) / sizeof(code[0]), .filter = code };

	if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &prog))
		test_skip("cannot install a filter: %s", strerror(errno));
}

static int error_of(long nr)
{
	return syscall(nr, 0, 0, 0) < 0 ? errno : 0;
}

static void *thread(void *arg)
{
	pthread_barrier_wait(&barrier);
	add_filter(0, SYS_acct, 63, SYS_swapoff);
	pthread_barrier_wait(&barrier);
	pthread_barrier_wait(&barrier);
	if (error_of(SYS_acct) != 63 || error_of(SYS_swapoff) != 50 || error_of(SYS_swapon) != 62)
		test_fail("thread: errors %d %d %d", error_of(SYS_acct), error_of(SYS_swapoff), error_of(SYS_swapon));
	return NULL;
}

/* Only read, write and _exit are left to it. */
static void __attribute__((noreturn)) strict_child(int in, int out)
{
	char byte;

	if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT) || write(out, "", 1) != 1 || read(in, &byte, 1) != 1)
		syscall(SYS_exit, 1);
	syscall(SYS_getppid);
	syscall(SYS_exit, 2);
	__builtin_unreachable();
}

int main(int argc, char **argv)
{
	int in[2], out[2], status;
	pthread_t t;
	pid_t kid;
	char byte;

	test_init(argc, argv);
	test_check(!pipe(in) && !pipe(out));
	kid = fork();
	test_check(kid >= 0);
	if (!kid)
		strict_child(in[0], out[1]);
	test_check(read(out[0], &byte, 1) == 1);
	pthread_barrier_init(&barrier, NULL, 2);
	test_check(!pthread_create(&t, NULL, thread, NULL));
	test_check(!prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
	/* The second is asked first, and of two errors the later filter's counts. Dumps need rt_sigaction. */
	add_filter(SECCOMP_FILTER_FLAG_TSYNC, SYS_acct, 61, SYS_reboot);
	add_filter(SECCOMP_FILTER_FLAG_TSYNC, SYS_rt_sigaction, 0, SYS_acct);
	add_filter(SECCOMP_FILTER_FLAG_TSYNC, SYS_swapon, 62, SYS_prlimit64);
	pthread_barrier_wait(&barrier);
	pthread_barrier_wait(&barrier);
	test_ready();
	test_wait();
	if (error_of(SYS_acct) != 50 || error_of(SYS_swapon) != 62 || error_of(SYS_prlimit64) != 50 ||
	    error_of(SYS_reboot) != 50)
		test_fail("errors %d %d %d %d", error_of(SYS_acct), error_of(SYS_swapon), error_of(SYS_prlimit64),
			  error_of(SYS_reboot));
	pthread_barrier_wait(&barrier);
	pthread_join(t, NULL);
	/* One chain to the kernel still: all threads that are left can be given one more. */
	add_filter(SECCOMP_FILTER_FLAG_TSYNC, SYS_swapoff, 64, SYS_swapoff);
	test_check(error_of(SYS_swapoff) == 64);
	test_check(write(in[1], "", 1) == 1);
	test_check(waitpid(kid, &status, 0) == kid);
	if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGKILL)
		test_fail("the child in strict mode ended with %#x", status);
	test_pass();
}
