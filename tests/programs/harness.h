/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef THAW_TESTS_HARNESS_H
#define THAW_TESTS_HARNESS_H

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/*
 * A program to be dumped: set up a state, test_ready(), test_wait(), verify, test_pass() or test_fail().
 *
 *	PROGRAM RESULT READY
 *
 * READY is a FIFO that tests/run waits at. Between test_ready() and test_wait()'s return the program is dumped and
 * restored. The verdict goes to the file RESULT ("pass", "fail: why", "skip: why"), since the restored program is
 * nobody's child whose status is sure to be seen. tests/run sends SIGUSR2 when it is time to verify; the signal is
 * blocked all the time. TEST_SEED in the environment is the seed of what is random.
 *
 * Comment lines at the top of the program are read by tests/run: `modes:`, `needs:`, `timeout:` (see there), and by
 *make: `ldflags:`.
 */
static const char *test_result_path;
static int test_ready_fd = -1;

static void __attribute__((noreturn)) test_end(int status, const char *verdict, const char *why)
{
	int fd = open(test_result_path, O_WRONLY | O_CREAT | O_TRUNC, 0666);

	if (fd >= 0)
		dprintf(fd, "%s%s\n", verdict, why);
	_exit(status);
}

static void __attribute__((noreturn, format(printf, 1, 2))) test_fail(const char *fmt, ...)
{
	char why[1024];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(why, sizeof(why), fmt, ap);
	va_end(ap);
	test_end(1, "fail: ", why);
}

static void __attribute__((noreturn, format(printf, 1, 2))) test_skip(const char *fmt, ...)
{
	char why[1024];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(why, sizeof(why), fmt, ap);
	va_end(ap);
	test_end(77, "skip: ", why);
}

static void __attribute__((noreturn)) test_pass(void)
{
	test_end(0, "pass", "");
}

/* The condition must hold, or the test has failed with errno in the verdict. */
#define test_check(cond)                                                                                      \
	do {                                                                                                  \
		if (!(cond))                                                                                  \
			test_fail("line %d: %s does not hold (errno: %s)", __LINE__, #cond, strerror(errno)); \
	} while (0)

static void test_init(int argc, char **argv)
{
	sigset_t set;

	if (argc != 3) {
		fprintf(stderr, "Usage: %s RESULT READY\n", argv[0]);
		exit(1);
	}
	test_result_path = argv[1];
	sigemptyset(&set);
	sigaddset(&set, SIGUSR2);
	sigprocmask(SIG_BLOCK, &set, NULL);
	test_ready_fd = open(argv[2], O_WRONLY | O_CLOEXEC);
	if (test_ready_fd < 0)
		test_fail("cannot open %s: %s", argv[2], strerror(errno));
}

static void test_ready(void)
{
	if (write(test_ready_fd, "ready\n", 6) != 6)
		test_fail("cannot say ready: %s", strerror(errno));
	close(test_ready_fd);
	test_ready_fd = -1;
}

/* For a child forked before test_ready(), which is the parent's to say. */
static void test_forked(void)
{
	close(test_ready_fd);
	test_ready_fd = -1;
}

static void test_wait(void)
{
	sigset_t set;
	int sig;

	sigemptyset(&set);
	sigaddset(&set, SIGUSR2);
	while (sigwait(&set, &sig))
		;
}

static inline unsigned test_seed(void)
{
	const char *s = getenv("TEST_SEED");

	return s ? (unsigned)atoi(s) : 1;
}

/* xorshift64*: one word of state, never 0. */
static inline uint64_t test_random(uint64_t *state)
{
	*state ^= *state >> 12;
	*state ^= *state << 25;
	*state ^= *state >> 27;
	return *state * 0x2545f4914f6cdd1dULL;
}

/* What the word at an address holds in memory tests: never zero, different for each address and salt. */
static inline uint64_t test_word(uint64_t addr, uint64_t salt)
{
	uint64_t x = (addr ^ (salt << 48)) * 0x9e3779b97f4a7c15ULL;

	return (x ^ (x >> 29)) | 1;
}

#endif
