// SPDX-License-Identifier: GPL-2.0-only
#include "criu-like/state/clocks.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/util.h"

#ifndef CLONE_NEWTIME
#define CLONE_NEWTIME 0x80
#endif
#define NS_PER_S 1000000000L

static const struct {
	clockid_t id;
	const char *name; /* in timens_offsets */
} clocks[] = { { CLOCK_MONOTONIC, "monotonic" }, { CLOCK_BOOTTIME, "boottime" } };

#define NR_CLOCKS ARRAY_SIZE(clocks)

/* How far a process's clocks are ahead of the machine's, in ns; 0 where there are no time namespaces. */
static void read_offsets(int proc_fd, int64_t offsets[NR_CLOCKS])
{
	_cleanup_free_ char *text = NULL;
	long long s, ns;

	memset(offsets, 0, NR_CLOCKS * sizeof(*offsets));
	if (read_text(proc_fd, "timens_offsets", &text) <= 0)
		return;
	for (size_t i = 0; i < NR_CLOCKS; i++) {
		const char *line = strstr(text, clocks[i].name);

		if (line && sscanf(line, "%*s %lld %lld", &s, &ns) == 2)
			offsets[i] = s * NS_PER_S + ns;
	}
}

/* What the machine's own clocks say, whatever this process's namespace makes of that. */
static void read_clocks(int64_t now[NR_CLOCKS])
{
	_cleanup_close_ int self = proc_open(getpid());
	int64_t own[NR_CLOCKS];

	read_offsets(self, own);
	for (size_t i = 0; i < NR_CLOCKS; i++) {
		struct timespec ts = { 0 };

		clock_gettime(clocks[i].id, &ts);
		now[i] = ts.tv_sec * NS_PER_S + ts.tv_nsec - own[i];
	}
}

int clocks_check(struct dump *d)
{
	struct stat first = { 0 }, st;

	for (size_t i = 0; i < d->tree.nr; i++) {
		const struct process *p = d->tree.procs[i];

		if (p->zombie || fstatat(p->proc_fd, "ns/time", &st, 0) < 0)
			continue;
		if (first.st_ino && st.st_ino != first.st_ino)
			return diag_fail(d->diag, EOPNOTSUPP,
					 "process %d is in another time namespace than process %d, which Thaw cannot "
					 "restore",
					 p->pid, d->tree.procs[0]->pid);
		first = st;
	}
	return 0;
}

static void set(Timespec *to, int64_t ns)
{
	to->tv_sec = (uint64_t)(ns / NS_PER_S);
	to->tv_nsec = (uint64_t)(ns % NS_PER_S);
}

int clocks_write(struct dump *d)
{
	TimensEntry e = TIMENS_ENTRY__INIT;
	Timespec monotonic = TIMESPEC__INIT, boottime = TIMESPEC__INIT;
	int64_t now[NR_CLOCKS], ahead[NR_CLOCKS];

	read_clocks(now);
	read_offsets(d->tree.procs[0]->proc_fd, ahead);
	set(&monotonic, now[0] + ahead[0]);
	set(&boottime, now[1] + ahead[1]);
	e.monotonic = &monotonic;
	e.boottime = &boottime;
	return image_write_one(d->dir, IMG_TIMENS, 0, &e, d->diag);
}

/* The children of this process are born in a namespace whose clocks are ahead by so much. */
static int shift(const int64_t ahead[NR_CLOCKS])
{
	_cleanup_close_ int fd = -1;
	char text[128];
	int len = 0;

	if (unshare(CLONE_NEWTIME) < 0)
		return -errno;
	fd = open("/proc/self/timens_offsets", O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	for (size_t i = 0; i < NR_CLOCKS; i++) {
		int64_t ns = ahead[i] % NS_PER_S, s = ahead[i] / NS_PER_S - (ns < 0);

		len += snprintf(text + len, sizeof(text) - (size_t)len, "%s %lld %lld\n", clocks[i].name, (long long)s,
				(long long)(ns < 0 ? ns + NS_PER_S : ns));
	}
	return write(fd, text, (size_t)len) < 0 ? -errno : 0;
}

int clocks_restore(struct restore *r)
{
	_cleanup_close_ int self = proc_open(getpid());
	int64_t now[NR_CLOCKS], ahead[NR_CLOCKS], then[NR_CLOCKS];
	TimensEntry *e = NULL;
	bool back = false;
	int ret;

	if (!image_exists(r->dir, IMG_TIMENS, 0))
		return 0;
	ret = image_read_one(r->dir, IMG_TIMENS, 0, &e, r->diag);
	if (ret)
		return ret;
	then[0] = (int64_t)(e->monotonic->tv_sec * NS_PER_S + e->monotonic->tv_nsec);
	then[1] = (int64_t)(e->boottime->tv_sec * NS_PER_S + e->boottime->tv_nsec);
	image_free(e);
	read_clocks(now);
	read_offsets(self, ahead);
	for (size_t i = 0; i < NR_CLOCKS; i++)
		if (then[i] > now[i] + ahead[i]) {
			ahead[i] = then[i] - now[i];
			back = true;
		}
	ret = back ? shift(ahead) : 0;
	if (ret)
		return diag_fail(
			r->diag, -ret,
			"the tree's monotonic clock stood at %lld s, and would go back: a time namespace for it "
			"cannot be made: %s (it takes CAP_SYS_ADMIN and CAP_SYS_TIME)",
			(long long)(then[0] / NS_PER_S), strerror(-ret));
	if (back)
		diag_info(r->diag, "Made a time namespace in which the clocks go on from the dump");
	return 0;
}
