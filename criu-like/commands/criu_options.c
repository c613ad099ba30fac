// SPDX-License-Identifier: GPL-2.0-only
/* The options of CRIU 4.2 that a command of Thaw does not have itself. docs/criu.md says more about each. */
#include <string.h>

#include "common/util.h"
#include "criu-like/commands/options.h"

#define ACCEPT(letter, name, arg)                                 \
	{                                                         \
		OPTION_ACCEPTED, letter, name, 0, arg, NULL, 0, 0 \
	}
#define REFUSE(letter, name, arg, what)                          \
	{                                                        \
		OPTION_REFUSED, letter, name, 0, arg, what, 0, 0 \
	}

/* clang-format off */
const struct command_option criu_options[] = {
	/* Those of other commands. */
	ACCEPT('t', "tree", "PID"),
	ACCEPT('d', "restore-detached", NULL),
	ACCEPT('S', "restore-sibling", NULL),
	ACCEPT('s', "leave-stopped", NULL),
	ACCEPT('R', "leave-running", NULL),
	ACCEPT('D', "images-dir", "DIR"),
	ACCEPT('W', "work-dir", "DIR"),
	ACCEPT(0, "pidfile", "FILE"),
	ACCEPT('j', "shell-job", NULL),
	ACCEPT(0, "tcp-established", NULL),
	ACCEPT(0, "skip-in-flight", NULL),
	ACCEPT(0, "tcp-close", NULL),
	ACCEPT(0, "network-lock", "METHOD"),
	ACCEPT('x', "ext-unix-sk", "[INODE]"),
	ACCEPT(0, "link-remap", NULL),
	ACCEPT(0, "ghost-limit", "SIZE"),
	ACCEPT(0, "timeout", "SECONDS"),
	ACCEPT(0, "display-stats", NULL),
	ACCEPT(0, "status-fd", "FD"),
	ACCEPT(0, "page-server", NULL),
	ACCEPT(0, "address", "ADDRESS"),
	ACCEPT(0, "port", "PORT"),
	ACCEPT(0, "daemon", NULL),
	ACCEPT(0, "extra", NULL),
	ACCEPT(0, "experimental", NULL),
	ACCEPT(0, "all", NULL),

	/* What Thaw does anyway. */
	ACCEPT(0, "cpu-cap", "[CAP]"),		/* features of the CPU are always checked */
	ACCEPT(0, "freeze-cgroup", "PATH"),	/* processes that fork are caught without */
	ACCEPT('l', "file-locks", NULL),	/* locks are always kept */
	ACCEPT(0, "evasive-devices", NULL),	/* devices are found by their numbers */
	ACCEPT(0, "ghost-fiemap", NULL),	/* holes of deleted files are left out */
	ACCEPT(0, "file-validation", "METHOD"), /* by build-id where there is one, by size elsewhere */
	ACCEPT(0, "force-irmap", NULL),
	ACCEPT(0, "irmap-scan-path", "PATH"),
	ACCEPT(0, "unprivileged", NULL),
	ACCEPT(0, "log-pid", NULL),
	ACCEPT(0, "no-default-config", NULL), /* there is none */
	ACCEPT(0, "deprecated", NULL),

	/* Nothing to do: mounts, network devices and control groups are the machine's, here and there. */
	ACCEPT(0, "weak-sysctls", NULL),
	ACCEPT(0, "mntns-compat-mode", NULL),
	ACCEPT(0, "skip-mnt", "PATH"),
	ACCEPT(0, "enable-fs", "NAMES"),
	ACCEPT(0, "enable-external-sharing", NULL),
	ACCEPT(0, "enable-external-masters", NULL),
	ACCEPT(0, "cgroup-yard", "PATH"),
	ACCEPT(0, "cgroup-dump-controller", "NAME"),
	ACCEPT(0, "cgroup-props", "TEXT"),
	ACCEPT(0, "cgroup-props-file", "FILE"),
	ACCEPT('L', "libdir", "DIR"), /* there are no plugins */
	ACCEPT(0, "allow-uprobes", NULL),

	/* Pages are compared with those of earlier images: nothing has to be tracked, and nothing is kept twice. */
	ACCEPT(0, "track-mem", NULL),
	ACCEPT(0, "prev-images-dir", "DIR"),
	ACCEPT(0, "auto-dedup", NULL),
	ACCEPT(0, "pre-dump-mode", "MODE"),

	REFUSE(0, "exec-cmd", NULL, "run the command when `thaw restore -d` has ended"),
	REFUSE(0, "stream", NULL, "write to a directory, and copy that"),
	REFUSE(0, "external", "RES", "nothing can be left out of the images; close it in the program"),
	REFUSE(0, "manage-cgroups", "[MODE]",
	       "tasks are restored in the restorer's control groups; start it in the wanted ones, and use none or "
	       "ignore"),
	REFUSE(0, "inherit-fd", "RES", "redirect the program to files or FIFOs that exist where it is restored"),
	REFUSE('r', "root", "PATH", "run the whole command under chroot(8)"),
	ACCEPT(0, "action-script", "FILE"),
	REFUSE(0, "cgroup-root", "PATH", "start the restore in the wanted control group: tasks stay in it"),
	REFUSE(0, "lsm-profile", "PROFILE", "start the restore under that profile: tasks keep it"),
	REFUSE(0, "lsm-mount-context", "CONTEXT", "mounts are not restored; mount before the restore"),
	REFUSE(0, "empty-ns", "NS", "run the restore under unshare(1)"),
	REFUSE('J', "join-ns", "NS", "run the restore under nsenter(1)"),
	REFUSE(0, "ext-mount-map", "MAP", "mounts are not restored; mount before the restore"),
	REFUSE(0, "veth-pair", "PAIR", "network devices are not restored; make them before the restore"),
	REFUSE(0, "ps-socket", "FD", "give --address and --port"),
	ACCEPT(0, "tls", NULL),
	ACCEPT(0, "tls-cacert", "FILE"),
	ACCEPT(0, "tls-cacrl", "FILE"),
	ACCEPT(0, "tls-cert", "FILE"),
	ACCEPT(0, "tls-key", "FILE"),
	ACCEPT(0, "tls-no-cn-verify", NULL),
	ACCEPT(0, "config", "FILE"), /* config.c has read it */
};
/* clang-format on */

const size_t nr_criu_options = ARRAY_SIZE(criu_options);

/* The beginnings of values that ask for what Thaw does. */
static const struct {
	const char *name, *begin;
} harmless[] = {
	{ "external", "mnt[" },
	{ "manage-cgroups", "none" },
	{ "manage-cgroups", "ignore" },
};

bool criu_option_harmless(const struct command_option *o, const char *value)
{
	for (size_t i = 0; i < ARRAY_SIZE(harmless); i++)
		if (!strcmp(o->name, harmless[i].name) && !strncmp(value, harmless[i].begin, strlen(harmless[i].begin)))
			return true;
	return false;
}
