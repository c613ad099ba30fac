// SPDX-License-Identifier: GPL-2.0-only
/* modes: plain eager lazy leave-running twice user */
/* Locked memory, guard regions, huge pages, madvise(2) flags, as far as the kernel has them. */
#include <setjmp.h>
#include <sys/mman.h>

#include "harness.h"

#ifndef MADV_GUARD_INSTALL
#define MADV_GUARD_INSTALL 102
#endif
#define PAGE 4096UL
#define HUGE (2UL << 20)

static sigjmp_buf back;

static void on_fault(int sig)
{
	siglongjmp(back, sig);
}

static bool faults(const char *p)
{
	if (sigsetjmp(back, 1))
		return true;
	(void)*(volatile const char *)p;
	return false;
}

static char *map(size_t len, int flags)
{
	char *p = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | flags, -1, 0);

	return p == MAP_FAILED ? NULL : p;
}

/* Without "um": memory that has not all arrived yet. */
static void flags_of(const char *p, char *flags, size_t len)
{
	FILE *f = fopen("/proc/self/smaps", "r");
	char line[512], *um;
	bool here = false;

	test_check(f);
	while (fgets(line, sizeof(line), f)) {
		unsigned long start, end;

		if (sscanf(line, "%lx-%lx ", &start, &end) == 2)
			here = start == (unsigned long)p;
		if (here && !strncmp(line, "VmFlags:", 8))
			snprintf(flags, len, "%s", line);
	}
	fclose(f);
	if ((um = strstr(flags, " um ")))
		memmove(um, um + 3, strlen(um + 3) + 1);
}

int main(int argc, char **argv)
{
	char before[3][128] = { "" }, after[3][128] = { "" }, *locked, *guarded, *huge, *advised;
	bool has_guard, has_lock;

	test_init(argc, argv);
	signal(SIGSEGV, on_fault);
	locked = map(3 * PAGE, 0);
	has_lock = mlock(locked, 3 * PAGE) == 0;
	memset(locked, 1, 2 * PAGE);
	guarded = map(20 * PAGE, 0);
	memset(guarded, 2, 20 * PAGE);
	has_guard = madvise(guarded + 4 * PAGE, 2 * PAGE, MADV_GUARD_INSTALL) == 0 &&
		    madvise(guarded + 19 * PAGE, PAGE, MADV_GUARD_INSTALL) == 0;
	huge = map(2 * HUGE, MAP_HUGETLB);
	if (huge)
		for (size_t i = 0; i < HUGE; i += PAGE)
			huge[i] = (char)(i / PAGE);
	advised = map(8 * PAGE, MAP_NORESERVE);
	test_check(madvise(advised, 8 * PAGE, MADV_DONTFORK) == 0 && madvise(advised, 8 * PAGE, MADV_DONTDUMP) == 0);
	flags_of(locked, before[0], sizeof(before[0]));
	flags_of(advised, before[1], sizeof(before[1]));
	flags_of(huge, before[2], sizeof(before[2]));
	test_ready();
	test_wait();

	flags_of(locked, after[0], sizeof(after[0]));
	flags_of(advised, after[1], sizeof(after[1]));
	flags_of(huge, after[2], sizeof(after[2]));
	for (int i = 0; i < 3; i++)
		if (strcmp(before[i], after[i]) != 0)
			test_fail("flags were %s and are %s", before[i], after[i]);
	test_check(!has_lock || strstr(after[0], " lo"));
	test_check(locked[0] == 1 && locked[2 * PAGE - 1] == 1 && locked[2 * PAGE] == 0);
	for (size_t i = 0; i < 20; i++) {
		bool guard = has_guard && (i == 4 || i == 5 || i == 19);

		if (faults(guarded + i * PAGE) != guard || (!guard && guarded[i * PAGE + 7] != 2))
			test_fail("page %zu of the area with guard regions is not as it was", i);
	}
	if (huge)
		for (size_t i = 0; i < 2 * HUGE; i += PAGE)
			test_check(huge[i] == (i < HUGE ? (char)(i / PAGE) : 0));
	test_pass();
}
