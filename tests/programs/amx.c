// SPDX-License-Identifier: GPL-2.0-only
/* modes: plain eager lazy leave-running twice user */
/*
 * AMX tiles: a process asks for them (arch_prctl(2)); threads hold known values in all eight, one has asked and uses
 * none, and a child has what its parent asked for. All look at them after the restore and use them again.
 */
#ifndef __x86_64__
#error "amx.c knows the registers of x86-64 only"
#endif
#include <asm/prctl.h>
#include <pthread.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "harness.h"

#define TILE_DATA 18
#define THREADS 3
#define TILES 8
#define ROWS 16
#define ROW 64

static volatile int stop;
static int spinning;

struct config {
	uint8_t palette, start_row, reserved[14];
	uint16_t columns[16];
	uint8_t rows[16];
} __attribute__((aligned(64)));

struct tiles {
	uint8_t bytes[TILES][ROWS][ROW];
};

#define EACH_TILE(m) m(0) m(1) m(2) m(3) m(4) m(5) m(6) m(7)
#define LOAD(n) "tileloadd 1024*" #n "(%[in], %[row], 1), %%tmm" #n "\n\t"
#define STORE(n) "tilestored %%tmm" #n ", 1024*" #n "(%[out], %[row], 1)\n\t"

/* No call and no library code between the two. */
static void hold(const struct config *config, struct config *config_now, const struct tiles *in, struct tiles *out)
{
	asm volatile(
		"ldtilecfg %[config]\n\t" EACH_TILE(LOAD) "lock incl %[spinning]\n\t"
							  "1: pause\n\t"
							  "cmpl $0, %[stop]\n\t"
							  "je 1b\n\t"
							  "sttilecfg %[config_now]\n\t" EACH_TILE(STORE) "tilerelease"
		: [spinning] "+m"(spinning), [config_now] "=m"(*config_now)
		: [config] "m"(*config), [stop] "m"(stop), [in] "r"(in), [out] "r"(out), [row] "r"((long)ROW)
		: "memory", "cc");
}

static void *thread(void *arg)
{
	struct config config = { .palette = 1 }, config_now = { 0 };
	static struct tiles in[THREADS + 1], out[THREADS + 1];
	intptr_t who = (intptr_t)arg;
	uint64_t state = (uint64_t)who + test_seed();
	uint8_t *bytes = (uint8_t *)&in[who];

	for (int i = 0; i < TILES; i++) {
		config.columns[i] = ROW;
		config.rows[i] = ROWS;
	}
	for (size_t i = 0; i < sizeof(in[who]); i++)
		bytes[i] = (uint8_t)test_random(&state);
	hold(&config, &config_now, &in[who], &out[who]);
	if (memcmp(&config, &config_now, sizeof(config)))
		test_fail("thread %ld: another tile configuration", who);
	for (int i = 0; i < TILES; i++)
		if (memcmp(in[who].bytes[i], out[who].bytes[i], sizeof(in[who].bytes[i])))
			test_fail("thread %ld: tile %d differs", who, i);
	return NULL;
}

/* It has never used a tile: now it can. */
static void use_late(int status_on_failure)
{
	uint64_t permitted = 0;

	if (syscall(SYS_arch_prctl, ARCH_GET_XCOMP_PERM, &permitted) || !(permitted & 1 << TILE_DATA))
		_exit(status_on_failure);
	thread((void *)THREADS);
}

int main(int argc, char **argv)
{
	pthread_t t[THREADS];
	int status;
	pid_t pid;

	test_init(argc, argv);
	if (syscall(SYS_arch_prctl, ARCH_REQ_XCOMP_PERM, TILE_DATA))
		test_skip("no AMX here: %s", strerror(errno));
	pid = fork();
	test_check(pid >= 0);
	if (!pid) {
		test_forked();
		test_wait();
		stop = 1;
		use_late(2);
		_exit(0);
	}
	for (intptr_t i = 0; i < THREADS; i++)
		test_check(!pthread_create(&t[i], NULL, thread, (void *)i));
	while (__atomic_load_n(&spinning, __ATOMIC_SEQ_CST) != THREADS)
		sched_yield();
	test_ready();
	test_wait();
	stop = 1;
	for (int i = 0; i < THREADS; i++)
		test_check(!pthread_join(t[i], NULL));
	use_late(3);
	test_check(!kill(pid, SIGUSR2));
	test_check(waitpid(pid, &status, 0) == pid && !status);
	test_pass();
}
