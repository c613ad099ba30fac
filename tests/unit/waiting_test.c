// SPDX-License-Identifier: GPL-2.0-only
/*
 * System calls with a time-out: which one a task sleeps in, for how long, and how its registers are made to go on with
 * it.
 */
#include "criu-like/inject/waiting.h"

#include <errno.h>
#include <linux/futex.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/cleanup.h"
#include "common/util.h"
#include "criu-like/inject/arch.h"
#include "criu-like/inspect/proc.h"

#define NS_PER_MS 1000000ULL

static void in_nanosleep(void)
{
	syscall(SYS_nanosleep, &(struct timespec){ .tv_sec = 1000 }, NULL);
}

static void in_clock_nanosleep(void)
{
	clock_nanosleep(CLOCK_MONOTONIC, 0, &(struct timespec){ .tv_sec = 1000 }, NULL);
}

static void in_poll(void)
{
	poll(NULL, 0, 1000000);
}

static void in_futex(void)
{
	uint32_t word = 0;

	syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, 0, &(struct timespec){ .tv_sec = 1000 }, NULL, 0);
}

static void in_pause(void)
{
	pause();
}

/* A child that sleeps in that call. */
static pid_t start(void (*call)(void))
{
	pid_t pid = fork();
	struct proc_stat stat = { 0 };
	_cleanup_close_ int fd = -1;

	assert_true(pid >= 0);
	if (!pid) {
		call();
		_exit(0);
	}
	fd = proc_open(pid);
	while (stat.state != 'S')
		assert_int_equal(proc_read_stat(fd, "stat", &stat), 0);
	return pid;
}

static void end(pid_t pid)
{
	kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, NULL, __WALL), pid);
}

static const struct {
	void (*call)(void);
	long nr;
} calls[] = {
	{ in_nanosleep, SYS_nanosleep },
	{ in_clock_nanosleep, SYS_clock_nanosleep },
	{ in_poll, SYS_poll },
	{ in_futex, SYS_futex },
	{ in_pause, 0 },
};

static void test_which(void **state)
{
	for (size_t i = 0; i < ARRAY_SIZE(calls); i++) {
		pid_t pid = start(calls[i].call);
		struct waiting w;

		waiting_read(pid, pid, &w);
		assert_int_equal(w.nr, calls[i].nr);
		assert_int_equal(!w.since, !w.nr);
		end(pid);
	}
}

/* A stop in between makes the kernel restart the call: it then is told by what the task sleeps in. */
static void test_restarted(void **state)
{
	for (size_t i = 0; i < ARRAY_SIZE(calls) - 1; i++) {
		struct waiting w = { 0 };
		pid_t pid = start(calls[i].call);
		int status;

		kill(pid, SIGSTOP);
		assert_int_equal(waitpid(pid, &status, WUNTRACED), pid);
		kill(pid, SIGCONT);
		assert_int_equal(waitpid(pid, &status, WCONTINUED), pid);
		while (!w.nr)
			waiting_read(pid, pid, &w);
		assert_int_equal(w.nr, calls[i].nr);
		end(pid);
	}
}

static void test_how_long(void **state)
{
	uint64_t clocks[1024] = { 0 }, began = now_ns(), waited;
	pid_t pid = start(in_nanosleep);
	struct waiting w;

	nanosleep(&(struct timespec){ .tv_nsec = 50 * NS_PER_MS }, NULL);
	waiting_read(pid, pid, &w);
	waited = waiting_time(&w, clocks, ARRAY_SIZE(clocks));
	assert_in_range(waited, 25 * NS_PER_MS, now_ns() - began);
	assert_true(clocks[w.cpu]);
	assert_int_equal(waiting_time(&w, clocks, ARRAY_SIZE(clocks)), waited);
	w.cpu = ARRAY_SIZE(clocks);
	assert_int_equal(waiting_time(&w, clocks, ARRAY_SIZE(clocks)), 0);
	end(pid);
}

/* A seized task is run into poll with little time, and then goes on with it until the time is over. */
static void test_interrupted(void **state)
{
	pid_t pid = start(in_pause);
	const struct arch_timed_call *call = arch_timed_call(SYS_poll);
	struct tracee t;
	uint64_t insn, nr, arg[6];
	int64_t result;

	assert_int_equal(tracee_seize(&t, pid, pid, 0), 0);
	assert_int_equal(tracee_wait(&t), 0);
	insn = t.regs.rip - 2;
	assert_int_equal(tracee_interrupted_call(&t, insn, call->nr, (const uint64_t[6]){ 0, 0, 20 }, &result), 0);
	assert_int_equal(result, -ARCH_ERESTART_RESTARTBLOCK);
	assert_true(arch_regs_interrupted(&t.stub_regs, -1, &nr, arg));
	assert_int_equal(nr, SYS_poll);
	assert_int_equal(arg[2], 20);
	assert_int_equal(tracee_syscall(&t, insn, ARCH_SYS_restart_syscall, (const uint64_t[6]){ 0 }, &result), 0);
	assert_int_equal(result, 0);
	/* One that has nothing to wait for is not interrupted. */
	assert_int_equal(tracee_interrupted_call(&t, insn, SYS_getpid, (const uint64_t[6]){ 0 }, &result), 0);
	assert_int_equal(result, pid);
	assert_int_equal(tracee_release(&t), 0);
	end(pid);
}

static void test_registers(void **state)
{
	struct user_regs_struct regs = { .rip = 1002,
					 .rax = (uint64_t)-ARCH_ERESTART_RESTARTBLOCK,
					 .orig_rax = SYS_poll };
	uint64_t nr, arg[6];

	assert_true(arch_regs_interrupted(&regs, -1, &nr, arg));
	arch_regs_restart(&regs, ARCH_SYS_restart_syscall);
	assert_int_equal(regs.rip, 1000);
	arch_regs_restart(&regs, ARCH_SYS_restart_syscall); /* it stands there already */
	assert_int_equal(regs.rip, 1000);
	assert_int_equal(regs.rax, ARCH_SYS_restart_syscall);
	assert_false(arch_regs_interrupted(&regs, -1, &nr, arg)); /* no such instruction there */
	arch_regs_returned(&regs, -ETIMEDOUT);
	assert_int_equal(regs.rip, 1002);
	assert_int_equal(arch_regs_result(&regs), -ETIMEDOUT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_which),	    cmocka_unit_test(test_restarted), cmocka_unit_test(test_how_long),
		cmocka_unit_test(test_interrupted), cmocka_unit_test(test_registers),
	};
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	sigprocmask(SIG_BLOCK, &set, NULL);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
