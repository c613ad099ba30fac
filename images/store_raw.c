// SPDX-License-Identifier: GPL-2.0-only
/*
 * The raw store: pages-N.img is the present pages, in the order of the pagemap, and nothing else. Readers get pointers
 * into a read-only mapping of it, so that a page goes from the page cache to its process with one copy.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/util.h"
#include "images/store.h"

struct raw_writer {
	struct page_writer base;
	int fd;
};

struct raw_store {
	struct page_store base;
	char *map;
	size_t len;
};

static int raw_create(struct page_writer *w)
{
	int fd = image_dir_temp_file(w->dir, w->name, w->diag);

	if (fd < 0)
		return fd;
	((struct raw_writer *)w)->fd = fd;
	return 0;
}

static int raw_put(struct page_writer *w, const struct page_run *runs, size_t nr, const void *data)
{
	uint64_t start = runs[0].index, end = runs[nr - 1].index + runs[nr - 1].nr_pages;
	int ret =
		full_pwrite(((struct raw_writer *)w)->fd, data, (end - start) * PAGE_SIZE, (off_t)(start * PAGE_SIZE));

	if (ret)
		return diag_fail(w->diag, -ret, "cannot write %s/%s: %s", image_dir_path(w->dir), w->name,
				 strerror(-ret));
	return 0;
}

static int raw_finish(struct page_writer *w)
{
	if (close(((struct raw_writer *)w)->fd))
		return diag_fail(w->diag, errno, "cannot write %s/%s: %s", image_dir_path(w->dir), w->name,
				 strerror(errno));
	return 0;
}

static int raw_map(struct raw_store *s, int fd, struct diag *diag)
{
	struct stat st;

	if (fstat(fd, &st))
		return diag_fail(diag, errno, "cannot open %s: %s", s->base.path, strerror(errno));
	if (!S_ISREG(st.st_mode))
		return diag_fail(diag, EPROTO, "%s is not a regular file", s->base.path);
	if ((uint64_t)st.st_size / PAGE_SIZE < s->base.map->nr_present)
		return diag_fail(diag, EPROTO, "%s is truncated: it holds %llu pages of %llu; get a whole copy",
				 s->base.path, (unsigned long long)st.st_size / PAGE_SIZE,
				 (unsigned long long)s->base.map->nr_present);
	s->len = s->base.map->nr_present * PAGE_SIZE;
	if (!s->len)
		return 0;
	s->map = mmap(NULL, s->len, PROT_READ, MAP_SHARED, fd, 0);
	if (s->map == MAP_FAILED) {
		s->map = NULL;
		return diag_fail(diag, errno, "cannot map %s: %s", s->base.path, strerror(errno));
	}
	return 0;
}

static int raw_open(struct page_store *s, int dirfd, const char *name, struct diag *diag)
{
	int fd = openat(dirfd, name, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	int ret;

	if (fd < 0)
		return diag_fail(diag, errno, "cannot open %s: %s", s->path, strerror(errno));
	ret = raw_map((struct raw_store *)s, fd, diag);
	close(fd);
	return ret;
}

static int raw_get(struct page_store *s, const struct page_run *run, uint64_t skip, uint64_t nr_pages, void *buf,
		   const void **data, struct diag *diag)
{
	*data = ((struct raw_store *)s)->map + (run->index + skip) * PAGE_SIZE;
	return 0;
}

static void raw_prefetch(struct page_store *s, const struct page_run *run, uint64_t skip, uint64_t nr_pages)
{
	if (nr_pages)
		madvise(((struct raw_store *)s)->map + (run->index + skip) * PAGE_SIZE, nr_pages * PAGE_SIZE,
			MADV_WILLNEED);
}

static void raw_close(struct page_store *s)
{
	struct raw_store *raw = (struct raw_store *)s;

	if (raw->map)
		munmap(raw->map, raw->len);
}

const struct store_type store_raw = {
	.name = "raw",
	.suffix = ".img",
	.writer_size = sizeof(struct raw_writer),
	.store_size = sizeof(struct raw_store),
	.create = raw_create,
	.put = raw_put,
	.finish = raw_finish,
	.open = raw_open,
	.get = raw_get,
	.prefetch = raw_prefetch,
	.close = raw_close,
};
