// SPDX-License-Identifier: GPL-2.0-only
/* modes: plain eager lazy leave-running twice user new-pidns new-pidns-lazy */
/*
 * A tree of processes, three levels deep, with sessions and process groups of their own in some places. After the
 * restore each checks its ids, its parent, its private memory and the memory that all share.
 */
#include <sched.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "harness.h"

#define DEPTH 3
#define BRANCHES 2
#define NR_MAX 16
#define PRIVATE_WORDS 8192

struct shared {
	int nr_ready;
	int nr;
	uint64_t word[NR_MAX]; /* what each process wrote before the dump */
	uint64_t seen[NR_MAX]; /* and after */
};

static struct shared *shared;
static uint64_t private_words[PRIVATE_WORDS];

static void fill_private(uint64_t salt)
{
	for (size_t i = 0; i < PRIVATE_WORDS; i++)
		private_words[i] = test_word(i, salt);
}

static void verify_private(int nr, uint64_t salt)
{
	for (size_t i = 0; i < PRIVATE_WORDS; i++)
		if (private_words[i] != test_word(i, salt))
			test_fail("process %d: private word %zu is %#lx", nr, i, private_words[i]);
}

static void verify_id(int nr, const char *what, pid_t is, pid_t was)
{
	if (is != was)
		test_fail("process %d: %s is %d, was %d", nr, what, is, was);
}

/* One process of the tree: start the children, wait, verify, wait for the children. */
static void run(int depth, bool root)
{
	int nr = __atomic_fetch_add(&shared->nr, 1, __ATOMIC_SEQ_CST), status;
	pid_t child[BRANCHES] = { 0 }, pid = getpid(), ppid = getppid(), sid, pgid;

	if (!root && nr % 4 == 1)
		test_check(setsid() == pid);
	else if (!root && nr % 4 == 2)
		test_check(!setpgid(0, 0));
	sid = getsid(0);
	pgid = getpgid(0);
	for (int i = 0; depth > 0 && i < BRANCHES; i++) {
		child[i] = fork();
		test_check(child[i] >= 0);
		if (!child[i]) {
			test_forked();
			run(depth - 1, false);
			_exit(0);
		}
	}
	fill_private((uint64_t)nr + 1);
	shared->word[nr] = test_word((uint64_t)nr, 9);
	__atomic_fetch_add(&shared->nr_ready, 1, __ATOMIC_SEQ_CST);
	if (root) {
		while (__atomic_load_n(&shared->nr_ready, __ATOMIC_SEQ_CST) < (1 << (DEPTH + 1)) - 1)
			sched_yield();
		test_ready();
	}
	test_wait();

	verify_id(nr, "pid", getpid(), pid);
	if (!root)
		verify_id(nr, "parent", getppid(), ppid);
	verify_id(nr, "session", getsid(0), sid);
	verify_id(nr, "process group", getpgid(0), pgid);
	verify_private(nr, (uint64_t)nr + 1);
	for (int i = 0; i < shared->nr; i++)
		if (shared->word[i] != test_word((uint64_t)i, 9))
			test_fail("process %d: shared word %d is %#lx", nr, i, shared->word[i]);
	shared->seen[nr] = test_word((uint64_t)nr, 10);
	for (int i = 0; i < BRANCHES; i++) {
		if (!child[i])
			continue;
		test_check(!kill(child[i], SIGUSR2));
		test_check(waitpid(child[i], &status, 0) == child[i]);
		if (WIFEXITED(status) && WEXITSTATUS(status))
			_exit(1); /* its verdict stands */
		if (status)
			test_fail("process %d: child %d ended with status %#x", nr, child[i], status);
	}
}

int main(int argc, char **argv)
{
	test_init(argc, argv);
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	test_check(shared != MAP_FAILED);
	run(DEPTH, true);
	for (int i = 0; i < shared->nr; i++)
		if (shared->seen[i] != test_word((uint64_t)i, 10))
			test_fail("what process %d wrote after the restore is not seen", i);
	test_pass();
}
