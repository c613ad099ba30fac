// SPDX-License-Identifier: GPL-2.0-only
/* modes: plain eager lazy twice user */
/* needs: hugepages */
/* Shared anonymous memory of huge pages, as PostgreSQL takes it where there are some: two processes see one memory. */
#include <sys/mman.h>
#include <sys/wait.h>

#include "harness.h"

#define HUGE (2UL << 20)

int main(int argc, char **argv)
{
	uint64_t *words;
	int fds[2], status;
	pid_t child;
	char c;

	test_init(argc, argv);
	words = mmap(NULL, 2 * HUGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_HUGETLB, -1, 0);
	if (words == MAP_FAILED)
		test_skip("no huge pages: %s", strerror(errno));
	for (size_t i = 0; i < HUGE / 8; i++)
		words[i] = test_word(i, 1);
	test_check(pipe(fds) == 0);
	child = fork();
	if (!child) {
		test_forked();
		close(fds[1]);
		if (read(fds[0], &c, 1) != 1)
			_exit(1);
		words[HUGE / 8] = words[1] + 1;
		_exit(0);
	}
	close(fds[0]);
	test_ready();
	test_wait();
	for (size_t i = 0; i < HUGE / 8; i++)
		test_check(words[i] == test_word(i, 1));
	test_check(words[HUGE / 8] == 0 && words[2 * HUGE / 8 - 1] == 0);
	words[1]++;
	test_check(write(fds[1], "x", 1) == 1 && waitpid(child, &status, 0) == child && status == 0);
	test_check(words[HUGE / 8] == test_word(1, 1) + 2);
	test_check(munmap(words, 4096) < 0 && errno == EINVAL); /* a part of a huge page */
	test_pass();
}
