// SPDX-License-Identifier: GPL-2.0-only
/*
 * A program for tests/bench/lazy to dump and restore.
 *
 *	filled MEBIBYTES RESULT READY
 *
 * It fills that much memory with known words, writes "ready" to the FIFO READY, and waits for a signal: SIGUSR1 makes
 *it touch every page once in random order, and SIGUSR2 end at once. It writes to RESULT, as lines "name value": running
 *(the monotonic time, in seconds, when it first ran after the signal), first2000 (their mean, in microseconds), touched
 *(seconds).
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define PAGE 4096UL
#define FIRST 2000UL

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec * 1e-9;
}

static uint64_t word(size_t page)
{
	return (page + 1) * 0x9e3779b97f4a7c15ULL | 1;
}

/*
 * Each page once, in an order that no read-ahead guesses: a full-period linear congruential sequence over the next
 * power of two, numbers beyond the end left out. Nothing of it lies in memory that is restored lazily.
 */
static int touch_all(const char *memory, size_t pages, double *first, double *all)
{
	size_t mask = 1, at = 12345, touched = 0;
	double start = now();

	while (mask < pages)
		mask <<= 1;
	mask--;
	for (size_t i = 0; i <= mask; i++) {
		at = (at * 1664525 + 1013904223) & mask;
		if (at >= pages)
			continue;
		if (*(const volatile uint64_t *)(memory + at * PAGE) != word(at))
			return -1;
		if (++touched == FIRST)
			*first = (now() - start) / FIRST * 1e6;
	}
	*all = now() - start;
	return touched == pages ? 0 : -1;
}

static int say(const char *fifo, const char *what)
{
	int fd = open(fifo, O_WRONLY);
	ssize_t n = fd < 0 ? -1 : write(fd, what, strlen(what));

	if (fd >= 0)
		close(fd);
	return n == (ssize_t)strlen(what) ? 0 : -1;
}

int main(int argc, char **argv)
{
	size_t len = argc == 4 ? strtoul(argv[1], NULL, 10) << 20 : 0;
	double first = 0, all = 0;
	char *memory;
	sigset_t set;
	int sig;
	FILE *f;

	if (!len) {
		fprintf(stderr, "Usage: filled MEBIBYTES RESULT READY\n");
		return 1;
	}
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	sigaddset(&set, SIGUSR2);
	sigprocmask(SIG_BLOCK, &set, NULL);
	memory = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (memory == MAP_FAILED)
		return 1;
	madvise(memory, len, MADV_NOHUGEPAGE);
	for (size_t page = 0; page < len / PAGE; page++)
		for (size_t i = 0; i < PAGE; i += 8)
			*(uint64_t *)(memory + page * PAGE + i) = word(page) ^ i;
	if (say(argv[3], "ready\n"))
		return 1;

	while (sigwait(&set, &sig))
		;
	if (say(argv[3], "running\n"))
		return 1;
	if (sig == SIGUSR1 && touch_all(memory, len / PAGE, &first, &all)) {
		fprintf(stderr, "filled: a page is not what it was\n");
		return 1;
	}
	f = fopen(argv[2], "w");
	if (!f)
		return 1;
	fprintf(f, "first2000 %.3f\ntouched %.6f\n", first, all);
	return fclose(f) ? 1 : 0;
}
