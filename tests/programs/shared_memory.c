// SPDX-License-Identifier: GPL-2.0-only
/* modes: plain eager lazy replayed leave-running twice user */
/*
 * Shared anonymous memory in a parent and its children: content and holes, one memory for all of them, different places
 * and protections, a part only, memory that is given back.
 */
#include <sys/mman.h>
#include <sys/uio.h>
#include <sys/wait.h>

#include "harness.h"

#define PAGE 4096UL
#define PAGES 4096UL /* of the large object */
#define WORDS (PAGE / 8)
#define NR_CHILDREN 3

struct control {
	volatile uint64_t turn;
};

static uint64_t *large, *other, *part, *locked;
static struct control *control;
static int ends[2];

/* Every seventh page is a hole. */
static uint64_t word(size_t page, size_t i)
{
	return page % 7 ? test_word(page * PAGE + i * 8, 3) : 0;
}

static void check_page(const uint64_t *at, size_t page, const char *who)
{
	for (size_t i = 0; i < WORDS; i++)
		if (at[i] != word(page, i))
			test_fail("%s: page %zu, word %zu is %#lx, not %#lx", who, page, i, at[i], word(page, i));
}

/* In an order of its own, so that all fault in different places. */
static void check_all(const uint64_t *at, unsigned nr, const char *who)
{
	for (size_t i = 0; i < PAGES; i++) {
		size_t page = (i * (2 * nr + 3) + nr * 1009) % PAGES;

		check_page(at + page * WORDS, page, who);
	}
}

static int child(unsigned nr)
{
	char c;

	test_forked();
	if (nr == 1)
		test_check(mprotect(large + 100 * WORDS, 50 * PAGE, PROT_READ) == 0);
	if (nr == 2) /* this one can grow again */
		test_check(munmap(other + 500 * WORDS, 12 * PAGE) == 0);
	test_check(write(ends[1], "r", 1) == 1);
	while (!control->turn)
		usleep(1000);
	check_all(large, nr, "child");
	for (size_t i = 0; i < 500; i++)
		check_page(other + i * WORDS, i, "child with a part");
	if (nr == 2) {
		other = mremap(other, 500 * PAGE, 512 * PAGE, 0);
		test_check(other != MAP_FAILED);
	}
	for (size_t i = 500; i < 512; i++)
		check_page(other + i * WORDS, i, "child whose part has grown");
	c = (char)(part[WORDS] == test_word(1, 5) ? 'o' : 'n');
	return c == 'o' ? 0 : 1;
}

/* What only the parent does, when the children are through. */
static void give_back(void)
{
	uint64_t copy[WORDS];
	struct iovec local = { copy, PAGE }, remote = { large + 3000 * WORDS, PAGE };

	test_check(process_vm_readv(getpid(), &local, 1, &remote, 1, 0) == (ssize_t)PAGE);
	check_page(copy, 3000, "process_vm_readv");
	test_check(!madvise(large + 10 * WORDS, 10 * PAGE, MADV_DONTNEED));
	check_page(large + 11 * WORDS, 11, "after MADV_DONTNEED");
	test_check(!madvise(large + 20 * WORDS, 10 * PAGE, MADV_REMOVE));
	for (size_t i = 20 * WORDS; i < 30 * WORDS; i++)
		test_check(large[i] == 0);
	check_page(large + 30 * WORDS, 30, "after MADV_REMOVE");
	large = mremap(large, PAGES * PAGE, PAGES * PAGE, MREMAP_MAYMOVE);
	test_check(large != MAP_FAILED && large[21 * WORDS] == 0);
	check_page(large + 4000 * WORDS, 4000, "after mremap");
}

/* Also before anything else has been touched: a child of the restored process. */
static void check_in_new_child(void)
{
	int status;
	pid_t pid = fork();

	test_check(pid >= 0);
	if (!pid) {
		check_page(large + 2222 * WORDS, 2222, "new child");
		test_check(!madvise(large + 1111 * WORDS, PAGE, MADV_DONTNEED));
		check_page(large + 1111 * WORDS, 1111, "new child");
		_exit(0);
	}
	test_check(waitpid(pid, &status, 0) == pid && status == 0);
}

int main(int argc, char **argv)
{
	int status, prot = PROT_READ | PROT_WRITE, flags = MAP_SHARED | MAP_ANONYMOUS;
	char c;

	test_init(argc, argv);
	control = mmap(NULL, PAGE, prot, flags, -1, 0);
	large = mmap(NULL, PAGES * PAGE, prot, flags, -1, 0);
	other = mmap(NULL, 512 * PAGE, prot, flags, -1, 0);
	part = mmap(NULL, 512 * PAGE, prot, flags, -1, 0);
	locked = mmap(NULL, 128 * PAGE, prot, flags, -1, 0);
	test_check(large != MAP_FAILED && other != MAP_FAILED && part != MAP_FAILED && locked != MAP_FAILED &&
		   control != MAP_FAILED);
	for (size_t page = 0; page < PAGES; page++)
		for (size_t i = 0; i < WORDS && page % 7; i++)
			large[page * WORDS + i] = word(page, i);
	for (size_t i = 0; i < 512 * WORDS; i++)
		other[i] = word(i / WORDS, i % WORDS);
	for (size_t page = 0; page < 512; page++)
		part[page * WORDS] = test_word(page, 5);
	for (size_t page = 0; page < 128; page++)
		locked[page * WORDS] = test_word(page, 6);
	test_check(munmap(part + 256 * WORDS, 256 * PAGE) == 0 && pipe(ends) == 0);
	for (unsigned nr = 0; nr < NR_CHILDREN; nr++) {
		pid_t pid = fork();

		test_check(pid >= 0);
		if (!pid)
			_exit(child(nr));
	}
	for (unsigned nr = 0; nr < NR_CHILDREN; nr++)
		test_check(read(ends[0], &c, 1) == 1);
	if (mlock(locked, 4 * PAGE))
		test_check(errno == EPERM || errno == ENOMEM);
	test_ready();
	test_wait();

	check_in_new_child();
	control->turn = 1;
	check_all(large, NR_CHILDREN, "parent");
	for (unsigned nr = 0; nr < NR_CHILDREN; nr++)
		test_check(wait(&status) > 0 && status == 0);
	for (size_t page = 0; page < 256; page++)
		test_check(part[page * WORDS] == test_word(page, 5));
	for (size_t page = 0; page < 128; page++)
		test_check(locked[page * WORDS] == test_word(page, 6));
	give_back();
	test_pass();
}
