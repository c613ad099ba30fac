// SPDX-License-Identifier: GPL-2.0-only
/* modes: plain eager lazy leave-running twice user */
/*
 * What prctl and membarrier set: parent-death signals and names, one for each thread; no huge pages, no core dumps,
 * barriers registered; all limits; the score for the killer of the memory-hungry. All that is a child's: the parent of
 * the program itself does not come back.
 */
#include <linux/membarrier.h>
#include <pthread.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "harness.h"

#define GET_REGISTRATIONS (1 << 9)

static pthread_barrier_t barrier;

struct facts {
	int pdeath, thp, dumpable, registrations;
	char name[16], oom[16];
	struct rlimit limits[RLIM_NLIMITS];
};

static void read_facts(struct facts *f)
{
	int fd = open("/proc/self/oom_score_adj", O_RDONLY | O_CLOEXEC);

	memset(f, 0, sizeof(*f));
	test_check(!prctl(PR_GET_PDEATHSIG, &f->pdeath));
	test_check(!prctl(PR_GET_NAME, f->name));
	f->thp = prctl(PR_GET_THP_DISABLE, 0, 0, 0, 0);
	f->dumpable = prctl(PR_GET_DUMPABLE);
	f->registrations = (int)syscall(SYS_membarrier, GET_REGISTRATIONS, 0, 0);
	for (int i = 0; i < RLIM_NLIMITS; i++)
		test_check(!getrlimit(i, &f->limits[i]));
	/* Root's file now that the process is not dumpable. */
	if (fd >= 0) {
		test_check(read(fd, f->oom, sizeof(f->oom) - 1) > 0);
		close(fd);
	}
}

static void compare(const char *who, const struct facts *a, const struct facts *b)
{
	if (a->pdeath != b->pdeath)
		test_fail("%s: parent-death signal %d, was %d", who, b->pdeath, a->pdeath);
	if (strcmp(a->name, b->name) != 0)
		test_fail("%s: name %s, was %s", who, b->name, a->name);
	if (a->thp != b->thp || a->dumpable != b->dumpable || a->registrations != b->registrations)
		test_fail("%s: thp_disable %d dumpable %d barriers %#x, was %d %d %#x", who, b->thp, b->dumpable,
			  b->registrations, a->thp, a->dumpable, a->registrations);
	if (strcmp(a->oom, b->oom) != 0)
		test_fail("%s: oom_score_adj %s, was %s", who, b->oom, a->oom);
	for (int i = 0; i < RLIM_NLIMITS; i++)
		if (memcmp(&a->limits[i], &b->limits[i], sizeof(a->limits[i])) != 0)
			test_fail("%s: limit %d is %lu/%lu, was %lu/%lu", who, i, b->limits[i].rlim_cur,
				  b->limits[i].rlim_max, a->limits[i].rlim_cur, a->limits[i].rlim_max);
}

static void *thread(void *arg)
{
	struct facts before, after;

	test_check(!prctl(PR_SET_PDEATHSIG, SIGRTMAX));
	test_check(!prctl(PR_SET_NAME, "\xc3\xa4 second\n\x01"));
	pthread_barrier_wait(&barrier);
	pthread_barrier_wait(&barrier);
	read_facts(&before);
	pthread_barrier_wait(&barrier);
	pthread_barrier_wait(&barrier);
	read_facts(&after);
	compare("thread", &before, &after);
	return NULL;
}

static void lower_limits(void)
{
	for (int i = 0; i < RLIM_NLIMITS; i++) {
		struct rlimit lim;

		if (i == RLIMIT_AS || i == RLIMIT_DATA || i == RLIMIT_STACK || i == RLIMIT_CPU || i == RLIMIT_FSIZE)
			continue;
		test_check(!getrlimit(i, &lim));
		if (lim.rlim_max == RLIM_INFINITY)
			lim.rlim_max = 1000003;
		lim.rlim_cur = lim.rlim_max - lim.rlim_max / 3;
		test_check(!setrlimit(i, &lim));
	}
}

static void child(int ready)
{
	struct facts before, after;
	pthread_t t;
	int adopts = 0, fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);

	test_check(fd >= 0 && write(fd, "321", 3) == 3);
	close(fd);
	pthread_barrier_init(&barrier, NULL, 2);
	test_check(!pthread_create(&t, NULL, thread, NULL));
	pthread_barrier_wait(&barrier);
	lower_limits();
	test_check(!prctl(PR_SET_PDEATHSIG, SIGPROF));
	test_check(!prctl(PR_SET_NAME, "first ) (16 chars"));
	test_check(!prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0));
	test_check(!prctl(PR_SET_DUMPABLE, 0));
	test_check(!prctl(PR_SET_CHILD_SUBREAPER, 1));
	syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0);
	syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED, 0, 0);
	pthread_barrier_wait(&barrier);
	read_facts(&before);
	pthread_barrier_wait(&barrier);
	test_check(write(ready, "", 1) == 1);
	test_wait();
	read_facts(&after);
	compare("leader", &before, &after);
	pthread_barrier_wait(&barrier);
	pthread_join(t, NULL);
	test_check(!prctl(PR_GET_CHILD_SUBREAPER, &adopts) && adopts == 1);
	_exit(0);
}

int main(int argc, char **argv)
{
	int ready[2], status;
	char byte;
	pid_t pid;

	test_init(argc, argv);
	test_check(!pipe(ready));
	pid = fork();
	test_check(pid >= 0);
	if (!pid)
		child(ready[1]);
	test_check(read(ready[0], &byte, 1) == 1);
	test_ready();
	test_wait();
	test_check(!kill(pid, SIGUSR2));
	test_check(waitpid(pid, &status, 0) == pid);
	if (status)
		_exit(1); /* it has said why, or a signal has */
	test_pass();
}
