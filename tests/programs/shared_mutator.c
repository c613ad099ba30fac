// SPDX-License-Identifier: GPL-2.0-only
/* modes: plain eager lazy*15 replayed*5 */
/* timeout: 300 */
/*
 * Processes that share memory and touch, write, give back (MADV_REMOVE, MADV_DONTNEED), move, cut, map twice and fork
 * at random, before the dump and while the memory arrives. What each page holds stands in a table that all share, with
 * a lock for each page. A third of the seeds only touches and writes, a third gives back too, a third does all.
 */
#include <sched.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "harness.h"

#define PAGE 4096UL
#define WORDS (PAGE / 8)
#define NR_PROCESSES 5
#define NR_OBJECTS 3
#define MAX_PAGES 4096
#define MAX_RANGE 64
#define OPS_BEFORE 300
#define OPS_AFTER 1200

struct page {
	atomic_flag busy;
	uint64_t salt; /* 0: zeros */
};

struct control {
	atomic_int warm, restored, failed;
	struct page page[NR_OBJECTS][MAX_PAGES];
};

struct mapping {
	uint64_t *at;
	size_t pages; /* of the object, from its first, that are mapped here */
	size_t all;
};

static struct control *control;
static struct mapping maps[NR_OBJECTS];
static uint64_t rng, salts;
static unsigned me;
static pid_t parent;

static size_t pick(size_t below)
{
	return test_random(&rng) % below;
}

static void lock(unsigned nr, size_t first, size_t n)
{
	for (size_t i = first; i < first + n; i++)
		while (atomic_flag_test_and_set(&control->page[nr][i].busy))
			if (control->failed || getppid() != parent) /* who has failed, or was killed, has locks */
				_exit(1);
			else
				sched_yield();
}

static void unlock(unsigned nr, size_t first, size_t n)
{
	for (size_t i = first; i < first + n; i++)
		atomic_flag_clear(&control->page[nr][i].busy);
}

/* With the page locked. */
static void verify(unsigned nr, const uint64_t *at, size_t page, const char *what)
{
	uint64_t salt = control->page[nr][page].salt;

	for (size_t i = 0; i < WORDS; i++) {
		uint64_t want = salt ? test_word(nr * MAX_PAGES * PAGE + page * PAGE + i * 8, salt) : 0;
		uint64_t found = at[page * WORDS + i];

		if (found == want)
			continue;
		control->failed = 1;
		test_fail("wrong word in page %zu of object %u, offset %#zx: expected %#lx, found %#lx "
			  "(process %u, seed %u, %s)",
			  page, nr, i * 8, want, found, me, test_seed(), what);
	}
}

static void op_touch(unsigned nr, const struct mapping *m, const char *what)
{
	size_t page = pick(m->pages);

	lock(nr, page, 1);
	verify(nr, m->at, page, what);
	unlock(nr, page, 1);
}

static void op_write(unsigned nr, const struct mapping *m)
{
	size_t page = pick(m->pages);
	uint64_t salt = ++salts * 64 + me + 1;

	lock(nr, page, 1);
	control->page[nr][page].salt = salt;
	for (size_t i = 0; i < WORDS; i++)
		m->at[page * WORDS + i] = test_word(nr * MAX_PAGES * PAGE + page * PAGE + i * 8, salt);
	unlock(nr, page, 1);
}

static void op_give_back(unsigned nr, const struct mapping *m, int advice)
{
	size_t first = pick(m->pages), n = 1 + pick(MAX_RANGE);

	n = n < m->pages - first ? n : m->pages - first;
	lock(nr, first, n);
	test_check(!madvise(m->at + first * WORDS, n * PAGE, advice));
	for (size_t i = first; advice == MADV_REMOVE && i < first + n; i++)
		control->page[nr][i].salt = 0;
	verify(nr, m->at, first + pick(n), advice == MADV_REMOVE ? "removed" : "given back");
	unlock(nr, first, n);
}

static void op_move(unsigned nr, struct mapping *m)
{
	void *to = mmap(NULL, m->pages * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	test_check(to != MAP_FAILED);
	m->at = mremap(m->at, m->pages * PAGE, m->pages * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, to);
	test_check(m->at == to);
	op_touch(nr, m, "moved");
}

static void op_resize(unsigned nr, struct mapping *m)
{
	size_t pages = 1 + pick(m->all);

	m->at = mremap(m->at, m->pages * PAGE, pages * PAGE, MREMAP_MAYMOVE);
	test_check(m->at != MAP_FAILED);
	m->pages = pages;
	op_touch(nr, m, "resized");
}

static void op_map_twice(unsigned nr, const struct mapping *m)
{
	struct mapping twice = *m;

	twice.at = mremap(m->at, 0, m->pages * PAGE, MREMAP_MAYMOVE);
	test_check(twice.at != MAP_FAILED);
	for (int i = 0; i < 4; i++)
		op_touch(nr, &twice, "second mapping");
	op_write(nr, &twice);
	test_check(!munmap(twice.at, m->pages * PAGE));
}

static void op_fork(bool changes)
{
	int status;
	pid_t pid = fork();

	test_check(pid >= 0);
	if (!pid) {
		parent = getppid();
		for (int i = 0; i < 40; i++) {
			unsigned nr = (unsigned)pick(NR_OBJECTS);

			op_touch(nr, &maps[nr], "child");
			if (changes && !pick(8))
				op_give_back(nr, &maps[nr], pick(2) ? MADV_REMOVE : MADV_DONTNEED);
		}
		_exit(0);
	}
	test_check(waitpid(pid, &status, 0) == pid);
	if (WIFEXITED(status) && WEXITSTATUS(status))
		_exit(1); /* its verdict stands */
	if (status)
		test_fail("child of process %u ended with status %#x (seed %u)", me, status, test_seed());
}

static void mutate(unsigned kind)
{
	unsigned nr = (unsigned)pick(NR_OBJECTS);
	struct mapping *m = &maps[nr];
	size_t what = pick(kind == 0 ? 80 : kind == 1 ? 95 : 100);

	if (what < 50)
		op_touch(nr, m, "touched");
	else if (what < 78)
		op_write(nr, m);
	else if (what < 80)
		op_fork(kind > 0);
	else if (what < 88)
		op_give_back(nr, m, MADV_REMOVE);
	else if (what < 95)
		op_give_back(nr, m, MADV_DONTNEED);
	else if (what < 97)
		op_move(nr, m);
	else if (what < 99)
		op_resize(nr, m);
	else
		op_map_twice(nr, m);
}

/* The whole object may be out of reach here by now: what is mapped. */
static void last_look(void)
{
	for (unsigned nr = 0; nr < NR_OBJECTS; nr++)
		for (size_t i = 0; i < maps[nr].pages; i++) {
			lock(nr, i, 1);
			verify(nr, maps[nr].at, i, "last look");
			unlock(nr, i, 1);
		}
}

static void run(unsigned nr)
{
	unsigned kind = test_seed() % 3;

	me = nr;
	rng = test_seed() * 1000003ULL + nr + 1;
	for (int i = 0; i < OPS_BEFORE; i++)
		mutate(kind % 2);
	control->warm++;
	while (!control->restored) /* memory whose mappings were cut may not arrive lazily */
		mutate(kind % 2);
	for (int i = 0; i < OPS_AFTER; i++)
		mutate(kind);
	last_look();
}

int main(int argc, char **argv)
{
	int status, failed = 0;

	test_init(argc, argv);
	parent = getppid();
	rng = test_seed() + 77;
	control = mmap(NULL, sizeof(*control), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	test_check(control != MAP_FAILED);
	for (unsigned nr = 0; nr < NR_OBJECTS; nr++) {
		struct mapping *m = &maps[nr];

		m->pages = m->all = MAX_PAGES >> nr;
		m->at = mmap(NULL, m->pages * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
		test_check(m->at != MAP_FAILED);
		for (int i = 0; i < MAX_PAGES; i++)
			op_write(nr, m);
	}
	for (unsigned nr = 0; nr < NR_PROCESSES; nr++) {
		pid_t pid = fork();

		test_check(pid >= 0);
		if (!pid) {
			test_forked();
			parent = getppid();
			run(nr);
			_exit(0);
		}
	}
	while (control->warm < NR_PROCESSES)
		sched_yield();
	test_ready();
	test_wait();
	parent = getppid();
	control->restored = 1;
	for (unsigned nr = 0; nr < NR_PROCESSES; nr++) {
		test_check(wait(&status) > 0);
		failed |= status;
	}
	if (failed)
		_exit(1);
	last_look();
	test_pass();
}
