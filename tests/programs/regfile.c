// SPDX-License-Identifier: GPL-2.0-only
/* modes: plain eager lazy leave-running twice user */
/*
 * Files with a name: position, open flags, close-on-exec, owner and signal; directories, devices, O_PATH; one open file
 * under several descriptors, and another one of the same file.
 */
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "harness.h"

#define FAR_FD 900

static long position(int fd)
{
	return lseek(fd, 0, SEEK_CUR);
}

static void check_device(int fd, unsigned minor)
{
	struct stat st;

	test_check(fstat(fd, &st) == 0 && S_ISCHR(st.st_mode));
	test_check(major(st.st_rdev) == 1 && minor(st.st_rdev) == minor);
}

int main(int argc, char **argv)
{
	char buf[16], name[4096];
	struct f_owner_ex owner;
	struct stat a, b;
	int rd, wr, app, dir, null, zero, rnd, path, same, other, base, other_flags;

	test_init(argc, argv);
	snprintf(name, sizeof(name), "%s.data", argv[1]);
	base = open(name, O_RDWR | O_CREAT | O_TRUNC, 0640);
	test_check(base >= 0 && write(base, "0123456789", 10) == 10);
	rd = open(name, O_RDONLY | O_CLOEXEC);
	wr = open(name, O_WRONLY | O_NONBLOCK);
	app = open(name, O_WRONLY | O_APPEND | O_SYNC);
	dir = open("/", O_RDONLY | O_DIRECTORY);
	null = open("/dev/null", O_WRONLY);
	zero = open("/dev/zero", O_RDWR);
	rnd = open("/dev/urandom", O_RDONLY);
	path = open(name, O_PATH);
	same = dup2(rd, FAR_FD);
	other = open(name, O_RDONLY);
	test_check(rd >= 0 && wr >= 0 && app >= 0 && dir >= 0 && null >= 0 && zero >= 0 && rnd >= 0 && path >= 0);
	test_check(same == FAR_FD && other >= 0);
	test_check(read(rd, buf, 3) == 3 && lseek(wr, 7, SEEK_SET) == 7);
	owner = (struct f_owner_ex){ .type = F_OWNER_PID, .pid = getpid() };
	test_check(fcntl(wr, F_SETOWN_EX, &owner) == 0 && fcntl(wr, F_SETSIG, SIGWINCH) == 0);
	other_flags = fcntl(app, F_GETFL);
	test_ready();
	test_wait();
	test_check(position(rd) == 3 && position(wr) == 7 && position(other) == 0 && position(base) == 10);
	test_check(read(same, buf, 2) == 2 && !memcmp(buf, "34", 2) && position(rd) == 5);
	test_check(position(other) == 0);
	test_check(fcntl(rd, F_GETFD) == FD_CLOEXEC && fcntl(same, F_GETFD) == 0 && fcntl(wr, F_GETFD) == 0);
	test_check((fcntl(wr, F_GETFL) & (O_ACCMODE | O_NONBLOCK)) == (O_WRONLY | O_NONBLOCK));
	test_check(fcntl(app, F_GETFL) == other_flags && other_flags & O_APPEND && other_flags & O_SYNC);
	memset(&owner, 0, sizeof(owner));
	test_check(fcntl(wr, F_GETOWN_EX, &owner) == 0 && owner.type == F_OWNER_PID && owner.pid == getpid());
	test_check(fcntl(wr, F_GETSIG) == SIGWINCH && fcntl(rd, F_GETSIG) == 0 && fcntl(rd, F_GETOWN) == 0);
	test_check(write(app, "X", 1) == 1 && position(app) == 11 && ftruncate(base, 10) == 0);
	test_check(fstat(dir, &a) == 0 && stat("/", &b) == 0 && a.st_ino == b.st_ino && a.st_dev == b.st_dev);
	test_check(fstat(path, &a) == 0 && stat(name, &b) == 0 && a.st_ino == b.st_ino &&
		   a.st_mode == (S_IFREG | 0640));
	test_check(fcntl(path, F_GETFL) & O_PATH && read(path, buf, 1) < 0 && errno == EBADF);
	check_device(null, 3);
	check_device(zero, 5);
	check_device(rnd, 9);
	test_check(read(zero, buf, 4) == 4 && !memcmp(buf, "\0\0\0\0", 4));
	test_check(fcntl(FAR_FD + 1, F_GETFD) < 0 && fcntl(FAR_FD - 1, F_GETFD) < 0);
	test_pass();
}
