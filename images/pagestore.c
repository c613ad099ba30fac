// SPDX-License-Identifier: GPL-2.0-only
#include "images/pagestore.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/util.h"
#include "images/store.h"

static const struct store_type *const types[] = { &store_raw, &store_files };

static void store_name(const struct store_type *type, uint32_t pages_id, char buf[static IMAGE_NAME_MAX])
{
	snprintf(buf, IMAGE_NAME_MAX, "pages-%u%s", pages_id, type->suffix);
}

int page_writer_create(struct image_dir *dir, const char *store, uint32_t pages_id, struct page_writer **out,
		       struct diag *diag)
{
	const struct store_type *type = NULL;
	struct page_writer *w;
	int ret;

	for (size_t i = 0; i < ARRAY_SIZE(types); i++)
		if (!strcmp(types[i]->name, store))
			type = types[i];
	if (!type)
		return diag_fail(diag, EINVAL, "there is no page store '%s'; use raw or files", store);
	w = calloc(1, type->writer_size);
	if (!w)
		return diag_fail(diag, ENOMEM, "out of memory");
	w->type = type;
	w->dir = dir;
	w->diag = diag;
	w->pages_id = pages_id;
	w->sums.lock = (pthread_mutex_t)PTHREAD_MUTEX_INITIALIZER;
	store_name(type, pages_id, w->name);
	ret = type->create(w);
	if (ret)
		free(w);
	else
		*out = w;
	return ret;
}

int page_writer_put(struct page_writer *w, const struct page_run *runs, size_t nr, const void *data)
{
	uint64_t pages = 0;

	for (size_t i = 0; i < nr; i++) {
		if (runs[i].index != runs[0].index + pages)
			return diag_fail(w->diag, EINVAL, "the run at 0x%llx does not continue the piece of %s",
					 (unsigned long long)runs[i].vaddr, w->name);
		pages += runs[i].nr_pages;
	}
	if (!pages)
		return 0;
	if (sums_add(&w->sums, runs[0].index, data, pages))
		return diag_fail(w->diag, ENOMEM, "out of memory");
	return w->type->put(w, runs, nr, data);
}

int page_writer_finish(struct page_writer *w)
{
	int ret;

	if (!w)
		return 0;
	ret = w->type->finish(w);
	if (!ret)
		ret = sums_write(&w->sums, w->dir, w->pages_id, w->diag);
	if (!ret)
		ret = image_dir_finished(w->dir, w->name, w->diag);
	if (ret)
		image_dir_forget(w->dir, w->name);
	sums_free(&w->sums);
	free(w);
	return ret;
}

void page_writer_abandon(struct page_writer *w)
{
	if (!w)
		return;
	w->type->finish(w);
	image_dir_forget(w->dir, w->name);
	sums_free(&w->sums);
	free(w);
}

/* The kind of store that is there, and its name; the raw one for a pagemap without pages when there is none. */
static const struct store_type *find_store(struct image_dir *dir, const struct pagemap *map,
					   char name[static IMAGE_NAME_MAX])
{
	for (size_t i = 0; i < ARRAY_SIZE(types); i++) {
		store_name(types[i], map->pages_id, name);
		if (!faccessat(image_dir_fd(dir), name, F_OK, 0))
			return types[i];
	}
	return NULL;
}

/* The checksums, where there are any. */
static int open_sums(struct page_store *s, struct image_dir *dir, struct diag *diag)
{
	_cleanup_free_ char *path = NULL;
	char name[IMAGE_NAME_MAX];
	int ret;

	sums_name(s->map->pages_id, name);
	if (asprintf(&path, "%s/%s", image_dir_path(dir), name) < 0) {
		path = NULL;
		return diag_fail(diag, ENOMEM, "out of memory");
	}
	ret = sums_open(image_dir_fd(dir), name, path, &s->sums, diag);
	if (ret)
		return ret == -ENOENT ? 0 : ret;
	if (sums_head(s->sums)->run && sums_head(s->sums)->run != sums_run(dir)) {
		ret = sums_whole(s->sums, diag);
		if (ret)
			return ret;
		diag_warn(diag, "%s is of another dump than %s: the pages are taken unchecked", path,
			  image_dir_path(dir));
		sums_close(TAKE_PTR(s->sums));
		s->old_sums = true;
		return 0;
	}
	if (sums_head(s->sums)->pages_id != s->map->pages_id || sums_head(s->sums)->nr != s->map->nr_present)
		return diag_fail(
			diag, EPROTO,
			"%s and %s do not fit: one is for %llu pages of pages-%u, the other for %llu of pages-%u; "
			"get a whole copy of all images, or use --no-verify",
			path, s->map->name, (unsigned long long)sums_head(s->sums)->nr, sums_head(s->sums)->pages_id,
			(unsigned long long)s->map->nr_present, s->map->pages_id);
	return 0;
}

int page_store_open(struct image_dir *dir, const struct pagemap *map, struct page_store **out, struct diag *diag)
{
	char name[IMAGE_NAME_MAX];
	const struct store_type *type;
	struct page_store *s;
	int ret;

	if (map->parent)
		return page_store_open_chain(dir, map, out, diag);
	type = find_store(dir, map, name);
	if (!type && map->nr_present)
		return diag_fail(diag, ENOENT,
				 "%s has no pages-%u.img (or %s): the pages of the processes are missing; get "
				 "a whole copy",
				 image_dir_path(dir), map->pages_id, name);
	s = calloc(1, type ? type->store_size : sizeof(*s));
	if (!s)
		return diag_fail(diag, ENOMEM, "out of memory");
	s->map = map;
	if (!type) {
		*out = s;
		return 0;
	}
	s->type = type;
	if (asprintf(&s->path, "%s/%s", image_dir_path(dir), name) < 0) {
		free(s);
		return diag_fail(diag, ENOMEM, "out of memory");
	}
	ret = type->open(s, image_dir_fd(dir), name, diag);
	if (!ret && !image_dir_trusts_pages(dir))
		ret = open_sums(s, dir, diag);
	if (ret)
		page_store_close(s);
	else
		*out = s;
	return ret;
}

/* Are these pages of a run that has its content here? Else the caller mixes up its runs. */
static bool in_run(const struct page_store *s, const struct page_run *run, uint64_t skip, uint64_t nr_pages)
{
	return s->type && (run->flags & PE_PRESENT) && skip <= run->nr_pages && nr_pages <= run->nr_pages - skip &&
	       run->index + run->nr_pages <= s->map->nr_present;
}

static int check_pages(const struct page_store *s, const struct page_run *run, uint64_t skip, uint64_t nr_pages,
		       const void *data, struct diag *diag)
{
	uint64_t good = sums_good(s->sums, run->index + skip, data, nr_pages);
	int ret;

	if (good == nr_pages)
		return 0;
	ret = sums_whole(s->sums, diag);
	if (ret)
		return ret;
	skip += good;
	return diag_fail(
		diag, EBADMSG,
		"%s is damaged: page %llu (offset 0x%llx), for address 0x%llx, does not match its checksum; get "
		"a whole copy, or use --no-verify",
		s->path, (unsigned long long)(run->index + skip), (unsigned long long)(run->index + skip) * PAGE_SIZE,
		(unsigned long long)(run->vaddr + skip * PAGE_SIZE));
}

int page_store_get(struct page_store *s, const struct page_run *run, uint64_t skip, uint64_t nr_pages, void *buf,
		   const void **data, struct diag *diag)
{
	const void *pages;
	int ret;

	if (!in_run(s, run, skip, nr_pages))
		return diag_fail(diag, EINVAL, "pages %llu+%llu of the run at 0x%llx are not in pages-%u",
				 (unsigned long long)skip, (unsigned long long)nr_pages, (unsigned long long)run->vaddr,
				 s->map->pages_id);
	ret = s->type->get(s, run, skip, nr_pages, buf, &pages, diag);
	if (!ret && s->sums)
		ret = check_pages(s, run, skip, nr_pages, pages, diag);
	if (!ret)
		*data = pages;
	return ret;
}

bool page_store_has_old_sums(const struct page_store *s)
{
	return s->old_sums;
}

int page_store_check_sums(const struct page_store *s, struct diag *diag)
{
	return s->sums ? sums_whole(s->sums, diag) : 0;
}

void page_store_prefetch(struct page_store *s, const struct page_run *run, uint64_t skip, uint64_t nr_pages)
{
	if (in_run(s, run, skip, nr_pages) && s->type->prefetch)
		s->type->prefetch(s, run, skip, nr_pages);
}

void page_store_close(struct page_store *s)
{
	if (!s)
		return;
	if (s->type)
		s->type->close(s);
	sums_close(s->sums);
	free(s->path);
	free(s);
}
