// SPDX-License-Identifier: GPL-2.0-only
#include "images/sums.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "common/cleanup.h"
#include "common/util.h"
#include "images/page_hash.h"

#define BATCH 256 /* pages whose sums are noted at once */

struct sums {
	struct sums_header head;
	char *path;
	const struct sums_header *map; /* the file, as it is */
	size_t len;
};

uint32_t sums_run(const struct image_dir *dir)
{
	const char *id = image_dir_run_id(dir);

	return id ? (uint32_t)bytes_hash(id, strlen(id), "", 0) ?: 1 : 0;
}

void sums_name(uint32_t pages_id, char buf[static IMAGE_NAME_MAX])
{
	snprintf(buf, IMAGE_NAME_MAX, "pages-%u.sum", pages_id);
}

/* With the lock held. */
static int make_room(struct sums_list *list, uint64_t nr)
{
	while (list->cap < nr)
		if (grow(&list->v, list->cap, &list->cap, sizeof(*list->v)))
			return -ENOMEM;
	if (list->nr < nr) {
		memset(list->v + list->nr, 0, (nr - list->nr) * sizeof(*list->v));
		list->nr = nr;
	}
	return 0;
}

int sums_add(struct sums_list *list, uint64_t index, const void *data, uint64_t nr_pages)
{
	const char *page = data;
	uint64_t sum[BATCH];

	while (nr_pages) {
		uint64_t nr = MIN(nr_pages, BATCH);
		int ret;

		for (uint64_t i = 0; i < nr; i++, page += PAGE_SIZE)
			sum[i] = htole64(page_hash(page));
		pthread_mutex_lock(&list->lock);
		ret = make_room(list, index + nr);
		if (!ret)
			memcpy(list->v + index, sum, nr * sizeof(*sum));
		pthread_mutex_unlock(&list->lock);
		if (ret)
			return ret;
		index += nr;
		nr_pages -= nr;
	}
	return 0;
}

static uint64_t hash_file(const struct sums_header *head, const uint64_t *sums, uint64_t nr)
{
	return bytes_hash(head, offsetof(struct sums_header, self), sums, nr * sizeof(*sums));
}

int sums_write(const struct sums_list *list, struct image_dir *dir, uint32_t pages_id, struct diag *diag)
{
	struct sums_header head = { .magic = htole32(SUMS_MAGIC),
				    .version = htole32(SUMS_VERSION),
				    .pages_id = htole32(pages_id),
				    .run = htole32(sums_run(dir)),
				    .nr = htole64(list->nr) };
	char name[IMAGE_NAME_MAX];
	int fd, ret;

	sums_name(pages_id, name);
	fd = image_dir_temp_file(dir, name, diag);
	if (fd < 0)
		return fd;
	head.self = htole64(hash_file(&head, list->v, list->nr));
	ret = full_write(fd, &head, sizeof(head));
	if (!ret)
		ret = full_write(fd, list->v, list->nr * sizeof(*list->v));
	return image_dir_end_file(dir, name, fd, ret, diag);
}

void sums_free(struct sums_list *list)
{
	free(list->v);
	pthread_mutex_destroy(&list->lock);
}

static int check_header(struct sums *s, const struct stat *st, struct diag *diag)
{
	struct sums_header *head = &s->head;

	if (!S_ISREG(st->st_mode) || (size_t)st->st_size < sizeof(*head))
		return diag_fail(diag, EPROTO, "%s is truncated: it has no header; get a whole copy", s->path);
	s->len = (size_t)st->st_size;
	head->magic = le32toh(head->magic);
	head->version = le32toh(head->version);
	head->pages_id = le32toh(head->pages_id);
	head->run = le32toh(head->run);
	head->nr = le64toh(head->nr);
	head->self = le64toh(head->self);
	if (head->magic != SUMS_MAGIC)
		return diag_fail(diag, EPROTO,
				 "%s holds no checksums of pages: its magic number is 0x%x; get a whole copy", s->path,
				 head->magic);
	if (head->version != SUMS_VERSION)
		return diag_fail(
			diag, EPROTO,
			"%s was written in another format: version %u, this Thaw reads %u; use a newer Thaw, or "
			"--no-verify",
			s->path, head->version, SUMS_VERSION);
	if (head->nr != (s->len - sizeof(*head)) / sizeof(uint64_t) || s->len % sizeof(uint64_t))
		return diag_fail(diag, EPROTO, "%s is truncated: %zu bytes for %llu pages; get a whole copy", s->path,
				 s->len, (unsigned long long)head->nr);
	return 0;
}

static int map_file(struct sums *s, int fd, struct diag *diag)
{
	struct stat st;
	int ret;

	if (fstat(fd, &st) || full_pread(fd, &s->head, sizeof(s->head), 0) < 0)
		return diag_fail(diag, errno, "cannot read %s: %s", s->path, strerror(errno));
	ret = check_header(s, &st, diag);
	if (ret)
		return ret;
	s->map = mmap(NULL, s->len, PROT_READ, MAP_SHARED, fd, 0);
	if (s->map == MAP_FAILED) {
		s->map = NULL;
		return diag_fail(diag, errno, "cannot map %s: %s", s->path, strerror(errno));
	}
	return 0;
}

int sums_open(int dirfd, const char *name, const char *path, struct sums **out, struct diag *diag)
{
	_cleanup_close_ int fd = openat(dirfd, name, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	struct sums *s;
	int ret;

	if (fd < 0 && errno == ENOENT)
		return -ENOENT;
	if (fd < 0)
		return diag_fail(diag, errno, "cannot open %s: %s", path, strerror(errno));
	s = calloc(1, sizeof(*s));
	if (!s)
		return diag_fail(diag, ENOMEM, "out of memory");
	s->path = strdup(path);
	ret = s->path ? map_file(s, fd, diag) : diag_fail(diag, ENOMEM, "out of memory");
	if (ret)
		sums_close(s);
	else
		*out = s;
	return ret;
}

const struct sums_header *sums_head(const struct sums *s)
{
	return &s->head;
}

static const uint64_t *sums_of(const struct sums *s)
{
	return (const uint64_t *)(s->map + 1);
}

int sums_whole(const struct sums *s, struct diag *diag)
{
	if (hash_file(s->map, sums_of(s), s->head.nr) != s->head.self)
		return diag_fail(
			diag, EBADMSG,
			"%s is damaged: it does not match its own checksum; get a whole copy, or use --no-verify",
			s->path);
	return 0;
}

uint64_t sums_good(const struct sums *s, uint64_t index, const void *data, uint64_t nr_pages)
{
	const uint64_t *sum = sums_of(s) + index;
	const char *page = data;
	uint64_t i = 0;

	while (i < nr_pages && page_hash(page + i * PAGE_SIZE) == le64toh(sum[i]))
		i++;
	return i;
}

void sums_close(struct sums *s)
{
	if (!s)
		return;
	if (s->map)
		munmap((void *)s->map, s->len);
	free(s->path);
	free(s);
}
