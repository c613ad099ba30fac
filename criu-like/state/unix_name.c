// SPDX-License-Identifier: GPL-2.0-only
#include "criu-like/state/unix_name.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/cleanup.h"

uint64_t unix_name_hash(const UnixSkEntry *e)
{
	uint64_t h = 0xcbf29ce484222325ULL;

	for (size_t i = 0; i < e->name.len; i++)
		h = (h ^ e->name.data[i]) * 0x100000001b3ULL;
	for (const char *c = e->name_dir ? e->name_dir : ""; *c; c++)
		h = (h ^ (uint8_t)*c) * 0x100000001b3ULL;
	return h;
}

static bool has_path(const UnixSkEntry *e)
{
	return e->name.len && e->name.data[0];
}

static socklen_t address(const UnixSkEntry *e, struct sockaddr_un *a)
{
	memset(a, 0, sizeof(*a));
	a->sun_family = AF_UNIX;
	memcpy(a->sun_path, e->name.data, e->name.len);
	return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + e->name.len);
}

static int name_fail(struct restore *r, const struct opened_file *f, int code, const char *what)
{
	const UnixSkEntry *e = f->entry->usk;
	const uint8_t *name = e->name.data;

	return diag_fail(r->diag, code, "cannot %s the UNIX socket %s%.*s: %s", what, has_path(e) ? "" : "@",
			 (int)e->name.len - !has_path(e), (const char *)name + !has_path(e), strerror(code));
}

/* A relative name is resolved where the process did it. Return: the own directory, -1: it was not left, or -errno */
static int enter_dir(const UnixSkEntry *e)
{
	int back;

	if (!has_path(e) || !e->name_dir)
		return -1;
	back = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (back >= 0 && chdir(e->name_dir) < 0) {
		int ret = -errno;

		close(back);
		return ret;
	}
	return back < 0 ? -errno : back;
}

static void leave_dir(int *back)
{
	int saved = errno;

	if (*back >= 0 && fchdir(*back) == 0)
		close(*back);
	errno = saved;
}

#define _cleanup_dir_ __attribute__((cleanup(leave_dir)))

/* Remove a socket's file that no socket is bound to any more. Return: 0, or -errno (-EADDRINUSE: it is not such a file)
 */
static int remove_stale(const UnixSkEntry *e)
{
	_cleanup_close_ int probe = socket(AF_UNIX, (int)e->type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct sockaddr_un a;
	socklen_t len = address(e, &a);
	struct stat st;

	if (probe < 0 || lstat(a.sun_path, &st) < 0)
		return errno == ENOENT ? 0 : -errno;
	if (!S_ISSOCK(st.st_mode) || connect(probe, (struct sockaddr *)&a, len) == 0 || errno != ECONNREFUSED)
		return -EADDRINUSE;
	return unlink(a.sun_path) < 0 ? -errno : 0;
}

int unix_name_bind(struct restore *r, const struct opened_file *f, int fd)
{
	const UnixSkEntry *e = f->entry->usk;
	_cleanup_dir_ int back = enter_dir(e);
	struct sockaddr_un a;
	int ret = back < -1 ? back : has_path(e) ? remove_stale(e) : 0;

	if (ret == 0 && bind(fd, (struct sockaddr *)&a, address(e, &a)) < 0)
		ret = -errno;
	return ret < 0 ? name_fail(r, f, -ret, "bind") : 0;
}

int unix_name_connect(struct restore *r, const struct opened_file *f, int fd)
{
	const UnixSkEntry *e = f->entry->usk;
	_cleanup_dir_ int back = enter_dir(e);
	struct sockaddr_un a;

	if (back < -1)
		return name_fail(r, f, -back, "connect to");
	if (connect(fd, (struct sockaddr *)&a, address(e, &a)) < 0)
		return name_fail(r, f, errno, "connect to");
	return 0;
}

int unix_name_settle(struct restore *r, const struct opened_file *f)
{
	const UnixSkEntry *e = f->entry->usk;
	_cleanup_dir_ int back = has_path(e) ? enter_dir(e) : -1;
	struct sockaddr_un a;

	if (!has_path(e))
		return 0;
	address(e, &a);
	if (e->deleted)
		return unlink(a.sun_path) < 0 ? name_fail(r, f, errno, "remove the file of") : 0;
	if (e->file_perms && (lchown(a.sun_path, e->file_perms->uid, e->file_perms->gid) < 0 ||
			      chmod(a.sun_path, e->file_perms->mode & 07777) < 0))
		return name_fail(r, f, errno, "set the permissions of");
	return 0;
}

/* The first connection that comes from this process: others may try while the listener is there. */
static int accept_own(int listener)
{
	for (;;) {
		int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
		struct ucred peer;
		socklen_t len = sizeof(peer);

		if (fd < 0)
			return -errno;
		if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) == 0 && peer.pid == getpid())
			return fd;
		close(fd);
	}
}

int unix_name_accept(struct restore *r, const struct opened_file *f, int connecting, bool stays)
{
	const UnixSkEntry *e = f->entry->usk;
	_cleanup_close_ int listener = socket(AF_UNIX, (int)e->type | SOCK_CLOEXEC, 0);
	_cleanup_close_ int fd = -1;
	int ret;

	if (listener < 0)
		return opener_fail(r, errno, f, "socket");
	ret = unix_name_bind(r, f, listener);
	if (ret < 0)
		return ret;
	if (listen(listener, SOMAXCONN) < 0)
		return name_fail(r, f, errno, "listen on");
	ret = unix_name_connect(r, f, connecting);
	if (ret < 0)
		return ret;
	fd = accept_own(listener);
	if (fd < 0)
		return name_fail(r, f, -fd, "accept from");
	ret = stays ? 0 : unix_name_settle(r, f);
	return ret < 0 ? ret : TAKE_FD(fd);
}
