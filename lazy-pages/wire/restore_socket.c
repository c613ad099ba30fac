// SPDX-License-Identifier: GPL-2.0-only
#include "lazy-pages/wire/restore_socket.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/util.h"

/* The name goes through the directory's descriptor: sun_path is short, directories may be long. */
static int socket_address(const char *work_dir, const char *name, struct sockaddr_un *addr, struct diag *diag)
{
	int fd = open(work_dir, O_PATH | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return diag_fail(diag, errno, "cannot open the work directory %s: %s", work_dir, strerror(errno));
	*addr = (struct sockaddr_un){ .sun_family = AF_UNIX };
	snprintf(addr->sun_path, sizeof(addr->sun_path), "/proc/self/fd/%d/%s", fd, name);
	return fd;
}

static int try_connect(const struct sockaddr_un *addr)
{
	_cleanup_close_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || connect(fd, (const struct sockaddr *)addr, sizeof(*addr)))
		return -errno;
	return TAKE_FD(fd);
}

int restore_socket_listen(const char *work_dir, struct diag *diag)
{
	_cleanup_close_ int dir = -1, fd = -1;
	struct sockaddr_un addr;
	int probe, on = 1;

	dir = socket_address(work_dir, RESTORE_SOCKET_NAME, &addr, diag);
	if (dir < 0)
		return dir;
	probe = try_connect(&addr);
	if (probe >= 0) {
		close(probe);
		return diag_fail(diag, EADDRINUSE, "a lazy-pages server listens on %s/%s already", work_dir,
				 RESTORE_SOCKET_NAME);
	}
	if (probe == -ECONNREFUSED)
		unlinkat(dir, RESTORE_SOCKET_NAME, 0);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	/* The mode that the socket has before bind() is the one that its file gets. */
	if (fd < 0 || fchmod(fd, 0600) || setsockopt(fd, SOL_SOCKET, SO_PASSCRED, &on, sizeof(on)) ||
	    bind(fd, (struct sockaddr *)&addr, sizeof(addr)))
		return diag_fail(diag, errno, "cannot make the socket %s/%s: %s", work_dir, RESTORE_SOCKET_NAME,
				 strerror(errno));
	if (listen(fd, 16)) {
		int code = errno;

		unlinkat(dir, RESTORE_SOCKET_NAME, 0);
		return diag_fail(diag, code, "cannot listen on %s/%s: %s", work_dir, RESTORE_SOCKET_NAME,
				 strerror(code));
	}
	unlinkat(dir, RESTORE_SOCKET_KIN, 0);
	return TAKE_FD(fd);
}

void restore_socket_take_shared(const char *work_dir, struct diag *diag)
{
	_cleanup_close_ int dir = open(work_dir, O_PATH | O_DIRECTORY | O_CLOEXEC);

	if (dir < 0 || linkat(dir, RESTORE_SOCKET_NAME, dir, RESTORE_SOCKET_KIN, 0))
		diag_warn(diag, "cannot make %s/%s, so shared memory will not be served: %s", work_dir,
			  RESTORE_SOCKET_KIN, strerror(errno));
}

/* Remove a name, unless somebody listens there. */
static void unlink_dead(int dir, const char *name)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int probe;

	snprintf(addr.sun_path, sizeof(addr.sun_path), "/proc/self/fd/%d/%s", dir, name);
	probe = try_connect(&addr);
	if (probe >= 0)
		close(probe);
	else if (probe == -ECONNREFUSED)
		unlinkat(dir, name, 0);
}

void restore_socket_unlink(const char *work_dir, int fd)
{
	_cleanup_close_ int dir = open(work_dir, O_PATH | O_DIRECTORY | O_CLOEXEC);

	if (dir < 0)
		return;
	/* Another server may have its socket there by now: connect() succeeds then; ours is shut. */
	shutdown(fd, SHUT_RDWR);
	unlink_dead(dir, RESTORE_SOCKET_KIN);
	unlink_dead(dir, RESTORE_SOCKET_NAME);
}

int restore_socket_accept(int fd)
{
	int conn = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	return conn < 0 ? -errno : conn;
}

int restore_socket_check(int conn)
{
	struct ucred cred;
	socklen_t len = sizeof(cred);
	int on = 1;

	if (getsockopt(conn, SOL_SOCKET, SO_PEERCRED, &cred, &len) ||
	    setsockopt(conn, SOL_SOCKET, SO_PASSCRED, &on, sizeof(on)))
		return -errno;
	return cred.uid != 0 && cred.uid != geteuid() ? -EPERM : 0;
}

/* What was accepted has the listener's name; the end that connected has none. */
bool restore_socket_came_from(int conn, int fd)
{
	struct sockaddr_un mine = { 0 }, its = { 0 };
	socklen_t len = sizeof(mine), its_len = sizeof(its);

	return conn != fd && !getsockname(fd, (struct sockaddr *)&mine, &len) &&
	       !getsockname(conn, (struct sockaddr *)&its, &its_len) && its.sun_family == AF_UNIX && its_len == len &&
	       !memcmp(&mine, &its, len);
}

/* One recvmsg() whose results all lie in @rx: what the kernel has handed over is seen there. */
static ssize_t receive(int conn, struct restore_receiver *rx, void *buf, size_t len)
{
	struct iovec iov = { buf, len };
	struct msghdr msg = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = rx->control,
		.msg_controllen = sizeof(rx->control),
	};
	ssize_t n = recvmsg(conn, &msg, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);

	return n < 0 ? -errno : n;
}

/* Look through the control data of the last receive(); zeros end it. */
static void unpack(struct restore_receiver *rx, int *fd)
{
	struct msghdr msg = { .msg_control = rx->control, .msg_controllen = sizeof(rx->control) };

	for (struct cmsghdr *c = CMSG_FIRSTHDR(&msg); c && c->cmsg_len; c = CMSG_NXTHDR(&msg, c)) {
		if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS) {
			memcpy(fd, CMSG_DATA(c), sizeof(*fd));
		} else if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_CREDENTIALS) {
			struct ucred cred;

			memcpy(&cred, CMSG_DATA(c), sizeof(cred));
			rx->sender = cred.pid;
		}
	}
}

int restore_socket_receive(int conn, struct restore_receiver *rx, pid_t *pid, int *fd)
{
	bool object;
	uint32_t word;
	ssize_t n;

	if (!rx->word) {
		n = recv(conn, &word, sizeof(word), MSG_PEEK | MSG_DONTWAIT);
		if (n <= 0)
			return n < 0 ? -errno : -ENODATA;
		n = n < (ssize_t)sizeof(word) ? -EAGAIN : receive(conn, rx, &rx->word, sizeof(rx->word));
		if (n < 0)
			return (int)n;
		if (!rx->word)
			return -EPROTO;
	}
	*fd = -1;
	unpack(rx, fd);
	word = rx->word;
	*pid = (pid_t)word;
	if (word == RESTORE_FINISHED)
		return RESTORE_DONE;
	if (word == RESTORE_HUGE)
		return RESTORE_HUGE_PAGES;
	if ((int32_t)word < 0) {
		*pid = -(int32_t)word;
		return RESTORE_ZOMBIE;
	}
	object = word == RESTORE_SHARED;
	if (*fd < 0) {
		n = object ? receive(conn, rx, &rx->number, sizeof(rx->number))
			   : receive(conn, rx, &rx->carrier, sizeof(rx->carrier));
		if (n < 0)
			return (int)n;
		unpack(rx, fd);
	}
	return *fd < 0 ? -EPROTO : object ? RESTORE_OBJECT : RESTORE_PROCESS;
}

void restore_socket_recorded(struct restore_receiver *rx)
{
	memset(rx->control, 0, sizeof(rx->control));
	rx->word = 0;
	rx->sender = 0;
}

static int connect_by(const char *work_dir, const char *name, struct diag *diag)
{
	_cleanup_close_ int dir = -1;
	struct sockaddr_un addr;
	int fd;

	dir = socket_address(work_dir, name, &addr, diag);
	if (dir < 0)
		return dir;
	fd = try_connect(&addr);
	if (fd < 0 && fd != -ENOENT && fd != -ECONNREFUSED)
		return diag_fail(diag, -fd, "cannot connect to %s/%s: %s", work_dir, name, strerror(-fd));
	return fd;
}

int restore_socket_connect(const char *work_dir, struct diag *diag)
{
	return connect_by(work_dir, RESTORE_SOCKET_NAME, diag);
}

int restore_socket_connect_kin(const char *work_dir, struct diag *diag)
{
	return connect_by(work_dir, RESTORE_SOCKET_KIN, diag);
}

static int send_word(int conn, uint32_t word)
{
	ssize_t n = send(conn, &word, sizeof(word), MSG_NOSIGNAL);

	return n == (ssize_t)sizeof(word) ? 0 : n < 0 ? -errno : -EIO;
}

static void *put_control(struct msghdr *msg, struct cmsghdr *c, int type, const void *data, size_t len)
{
	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = type;
	c->cmsg_len = CMSG_LEN(len);
	memcpy(CMSG_DATA(c), data, len);
	msg->msg_controllen += CMSG_SPACE(len);
	return (char *)c + CMSG_SPACE(len);
}

int restore_socket_send(int conn, pid_t pid, pid_t outside, int uffd)
{
	union {
		char space[CMSG_SPACE(sizeof(int)) + CMSG_SPACE(sizeof(struct ucred))];
		struct cmsghdr align;
	} control = { 0 };
	const struct ucred cred = { outside, geteuid(), getegid() };
	char dummy = 0;
	struct iovec iov = { &dummy, 1 };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control };
	int ret = send_word(conn, (uint32_t)pid);
	void *next;

	if (ret)
		return ret;
	next = put_control(&msg, &control.align, SCM_RIGHTS, &uffd, sizeof(uffd));
	if (outside != pid)
		put_control(&msg, next, SCM_CREDENTIALS, &cred, sizeof(cred));
	return sendmsg(conn, &msg, MSG_NOSIGNAL) == 1 ? 0 : -errno;
}

int restore_socket_send_huge(int conn)
{
	return send_word(conn, RESTORE_HUGE);
}

int restore_socket_send_object(int conn, uint64_t number, int fd)
{
	union {
		char space[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control = { 0 };
	struct iovec iov = { &number, sizeof(number) };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control };
	int ret = send_word(conn, RESTORE_SHARED);

	if (ret)
		return ret;
	put_control(&msg, &control.align, SCM_RIGHTS, &fd, sizeof(fd));
	return sendmsg(conn, &msg, MSG_NOSIGNAL) == (ssize_t)sizeof(number) ? 0 : -errno;
}

int restore_socket_send_zombie(int conn, pid_t pid)
{
	return send_word(conn, (uint32_t)-pid);
}

int restore_socket_finish(int conn)
{
	int ret = send_word(conn, RESTORE_FINISHED), unread;

	/*
	 * What the server has not read is not in its hands: with its death the descriptors in the queue would close. An
	 * empty queue alone says nothing, since one that is thrown away is empty too; but before the kernel throws it
	 * away it leaves an error, and where all was read it leaves none.
	 */
	for (;;) {
		struct pollfd p = { conn, POLLRDHUP, 0 };

		if (ret || ioctl(conn, SIOCOUTQ, &unread))
			return ret ?: -errno;
		if (poll(&p, 1, 0) < 0 && errno != EINTR)
			return -errno;
		if (p.revents & POLLERR || (unread && p.revents & (POLLRDHUP | POLLHUP)))
			return -ECONNRESET;
		if (!unread)
			return 0;
		usleep(50);
	}
}
