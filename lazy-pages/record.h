/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef THAW_LAZY_RECORD_H
#define THAW_LAZY_RECORD_H

#include "images/wset.h"
#include "lazy-pages/shared.h"
#include "lazy-pages/space.h"

/*
 * The record of what was asked for by touching it, --record: an entry in shared memory for each chunk of a page store
 * (WSET_CHUNK pages), in the order in which the chunks were first touched. It outlives the server that made it, and is
 * written to the images as their working sets once the service is over.
 */

struct record;

/** record_new() - Start a record, or go on with that of a dead server. Return: it, or NULL when out of memory */
struct record *record_new(struct shared *sh);

/** record_fault() - @nr pages at the start of @p were filled for a fault; does nothing when @r is NULL */
void record_fault(struct record *r, const struct space *sp, const struct piece *p, uint64_t nr);

/** record_set() - What was recorded earlier stays in the set: replayed, it will not be asked for again. Takes NULL */
void record_set(struct record *r, const struct space *sp, const struct wset *set);

/** record_free() - Forget a record (not what is in shared memory); takes NULL */
void record_free(struct record *r);

/** record_write() - Write the working sets beside the images in @images_dir. Return: 0, or -errno with a sentence */
int record_write(const struct shared *sh, const char *images_dir, struct diag *diag);

#endif
