/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef THAW_STATE_DEAD_H
#define THAW_STATE_DEAD_H

#include "criu-like/state/file_kind.h"

/*
 * What is left of processes that are no more: pidfds, and files and directories under /proc. A restore makes a process
 * for a moment, opens what there is of it, and ends it.
 */

/** dead_note() - Note that the entry @id of files.img is of the dead process @pid. Return: 0, or -errno with a sentence
 */
int dead_note(struct dump *d, uint32_t id, pid_t pid);

/** dead_read() - Read such a note. Return: 0, or -errno with a sentence */
int dead_read(struct restore *r, uint32_t pid);

/** dead_pid() - The dead process that a file is of. Return: its pid, 0: of none */
pid_t dead_pid(const struct restore *r, const RegFileEntry *e);

/** dead_open() - Open a file under /proc of the dead process @pid. Return: a descriptor, or -errno with a sentence */
int dead_open(struct restore *r, const RegFileEntry *e, pid_t pid, uint32_t flags);

/** dead_open_pidfds() - Open all pidfds of the same dead process as @f. Return: 0, or -errno with a sentence */
int dead_open_pidfds(struct restore *r, struct opened_file *f);

#endif
