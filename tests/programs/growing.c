// SPDX-License-Identifier: GPL-2.0-only
/* modes: plain eager lazy leave-running twice user */
/*
 * Memory that grows downwards: the main stack, and a mapping made with MAP_GROWSDOWN. Both grow after the restore, with
 * what they hold, and what they grow into is zero.
 */
#include <sys/mman.h>

#include "harness.h"

#define PAGE 4096UL
#define DEEPER (64 * PAGE)

static uint64_t *words(char *start, size_t len, bool write)
{
	for (char *p = start; p < start + len; p += sizeof(uint64_t)) {
		uint64_t *at = (uint64_t *)p, want = test_word((uintptr_t)p, 5);

		if (write)
			*at = want;
		else if (*at != want)
			return at;
	}
	return NULL;
}

static void __attribute__((noinline)) go_deeper(size_t pages)
{
	volatile char deep[PAGE];

	deep[0] = 1;
	if (pages)
		go_deeper(pages - 1);
	test_check(deep[0] == 1); /* behind the call, so that each has a frame of its own */
}

static size_t size_of(const char *name, uintptr_t inside)
{
	FILE *f = fopen("/proc/self/maps", "r");
	char line[512];
	size_t size = 0;

	test_check(f);
	while (fgets(line, sizeof(line), f)) {
		unsigned long start, end;

		if (sscanf(line, "%lx-%lx ", &start, &end) == 2 && inside >= start && inside < end &&
		    (!name || strstr(line, name)))
			size = end - start;
	}
	fclose(f);
	return size;
}

int main(int argc, char **argv)
{
	char *free_below, *grows, here;
	size_t stack, before;

	test_init(argc, argv);
	free_below = mmap(NULL, 4 * DEEPER, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	test_check(free_below != MAP_FAILED);
	grows = free_below + 3 * DEEPER;
	test_check(munmap(free_below, 3 * DEEPER) == 0 && munmap(grows, DEEPER) == 0);
	test_check(mmap(grows, 4 * PAGE, PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS | MAP_GROWSDOWN | MAP_FIXED_NOREPLACE, -1, 0) == grows);
	words(grows - 2 * PAGE, 6 * PAGE, true);
	before = size_of(NULL, (uintptr_t)grows);
	test_check(before >= 6 * PAGE);
	stack = size_of("[stack]", (uintptr_t)&here);
	test_ready();
	test_wait();

	test_check(size_of(NULL, (uintptr_t)grows) == before && size_of("[stack]", (uintptr_t)&here) == stack);
	if (words(grows - 2 * PAGE, 6 * PAGE, false))
		test_fail("wrong word at %p", (void *)words(grows - 2 * PAGE, 6 * PAGE, false));
	for (char *p = grows - 3 * PAGE; p >= grows - 20 * PAGE; p -= PAGE)
		test_check(*(volatile uint64_t *)p == 0);
	words(grows - 20 * PAGE, 24 * PAGE, true);
	test_check(!words(grows - 20 * PAGE, 24 * PAGE, false));
	test_check(size_of(NULL, (uintptr_t)grows) >= before + 18 * PAGE - PAGE);
	go_deeper((stack + 16 * DEEPER) / PAGE);
	test_check(size_of("[stack]", (uintptr_t)&here) > stack + 8 * DEEPER);
	test_pass();
}
