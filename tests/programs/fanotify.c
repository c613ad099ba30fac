// SPDX-License-Identifier: GPL-2.0-only
/* modes: plain eager lazy leave-running twice new-pidns */
/* A fanotify group with marks on a directory's files, a file, a mount, and a mask of what is not told; and one by
 * names. */
#include <sys/fanotify.h>
#include <sys/stat.h>

#include "harness.h"

static const char mounted[] = "/dev/shm";
static char dir[4096], other[4200];

static int file_in(const char *where, const char *name)
{
	char path[8192];
	int fd;

	snprintf(path, sizeof(path), "%s/%s", where, name);
	fd = open(path, O_RDWR | O_CREAT, 0600);
	test_check(fd >= 0);
	return fd;
}

/* The next event must be this one, on the file that @fd has open. */
static void check_event(int group, uint64_t mask, int fd)
{
	_Alignas(struct fanotify_event_metadata) char buf[4096];
	struct fanotify_event_metadata *m = (void *)buf;
	ssize_t len = read(group, buf, sizeof(struct fanotify_event_metadata));
	struct stat seen, want;

	test_check(len == sizeof(*m));
	if (m->mask != mask)
		test_fail("events are 0x%llx, not 0x%llx", m->mask, (unsigned long long)mask);
	test_check(m->fd >= 0 && fstat(m->fd, &seen) == 0 && fstat(fd, &want) == 0 && close(m->fd) == 0);
	test_check(seen.st_ino == want.st_ino && seen.st_dev == want.st_dev);
}

static void check_none(int group)
{
	char buf[4096];

	test_check(read(group, buf, sizeof(buf)) < 0 && errno == EAGAIN);
}

int main(int argc, char **argv)
{
	int group, names, in_dir, in_other, in_mount;
	char buf[8192];

	test_init(argc, argv);
	snprintf(dir, sizeof(dir), "%s.dir", argv[1]);
	snprintf(other, sizeof(other), "%s.other", argv[1]);
	test_check(!mkdir(dir, 0700) && !mkdir(other, 0700));
	in_dir = file_in(dir, "file");
	in_other = file_in(other, "file");
	in_mount = file_in(mounted, "thaw-test-fanotify");
	group = fanotify_init(FAN_CLASS_NOTIF | FAN_NONBLOCK | FAN_CLOEXEC | FAN_UNLIMITED_QUEUE,
			      O_RDONLY | O_LARGEFILE);
	if (group < 0 && (errno == ENOSYS || errno == EPERM))
		test_skip("no fanotify: %s", strerror(errno));
	names = fanotify_init(FAN_CLASS_NOTIF | FAN_NONBLOCK | FAN_REPORT_DFID_NAME, 0);
	test_check(group >= 0 && names >= 0);
	test_check(!fanotify_mark(group, FAN_MARK_ADD, FAN_MODIFY | FAN_EVENT_ON_CHILD, AT_FDCWD, dir));
	snprintf(buf, sizeof(buf), "%s/file", other);
	test_check(!fanotify_mark(group, FAN_MARK_ADD, FAN_MODIFY | FAN_ACCESS, AT_FDCWD, buf));
	test_check(!fanotify_mark(group, FAN_MARK_ADD | FAN_MARK_IGNORED_MASK | FAN_MARK_IGNORED_SURV_MODIFY,
				  FAN_ACCESS, AT_FDCWD, buf));
	test_check(!fanotify_mark(group, FAN_MARK_ADD | FAN_MARK_MOUNT, FAN_MODIFY, AT_FDCWD, mounted));
	test_check(!fanotify_mark(names, FAN_MARK_ADD, FAN_CREATE, AT_FDCWD, dir));
	test_ready();
	test_wait();

	test_check(fcntl(group, F_GETFD) == FD_CLOEXEC && fcntl(group, F_GETFL) & O_NONBLOCK);
	check_none(group);
	check_none(names);
	test_check(write(in_dir, "x", 1) == 1);
	check_event(group, FAN_MODIFY, in_dir);
	test_check(write(in_other, "x", 1) == 1 && pread(in_other, buf, 1, 0) == 1);
	check_event(group, FAN_MODIFY, in_other);
	check_none(group);
	test_check(write(in_mount, "x", 1) == 1);
	check_event(group, FAN_MODIFY, in_mount);
	check_none(group);
	unlink(strcat(dir, "/new"));
	dir[strlen(dir) - 4] = '\0';
	test_check(close(file_in(dir, "new")) == 0);
	test_check(read(names, buf, sizeof(buf)) > 0 && ((struct fanotify_event_metadata *)buf)->mask == FAN_CREATE);
	check_none(names);
	test_check(!ftruncate(in_dir, 0) && !ftruncate(in_other, 0) && !ftruncate(in_mount, 0)); /* as at the dump */
	test_pass();
}
