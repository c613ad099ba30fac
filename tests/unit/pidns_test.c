// SPDX-License-Identifier: GPL-2.0-only
/* Finding a process of another PID namespace by its number in there, as on kernels that do not tell. */
#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/cleanup.h"
#include "criu-like/state/pidns.h"

static void test_scan(void **state)
{
	_cleanup_close_ int ns = -1;
	pid_t pid = geteuid() ? -1 : (pid_t)syscall(SYS_clone, CLONE_NEWPID | SIGCHLD, 0, 0, 0, 0);
	char path[64];

	if (!pid)
		for (;;)
			pause();
	if (pid < 0)
		skip();
	snprintf(path, sizeof(path), "/proc/%d/ns/pid", pid);
	ns = open(path, O_RDONLY | O_CLOEXEC);
	assert_true(ns >= 0);
	assert_int_equal(pidns_scan(ns, 0, 1), pid);   /* and not our own process 1 */
	assert_int_equal(pidns_scan(ns, pid, 1), pid); /* its leader, as a thread */
	assert_int_equal(pidns_scan(ns, 0, 2), -ESRCH);
	assert_int_equal(pidns_scan(ns, pid, 2), -ESRCH);
	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
}

static void test_none(void **state)
{
	const struct restore r = { 0 };

	assert_int_equal(pidns_outside(&r, 0, 4711), 4711);
	assert_null(pidns_init(&r));
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_scan), cmocka_unit_test(test_none) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
