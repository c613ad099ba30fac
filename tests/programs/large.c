// SPDX-License-Identifier: GPL-2.0-only
/* modes: plain eager lazy replayed twice new-pidns-lazy */
/*
 * 192 MiB in two processes of two threads each: large enough that a dump or a restore is interrupted on its way. All
 * words are read in random page order after the restore, while they arrive.
 */
#include <pthread.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "harness.h"

#define PAGE 4096UL
#define PAGES \
	16384UL /* a power of two, so that an odd stride meets each once; of each process 64 MiB and a half shared */

static uint64_t *memory, *shared;
static pthread_barrier_t go;

static void fill(uint64_t *p, size_t pages, uint64_t salt)
{
	for (size_t i = 0; i < pages * PAGE / 8; i++)
		p[i] = test_word((uint64_t)&p[i], salt);
}

static void verify(const uint64_t *p, size_t pages, uint64_t salt)
{
	for (size_t n = 0, page = 77; n < pages; n++, page = (page + 6151) % pages)
		for (size_t i = page * PAGE / 8; i < (page + 1) * PAGE / 8; i++)
			if (p[i] != test_word((uint64_t)&p[i], salt))
				test_fail("process %d: wrong word at %p: expected %#lx, found %#lx", getpid(),
					  (const void *)&p[i], test_word((uint64_t)&p[i], salt), p[i]);
}

static uint64_t *map(size_t pages, int flags)
{
	void *p = mmap(NULL, pages * PAGE, PROT_READ | PROT_WRITE, flags | MAP_ANONYMOUS, -1, 0);

	test_check(p != MAP_FAILED);
	return p;
}

static void *second_thread(void *arg)
{
	pthread_barrier_wait(&go);
	verify(memory, PAGES, *(uint64_t *)arg);
	return NULL;
}

int main(int argc, char **argv)
{
	uint64_t salt = 1;
	pthread_t thread;
	int status, ends[2];
	pid_t child;
	char c;

	test_init(argc, argv);
	shared = map(PAGES, MAP_SHARED);
	fill(shared, PAGES, 3);
	memory = map(PAGES, MAP_PRIVATE);
	test_check(!pipe(ends));
	child = fork();
	test_check(child >= 0);
	if (!child) {
		test_forked();
		salt = 2;
	}
	fill(memory, PAGES, salt);
	pthread_barrier_init(&go, NULL, 2);
	test_check(!pthread_create(&thread, NULL, second_thread, &salt));
	if (!child)
		test_check(write(ends[1], "r", 1) == 1);
	else
		test_check(read(ends[0], &c, 1) == 1);
	if (child)
		test_ready();
	test_wait();
	if (child)
		test_check(!kill(child, SIGUSR2));
	pthread_barrier_wait(&go);
	verify(shared, PAGES, 3);
	test_check(!pthread_join(thread, NULL));
	if (!child)
		_exit(0);
	test_check(waitpid(child, &status, 0) == child);
	if (WIFEXITED(status) && WEXITSTATUS(status))
		_exit(1); /* its verdict stands */
	if (status)
		test_fail("the child ended with status %#x", status);
	test_pass();
}
