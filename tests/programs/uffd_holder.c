// SPDX-License-Identifier: GPL-2.0-only
/* modes: plain */
/* needs: userfaultfd */
/* Holds a userfaultfd, which no dump can take; tests/faults/dump has it refused. */
#include <sys/syscall.h>

#include "harness.h"

int main(int argc, char **argv)
{
	int fd;

	test_init(argc, argv);
	fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC);
	if (fd < 0)
		test_skip("userfaultfd: %s", strerror(errno));
	test_ready();
	test_wait();
	test_check(fcntl(fd, F_GETFD) == FD_CLOEXEC);
	test_pass();
}
