// SPDX-License-Identifier: GPL-2.0-only
/* Checksums of pages: what is not as it was written is noticed and named, and nothing else is. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "common/cleanup.h"
#include "common/util.h"
#include "images/page_hash.h"
#include "images/pagestore.h"
#include "images/proto/all.h"
#include "images/sums.h"

#define BASE 0x7f0000000000ull
#define PAGES 9

struct fixture {
	char path[64];
	struct diag diag;
	struct image_dir *dir;
	struct pagemap map;
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	diag_init(&f->diag, -1, DIAG_ERROR);
	strcpy(f->path, "/tmp/thaw-sums-XXXXXX");
	*state = f;
	return mkdtemp(f->path) ? 0 : -1;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	char command[128];
	int ret;

	snprintf(command, sizeof(command), "rm -rf '%s'", f->path);
	ret = system(command);
	free(f);
	return ret;
}

static void fill(uint64_t salt, uint8_t *data, size_t len)
{
	uint64_t x = salt * 0x9e3779b97f4a7c15ull + 1;

	for (size_t i = 0; i < len; i++) {
		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		data[i] = (uint8_t)(x >> 32);
	}
}

/* Nine pages in two runs, handed over at once. */
static void write_pages(struct fixture *f, const char *store, uint64_t salt)
{
	InventoryEntry inv = INVENTORY_ENTRY__INIT;
	static uint8_t data[PAGES * PAGE_SIZE];
	struct pagemap map = { .pages_id = 7 };
	struct page_writer *w;
	struct image_dir *dir;

	fill(salt, data, sizeof(data));
	inv.img_version = 2;
	assert_int_equal(pagemap_append(&map, BASE, 5, PE_PRESENT | PE_LAZY), 0);
	assert_int_equal(pagemap_append(&map, BASE + 100 * PAGE_SIZE, 4, PE_PRESENT), 0);
	assert_int_equal(image_dir_create(f->path, &dir, &f->diag), 0);
	assert_int_equal(image_dir_begin_run(dir, &f->diag), 0);
	inv.dump_criu_run_id = (char *)image_dir_run_id(dir);
	assert_int_equal(page_writer_create(dir, store, 7, &w, &f->diag), 0);
	assert_int_equal(page_writer_put(w, map.runs, map.nr, data), 0);
	assert_int_equal(page_writer_finish(w), 0);
	assert_int_equal(pagemap_write(dir, IMG_PAGEMAP, 42, &map, &f->diag), 0);
	assert_int_equal(image_write_one(dir, IMG_INVENTORY, 0, &inv, &f->diag), 0);
	assert_int_equal(image_dir_commit(dir, &f->diag), 0);
	image_dir_close(dir);
	pagemap_free(&map);
}

static void write_dump(struct fixture *f, const char *store)
{
	write_pages(f, store, 1);
}

/* Open the dump. Return: as page_store_open() */
static int open_dump(struct fixture *f, bool trust, struct page_store **s)
{
	int ret;

	diag_clear(&f->diag);
	assert_int_equal(image_dir_open(f->path, &f->dir, &f->diag), 0);
	if (trust)
		image_dir_trust_pages(f->dir);
	assert_int_equal(pagemap_read(f->dir, IMG_PAGEMAP, 42, &f->map, &f->diag), 0);
	ret = page_store_open(f->dir, &f->map, s, &f->diag);
	if (ret)
		*s = NULL;
	return ret;
}

static void close_dump(struct fixture *f, struct page_store *s)
{
	page_store_close(s);
	pagemap_free(&f->map);
	image_dir_close(f->dir);
}

/* Read the page with a number in the store. */
static int get(struct fixture *f, struct page_store *s, uint64_t index)
{
	static uint8_t buf[PAGE_SIZE] __attribute__((aligned(4096)));
	const struct page_run *run = &f->map.runs[index >= f->map.runs[1].index];
	const void *data = f;
	int ret;

	diag_clear(&f->diag);
	ret = page_store_get(s, run, index - run->index, 1, buf, &data, &f->diag);
	assert_true(!ret || data == f); /* untouched on failure */
	return ret;
}

static void said(struct fixture *f, const char *word)
{
	if (!strstr(f->diag.text, word))
		fail_msg("'%s' does not say %s", f->diag.text, word);
}

/* Flip a bit of a file in the directory; @offset -1: remove it. */
static void damage(struct fixture *f, const char *name, off_t offset, unsigned int bit)
{
	_cleanup_close_ int fd = -1;
	char path[PATH_MAX];
	uint8_t byte;

	snprintf(path, sizeof(path), "%s/%s", f->path, name);
	if (offset < 0) {
		assert_int_equal(unlink(path), 0);
		return;
	}
	fd = open(path, O_RDWR);
	assert_int_equal(full_pread(fd, &byte, 1, offset), 1);
	byte ^= (uint8_t)(1 << bit);
	assert_int_equal(full_pwrite(fd, &byte, 1, offset), 0);
}

/* One-shot and in pieces are different code, and so is what each CPU gets. */
static void test_hash(void **state)
{
	static uint8_t page[PAGE_SIZE], other[PAGE_SIZE];

	for (unsigned int i = 0; i < 100; i++) {
		fill(i, page, sizeof(page));
		assert_int_equal(page_hash(page), bytes_hash(page, i * 40, page + i * 40, PAGE_SIZE - i * 40));
		memcpy(other, page, sizeof(page));
		other[i * 40] ^= 1;
		assert_int_not_equal(page_hash(page), page_hash(other));
	}
}

static void test_good(void **state)
{
	static uint8_t buf[PAGES * PAGE_SIZE] __attribute__((aligned(4096)));
	const char *const stores[] = { "raw", "files", "raw" };
	struct fixture *f = *state;

	for (size_t i = 0; i < ARRAY_SIZE(stores); i++) {
		struct page_store *s;
		const void *data;

		write_dump(f, stores[i]);
		assert_int_equal(open_dump(f, false, &s), 0);
		for (uint64_t n = 0; n < PAGES; n++)
			assert_int_equal(get(f, s, n), 0);
		assert_int_equal(page_store_get(s, &f->map.runs[0], 0, 5, buf, &data, &f->diag), 0);
		assert_int_equal(page_store_check_sums(s, &f->diag), 0);
		close_dump(f, s);
	}
}

static void test_flipped_page(void **state)
{
	static uint8_t buf[PAGES * PAGE_SIZE] __attribute__((aligned(4096)));
	struct fixture *f = *state;
	struct page_store *s;
	const void *data;

	write_dump(f, "raw");
	for (unsigned int i = 0; i < PAGES * PAGE_SIZE; i += 61) {
		uint64_t bad = i / PAGE_SIZE;
		char offset[32], address[32];

		damage(f, "pages-7.img", i, i % 8);
		assert_int_equal(open_dump(f, false, &s), 0);
		for (uint64_t n = bad ? bad - 1 : 0; n < MIN(bad + 2, PAGES); n++)
			assert_int_equal(get(f, s, n), n == bad ? -EBADMSG : 0);
		diag_clear(&f->diag);
		assert_int_equal(page_store_get(s, &f->map.runs[bad > 4], 0, bad > 4 ? 4 : 5, buf, &data, &f->diag),
				 -EBADMSG);
		snprintf(offset, sizeof(offset), "offset 0x%lx", bad * PAGE_SIZE);
		snprintf(address, sizeof(address), "0x%llx", BASE + (bad > 4 ? bad + 95 : bad) * PAGE_SIZE);
		said(f, "/pages-7.img is damaged");
		said(f, offset);
		said(f, address);
		close_dump(f, s);
		assert_int_equal(open_dump(f, true, &s), 0);
		assert_int_equal(get(f, s, bad), 0);
		close_dump(f, s);
		damage(f, "pages-7.img", i, i % 8);
	}
}

/* Every bit of the file of sums matters: it is refused, or its own checksum does not fit. */
static void test_flipped_sums(void **state)
{
	struct fixture *f = *state;
	size_t len = sizeof(struct sums_header) + PAGES * sizeof(uint64_t);
	struct page_store *s;

	write_dump(f, "raw");
	for (unsigned int i = 0; i < len * 8; i++) {
		int ret;

		damage(f, "pages-7.sum", i / 8, i % 8);
		ret = open_dump(f, false, &s);
		assert_true(!ret || ret == -EPROTO || ret == -EBADMSG);
		if (!ret)
			assert_int_equal(page_store_check_sums(s, &f->diag), -EBADMSG);
		said(f, "/pages-7.sum");
		if (i / 8 >= sizeof(struct sums_header)) {
			assert_int_equal(get(f, s, (i / 8 - sizeof(struct sums_header)) / 8), -EBADMSG);
			said(f, "/pages-7.sum is damaged");
		}
		close_dump(f, s);
		damage(f, "pages-7.sum", i / 8, i % 8);
	}
}

static void test_cut_sums(void **state)
{
	struct fixture *f = *state;
	struct page_store *s;
	char path[PATH_MAX];

	write_dump(f, "raw");
	snprintf(path, sizeof(path), "%s/pages-7.sum", f->path);
	for (off_t len = (off_t)(sizeof(struct sums_header) + PAGES * sizeof(uint64_t)) - 1; len >= 0; len--) {
		assert_int_equal(truncate(path, len), 0);
		assert_int_equal(open_dump(f, false, &s), -EPROTO);
		said(f, "/pages-7.sum is truncated");
		close_dump(f, s);
	}
	assert_int_equal(open_dump(f, true, &s), 0);
	close_dump(f, s);
}

static void test_no_sums(void **state)
{
	struct fixture *f = *state;
	struct page_store *s;

	write_dump(f, "raw");
	damage(f, "pages-7.img", 5000, 3);
	damage(f, "pages-7.sum", -1, 0);
	assert_int_equal(open_dump(f, false, &s), 0);
	for (uint64_t n = 0; n < PAGES; n++)
		assert_int_equal(get(f, s, n), 0);
	assert_int_equal(page_store_check_sums(s, &f->diag), 0);
	close_dump(f, s);
}

/* A pagemap of fewer pages than were dumped: the rest would be zero. */
static void test_other_pagemap(void **state)
{
	struct fixture *f = *state;
	struct page_store *s;

	write_dump(f, "raw");
	assert_int_equal(open_dump(f, false, &s), 0);
	page_store_close(s);
	f->map.nr--;
	f->map.nr_present = 5;
	assert_int_equal(page_store_open(f->dir, &f->map, &s, &f->diag), -EPROTO);
	said(f, "/pages-7.sum and pagemap-42.img do not fit");
	close_dump(f, NULL);
}

/* A piece of the store is what one call takes. */
static void test_put_gap(void **state)
{
	const struct page_run runs[] = { { .vaddr = BASE, .nr_pages = 1 },
					 { .vaddr = BASE + 8 * PAGE_SIZE, .nr_pages = 1, .index = 2 } };
	static const uint8_t data[2 * PAGE_SIZE];
	struct fixture *f = *state;
	struct page_writer *w;
	struct image_dir *dir;

	assert_int_equal(image_dir_create(f->path, &dir, &f->diag), 0);
	assert_int_equal(page_writer_create(dir, "raw", 7, &w, &f->diag), 0);
	assert_int_equal(page_writer_put(w, runs, 2, data), -EINVAL);
	assert_int_equal(page_writer_put(w, runs, 0, data), 0);
	page_writer_abandon(w);
	image_dir_close(dir);
}

/* Sums of an earlier dump do not stay for pages that others write. */
static void test_stale(void **state)
{
	InventoryEntry inv = INVENTORY_ENTRY__INIT;
	struct fixture *f = *state;
	struct image_dir *dir;
	char path[PATH_MAX];

	write_dump(f, "raw");
	snprintf(path, sizeof(path), "%s/pages-7.sum", f->path);
	assert_int_equal(access(path, F_OK), 0);
	inv.img_version = 2;
	assert_int_equal(image_dir_create(f->path, &dir, &f->diag), 0);
	assert_int_equal(image_write_one(dir, IMG_INVENTORY, 0, &inv, &f->diag), 0);
	assert_int_equal(image_dir_commit(dir, &f->diag), 0);
	image_dir_close(dir);
	assert_int_equal(access(path, F_OK), -1);
}

/* Sums that are left beside the pages of another dump, as CRIU leaves them, are left aside: whole ones only. */
static void test_of_another_dump(void **state)
{
	struct fixture *f = *state;
	char path[PATH_MAX], kept[PATH_MAX];
	struct page_store *s;

	write_dump(f, "raw");
	snprintf(path, sizeof(path), "%s/pages-7.sum", f->path);
	snprintf(kept, sizeof(kept), "%s/kept", f->path);
	assert_int_equal(rename(path, kept), 0);
	write_pages(f, "raw", 2);
	assert_int_equal(rename(kept, path), 0);
	assert_int_equal(open_dump(f, false, &s), 0);
	assert_true(page_store_has_old_sums(s));
	for (uint64_t n = 0; n < PAGES; n++)
		assert_int_equal(get(f, s, n), 0);
	close_dump(f, s);
	damage(f, "pages-7.sum", 60, 1);
	assert_int_equal(open_dump(f, false, &s), -EBADMSG);
	said(f, "/pages-7.sum is damaged");
	close_dump(f, s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_hash),
		cmocka_unit_test_setup_teardown(test_good, setup, teardown),
		cmocka_unit_test_setup_teardown(test_flipped_page, setup, teardown),
		cmocka_unit_test_setup_teardown(test_flipped_sums, setup, teardown),
		cmocka_unit_test_setup_teardown(test_cut_sums, setup, teardown),
		cmocka_unit_test_setup_teardown(test_no_sums, setup, teardown),
		cmocka_unit_test_setup_teardown(test_other_pagemap, setup, teardown),
		cmocka_unit_test_setup_teardown(test_put_gap, setup, teardown),
		cmocka_unit_test_setup_teardown(test_stale, setup, teardown),
		cmocka_unit_test_setup_teardown(test_of_another_dump, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
