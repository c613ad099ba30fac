// SPDX-License-Identifier: GPL-2.0-only
/* modes: plain eager lazy twice leave-running user */
/* A program that has given up its vDSO, as valgrind does for its clients: it works without one, and gets none. */
#include <sys/mman.h>

#include "harness.h"

/* Unmap what the kernel put there, from the first of its mappings to the last. Return: how many there were */
static int find(bool unmap)
{
	FILE *maps = fopen("/proc/self/maps", "r");
	unsigned long start, end, from = 0, to = 0;
	char line[512];
	int nr = 0;

	test_check(maps);
	while (fgets(line, sizeof(line), maps)) {
		if (!strstr(line, "[vvar") && !strstr(line, "[vdso]"))
			continue;
		test_check(sscanf(line, "%lx-%lx", &start, &end) == 2);
		from = nr++ ? from : start;
		to = end;
	}
	fclose(maps);
	if (unmap)
		test_check(munmap((void *)from, to - from) == 0); /* NOLINT: an address in text */
	return nr;
}

int main(int argc, char **argv)
{
	test_init(argc, argv);
	test_check(find(true) > 0 && find(false) == 0);
	test_ready();
	test_wait();
	test_check(find(false) == 0);
	test_pass();
}
