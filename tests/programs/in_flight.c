// SPDX-License-Identifier: GPL-2.0-only
/* modes: plain eager lazy leave-running twice user */
/*
 * Descriptors in flight: sent over UNIX sockets of all types and not received yet. Files that the program has open as
 * well, and files that nobody has; a pipe with one end in flight; a socket in flight, in whose queue another file is; a
 * deleted file; a stream whose descriptors come behind plain bytes; a socket in its own queue; empty messages, and the
 * end of file behind one.
 */
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "harness.h"

static void pass(int sock, const char *text, const int *fds, size_t nr)
{
	_Alignas(struct cmsghdr) char control[CMSG_SPACE(8 * sizeof(int))] = { 0 };
	struct iovec iov = { (char *)text, strlen(text) };
	struct msghdr msg = {
		.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = CMSG_SPACE(nr * sizeof(int))
	};
	struct cmsghdr *c = CMSG_FIRSTHDR(&msg);

	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(nr * sizeof(int));
	memcpy(CMSG_DATA(c), fds, nr * sizeof(int));
	test_check(sendmsg(sock, &msg, 0) == (ssize_t)strlen(text));
}

/* Read up to @size bytes, which must be @text, and @nr descriptors that come with them. */
static void take(int sock, size_t size, const char *text, int *fds, size_t nr)
{
	_Alignas(struct cmsghdr) char control[CMSG_SPACE(8 * sizeof(int))] = { 0 };
	char buf[64];
	struct iovec iov = { buf, size };
	struct msghdr msg = {
		.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control)
	};
	ssize_t len = recvmsg(sock, &msg, MSG_DONTWAIT);
	struct cmsghdr *c = CMSG_FIRSTHDR(&msg);

	if (len != (ssize_t)strlen(text) || memcmp(buf, text, (size_t)len) != 0)
		test_fail("read %zd bytes \"%.*s\", not \"%s\"", len, (int)(len < 0 ? 0 : len), buf, text);
	if (!nr) {
		if (c)
			test_fail("a control message of type %d came with \"%s\"", c->cmsg_type, text);
		return;
	}
	test_check(c && c->cmsg_type == SCM_RIGHTS && c->cmsg_len == CMSG_LEN(nr * sizeof(int)));
	memcpy(fds, CMSG_DATA(c), nr * sizeof(int));
}

static void check_content(int fd, const char *want)
{
	char buf[64];
	ssize_t n = read(fd, buf, sizeof(buf));

	if (n != (ssize_t)strlen(want) || memcmp(buf, want, (size_t)n) != 0)
		test_fail("read %zd bytes \"%.*s\", not \"%s\"", n, (int)(n < 0 ? 0 : n), buf, want);
}

static int file_with(const char *text)
{
	char name[] = "/tmp/thaw-test-XXXXXX";
	int fd = mkstemp(name);

	test_check(fd >= 0 && unlink(name) == 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text));
	test_check(lseek(fd, 2, SEEK_SET) == 2);
	return fd;
}

int main(int argc, char **argv)
{
	int stream[2], dgram[2], seq[2], inner[2], own[2], ended[2], pipes[2], kept, fd, got[4];

	test_init(argc, argv);
	test_check(socketpair(AF_UNIX, SOCK_STREAM, 0, stream) == 0 && socketpair(AF_UNIX, SOCK_DGRAM, 0, dgram) == 0);
	test_check(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, seq) == 0 && socketpair(AF_UNIX, SOCK_STREAM, 0, inner) == 0);
	test_check(socketpair(AF_UNIX, SOCK_STREAM, 0, own) == 0 && pipe(pipes) == 0);

	kept = file_with("--both");
	fd = file_with("--alone");
	test_check(write(stream[0], "before", 6) == 6);
	pass(stream[0], "one", &kept, 1);
	test_check(write(stream[0], "after", 5) == 5);
	pass(stream[0], "two", &fd, 1);
	close(fd);

	test_check(write(pipes[1], "in the pipe", 11) == 11);
	pass(dgram[0], "", &pipes[0], 1);
	close(pipes[0]);
	fd = file_with("--inner");
	pass(inner[0], "i", &fd, 1);
	close(fd);
	pass(seq[0], "sockets", inner, 2);
	pass(seq[0], "again", (int[]){ kept, kept }, 2);
	close(inner[0]);
	close(inner[1]);
	pass(own[0], "self", &own[1], 1);
	test_check(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, ended) == 0);
	test_check(write(ended[0], "x", 1) == 1 && send(ended[0], "", 0, 0) == 0 && close(ended[0]) == 0);
	test_ready();
	test_wait();

	take(stream[1], 6, "before", NULL, 0);
	take(stream[1], 3, "one", got, 1);
	check_content(got[0], "both");
	test_check(lseek(kept, 0, SEEK_CUR) == 6);
	take(stream[1], 5, "after", NULL, 0);
	take(stream[1], 64, "two", got, 1);
	check_content(got[0], "alone");
	take(dgram[1], 64, "", got, 1);
	check_content(got[0], "in the pipe");
	test_check(write(pipes[1], "more", 4) == 4);
	check_content(got[0], "more");
	take(seq[1], 64, "sockets", inner, 2);
	take(inner[1], 64, "i", got, 1);
	check_content(got[0], "inner");
	test_check(write(inner[1], "reply", 5) == 5);
	check_content(inner[0], "reply");
	take(seq[1], 64, "again", got, 2);
	test_check(lseek(kept, 0, SEEK_SET) == 0 && lseek(got[0], 0, SEEK_CUR) == 0 && lseek(got[1], 1, SEEK_SET) == 1);
	test_check(lseek(kept, 0, SEEK_CUR) == 1);
	take(ended[1], 64, "x", NULL, 0);
	take(ended[1], 64, "", NULL, 0);
	test_check(read(ended[1], got, 1) == 0);
	take(own[1], 64, "self", got, 1);
	close(own[1]);
	test_check(write(own[0], "still", 5) == 5);
	check_content(got[0], "still");
	test_pass();
}
