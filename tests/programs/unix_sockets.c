// SPDX-License-Identifier: GPL-2.0-only
/* modes: plain eager lazy twice user new-pidns */
/*
 * UNIX sockets: pairs of all types with unread data, one with an end closed, one shut down; accepted connections with
 * the listener's name; datagrams by name, from a client without one; abstract names; a client that waits to be
 * accepted; a name that has been deleted.
 */
#include <stddef.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "harness.h"

static struct sockaddr_un addr;
static char dir[32] = "/tmp/thaw-test-XXXXXX";

/* Set the address: a path, relative for the suffix "relative", or an abstract name. Return: its length */
static socklen_t name(bool abstract, const char *suffix)
{
	memset(&addr, 0, sizeof(addr));
	addr.sun_family = AF_UNIX;
	if (abstract)
		snprintf(addr.sun_path + 1, sizeof(addr.sun_path) - 1, "thaw-test-%s", suffix);
	else if (!strcmp(suffix, "relative"))
		strcpy(addr.sun_path, suffix);
	else
		snprintf(addr.sun_path, sizeof(addr.sun_path), "%s/%s", dir, suffix);
	return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + abstract + strlen(addr.sun_path + abstract) +
			   !abstract);
}

static int bound(int type, socklen_t len)
{
	int fd = socket(AF_UNIX, type, 0);

	test_check(fd >= 0 && bind(fd, (void *)&addr, len) == 0);
	return fd;
}

static int client(int type, socklen_t len)
{
	int fd = socket(AF_UNIX, type, 0);

	test_check(fd >= 0 && connect(fd, (void *)&addr, len) == 0);
	return fd;
}

static void check_read(int fd, const char *want)
{
	char buf[64];
	ssize_t n = read(fd, buf, sizeof(buf));

	test_check(n == (ssize_t)strlen(want) && !memcmp(buf, want, (size_t)n));
}

static void check_name(int fd, const char *suffix)
{
	struct sockaddr_un a;
	socklen_t len = sizeof(a);

	memset(&a, 0, sizeof(a));
	test_check(getsockname(fd, (void *)&a, &len) == 0);
	test_check(suffix ? strstr(a.sun_path + !a.sun_path[0], suffix) != NULL : len == sizeof(sa_family_t));
}

static void talk(int a, int b)
{
	test_check(write(a, "ping", 4) == 4);
	check_read(b, "ping");
	test_check(write(b, "pong", 4) == 4);
	check_read(a, "pong");
}

int main(int argc, char **argv)
{
	static char big[100000], got[100000];
	int stream[2], dgram[2], seq[2], half[2], closed[2], listener, a[2], b[2], waits, server, sender, abs_server,
		abs_client;
	int gone, gone_client, relative, relative_client, on_child[2], status;
	uint64_t seed = test_seed() + 5;
	struct stat st;
	pid_t child;
	size_t done;

	test_init(argc, argv);
	test_check(mkdtemp(dir));
	for (size_t i = 0; i < sizeof(big); i++)
		big[i] = (char)test_random(&seed);
	test_check(socketpair(AF_UNIX, SOCK_STREAM, 0, stream) == 0 && socketpair(AF_UNIX, SOCK_DGRAM, 0, dgram) == 0);
	test_check(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, seq) == 0);
	test_check(socketpair(AF_UNIX, SOCK_STREAM, 0, half) == 0 && socketpair(AF_UNIX, SOCK_STREAM, 0, closed) == 0);
	test_check(write(stream[0], big, sizeof(big)) == sizeof(big) && write(stream[1], "back", 4) == 4);
	test_check(write(dgram[0], "one", 3) == 3 && write(dgram[0], "", 0) == 0 && write(dgram[0], "three", 5) == 5);
	test_check(write(seq[1], "first", 5) == 5 && write(seq[1], "second", 6) == 6);
	test_check(write(half[0], "last", 4) == 4 && shutdown(half[0], SHUT_WR) == 0);
	test_check(write(closed[1], "bye", 3) == 3 && close(closed[1]) == 0);
	listener = bound(SOCK_STREAM, name(false, "listen"));
	test_check(listen(listener, 5) == 0 && chmod(addr.sun_path, 0620) == 0);
	a[0] = client(SOCK_STREAM, name(false, "listen"));
	a[1] = accept(listener, NULL, NULL);
	b[0] = client(SOCK_STREAM, name(false, "listen"));
	b[1] = accept(listener, NULL, NULL);
	waits = client(SOCK_STREAM, name(false, "listen"));
	test_check(a[1] >= 0 && b[1] >= 0 && write(a[1], "hello", 5) == 5);
	server = bound(SOCK_DGRAM, name(false, "dgram"));
	sender = client(SOCK_DGRAM, name(false, "dgram"));
	test_check(write(sender, "d1", 2) == 2 && write(sender, "d2", 2) == 2);
	abs_server = bound(SOCK_SEQPACKET, name(true, "abstract"));
	test_check(listen(abs_server, 1) == 0);
	abs_client = client(SOCK_SEQPACKET, name(true, "abstract"));
	relative = bound(SOCK_DGRAM, name(false, "relative"));
	relative_client = client(SOCK_DGRAM, name(false, "relative"));
	gone = bound(SOCK_DGRAM, name(false, "gone"));
	gone_client = client(SOCK_DGRAM, name(false, "gone"));
	test_check(unlink(addr.sun_path) == 0);
	test_check(socketpair(AF_UNIX, SOCK_STREAM, 0, on_child) == 0);
	child = fork();
	test_check(child >= 0);
	if (!child) {
		close(on_child[0]);
		while (read(on_child[1], got, 1) == 1)
			if (write(on_child[1], got, 1) != 1)
				_exit(1);
		_exit(0);
	}
	close(on_child[1]);
	test_ready();
	test_wait();
	for (done = 0; done < sizeof(got);) {
		ssize_t n = read(stream[1], got + done, sizeof(got) - done);

		test_check(n > 0);
		done += (size_t)n;
	}
	test_check(!memcmp(big, got, sizeof(big)));
	check_read(stream[0], "back");
	talk(stream[0], stream[1]);
	check_read(dgram[1], "one");
	check_read(dgram[1], "");
	check_read(dgram[1], "three");
	talk(dgram[0], dgram[1]);
	check_read(seq[0], "first");
	check_read(seq[0], "second");
	talk(seq[0], seq[1]);
	test_check(fcntl(seq[0], F_GETFD) == FD_CLOEXEC);
	check_read(half[1], "last");
	test_check(read(half[1], got, 1) == 0 && write(half[1], "x", 1) == 1);
	check_read(half[0], "x");
	check_read(closed[0], "bye");
	test_check(read(closed[0], got, 1) == 0 && send(closed[0], "x", 1, MSG_NOSIGNAL) < 0 && errno == EPIPE);
	check_read(a[0], "hello");
	talk(a[0], a[1]);
	talk(b[0], b[1]);
	check_name(a[1], "listen");
	check_name(b[1], "listen");
	check_name(a[0], NULL);
	name(false, "listen");
	test_check(stat(addr.sun_path, &st) == 0 && (st.st_mode & 0777) == 0620);
	close(a[1]);
	a[1] = accept(listener, NULL, NULL);
	test_check(a[1] >= 0);
	talk(waits, a[1]);
	b[0] = client(SOCK_STREAM, name(false, "listen"));
	b[1] = accept(listener, NULL, NULL);
	test_check(b[1] >= 0);
	talk(b[0], b[1]);
	check_read(server, "d1");
	check_read(server, "d2");
	test_check(write(sender, "d3", 2) == 2);
	check_read(server, "d3");
	check_name(server, "dgram");
	b[1] = accept(abs_server, NULL, NULL);
	test_check(b[1] >= 0);
	talk(abs_client, b[1]);
	name(false, "gone");
	test_check(stat(addr.sun_path, &st) < 0 && write(gone_client, "g", 1) == 1);
	check_read(gone, "g");
	check_name(gone, "gone");
	test_check(write(on_child[0], "c", 1) == 1);
	check_read(on_child[0], "c");
	close(on_child[0]);
	test_check(waitpid(child, &status, 0) == child && status == 0);
	name(false, "relative");
	test_check(stat(addr.sun_path, &st) == 0 && write(relative_client, "r", 1) == 1);
	check_read(relative, "r");
	unlink(addr.sun_path);
	name(false, "listen");
	unlink(addr.sun_path);
	name(false, "dgram");
	unlink(addr.sun_path);
	rmdir(dir);
	test_pass();
}
