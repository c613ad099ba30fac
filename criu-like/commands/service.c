// SPDX-License-Identifier: GPL-2.0-only
#include "common/util.h"
#include "criu-like/commands/options.h"
#include "criu-like/rpc/service.h"

#define AT(member) offsetof(struct service_options, member)

static const struct command_option options[] = {
	{ OPTION_TEXT, 0, "address", AT(address), "PATH", "the socket (default: criu_service.socket)", 0, 0 },
	{ OPTION_TEXT, 'W', "work-dir", AT(work_dir), "DIR", "where a relative PATH and the log are", 0, 0 },
	{ OPTION_FLAG, 'd', "daemon", AT(daemon), NULL, "go to the background when the service listens", 0, 0 },
	{ OPTION_TEXT, 0, "pidfile", AT(pidfile), "FILE", "write the service's pid there", 0, 0 },
	{ OPTION_NUMBER, 0, "status-fd", AT(status_fd), "FD", "write a NUL byte there when it listens", 0, 1 << 20 },
};

static const struct command_usage usage = { "service [OPTIONS]",
					    "Serve CRIU's RPC to programs of root and of the user that runs this.\n",
					    options, ARRAY_SIZE(options) };

int cmd_service(int argc, char **argv)
{
	struct service_options opt = { .address = "criu_service.socket", .status_fd = -1 };
	struct log_options log = { .verbosity = 1 };
	struct diag diag;
	int ret = command_parse(&usage, argc, argv, &opt, &log);

	if (ret)
		return ret == 2 ? 0 : 1;
	if (command_log(&log, opt.work_dir, &diag))
		return 1;
	return command_status(argv[0], service_run(&opt, &diag), &diag);
}
