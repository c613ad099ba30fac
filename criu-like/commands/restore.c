// SPDX-License-Identifier: GPL-2.0-only
#include <stdio.h>

#include "common/util.h"
#include "criu-like/commands/lazy_modes.h"
#include "criu-like/commands/net_rows.h"
#include "criu-like/commands/scripts.h"
#include "criu-like/restore.h"

#define AT(member) offsetof(struct restore_options, member)

static const struct command_option options[] = {
	{ OPTION_TEXTS, 0, "action-script", AT(scripts), "FILE", "run it at each step, as CRIU does; may be repeated",
	  0, 0 },
	{ OPTION_TEXT, 'D', "images-dir", AT(images_dir), "DIR", "the images (default: here)", 0, 0 },
	{ OPTION_TEXT, 'W', "work-dir", AT(work_dir), "DIR", "where log and lazy-pages socket are (default: DIR)", 0,
	  0 },
	{ OPTION_FLAG, 'd', "restore-detached", AT(detach), NULL, "end when the tree runs", 0, 0 },
	{ OPTION_FLAG, 'S', "restore-sibling", AT(sibling), NULL, "make the root a child of this command's parent", 0,
	  0 },
	{ OPTION_FLAG, 0, "lazy-pages", AT(lazy), NULL, "let the tree run before its memory has arrived", 0, 0 },
	{ OPTION_FLAG, 0, "page-server", AT(page_server), NULL, "with --lazy-pages: memory comes from a page server", 0,
	  0 },
	NET_ROWS(AT(net)),
	NET_CLIENT_ROWS(AT(net)),
	{ OPTION_TEXT, 0, "stats", AT(stats_file), "FILE", "with --lazy-pages: figures of the server, JSON", 0, 0 },
	{ OPTION_FLAG, 0, "no-verify", AT(no_verify), NULL, "take pages without comparing their checksums", 0, 0 },
	LAZY_MODE_OPTIONS(AT(modes)),
	{ OPTION_FLAG, 'j', "shell-job", AT(shell_job), NULL, "the tree joins the session of this command", 0, 0 },
	{ OPTION_FLAG, 0, "new-pidns", AT(new_pidns), NULL, "put the tree into a PID namespace of its own", 0, 0 },
	{ OPTION_FLAG, 0, "tcp-established", AT(tcp_established), NULL, "restore TCP connections", 0, 0 },
	{ OPTION_FLAG, 0, "tcp-close", AT(tcp_close), NULL, "restore TCP connections as closed sockets", 0, 0 },
	{ OPTION_FLAG, 'x', "ext-unix-sk", AT(ext_unix), "[INODE]", "connect datagram sockets to others that are here",
	  0, 0 },
	{ OPTION_TEXT, 0, "network-lock", AT(network_lock), "METHOD",
	  "how TCP connections are locked: nftables (default) or skip", 0, 0 },
	{ OPTION_FLAG, 0, "skip-file-rwx-check", AT(any_mode), NULL, "let files have other permissions than before", 0,
	  0 },
	{ OPTION_TEXT, 0, "pidfile", AT(pidfile), "FILE", "write the pid of the root there", 0, 0 },
};

static const struct command_usage usage = {
	"restore -D DIR [OPTIONS]",
	"Bring a tree of processes back from images. Without -d or -S the command stays as the parent of the tree's\n"
	"root and exits with its status.\n",
	options, ARRAY_SIZE(options)
};

int call_restore(int argc, char **argv, struct command_call *call)
{
	struct restore_options opt = { .hook = call->hook,
				       .images_dir = ".",
				       .network_lock = "nftables",
				       .net.reconnect_timeout = NET_RECONNECT_S };
	struct scripts scripts = { .paths = &opt.scripts, .next = call->hook };
	const struct action_hook hook = { scripts_run, &scripts };
	struct log_options log = { .stderr_fd = call->stderr_fd };
	struct diag *diag = &call->diag;
	int status = 0;
	int ret = command_parse(&usage, argc, argv, &opt, &log);

	if (ret)
		return ret == 2 ? 0 : 1;
	if (opt.page_server && !opt.lazy) {
		fprintf(stderr, "thaw restore: --page-server needs --lazy-pages\n");
		return 1;
	}
	if (command_page_server(argv[0], opt.page_server, &opt.net, &opt.modes))
		return 1;
	if (command_network_lock(opt.network_lock) || command_lazy_modes(argv[0], &opt.modes, opt.lazy))
		return 1;
	if (!opt.work_dir)
		opt.work_dir = opt.images_dir;
	if (command_log(&log, opt.work_dir, diag))
		return 1;
	scripts.images_dir = opt.images_dir;
	opt.hook = opt.scripts.nr ? &hook : call->hook;
	ret = restore_run(&opt, diag, &status);
	return ret ? command_status(argv[0], ret, diag) : status;
}

int cmd_restore(int argc, char **argv)
{
	struct command_call call = { 0 };

	return call_restore(argc, argv, &call);
}
