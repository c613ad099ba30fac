// SPDX-License-Identifier: GPL-2.0-only
/* modes: plain eager lazy twice */
/* options: --link-remap */
/* Open files whose name has been deleted while they have another in a directory that nobody would search. */
#include <sys/mman.h>
#include <sys/stat.h>

#include "harness.h"

int main(int argc, char **argv)
{
	char link[64], buf[16], path[64];
	struct stat st, other;
	const char *map;
	ssize_t n;
	int fd;

	test_init(argc, argv);
	test_check(mkdir("there", 0755) == 0);
	fd = open("here", O_RDWR | O_CREAT | O_EXCL, 0644);
	test_check(fd >= 0 && write(fd, "content", 7) == 7 && fstat(fd, &st) == 0);
	map = mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0);
	test_check(map != MAP_FAILED);
	test_check(rename("here", "there/x") == 0 && symlink("there/x", "here") == 0 && unlink("here") == 0);
	test_check(linkat(AT_FDCWD, "there/x", AT_FDCWD, "here", 0) == 0 && close(fd) == 0);
	fd = open("here", O_RDWR);
	test_check(fd >= 0 && unlink("here") == 0 && lseek(fd, 3, SEEK_SET) == 3);
	test_ready();
	test_wait();
	test_check(read(fd, buf, sizeof(buf)) == 4 && !memcmp(buf, "tent", 4) && !memcmp(map, "content", 7));
	test_check(fstat(fd, &st) == 0 && stat("there/x", &other) == 0 && st.st_ino == other.st_ino);
	test_check(st.st_nlink == 1 && access("here", F_OK) < 0);
	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	n = readlink(link, path, sizeof(path) - 1);
	test_check(n > 0);
	test_pass();
}
