/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef THAW_STATE_GHOST_H
#define THAW_STATE_GHOST_H

#include "criu-like/state/file_kind.h"

/*
 * Files without a name: open or mapped, but deleted. Their content goes into the images, ghost-file-N.img;
 * remap-fpath.img says which entries of files.img lead there.
 */

/** ghost_note() - Remember that the entry @id is a deleted file, behind @link of process @p. Return: 0, or -errno with
 * a sentence */
int ghost_note(struct dump *d, const struct process *p, const char *link, const char *name, const struct stat *st,
	       uint32_t id);

/** ghost_note_linked() - The entry @id is to be found under the name of entry @link_id. Return: 0, or -errno with a
 * sentence */
int ghost_note_linked(struct dump *d, uint32_t id, uint32_t link_id);

/** ghost_note_remap() - An entry of remap-fpath.img: the entry @id of files.img is to be found by way of @remap_id.
 * Return: 0, or -errno with a sentence */
int ghost_note_remap(struct dump *d, uint32_t id, uint32_t remap_id, RemapType type);

/** ghost_write() - Write the contents; the processes are still frozen. Return: 0, or -errno with a sentence */
int ghost_write(struct dump *d);

/** ghost_free_dump() - Free the notes */
void ghost_free_dump(struct file_table *t);

/** ghost_read() - Read which entries are deleted files. Return: 0, or -errno with a sentence */
int ghost_read(struct restore *r);

/** ghost_has() - Is the entry @id a deleted file? */
bool ghost_has(const struct restore *r, uint32_t id);

/** ghost_open() - Open it; the first time it is made, and deleted again. Return: a descriptor, or -errno with a
 * sentence */
int ghost_open(struct restore *r, const RegFileEntry *e, uint32_t flags);

/** ghost_free_restore() - Free what ghost_read() made */
void ghost_free_restore(struct file_opener *o);

#endif
