/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef THAW_LAZY_OBJECTS_H
#define THAW_LAZY_OBJECTS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "lazy-pages/serve.h"

/*
 * Objects of shared memory (shared anonymous memory) that processes of a session map. An object is a space too, whose
 * addresses are offsets in the object; objects.c says how it is filled. All functions are the owner thread's.
 */

struct objects;

/** objects_new() - Nothing yet. Return: it, or NULL when out of memory */
struct objects *objects_new(void);

/** objects_free() - Forget all that is known; takes NULL */
void objects_free(struct objects *o);

/**
 * objects_take() - An object that a restore hands over
 * @place: its session's
 * @number: in the images
 * @fd: descriptor of it, the server's from now on
 *
 * Return: 0, or -errno with a sentence
 */
int objects_take(struct server *s, unsigned place, uint64_t number, int fd);

/** objects_adopt() - The object that a dead server left in @row. Return: 0, or -errno with a sentence */
int objects_adopt(struct server *s, struct shared_row *row);

/** objects_join() - Does a process with pages of @src map objects that its session has? Sets what @row says of it */
void objects_join(const struct server *s, struct shared_row *row, const struct source *src);

/**
 * objects_fault() - Serve a fault of a process, if it is in shared memory
 * @pages: set to how many were filled
 *
 * Return: 0: served, -ENOENT: it is not; -EAGAIN, -ESRCH: as fill_piece()
 */
int objects_fault(struct server *s, struct space *sp, uint64_t addr, uint64_t *pages);

/**
 * objects_unknown() - A process has touched a page that no image has: see to it that a page of zeroes is right there
 *
 * Return: 0: it is; -EAGAIN: ask again later
 */
int objects_unknown(struct server *s, struct space *sp, uint64_t addr);

/** objects_before_read() - Before events of a process are read. Return: 0, or -errno with a sentence */
int objects_before_read(struct server *s, struct space *sp);

/**
 * objects_event() - An event of a process that has been read and not been applied
 * @replay: a server that is dead has read it
 *
 * Return: 0, or -errno with a sentence
 */
int objects_event(struct server *s, struct space *sp, const struct uffd_msg *msg, bool replay);

/** objects_after_read() - When they have been applied */
void objects_after_read(struct server *s, struct space *sp);

/** objects_keep() - Is a space wanted still, though nothing of its own is missing? */
bool objects_keep(const struct server *s, const struct space *sp);

/** objects_orphan() - Is this an object that no process of its session maps any more? */
bool objects_orphan(const struct server *s, const struct space *sp);

/** objects_retire() - Before the space of an object is closed */
void objects_retire(struct server *s, struct space *sp);

/** objects_poison() - Make all shared memory of a process that it has not touched fail. Return: 0, or -errno */
int objects_poison(struct image_dir *dir, const struct shared_row *row, struct diag *diag);

#endif
