// SPDX-License-Identifier: GPL-2.0-only
#include "lazy-pages/server.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/util.h"
#include "lazy-pages/guardian.h"
#include "lazy-pages/metrics.h"
#include "lazy-pages/record.h"
#include "lazy-pages/source/network.h"
#include "lazy-pages/stats.h"
#include "lazy-pages/trace.h"

/*
 * From options to a running service. The socket listens before anything is forked, so whoever asked for a server in
 * the background may connect as soon as the call is back; all else happens behind its back.
 *
 *	caller -- (daemon: child -- child in a session of its own) -- guardian -- server
 */

#define WORKERS_MAX 8

/* @file as seen from the work directory. */
static const char *in_work_dir(const struct lazy_options *opt, const char *file, char *buf, size_t len)
{
	snprintf(buf, len, "%s%s%s", file[0] == '/' ? "" : opt->work_dir, file[0] == '/' ? "" : "/", file);
	return buf;
}

static int write_pidfile(const struct lazy_options *opt, struct diag *diag)
{
	char path[4096], text[16];
	_cleanup_close_ int fd = -1;
	int ret;

	if (!opt->pidfile)
		return 0;
	in_work_dir(opt, opt->pidfile, path, sizeof(path));
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	snprintf(text, sizeof(text), "%d", getpid());
	ret = fd < 0 ? -errno : full_write(fd, text, strlen(text));
	return ret ? diag_fail(diag, -ret, "cannot write the pidfile %s: %s", path, strerror(-ret)) : 0;
}

static void tell_status(const struct lazy_options *opt, struct diag *diag)
{
	if (opt->status_fd < 0)
		return;
	if (write(opt->status_fd, "", 1) != 1)
		diag_warn(diag, "cannot write to the status descriptor %d: %s", opt->status_fd, strerror(errno));
	close(opt->status_fd);
}

static void raise_descriptor_limit(void)
{
	struct rlimit lim;

	if (!getrlimit(RLIMIT_NOFILE, &lim) && lim.rlim_cur < lim.rlim_max) {
		lim.rlim_cur = lim.rlim_max;
		setrlimit(RLIMIT_NOFILE, &lim);
	}
}

/* The whole service, in the guardian's process. */
static int service(const struct lazy_options *opt, struct shared *sh, struct diag *diag)
{
	char text[4096];
	int ret, stats = 0, trace = 0, record;

	raise_descriptor_limit();
	ret = guardian_run(opt, sh, diag);
	record = record_write(sh, opt->images_dir, diag);
	if (opt->stats_file)
		stats = stats_write(sh, in_work_dir(opt, opt->stats_file, text, sizeof(text)), diag);
	if (sh->trace_fd >= 0)
		trace = trace_end(sh->trace_fd, now_ns(), diag);
	if (sh->listen_fd >= 0)
		restore_socket_unlink(opt->work_dir, sh->listen_fd);
	diag_info(diag, "%s", stats_summary(sh, text));
	if (!ret && opt->summary && !opt->daemon)
		puts(text);
	return ret ?: stats ?: record ?: trace;
}

static int by_number(const void *a, const void *b)
{
	return *(const int *)a - *(const int *)b;
}

/* In the background: keep the log and what the service has opened, give back all else that the caller had open. */
static void detach_files(const struct lazy_options *opt, struct shared *sh, struct diag *diag)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC), next = STDERR_FILENO + 1;
	int keep[] = { sh->listen_fd, sh->trace_fd, sh->metrics_fd, -1, -1, -1 };

	if (diag->fd >= 0 && diag->fd < next)
		diag->fd = fcntl(diag->fd, F_DUPFD_CLOEXEC, next);
	for (int fd = 0; fd < next; fd++)
		dup2(null, fd);
	keep[3] = diag->fd;
	network_fds(opt->network, keep + 4);
	qsort(keep, ARRAY_SIZE(keep), sizeof(keep[0]), by_number);
	for (size_t i = 0; i < ARRAY_SIZE(keep); i++) {
		if (keep[i] > next)
			close_range((unsigned)next, (unsigned)keep[i] - 1, 0);
		next = MAX(next, keep[i] + 1);
	}
	close_range((unsigned)next, ~0U, 0);
}

static void close_files(struct shared *sh)
{
	cleanup_close(&sh->listen_fd);
	cleanup_close(&sh->trace_fd);
	cleanup_close(&sh->metrics_fd);
}

/* Whoever started us may have had no standard descriptors; what is open in their place would be lost. */
static int above_stdio(int fd)
{
	int high;

	if (fd < 0 || fd > STDERR_FILENO)
		return fd;
	high = fcntl(fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
	close(fd);
	return high < 0 ? -errno : high;
}

/* What can fail at once: the caller is to hear of it. Return: 0, or -errno with a sentence */
static int open_files(const struct lazy_options *opt, struct shared *sh, struct diag *diag)
{
	const struct lazy_modes *m = &opt->modes;
	char path[4096];
	int ret;

	ret = sh->listen_fd = above_stdio(restore_socket_listen(opt->work_dir, diag));
	if (ret >= 0 && m->trace)
		ret = sh->trace_fd = above_stdio(trace_begin(in_work_dir(opt, m->trace, path, sizeof(path)), diag));
	if (ret >= 0 && m->metrics)
		ret = sh->metrics_fd = above_stdio(metrics_listen(m->metrics, diag));
	if (ret >= 0 && !opt->page_server)
		restore_socket_take_shared(opt->work_dir, diag);
	if (ret >= 0)
		return 0;
	if (sh->listen_fd >= 0)
		restore_socket_unlink(opt->work_dir, sh->listen_fd);
	close_files(sh);
	return ret;
}

/* Fork the service off twice, so that it is nobody's child. Return: 0 in the caller once it is on its way. */
static int background(const struct lazy_options *opt, struct shared *sh, struct diag *diag)
{
	_cleanup_close_ int mine = -1, its = -1;
	pid_t pid;
	int pipefd[2];
	char byte;

	if (pipe2(pipefd, O_CLOEXEC))
		return diag_fail(diag, errno, "cannot make a pipe: %s", strerror(errno));
	mine = pipefd[0];
	its = pipefd[1];
	pid = fork();
	if (pid < 0)
		return diag_fail(diag, errno, "cannot fork: %s", strerror(errno));
	if (pid) {
		waitpid(pid, NULL, 0);
		close(TAKE_FD(its));
		if (read(mine, &byte, 1) != 1)
			return diag_fail(diag, EIO, "the lazy-pages server did not start; its log says why");
		return 0;
	}
	setsid();
	if (fork()) /* a failure too: nobody writes to the pipe then */
		_exit(0);
	if (write_pidfile(opt, diag))
		_exit(1);
	tell_status(opt, diag);
	if (write(its, "", 1) != 1)
		_exit(1);
	detach_files(opt, sh, diag);
	_exit(service(opt, sh, diag) ? 1 : 0);
}

static int start(const struct lazy_options *given, bool daemon, struct diag *diag)
{
	struct lazy_options opt = *given;
	struct shared *sh = shared_new();
	sigset_t signals;
	int ret;

	if (!sh)
		return diag_fail(diag, ENOMEM, "out of memory for the lazy-pages server");
	opt.daemon = daemon;
	if (!opt.work_dir)
		opt.work_dir = opt.images_dir;
	if (!opt.workers)
		opt.workers = (unsigned)MAX(sysconf(_SC_NPROCESSORS_ONLN), 1);
	opt.workers = MIN(opt.workers, WORKERS_MAX);
	guardian_block_signals(&signals);
	ret = opt.page_server ? network_connect(&given->net, &opt.network, diag) : 0;
	if (!ret)
		ret = open_files(&opt, sh, diag);
	if (!ret && daemon) {
		ret = background(&opt, sh, diag);
		if (ret)
			restore_socket_unlink(opt.work_dir, sh->listen_fd);
		close_files(sh);
	} else if (!ret) {
		ret = write_pidfile(&opt, diag);
		if (!ret) {
			tell_status(&opt, diag);
			ret = service(&opt, sh, diag);
		}
	}
	network_close(opt.network);
	sigprocmask(SIG_SETMASK, &signals, NULL);
	munmap(sh, sizeof(*sh));
	return ret;
}

int lazy_server_run(const struct lazy_options *opt, struct diag *diag)
{
	return start(opt, opt->daemon, diag);
}

int lazy_server_start(const struct lazy_options *opt, struct diag *diag)
{
	struct lazy_options own = *opt;

	own.for_restore = true;
	return start(&own, true, diag);
}
