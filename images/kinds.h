/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef THAW_IMAGES_KINDS_H
#define THAW_IMAGES_KINDS_H

#include <stdbool.h>
#include <stdint.h>

#include <protobuf-c/protobuf-c.h>

#include "images/image.h"

/* The kinds of images, one row each: name, magic and messages. Inside images/ only. */

#define IMG_COMMON_MAGIC 0x54564319u
#define IMG_SERVICE_MAGIC 0x55105940u

/* What image_tail() says when all the rest of the file belongs to the entry. */
#define TAIL_REST UINT64_MAX

enum kind_numbering { KIND_SINGLE, KIND_DECIMAL, KIND_HEX };

struct kind {
	const char *name;   /* of the magic, as crit shows it */
	const char *prefix; /* the file's name is this, the number if any, and the suffix */
	const char *suffix;
	enum kind_numbering numbering;
	uint32_t magic;
	uint32_t first_magic;			      /* before it in the file; 0: none */
	const ProtobufCMessageDescriptor *head;	      /* type of the first entry where it differs, or NULL */
	const ProtobufCMessageDescriptor *entry;      /* type of the (other) entries */
	uint64_t (*tail)(const void *msg, bool head); /* raw bytes behind an entry, or TAIL_REST; NULL: none */
};

/** kind_of() - The row of a kind */
const struct kind *kind_of(enum image_kind kind);

/**
 * kind_by_name() - Which kind a file's name stands for
 * @id: set to the number in the name, or 0; may be NULL
 *
 * Return: the kind, or IMG_NR_KINDS when there is none
 */
enum image_kind kind_by_name(const char *name, uint64_t *id);

/** kind_by_magic() - The first kind with a magic number, IMG_NR_KINDS when there is none */
enum image_kind kind_by_magic(uint32_t magic);

/** kind_foreign() - The name of a kind of the format that Thaw does not read, or NULL when unknown */
const char *kind_foreign(uint32_t magic);

/** kind_pages() - Is this the name of a page store (pages-N.img or pages-N.d)? */
bool kind_pages(const char *name);

/** kind_sums() - Is this the name of the checksums of a page store (pages-N.sum)? */
bool kind_sums(const char *name);

/** kind_wset() - Is this the name of the working set of a page store (pages-N.wset)? */
bool kind_wset(const char *name);

#endif
