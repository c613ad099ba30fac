// SPDX-License-Identifier: GPL-2.0-only
/* modes: plain eager lazy leave-running twice user new-pidns */
/*
 * Children that have ended and are not waited for: with exit statuses, killed by signals, as leaders of a process group
 * and of a session that live on. The statuses must come out as they were, and no SIGCHLD may come on top.
 */
#include <sched.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "harness.h"

static const struct {
	int status, signal;
} ends[] = { { 0, 0 },	     { 1, 0 },	     { 42, 0 },	     { 255, 0 }, { 0, SIGKILL },
	     { 0, SIGTERM }, { 0, SIGSEGV }, { 0, SIGUSR1 }, { 0, 40 },	 { 0, SIGABRT } };

#define NR (sizeof(ends) / sizeof(ends[0]))

static pid_t test_root, zombie[NR];
static volatile pid_t *member; /* [0] in the group of a zombie, [1] in the session of one */

static pid_t start(void)
{
	pid_t pid = fork();

	test_check(pid >= 0);
	if (!pid)
		test_forked();
	return pid;
}

static void __attribute__((noreturn)) end_with(size_t i)
{
	sigset_t none;

	prctl(PR_SET_NAME, "ended");
	if (ends[i].signal) {
		sigemptyset(&none);
		sigprocmask(SIG_SETMASK, &none, NULL);
		raise(ends[i].signal);
	}
	_exit(ends[i].status);
}

/* A member of what its parent leads; it waits to be told its own verdict. */
static void __attribute__((noreturn)) run_member(int nr)
{
	pid_t pgid = getpgid(0), sid = getsid(0), ppid = getppid();

	member[nr] = getpid();
	test_wait();
	if (getpgid(0) != pgid || getsid(0) != sid)
		test_fail("member %d: group %d, was %d; session %d, was %d", nr, getpgid(0), pgid, getsid(0), sid);
	if (getppid() != ppid)
		test_fail("member %d: parent %d, was %d", nr, getppid(), ppid);
	_exit(0);
}

static void await_zombie(pid_t pid)
{
	siginfo_t info;

	test_check(!waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT));
}

/* A leader with one member, which ends when the member is there and has become this process's child. */
static pid_t start_leader(int nr)
{
	pid_t pid = start();

	if (!pid) {
		test_check(nr ? setsid() > 0 : !setpgid(0, 0));
		if (!start()) {
			while (getppid() != test_root)
				sched_yield();
			run_member(nr);
		}
		_exit(7 + nr);
	}
	while (!member[nr])
		sched_yield();
	await_zombie(pid);
	return pid;
}

static void verify(pid_t pid, int status, int sig)
{
	siginfo_t info = { 0 };
	char path[32], name[32] = "";
	int fd, got;

	snprintf(path, sizeof(path), "/proc/%d/comm", pid);
	fd = open(path, O_RDONLY);
	test_check(fd >= 0 && read(fd, name, sizeof(name) - 1) > 0);
	close(fd);
	test_check(!waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG | WNOWAIT));
	if (info.si_pid != pid)
		test_fail("zombie %d is not there", pid);
	if (info.si_code != (sig ? CLD_KILLED : CLD_EXITED) || info.si_status != (sig ? sig : status))
		test_fail("zombie %d: code %d, status %d", pid, info.si_code, info.si_status);
	test_check(waitpid(pid, &got, 0) == pid);
	if (sig ? !WIFSIGNALED(got) || WTERMSIG(got) != sig : !WIFEXITED(got) || WEXITSTATUS(got) != status)
		test_fail("zombie %d ended with %#x", pid, got);
	if ((status < 7 || status > 8) && strcmp(name, "ended\n"))
		test_fail("zombie %d is called %s", pid, name);
}

int main(int argc, char **argv)
{
	static const struct rlimit no_core;
	static const struct timespec at_once;
	pid_t leader[2];
	sigset_t chld;
	int status;

	test_init(argc, argv);
	test_root = getpid();
	test_check(!setrlimit(RLIMIT_CORE, &no_core));
	sigemptyset(&chld);
	sigaddset(&chld, SIGCHLD);
	sigprocmask(SIG_BLOCK, &chld, NULL);
	test_check(!prctl(PR_SET_CHILD_SUBREAPER, 1));
	member = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	test_check(member != MAP_FAILED);
	for (size_t i = 0; i < NR; i++) {
		zombie[i] = start();
		if (!zombie[i])
			end_with(i);
		await_zombie(zombie[i]);
	}
	for (int i = 0; i < 2; i++)
		leader[i] = start_leader(i);
	test_check(sigtimedwait(&chld, NULL, &at_once) == SIGCHLD);
	test_ready();
	test_wait();

	if (sigtimedwait(&chld, NULL, &at_once) == SIGCHLD)
		test_fail("there is a SIGCHLD that was not there before");
	for (size_t i = 0; i < NR; i++)
		verify(zombie[i], ends[i].status, ends[i].signal);
	for (int i = 0; i < 2; i++) {
		verify(leader[i], 7 + i, 0);
		test_check(!kill(member[i], SIGUSR2));
		test_check(waitpid(member[i], &status, 0) == member[i]);
		if (status)
			_exit(1); /* its verdict stands */
	}
	test_pass();
}
