// SPDX-License-Identifier: GPL-2.0-only
/* modes: plain eager lazy*50 replayed*10 */
/* timeout: 300 */
/*
 * Four threads that touch, write, madvise(DONTNEED), mremap, munmap and fork at random, all the time: before the dump
 * (there without forks), and after the restore while the memory arrives. Every word is known: a page holds either zeros
 * or words derived from the address that it was written at (it may have moved since) and a salt.
 */
#include <sys/mman.h>
#include <sys/wait.h>

#include "mutators.h"

#define PAGE 4096UL
#define WORDS (PAGE / 8)
#define NR_THREADS 4
#define NR_AREAS 8     /* of a thread */
#define MAX_PAGES 1024 /* of an area */
#define OPS_BEFORE 300 /* of a thread before the dump may come */
#define OPS_AFTER 1500 /* of a thread after the restore */
#define CHILD_PAGES 64 /* that a forked child looks at */

/* What a page holds: zeros if salt is 0, or test_word(base + offset, salt). */
struct page {
	uint64_t base;
	uint64_t salt;
};

struct area {
	uint64_t *start; /* NULL: none */
	size_t pages;
	const char *last_op;
	struct page page[MAX_PAGES];
};

struct mutator {
	int nr;
	uint64_t rng;
	uint64_t ops;
	uint64_t next_salt;
	pid_t child; /* 0: none */
	struct area area[NR_AREAS];
};

static struct mutator mutators[NR_THREADS];

static size_t pick(struct mutator *m, size_t below)
{
	return test_random(&m->rng) % below;
}

static void verify_page(struct mutator *m, const struct area *a, size_t nr, const char *who)
{
	const uint64_t *p = a->start + nr * WORDS;
	const struct page *page = &a->page[nr];

	for (size_t i = 0; i < WORDS; i++) {
		uint64_t found = p[i], want = page->salt ? test_word(page->base + i * 8, page->salt) : 0;

		if (found != want)
			test_fail("wrong word at %p: expected %#lx, found %#lx (page %zu of %zu, offset %#zx; %s %d, "
				  "seed %u, operation %lu, last on the area: %s)",
				  (const void *)&p[i], want, found, nr, a->pages, i * 8, who, m->nr, test_seed(),
				  m->ops, a->last_op);
	}
}

static void write_page(struct mutator *m, struct area *a, size_t nr)
{
	uint64_t *p = a->start + nr * WORDS;
	struct page *page = &a->page[nr];

	page->base = (uint64_t)p;
	page->salt = ++m->next_salt;
	for (size_t i = 0; i < WORDS; i++)
		p[i] = test_word(page->base + i * 8, page->salt);
}

static void forget_pages(struct area *a, size_t first, size_t nr)
{
	memset(&a->page[first], 0, nr * sizeof(a->page[0]));
}

static void op_map(struct mutator *m, struct area *a)
{
	a->pages = 1 + pick(m, MAX_PAGES);
	a->start = mmap(NULL, a->pages * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	test_check(a->start != MAP_FAILED);
	forget_pages(a, 0, a->pages);
	for (size_t i = 0; i < a->pages; i++)
		if (pick(m, 8))
			write_page(m, a, i);
	a->last_op = "mmap";
}

static void op_touch(struct mutator *m, struct area *a)
{
	for (size_t n = 1 + pick(m, 8), i = 0; i < n; i++)
		verify_page(m, a, pick(m, a->pages), "thread");
}

static void op_write(struct mutator *m, struct area *a)
{
	write_page(m, a, pick(m, a->pages));
	a->last_op = "write";
}

static void op_dontneed(struct mutator *m, struct area *a)
{
	size_t first = pick(m, a->pages), nr = 1 + pick(m, a->pages - first);

	if (nr > 64)
		nr = 1 + nr / 64;
	test_check(!madvise(a->start + first * WORDS, nr * PAGE, MADV_DONTNEED));
	forget_pages(a, first, nr);
	a->last_op = "madvise";
	verify_page(m, a, first + pick(m, nr), "thread");
}

static void op_move(struct mutator *m, struct area *a)
{
	void *to = mmap(NULL, a->pages * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	test_check(to != MAP_FAILED);
	a->start = mremap(a->start, a->pages * PAGE, a->pages * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, to);
	test_check(a->start == to);
	a->last_op = "move";
	verify_page(m, a, pick(m, a->pages), "thread");
}

static void op_resize(struct mutator *m, struct area *a)
{
	size_t pages = 1 + pick(m, MAX_PAGES);

	a->start = mremap(a->start, a->pages * PAGE, pages * PAGE, MREMAP_MAYMOVE);
	test_check(a->start != MAP_FAILED);
	if (pages > a->pages)
		forget_pages(a, a->pages, pages - a->pages);
	a->pages = pages;
	a->last_op = "resize";
	verify_page(m, a, pages - 1, "thread");
}

/* The front or the tail of an area, or all of it; then there is a new one. */
static void op_unmap(struct mutator *m, struct area *a)
{
	size_t nr = 1 + pick(m, a->pages);

	if (nr == a->pages) {
		test_check(!munmap(a->start, nr * PAGE));
		op_map(m, a);
		return;
	}
	if (pick(m, 2)) {
		test_check(!munmap(a->start, nr * PAGE));
		a->start += nr * WORDS;
		memmove(a->page, a->page + nr, (a->pages - nr) * sizeof(a->page[0]));
	} else {
		test_check(!munmap(a->start + (a->pages - nr) * WORDS, nr * PAGE));
	}
	a->pages -= nr;
	a->last_op = "unmap";
}

static void __attribute__((noreturn)) child_run(struct mutator *m)
{
	for (int i = 0; i < CHILD_PAGES; i++) {
		struct area *a = &m->area[pick(m, NR_AREAS)];

		if (!pick(m, 16))
			op_dontneed(m, a);
		if (!pick(m, 16))
			op_write(m, a);
		if (!pick(m, 32))
			op_move(m, a);
		verify_page(m, a, pick(m, a->pages), "child of thread");
	}
	_exit(0);
}

static void child_reap(struct mutator *m, bool wait)
{
	int status;
	pid_t got;

	if (!m->child)
		return;
	got = waitpid(m->child, &status, wait ? 0 : WNOHANG);
	test_check(got >= 0);
	if (!got)
		return;
	m->child = 0;
	if (WIFEXITED(status) && WEXITSTATUS(status))
		_exit(1); /* its verdict stands */
	if (status)
		test_fail("child of thread %d ended with status %#x (seed %u)", m->nr, status, test_seed());
}

static void op_fork(struct mutator *m)
{
	child_reap(m, true);
	m->child = fork();
	test_check(m->child >= 0);
	if (!m->child)
		child_run(m);
}

static void mutate(struct mutator *m)
{
	struct area *a = &m->area[pick(m, NR_AREAS)];
	size_t what = pick(m, 100);

	m->ops++;
	if (what < 50)
		op_touch(m, a);
	else if (what < 75)
		op_write(m, a);
	else if (what < 85)
		op_dontneed(m, a);
	else if (what < 90)
		op_move(m, a);
	else if (what < 94)
		op_resize(m, a);
	else if (what < 97)
		op_unmap(m, a);
	else if (restored)
		op_fork(m);
	child_reap(m, false);
}

static void *mutator_run(void *arg)
{
	struct mutator *m = arg;

	for (size_t i = 0; i < NR_AREAS; i++)
		op_map(m, &m->area[i]);
	for (int i = 0; i < OPS_BEFORE; i++)
		mutate(m);
	warm++;
	while (!restored)
		mutate(m);
	for (int i = 0; i < OPS_AFTER; i++)
		mutate(m);
	child_reap(m, true);
	for (size_t i = 0; i < NR_AREAS; i++)
		for (size_t k = 0; k < m->area[i].pages; k++)
			verify_page(m, &m->area[i], k, "thread (last look)");
	return NULL;
}

int main(int argc, char **argv)
{
	test_init(argc, argv);
	for (int i = 0; i < NR_THREADS; i++) {
		mutators[i].nr = i;
		mutators[i].rng = test_seed() * 1000003ULL + (uint64_t)i + 1;
	}
	mutators_run(mutator_run, mutators, sizeof(mutators[0]), NR_THREADS);
}
