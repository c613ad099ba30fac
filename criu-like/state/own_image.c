// SPDX-License-Identifier: GPL-2.0-only
#include "criu-like/state/own_image.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#define OWN_VERSION 1

static int add_checksum(uint32_t *sum, const ProtobufCMessage *msg)
{
	size_t len = protobuf_c_message_get_packed_size(msg);
	uint8_t *bytes = malloc(len + 1);

	if (!bytes)
		return -ENOMEM;
	protobuf_c_message_pack(msg, bytes);
	*sum = (uint32_t)crc32(*sum, bytes, (uInt)len);
	free(bytes);
	return 0;
}

/* What the checksum begins with, so that nobody takes an image for one of another dump because of damage. */
static uint32_t begin_checksum(const char *run_id)
{
	return run_id ? (uint32_t)crc32(0, (const Bytef *)run_id, (uInt)strlen(run_id)) : 0;
}

int own_image_write(struct dump *d, enum image_kind kind, uint64_t id, void *const *entries, size_t nr)
{
	ThawHead head = THAW_HEAD__INIT;
	struct image_writer *w;
	int ret = 0;

	head.version = OWN_VERSION;
	head.run_id = (char *)image_dir_run_id(d->dir);
	head.checksum = begin_checksum(head.run_id);
	for (size_t i = 0; i < nr && !ret; i++)
		ret = add_checksum(&head.checksum, entries[i]);
	if (ret)
		return diag_fail(d->diag, ENOMEM, "out of memory");
	ret = image_create(d->dir, kind, id, &w, d->diag);
	if (ret < 0)
		return ret;
	ret = image_put(w, &head);
	for (size_t i = 0; i < nr && !ret; i++)
		ret = image_put(w, entries[i]);
	if (ret) {
		image_abandon(w);
		return ret;
	}
	return image_finish(w);
}

int own_image_damaged(const struct own_image *o, const char *why)
{
	return diag_fail(o->r->diag, EPROTO, "%s/%s is damaged: %s", image_dir_path(o->r->dir), o->name, why);
}

static bool is_of_this_dump(const struct own_image *o, const ThawHead *head)
{
	const char *run = image_dir_run_id(o->r->dir);

	return !head->run_id || (run && !strcmp(head->run_id, run));
}

static int leave_aside(struct own_image *o)
{
	ProtobufCMessage *entry;
	int ret;

	while ((ret = own_image_get(o, &entry)) > 0)
		image_free(entry);
	own_image_close(o);
	if (!ret)
		diag_warn(o->r->diag, "%s/%s is of another dump and left aside", image_dir_path(o->r->dir), o->name);
	return ret;
}

static int read_head(struct own_image *o)
{
	ThawHead *head;
	int ret = image_get(o->reader, &head);

	if (ret <= 0)
		return ret ? ret : own_image_damaged(o, "it is empty");
	ret = 0;
	o->checksum = head->checksum;
	o->sum = begin_checksum(head->run_id);
	if (head->version != OWN_VERSION)
		ret = diag_fail(o->r->diag, EPROTO, "%s/%s has the version %u, this thaw knows %d",
				image_dir_path(o->r->dir), o->name, head->version, OWN_VERSION);
	else if (!is_of_this_dump(o, head))
		ret = leave_aside(o);
	image_free(head);
	return ret;
}

int own_image_open(struct restore *r, enum image_kind kind, uint64_t id, struct own_image *out)
{
	int ret;

	*out = (struct own_image){ .r = r };
	if (!image_exists(r->dir, kind, id))
		return 0;
	image_name(kind, id, out->name);
	ret = image_open(r->dir, kind, id, &out->reader, r->diag);
	if (ret < 0)
		return ret;
	ret = read_head(out);
	if (ret)
		own_image_close(out);
	return ret;
}

int own_image_get(struct own_image *o, void *msg)
{
	ProtobufCMessage *entry;
	int ret = o->reader ? image_get(o->reader, &entry) : 0;

	if (ret == 0 && o->sum != o->checksum && o->reader)
		return own_image_damaged(o, "its checksum does not fit");
	if (ret <= 0)
		return ret;
	if (add_checksum(&o->sum, entry)) {
		image_free(entry);
		return diag_fail(o->r->diag, ENOMEM, "out of memory");
	}
	*(ProtobufCMessage **)msg = entry;
	return 1;
}

void own_image_close(struct own_image *o)
{
	image_close(o->reader);
	o->reader = NULL;
}
