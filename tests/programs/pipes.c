// SPDX-License-Identifier: GPL-2.0-only
/* modes: plain eager lazy leave-running twice user new-pidns */
/*
 * Pipes: content, size, flags; packets; ends closed; both ends in one process and in two; one end opened twice; 200
 * small ones. A FIFO with content, opened for reading and writing, and at one end only.
 */
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "harness.h"

#define MANY 200

static void check_content(int fd, const char *want)
{
	char buf[64];
	ssize_t n = read(fd, buf, sizeof(buf));

	test_check(n == (ssize_t)strlen(want) && !memcmp(buf, want, (size_t)n));
}

static int waiting(int fd)
{
	int n = -1;

	test_check(ioctl(fd, FIONREAD, &n) == 0);
	return n;
}

/* A child at the other end: what it reads comes back with one added to each byte. */
static void echo(int in, int out)
{
	char c;

	while (read(in, &c, 1) == 1) {
		c++;
		if (write(out, &c, 1) != 1)
			_exit(1);
	}
	_exit(0);
}

int main(int argc, char **argv)
{
	int plain[2], packets[2], ended[2], broken[2], to[2], from[2], many[MANY][2], both, reader, twice, status;
	char path[4096], proc[64], big[70000];
	uint64_t seed = test_seed() + 1;
	pid_t child;

	test_init(argc, argv);
	test_check(pipe2(plain, O_CLOEXEC) == 0 && fcntl(plain[0], F_SETPIPE_SZ, 1 << 18) == 1 << 18);
	for (size_t i = 0; i < sizeof(big); i++)
		big[i] = (char)test_random(&seed);
	test_check(write(plain[1], big, sizeof(big)) == sizeof(big));
	snprintf(proc, sizeof(proc), "/proc/self/fd/%d", plain[0]);
	twice = open(proc, O_RDONLY | O_NONBLOCK);
	test_check(twice >= 0);
	test_check(pipe2(packets, O_DIRECT | O_NONBLOCK) == 0);
	test_check(write(packets[1], "one", 3) == 3 && write(packets[1], "three", 5) == 5);
	test_check(pipe(ended) == 0 && write(ended[1], "end", 3) == 3 && close(ended[1]) == 0);
	test_check(pipe(broken) == 0 && close(broken[0]) == 0);
	for (int i = 0; i < MANY; i++)
		test_check(pipe(many[i]) == 0 && write(many[i][1], &i, sizeof(i)) == sizeof(i));
	test_check(pipe(to) == 0 && pipe(from) == 0);
	child = fork();
	test_check(child >= 0);
	if (!child) {
		close(to[1]);
		close(from[0]);
		echo(to[0], from[1]);
	}
	close(to[0]);
	close(from[1]);
	snprintf(path, sizeof(path), "%s.fifo", argv[1]);
	unlink(path);
	test_check(mkfifo(path, 0600) == 0);
	both = open(path, O_RDWR);
	reader = open(path, O_RDONLY | O_NONBLOCK);
	test_check(both >= 0 && reader >= 0 && write(both, "fifo", 4) == 4);
	test_ready();
	test_wait();
	test_check(fcntl(plain[1], F_GETPIPE_SZ) == 1 << 18 && waiting(plain[0]) == (int)sizeof(big));
	test_check(fcntl(plain[0], F_GETFD) == FD_CLOEXEC && !(fcntl(plain[0], F_GETFL) & O_NONBLOCK));
	test_check(fcntl(twice, F_GETFL) & O_NONBLOCK && waiting(twice) == (int)sizeof(big));
	seed = test_seed() + 1;
	for (size_t i = 0; i < sizeof(big); i++) {
		char c;

		test_check(read(i % 2 ? twice : plain[0], &c, 1) == 1 && c == (char)test_random(&seed));
	}
	test_check(read(twice, big, 1) < 0 && errno == EAGAIN);
	test_check(fcntl(packets[1], F_GETFL) & O_DIRECT);
	check_content(packets[0], "one");
	check_content(packets[0], "three");
	test_check(read(packets[0], big, 1) < 0 && errno == EAGAIN);
	check_content(ended[0], "end");
	test_check(read(ended[0], big, 1) == 0);
	signal(SIGPIPE, SIG_IGN);
	test_check(write(broken[1], "x", 1) < 0 && errno == EPIPE);
	for (int i = 0, got; i < MANY; i++)
		test_check(read(many[i][0], &got, sizeof(got)) == sizeof(got) && got == i);
	test_check(write(to[1], "HAL", 3) == 3 && close(to[1]) == 0);
	test_check(waitpid(child, &status, 0) == child && status == 0);
	check_content(from[0], "IBM");
	test_check(read(from[0], big, 1) == 0);
	check_content(reader, "fifo");
	test_check(write(both, "more", 4) == 4);
	check_content(reader, "more");
	test_pass();
}
