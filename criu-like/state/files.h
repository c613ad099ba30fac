/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef THAW_STATE_FILES_H
#define THAW_STATE_FILES_H

#include <stdint.h>

#include "criu-like/process.h"

/*
 * Open files, both halves.
 *
 * An *open file* (the kernel's file description) has one id and one entry in files.img; each descriptor of each process
 * that leads to it has an entry in the process's fdinfo image. Mapped files, the executable, the working and the root
 * directory are entries of files.img too.
 *
 * Dump: files_dump_init(); files_dump_process() and fs_dump() for each frozen process; files_dump_peers() once, before
 * anything in the processes is changed: until then every refusal has been made. files_dump_area() and files_dump_link()
 * at any time while they are frozen; files_write() at the end (all contents have been copied by then).
 *
 * Restore: the restorer opens every file in its own process, at descriptors that no process of the images has, and the
 * tasks inherit them. Each task then moves them into place: fs_tell() first, files_tell() last (it closes all the
 * rest), both after the mappings are made and before credentials and limits are set.
 */

/** files_dump_init() - Start with no open files. Return: 0, or -errno with a sentence */
int files_dump_init(struct dump *d);

/** files_dump_free() - Free what files_dump_init() and its followers made, except what hangs from the arena */
void files_dump_free(struct dump *d);

/**
 * files_dump_process() - Read the descriptors of a frozen process
 * @p: needs pid, pidfd, proc_fd; p->fds and p->nr_fds are set, allocated from the arena
 *
 * Nothing in the process changes. Whatever cannot be restored is refused here, by object, descriptor and pid.
 *
 * Return: 0, or -errno with a sentence
 */
int files_dump_process(struct dump *d, struct process *p);

/**
 * files_dump_peers() - After files_dump_process() of all processes: what connects two open files
 *
 * Refuses pipes and sockets whose other end is outside the tree, and finds the targets of epoll instances.
 *
 * Return: 0, or -errno with a sentence
 */
int files_dump_peers(struct dump *d);

/**
 * files_dump_link() - The file behind a symbolic link of /proc/PID
 * @name: "exe", "cwd" or "root"
 * @id: set to the id of its entry in files.img
 *
 * Return: 0, or -errno with a sentence
 */
int files_dump_link(struct dump *d, struct process *p, const char *name, uint32_t *id);

/**
 * files_dump_area() - The file that a VMA maps
 * @a: a VMA of @p with a file
 * @id: set to the id of its entry in files.img; areas that map one file share it
 * @fdflags: set to the open flags that the mapping needs (O_RDONLY, O_RDWR)
 *
 * Return: 0, or -errno with a sentence
 */
int files_dump_area(struct dump *d, struct process *p, const struct area *a, uint32_t *id, uint32_t *fdflags);

/**
 * files_dump_resume() - Let what files_write() has stopped go on: TCP connections
 *
 * For a tree that goes on, before it does. Takes a dump that has failed anywhere, and undoes it.
 */
void files_dump_resume(struct dump *d, bool failed);

/** files_describe() - What the inventory says about files and sockets; after files_write() */
void files_describe(struct dump *d, InventoryEntry *inv);

/** files_write() - Write files.img and the images with the contents of pipes and sockets. Return: 0, or -errno with a
 * sentence */
int files_write(struct dump *d);

/**
 * files_read() - Read files.img and the images with contents
 *
 * Return: 0, or -errno with a sentence (-EPROTO: an id twice, a kind that is not known)
 */
int files_read(struct restore *r);

/**
 * files_open_all() - Open all files that a process of the tree has a descriptor for, or as directory
 *
 * Needs the fds and fs of all processes. Raises the own RLIMIT_NOFILE to its hard limit.
 *
 * Return: 0, or -errno with a sentence
 */
int files_open_all(struct restore *r);

/** files_dup() - Duplicate a descriptor out of the way of those in the images, after files_open_all(). Return: the new
 * one, or -errno */
int files_dup(const struct restore *r, int fd);

/** files_fd() - The descriptor of the open file @id. Return: it, or -errno with a sentence */
int files_fd(struct restore *r, uint32_t id);

/**
 * files_open_mapped() - Open the file of a mapping, or an executable, and check that it is still the one
 * @open_flags: O_RDONLY or O_RDWR
 *
 * Return: a descriptor that lives until files_close(), the same one for the same arguments; or -errno with a sentence
 */
int files_open_mapped(struct restore *r, uint32_t id, uint32_t open_flags);

/**
 * files_tell() - Append the calls that give a task its descriptors, and close all others
 *
 * Return: 0, or -errno with a sentence (a batch without room is found by batch_end())
 */
int files_tell(struct restore *r, struct process *p, struct batch *b);

/**
 * files_room() - Room in a batch for fs_tell() and files_tell() of a process, after files_open_all()
 * @records: added to
 * @bytes: data bytes, added to
 */
void files_room(const struct restore *r, const struct process *p, size_t *records, size_t *bytes);

/** files_go() - The last thing before the tree goes: let TCP connections go on. Return: 0, or -errno with a sentence */
int files_go(struct restore *r);

/** files_close() - Close the restorer's own descriptors and free everything; takes a restore without files */
void files_close(struct restore *r);

/**
 * fs_dump() - Working directory, root directory and umask into p->fs
 *
 * Return: 0, or -errno with a sentence
 */
int fs_dump(struct dump *d, struct process *p);

/** fs_tell() - Append the calls that set them; before files_tell(). Return: 0, or -errno with a sentence */
int fs_tell(struct restore *r, struct process *p, struct batch *b);

#endif
