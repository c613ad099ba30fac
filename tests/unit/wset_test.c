// SPDX-License-Identifier: GPL-2.0-only
/* Working sets: what is written is read, and nothing that is damaged or of other images; what is recorded, and in which
 * order. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/cleanup.h"
#include "common/util.h"
#include "images/proto/all.h"
#include "images/wset.h"
#include "images/wset_show.h"
#include "lazy-pages/record.h"

#define BASE 0x7f0000000000ull
#define PAGES 200u /* of the store: 100 from BASE on, 100 from BASE + 1000 pages on */

struct fixture {
	char path[64], file[96];
	struct diag diag;
	struct image_dir *dir;
	struct pagemap map;
};

static void write_dump(struct fixture *f, uint64_t uptime)
{
	InventoryEntry inv = INVENTORY_ENTRY__INIT;
	static uint8_t data[PAGES * PAGE_SIZE];
	struct page_writer *w;
	struct image_dir *dir;

	inv.img_version = 2;
	inv.has_dump_uptime = true;
	inv.dump_uptime = uptime;
	assert_int_equal(image_dir_create(f->path, &dir, &f->diag), 0);
	assert_int_equal(page_writer_create(dir, "raw", 7, &w, &f->diag), 0);
	for (size_t i = 0; i < f->map.nr; i++)
		if (f->map.runs[i].flags & PE_PRESENT)
			assert_int_equal(page_writer_put(w, &f->map.runs[i], 1, data), 0);
	assert_int_equal(page_writer_finish(w), 0);
	assert_int_equal(pagemap_write(dir, IMG_PAGEMAP, 42, &f->map, &f->diag), 0);
	assert_int_equal(image_write_one(dir, IMG_INVENTORY, 0, &inv, &f->diag), 0);
	assert_int_equal(image_dir_commit(dir, &f->diag), 0);
	image_dir_close(dir);
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	diag_init(&f->diag, -1, DIAG_ERROR);
	strcpy(f->path, "/tmp/thaw-wset-XXXXXX");
	*state = f;
	if (!mkdtemp(f->path))
		return -1;
	snprintf(f->file, sizeof(f->file), "%s/pages-7.wset", f->path);
	f->map.pages_id = 7;
	if (pagemap_append(&f->map, BASE, 100, PE_PRESENT | PE_LAZY) ||
	    pagemap_append(&f->map, BASE + 100 * PAGE_SIZE, 50, PE_LAZY) || /* zero */
	    pagemap_append(&f->map, BASE + 1000 * PAGE_SIZE, 100, PE_PRESENT | PE_LAZY))
		return -1;
	write_dump(f, 1);
	return image_dir_open(f->path, &f->dir, &f->diag);
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	char command[128];
	int ret;

	image_dir_close(f->dir);
	pagemap_free(&f->map);
	snprintf(command, sizeof(command), "rm -rf '%s'", f->path);
	ret = system(command);
	free(f);
	return ret;
}

/* Chunk 2 was touched before chunk 0; page 199 is the last one of the store. */
static struct wset_chunk sample[] = { { 2, 0xf0 }, { 0, 1 | 1ULL << 63 }, { 3, 1ULL << 7 } };

static void write_sample(struct fixture *f)
{
	const struct wset set = { sample, ARRAY_SIZE(sample) };

	assert_int_equal(wset_write(f->dir, &f->map, &set, &f->diag), 0);
}

static int read_back(struct fixture *f, struct wset *set)
{
	diag_clear(&f->diag);
	return wset_read(f->dir, &f->map, set, &f->diag);
}

static void what_is_written_is_read(void **state)
{
	struct fixture *f = *state;
	struct wset set;

	assert_int_equal(read_back(f, &set), -ENOENT);
	assert_int_equal(f->diag.code, 0);
	write_sample(f);
	write_sample(f); /* again, in its place */
	assert_int_equal(read_back(f, &set), 0);
	assert_int_equal(set.nr, ARRAY_SIZE(sample));
	assert_memory_equal(set.chunks, sample, sizeof(sample));
	assert_int_equal(wset_pages(&set), 7);
	wset_free(&set);
}

static void every_damage_is_noticed(void **state)
{
	struct fixture *f = *state;
	_cleanup_close_ int fd = -1;
	struct wset set;
	struct stat st;

	write_sample(f);
	fd = open(f->file, O_RDWR | O_CLOEXEC);
	assert_int_equal(fstat(fd, &st), 0);
	for (off_t at = 0; at < st.st_size; at++) {
		uint8_t byte, other;

		assert_int_equal(pread(fd, &byte, 1, at), 1);
		other = byte ^ (uint8_t)(1 << at % 8);
		assert_int_equal(pwrite(fd, &other, 1, at), 1);
		assert_true(read_back(f, &set) < 0);
		assert_true(f->diag.code == EPROTO || f->diag.code == ESTALE);
		assert_non_null(strstr(f->diag.text, "pages-7.wset"));
		assert_int_equal(pwrite(fd, &byte, 1, at), 1);
	}
	for (off_t len = st.st_size - 1; len >= 0; len--) {
		assert_int_equal(ftruncate(fd, len), 0);
		assert_int_equal(read_back(f, &set), -EPROTO);
	}
	assert_int_equal(ftruncate(fd, 1 << 20), 0);
	assert_int_equal(read_back(f, &set), -EPROTO);
}

static void pages_beyond_the_store_are_refused(void **state)
{
	struct fixture *f = *state;
	struct wset_chunk bad[] = { { 3, 1ULL << 8 }, { 4, 1 }, { UINT64_MAX, 1 }, { 1ULL << 58, 1 }, { 0, 0 } };
	struct wset out;

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		const struct wset set = { &bad[i], 1 };

		assert_int_equal(wset_write(f->dir, &f->map, &set, &f->diag), 0);
		assert_int_equal(read_back(f, &out), -EPROTO);
	}
	bad[0] = bad[1] = (struct wset_chunk){ 1, 1 };
	assert_int_equal(wset_write(f->dir, &f->map, &(struct wset){ bad, 2 }, &f->diag), 0);
	assert_int_equal(read_back(f, &out), -EPROTO);
	assert_non_null(strstr(f->diag.text, "twice"));
}

/* Keep the file through another dump, which would remove it. */
static void dump_again(struct fixture *f, uint64_t uptime)
{
	char kept[128];

	snprintf(kept, sizeof(kept), "%s/kept", f->path);
	assert_int_equal(rename(f->file, kept), 0);
	image_dir_close(f->dir);
	write_dump(f, uptime);
	assert_int_equal(image_dir_open(f->path, &f->dir, &f->diag), 0);
	assert_int_equal(rename(kept, f->file), 0);
}

static void other_images_are_told_apart(void **state)
{
	struct fixture *f = *state;
	struct wset set;

	write_sample(f);
	dump_again(f, 1); /* the same once more */
	assert_int_equal(read_back(f, &set), 0);
	wset_free(&set);
	dump_again(f, 2);
	assert_int_equal(read_back(f, &set), -ESTALE);
	assert_non_null(strstr(f->diag.text, "other images"));
	write_sample(f);
	assert_int_equal(read_back(f, &set), 0);
	wset_free(&set);
	f->map.runs[0].vaddr -= PAGE_SIZE;
	assert_int_equal(read_back(f, &set), -ESTALE);
}

static void another_dump_removes_it(void **state)
{
	struct fixture *f = *state;

	write_sample(f);
	write_dump(f, 2);
	assert_int_equal(access(f->file, F_OK), -1);
}

static void pages_are_found_in_their_runs(void **state)
{
	struct fixture *f = *state;

	assert_ptr_equal(pagemap_find_page(&f->map, 0), &f->map.runs[0]);
	assert_ptr_equal(pagemap_find_page(&f->map, 99), &f->map.runs[0]);
	assert_ptr_equal(pagemap_find_page(&f->map, 100), &f->map.runs[2]);
	assert_ptr_equal(pagemap_find_page(&f->map, 199), &f->map.runs[2]);
	assert_null(pagemap_find_page(&f->map, 200));
}

static void ranges_of_a_chunk_are_walked(void **state)
{
	const struct wset_chunk full = { 1, ~0ULL }, some = { 2, 0xf0 | 1ULL << 63 };
	uint64_t first;

	assert_int_equal(wset_next(&full, 0, &first), 64);
	assert_int_equal(first, 64);
	assert_int_equal(wset_next(&full, 60, &first), 4);
	assert_int_equal(first, 124);
	assert_int_equal(wset_next(&full, 64, &first), 0);
	assert_int_equal(wset_next(&some, 0, &first), 4);
	assert_int_equal(first, 132);
	assert_int_equal(wset_next(&some, 6, &first), 2);
	assert_int_equal(first, 134);
	assert_int_equal(wset_next(&some, 8, &first), 1);
	assert_int_equal(first, 191);
}

/* Faults in two processes, some of them twice, seen by two servers one after the other. */
static void record_keeps_the_order(void **state)
{
	struct fixture *f = *state;
	struct source src[2] = { { .map = f->map }, { .map = { .pages_id = 8 } } };
	struct shared_row row[2] = { { .image_pid = 42 }, { .image_pid = 43 } };
	struct space sp[2] = { { .src = &src[0], .row = &row[0] }, { .src = &src[1], .row = &row[1] } };
	struct piece low = { .run = &f->map.runs[0], .skip = 10, .nr = 60 }; /* pages 10-69: two chunks */
	struct piece high = { .run = &f->map.runs[2], .skip = 40, .nr = 8 }; /* pages 140-147: chunk 2 */
	struct shared *sh = shared_new();
	struct record *r = record_new(sh);
	struct wset set;

	record_fault(NULL, &sp[0], &low, 60);
	record_fault(r, &sp[0], &high, 8);
	record_fault(r, &sp[0], &low, 0);
	record_fault(r, &sp[0], &low, 60);
	record_free(r);
	r = record_new(sh);
	record_fault(r, &sp[0], &high, 8);
	high.skip = 48;
	record_fault(r, &sp[0], &high, 1);
	assert_int_equal(sh->nr_records, 3);
	assert_int_equal(record_write(sh, f->path, &f->diag), 0);
	assert_int_equal(read_back(f, &set), 0);
	assert_int_equal(set.nr, 3);
	assert_int_equal(set.chunks[0].number, 2);
	assert_true(set.chunks[0].pages == 0x1ffull << (140 - 128));
	assert_int_equal(set.chunks[1].number, 0);
	assert_true(set.chunks[1].pages == ~0ULL << 10);
	assert_int_equal(set.chunks[2].number, 1);
	assert_true(set.chunks[2].pages == 0x3f);
	/* What was recorded earlier, in another place in the order. */
	record_set(r, &sp[0], &set);
	assert_int_equal(sh->nr_records, 3);
	wset_free(&set);
	/* The same chunk of another store is another. */
	record_fault(r, &sp[1], &low, 1);
	assert_int_equal(sh->nr_records, 4);
	record_free(r);
	munmap(sh, sizeof(*sh));
}

static void show_names_addresses(void **state)
{
	struct fixture *f = *state;
	_cleanup_free_ char *text = NULL;
	size_t len;
	FILE *out = open_memstream(&text, &len);

	assert_int_equal(image_wset(f->path, true, out, &f->diag), -ENOENT);
	assert_non_null(strstr(f->diag.text, "--record"));
	write_sample(f);
	diag_clear(&f->diag);
	assert_int_equal(image_wset(f->path, false, out, &f->diag), 0);
	assert_int_equal(image_wset(f->path, true, out, &f->diag), 0);
	fclose(out);
	assert_non_null(strstr(text, "process 42: "));
	/* pages 132-135 are in the second run, 32 pages behind its start */
	assert_non_null(strstr(text, "  0x7f0000408000  4 pages\n  0x7f0000000000  1 pages\n"));
	assert_non_null(strstr(text, "\"address\": \"0x7f000044b000\""));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(what_is_written_is_read),
		TEST(every_damage_is_noticed),
		TEST(pages_beyond_the_store_are_refused),
		TEST(other_images_are_told_apart),
		TEST(another_dump_removes_it),
		TEST(pages_are_found_in_their_runs),
		TEST(ranges_of_a_chunk_are_walked),
		TEST(record_keeps_the_order),
		TEST(show_names_addresses),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
