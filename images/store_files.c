// SPDX-License-Identifier: GPL-2.0-only
/*
 * The files store: a directory pages-N.d with a gzip file for each page, named by its address in sixteen hexadecimal
 * digits. Made to be looked at, compared and kept in a repository: the same page always gives the same file.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

#include "common/cleanup.h"
#include "common/util.h"
#include "images/store.h"

#define GZIP_WINDOW (15 + 16) /* zlib: the largest window, and gzip's header and checksum */
#define FILE_MAX 8192	      /* no page takes more, compressed */

struct files_writer {
	struct page_writer base;
	int fd;
};

struct files_store {
	struct page_store base;
	int fd;
};

static void page_name(uint64_t vaddr, char buf[static 24])
{
	snprintf(buf, 24, "%016llx.gz", (unsigned long long)vaddr);
}

static int files_create(struct page_writer *w)
{
	int fd = image_dir_temp_dir(w->dir, w->name, w->diag);

	if (fd < 0)
		return fd;
	((struct files_writer *)w)->fd = fd;
	return 0;
}

static int put_page(struct files_writer *w, z_stream *z, uint64_t vaddr, const void *data)
{
	uint8_t buf[FILE_MAX];
	_cleanup_close_ int fd = -1;
	char name[24];
	int ret;

	page_name(vaddr, name);
	deflateReset(z);
	z->next_in = (Bytef *)data;
	z->avail_in = PAGE_SIZE;
	z->next_out = buf;
	z->avail_out = sizeof(buf);
	if (deflate(z, Z_FINISH) != Z_STREAM_END)
		return diag_fail(w->base.diag, EIO, "cannot compress the page at 0x%llx", (unsigned long long)vaddr);
	fd = openat(w->fd, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	ret = fd < 0 ? -errno : full_write(fd, buf, sizeof(buf) - z->avail_out);
	if (!ret && close(TAKE_FD(fd)))
		ret = -errno;
	if (ret)
		return diag_fail(w->base.diag, -ret, "cannot write %s/%s/%s: %s", image_dir_path(w->base.dir),
				 w->base.name, name, strerror(-ret));
	return 0;
}

static int files_put(struct page_writer *w, const struct page_run *runs, size_t nr, const void *data)
{
	const char *page = data;
	z_stream z = { 0 };
	int ret = 0;

	if (deflateInit2(&z, Z_DEFAULT_COMPRESSION, Z_DEFLATED, GZIP_WINDOW, 8, Z_DEFAULT_STRATEGY) != Z_OK)
		return diag_fail(w->diag, ENOMEM, "out of memory");
	for (const struct page_run *run = runs; run < runs + nr; run++)
		for (uint64_t i = 0; !ret && i < run->nr_pages; i++, page += PAGE_SIZE)
			ret = put_page((struct files_writer *)w, &z, run->vaddr + i * PAGE_SIZE, page);
	deflateEnd(&z);
	return ret;
}

static int files_finish(struct page_writer *w)
{
	close(((struct files_writer *)w)->fd);
	return 0;
}

static int files_open(struct page_store *s, int dirfd, const char *name, struct diag *diag)
{
	const struct pagemap *map = s->map;
	int fd = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	char page[24];

	((struct files_store *)s)->fd = fd;
	if (fd < 0)
		return diag_fail(diag, errno, "cannot open %s: %s", s->path, strerror(errno));
	for (size_t i = 0; i < map->nr; i++)
		for (uint64_t n = 0; (map->runs[i].flags & PE_PRESENT) && n < map->runs[i].nr_pages; n++) {
			page_name(map->runs[i].vaddr + n * PAGE_SIZE, page);
			if (faccessat(fd, page, R_OK, 0))
				return diag_fail(diag, errno, "%s/%s is missing; get a whole copy", s->path, page);
		}
	return 0;
}

/* Decode a file that is exactly one page. */
static bool decode_page(uint8_t *in, size_t len, void *page)
{
	z_stream z = { .next_in = in, .avail_in = (uInt)len, .next_out = page, .avail_out = PAGE_SIZE };
	uint8_t more;
	int ret;

	if (inflateInit2(&z, GZIP_WINDOW) != Z_OK)
		return false;
	ret = inflate(&z, Z_FINISH);
	if (ret == Z_BUF_ERROR && !z.avail_out) {
		z.next_out = &more;
		z.avail_out = 1;
		ret = inflate(&z, Z_FINISH);
	}
	inflateEnd(&z);
	return ret == Z_STREAM_END && z.total_out == PAGE_SIZE && !z.avail_in;
}

static int get_page(struct files_store *s, uint64_t vaddr, void *page, struct diag *diag)
{
	uint8_t buf[FILE_MAX];
	_cleanup_close_ int fd = -1;
	char name[24];
	ssize_t len;

	page_name(vaddr, name);
	fd = openat(s->fd, name, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0 && errno == ENOENT)
		return diag_fail(diag, ENOENT, "%s/%s is missing; get a whole copy", s->base.path, name);
	len = fd < 0 ? -errno : full_read(fd, buf, sizeof(buf));
	if (len < 0)
		return diag_fail(diag, (int)-len, "cannot read %s/%s: %s", s->base.path, name, strerror((int)-len));
	if (!decode_page(buf, (size_t)len, page))
		return diag_fail(diag, EPROTO, "%s/%s is damaged: it is not one page in gzip; get a whole copy",
				 s->base.path, name);
	return 0;
}

static int files_get(struct page_store *s, const struct page_run *run, uint64_t skip, uint64_t nr_pages, void *buf,
		     const void **data, struct diag *diag)
{
	int ret = 0;

	for (uint64_t i = 0; !ret && i < nr_pages; i++)
		ret = get_page((struct files_store *)s, run->vaddr + (skip + i) * PAGE_SIZE,
			       (char *)buf + i * PAGE_SIZE, diag);
	if (!ret)
		*data = buf;
	return ret;
}

static void files_close(struct page_store *s)
{
	int fd = ((struct files_store *)s)->fd;

	if (fd >= 0)
		close(fd);
}

const struct store_type store_files = {
	.name = "files",
	.suffix = ".d",
	.writer_size = sizeof(struct files_writer),
	.store_size = sizeof(struct files_store),
	.create = files_create,
	.put = files_put,
	.finish = files_finish,
	.open = files_open,
	.get = files_get,
	.close = files_close,
};
