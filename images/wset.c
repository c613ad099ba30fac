// SPDX-License-Identifier: GPL-2.0-only
#include "images/wset.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "common/cleanup.h"
#include "common/util.h"
#include "images/page_hash.h"
#include "images/sums.h"

void wset_name(uint32_t pages_id, char buf[static IMAGE_NAME_MAX])
{
	snprintf(buf, IMAGE_NAME_MAX, "pages-%u.wset", pages_id);
}

/* The checksum of the checksums, which stands for the pages' content; 0 where there are none. */
static int sum_of_pages(struct image_dir *dir, const struct pagemap *map, uint64_t *out, struct diag *diag)
{
	char name[IMAGE_NAME_MAX];
	struct sums *sums;
	int ret;

	sums_name(map->pages_id, name);
	ret = sums_open(image_dir_fd(dir), name, name, &sums, diag);
	if (ret)
		return ret == -ENOENT ? 0 : ret;
	*out = sums_head(sums)->self;
	sums_close(sums);
	return 0;
}

int wset_identity(struct image_dir *dir, const struct pagemap *map, uint64_t *identity, struct diag *diag)
{
	_cleanup_free_ char *inventory = NULL;
	char name[IMAGE_NAME_MAX];
	ssize_t len = read_text(image_dir_fd(dir), image_name(IMG_INVENTORY, 0, name), &inventory);
	uint64_t sum[2] = { map->pages_id, 0 };
	int ret;

	if (len < 0)
		return diag_fail(diag, (int)-len, "cannot read %s/%s: %s", image_dir_path(dir), name,
				 strerror((int)-len));
	ret = sum_of_pages(dir, map, &sum[1], diag);
	if (ret)
		return ret;
	*identity = bytes_hash(sum, sizeof(sum), inventory, (size_t)len);
	for (size_t i = 0; i < map->nr; i++) {
		const struct page_run *run = &map->runs[i];
		/* Which pages are filled lazily is up to the restore. */
		uint64_t facts[] = { run->vaddr, run->nr_pages, run->flags & ~PE_LAZY };

		*identity = bytes_hash(identity, sizeof(*identity), facts, sizeof(facts));
	}
	return 0;
}

static uint64_t hash_file(const struct wset_header *head, const struct wset_chunk *chunks, size_t nr)
{
	return bytes_hash(head, offsetof(struct wset_header, self), chunks, nr * sizeof(*chunks));
}

/* Does each chunk name pages that there are, and only one chunk each? @seen: a false for each chunk of the store */
static bool chunks_fit(const struct wset_chunk *chunks, size_t nr, uint64_t nr_pages, bool *seen)
{
	for (size_t i = 0; i < nr; i++) {
		const struct wset_chunk *c = &chunks[i];
		unsigned last = c->pages ? 63 - (unsigned)__builtin_clzll(c->pages) : 0;

		if (!c->pages || c->number > nr_pages / WSET_CHUNK || c->number * WSET_CHUNK + last >= nr_pages ||
		    seen[c->number])
			return false;
		seen[c->number] = true;
	}
	return true;
}

/* The chunks, if they are as they should be. Return: 0, or -errno with a sentence */
static int copy_chunks(const struct wset_chunk *chunks, size_t nr, const char *path, uint64_t nr_pages,
		       struct wset *out, struct diag *diag)
{
	bool *seen = calloc(nr_pages / WSET_CHUNK + 1, sizeof(*seen));
	struct wset_chunk *copy = calloc(nr + 1, sizeof(*copy));
	int ret = 0;

	if (!seen || !copy)
		ret = diag_fail(diag, ENOMEM, "out of memory for %s", path);
	else if (!chunks_fit(chunks, nr, nr_pages, seen))
		ret = diag_fail(diag, EPROTO, "%s is damaged: it names pages that there are not, or twice", path);
	free(seen);
	if (ret) {
		free(copy);
		return ret;
	}
	memcpy(copy, chunks, nr * sizeof(*copy));
	*out = (struct wset){ copy, nr };
	return 0;
}

/* The header in the CPU's order. Return: 0, or -errno with a sentence */
static int check_header(struct wset_header *head, const char *path, size_t len, const struct pagemap *map,
			struct diag *diag)
{
	if (le32toh(head->magic) != WSET_MAGIC)
		return diag_fail(diag, EPROTO, "%s is no working set", path);
	if (le32toh(head->version) != WSET_VERSION)
		return diag_fail(diag, EPROTO, "%s was written in another format: version %u, this Thaw reads %u", path,
				 le32toh(head->version), WSET_VERSION);
	head->nr = le64toh(head->nr);
	head->nr_pages = le64toh(head->nr_pages);
	if (head->nr != (len - sizeof(*head)) / sizeof(struct wset_chunk) || len % sizeof(struct wset_chunk))
		return diag_fail(diag, EPROTO, "%s is truncated: %zu bytes for %llu chunks", path, len,
				 (unsigned long long)head->nr);
	if (le32toh(head->pages_id) != map->pages_id || head->nr_pages != map->nr_present)
		return diag_fail(diag, ESTALE, "%s was recorded from other images", path);
	return 0;
}

/* Check what is in @file, and take its chunks. */
static int take_chunks(void *file, size_t len, const char *path, const struct pagemap *map, uint64_t identity,
		       struct wset *out, struct diag *diag)
{
	struct wset_header *head = file;
	struct wset_chunk *chunks = (struct wset_chunk *)(head + 1);
	uint64_t self = len < sizeof(*head) ? 0 : hash_file(head, chunks, (len - sizeof(*head)) / sizeof(*chunks));
	int ret;

	if (len < sizeof(*head))
		return diag_fail(diag, EPROTO, "%s is truncated: it has no header", path);
	ret = check_header(head, path, len, map, diag);
	if (ret)
		return ret;
	if (le64toh(head->self) != self)
		return diag_fail(diag, EPROTO, "%s is damaged: it does not match its own checksum", path);
	if (le64toh(head->identity) != identity)
		return diag_fail(diag, ESTALE, "%s was recorded from other images", path);
	for (size_t i = 0; i < head->nr; i++)
		chunks[i] = (struct wset_chunk){ le64toh(chunks[i].number), le64toh(chunks[i].pages) };
	return copy_chunks(chunks, head->nr, path, map->nr_present, out, diag);
}

/* The whole file. A good one is never larger than a chunk for every 64 pages. Return: bytes, or -errno, -ENOENT alone
 * without a sentence */
static ssize_t load_file(int dirfd, const char *name, const char *path, uint64_t nr_pages, void **file,
			 struct diag *diag)
{
	_cleanup_close_ int fd = openat(dirfd, name, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	size_t most = sizeof(struct wset_header) + (nr_pages / WSET_CHUNK + 1) * sizeof(struct wset_chunk);
	_cleanup_free_ void *buf = NULL;
	struct stat st;
	ssize_t len;

	if (fd < 0 && errno == ENOENT)
		return -ENOENT;
	if (fd < 0 || fstat(fd, &st))
		return diag_fail(diag, errno, "cannot read %s: %s", path, strerror(errno));
	if (!S_ISREG(st.st_mode) || (size_t)st.st_size > most)
		return diag_fail(diag, EPROTO, "%s is no working set of %llu pages", path,
				 (unsigned long long)nr_pages);
	buf = malloc((size_t)st.st_size + 1);
	if (!buf)
		return diag_fail(diag, ENOMEM, "out of memory for %s", path);
	len = full_read(fd, buf, (size_t)st.st_size);
	if (len < 0)
		return diag_fail(diag, (int)-len, "cannot read %s: %s", path, strerror((int)-len));
	*file = TAKE_PTR(buf);
	return len;
}

int wset_read(struct image_dir *dir, const struct pagemap *map, struct wset *out, struct diag *diag)
{
	_cleanup_free_ void *file = NULL;
	char name[IMAGE_NAME_MAX], path[IMAGE_NAME_MAX + 4096];
	uint64_t identity;
	ssize_t len;
	int ret;

	wset_name(map->pages_id, name);
	snprintf(path, sizeof(path), "%s/%s", image_dir_path(dir), name);
	len = load_file(image_dir_fd(dir), name, path, map->nr_present, &file, diag);
	if (len < 0)
		return (int)len;
	ret = wset_identity(dir, map, &identity, diag);
	if (!ret)
		ret = take_chunks(file, (size_t)len, path, map, identity, out, diag);
	return ret;
}

static int write_chunks(int fd, struct wset_header *head, const struct wset *set)
{
	struct wset_chunk *chunks = calloc(set->nr + 1, sizeof(*chunks));
	int ret;

	if (!chunks)
		return -ENOMEM;
	for (size_t i = 0; i < set->nr; i++)
		chunks[i] = (struct wset_chunk){ htole64(set->chunks[i].number), htole64(set->chunks[i].pages) };
	head->self = htole64(hash_file(head, chunks, set->nr));
	ret = full_write(fd, head, sizeof(*head));
	if (!ret)
		ret = full_write(fd, chunks, set->nr * sizeof(*chunks));
	free(chunks);
	return ret;
}

int wset_write(struct image_dir *dir, const struct pagemap *map, const struct wset *set, struct diag *diag)
{
	struct wset_header head = { .magic = htole32(WSET_MAGIC),
				    .version = htole32(WSET_VERSION),
				    .pages_id = htole32(map->pages_id),
				    .nr_pages = htole64(map->nr_present),
				    .nr = htole64(set->nr) };
	char name[IMAGE_NAME_MAX];
	int fd, ret = wset_identity(dir, map, &head.identity, diag);

	if (ret)
		return ret;
	head.identity = htole64(head.identity);
	wset_name(map->pages_id, name);
	fd = image_dir_temp_file(dir, name, diag);
	if (fd < 0)
		return fd;
	ret = write_chunks(fd, &head, set);
	return image_dir_end_file(dir, name, fd, ret, diag);
}

uint64_t wset_pages(const struct wset *set)
{
	uint64_t nr = 0;

	for (size_t i = 0; i < set->nr; i++)
		nr += (uint64_t)__builtin_popcountll(set->chunks[i].pages);
	return nr;
}

unsigned wset_next(const struct wset_chunk *chunk, unsigned from, uint64_t *first)
{
	uint64_t left = from < WSET_CHUNK ? chunk->pages >> from : 0;
	unsigned skip = left ? (unsigned)__builtin_ctzll(left) : 0;
	uint64_t holes = ~(left >> skip);

	if (!left)
		return 0;
	*first = chunk->number * WSET_CHUNK + from + skip;
	return holes ? (unsigned)__builtin_ctzll(holes) : WSET_CHUNK;
}

void wset_free(struct wset *set)
{
	free(set->chunks);
	*set = (struct wset){ 0 };
}
