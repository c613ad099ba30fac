// SPDX-License-Identifier: GPL-2.0-only
/*
 * The codec: entries of protobuf messages in files. image.h draws the layout, kinds.c has what each kind holds.
 *
 * Reading trusts nothing: an entry's size is compared with what is left of the file before anything is allocated, and
 * messages that nest deeper than any real one are refused before protobuf-c, which recurses, sees them.
 */
#include "images/image.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "images/codec.h"
#include "images/dir.h"
#include "images/kinds.h"
#include "images/wire.h"

#define MAX_NESTING 32
#define BUFFER_SIZE 65536

struct image_writer {
	struct image_dir *dir;
	struct diag *diag;
	FILE *f;
	enum image_kind kind;
	unsigned int entries;
	char name[IMAGE_NAME_MAX];
};

struct image_reader {
	struct diag *diag;
	FILE *f;
	enum image_kind kind;
	uint64_t left;
	unsigned int entries;
	char *path;
};

static const ProtobufCMessageDescriptor *entry_type(enum image_kind kind, unsigned int nr)
{
	const struct kind *k = kind_of(kind);

	return nr == 0 && k->head ? k->head : k->entry;
}

static int write_bytes(struct image_writer *w, const void *data, size_t len)
{
	if (len && fwrite(data, len, 1, w->f) != 1)
		return diag_fail(w->diag, errno, "cannot write %s/%s: %s", image_dir_path(w->dir), w->name,
				 strerror(errno));
	return 0;
}

static int write_u32(struct image_writer *w, uint32_t n)
{
	n = htole32(n);
	return write_bytes(w, &n, sizeof(n));
}

int image_create(struct image_dir *dir, enum image_kind kind, uint64_t id, struct image_writer **out, struct diag *diag)
{
	const struct kind *k = kind_of(kind);
	struct image_writer *w = calloc(1, sizeof(*w));
	int fd, ret = 0;

	if (!w)
		return diag_fail(diag, ENOMEM, "out of memory");
	w->dir = dir;
	w->diag = diag;
	w->kind = kind;
	image_name(kind, id, w->name);
	fd = image_dir_temp_file(dir, w->name, diag);
	if (fd < 0) {
		free(w);
		return fd;
	}
	w->f = fdopen(fd, "w");
	if (!w->f) {
		close(fd);
		ret = diag_fail(diag, ENOMEM, "out of memory");
	} else {
		setvbuf(w->f, NULL, _IOFBF, BUFFER_SIZE);
	}
	if (!ret && k->first_magic)
		ret = write_u32(w, k->first_magic);
	if (!ret)
		ret = write_u32(w, k->magic);
	if (ret)
		image_abandon(w);
	else
		*out = w;
	return ret;
}

int image_put(struct image_writer *w, const void *msg)
{
	const ProtobufCMessageDescriptor *want = entry_type(w->kind, w->entries);
	const ProtobufCMessage *m = msg;
	uint8_t *buf;
	size_t len;
	int ret;

	if (m->descriptor != want || !protobuf_c_message_check(m))
		return diag_fail(w->diag, EINVAL, "cannot write entry %u of %s/%s: %s is %s", w->entries + 1,
				 image_dir_path(w->dir), w->name, m->descriptor->name,
				 m->descriptor != want ? "not what belongs there" : "not complete");
	len = protobuf_c_message_get_packed_size(m);
	if (len > INT32_MAX)
		return diag_fail(w->diag, EFBIG, "cannot write entry %u of %s/%s: it is too large", w->entries + 1,
				 image_dir_path(w->dir), w->name);
	buf = malloc(len ? len : 1);
	if (!buf)
		return diag_fail(w->diag, ENOMEM, "out of memory");
	protobuf_c_message_pack(m, buf);
	ret = write_u32(w, (uint32_t)len);
	if (!ret)
		ret = write_bytes(w, buf, len);
	free(buf);
	if (!ret)
		w->entries++;
	return ret;
}

int image_put_raw(struct image_writer *w, const void *data, size_t len)
{
	return write_bytes(w, data, len);
}

int image_finish(struct image_writer *w)
{
	int ret = 0;

	if (!w)
		return 0;
	if (fclose(w->f))
		ret = diag_fail(w->diag, errno, "cannot write %s/%s: %s", image_dir_path(w->dir), w->name,
				strerror(errno));
	w->f = NULL;
	if (!ret)
		ret = image_dir_finished(w->dir, w->name, w->diag);
	if (ret)
		image_abandon(w);
	else
		free(w);
	return ret;
}

void image_abandon(struct image_writer *w)
{
	if (!w)
		return;
	if (w->f)
		fclose(w->f);
	image_dir_forget(w->dir, w->name);
	free(w);
}

int image_write_one(struct image_dir *dir, enum image_kind kind, uint64_t id, const void *msg, struct diag *diag)
{
	struct image_writer *w;
	int ret = image_create(dir, kind, id, &w, diag);

	if (ret)
		return ret;
	ret = image_put(w, msg);
	if (ret) {
		image_abandon(w);
		return ret;
	}
	return image_finish(w);
}

/* Exactly @len bytes; @what they are, for the message when the file ends before. */
static int read_bytes(struct image_reader *r, void *data, uint64_t len, const char *what)
{
	if (len > r->left)
		return diag_fail(r->diag, EPROTO, "%s is truncated in %s %u: %llu bytes are missing; get a whole copy",
				 r->path, what, r->entries, (unsigned long long)(len - r->left));
	if (len && fread(data, len, 1, r->f) != 1)
		return diag_fail(r->diag, ferror(r->f) ? errno : EPROTO, "cannot read %s: %s", r->path,
				 ferror(r->f) ? strerror(errno) : "it became shorter");
	r->left -= len;
	return 0;
}

/* The kind that the magic numbers stand for, or a sentence on what the file is instead. */
static int check_magic(struct image_reader *r)
{
	uint32_t magic[2] = { 0, 0 };
	const struct kind *want = r->kind == IMG_NR_KINDS ? NULL : kind_of(r->kind);
	const struct kind *is = NULL;
	const char *name;
	enum image_kind kind;
	int ret;

	if (r->left < 4)
		return diag_fail(r->diag, EPROTO, "%s is truncated: it has no magic number; get a whole copy", r->path);
	ret = read_bytes(r, &magic[0], 4, "entry");
	magic[0] = le32toh(magic[0]);
	if (!ret && (magic[0] == IMG_COMMON_MAGIC || magic[0] == IMG_SERVICE_MAGIC)) {
		if (r->left < 4)
			return diag_fail(r->diag, EPROTO,
					 "%s is truncated: it has half a magic number; get a whole copy", r->path);
		ret = read_bytes(r, &magic[1], 4, "entry");
		magic[1] = le32toh(magic[1]);
	} else {
		magic[1] = magic[0];
		magic[0] = 0;
	}
	if (ret)
		return ret;
	kind = kind_by_magic(magic[1]);
	name = kind == IMG_NR_KINDS ? kind_foreign(magic[1]) : kind_of(kind)->name;
	if (kind != IMG_NR_KINDS)
		is = kind_of(kind);
	if (!name)
		return diag_fail(r->diag, EPROTO, "%s is not an image%s%s: its magic number is 0x%08x", r->path,
				 want ? " of kind " : "", want ? want->name : "", magic[1]);
	if (want && (!is || is->magic != want->magic))
		return diag_fail(r->diag, EPROTO, "%s is not an image of kind %s, but of kind %s", r->path, want->name,
				 name);
	if (!is)
		return diag_fail(r->diag, ENOTSUP, "%s is an image of kind %s, which Thaw does not read", r->path,
				 name);
	if (magic[0] != is->first_magic)
		return diag_fail(r->diag, EPROTO,
				 "%s is an image of kind %s, but not of format 1.1: it starts with 0x%08x", r->path,
				 name, magic[0] ? magic[0] : magic[1]);
	if (!want)
		r->kind = kind;
	return 0;
}

int image_open_stream(FILE *f, uint64_t size, const char *path, enum image_kind kind, struct image_reader **out,
		      struct diag *diag)
{
	struct image_reader *r = calloc(1, sizeof(*r));
	int ret;

	if (r)
		r->path = strdup(path);
	if (!r || !r->path) {
		fclose(f);
		free(r);
		return diag_fail(diag, ENOMEM, "out of memory");
	}
	r->f = f;
	r->left = size;
	r->diag = diag;
	r->kind = kind;
	ret = check_magic(r);
	if (ret)
		image_close(r);
	else
		*out = r;
	return ret;
}

int image_open_at(int dirfd, const char *name, const char *path, enum image_kind kind, struct image_reader **out,
		  struct diag *diag)
{
	_cleanup_close_ int fd = openat(dirfd, name, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	struct stat st;
	FILE *f;

	if (fd < 0 && errno == ENOENT)
		return diag_fail(diag, ENOENT, "%s is missing; get a whole copy of the directory", path);
	if (fd < 0 || fstat(fd, &st))
		return diag_fail(diag, errno, "cannot open %s: %s", path, strerror(errno));
	if (!S_ISREG(st.st_mode))
		return diag_fail(diag, EPROTO, "%s is not a regular file", path);
	f = fdopen(fd, "r");
	if (!f)
		return diag_fail(diag, ENOMEM, "out of memory");
	TAKE_FD(fd);
	setvbuf(f, NULL, _IOFBF, BUFFER_SIZE);
	return image_open_stream(f, (uint64_t)st.st_size, path, kind, out, diag);
}

int image_open(struct image_dir *dir, enum image_kind kind, uint64_t id, struct image_reader **out, struct diag *diag)
{
	_cleanup_free_ char *path = NULL;
	char name[IMAGE_NAME_MAX];

	image_name(kind, id, name);
	if (asprintf(&path, "%s/%s", image_dir_path(dir), name) < 0) {
		path = NULL;
		return diag_fail(diag, ENOMEM, "out of memory");
	}
	return image_open_at(image_dir_fd(dir), name, path, kind, out, diag);
}

int image_get(struct image_reader *r, void *msg)
{
	const ProtobufCMessageDescriptor *type = entry_type(r->kind, r->entries);
	_cleanup_free_ uint8_t *buf = NULL;
	ProtobufCMessage *m;
	uint32_t len;
	int ret;

	if (!r->left)
		return 0;
	r->entries++;
	ret = read_bytes(r, &len, sizeof(len), "the size of entry");
	if (ret)
		return ret;
	len = le32toh(len);
	if (len <= r->left) {
		buf = malloc(len ? len : 1);
		if (!buf)
			return diag_fail(r->diag, ENOMEM, "out of memory");
	}
	ret = read_bytes(r, buf, len, "entry");
	if (ret)
		return ret;
	m = wire_nesting_ok(type, buf, len, MAX_NESTING) ? protobuf_c_message_unpack(type, NULL, len, buf) : NULL;
	if (!m)
		return diag_fail(r->diag, EPROTO, "%s is damaged in entry %u: it is no %s", r->path, r->entries,
				 type->name);
	memcpy(msg, &m, sizeof(void *));
	return 1;
}

int image_get_raw(struct image_reader *r, void *data, size_t len)
{
	return read_bytes(r, data, len, "the data of entry");
}

int image_skip_raw(struct image_reader *r, const void *msg, uint64_t *len)
{
	const struct kind *k = kind_of(r->kind);
	uint64_t n = k->tail ? k->tail(msg, ((const ProtobufCMessage *)msg)->descriptor == k->head) : 0;
	char buf[4096];
	int ret = 0;

	if (n == TAIL_REST)
		n = r->left;
	*len = n;
	if (n > r->left)
		return read_bytes(r, NULL, n, "the data of entry");
	while (!ret && n) {
		size_t part = n < sizeof(buf) ? (size_t)n : sizeof(buf);

		ret = read_bytes(r, buf, part, "the data of entry");
		n -= part;
	}
	return ret;
}

uint64_t image_raw_left(const struct image_reader *r)
{
	return r->left;
}

enum image_kind image_reader_kind(const struct image_reader *r)
{
	return r->kind;
}

void image_close(struct image_reader *r)
{
	if (!r)
		return;
	fclose(r->f);
	free(r->path);
	free(r);
}

int image_read_one(struct image_dir *dir, enum image_kind kind, uint64_t id, void *msg, struct diag *diag)
{
	struct image_reader *r;
	void *m = NULL;
	int ret = image_open(dir, kind, id, &r, diag);

	if (ret)
		return ret;
	ret = image_get(r, &m);
	if (ret == 0)
		ret = diag_fail(diag, EPROTO, "%s is truncated: it has no entry; get a whole copy", r->path);
	else if (ret > 0 && r->left)
		ret = diag_fail(diag, EPROTO, "%s is damaged: it has more than the one entry of its kind", r->path);
	image_close(r);
	if (ret < 0) {
		image_free(m);
		return ret;
	}
	memcpy(msg, &m, sizeof(m));
	return 0;
}

void image_free(void *msg)
{
	if (msg)
		protobuf_c_message_free_unpacked(msg, NULL);
}
