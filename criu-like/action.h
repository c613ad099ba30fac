/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef THAW_ACTION_H
#define THAW_ACTION_H

#include <stddef.h>
#include <sys/types.h>

#include "common/diag.h"

/*
 * Moments of a dump and of a restore at which somebody who asked for it is told, with CRIU's names. Until the tree
 * goes, whoever is told can end the whole by a failure.
 */
enum action {
	ACTION_PRE_DUMP,     /* nothing has been touched */
	ACTION_POST_DUMP,    /* the images are complete, the tree is still frozen */
	ACTION_PRE_RESTORE,  /* nothing has been made */
	ACTION_POST_RESTORE, /* all processes are there, and none has run */
	ACTION_PRE_RESUME,   /* their connections are open again; a failure is only logged from here on */
	ACTION_POST_RESUME,  /* they run */
};

#define SCRIPTS_MAX 16

/* The values of an option that may be given several times. */
struct text_list {
	const char *v[SCRIPTS_MAX];
	size_t nr;
};

struct action_hook {
	/* @root: pid of the tree's root, 0 while there is none. Return: 0, or -errno with a sentence */
	int (*run)(void *arg, enum action action, pid_t root, struct diag *diag);
	void *arg;
};

/** action_name() - What CRIU calls it: "pre-dump" and so on */
const char *action_name(enum action action);

/** action_run() - Tell @hook, if there is one. Return: 0, or -errno with a sentence */
int action_run(const struct action_hook *hook, enum action action, pid_t root, struct diag *diag);

#endif
