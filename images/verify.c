// SPDX-License-Identifier: GPL-2.0-only
#include "images/verify.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/util.h"
#include "images/codec.h"
#include "images/kinds.h"
#include "images/verify_int.h"

/* Where @n is in the set, or belongs. */
static size_t set_find(const struct set *s, uint64_t n)
{
	size_t low = 0, high = s->nr;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (s->v[mid] < n)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

void set_add(struct verify *v, struct set *s, uint64_t n)
{
	size_t at = set_find(s, n);

	if (at < s->nr && s->v[at] == n)
		return;
	if (grow(&s->v, s->nr, &s->cap, sizeof(*s->v))) {
		v->out_of_memory = true;
		return;
	}
	memmove(s->v + at + 1, s->v + at, (s->nr - at) * sizeof(*s->v));
	s->v[at] = n;
	s->nr++;
}

bool set_has(const struct set *s, uint64_t n)
{
	size_t at = set_find(s, n);

	return at < s->nr && s->v[at] == n;
}

void fault(struct verify *v, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vfprintf(v->out, fmt, ap);
	va_end(ap);
	fputc('\n', v->out);
	v->faults++;
}

/* Read all entries; @own has the sentence when that fails. */
static int read_entries(struct verify *v, struct image_reader *r, const char *name, entry_fn fn)
{
	uint64_t len;
	void *msg;
	int ret;

	while ((ret = image_get(r, &msg)) > 0) {
		if (fn)
			fn(v, name, msg);
		ret = image_skip_raw(r, msg, &len);
		image_free(msg);
		if (ret)
			break;
	}
	return ret;
}

void each_entry(struct verify *v, enum image_kind kind, uint64_t id, bool must, entry_fn fn)
{
	struct image_reader *r;
	struct diag own;
	char name[64];

	image_name(kind, id, name);
	if (!must && !image_exists(v->dir, kind, id))
		return;
	diag_init(&own, -1, DIAG_ERROR);
	/* A file that is there was decoded before, and its faults counted. */
	if (image_open(v->dir, kind, id, &r, &own)) {
		if (own.code == ENOENT)
			fault(v, "%s is missing", name);
		return;
	}
	read_entries(v, r, name, fn);
	image_close(r);
}

void *the_entry(struct verify *v, enum image_kind kind, uint64_t id)
{
	struct diag own;
	void *msg = NULL;
	char name[64];

	diag_init(&own, -1, DIAG_ERROR);
	if (!image_exists(v->dir, kind, id))
		fault(v, "%s is missing", image_name(kind, id, name));
	else if (image_read_one(v->dir, kind, id, &msg, &own))
		fault(v, "%s", own.text);
	return msg;
}

bool check_pagemap(struct verify *v, enum image_kind kind, uint64_t id, struct pagemap *map)
{
	struct page_store *store;
	struct diag own;
	char name[64];

	image_name(kind, id, name);
	diag_init(&own, -1, DIAG_ERROR);
	if (pagemap_read_whole(v->dir, kind, id, map, &own)) {
		fault(v, "%s", own.text);
		return false;
	}
	if (page_store_open(v->dir, map, &store, &own))
		fault(v, "%s: %s", name, own.text);
	else {
		check_pages(v, map, store);
		page_store_close(store);
	}
	return true;
}

/* Decode every image in the directory; an image of the format that Thaw does not read is named and no fault. */
static int check_all_images(struct verify *v, struct diag *diag)
{
	_cleanup_closedir_ DIR *d = NULL;
	struct dirent *e;
	int fd = openat(image_dir_fd(v->dir), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	d = fd < 0 ? NULL : fdopendir(fd);
	if (!d) {
		int code = errno;

		if (fd >= 0)
			close(fd);
		return diag_fail(diag, code, "cannot list %s: %s", image_dir_path(v->dir), strerror(code));
	}
	while ((e = readdir(d))) {
		enum image_kind kind = kind_by_name(e->d_name, NULL);
		size_t len = strlen(e->d_name);
		struct image_reader *r;
		struct diag own;
		int ret;

		if (kind_pages(e->d_name) || e->d_name[0] == '.')
			continue;
		if (kind == IMG_NR_KINDS && (len < 4 || strcmp(e->d_name + len - 4, ".img") != 0))
			continue;
		diag_init(&own, -1, DIAG_ERROR);
		ret = image_open_at(fd, e->d_name, e->d_name, kind, &r, &own);
		if (!ret) {
			ret = read_entries(v, r, e->d_name, NULL);
			image_close(r);
		}
		if (ret == -ENOTSUP)
			fprintf(v->out, "note: %s\n", own.text);
		else if (ret)
			fault(v, "%s", own.text);
	}
	return 0;
}

static void free_sets(struct verify *v)
{
	free(v->files.v);
	free(v->file_ids.v);
	free(v->pipes.v);
	free(v->fifos.v);
	free(v->ttys.v);
	free(v->inodes.v);
	free(v->pids.v);
	free(v->shmems.v);
	free(v->vms.v);
	free(v->fss.v);
	free(v->tables.v);
}

int image_verify(const char *path, FILE *out, struct diag *diag)
{
	struct verify v = { .out = out };
	int ret = image_dir_open(path, &v.dir, diag);

	if (ret)
		return ret;
	ret = check_all_images(&v, diag);
	if (!ret) {
		load_files(&v);
		check_files(&v);
		check_processes(&v);
	}
	if (!ret && v.out_of_memory)
		ret = diag_fail(diag, ENOMEM, "out of memory");
	free_sets(&v);
	image_dir_close(v.dir);
	return ret ? ret : v.faults;
}
