// SPDX-License-Identifier: GPL-2.0-only
#include <getopt.h>
#include <stdio.h>
#include <unistd.h>

#include "criu-like/commands/commands.h"
#include "lazy-pages/server.h"

static int usage(FILE *to)
{
	fputs("Usage: thaw lazy-pages -D DIR [OPTIONS]\n"
	      "Serve the memory of one `thaw restore --lazy-pages` from the images, until all is filled.\n\n"
	      "  -D, --images-dir DIR   the images\n"
	      "  -W, --work-dir DIR     where the socket, the log and the files below go (default: the images)\n"
	      "  -d, --daemon           go to the background as soon as the server listens\n"
	      "      --pidfile FILE     write the server's pid there\n"
	      "      --status-fd FD     write a NUL byte there when the server listens\n"
	      "      --stats FILE       write figures there at the end, as JSON\n"
	      "      --workers N        threads that fill (default: the CPUs, at most 8)\n"
	      "      --no-verify        take pages without comparing their checksums\n"
	      "  -o, --log-file FILE    log\n"
	      "  -v[N], --verbosity=N   what to log: 0 errors, 1 warnings, 2 information, 3 all\n",
	      to);
	return to == stdout ? 0 : 1;
}

enum { OPT_PIDFILE = 256, OPT_STATUS_FD, OPT_STATS, OPT_WORKERS, OPT_NO_VERIFY };

static const struct option long_options[] = {
	{ "images-dir", required_argument, NULL, 'D' },
	{ "work-dir", required_argument, NULL, 'W' },
	{ "daemon", no_argument, NULL, 'd' },
	{ "pidfile", required_argument, NULL, OPT_PIDFILE },
	{ "status-fd", required_argument, NULL, OPT_STATUS_FD },
	{ "stats", required_argument, NULL, OPT_STATS },
	{ "workers", required_argument, NULL, OPT_WORKERS },
	{ "no-verify", no_argument, NULL, OPT_NO_VERIFY },
	{ "log-file", required_argument, NULL, 'o' },
	{ "verbosity", optional_argument, NULL, 'v' },
	{ "help", no_argument, NULL, 'h' },
	{ NULL, 0, NULL, 0 },
};

/* Return: 0, or 1 after a message */
static int set_option(int c, struct lazy_options *opt, struct log_options *log)
{
	long n;

	switch (c) {
	case 'D':
		opt->images_dir = optarg;
		return 0;
	case 'W':
		opt->work_dir = optarg;
		return 0;
	case 'd':
		opt->daemon = true;
		return 0;
	case 'o':
		log->file = optarg;
		return 0;
	case 'v':
		log->verbosity = command_verbosity(optarg, log->verbosity);
		return 0;
	case OPT_PIDFILE:
		opt->pidfile = optarg;
		return 0;
	case OPT_STATS:
		opt->stats_file = optarg;
		return 0;
	case OPT_NO_VERIFY:
		opt->no_verify = true;
		return 0;
	case OPT_STATUS_FD:
		if (command_number("--status-fd", optarg, 0, 1 << 20, &n))
			return 1;
		opt->status_fd = (int)n;
		return 0;
	case OPT_WORKERS:
		if (command_number("--workers", optarg, 1, 8, &n))
			return 1;
		opt->workers = (unsigned)n;
		return 0;
	}
	return usage(stderr);
}

int cmd_lazy_pages(int argc, char **argv)
{
	struct lazy_options opt = { .images_dir = ".", .status_fd = -1, .summary = true };
	struct log_options log = { .verbosity = 1 };
	struct diag diag;
	int c;

	while ((c = getopt_long(argc, argv, "D:W:do:v::h", long_options, NULL)) != -1) {
		if (c == 'h')
			return usage(stdout);
		if (set_option(c, &opt, &log))
			return 1;
	}
	if (optind < argc) {
		fprintf(stderr, "thaw lazy-pages: '%s' is not an option\n", argv[optind]);
		return 1;
	}
	opt.progress = !opt.daemon && isatty(STDERR_FILENO);
	if (command_log(&log, opt.work_dir ? opt.work_dir : opt.images_dir, &diag) < 0)
		return 1;
	return command_status(argv[0], lazy_server_run(&opt, &diag), &diag);
}
