// SPDX-License-Identifier: GPL-2.0-only
/*
 * A process with many of one thing: `many KIND COUNT` with KIND processes, threads, areas, descriptors or plain (4
 * threads and 60 areas). Prints "ready" and waits. tests/bench/state dumps and restores it.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#define STACK_BYTES 16384
#define AREA_BYTES 8192

static void __attribute__((noreturn)) fail(const char *what)
{
	fprintf(stderr, "many: %s: %s\n", what, strerror(errno));
	exit(1);
}

static void *wait_for_ever(void *arg)
{
	while (1)
		pause();
	return arg;
}

static void make_processes(long nr)
{
	for (long i = 1; i < nr; i++) {
		pid_t pid = fork();

		if (pid < 0)
			fail("fork");
		if (!pid)
			wait_for_ever(NULL);
	}
}

static void make_threads(long nr)
{
	pthread_attr_t attr;
	pthread_t thread;

	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, STACK_BYTES);
	for (long i = 1; i < nr; i++) {
		errno = pthread_create(&thread, &attr, wait_for_ever, NULL);
		if (errno)
			fail("pthread_create");
	}
}

/* Every other one read-only, so that none merge; a page of each second one is touched. */
static void make_areas(long nr)
{
	for (long i = 0; i < nr; i++) {
		char *area = mmap(NULL, AREA_BYTES, i % 2 ? PROT_READ : PROT_READ | PROT_WRITE,
				  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

		if (area == MAP_FAILED)
			fail("mmap");
		if (i % 2 == 0)
			area[0] = 1;
	}
}

static void make_descriptors(long nr)
{
	struct rlimit limit;

	getrlimit(RLIMIT_NOFILE, &limit);
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
	for (long i = 0; i < nr; i++)
		if ((i % 2 ? open("/dev/null", O_RDWR) : eventfd(1, 0)) < 0)
			fail("open");
}

int main(int argc, char **argv)
{
	long nr = argc == 3 ? atol(argv[2]) : 0;

	if (nr > 0 && !strcmp(argv[1], "processes"))
		make_processes(nr);
	else if (nr > 0 && !strcmp(argv[1], "threads"))
		make_threads(nr);
	else if (nr > 0 && !strcmp(argv[1], "areas"))
		make_areas(nr);
	else if (nr > 0 && !strcmp(argv[1], "descriptors"))
		make_descriptors(nr);
	else if (nr > 0 && !strcmp(argv[1], "plain")) {
		make_threads(4);
		make_areas(30);
	} else {
		fprintf(stderr, "Usage: many processes|threads|areas|descriptors|plain COUNT\n");
		return 1;
	}
	if (write(STDOUT_FILENO, "ready\n", 6) != 6)
		fail("write");
	wait_for_ever(NULL);
}
