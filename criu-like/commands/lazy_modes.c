// SPDX-License-Identifier: GPL-2.0-only
#include "criu-like/commands/lazy_modes.h"

#include <stdio.h>

int command_lazy_modes(const char *command, const struct lazy_modes *m, bool lazy)
{
	const char *why = NULL;

	if (lazy_modes_given(m) && !lazy)
		why = "options of the lazy-pages server go with --lazy-pages";
	else if (m->on_demand && (m->drain_rate || m->until_idle))
		why = "--on-demand fills nothing in the background: leave out --drain-rate and --no-drain-until-idle";
	if (why)
		fprintf(stderr, "thaw %s: %s\n", command, why);
	return why ? 1 : 0;
}
