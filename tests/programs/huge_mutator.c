// SPDX-License-Identifier: GPL-2.0-only
/* modes: plain eager lazy*10 */
/* needs: hugepages */
/* timeout: 120 */
/*
 * Two threads that touch, write, give back, move, cut and fork private memory of huge pages at random, before the dump
 * and while the memory arrives. A page holds zeroes, or in a part of it words derived from its address and a salt.
 */
#include <sys/mman.h>
#include <sys/wait.h>

#include "mutators.h"

#define HUGE (2UL << 20)
#define WORDS (HUGE / 8)
#define NR_THREADS 2
#define NR_AREAS 2  /* of a thread */
#define MAX_PAGES 4 /* of an area */
#define LOOKS 200   /* words of a page that a look is about */
#define OPS 120

struct page {
	uint64_t base, salt;
	size_t first, last; /* words that are not zero */
};

struct area {
	uint64_t *at;
	size_t pages;
	struct page page[MAX_PAGES];
};

struct mutator {
	uint64_t rng, salts;
	struct area area[NR_AREAS];
};

static struct mutator mutators[NR_THREADS];

static size_t pick(struct mutator *m, size_t below)
{
	return test_random(&m->rng) % below;
}

static uint64_t want(const struct page *p, size_t i)
{
	return p->salt && i >= p->first && i < p->last ? test_word(p->base + i * 8, p->salt) : 0;
}

static void verify(struct mutator *m, const struct area *a, size_t nr, const char *what)
{
	const uint64_t *words = a->at + nr * WORDS;

	for (int k = 0; k < LOOKS; k++) {
		size_t i = k == 0 ? 0 : k == 1 ? WORDS - 1 : pick(m, WORDS);

		if (words[i] != want(&a->page[nr], i))
			test_fail("wrong word %#zx of the huge page at %p: %#lx, not %#lx (%s, seed %u)", i,
				  (const void *)words, words[i], want(&a->page[nr], i), what, test_seed());
	}
}

static void write_page(struct mutator *m, struct area *a, size_t nr)
{
	struct page *p = &a->page[nr];
	uint64_t *words = a->at + nr * WORDS;

	for (size_t i = p->first; p->salt && i < p->last; i++)
		words[i] = 0;
	p->base = (uint64_t)words;
	p->salt = ++m->salts;
	p->first = pick(m, 2) ? 0 : pick(m, WORDS);
	p->last = pick(m, 2) ? WORDS : p->first + pick(m, WORDS - p->first) + 1;
	p->last = p->last > WORDS ? WORDS : p->last;
	for (size_t i = p->first; i < p->last; i++)
		words[i] = want(p, i);
}

/*
 * Never across a border of 1 GiB: there the kernel (6.18) loses pages in mremap(2), when nothing below the border has
 * been touched.
 */
static void *map(size_t pages, int prot, int flags)
{
	flags |= MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB;
	for (char *hint = NULL;; hint = (char *)((uint64_t)hint >> 30 << 30)) {
		char *at = mmap(hint, pages * HUGE, prot, flags, -1, 0);

		if (at == MAP_FAILED || (uint64_t)at >> 30 == ((uint64_t)at + pages * HUGE - 1) >> 30)
			return at;
		test_check(!munmap(at, pages * HUGE));
		hint = at;
	}
}

static void map_area(struct mutator *m, struct area *a)
{
	memset(a, 0, sizeof(*a));
	a->pages = MAX_PAGES;
	a->at = map(a->pages, PROT_READ | PROT_WRITE, 0);
	if (a->at == MAP_FAILED)
		test_skip("no huge pages: %s", strerror(errno));
	for (size_t i = 0; i < a->pages; i++)
		if (pick(m, 4))
			write_page(m, a, i);
}

static void move(struct area *a)
{
	void *to = map(a->pages, PROT_NONE, MAP_NORESERVE);

	test_check(to != MAP_FAILED);
	test_check(mremap(a->at, a->pages * HUGE, a->pages * HUGE, MREMAP_MAYMOVE | MREMAP_FIXED, to) == to);
	a->at = to;
}

static void cut(struct mutator *m, struct area *a)
{
	if (a->pages == 1) {
		test_check(!munmap(a->at, HUGE));
		map_area(m, a);
	} else if (pick(m, 2)) {
		test_check(!munmap(a->at, HUGE));
		a->at += WORDS;
		memmove(a->page, a->page + 1, (a->pages-- - 1) * sizeof(a->page[0]));
	} else {
		test_check(!munmap(a->at + --a->pages * WORDS, HUGE));
	}
}

static void fork_one(struct mutator *m, struct area *a)
{
	int status;
	pid_t pid = fork();

	test_check(pid >= 0);
	if (!pid) {
		for (int i = 0; i < 3; i++)
			verify(m, a, pick(m, a->pages), "child");
		_exit(0);
	}
	test_check(waitpid(pid, &status, 0) == pid);
	if (WIFEXITED(status) && WEXITSTATUS(status))
		_exit(1); /* its verdict stands */
	if (status)
		test_fail("a child ended with status %#x (seed %u)", status, test_seed());
}

static void mutate(struct mutator *m)
{
	struct area *a = &m->area[pick(m, NR_AREAS)];
	size_t what = pick(m, 100), nr = pick(m, a->pages);

	if (what < 55) {
		verify(m, a, nr, "touched");
	} else if (what < 70) {
		write_page(m, a, nr);
	} else if (what < 80) {
		test_check(!madvise(a->at + nr * WORDS, HUGE, MADV_DONTNEED));
		a->page[nr].salt = 0;
		verify(m, a, nr, "given back");
	} else if (what < 88) {
		move(a);
	} else if (what < 94) {
		cut(m, a);
	} else if (restored) {
		fork_one(m, a);
	}
}

static void *run(void *arg)
{
	struct mutator *m = arg;

	for (size_t i = 0; i < NR_AREAS; i++)
		map_area(m, &m->area[i]);
	for (int i = 0; i < OPS; i++)
		mutate(m);
	warm++;
	while (!restored)
		mutate(m);
	for (int i = 0; i < OPS; i++)
		mutate(m);
	for (size_t i = 0; i < NR_AREAS; i++)
		for (size_t k = 0; k < m->area[i].pages; k++)
			verify(m, &m->area[i], k, "last look");
	return NULL;
}

int main(int argc, char **argv)
{
	test_init(argc, argv);
	for (int i = 0; i < NR_THREADS; i++)
		mutators[i].rng = test_seed() * 1000003ULL + (uint64_t)i + 1;
	mutators_run(run, mutators, sizeof(mutators[0]), NR_THREADS);
}
