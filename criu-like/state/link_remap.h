/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef THAW_STATE_LINK_REMAP_H
#define THAW_STATE_LINK_REMAP_H

#include "criu-like/state/file_kind.h"

/*
 * --link-remap: open files whose name has been deleted, while they have others that nobody can find. A dump links each
 * to a new name, link_remap.N beside the old one; remap-fpath.img says which entry of files.img is to be found under
 * which other's name. A restore gives the file its old name for a moment, and deletes both in the end.
 */

/**
 * link_remap_note() - Remember to link the file of the entry @e, behind @link of process @p
 * @link_id: set to the id of the entry with the new name
 *
 * Return: 0, or -errno with a sentence
 */
int link_remap_note(struct dump *d, const struct process *p, const char *link, const RegFileEntry *e,
		    uint32_t *link_id);

/** link_remap_make() - Make the links. Return: 0, or -errno with a sentence */
int link_remap_make(struct dump *d);

/** link_remap_undo() - Delete them again, after a dump that failed */
void link_remap_undo(struct dump *d);

/** link_remap_read() - Note that entry @id is to be found under the name of entry @link_id. Return: 0, or -errno with a
 * sentence */
int link_remap_read(struct restore *r, uint32_t id, uint32_t link_id);

/** link_remap_has() - Is the entry @id to be found so? */
bool link_remap_has(const struct restore *r, uint32_t id);

/** link_remap_open() - Open it. Return: a descriptor, or -errno with a sentence */
int link_remap_open(struct restore *r, const RegFileEntry *e, uint32_t flags);

/** link_remap_done() - Delete the links: the tree has its files */
void link_remap_done(struct restore *r);

#endif
