// SPDX-License-Identifier: GPL-2.0-only
/* modes: plain eager lazy leave-running twice user new-pidns new-pidns-lazy */
/*
 * Memory of every common kind, each word of it known: private, shared, file-backed with and without changes, read-only,
 * PROT_NONE, a deep stack, holes, zero pages, touched and untouched areas.
 */
#include <sys/mman.h>
#include <sys/stat.h>

#include "harness.h"

#define PAGE 4096UL
#define NR 64UL /* pages of an area */

static uint64_t *map(size_t pages, int prot, int flags, int fd)
{
	void *p = mmap(NULL, pages * PAGE, prot, flags, fd, 0);

	test_check(p != MAP_FAILED);
	return p;
}

static void fill(uint64_t *p, size_t from, size_t pages, uint64_t salt)
{
	for (size_t i = from * PAGE / 8; i < (from + pages) * PAGE / 8; i++)
		p[i] = test_word((uint64_t)&p[i], salt);
}

static void verify(const char *what, const uint64_t *p, size_t from, size_t pages, uint64_t salt)
{
	for (size_t i = from * PAGE / 8; i < (from + pages) * PAGE / 8; i++) {
		uint64_t want = salt ? test_word((uint64_t)&p[i], salt) : 0;

		if (p[i] != want)
			test_fail("%s: word at %p is %#lx, not %#lx", what, (void *)&p[i], p[i], want);
	}
}

/* The file's words come from their offset, so that it reads the same at any address. */
static int make_file(const char *name)
{
	int fd = open(name, O_RDWR | O_CREAT | O_TRUNC, 0600);

	test_check(fd >= 0);
	for (uint64_t off = 0; off < NR * PAGE; off += 8) {
		uint64_t w = test_word(off, 7);

		test_check(pwrite(fd, &w, 8, (off_t)off) == 8);
	}
	return fd;
}

static void verify_file(const char *what, const uint64_t *p, size_t from, size_t pages)
{
	for (size_t i = from * PAGE / 8; i < (from + pages) * PAGE / 8; i++)
		if (p[i] != test_word(i * 8, 7))
			test_fail("%s: word %zu is %#lx, not the file's", what, i, p[i]);
}

/* Stack frames of 3 pages each, filled on the way down and verified on the way back. */
static void deep(int depth, void (*bottom)(void))
{
	volatile uint64_t frame[3 * PAGE / 8];

	for (size_t i = 0; i < 3 * PAGE / 8; i++)
		frame[i] = test_word((uint64_t)&frame[i], (uint64_t)depth);
	if (depth)
		deep(depth - 1, bottom);
	else
		bottom();
	for (size_t i = 0; i < 3 * PAGE / 8; i++)
		if (frame[i] != test_word((uint64_t)&frame[i], (uint64_t)depth))
			test_fail("stack word at %p at depth %d is %#lx", (void *)&frame[i], depth, frame[i]);
}

static void dumped_here(void)
{
	test_ready();
	test_wait();
}

int main(int argc, char **argv)
{
	uint64_t *anon, *none, *readonly, *shared, *sparse, *untouched, *file, *fileshared, *heap, *zeros;
	const int rw = PROT_READ | PROT_WRITE, private = MAP_PRIVATE | MAP_ANONYMOUS;
	int fd;

	test_init(argc, argv);
	anon = map(NR, rw, private, -1);
	fill(anon, 0, NR, 1);
	test_check(!munmap((char *)anon + 20 * PAGE, 4 * PAGE)); /* a hole */
	test_check(!mprotect((char *)anon + 30 * PAGE, 2 * PAGE, PROT_READ));
	none = map(NR, rw, private, -1);
	fill(none, 0, NR, 2);
	test_check(!mprotect(none, NR * PAGE, PROT_NONE));
	readonly = map(NR, rw, private, -1);
	fill(readonly, 0, NR / 2, 3);
	test_check(!mprotect(readonly, NR * PAGE, PROT_READ));
	shared = map(NR, rw, MAP_SHARED | MAP_ANONYMOUS, -1);
	fill(shared, 8, NR - 16, 4);
	sparse = map(NR * 64, rw, private, -1);
	for (size_t i = 0; i < NR * 64; i += 37)
		fill(sparse, i, 1, 5);
	untouched = map(NR, rw, private | MAP_NORESERVE, -1);
	zeros = map(NR, rw, private, -1);
	memset(zeros, 1, NR * PAGE);
	memset(zeros, 0, NR * PAGE);
	fd = make_file("memory_pattern.private");
	file = map(NR, rw, MAP_PRIVATE, fd);
	fill(file, 10, 5, 6);
	test_check(!close(fd));
	fd = make_file("memory_pattern.shared");
	fileshared = map(NR, rw, MAP_SHARED, fd);
	test_check(!close(fd));
	heap = malloc(NR * 1024);
	for (size_t i = 0; i < NR * 1024 / 8; i++)
		heap[i] = test_word((uint64_t)&heap[i], 8);

	deep(30, dumped_here);

	verify("anonymous", anon, 0, 20, 1);
	verify("behind the hole", anon, 24, NR - 24, 1);
	test_check(mincore((char *)anon + 20 * PAGE, PAGE, (unsigned char[]){ 0 }) == -1 && errno == ENOMEM);
	test_check(!mprotect(none, NR * PAGE, PROT_READ));
	verify("PROT_NONE", none, 0, NR, 2);
	verify("read-only", readonly, 0, NR / 2, 3);
	verify("read-only, untouched", readonly, NR / 2, NR / 2, 0);
	verify("shared", shared, 8, NR - 16, 4);
	verify("shared, untouched", shared, 0, 8, 0);
	for (size_t i = 0; i < NR * 64; i++)
		verify("sparse", sparse, i, 1, i % 37 ? 0 : 5);
	verify("untouched", untouched, 0, NR, 0);
	verify("zeros", zeros, 0, NR, 0);
	verify_file("private file", file, 0, 10);
	verify("private file, changed", file, 10, 5, 6);
	verify_file("private file", file, 15, NR - 15);
	verify_file("shared file", fileshared, 0, NR);
	fill(anon, 0, 20, 9);
	verify("written again", anon, 0, 20, 9);
	fill(file, 0, NR, 9);
	verify("file, written again", file, 0, NR, 9);
	for (size_t i = 0; i < NR * 1024 / 8; i++)
		if (heap[i] != test_word((uint64_t)&heap[i], 8))
			test_fail("heap word %zu is %#lx", i, heap[i]);
	test_pass();
}
