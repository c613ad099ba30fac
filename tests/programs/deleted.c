// SPDX-License-Identifier: GPL-2.0-only
/* modes: plain eager lazy leave-running twice user */
/*
 * Deleted files: with holes, open twice, mapped shared and private; one whose name another file has taken; one that
 * never had a name; a FIFO; the working directory.
 */
#include <libgen.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "harness.h"

#define SIZE (3L << 20)

int main(int argc, char **argv)
{
	char name[4096], other[4096], link[64], target[4200], dir[4096], buf[16];
	int fd, again, taken, fifo, dirfd, nameless, len;
	uint64_t *shared, *private;
	struct stat st, st2;

	test_init(argc, argv);
	snprintf(name, sizeof(name), "%s.deleted", argv[1]);
	fd = open(name, O_RDWR | O_CREAT | O_TRUNC, 0640);
	again = open(name, O_RDONLY);
	test_check(fd >= 0 && again >= 0 && ftruncate(fd, SIZE) == 0);
	test_check(pwrite(fd, "first", 5, 0) == 5 && pwrite(fd, "last", 4, SIZE - 4) == 4 &&
		   lseek(again, 2, SEEK_SET) == 2);
	shared = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 1 << 20);
	private = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 1 << 20);
	test_check(shared != MAP_FAILED && private != MAP_FAILED);
	shared[0] = test_word(1, 2);
	private[512] = test_word(3, 4);
	test_check(unlink(name) == 0);
	snprintf(other, sizeof(other), "%s.taken", argv[1]);
	taken = open(other, O_RDWR | O_CREAT | O_TRUNC, 0600);
	test_check(taken >= 0 && write(taken, "mine", 4) == 4 && unlink(other) == 0);
	test_check(close(open(other, O_RDWR | O_CREAT | O_TRUNC, 0600)) == 0);
	nameless = open(dirname(strcpy(dir, argv[1])), O_RDWR | O_TMPFILE, 0600);
	test_check(nameless >= 0 && write(nameless, "none", 4) == 4);
	snprintf(dir, sizeof(dir), "%s.fifo", argv[1]);
	test_check(mkfifo(dir, 0600) == 0);
	fifo = open(dir, O_RDWR);
	test_check(fifo >= 0 && write(fifo, "ff", 2) == 2 && unlink(dir) == 0);
	snprintf(dir, sizeof(dir), "%s.dir", argv[1]);
	test_check(mkdir(dir, 0751) == 0 && chdir(dir) == 0);
	dirfd = open(".", O_RDONLY | O_DIRECTORY);
	test_check(dirfd >= 0 && rmdir(dir) == 0);
	test_ready();
	test_wait();
	test_check(fstat(fd, &st) == 0 && st.st_nlink == 0 && st.st_size == SIZE && st.st_mode == (S_IFREG | 0640));
	test_check(st.st_blocks * 512 < SIZE / 2 && stat(name, &st2) < 0);
	test_check(fstat(again, &st2) == 0 && st2.st_ino == st.st_ino && lseek(again, 0, SEEK_CUR) == 2);
	test_check(read(again, buf, 3) == 3 && !memcmp(buf, "rst", 3));
	test_check(pread(again, buf, 4, SIZE - 4) == 4 && !memcmp(buf, "last", 4));
	test_check(shared[0] == test_word(1, 2) && shared[512] == 0 && private[512] == test_word(3, 4) &&
		   private[0] == test_word(1, 2));
	test_check(pwrite(fd, "now", 3, (1 << 20) + 4096) == 3 && !memcmp(shared + 512, "now", 3));
	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	len = (int)readlink(link, target, sizeof(target) - 1);
	test_check(len > 0);
	target[len] = '\0';
	test_check(!strncmp(target, name, strlen(name)) && !strcmp(target + strlen(name), " (deleted)"));
	test_check(pread(taken, buf, 16, 0) == 4 && !memcmp(buf, "mine", 4) && stat(other, &st) == 0 &&
		   st.st_size == 0);
	test_check(fstat(taken, &st2) == 0 && st2.st_ino != st.st_ino && st2.st_nlink == 0);
	test_check(pread(nameless, buf, 16, 0) == 4 && !memcmp(buf, "none", 4) && lseek(nameless, 0, SEEK_CUR) == 4);
	test_check(read(fifo, buf, 16) == 2 && fstat(fifo, &st) == 0 && S_ISFIFO(st.st_mode) && st.st_nlink == 0);
	test_check(write(fifo, "ff", 2) == 2);
	test_check(fstat(dirfd, &st) == 0 && S_ISDIR(st.st_mode) && (st.st_mode & 0777) == 0751 && stat(dir, &st2) < 0);
	test_check(!getcwd(buf, sizeof(buf)) && errno == ENOENT && stat(".", &st2) == 0 && st2.st_ino == st.st_ino);
	test_check(lseek(again, 2, SEEK_SET) == 2 && pwrite(fd, "\0\0\0", 3, (1 << 20) + 4096) == 3);
	test_pass();
}
