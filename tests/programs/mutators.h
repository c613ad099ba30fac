/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef THAW_TESTS_MUTATORS_H
#define THAW_TESTS_MUTATORS_H

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>

#include "harness.h"

/* Threads that change memory before the dump, all the time until the restore, and after it. */

#define MUTATORS_MAX 8

static atomic_bool restored;
static atomic_int warm; /* threads that have done enough for the dump to come */

/* Run @body with each of the @nr elements of @size bytes at @each, from before the dump until they end; then pass. */
static void __attribute__((noreturn)) mutators_run(void *(*body)(void *), void *each, size_t size, int nr)
{
	pthread_t threads[MUTATORS_MAX];

	test_check(nr <= MUTATORS_MAX);
	for (int i = 0; i < nr; i++)
		test_check(!pthread_create(&threads[i], NULL, body, (char *)each + (size_t)i * size));
	while (warm < nr)
		sched_yield();
	test_ready();
	test_wait();
	restored = true;
	for (int i = 0; i < nr; i++)
		test_check(!pthread_join(threads[i], NULL));
	test_pass();
}

#endif
