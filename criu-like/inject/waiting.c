// SPDX-License-Identifier: GPL-2.0-only
/*
 * See waiting.h. The clocks of two CPUs' run queues may differ by all the time that interrupts and the hypervisor have
 * taken from them, so this thread goes to the CPU in question to look at its clock.
 */
#include "criu-like/inject/waiting.h"

#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/util.h"
#include "criu-like/inject/arch.h"

#define CPUS_BYTES 1024
#define STAT_CPU 37 /* fields of /proc/PID/stat behind the name's parenthesis, before the CPU */

/* Such a file is read at once, and never truncated where it matters. Return: bytes, 0 if it cannot be read */
static size_t read_file(pid_t tgid, pid_t tid, const char *name, char *text, size_t size)
{
	_cleanup_close_ int fd = -1;
	char path[64];
	ssize_t len;

	snprintf(path, sizeof(path), "/proc/%d/task/%d/%s", tgid, tid, name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	len = fd < 0 ? 0 : read(fd, text, size - 1);
	text[MAX(len, 0)] = '\0';
	return (size_t)MAX(len, 0);
}

/* When the thread ran last. In ms with six digits behind the point. */
static uint64_t read_exec_start(pid_t tgid, pid_t tid)
{
	static const char key[] = "se.exec_start";
	unsigned long long ms, ns;
	char text[4096];
	const char *at;

	read_file(tgid, tid, "sched", text, sizeof(text));
	at = strstr(text, key);
	if (!at || sscanf(at + sizeof(key) - 1, " : %llu.%6llu", &ms, &ns) != 2)
		return 0;
	return ms * 1000000 + ns;
}

static int read_cpu(pid_t tgid, pid_t tid)
{
	char text[1024], *at;

	read_file(tgid, tid, "stat", text, sizeof(text));
	at = strrchr(text, ')');
	for (int i = 0; at && i < STAT_CPU; i++)
		at = strchr(at + 1, ' ');
	return at ? atoi(at) : -1;
}

void waiting_read(pid_t tgid, pid_t tid, struct waiting *w)
{
	const struct arch_timed_call *call;
	char text[256], wchan[64];
	unsigned long long arg[6];
	long nr;

	*w = (struct waiting){ 0 };
	read_file(tgid, tid, "syscall", text, sizeof(text));
	if (sscanf(text, "%ld %llx %llx %llx %llx %llx %llx", &nr, &arg[0], &arg[1], &arg[2], &arg[3], &arg[4],
		   &arg[5]) != 7)
		return;
	call = arch_timed_call(nr);
	if (nr == ARCH_SYS_restart_syscall && read_file(tgid, tid, "wchan", wchan, sizeof(wchan)) && wchan[0] != '0')
		call = arch_timed_call_by_wchan(wchan, arg[0]);
	if (!call || !arg[call->time])
		return;
	w->nr = call->nr;
	w->cpu = read_cpu(tgid, tid);
	w->since = read_exec_start(tgid, tid);
}

/* Being scheduled sets the time that a thread ran last: it moves to the CPU, and sleeps a moment if it was there. */
static uint64_t clock_of_cpu(int cpu)
{
	static const struct timespec moment = { .tv_nsec = 1 };
	uint8_t before[CPUS_BYTES], only[CPUS_BYTES] = { 0 };
	long len = syscall(SYS_sched_getaffinity, 0, sizeof(before), before);
	uint64_t now;

	if (len < 0 || cpu >= 8 * CPUS_BYTES)
		return 0;
	only[cpu / 8] = (uint8_t)(1 << cpu % 8);
	if (syscall(SYS_sched_setaffinity, 0, sizeof(only), only) < 0)
		return 0;
	nanosleep(&moment, NULL);
	now = read_exec_start(getpid(), gettid());
	syscall(SYS_sched_setaffinity, 0, len, before);
	return now;
}

uint64_t waiting_time(const struct waiting *w, uint64_t *clocks, size_t nr)
{
	if (!w->since || w->cpu < 0 || (size_t)w->cpu >= nr)
		return 0;
	if (!clocks[w->cpu])
		clocks[w->cpu] = clock_of_cpu(w->cpu);
	return clocks[w->cpu] > w->since ? clocks[w->cpu] - w->since : 0;
}
