// SPDX-License-Identifier: GPL-2.0-only
#include "criu-like/probe.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/kcmp.h>
#include <linux/netlink.h>
#include <linux/sched.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>

#include "common/cleanup.h"
#include "common/util.h"
#include "criu-like/inject/arch.h"
#include "criu-like/inject/batch.h"
#include "criu-like/inspect/proc.h"
#include "criu-like/state/net_lock.h"

/* Newer than some distributions' headers: prctl(2), kernel 6.16. */
#ifndef PR_TIMER_CREATE_RESTORE_IDS
#define PR_TIMER_CREATE_RESTORE_IDS 77
#define PR_TIMER_CREATE_RESTORE_IDS_GET 2
#endif

#define PID_TRIES 20 /* somebody else may take a pid that was free just now */

static void child_reap(const pid_t *pid)
{
	if (*pid <= 0)
		return;
	kill(*pid, SIGKILL);
	waitpid(*pid, NULL, __WALL);
}

#define _cleanup_child_ __attribute__((cleanup(child_reap)))

/* A child that does nothing until it is killed. */
static pid_t child_idle(void)
{
	pid_t pid = fork();

	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		for (;;)
			pause();
	}
	return pid < 0 ? -errno : pid;
}

/* Run @run in a child, for what changes the process. Return: its result, 0 or -errno */
static int in_child(int (*run)(void))
{
	pid_t pid = fork();
	int status;

	if (pid < 0)
		return -errno;
	if (pid == 0)
		_exit(-run());
	if (waitpid(pid, &status, 0) < 0)
		return -errno;
	return WIFEXITED(status) ? -WEXITSTATUS(status) : -EIO;
}

static int probe_vm_read(void)
{
	_cleanup_child_ pid_t pid = child_idle();
	char there = 1, here = 0;
	struct iovec local = { &here, 1 }, remote = { &there, 1 };

	if (pid < 0)
		return pid;
	return process_vm_readv(pid, &local, 1, &remote, 1, 0) < 0 ? -errno : 0;
}

static int probe_kcmp(void)
{
	_cleanup_child_ pid_t pid = child_idle();

	if (pid < 0)
		return pid;
	return syscall(SYS_kcmp, getpid(), pid, KCMP_VM, 0, 0) < 0 ? -errno : 0;
}

static int probe_pidfd_getfd(void)
{
	_cleanup_child_ pid_t pid = child_idle();
	_cleanup_close_ int pidfd = -1;
	_cleanup_close_ int fd = -1;

	if (pid < 0)
		return pid;
	pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	if (pidfd < 0)
		return -errno;
	/* Any descriptor does; "bad descriptor" is an answer too, from behind the permission check. */
	fd = (int)syscall(SYS_pidfd_getfd, pidfd, 0, 0);
	return fd < 0 && errno != EBADF ? -errno : 0;
}

/* A pid that was a child's a moment ago is given to another child. */
static int probe_set_tid(void)
{
	for (int i = 0; i < PID_TRIES; i++) {
		pid_t want = fork(), got;
		struct clone_args args = {
			.exit_signal = SIGCHLD,
			.set_tid = (uintptr_t)&want,
			.set_tid_size = 1,
		};

		if (want < 0)
			return -errno;
		if (want == 0)
			_exit(0);
		waitpid(want, NULL, 0);
		got = (pid_t)syscall(SYS_clone3, &args, sizeof(args));
		if (got == 0)
			_exit(0);
		if (got < 0 && errno != EEXIST)
			return -errno;
		if (got > 0) {
			waitpid(got, NULL, 0);
			return got == want ? 0 : -EIO;
		}
	}
	return -EEXIST;
}

static int set_mm_map(int exe_fd)
{
	_cleanup_close_ int proc = proc_open(getpid());
	struct proc_stat s;
	struct prctl_mm_map map;
	int ret = proc < 0 ? proc : proc_read_stat(proc, "stat", &s);

	if (ret < 0)
		return ret;
	map = (struct prctl_mm_map){
		.start_code = s.start_code,
		.end_code = s.end_code,
		.start_data = s.start_data,
		.end_data = s.end_data,
		.start_brk = s.start_brk,
		.brk = (uintptr_t)sbrk(0),
		.start_stack = s.start_stack,
		.arg_start = s.arg_start,
		.arg_end = s.arg_end,
		.env_start = s.env_start,
		.env_end = s.env_end,
		.exe_fd = (uint32_t)exe_fd,
	};
	return prctl(PR_SET_MM, PR_SET_MM_MAP, &map, sizeof(map), 0) < 0 ? -errno : 0;
}

static int set_mm_only(void)
{
	return set_mm_map(-1);
}

static int probe_set_mm_map(void)
{
	return in_child(set_mm_only);
}

/* "Busy" is said behind the permission check: the old program is mapped. */
static int set_exe(void)
{
	_cleanup_close_ int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	int ret = fd < 0 ? -errno : set_mm_map(fd);

	return ret == -EBUSY ? 0 : ret;
}

static int probe_set_exe(void)
{
	return in_child(set_exe);
}

/* The call as a restore makes it; "exists" is said where it is known, since the old one is mapped. */
static int probe_vdso(void)
{
	size_t size = batch_size(1, PAGE_SIZE);
	_cleanup_free_ uint8_t *region = calloc(1, size);
	struct batch b;
	const struct batch_record *r;

	if (!region)
		return -ENOMEM;
	batch_init(&b, region, (uintptr_t)region, 1, PAGE_SIZE);
	arch_tell_vdso(&b, 0);
	r = batch_record_at(&b, 0);
	if (syscall((long)r->nr, r->arg[0], r->arg[1], r->arg[2], r->arg[3], r->arg[4], r->arg[5]) >= 0)
		return 0;
	return errno == EEXIST ? 0 : -errno;
}

/* Opening a mapped file by its mapping: the way to files that were deleted or replaced. */
static int probe_map_files(void)
{
	_cleanup_close_ int proc = proc_open(getpid());
	_cleanup_close_ int fd = -1;
	struct area *areas = NULL;
	char path[64];
	size_t nr = 0;
	int ret = proc < 0 ? proc : proc_read_areas(proc, &areas, &nr);

	if (ret < 0)
		return ret;
	ret = -ENOENT;
	for (size_t i = 0; i < nr && ret == -ENOENT; i++) {
		if (!areas[i].ino)
			continue;
		snprintf(path, sizeof(path), "map_files/%lx-%lx", areas[i].start, areas[i].end);
		fd = openat(proc, path, O_RDONLY | O_CLOEXEC);
		ret = fd < 0 ? -errno : 0;
	}
	proc_areas_free(areas, nr);
	return ret;
}

static int probe_children(void)
{
	_cleanup_child_ pid_t pid = child_idle();
	_cleanup_close_ int proc = proc_open(getpid());
	_cleanup_free_ pid_t *pids = NULL;
	size_t nr = 0;
	int ret = pid < 0 ? pid : proc < 0 ? proc : proc_read_children(proc, &pids, &nr);

	if (ret < 0)
		return ret;
	return nr > 0 ? 0 : -EIO;
}

static int probe_proc_timers(void)
{
	return access("/proc/self/timers", R_OK) < 0 ? -errno : 0;
}

static int probe_timer_ids(void)
{
	return prctl(PR_TIMER_CREATE_RESTORE_IDS, PR_TIMER_CREATE_RESTORE_IDS_GET, 0, 0, 0) < 0 ? -errno : 0;
}

/* A child in a stop. Return: its pid, or -errno */
static pid_t child_stopped(void)
{
	pid_t pid = child_idle();

	if (pid < 0)
		return pid;
	if (ptrace(PTRACE_SEIZE, pid, NULL, 0) < 0 || ptrace(PTRACE_INTERRUPT, pid, NULL, NULL) < 0 ||
	    waitpid(pid, NULL, __WALL) < 0) {
		int err = errno;

		child_reap(&pid);
		return -err;
	}
	return pid;
}

static int probe_ptrace(void)
{
	_cleanup_child_ pid_t pid = child_stopped();
	struct __ptrace_peeksiginfo_args args = { .nr = 1 };
	siginfo_t info;
	uint64_t mask;

	if (pid < 0)
		return pid;
	if (ptrace(PTRACE_GETSIGMASK, pid, sizeof(mask), &mask) < 0 ||
	    ptrace(PTRACE_PEEKSIGINFO, pid, &args, &info) < 0)
		return -errno;
	return 0;
}

static int probe_rseq(void)
{
	_cleanup_child_ pid_t pid = child_stopped();
	struct __ptrace_rseq_configuration conf;

	if (pid < 0)
		return pid;
	return ptrace(PTRACE_GET_RSEQ_CONFIGURATION, pid, sizeof(conf), &conf) < 0 ? -errno : 0;
}

static int probe_seccomp(void)
{
	_cleanup_child_ pid_t pid = child_stopped();

	if (pid < 0)
		return pid;
	return ptrace(PTRACE_SETOPTIONS, pid, NULL, PTRACE_O_SUSPEND_SECCOMP) < 0 ? -errno : 0;
}

static int probe_sock_diag(void)
{
	_cleanup_close_ int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);

	return fd < 0 ? -errno : 0;
}

static int raise_limit(void)
{
	struct rlimit low = { 0, 0 }, high = { 0, 1 };

	return setrlimit(RLIMIT_MSGQUEUE, &low) < 0 || setrlimit(RLIMIT_MSGQUEUE, &high) < 0 ? -errno : 0;
}

static int probe_raise_limit(void)
{
	return in_child(raise_limit);
}

static int probe_tcp_repair(void)
{
	_cleanup_close_ int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int on = 1;

	return fd < 0 || setsockopt(fd, IPPROTO_TCP, TCP_REPAIR, &on, sizeof(on)) < 0 ? -errno : 0;
}

static int probe_net_lock(void)
{
	char table[NET_LOCK_NAME_MAX];
	int ret;

	snprintf(table, sizeof(table), "thaw-check-%d", getpid());
	ret = net_lock_create(table, NULL, 0);
	return ret < 0 ? ret : net_lock_remove(table);
}

static int mount_proc(void)
{
	return mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL) ? -errno : 0;
}

static int make_pidns(void)
{
	if (unshare(CLONE_NEWPID | CLONE_NEWNS) || mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL))
		return -errno;
	return in_child(mount_proc);
}

static int probe_pidns(void)
{
	return in_child(make_pidns);
}

#define AS_ROOT "run as root, or give thaw "
#define IN_CONTAINER " (in a container: --cap-add)"

const struct probe probes[] = {
	{ "ptrace: seize, peek pending signals", PROBE_MAIN, probe_ptrace,
	  "no dump and no restore: " AS_ROOT "CAP_SYS_PTRACE" IN_CONTAINER "; see kernel.yama.ptrace_scope" },
	{ "process_vm_readv", PROBE_MAIN, probe_vm_read, "no dump: " AS_ROOT "CAP_SYS_PTRACE" IN_CONTAINER },
	{ "/proc/PID/task/TID/children", PROBE_MAIN, probe_children, "no dump: the kernel needs CONFIG_PROC_CHILDREN" },
	{ "/proc/PID/timers", PROBE_MAIN, probe_proc_timers, "no dump: the kernel needs CONFIG_CHECKPOINT_RESTORE" },
	{ "rseq areas by ptrace", PROBE_MAIN, probe_rseq, "no dump: needs kernel 5.13 with CONFIG_RSEQ" },
	{ "kcmp", PROBE_MAIN, probe_kcmp, "no dump: the kernel needs CONFIG_KCMP, and thaw CAP_SYS_PTRACE" },
	{ "pidfd_getfd", PROBE_MAIN, probe_pidfd_getfd, "no dump: needs kernel 5.6, and thaw CAP_SYS_PTRACE" },
	{ "clone3 with set_tid", PROBE_MAIN, probe_set_tid,
	  "no restore: " AS_ROOT "CAP_CHECKPOINT_RESTORE" IN_CONTAINER ", kernel 5.9" },
	{ "PR_SET_MM_MAP", PROBE_MAIN, probe_set_mm_map, "no restore: the kernel needs CONFIG_CHECKPOINT_RESTORE" },
	{ "PR_SET_MM_EXE_FILE", PROBE_MAIN, probe_set_exe,
	  "no restore: " AS_ROOT "CAP_CHECKPOINT_RESTORE" IN_CONTAINER ", kernel 5.9" },
	{ "mapping the vDSO", PROBE_MAIN, probe_vdso, "no restore: the kernel needs CONFIG_CHECKPOINT_RESTORE" },
	{ "userfaultfd: fill private memory", PROBE_MAIN, probe_uffd,
	  "no lazy restore: allow the system call (seccomp profile of the container) and give CAP_SYS_PTRACE, or allow "
	  "/dev/userfaultfd" },
	{ "userfaultfd: events of remap, remove, unmap", PROBE_MAIN | PROBE_ON_UFFD, probe_uffd_events,
	  "no lazy restore: needs kernel 4.11" },
	{ "userfaultfd: events of fork", PROBE_MAIN | PROBE_ON_UFFD, probe_uffd_event_fork,
	  "no lazy restore of programs that fork: " AS_ROOT "CAP_SYS_PTRACE" IN_CONTAINER },
	{ "userfaultfd: fill shared memory", PROBE_ON_UFFD, probe_uffd_shmem,
	  "shared memory is restored before the start: needs kernel 4.11" },
	{ "userfaultfd: poison", PROBE_ON_UFFD, probe_uffd_poison,
	  "a page that cannot be had kills its process instead of the one that touches it: needs kernel 6.6" },
	{ "PAGEMAP_SCAN", 0, probe_pagemap_scan, "dumps look at each page: needs kernel 6.7" },
	{ "userfaultfd: asynchronous write protection", PROBE_ON_UFFD, probe_wp_async,
	  "no tracking of written pages: needs kernel 6.7" },
	{ "/proc/PID/map_files", 0, probe_map_files,
	  "mapped files that were deleted stop a dump: " AS_ROOT "CAP_CHECKPOINT_RESTORE" IN_CONTAINER },
	{ "timers with given numbers", 0, probe_timer_ids,
	  "timer numbers are counted up to, and above 10000 refused: needs kernel 6.16" },
	{ "suspending seccomp filters", 0, probe_seccomp,
	  "programs under seccomp stop a dump: " AS_ROOT "CAP_SYS_ADMIN" IN_CONTAINER },
	{ "sock_diag", 0, probe_sock_diag, "sockets stop a dump: the kernel needs CONFIG_INET_DIAG" },
	{ "TCP repair mode", 0, probe_tcp_repair,
	  "TCP connections stop a dump even with --tcp-established: " AS_ROOT "CAP_NET_ADMIN" IN_CONTAINER },
	{ "locking TCP connections by nftables", 0, probe_net_lock,
	  "--tcp-established needs --network-lock skip: the kernel needs CONFIG_NF_TABLES_INET, and thaw "
	  "CAP_NET_ADMIN" },
	{ "PID namespace with a /proc of its own", 0, probe_pidns,
	  "no --new-pidns: " AS_ROOT "CAP_SYS_ADMIN" IN_CONTAINER "; nothing may be mounted over parts of /proc" },
	{ "raising hard limits", 0, probe_raise_limit,
	  "a program with higher hard limits than thaw's is refused: raise them before, or give CAP_SYS_RESOURCE" },
};
const size_t nr_probes = ARRAY_SIZE(probes);
