// SPDX-License-Identifier: GPL-2.0-only
/* modes: plain eager lazy */
/*
 * Names every page that is not what it was, or that cannot be had (SIGBUS): tests/faults/pages damages some.
 * Each page starts with a number of its own, so that the script finds it in the images.
 */
#include <setjmp.h>
#include <sys/mman.h>

#include "harness.h"

#define PAGE 4096UL
#define WORDS (PAGE / 8)
#define PRIVATE 0x7061676550000000UL /* the first page's number */
#define SHARED 0x7061676553000000UL
#define PRIVATE_PAGES 2000UL
#define SHARED_PAGES 40UL

static sigjmp_buf back;
static uint64_t *volatile touched;

static void on_sigbus(int sig, siginfo_t *info, void *context)
{
	if ((uint64_t *)((uintptr_t)info->si_addr & ~(PAGE - 1)) != touched)
		test_fail("SIGBUS at %p", info->si_addr);
	siglongjmp(back, 1);
}

static uint64_t *make(size_t pages, int flags, uint64_t first)
{
	uint64_t *p = mmap(NULL, pages * PAGE, PROT_READ | PROT_WRITE, flags | MAP_ANONYMOUS, -1, 0);

	test_check(p != MAP_FAILED);
	for (size_t page = 0; page < pages; page++) {
		p[page * WORDS] = first + page;
		for (size_t i = 1; i < WORDS; i++)
			p[page * WORDS + i] = test_word(i, first + page);
	}
	return p;
}

static bool page_is_right(const volatile uint64_t *p, uint64_t number)
{
	if (p[0] != number)
		return false;
	for (size_t i = 1; i < WORDS; i++)
		if (p[i] != test_word(i, number))
			return false;
	return true;
}

/* Append to @text what is wrong. */
static void verify(uint64_t *p, size_t pages, uint64_t first, const char *name, char *text, size_t size)
{
	for (volatile size_t page = 0; page < pages; page++) {
		size_t len = strlen(text);

		touched = p + page * WORDS;
		if (sigsetjmp(back, 1))
			snprintf(text + len, size - len, " %s page %zu at 0x%lx: SIGBUS;", name, page,
				 (unsigned long)touched);
		else if (!page_is_right(touched, first + page))
			snprintf(text + len, size - len, " %s page %zu at 0x%lx: wrong;", name, page,
				 (unsigned long)touched);
	}
}

int main(int argc, char **argv)
{
	struct sigaction action = { .sa_sigaction = on_sigbus, .sa_flags = SA_SIGINFO };
	uint64_t *mine, *shared;
	char text[1000] = "";

	test_init(argc, argv);
	test_check(!sigaction(SIGBUS, &action, NULL));
	mine = make(PRIVATE_PAGES, MAP_PRIVATE, PRIVATE);
	shared = make(SHARED_PAGES, MAP_SHARED, SHARED);
	test_ready();
	test_wait();
	verify(mine, PRIVATE_PAGES, PRIVATE, "private", text, sizeof(text));
	verify(shared, SHARED_PAGES, SHARED, "shared", text, sizeof(text));
	if (*text)
		test_fail("%s", text);
	test_pass();
}
