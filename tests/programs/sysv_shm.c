// SPDX-License-Identifier: GPL-2.0-only
/* modes: plain eager lazy leave-running twice user new-pidns */
/* shmget(2), shmat(2): numbers, keys, modes, attachments whole and cut, a removed segment, two processes. */
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/shm.h>
#include <sys/wait.h>

#include "harness.h"

#define PAGES 20
#define SIZE (PAGES * 4096UL - 100)

static uint64_t word(size_t i)
{
	return i * 0x9e3779b97f4a7c15ULL + 3;
}

static void fill(uint64_t *m)
{
	for (size_t i = 0; i < SIZE / 8; i += 7)
		m[i] = word(i);
}

static void check(const uint64_t *m, size_t from, size_t to)
{
	for (size_t i = from; i < to; i++)
		test_check(m[i] == (i % 7 ? 0 : word(i)));
}

int main(int argc, char **argv)
{
	int kept, removed, cut, status, ends[2];
	uint64_t *a, *b, *c, *second;
	key_t key = (key_t)(0x7f000000 + getppid() % 1000 * 1000 + getpid() + getuid());
	struct shmid_ds ds;
	pid_t child;

	test_init(argc, argv);
	kept = shmget(key, SIZE, IPC_CREAT | 0640);
	removed = shmget(IPC_PRIVATE, SIZE, 0600);
	cut = shmget(IPC_PRIVATE, SIZE, 0600);
	test_check(kept >= 0 && removed >= 0 && cut >= 0);
	a = shmat(kept, NULL, 0);
	b = shmat(removed, NULL, 0);
	c = shmat(cut, NULL, 0);
	second = shmat(kept, NULL, SHM_RDONLY);
	fill(a);
	fill(b);
	fill(c);
	test_check(shmctl(removed, IPC_RMID, NULL) == 0);
	test_check(munmap((char *)c + 4 * 4096, 2 * 4096) == 0);
	test_check(mprotect((char *)c + 10 * 4096, 4096, PROT_READ) == 0);
	test_check(pipe(ends) == 0);
	child = fork();
	test_check(child >= 0);
	if (!child) {
		char go;

		_exit(read(ends[0], &go, 1) == 1 && a[7] == word(7) && (a[1] = 5) == 5 ? 0 : 1);
	}
	test_ready();
	test_wait();

	check(a, 0, SIZE / 8);
	check(second, 0, SIZE / 8);
	check(b, 0, SIZE / 8);
	check(c, 0, 4 * 512);
	check(c, 6 * 512, SIZE / 8);
	test_check(shmctl(kept, IPC_STAT, &ds) == 0);
	test_check(ds.shm_perm.__key == key && (ds.shm_perm.mode & 0777) == 0640 && ds.shm_segsz == SIZE);
	test_check(ds.shm_perm.uid == getuid() && ds.shm_nattch == 4);
	test_check(mincore((char *)c + 4 * 4096, 4096, (unsigned char *)&status) == -1 && errno == ENOMEM);
	test_check(write(ends[1], "g", 1) == 1);
	test_check(waitpid(child, &status, 0) == child && status == 0 && a[1] == 5);
	test_check(shmdt(b) == 0 && shmctl(removed, IPC_STAT, &ds) == -1);
	test_check(shmdt(a) == 0 && shmdt(second) == 0 && shmdt(c) == 0);
	test_check(shmctl(kept, IPC_RMID, NULL) == 0 && shmctl(cut, IPC_RMID, NULL) == 0);
	test_pass();
}
