// SPDX-License-Identifier: GPL-2.0-only
/* A directory of images: what is not committed leaves no trace, and what is replaced is replaced whole. */
#include "tests/unit/image_sample.h"

#include <dirent.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

static unsigned int count_files(struct fixture *f)
{
	_cleanup_closedir_ DIR *d = opendir(f->path);
	unsigned int nr = 0;

	while (readdir(d))
		nr++;
	return nr - 2;
}

static bool there(struct fixture *f, const char *name)
{
	return !access(path_of(f, name), F_OK);
}

static struct image_dir *create(struct fixture *f)
{
	struct image_dir *dir = NULL;

	assert_int_equal(image_dir_create(f->path, &dir, &f->diag), 0);
	return dir;
}

static void put_fs(struct fixture *f, struct image_dir *dir, uint64_t id)
{
	FsEntry fs = FS_ENTRY__INIT;

	assert_int_equal(image_write_one(dir, IMG_FS, id, &fs, &f->diag), 0);
}

/* Whatever is written, nothing has its name before the commit, and nothing is left without one. */
static void test_abort(void **state)
{
	struct fixture *f = *state;
	struct image_dir *dir = create(f);
	struct page_writer *pages;
	struct image_writer *w;

	put_inventory(f, dir);
	put_fs(f, dir, 1);
	assert_int_equal(image_create(dir, IMG_CORE, 1, &w, &f->diag), 0);
	image_abandon(w);
	assert_int_equal(page_writer_create(dir, "files", 1, &pages, &f->diag), 0);
	assert_int_equal(page_writer_put(pages, &(struct page_run){ .vaddr = 0x1000 }, 1, f), 0);
	assert_int_equal(page_writer_finish(pages), 0);
	assert_int_equal(page_writer_create(dir, "raw", 2, &pages, &f->diag), 0);
	page_writer_abandon(pages);
	assert_int_equal(count_files(f), 4);
	assert_false(there(f, "inventory.img"));
	assert_true(image_exists(dir, IMG_FS, 1));
	assert_false(image_exists(dir, IMG_CORE, 1));
	image_dir_close(dir);
	assert_int_equal(count_files(f), 0);
	assert_int_equal(image_dir_open(f->path, &dir, &f->diag), -ENOENT);
	assert_non_null(strstr(f->diag.text, "no inventory.img"));
}

static void test_commit(void **state)
{
	struct fixture *f = *state;
	struct image_dir *dir = create(f);
	struct stat st;

	put_fs(f, dir, 1);
	put_inventory(f, dir);
	assert_int_equal(image_dir_commit(dir, &f->diag), 0);
	image_dir_close(dir);
	assert_int_equal(count_files(f), 2);
	assert_int_equal(stat(path_of(f, "fs-1.img"), &st), 0);
	assert_int_equal(st.st_mode, S_IFREG | 0600);
	assert_int_equal(image_dir_open(f->path, &dir, &f->diag), 0);
	assert_string_equal(image_dir_path(dir), f->path);
	image_dir_close(dir);
}

static void test_unfinished(void **state)
{
	struct fixture *f = *state;
	struct image_dir *dir = create(f);
	struct image_writer *w;

	put_fs(f, dir, 1);
	assert_int_equal(image_dir_commit(dir, &f->diag), -EINVAL);
	assert_non_null(strstr(f->diag.text, "no inventory"));
	diag_clear(&f->diag);
	put_inventory(f, dir);
	assert_int_equal(image_create(dir, IMG_CORE, 1, &w, &f->diag), 0);
	assert_int_equal(image_dir_commit(dir, &f->diag), -EINVAL);
	assert_non_null(strstr(f->diag.text, "core-1.img is not finished"));
	image_abandon(w);
	assert_int_equal(image_dir_commit(dir, &f->diag), 0);
	image_dir_close(dir);
}

/* A new dump over an old one: images of the old one go, other files stay. */
static void test_replace(void **state)
{
	struct fixture *f = *state;
	struct image_dir *dir;

	write_samples(f);
	store(f, "notes.txt", "x", 1);
	store(f, "disk.img", "x", 1);
	store(f, "pages-1.img", "x", 1);
	store(f, "pages-1.img.bak", "x", 1);
	dir = create(f);
	put_fs(f, dir, 19);
	assert_true(there(f, "inventory.img") && there(f, "fs-18.img"));
	image_dir_close(dir);
	assert_true(there(f, "inventory.img") && there(f, "fs-18.img") && there(f, "pages-1.img"));
	dir = create(f);
	put_fs(f, dir, 19);
	put_inventory(f, dir);
	assert_int_equal(image_dir_commit(dir, &f->diag), 0);
	image_dir_close(dir);
	assert_true(there(f, "inventory.img") && there(f, "fs-19.img"));
	assert_true(there(f, "notes.txt") && there(f, "disk.img") && there(f, "pages-1.img.bak"));
	assert_int_equal(count_files(f), 5);
}

/*
 * A commit that fails half way leaves no inventory: fs-1.img cannot have its name, because it belongs to
 * a directory that is not empty.
 */
static void test_commit_fails(void **state)
{
	struct fixture *f = *state;
	struct image_dir *dir = create(f);

	put_inventory(f, dir);
	assert_int_equal(image_dir_commit(dir, &f->diag), 0);
	image_dir_close(dir);
	assert_int_equal(mkdir(path_of(f, "fs-1.img"), 0700), 0);
	store(f, "fs-1.img/inside", "x", 1);
	dir = create(f);
	put_fs(f, dir, 1);
	put_inventory(f, dir);
	assert_true(image_dir_commit(dir, &f->diag) < 0);
	assert_non_null(strstr(f->diag.text, "fs-1.img"));
	image_dir_close(dir);
	assert_false(there(f, "inventory.img"));
	assert_int_equal(count_files(f), 1);
}

static void test_leftovers(void **state)
{
	struct fixture *f = *state;
	struct image_dir *dir;

	store(f, ".thaw-tmp.core-1.img", "x", 1);
	assert_int_equal(mkdir(path_of(f, ".thaw-tmp.pages-1.d"), 0700), 0);
	store(f, ".thaw-tmp.pages-1.d/0000000000001000.gz", "x", 1);
	dir = create(f);
	assert_int_equal(count_files(f), 0);
	image_dir_close(dir);
}

static void test_one_writer(void **state)
{
	struct fixture *f = *state;
	struct image_dir *dir = create(f), *second;

	assert_int_equal(image_dir_create(f->path, &second, &f->diag), -EBUSY);
	assert_non_null(strstr(f->diag.text, "another dump"));
	image_dir_close(dir);
	dir = create(f);
	image_dir_close(dir);
}

static void test_no_directory(void **state)
{
	struct fixture *f = *state;
	struct image_dir *dir;

	assert_int_equal(image_dir_create(path_of(f, "nowhere"), &dir, &f->diag), -ENOENT);
	assert_non_null(strstr(f->diag.text, "nowhere"));
	image_dir_close(NULL);
	assert_int_equal(image_finish(NULL), 0);
	image_abandon(NULL);
	page_store_close(NULL);
}

/* What is added to a finished dump gets its name at once, and the dump stays finished. */
static void test_add(void **state)
{
	struct fixture *f = *state;
	StatsEntry stats = STATS_ENTRY__INIT, *again;
	struct image_writer *w;
	struct image_dir *dir;

	write_samples(f);
	assert_int_equal(image_dir_open(f->path, &dir, &f->diag), 0);
	assert_int_equal(image_write_one(dir, IMG_STATS_RESTORE, 0, &stats, &f->diag), 0);
	assert_int_equal(image_read_one(dir, IMG_STATS_RESTORE, 0, &again, &f->diag), 0);
	image_free(again);
	assert_int_equal(image_create(dir, IMG_FS, 99, &w, &f->diag), 0);
	image_abandon(w);
	image_dir_close(dir);
	assert_true(there(f, "inventory.img") && there(f, "stats-restore"));
	assert_int_equal(count_files(f), IMG_NR_KINDS);
}

/* When the disk is full (here: no larger files are allowed), it is said by the call that notices. */
static int write_too_much(struct fixture *f, bool pages)
{
	static uint8_t data[64 * PAGE_SIZE];
	struct rlimit limit = { 64 * 1024, 64 * 1024 };
	struct image_dir *dir = create(f);
	struct page_writer *p = NULL;
	struct image_writer *w;
	int ret;

	signal(SIGXFSZ, SIG_IGN);
	setrlimit(RLIMIT_FSIZE, &limit);
	if (pages) {
		ret = page_writer_create(dir, "raw", 1, &p, &f->diag);
		if (!ret)
			ret = page_writer_put(p, &(struct page_run){ .nr_pages = 64 }, 1, data);
		page_writer_abandon(p);
	} else {
		ret = image_create(dir, IMG_PIPES_DATA, 0, &w, &f->diag);
		if (!ret) {
			ret = image_put_raw(w, data, sizeof(data));
			if (ret)
				image_abandon(w);
			else
				ret = image_finish(w);
		}
	}
	image_dir_close(dir);
	return ret == -EFBIG && strstr(f->diag.text, pages ? "pages-1.img" : "pipes-data.img") ? 0 : 1;
}

static void test_full(void **state)
{
	for (int pages = 0; pages < 2; pages++) {
		int status;
		pid_t pid = fork();

		if (!pid)
			_exit(write_too_much(*state, pages));
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_int_equal(status, 0);
	}
	assert_int_equal(count_files(*state), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_abort, setup, teardown),
		cmocka_unit_test_setup_teardown(test_commit, setup, teardown),
		cmocka_unit_test_setup_teardown(test_unfinished, setup, teardown),
		cmocka_unit_test_setup_teardown(test_replace, setup, teardown),
		cmocka_unit_test_setup_teardown(test_commit_fails, setup, teardown),
		cmocka_unit_test_setup_teardown(test_leftovers, setup, teardown),
		cmocka_unit_test_setup_teardown(test_one_writer, setup, teardown),
		cmocka_unit_test_setup_teardown(test_no_directory, setup, teardown),
		cmocka_unit_test_setup_teardown(test_add, setup, teardown),
		cmocka_unit_test_setup_teardown(test_full, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
