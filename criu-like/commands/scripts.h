/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef THAW_COMMANDS_SCRIPTS_H
#define THAW_COMMANDS_SCRIPTS_H

#include "criu-like/action.h"

/* What --action-script asked for. */
struct scripts {
	const struct text_list *paths;
	const char *images_dir;
	const struct action_hook *next; /* who else is told, after them; NULL: nobody */
};

/** scripts_run() - The hook: run each script by the shell, with CRIU's environment. Return: as struct action_hook */
int scripts_run(void *scripts, enum action action, pid_t root, struct diag *diag);

#endif
