// SPDX-License-Identifier: GPL-2.0-only
#include "criu-like/rpc/service.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/util.h"
#include "criu-like/rpc/work.h"

/* A socket that nobody listens on is left from a service that has ended. */
static int remove_old(const struct sockaddr_un *addr, struct diag *diag)
{
	_cleanup_close_ int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	if (fd >= 0 && !connect(fd, (const struct sockaddr *)addr, sizeof(*addr)))
		return diag_fail(diag, EADDRINUSE, "a service listens on %s already", addr->sun_path);
	if (errno == ECONNREFUSED)
		unlink(addr->sun_path);
	return 0;
}

static int open_socket(const struct service_options *opt, struct diag *diag)
{
	_cleanup_close_ int fd = -1;
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int ret;

	if (opt->work_dir && chdir(opt->work_dir))
		return diag_fail(diag, errno, "cannot go to the directory %s: %s", opt->work_dir, strerror(errno));
	if (strlen(opt->address) >= sizeof(addr.sun_path))
		return diag_fail(diag, ENAMETOOLONG,
				 "the address %s is longer than a socket's can be; use a relative "
				 "one and --work-dir",
				 opt->address);
	strcpy(addr.sun_path, opt->address);
	ret = remove_old(&addr, diag);
	if (ret)
		return ret;
	fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	/* The mode that the socket has before bind() is the one that its file gets. */
	if (fd < 0 || fchmod(fd, 0600) || bind(fd, (const struct sockaddr *)&addr, sizeof(addr)) || listen(fd, 16))
		return diag_fail(diag, errno, "cannot listen on %s: %s", opt->address, strerror(errno));
	return TAKE_FD(fd);
}

/* Return: 0, or -errno with a sentence */
static int write_pid(const char *path, pid_t pid, struct diag *diag)
{
	_cleanup_fclose_ FILE *f = fopen(path, "we");

	if (!f || fprintf(f, "%d", pid) < 0 || fflush(f))
		return diag_fail(diag, errno, "cannot write the pid file %s: %s", path, strerror(errno));
	return 0;
}

static bool may_ask(int sk, struct ucred *cred)
{
	socklen_t len = sizeof(*cred);

	return !getsockopt(sk, SOL_SOCKET, SO_PEERCRED, cred, &len) && (!cred->uid || cred->uid == geteuid());
}

static void serve(int sk, struct diag *diag)
{
	struct ucred cred = { 0 };
	pid_t pid;

	if (!may_ask(sk, &cred)) {
		diag_warn(diag, "process %d of user %u is not served", cred.pid, cred.uid);
		return;
	}
	pid = fork();
	if (pid < 0)
		diag_warn(diag, "process %d is not served: %s", cred.pid, strerror(errno));
	if (pid)
		return;
	signal(SIGCHLD, SIG_DFL);
	_exit(rpc_work(sk, false));
}

static int serve_all(int listener, struct diag *diag)
{
	signal(SIGCHLD, SIG_IGN); /* nobody waits for the children */
	for (;;) {
		_cleanup_close_ int sk = accept4(listener, NULL, NULL, SOCK_CLOEXEC);

		if (sk < 0 && errno != EINTR && errno != ECONNABORTED)
			return diag_fail(diag, errno, "cannot take a connection: %s", strerror(errno));
		if (sk >= 0)
			serve(sk, diag);
	}
}

/*
 * Go to the background. Its pid is written by who stays, so that it is there when the command has ended.
 *
 * Return: 0 in the service, its pid in the caller, or -errno with a sentence
 */
static pid_t background(const struct service_options *opt, struct diag *diag)
{
	pid_t pid = fork();
	int ret, null;

	if (pid < 0)
		return diag_fail(diag, errno, "cannot go to the background: %s", strerror(errno));
	if (pid) {
		ret = opt->pidfile ? write_pid(opt->pidfile, pid, diag) : 0;
		if (ret)
			kill(pid, SIGKILL);
		return ret ?: pid;
	}
	setsid();
	null = open("/dev/null", O_RDWR);
	for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
		dup2(null, fd);
	if (null > STDERR_FILENO)
		close(null);
	return 0;
}

int service_run(const struct service_options *opt, struct diag *diag)
{
	_cleanup_close_ int listener = open_socket(opt, diag);
	int ret = 0;

	if (listener < 0)
		return listener;
	if (opt->daemon) {
		pid_t pid = background(opt, diag);

		if (pid)
			return MIN(pid, 0);
	} else if (opt->pidfile) {
		ret = write_pid(opt->pidfile, getpid(), diag);
	}
	if (!ret && opt->status_fd >= 0 && write(opt->status_fd, "", 1) != 1)
		ret = diag_fail(diag, errno, "cannot write to the status descriptor: %s", strerror(errno));
	if (opt->status_fd >= 0)
		close(opt->status_fd);
	return ret ? ret : serve_all(listener, diag);
}
