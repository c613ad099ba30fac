// SPDX-License-Identifier: GPL-2.0-only
#include "criu-like/action.h"

#include <stddef.h>

static const char *const names[] = {
	[ACTION_PRE_DUMP] = "pre-dump",	      [ACTION_POST_DUMP] = "post-dump",
	[ACTION_PRE_RESTORE] = "pre-restore", [ACTION_POST_RESTORE] = "post-restore",
	[ACTION_PRE_RESUME] = "pre-resume",   [ACTION_POST_RESUME] = "post-resume",
};

const char *action_name(enum action action)
{
	return names[action];
}

int action_run(const struct action_hook *hook, enum action action, pid_t root, struct diag *diag)
{
	if (!hook)
		return 0;
	diag_info(diag, "Action: %s", names[action]);
	return hook->run(hook->arg, action, root, diag);
}
