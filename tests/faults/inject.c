// SPDX-License-Identifier: GPL-2.0-only
/*
 * Make one system call of a command fail.
 *
 *	inject N ERRNO REPORT COMMAND [ARGUMENT...]
 *
 * The Nth system call of COMMAND is not made and fails with ERRNO (a number); 0: none. Calls of its threads count, and
 * those of children that it makes with fork(3), but neither those of what it makes with clone3(2), which are the tasks
 * of a restore, nor those of programs that it executes. Not counted is what cannot fail or is not the command's own:
 * the loader's calls, exits, futexes, signal masks, and writes to standard output and error. REPORT gets a line
 * "calls TOTAL" and, if one was made to fail, "failed NUMBER OBJECT", the number of that system call and what it was
 * about, if that is a file. Exits as COMMAND did, with 128 + N after signal N.
 */
#include <elf.h>
#include <errno.h>
#include <linux/sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#define OPTIONS (PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL | PTRACE_O_TRACEEXEC)
#define SYSCALL_STOP (SIGTRAP | 0x80)
#define TASKS 256
#define PAGE_LEFT(at, most) (4096 - ((at)&4095) < (most) ? 4096 - ((at)&4095) : (most))

struct task {
	pid_t tid;
	bool failing; /* between entry and exit of the call that is not made */
	bool foreign; /* has executed another program */
};

struct injector {
	unsigned long wanted, calls;
	int error;
	long failed;	  /* the call that was made to fail, -1: none yet */
	char object[256]; /* the file that it was about, or its second argument */
	pid_t command;
	bool started; /* COMMAND has been executed */
	uint64_t loader, loader_end;
	struct task tasks[TASKS];
	size_t nr;
};

static void die(const char *what)
{
	perror(what);
	exit(99);
}

static struct task *find(struct injector *in, pid_t tid)
{
	for (size_t i = 0; i < in->nr; i++)
		if (in->tasks[i].tid == tid)
			return &in->tasks[i];
	if (in->nr == TASKS) {
		fprintf(stderr, "inject: too many tasks\n");
		exit(99);
	}
	in->tasks[in->nr] = (struct task){ .tid = tid };
	return &in->tasks[in->nr++];
}

static void forget(struct injector *in, pid_t tid)
{
	*find(in, tid) = in->tasks[in->nr - 1];
	in->nr--;
}

/* Where the loader's code is: its calls come before main(). */
static void find_loader(struct injector *in, pid_t pid)
{
	char path[64], line[512];
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/maps", pid);
	f = fopen(path, "re");
	if (!f)
		die(path);
	while (fgets(line, sizeof(line), f)) {
		unsigned long start, end;

		if (!strstr(line, "ld-linux") || sscanf(line, "%lx-%lx", &start, &end) != 2)
			continue;
		if (!in->loader)
			in->loader = start;
		in->loader_end = end;
	}
	fclose(f);
}

static bool counts(const struct injector *in, const struct __ptrace_syscall_info *info)
{
	static const long never[] = { SYS_exit,		 SYS_exit_group,
				      SYS_rt_sigreturn,	 SYS_rt_sigprocmask,
				      SYS_futex,	 SYS_restart_syscall,
				      SYS_rseq,		 SYS_set_robust_list,
				      SYS_clock_gettime, SYS_brk };

	for (size_t i = 0; i < sizeof(never) / sizeof(never[0]); i++)
		if ((long)info->entry.nr == never[i])
			return false;
	if (info->entry.nr == SYS_write && (info->entry.args[0] == 1 || info->entry.args[0] == 2))
		return false;
	return info->instruction_pointer < in->loader || info->instruction_pointer >= in->loader_end;
}

/* The flags of a call that makes a task. */
static uint64_t clone_flags(pid_t tid, const struct __ptrace_syscall_info *info)
{
	uint64_t flags = info->entry.args[0];

	if (info->entry.nr == SYS_clone3) {
		struct iovec to = { &flags, sizeof(flags) }, from = { (void *)info->entry.args[0], sizeof(flags) };

		if (process_vm_readv(tid, &to, 1, &from, 1, 0) != sizeof(flags))
			die("process_vm_readv");
	}
	return flags;
}

/* Follow threads and what fork() makes; a restore's tasks are traced by the command itself. */
static void follow(pid_t tid, const struct __ptrace_syscall_info *info)
{
	unsigned long options = OPTIONS;

	if (info->entry.nr != SYS_clone && info->entry.nr != SYS_clone3)
		return;
	if (info->entry.nr == SYS_clone || clone_flags(tid, info) & CLONE_THREAD)
		options |= PTRACE_O_TRACECLONE | PTRACE_O_TRACEFORK;
	if (ptrace(PTRACE_SETOPTIONS, tid, NULL, options))
		die("PTRACE_SETOPTIONS");
}

static void set_result(pid_t tid, bool entry, long value)
{
	struct user_regs_struct regs;
	struct iovec iov = { &regs, sizeof(regs) };

	if (ptrace(PTRACE_GETREGSET, tid, NT_PRSTATUS, &iov))
		die("PTRACE_GETREGSET");
	if (entry)
		regs.orig_rax = (unsigned long long)value;
	else
		regs.rax = (unsigned long long)value;
	if (ptrace(PTRACE_SETREGSET, tid, NT_PRSTATUS, &iov))
		die("PTRACE_SETREGSET");
}

/* For the report: the file behind the first argument, or the path that the second one points to. */
static void find_object(struct injector *in, pid_t tid, const struct __ptrace_syscall_info *info)
{
	struct iovec to = { in->object, sizeof(in->object) - 1 }, from = { (void *)info->entry.args[1], to.iov_len };
	char link[64];

	if (info->entry.nr == SYS_openat || info->entry.nr == SYS_newfstatat || info->entry.nr == SYS_readlinkat ||
	    info->entry.nr == SYS_unlinkat || info->entry.nr == SYS_faccessat) {
		from.iov_len = PAGE_LEFT(info->entry.args[1], to.iov_len);
		if (process_vm_readv(tid, &to, 1, &from, 1, 0) < 0)
			in->object[0] = '\0';
		return;
	}
	if (info->entry.nr == SYS_ptrace) {
		snprintf(in->object, sizeof(in->object), "request 0x%llx, task %llu",
			 (unsigned long long)info->entry.args[0], (unsigned long long)info->entry.args[1]);
		return;
	}
	snprintf(link, sizeof(link), "/proc/%d/fd/%d", tid, (int)info->entry.args[0]);
	if (readlink(link, in->object, sizeof(in->object) - 1) < 0)
		in->object[0] = '\0';
}

static void at_syscall(struct injector *in, struct task *t)
{
	struct __ptrace_syscall_info info;

	if (ptrace(PTRACE_GET_SYSCALL_INFO, t->tid, sizeof(info), &info) < 0)
		die("PTRACE_GET_SYSCALL_INFO");
	if (info.op == PTRACE_SYSCALL_INFO_EXIT && t->failing) {
		t->failing = false;
		set_result(t->tid, false, -in->error);
	}
	if (info.op != PTRACE_SYSCALL_INFO_ENTRY || !in->started)
		return;
	follow(t->tid, &info);
	if (t->foreign || !counts(in, &info) || ++in->calls != in->wanted)
		return;
	in->failed = (long)info.entry.nr;
	find_object(in, t->tid, &info);
	t->failing = true;
	set_result(t->tid, true, -1);
}

static void let_run(pid_t tid, int sig)
{
	ptrace(PTRACE_SETOPTIONS, tid, NULL, OPTIONS);
	ptrace(PTRACE_CONT, tid, NULL, sig);
}

static void at_stop(struct injector *in, pid_t tid, int status)
{
	struct task *t = find(in, tid);
	int event = status >> 16, sig = 0;

	if (event == PTRACE_EVENT_EXEC && !in->started) {
		in->started = true;
		find_loader(in, tid);
	} else if (event == PTRACE_EVENT_EXEC) {
		t->foreign = true;
	} else if (WSTOPSIG(status) == SYSCALL_STOP) {
		at_syscall(in, t);
	} else if (!event) {
		sig = WSTOPSIG(status);
	}
	if (event == PTRACE_EVENT_STOP && WSTOPSIG(status) != SIGTRAP)
		ptrace(PTRACE_LISTEN, tid, NULL, 0);
	else if (in->failed < 0 || t->failing)
		ptrace(PTRACE_SYSCALL, tid, NULL, sig);
	else /* nothing is left to be counted, and nobody to be followed */
		let_run(tid, sig);
}

static void start(struct injector *in, char **argv)
{
	int ready[2];
	char byte;

	if (pipe(ready))
		die("pipe");
	in->command = fork();
	if (in->command < 0)
		die("fork");
	if (!in->command) {
		close(ready[1]);
		if (read(ready[0], &byte, 1) < 0)
			_exit(99);
		close(ready[0]);
		execv(argv[0], argv);
		_exit(99);
	}
	if (ptrace(PTRACE_SEIZE, in->command, NULL, OPTIONS))
		die("PTRACE_SEIZE");
	close(ready[0]);
	if (ptrace(PTRACE_INTERRUPT, in->command, NULL, NULL))
		die("PTRACE_INTERRUPT");
	close(ready[1]);
}

/* Until all have ended: what the command leaves in the background is followed to its end as well. */
static int run(struct injector *in)
{
	int status, result = 99;
	pid_t tid;

	while ((tid = waitpid(-1, &status, __WALL)) > 0) {
		if (WIFSTOPPED(status)) {
			at_stop(in, tid, status);
			continue;
		}
		forget(in, tid);
		if (tid == in->command)
			result = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
	}
	return result;
}

int main(int argc, char **argv)
{
	struct injector in = { .failed = -1 };
	int result;
	FILE *f;

	if (argc < 5) {
		fprintf(stderr, "Usage: inject N ERRNO REPORT COMMAND [ARGUMENT...]\n");
		return 99;
	}
	in.wanted = strtoul(argv[1], NULL, 10);
	in.error = atoi(argv[2]);
	start(&in, argv + 4);
	result = run(&in);
	f = fopen(argv[3], "we");
	if (!f)
		die(argv[3]);
	fprintf(f, "calls %lu\n", in.calls);
	if (in.failed >= 0)
		fprintf(f, "failed %ld %s\n", in.failed, in.object);
	fclose(f);
	return result;
}
