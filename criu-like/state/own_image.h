/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef THAW_STATE_OWN_IMAGE_H
#define THAW_STATE_OWN_IMAGE_H

#include "criu-like/process.h"

/*
 * Images of Thaw's own, beside those of CRIU's format: a head (thaw_head) with version, checksum and the dump that it
 * belongs to, and entries. One that belongs to another dump, which CRIU has written its images over, is left aside.
 */

/** own_image_write() - Write one. @entries: protobuf-c messages of the kind's type. Return: 0, or -errno with a
 * sentence */
int own_image_write(struct dump *d, enum image_kind kind, uint64_t id, void *const *entries, size_t nr);

/* One that is being read. */
struct own_image {
	struct restore *r;
	struct image_reader *reader; /* NULL: there is none of this dump */
	char name[64];
	uint32_t checksum, sum;
};

/**
 * own_image_open() - Open one, if there is one that belongs to the dump
 * @out: for own_image_close(); without a reader there is nothing to get
 *
 * Return: 0, or -errno with a sentence (-EPROTO: damaged or newer)
 */
int own_image_open(struct restore *r, enum image_kind kind, uint64_t id, struct own_image *out);

/** own_image_get() - Read the next entry, for image_free(). Return: 1, 0 at the end, or -errno with a sentence
 * (-EPROTO: the checksum does not fit) */
int own_image_get(struct own_image *o, void *msg);

/** own_image_damaged() - Say why it cannot be right. Return: -EPROTO */
int own_image_damaged(const struct own_image *o, const char *why);

/** own_image_close() - End with one */
void own_image_close(struct own_image *o);

#endif
