// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "criu-like/commands/commands.h"

int cmd_version(int argc, char **argv)
{
	printf("Version: %s\n", THAW_VERSION);
	return 0;
}

int command_log(const struct log_options *opt, const char *dir, struct diag *diag)
{
	static const enum diag_level level[] = { DIAG_ERROR, DIAG_WARN, DIAG_INFO, DIAG_DEBUG };
	int v = opt->verbosity < 0 ? 0 : opt->verbosity > 3 ? 3 : opt->verbosity;
	_cleanup_close_ int dirfd = -1;
	int fd;

	/* Without a log file only the final report goes to standard error, unless more was asked for. */
	diag_init(diag, opt->verbosity > 1 ? opt->stderr_fd ?: STDERR_FILENO : -1, level[v]);
	if (!opt->file)
		return 0;
	if (dir) {
		dirfd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
		if (dirfd < 0) {
			fprintf(stderr, "thaw: cannot open the directory %s: %s\n", dir, strerror(errno));
			return -errno;
		}
	}
	fd = openat(dir ? dirfd : AT_FDCWD, opt->file, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0600);
	if (fd < 0) {
		fprintf(stderr, "thaw: cannot open the log file %s: %s\n", opt->file, strerror(errno));
		return -errno;
	}
	diag_init(diag, fd, level[v]);
	return 0;
}

int command_status(const char *name, int ret, const struct diag *diag)
{
	if (ret >= 0)
		return 0;
	if (diag->code)
		fprintf(stderr, "thaw %s: %s\n", name, diag->text);
	else
		fprintf(stderr, "thaw %s: %s\n", name, strerror(-ret));
	return 1;
}

int command_verbosity(const char *arg, int now)
{
	if (!arg)
		return now + 1;
	if (arg[0] == 'v')
		return now + 1 + (int)strlen(arg);
	return atoi(arg);
}

int command_network_lock(const char *method)
{
	/* CRIU's default is iptables; the outcome is the same. */
	if (!strcmp(method, "nftables") || !strcmp(method, "iptables") || !strcmp(method, "skip"))
		return 0;
	fprintf(stderr, "thaw: --network-lock takes nftables, iptables or skip, not '%s'\n", method);
	return 1;
}

int command_number(const char *option, const char *arg, long min, long max, long *out)
{
	char *end;
	long n;

	errno = 0;
	n = strtol(arg, &end, 10);
	if (errno || end == arg || *end || n < min || n > max) {
		fprintf(stderr, "thaw: %s takes a whole number from %ld to %ld, not '%s'\n", option, min, max, arg);
		return 1;
	}
	*out = n;
	return 0;
}
