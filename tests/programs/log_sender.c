// SPDX-License-Identifier: GPL-2.0-only
/* For tests/e2e/log_socket: sends a word to two sockets that are somebody else's, before and after. */
#include <stddef.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "harness.h"

static int connected(const char *name, size_t len)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_DGRAM, 0);

	test_check(fd >= 0 && len <= sizeof(a.sun_path));
	memcpy(a.sun_path, name, len);
	test_check(connect(fd, (void *)&a, (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len)) == 0);
	return fd;
}

int main(int argc, char **argv)
{
	char path[108];
	int named, abstract;

	test_init(argc, argv);
	test_check(getcwd(path, sizeof(path) - 10) != NULL);
	strcat(path, "/log");
	named = connected(path, strlen(path) + 1);
	abstract = connected("\0thaw-test-log", 14);
	test_check(write(named, "before", 6) == 6 && write(abstract, "before", 6) == 6);
	test_ready();
	test_wait();
	test_check(write(named, "after", 5) == 5 && write(abstract, "after", 5) == 5);
	test_pass();
}
