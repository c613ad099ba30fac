/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef THAW_IMAGES_CODEC_H
#define THAW_IMAGES_CODEC_H

#include <stdio.h>

#include "images/image.h"
#include "images/pagestore.h"

/* What the codec offers inside images/ beyond image.h. */

/**
 * image_open_at() - Open an image by its file's name
 * @dirfd: directory that @name is in
 * @path: for messages
 * @kind: what it must be, or IMG_NR_KINDS to go by its magic
 *
 * Return: 0, or -errno with a sentence as image_open(); -ENOTSUP: a kind of the format that Thaw does not read
 */
int image_open_at(int dirfd, const char *name, const char *path, enum image_kind kind, struct image_reader **out,
		  struct diag *diag);

/**
 * image_open_stream() - As image_open_at(), from a stream that image_close() closes (also on failure)
 * @size: bytes in it
 */
int image_open_stream(FILE *f, uint64_t size, const char *path, enum image_kind kind, struct image_reader **out,
		      struct diag *diag);

/** image_reader_kind() - What the image is */
enum image_kind image_reader_kind(const struct image_reader *r);

/**
 * image_skip_raw() - Go past the raw bytes behind the entry that image_get() returned last
 * @len: set to their number
 *
 * Return: 0, or -errno with a sentence
 */
int image_skip_raw(struct image_reader *r, const void *msg, uint64_t *len);

/** pagemap_read_from() - As pagemap_read(), from an image of @kind that is open; @name is for messages */
int pagemap_read_from(struct image_reader *r, enum image_kind kind, const char *name, struct pagemap *out,
		      struct diag *diag);

#endif
