// SPDX-License-Identifier: GPL-2.0-only
#include "criu-like/state/pidns.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/util.h"
#include "criu-like/state/region.h"

#ifndef NS_GET_PID_FROM_PIDNS
#define NS_GET_PID_FROM_PIDNS _IOR(0xb7, 0x6, int)
#endif

#define INIT_PID 1

struct pidns {
	struct tree own; /* the init, if there is one */
	int mounts;	 /* the mount namespace from before, and in it */
	int root, cwd;	 /* the directories of this process */
	int ns;		 /* the namespace */
	int go[2]; /* a pipe: a byte lets the init do its work; its end without one tells that the restore is no more */
	int status[2]; /* a pipe: how the init's first child ended */
};

struct process *pidns_init(const struct restore *r)
{
	return r->pidns && r->pidns->own.nr ? r->pidns->own.procs[0] : NULL;
}

static int open_before(struct restore *r, const char *path, int flags, int *out)
{
	*out = open(path, flags | O_CLOEXEC);
	return *out < 0 ? diag_fail(r->diag, errno, "cannot open %s: %s", path, strerror(errno)) : 0;
}

static int add_init(struct restore *r)
{
	struct process *p = tree_add(&r->pidns->own, INIT_PID, NULL);

	return p && process_add_thread(p, INIT_PID) ? 0 : -ENOMEM;
}

int pidns_open(struct restore *r)
{
	struct pidns *ns = arena_alloc(r->arena, sizeof(*ns));
	int ret;

	if (!ns)
		return -ENOMEM;
	*ns = (struct pidns){ .mounts = -1, .root = -1, .cwd = -1, .ns = -1, .go = { -1, -1 }, .status = { -1, -1 } };
	r->pidns = ns;
	ret = tree_find(&r->tree, INIT_PID) ? 0 : add_init(r);
	if (!ret)
		ret = open_before(r, "/proc/self/ns/mnt", O_RDONLY, &ns->mounts);
	if (!ret)
		ret = open_before(r, "/", O_PATH | O_DIRECTORY, &ns->root);
	if (!ret)
		ret = open_before(r, ".", O_PATH | O_DIRECTORY, &ns->cwd);
	if (!ret && (unshare(CLONE_NEWNS) || mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL)))
		ret = diag_fail(r->diag, errno, "cannot make a mount namespace for --new-pidns: %s%s", strerror(errno),
				errno == EPERM ? " (it takes CAP_SYS_ADMIN)" : "");
	return ret;
}

int pidns_prepare(struct restore *r)
{
	struct pidns *ns = r->pidns;

	if (pipe2(ns->go, O_CLOEXEC) || (!r->opt->detach && !r->opt->sibling && pipe2(ns->status, O_CLOEXEC)))
		return diag_fail(r->diag, errno, "cannot make a pipe: %s", strerror(errno));
	return 0;
}

static void close_end(int *fd)
{
	cleanup_close(fd);
	*fd = -1;
}

int pidns_made(struct restore *r, pid_t outside)
{
	struct pidns *ns = r->pidns;
	char path[64];

	close_end(&ns->go[0]);
	close_end(&ns->status[1]);
	if (setns(ns->mounts, CLONE_NEWNS) || fchdir(ns->root) || chroot(".") || fchdir(ns->cwd))
		return diag_fail(r->diag, errno, "cannot go back to the mount namespace from before: %s",
				 strerror(errno));
	snprintf(path, sizeof(path), "/proc/%d/ns/pid", outside);
	return open_before(r, path, O_RDONLY, &ns->ns);
}

size_t pidns_tell_proc(struct batch *b)
{
	uint64_t type = batch_string(b, "proc");

	return batch_call(b, 0, SYS_mount, type, batch_string(b, "/proc"), type, MS_NOSUID | MS_NODEV | MS_NOEXEC);
}

int pidns_check_proc(struct restore *r, size_t record)
{
	int64_t result = batch_result(&r->batch, record);

	return result < 0 ? diag_fail(r->diag, (int)-result, "cannot mount /proc of the new PID namespace: %s",
				      strerror((int)-result))
			  : 0;
}

/* The last number in the NSpid line of a task in @dir. Return: it, 0 if unknown */
static pid_t number_inside(int dir, const char *name)
{
	_cleanup_free_ char *text = NULL;
	char path[300], *line, *end;

	snprintf(path, sizeof(path), "%s/status", name);
	if (read_text(dir, path, &text) < 0 || !(line = strstr(text, "\nNSpid:")))
		return 0;
	end = strchrnul(line + 1, '\n');
	*end = '\0';
	return (pid_t)atoi(strrchr(line, '\t') + 1);
}

static bool is_in(int ns, int dir, const char *name)
{
	struct stat want, has;
	char path[300];

	snprintf(path, sizeof(path), "%s/ns/pid", name);
	return !fstat(ns, &want) && !fstatat(dir, path, &has, 0) && want.st_ino == has.st_ino;
}

pid_t pidns_scan(int ns, pid_t leader, pid_t tid)
{
	_cleanup_closedir_ DIR *dir = NULL;
	const struct dirent *e;
	char path[64];

	snprintf(path, sizeof(path), leader ? "/proc/%d/task" : "/proc", leader);
	dir = opendir(path);
	while (dir && (e = readdir(dir))) {
		pid_t outside = (pid_t)atoi(e->d_name);

		if (outside > 0 && number_inside(dirfd(dir), e->d_name) == tid && is_in(ns, dirfd(dir), e->d_name))
			return outside;
	}
	return -ESRCH;
}

pid_t pidns_outside(const struct restore *r, pid_t leader, pid_t tid)
{
	int outside;

	if (!r->pidns)
		return tid;
	outside = ioctl(r->pidns->ns, NS_GET_PID_FROM_PIDNS, tid);
	if (outside >= 0)
		return outside;
	return errno == ESRCH ? -ESRCH : pidns_scan(r->pidns->ns, leader, tid);
}

static uint8_t exit_code(int status)
{
	return (uint8_t)(WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status));
}

/* Take whoever has ended. Return: whether no child is left */
static bool reap(pid_t *root, int fd, int *root_status)
{
	pid_t pid;
	int status;

	while ((pid = waitpid(-1, &status, WNOHANG | __WALL)) > 0) {
		if (pid != *root)
			continue;
		*root = -1; /* signals go to all that are left */
		*root_status = status;
		if (fd >= 0 && full_write(fd, &status, sizeof(status)) == 0)
			close(fd);
	}
	return pid < 0 && errno == ECHILD;
}

/* Nothing of the restore shall be kept open or in memory. */
static void forget_restore(struct restore *r, int keep)
{
	if (chdir("/"))
		diag_warn(r->diag, "the init stays in its directory: %s", strerror(errno));
	if (keep > 0)
		close_range(0, (unsigned)keep - 1, 0);
	close_range((unsigned)keep + 1, ~0U, 0);
	setsid();
	prctl(PR_SET_NAME, "thaw-init");
	region_close(r);
	arena_free(r->arena);
	malloc_trim(0);
}

/*
 * The end of the init ends its namespace, and whoever is there. That may be somebody who has entered it: a dump of the
 * tree, for one, which has just killed it and wants to end by itself. Nothing announces when strangers go.
 */
void pidns_run_init(struct restore *r)
{
	static const struct timespec tick = { .tv_nsec = 20 * 1000 * 1000 };
	pid_t root = r->tree.procs[0]->pid;
	int fd = r->pidns->status[1], status = 0;
	sigset_t all;
	char byte;

	close_end(&r->pidns->go[1]);
	if (full_read(r->pidns->go[0], &byte, 1) != 1)
		_exit(1);
	forget_restore(r, fd);
	sigfillset(&all);
	for (;;) {
		bool childless = reap(&root, fd, &status);
		int sig;

		if (childless && kill(-1, 0) && errno == ESRCH)
			_exit(exit_code(status));
		sig = sigtimedwait(&all, NULL, childless ? &tick : NULL);
		if (sig > 0 && sig != SIGCHLD)
			kill(root, sig);
	}
}

int pidns_go(struct restore *r)
{
	struct process *init = pidns_init(r);
	int ret;

	if (!init)
		return 0;
	ret = full_write(r->pidns->go[1], "", 1);
	if (!ret)
		ret = tracee_release(&init->threads[0].tracee);
	return ret ? diag_fail(r->diag, -ret, "cannot let the init of the PID namespace go: %s", strerror(-ret)) : 0;
}

int pidns_wait(struct restore *r)
{
	int status;

	if (full_read(r->pidns->status[0], &status, sizeof(status)) != sizeof(status))
		return SIGKILL; /* of the init, and with it of all */
	return status;
}

void pidns_kill(struct restore *r)
{
	struct process *init = pidns_init(r);

	if (init && init->threads[0].tracee.tid)
		kill(process_outside(init), SIGKILL);
}

void pidns_bury(struct restore *r)
{
	struct process *init = pidns_init(r);

	if (init && init->threads[0].tracee.tid)
		tracee_bury(&init->threads[0].tracee);
}

void pidns_close(struct restore *r)
{
	struct pidns *ns = r->pidns;

	if (!ns)
		return;
	cleanup_close(&ns->mounts);
	cleanup_close(&ns->root);
	cleanup_close(&ns->cwd);
	cleanup_close(&ns->ns);
	cleanup_close(&ns->go[0]);
	cleanup_close(&ns->go[1]);
	cleanup_close(&ns->status[0]);
	cleanup_close(&ns->status[1]);
	tree_free(&ns->own);
	r->pidns = NULL;
}
