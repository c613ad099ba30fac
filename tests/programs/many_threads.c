// SPDX-License-Identifier: GPL-2.0-only
/* modes: plain eager lazy new-pidns */
/* timeout: 120 */
/* Ten thousand threads: each has its number, its name and its thread-local word after the restore, and can be joined.
 */
#include <pthread.h>
#include <sys/prctl.h>

#include "harness.h"

#define NR 10000
#define STACK_BYTES 32768

static pthread_barrier_t ready;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
static bool go;
static __thread intptr_t word;

static void *worker(void *arg)
{
	char name[16], now[16] = "";
	pid_t tid = gettid();

	word = (intptr_t)arg;
	snprintf(name, sizeof(name), "worker %ld", (long)word);
	prctl(PR_SET_NAME, name);
	pthread_barrier_wait(&ready);
	pthread_mutex_lock(&lock);
	while (!go)
		pthread_cond_wait(&cond, &lock);
	pthread_mutex_unlock(&lock);
	prctl(PR_GET_NAME, now);
	if (gettid() != tid || strcmp(name, now))
		test_fail("thread %d, named %s, is %d, named %s", tid, name, gettid(), now);
	return (void *)(word + 1);
}

int main(int argc, char **argv)
{
	static pthread_t thread[NR];
	pthread_attr_t attr;
	void *result;

	test_init(argc, argv);
	pthread_barrier_init(&ready, NULL, NR + 1);
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, STACK_BYTES);
	for (intptr_t i = 0; i < NR; i++) {
		int err = pthread_create(&thread[i], &attr, worker, (void *)i);

		if (err == EAGAIN)
			test_skip("only %ld threads can be made here", (long)i);
		test_check(!err);
	}
	pthread_barrier_wait(&ready);
	test_ready();
	test_wait();
	pthread_mutex_lock(&lock);
	go = true;
	pthread_cond_broadcast(&cond);
	pthread_mutex_unlock(&lock);
	for (intptr_t i = 0; i < NR; i++) {
		test_check(!pthread_join(thread[i], &result));
		if (result != (void *)(i + 1))
			test_fail("thread %ld returned %p", (long)i, result);
	}
	test_pass();
}
