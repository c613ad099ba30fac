// SPDX-License-Identifier: GPL-2.0-only
#include "common/util.h"
#include "criu-like/commands/net_rows.h"
#include "lazy-pages/page_server.h"

#define AT(member) offsetof(struct page_server_options, member)

static const struct command_option options[] = {
	{ OPTION_TEXT, 'D', "images-dir", AT(images_dir), "DIR", "where the pages go, or are (default: here)", 0, 0 },
	{ OPTION_TEXT, 'W', "work-dir", AT(work_dir), "DIR", "where log and pidfile are (default: DIR)", 0, 0 },
	{ OPTION_FLAG, 0, "lazy-pages", AT(lazy), NULL, "serve pages from the images, to any number of clients", 0, 0 },
	NET_ROWS(AT(net)),
	{ OPTION_FLAG, 'd', "daemon", AT(daemon), NULL, "go to the background when the server listens", 0, 0 },
	{ OPTION_TEXT, 0, "pidfile", AT(pidfile), "FILE", "write the server's pid there", 0, 0 },
	{ OPTION_NUMBER, 0, "status-fd", AT(status_fd), "FD", "write a NUL byte there when it listens", 0, 1 << 20 },
};

static const struct command_usage usage = {
	"page-server -D DIR [OPTIONS]",
	"Receive the memory of one `thaw dump --page-server` (or criu's), whole or none of it; with --lazy-pages\n"
	"serve the memory in the images to `thaw lazy-pages --page-server`.\n",
	options, ARRAY_SIZE(options)
};

int cmd_page_server(int argc, char **argv)
{
	struct page_server_options opt = { .images_dir = ".", .status_fd = -1 };
	struct log_options log = { .verbosity = 1 };
	struct diag diag;
	int ret = command_parse(&usage, argc, argv, &opt, &log);

	if (ret)
		return ret == 2 ? 0 : 1;
	if (command_log(&log, opt.work_dir ? opt.work_dir : opt.images_dir, &diag) < 0)
		return 1;
	return command_status(argv[0], page_server_run(&opt, &diag), &diag);
}
