/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef THAW_TESTS_IMAGE_SAMPLE_H
#define THAW_TESTS_IMAGE_SAMPLE_H

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/cleanup.h"
#include "common/diag.h"
#include "common/util.h"
#include "images/kinds.h"
#include "images/pagestore.h"
#include "images/proto/all.h"

/* What the tests of images share: a temporary directory, whole files, and messages with every field set. */

struct fixture {
	char path[64];
	struct diag diag;
};

static inline int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	diag_init(&f->diag, -1, DIAG_ERROR);
	strcpy(f->path, "/tmp/thaw-images-XXXXXX");
	*state = f;
	return mkdtemp(f->path) ? 0 : -1;
}

static inline int teardown(void **state)
{
	struct fixture *f = *state;
	char command[128];
	int ret;

	snprintf(command, sizeof(command), "rm -rf '%s'", f->path);
	ret = system(command);
	free(f);
	return ret;
}

static inline const char *path_of(struct fixture *f, const char *name)
{
	static char path[512];

	snprintf(path, sizeof(path), "%s/%s", f->path, name);
	return path;
}

static inline size_t load(struct fixture *f, const char *name, uint8_t *buf, size_t size)
{
	_cleanup_close_ int fd = open(path_of(f, name), O_RDONLY);
	ssize_t len = fd < 0 ? -1 : full_read(fd, buf, size);

	assert_true(len >= 0 && (size_t)len < size);
	return (size_t)len;
}

static inline void store(struct fixture *f, const char *name, const void *buf, size_t len)
{
	_cleanup_close_ int fd = open(path_of(f, name), O_WRONLY | O_CREAT | O_TRUNC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(full_write(fd, buf, len), 0);
}

static inline void put_inventory(struct fixture *f, struct image_dir *dir)
{
	InventoryEntry inv = INVENTORY_ENTRY__INIT;

	inv.img_version = 2;
	assert_int_equal(image_write_one(dir, IMG_INVENTORY, 0, &inv, &f->diag), 0);
}

static inline size_t value_size(ProtobufCType type)
{
	switch (type) {
	case PROTOBUF_C_TYPE_INT64:
	case PROTOBUF_C_TYPE_SINT64:
	case PROTOBUF_C_TYPE_SFIXED64:
	case PROTOBUF_C_TYPE_UINT64:
	case PROTOBUF_C_TYPE_FIXED64:
	case PROTOBUF_C_TYPE_STRING:
	case PROTOBUF_C_TYPE_MESSAGE:
		return 8;
	case PROTOBUF_C_TYPE_BYTES:
		return sizeof(ProtobufCBinaryData);
	default:
		return 4;
	}
}

static inline ProtobufCMessage *make_message(const ProtobufCMessageDescriptor *type, unsigned int depth);

static inline void make_value(const ProtobufCFieldDescriptor *f, void *at, unsigned int nr, unsigned int depth)
{
	uint64_t n = f->id * 3 + nr;

	if (f->type == PROTOBUF_C_TYPE_MESSAGE) {
		*(ProtobufCMessage **)at = make_message(f->descriptor, depth + 1);
	} else if (f->type == PROTOBUF_C_TYPE_STRING) {
		*(char **)at = strdup(f->name);
	} else if (f->type == PROTOBUF_C_TYPE_BYTES) {
		*(ProtobufCBinaryData *)at = (ProtobufCBinaryData){ 5, malloc(5) };
		memcpy(((ProtobufCBinaryData *)at)->data, "ab\0\xffz", 5);
	} else if (f->type == PROTOBUF_C_TYPE_ENUM) {
		const ProtobufCEnumDescriptor *e = f->descriptor;

		*(int *)at = e->values[n % e->n_values].value;
	} else if (f->type == PROTOBUF_C_TYPE_BOOL) {
		*(int *)at = (int)(nr & 1);
	} else {
		/* Small, so that numbers of raw bytes stay small, and little-endian: one way to write all integers. */
		memcpy(at, &n, value_size(f->type));
	}
}

/* A message with all fields set, lists twice; for image_free(). */
static inline ProtobufCMessage *make_message(const ProtobufCMessageDescriptor *type, unsigned int depth)
{
	ProtobufCMessage *msg = calloc(1, type->sizeof_message);

	type->message_init(msg);
	for (unsigned int i = 0; i < type->n_fields; i++) {
		const ProtobufCFieldDescriptor *f = &type->fields[i];
		char *at = (char *)msg + f->offset;

		if (f->label == PROTOBUF_C_LABEL_REPEATED) {
			if (depth > 4)
				continue;
			*(size_t *)((char *)msg + f->quantifier_offset) = 2;
			*(void **)at = calloc(2, value_size(f->type));
			at = *(char **)at;
			make_value(f, at + value_size(f->type), 1, depth);
		} else if (f->label == PROTOBUF_C_LABEL_OPTIONAL && f->type != PROTOBUF_C_TYPE_STRING &&
			   f->type != PROTOBUF_C_TYPE_MESSAGE) {
			*(protobuf_c_boolean *)((char *)msg + f->quantifier_offset) = 1;
		}
		make_value(f, at, 0, depth);
	}
	return msg;
}

/* Append an entry with all fields set, and the raw bytes that belong to it. */
static inline void put_sample(struct image_writer *w, enum image_kind kind, bool head)
{
	static const uint8_t raw[4096] = "raw bytes";
	const struct kind *k = kind_of(kind);
	ProtobufCMessage *msg = make_message(head && k->head ? k->head : k->entry, 0);
	uint64_t len = k->tail ? k->tail(msg, head && k->head) : 0;

	assert_int_equal(image_put(w, msg), 0);
	assert_int_equal(image_put_raw(w, raw, len == TAIL_REST ? 100 : len), 0);
	image_free(msg);
}

/* A directory with one file of each kind, three entries in each, id 18. It holds together in no other way. */
static inline void write_samples(struct fixture *f)
{
	struct image_dir *dir;

	assert_int_equal(image_dir_create(f->path, &dir, &f->diag), 0);
	put_inventory(f, dir);
	for (enum image_kind kind = 0; kind < IMG_NR_KINDS; kind++) {
		struct image_writer *w;

		if (kind == IMG_INVENTORY)
			continue;
		assert_int_equal(image_create(dir, kind, 18, &w, &f->diag), 0);
		put_sample(w, kind, true);
		if (kind != IMG_GHOST_FILE) {
			put_sample(w, kind, false);
			put_sample(w, kind, false);
		}
		assert_int_equal(image_finish(w), 0);
	}
	assert_int_equal(image_dir_commit(dir, &f->diag), 0);
	image_dir_close(dir);
}

#endif
