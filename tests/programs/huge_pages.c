// SPDX-License-Identifier: GPL-2.0-only
/* modes: plain eager lazy leave-running twice user */
/* needs: hugepages */
/*
 * Private memory of huge pages: full ones, one with content in its middle only, one of zeroes, untouched ones; given
 * back, moved, cut, in a child.
 */
#include <pthread.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "harness.h"

#define HUGE (2UL << 20)
#define PAGES 6UL
#define WORDS (HUGE / 8)

/* Page 2 has content in its middle only, 3 was written to with zeroes, 5 never touched. */
static uint64_t word(size_t i)
{
	size_t page = i / WORDS, at = i % WORDS;

	if (page == 3 || page == 5 || (page == 2 && (at < 70000 || at >= 70600)))
		return 0;
	return test_word(i * 8, 9);
}

static void check(const uint64_t *words, size_t page, const char *who)
{
	for (size_t i = page * WORDS; i < (page + 1) * WORDS; i++)
		if (words[i] != word(i))
			test_fail("%s: word %#zx of page %zu is %#lx, not %#lx", who, i % WORDS, page, words[i],
				  word(i));
}

static void *second_thread(void *arg)
{
	for (size_t page = PAGES; page-- > 0;)
		check(arg, page, "second thread");
	return NULL;
}

#define BORDER ((char *)0x100040000000UL) /* of a GiB */

static uint64_t *map_across(void)
{
	uint64_t *at = mmap(BORDER - HUGE, 2 * HUGE, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB | MAP_FIXED_NOREPLACE, -1, 0);

	test_check(at != MAP_FAILED);
	for (size_t i = 0; i < 2 * WORDS; i++)
		at[i] = word(i);
	return at;
}

/* Only what is above the border has been touched since; the kernel must find it all the same. */
static void move_across(uint64_t *at)
{
	uint64_t *to = (uint64_t *)(BORDER + 64 * HUGE);

	check(at, 1, "above the border");
	test_check(mremap(at, 2 * HUGE, 2 * HUGE, MREMAP_MAYMOVE | MREMAP_FIXED, to) == to);
	check(to, 1, "moved across the border");
	check(to, 0, "moved across the border");
}

static void check_in_child(uint64_t *words)
{
	int status;
	pid_t pid = fork();

	test_check(pid >= 0);
	if (!pid) {
		check(words, 4, "child");
		check(words, 3, "child");
		words[4 * WORDS] = 1;
		_exit(0);
	}
	test_check(waitpid(pid, &status, 0) == pid && status == 0);
}

int main(int argc, char **argv)
{
	int prot = PROT_READ | PROT_WRITE, flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB;
	uint64_t *words, *moved, *across, *to;
	pthread_t thread;

	test_init(argc, argv);
	words = mmap(NULL, PAGES * HUGE, prot, flags, -1, 0);
	moved = mmap(NULL, 2 * HUGE, prot, flags, -1, 0);
	if (words == MAP_FAILED || moved == MAP_FAILED)
		test_skip("no huge pages: %s", strerror(errno));
	for (size_t i = 0; i < 5 * WORDS; i++)
		if (i / WORDS != 2 || word(i))
			words[i] = word(i);
	for (size_t i = 0; i < 2 * WORDS; i++)
		moved[i] = word(i);
	across = map_across();
	test_ready();
	test_wait();
	move_across(across);
	check_in_child(words);
	test_check(!madvise(words, HUGE, MADV_DONTNEED));
	test_check(words[0] == 0 && words[WORDS - 1] == 0);
	for (size_t i = 0; i < WORDS; i++)
		words[i] = word(i);
	test_check(!pthread_create(&thread, NULL, second_thread, words));
	for (size_t page = 0; page < PAGES; page++)
		check(words, page, "first thread");
	test_check(!pthread_join(thread, NULL));

	to = mmap(NULL, 2 * HUGE, PROT_NONE, flags | MAP_NORESERVE, -1, 0);
	test_check(to != MAP_FAILED);
	test_check(mremap(moved, 2 * HUGE, 2 * HUGE, MREMAP_MAYMOVE | MREMAP_FIXED, to) == to);
	check(to, 1, "moved");
	test_check(!munmap(to + WORDS, HUGE));
	check(to, 0, "cut");
	test_check(munmap(words, 4096) < 0 && errno == EINVAL); /* a part of a huge page */
	test_pass();
}
