// SPDX-License-Identifier: GPL-2.0-only
/* modes: plain eager lazy twice user */
/* inotify: watches of a directory and a file, with their numbers and masks; one in between has been removed. */
#include <sys/inotify.h>
#include <sys/stat.h>

#include "harness.h"

/* Skip what came before the file was touched, as when others look at the directory. */
static void check_event(int fd, int wd, uint32_t mask, const char *name)
{
	_Alignas(struct inotify_event) char buf[4096];

	for (;;) {
		ssize_t len = read(fd, buf, sizeof(buf));
		const struct inotify_event *e;

		test_check(len > 0);
		for (char *at = buf; at < buf + len; at += sizeof(*e) + e->len) {
			e = (const struct inotify_event *)at;
			if (e->wd == wd && e->mask == mask && (!name || !strcmp(e->name, name)))
				return;
		}
	}
}

int main(int argc, char **argv)
{
	char dir[4096], file[4200];
	int fd, watch_dir, gone, watch_file, target;

	test_init(argc, argv);
	snprintf(dir, sizeof(dir), "%s.dir", argv[1]);
	snprintf(file, sizeof(file), "%s/file", dir);
	test_check(mkdir(dir, 0700) == 0);
	target = open(file, O_RDWR | O_CREAT, 0600);
	fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	watch_dir = inotify_add_watch(fd, dir, IN_CREATE | IN_DELETE);
	gone = inotify_add_watch(fd, "/", IN_CREATE);
	watch_file = inotify_add_watch(fd, file, IN_MODIFY);
	test_check(fd >= 0 && target >= 0 && watch_dir > 0 && watch_file > gone && inotify_rm_watch(fd, gone) == 0);
	check_event(fd, gone, IN_IGNORED, NULL);
	test_ready();
	test_wait();
	test_check(fcntl(fd, F_GETFD) == FD_CLOEXEC && fcntl(fd, F_GETFL) & O_NONBLOCK);
	test_check(read(fd, dir, sizeof(dir)) < 0 && errno == EAGAIN);
	snprintf(dir, sizeof(dir), "%s.dir", argv[1]);
	test_check(write(target, "x", 1) == 1);
	check_event(fd, watch_file, IN_MODIFY, NULL);
	strcat(file, "2");
	test_check(close(open(file, O_RDWR | O_CREAT, 0600)) == 0);
	check_event(fd, watch_dir, IN_CREATE, "file2");
	test_check(inotify_add_watch(fd, "/", IN_CREATE) > watch_file);
	test_pass();
}
