// SPDX-License-Identifier: GPL-2.0-only
/*
 * --action-script. A script is run by sh(1), one after another, and gets in its environment
 *
 *	CRTOOLS_SCRIPT_ACTION	the moment, action.h
 *	CRTOOLS_IMAGE_DIR	the images, as an absolute path
 *	CRTOOLS_INIT_PID	the root's pid, as this command sees it, once there is one
 *
 * It has no descriptors but the standard ones: those of the tree are not to live on in what it leaves running.
 */
#include "criu-like/commands/scripts.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

static int start(const char *path, pid_t *pid)
{
	const char *const argv[] = { "sh", "-c", path, NULL };
	posix_spawn_file_actions_t files;
	posix_spawnattr_t attr;
	sigset_t none;
	int ret;

	sigemptyset(&none);
	posix_spawn_file_actions_init(&files);
	posix_spawnattr_init(&attr);
	posix_spawn_file_actions_addclosefrom_np(&files, STDERR_FILENO + 1);
	posix_spawnattr_setsigmask(&attr, &none);
	posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGMASK);
	ret = posix_spawn(pid, "/bin/sh", &files, &attr, (char *const *)argv, environ);
	posix_spawnattr_destroy(&attr);
	posix_spawn_file_actions_destroy(&files);
	return -ret;
}

static int run_one(const char *path, enum action action, struct diag *diag)
{
	int status = 0;
	pid_t pid;
	int ret = start(path, &pid);

	if (ret)
		return diag_fail(diag, -ret, "cannot run the action script %s: %s", path, strerror(-ret));
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return diag_fail(diag, errno, "cannot wait for the action script %s: %s", path,
					 strerror(errno));
	if (WIFEXITED(status) && !WEXITSTATUS(status))
		return 0;
	return diag_fail(diag, ECANCELED, "the action script %s failed at %s: it ended with %s %d", path,
			 action_name(action), WIFEXITED(status) ? "status" : "signal",
			 WIFEXITED(status) ? WEXITSTATUS(status) : WTERMSIG(status));
}

int scripts_run(void *scripts, enum action action, pid_t root, struct diag *diag)
{
	const struct scripts *s = scripts;
	char dir[PATH_MAX], pid[16];
	int ret = 0;

	snprintf(pid, sizeof(pid), "%d", root);
	if (s->paths->nr && (setenv("CRTOOLS_SCRIPT_ACTION", action_name(action), 1) ||
			     setenv("CRTOOLS_IMAGE_DIR", realpath(s->images_dir, dir) ?: s->images_dir, 1) ||
			     (root && setenv("CRTOOLS_INIT_PID", pid, 1))))
		return diag_fail(diag, ENOMEM, "out of memory");
	for (size_t i = 0; !ret && i < s->paths->nr; i++)
		ret = run_one(s->paths->v[i], action, diag);
	return ret || !s->next ? ret : s->next->run(s->next->arg, action, root, diag);
}
