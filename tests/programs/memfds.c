// SPDX-License-Identifier: GPL-2.0-only
/* modes: plain eager lazy leave-running twice user */
/* memfd_create(2): content, size, position, seals, one object by several descriptors and mappings, in two processes. */
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "harness.h"

#define PAGES 300
#define SIZE (PAGES * 4096UL)

static uint64_t word(size_t i)
{
	return i * 0x9e3779b97f4a7c15ULL + 1;
}

static void check_pages(const uint64_t *m)
{
	for (size_t i = 0; i < SIZE / 8; i++)
		test_check(m[i] == (i / 512 % 3 ? word(i) : 0));
}

int main(int argc, char **argv)
{
	struct stat before, after;
	uint64_t *shared, *private, *unlisted, *anon, got;
	int fd, second, sealed, plain, pipes[2], other;
	char path[32];
	pid_t child;

	test_init(argc, argv);
	fd = memfd_create("one", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	test_check(fd >= 0 && ftruncate(fd, SIZE + 100) == 0 && fchmod(fd, 0640) == 0);
	shared = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	private = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
	test_check(shared != MAP_FAILED && private != MAP_FAILED);
	for (size_t i = 0; i < SIZE / 8; i++)
		if (i / 512 % 3)
			shared[i] = word(i);
	private[5 * 512] = 77;
	test_check(lseek(fd, 4096, SEEK_SET) == 4096);
	second = dup(fd);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	other = open(path, O_RDONLY); /* an open file of its own */
	sealed = memfd_create("sealed", MFD_ALLOW_SEALING);
	test_check(write(sealed, "abcd", 4) == 4);
	test_check(fcntl(sealed, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) == 0);
	plain = memfd_create("a name (deleted)", 0);
	test_check(plain >= 0 && ftruncate(plain, 8192) == 0);
	unlisted = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, plain, 0);
	unlisted[0] = 5;
	close(plain); /* only mapped now */
	anon = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	anon[511] = 1;
	test_check(fstat(fd, &before) == 0 && pipe(pipes) == 0);
	child = fork();
	test_check(child >= 0);
	if (!child) {
		char go;

		if (read(pipes[0], &go, 1) != 1 || shared[512] != word(512) || anon[511] != 1 || private[5 * 512] != 77)
			_exit(1);
		shared[0] = 99;
		anon[600] = 98;
		_exit(0);
	}
	test_ready();
	test_wait();

	test_check(fstat(fd, &after) == 0 && before.st_size == after.st_size && before.st_mode == after.st_mode);
	test_check(lseek(fd, 0, SEEK_CUR) == 4096 && lseek(second, 8, SEEK_CUR) == 4104 &&
		   lseek(fd, 0, SEEK_CUR) == 4104);
	test_check(fcntl(fd, F_GETFD) == FD_CLOEXEC && fcntl(fd, F_GET_SEALS) == 0);
	check_pages(shared);
	test_check(private[5 * 512] == 77 && private[4 * 512] == word(4 * 512));
	test_check(pread(fd, &got, 8, 4096) == 8 && got == word(512));
	test_check(fcntl(sealed, F_GET_SEALS) == (F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL));
	test_check(write(sealed, "x", 1) == -1 && errno == EPERM);
	test_check(unlisted[0] == 5 && anon[511] == 1);
	test_check(other >= 0 && lseek(other, 0, SEEK_CUR) == 0);
	test_check(write(pipes[1], "g", 1) == 1);
	test_check(waitpid(child, &other, 0) == child && other == 0);
	test_check(shared[0] == 99 && anon[600] == 98);
	test_check(pread(fd, &got, 8, 0) == 8 && got == 99);
	test_pass();
}
