// SPDX-License-Identifier: GPL-2.0-only
/* Pagemaps and page stores: what is written comes back, and what is damaged is named. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "common/cleanup.h"
#include "common/util.h"
#include "images/pagestore.h"
#include "images/proto/all.h"

#define BASE 0x7f0000000000ull
#define THREADS 4

struct fixture {
	char path[64];
	struct diag diag;
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	diag_init(&f->diag, -1, DIAG_ERROR);
	strcpy(f->path, "/tmp/thaw-pagestore-XXXXXX");
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

/* A page's content follows from its address; every third is text, so that it compresses. */
static void fill(uint64_t vaddr, uint8_t *page)
{
	uint64_t x = vaddr * 0x9e3779b97f4a7c15ull + 1;

	for (size_t i = 0; i < PAGE_SIZE; i++) {
		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		page[i] = (vaddr >> 12) % 3 ? (uint8_t)(x >> 32) : (uint8_t)('a' + i % 7);
	}
}

/* Two present runs with a zero run and a gap between them. */
static void make_map(struct pagemap *map)
{
	*map = (struct pagemap){ .pages_id = 7 };
	assert_int_equal(pagemap_append(map, BASE, 5, PE_PRESENT | PE_LAZY), 0);
	assert_int_equal(pagemap_append(map, BASE + 5 * PAGE_SIZE, 3, PE_LAZY), 0);
	assert_int_equal(pagemap_append(map, BASE + 100 * PAGE_SIZE, 4, PE_PRESENT), 0);
}

static void write_inventory(struct image_dir *dir, struct diag *diag)
{
	InventoryEntry inv = INVENTORY_ENTRY__INIT;

	inv.img_version = 2;
	assert_int_equal(image_write_one(dir, IMG_INVENTORY, 0, &inv, diag), 0);
}

static void assert_same_run(const struct page_run *a, const struct page_run *b)
{
	assert_int_equal(a->vaddr, b->vaddr);
	assert_int_equal(a->nr_pages, b->nr_pages);
	assert_int_equal(a->index, b->index);
	assert_int_equal(a->flags, b->flags);
}

struct putter {
	struct page_writer *w;
	const struct pagemap *map;
	unsigned int nr;
};

static void *put_some(void *arg)
{
	struct putter *p = arg;
	uint8_t page[PAGE_SIZE];

	for (size_t i = 0; i < p->map->nr; i++) {
		const struct page_run *run = &p->map->runs[i];

		for (uint64_t n = p->nr; (run->flags & PE_PRESENT) && n < run->nr_pages; n += THREADS) {
			struct page_run one = { .vaddr = run->vaddr + n * PAGE_SIZE,
						.nr_pages = 1,
						.index = run->index + n };

			fill(one.vaddr, page);
			if (page_writer_put(p->w, &one, 1, page))
				return (void *)1;
		}
	}
	return NULL;
}

static void dump_with(struct fixture *f, const char *store, const struct pagemap *map)
{
	struct putter putters[THREADS];
	pthread_t threads[THREADS];
	struct page_writer *w;
	struct image_dir *dir;

	assert_int_equal(image_dir_create(f->path, &dir, &f->diag), 0);
	assert_int_equal(page_writer_create(dir, store, map->pages_id, &w, &f->diag), 0);
	for (unsigned int i = 0; i < THREADS; i++) {
		putters[i] = (struct putter){ w, map, i };
		assert_int_equal(pthread_create(&threads[i], NULL, put_some, &putters[i]), 0);
	}
	for (unsigned int i = 0; i < THREADS; i++) {
		void *failed;

		pthread_join(threads[i], &failed);
		assert_null(failed);
	}
	assert_int_equal(page_writer_finish(w), 0);
	assert_int_equal(pagemap_write(dir, IMG_PAGEMAP, 42, map, &f->diag), 0);
	write_inventory(dir, &f->diag);
	assert_int_equal(image_dir_commit(dir, &f->diag), 0);
	image_dir_close(dir);
}

static void check_store(struct fixture *f, const char *name)
{
	static uint8_t buf[8 * PAGE_SIZE] __attribute__((aligned(4096)));
	struct pagemap written, map;
	uint8_t want[PAGE_SIZE];
	struct page_store *s;
	struct image_dir *dir;

	make_map(&written);
	dump_with(f, name, &written);
	assert_int_equal(image_dir_open(f->path, &dir, &f->diag), 0);
	assert_int_equal(pagemap_read(dir, IMG_PAGEMAP, 42, &map, &f->diag), 0);
	assert_int_equal(map.nr, 3);
	assert_int_equal(map.nr_present, 9);
	assert_int_equal(map.pages_id, 7);
	assert_int_equal(page_store_open(dir, &map, &s, &f->diag), 0);
	for (size_t i = 0; i < map.nr; i++) {
		const struct page_run *run = &map.runs[i];
		const void *data = NULL;

		assert_same_run(run, &written.runs[i]);
		page_store_prefetch(s, run, 0, run->nr_pages);
		if (!(run->flags & PE_PRESENT)) {
			assert_int_equal(page_store_get(s, run, 0, 1, buf, &data, &f->diag), -EINVAL);
			diag_clear(&f->diag);
			continue;
		}
		assert_int_equal(page_store_get(s, run, 1, run->nr_pages - 1, buf, &data, &f->diag), 0);
		for (uint64_t n = 1; n < run->nr_pages; n++) {
			fill(run->vaddr + n * PAGE_SIZE, want);
			assert_memory_equal((const char *)data + (n - 1) * PAGE_SIZE, want, PAGE_SIZE);
		}
		assert_int_equal(page_store_get(s, run, 1, run->nr_pages, buf, &data, &f->diag), -EINVAL);
		diag_clear(&f->diag);
	}
	page_store_close(s);
	pagemap_free(&map);
	pagemap_free(&written);
	image_dir_close(dir);
}

static void test_raw(void **state)
{
	check_store(*state, "raw");
}

static void test_files(void **state)
{
	check_store(*state, "files");
}

/* A dump with one kind of store over one with the other: nothing of the first stays. */
static void test_replace(void **state)
{
	struct fixture *f = *state;
	char path[PATH_MAX];

	check_store(f, "files");
	check_store(f, "files");
	check_store(f, "raw");
	snprintf(path, sizeof(path), "%s/pages-7.d", f->path);
	assert_int_equal(access(path, F_OK), -1);
	check_store(f, "files");
	snprintf(path, sizeof(path), "%s/pages-7.img", f->path);
	assert_int_equal(access(path, F_OK), -1);
}

static void test_unknown_store(void **state)
{
	struct fixture *f = *state;
	struct page_writer *w;
	struct image_dir *dir;

	assert_int_equal(image_dir_create(f->path, &dir, &f->diag), 0);
	assert_int_equal(page_writer_create(dir, "rawest", 1, &w, &f->diag), -EINVAL);
	assert_non_null(strstr(f->diag.text, "rawest"));
	image_dir_close(dir);
}

/* Open the dump's store, reading page 0 of run 0; the sentence must have @word in it. */
static void expect_fault(struct fixture *f, int code, const char *word)
{
	static uint8_t buf[PAGE_SIZE];
	struct page_store *s = NULL;
	struct image_dir *dir;
	struct pagemap map;
	const void *data;
	int ret;

	diag_clear(&f->diag);
	assert_int_equal(image_dir_open(f->path, &dir, &f->diag), 0);
	assert_int_equal(pagemap_read(dir, IMG_PAGEMAP, 42, &map, &f->diag), 0);
	ret = page_store_open(dir, &map, &s, &f->diag);
	if (!ret)
		ret = page_store_get(s, &map.runs[0], 0, 1, buf, &data, &f->diag);
	assert_int_equal(ret, code);
	if (!strstr(f->diag.text, word))
		fail_msg("'%s' does not say %s", f->diag.text, word);
	page_store_close(s);
	pagemap_free(&map);
	image_dir_close(dir);
}

static void test_raw_damage(void **state)
{
	struct fixture *f = *state;
	char path[PATH_MAX];
	struct pagemap map;

	make_map(&map);
	dump_with(f, "raw", &map);
	snprintf(path, sizeof(path), "%s/pages-7.img", f->path);
	assert_int_equal(truncate(path, 9 * PAGE_SIZE - 1), 0);
	expect_fault(f, -EPROTO, "pages-7.img is truncated: it holds 8 pages of 9");
	assert_int_equal(unlink(path), 0);
	expect_fault(f, -ENOENT, "pages-7.img");
	pagemap_free(&map);
}

/* Cut a page's file at each length, flip each byte: an error that names it, or (gzip's header has idle bytes) the page.
 */
static void test_files_damage(void **state)
{
	struct fixture *f = *state;
	uint8_t good[8192], bad[8192], want[PAGE_SIZE];
	char path[PATH_MAX];
	struct pagemap map;
	struct page_store *s;
	struct image_dir *dir;
	ssize_t len;
	int fd;

	make_map(&map);
	dump_with(f, "files", &map);
	assert_int_equal(image_dir_open(f->path, &dir, &f->diag), 0);
	assert_int_equal(page_store_open(dir, &map, &s, &f->diag), 0);
	snprintf(path, sizeof(path), "%s/pages-7.d/%016llx.gz", f->path, (unsigned long long)BASE);
	fd = open(path, O_RDWR);
	len = full_read(fd, good, sizeof(good));
	assert_true(len > 0);
	fill(BASE, want);
	for (ssize_t i = 0; i < 2 * len; i++) {
		static uint8_t page[PAGE_SIZE];
		const void *data;
		int ret;

		memcpy(bad, good, (size_t)len);
		if (i >= len)
			bad[i - len] ^= 1 << (i % 8);
		assert_int_equal(ftruncate(fd, i < len ? i : len), 0);
		assert_int_equal(full_pwrite(fd, bad, (size_t)(i < len ? i : len), 0), 0);
		diag_clear(&f->diag);
		ret = page_store_get(s, &map.runs[0], 0, 1, page, &data, &f->diag);
		if (ret) {
			assert_int_equal(ret, -EPROTO);
			assert_non_null(strstr(f->diag.text, "00007f0000000000.gz is damaged"));
		} else {
			assert_true(i - len > 2 && i - len < 10);
			assert_memory_equal(data, want, PAGE_SIZE);
		}
	}
	close(fd);
	assert_int_equal(unlink(path), 0);
	page_store_close(s);
	image_dir_close(dir);
	expect_fault(f, -ENOENT, "00007f0000000000.gz is missing");
	pagemap_free(&map);
}

/* Write a pagemap entry by entry, as other programs would, and read it. */
static int read_entries(struct fixture *f, const PagemapEntry *e, size_t nr, struct pagemap *map)
{
	PagemapHead head = PAGEMAP_HEAD__INIT;
	struct image_writer *w;
	struct image_dir *dir;
	int ret;

	diag_clear(&f->diag);
	head.pages_id = 1;
	assert_int_equal(image_dir_create(f->path, &dir, &f->diag), 0);
	assert_int_equal(image_create(dir, IMG_PAGEMAP, 42, &w, &f->diag), 0);
	assert_int_equal(image_put(w, &head), 0);
	for (size_t i = 0; i < nr; i++)
		assert_int_equal(image_put(w, &e[i]), 0);
	assert_int_equal(image_finish(w), 0);
	write_inventory(dir, &f->diag);
	assert_int_equal(image_dir_commit(dir, &f->diag), 0);
	image_dir_close(dir);
	assert_int_equal(image_dir_open(f->path, &dir, &f->diag), 0);
	ret = pagemap_read(dir, IMG_PAGEMAP, 42, map, &f->diag);
	image_dir_close(dir);
	return ret;
}

#define ENTRY(...)                                                                       \
	{                                                                                \
		.base = PROTOBUF_C_MESSAGE_INIT(&pagemap_entry__descriptor), __VA_ARGS__ \
	}

static void test_old_entries(void **state)
{
	PagemapEntry e[] = {
		ENTRY(.vaddr = 0x1000, .compat_nr_pages = 2),
		ENTRY(.vaddr = 0x3000, .compat_nr_pages = 1, .has_in_parent = true, .in_parent = true),
		ENTRY(.vaddr = 0x4000, .compat_nr_pages = 1, .has_in_parent = true),
		ENTRY(.vaddr = 0x5000, .has_nr_pages = true, .nr_pages = 3, .has_flags = true, .flags = PE_PRESENT),
		ENTRY(.vaddr = 0x9000, .compat_nr_pages = 9, .has_nr_pages = true, .nr_pages = 1, .has_flags = true),
	};
	struct page_run want[] = {
		{ 0x1000, 2, 0, PE_PRESENT, 0, 0 }, { 0x3000, 1, 2, PE_PARENT, 0, 0 },
		{ 0x4000, 1, 2, PE_PRESENT, 0, 0 }, { 0x5000, 3, 3, PE_PRESENT, 0, 0 },
		{ 0x9000, 1, 6, 0, 0, 0 },
	};
	struct pagemap map;

	assert_int_equal(read_entries(*state, e, ARRAY_SIZE(e), &map), 0);
	assert_int_equal(map.nr, ARRAY_SIZE(want));
	assert_int_equal(map.nr_present, 6);
	for (size_t i = 0; i < map.nr; i++)
		assert_same_run(&map.runs[i], &want[i]);
	pagemap_free(&map);
}

static void test_bad_entries(void **state)
{
	static const struct {
		PagemapEntry e;
		const char *word;
	} bad[] = {
		{ ENTRY(.vaddr = 0x8001, .compat_nr_pages = 1), "not aligned" },
		{ ENTRY(.vaddr = 0x8000), "has no pages" },
		{ ENTRY(.vaddr = 0x2000, .compat_nr_pages = 1), "overlaps" },
		{ ENTRY(.vaddr = 0x0, .compat_nr_pages = 1), "overlaps" },
		{ ENTRY(.vaddr = 0x8000, .has_nr_pages = true, .nr_pages = 1ull << 52), "address space" },
		{ ENTRY(.vaddr = 0x8000, .has_nr_pages = true, .nr_pages = UINT64_MAX), "address space" },
		{ ENTRY(.vaddr = UINT64_MAX - 4095, .compat_nr_pages = 1), "address space" },
		{ ENTRY(.vaddr = 0x8000, .compat_nr_pages = 1, .has_flags = true, .flags = 8), "newer Thaw" },
		{ ENTRY(.vaddr = 0x8000, .compat_nr_pages = 1, .has_flags = true, .flags = PE_PRESENT | PE_PARENT),
		  "parent" },
	};
	struct fixture *f = *state;

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		PagemapEntry e[] = { ENTRY(.vaddr = 0x1000, .compat_nr_pages = 2), bad[i].e };
		struct pagemap map;

		assert_int_equal(read_entries(f, e, 2, &map), -EPROTO);
		if (!strstr(f->diag.text, bad[i].word) || !strstr(f->diag.text, "pagemap-42.img"))
			fail_msg("'%s' does not say %s", f->diag.text, bad[i].word);
	}
}

/* Fields that a newer format may have added to a run (how it is compressed, say) must not be passed over. */
static void test_new_fields(void **state)
{
	PagemapEntry e[] = { ENTRY(.vaddr = 0x1000, .compat_nr_pages = 2) };
	ProtobufCMessageUnknownField field = { .tag = 6, .wire_type = 0, .len = 1, .data = (uint8_t *)"\x05" };
	struct fixture *f = *state;
	struct pagemap map;

	e[0].base.n_unknown_fields = 1;
	e[0].base.unknown_fields = &field;
	assert_int_equal(read_entries(f, e, 1, &map), -EPROTO);
	assert_non_null(strstr(f->diag.text, "newer Thaw"));
}

static void test_append_find(void **state)
{
	struct pagemap map = { 0 };

	for (uint64_t i = 0; i < 1000; i++)
		assert_int_equal(pagemap_append(&map, 0x10000 * i, 2, PE_PRESENT), 0);
	assert_int_equal(pagemap_append(&map, 0x10000 * 999 + 2 * PAGE_SIZE, 1, PE_PRESENT), 0);
	assert_int_equal(pagemap_append(&map, 0x10000 * 999 + 3 * PAGE_SIZE, 1, PE_LAZY), 0);
	assert_int_equal(pagemap_append(&map, 0x10000 * 2000, 0, PE_LAZY), 0);
	assert_int_equal(map.nr, 1001);
	assert_int_equal(map.nr_present, 2001);
	assert_int_equal(map.runs[999].nr_pages, 3);
	assert_int_equal(map.runs[500].index, 1000);
	for (uint64_t i = 0; i < 999; i++) {
		assert_int_equal(pagemap_find(&map, 0x10000 * i), i);
		assert_int_equal(pagemap_find(&map, 0x10000 * i + 2 * PAGE_SIZE - 1), i);
		assert_int_equal(pagemap_find(&map, 0x10000 * i + 2 * PAGE_SIZE), i + 1);
	}
	assert_int_equal(pagemap_find(&map, UINT64_MAX), map.nr);
	pagemap_free(&map);
}

/* A pagemap without present pages needs no store. */
static void test_empty(void **state)
{
	struct fixture *f = *state;
	struct pagemap map = { .pages_id = 9 };
	struct page_store *s;
	struct image_dir *dir;

	assert_int_equal(pagemap_append(&map, BASE, 5, PE_LAZY), 0);
	dump_with(f, "raw", &map);
	assert_int_equal(image_dir_open(f->path, &dir, &f->diag), 0);
	assert_int_equal(page_store_open(dir, &map, &s, &f->diag), 0);
	page_store_prefetch(s, &map.runs[0], 0, 5);
	page_store_close(s);
	map.pages_id = 10;
	assert_int_equal(page_store_open(dir, &map, &s, &f->diag), 0);
	page_store_prefetch(s, &map.runs[0], 0, 5);
	page_store_close(s);
	image_dir_close(dir);
	pagemap_free(&map);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_raw, setup, teardown),
		cmocka_unit_test_setup_teardown(test_files, setup, teardown),
		cmocka_unit_test_setup_teardown(test_replace, setup, teardown),
		cmocka_unit_test_setup_teardown(test_unknown_store, setup, teardown),
		cmocka_unit_test_setup_teardown(test_raw_damage, setup, teardown),
		cmocka_unit_test_setup_teardown(test_files_damage, setup, teardown),
		cmocka_unit_test_setup_teardown(test_old_entries, setup, teardown),
		cmocka_unit_test_setup_teardown(test_bad_entries, setup, teardown),
		cmocka_unit_test_setup_teardown(test_new_fields, setup, teardown),
		cmocka_unit_test_setup_teardown(test_append_find, setup, teardown),
		cmocka_unit_test_setup_teardown(test_empty, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
