/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef THAW_RPC_OPTIONS_H
#define THAW_RPC_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "common/arena.h"
#include "common/diag.h"
#include "rpc.pb-c.h"

/*
 * The options of a request as a command line: what a command accepts, refuses or does with an option then is the same
 * whichever way it comes, and so is the sentence.
 */

#define RPC_LOG_FILE "criu.log" /* where a request does not say: CRIU's default */

struct rpc_words {
	char **argv; /* in the arena, with the command's name and a NULL at the end */
	size_t nr, cap;
	struct arena *arena;
};

/* Whom the descriptors belong to, and whether it has started this process itself. */
struct rpc_caller {
	pid_t pid;
	bool own; /* `thaw swrk`: a child of the caller, which inherits its descriptors */
};

/** rpc_words_add() - Append a word made as by printf(3). Return: 0, or -ENOMEM with a sentence */
int rpc_words_add(struct rpc_words *w, struct diag *diag, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/**
 * rpc_options_words() - Append all that a request's options say
 * @opts: the options; NULL: none
 *
 * What stands for no option of a command (pid, directories, log file, actions) is left to the caller.
 *
 * Return: 0, or -errno with a sentence that names the option that cannot be served (-EBADRQC)
 */
int rpc_options_words(const RpcOptions *opts, const struct rpc_caller *caller, struct rpc_words *w, struct diag *diag);

/**
 * rpc_directory() - A path by which a descriptor of the caller, open on a directory, can be reached
 * @name: of the option, for messages
 * @path: set to it, in the arena
 *
 * Return: 0, or -errno with a sentence
 */
int rpc_directory(const char *name, int fd, const struct rpc_caller *caller, struct arena *arena, const char **path,
		  struct diag *diag);

#endif
