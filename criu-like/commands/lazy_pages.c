// SPDX-License-Identifier: GPL-2.0-only
#include <stdio.h>
#include <unistd.h>

#include "common/util.h"
#include "criu-like/commands/lazy_modes.h"
#include "criu-like/commands/net_rows.h"
#include "lazy-pages/server.h"

#define AT(member) offsetof(struct lazy_options, member)

static const struct command_option options[] = {
	{ OPTION_TEXT, 'D', "images-dir", AT(images_dir), "DIR", "the images (default: here)", 0, 0 },
	{ OPTION_TEXT, 'W', "work-dir", AT(work_dir), "DIR", "where socket, log and files are (default: DIR)", 0, 0 },
	{ OPTION_FLAG, 'd', "daemon", AT(daemon), NULL, "go to the background when the server listens", 0, 0 },
	{ OPTION_TEXT, 0, "pidfile", AT(pidfile), "FILE", "write the server's pid there", 0, 0 },
	{ OPTION_NUMBER, 0, "status-fd", AT(status_fd), "FD", "write a NUL byte there when it listens", 0, 1 << 20 },
	{ OPTION_TEXT, 0, "stats", AT(stats_file), "FILE", "write figures there at the end, as JSON", 0, 0 },
	{ OPTION_UNSIGNED, 0, "workers", AT(workers), "N", "threads that fill (default: the CPUs, at most 8)", 1, 8 },
	{ OPTION_FLAG, 0, "keep-serving", AT(keep_serving), NULL, "serve any number of restores, until SIGTERM", 0, 0 },
	{ OPTION_FLAG, 0, "no-verify", AT(no_verify), NULL, "take pages without comparing their checksums", 0, 0 },
	LAZY_MODE_OPTIONS(AT(modes)),
	{ OPTION_FLAG, 0, "page-server", AT(page_server), NULL, "pages come from a page server", 0, 0 },
	NET_ROWS(AT(net)),
	NET_CLIENT_ROWS(AT(net)),
};

static const struct command_usage usage = {
	"lazy-pages -D DIR [OPTIONS]",
	"Serve the memory of one `thaw restore --lazy-pages` from the images, until all is filled.\n", options,
	ARRAY_SIZE(options)
};

int cmd_lazy_pages(int argc, char **argv)
{
	struct lazy_options opt = {
		.images_dir = ".", .status_fd = -1, .summary = true, .net.reconnect_timeout = NET_RECONNECT_S
	};
	struct log_options log = { .verbosity = 1 };
	struct diag diag;
	int ret = command_parse(&usage, argc, argv, &opt, &log);

	if (ret)
		return ret == 2 ? 0 : 1;
	if (command_lazy_modes(argv[0], &opt.modes, true))
		return 1;
	if (command_page_server(argv[0], opt.page_server, &opt.net, &opt.modes))
		return 1;
	if (opt.page_server && opt.keep_serving) {
		fprintf(stderr, "thaw lazy-pages: --page-server is for one restore; start a server for each\n");
		return 1;
	}
	opt.progress = !opt.daemon && isatty(STDERR_FILENO);
	if (command_log(&log, opt.work_dir ? opt.work_dir : opt.images_dir, &diag) < 0)
		return 1;
	return command_status(argv[0], lazy_server_run(&opt, &diag), &diag);
}
