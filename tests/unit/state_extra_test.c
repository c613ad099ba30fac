// SPDX-License-Identifier: GPL-2.0-only
/*
 * The file of extras: what is written is read again; damaged, newer, foreign and missing ones.
 */
#include "criu-like/state/extra.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/util.h"

#define PID 77
#define NR 3

struct world {
	char path[64], file[128];
	struct diag diag;
	struct restore restore;
	struct process process;
	struct thread threads[NR];
	ThawThreadEntry entries[NR];
};

/* A committed directory with the extras of one process. */
static void write_extras(struct world *w)
{
	InventoryEntry inventory = INVENTORY_ENTRY__INIT;
	struct dump d = { .diag = &w->diag };

	inventory.img_version = 2;
	assert_int_equal(image_dir_create(w->path, &d.dir, &w->diag), 0);
	assert_int_equal(image_dir_begin_run(d.dir, &w->diag), 0);
	inventory.dump_criu_run_id = (char *)image_dir_run_id(d.dir);
	assert_int_equal(extra_write(&d, &w->process), 0);
	assert_int_equal(image_write_one(d.dir, IMG_INVENTORY, 0, &inventory, &w->diag), 0);
	assert_int_equal(image_dir_commit(d.dir, &w->diag), 0);
	image_dir_close(d.dir);
}

static int setup(void **state)
{
	struct world *w = test_calloc(1, sizeof(*w));

	strcpy(w->path, "/tmp/thaw-extra-XXXXXX");
	assert_non_null(mkdtemp(w->path));
	snprintf(w->file, sizeof(w->file), "%s/thaw-task-%d", w->path, PID);
	diag_init(&w->diag, -1, DIAG_ERROR);
	w->process = (struct process){ .pid = PID, .threads = w->threads, .nr_threads = NR };
	for (int i = 0; i < NR; i++) {
		thaw_thread_entry__init(&w->entries[i]);
		w->entries[i].tid = (uint32_t)(PID + i);
		w->entries[i].has_timer_slack = true;
		w->entries[i].timer_slack = 1000U + (uint32_t)i;
		w->threads[i] = (struct thread){ .tid = PID + i, .extra = &w->entries[i] };
	}
	write_extras(w);
	for (int i = 0; i < NR; i++)
		w->threads[i].extra = NULL;
	w->restore = (struct restore){ .diag = &w->diag };
	assert_int_equal(image_dir_open(w->path, &w->restore.dir, &w->diag), 0);
	*state = w;
	return 0;
}

static int teardown(void **state)
{
	struct world *w = *state;
	char inventory[128];

	extra_free(&w->process);
	image_dir_close(w->restore.dir);
	snprintf(inventory, sizeof(inventory), "%s/inventory.img", w->path);
	unlink(inventory);
	unlink(w->file);
	rmdir(w->path);
	test_free(w);
	return 0;
}

static void test_there_and_back(void **state)
{
	struct world *w = *state;

	assert_int_equal(extra_read(&w->restore, &w->process), 0);
	for (int i = 0; i < NR; i++) {
		assert_non_null(w->threads[i].extra);
		assert_int_equal(w->threads[i].extra->timer_slack, 1000 + i);
		assert_false(w->threads[i].extra->has_cpus);
	}
}

/* CRIU's images have none. */
static void test_missing(void **state)
{
	struct world *w = *state;

	assert_int_equal(unlink(w->file), 0);
	assert_int_equal(extra_read(&w->restore, &w->process), 0);
	assert_null(w->threads[0].extra);
}

/* No byte can be changed, and no end cut off, unseen. */
static void test_damaged(void **state)
{
	struct world *w = *state;
	struct stat st;
	int fd = open(w->file, O_RDWR);

	assert_true(fd >= 0);
	assert_int_equal(fstat(fd, &st), 0);
	for (off_t at = 0; at < st.st_size; at++) {
		unsigned char byte, other;

		assert_int_equal(pread(fd, &byte, 1, at), 1);
		other = byte ^ 1;
		assert_int_equal(pwrite(fd, &other, 1, at), 1);
		diag_clear(&w->diag);
		if (extra_read(&w->restore, &w->process) >= 0)
			fail_msg("byte %ld can be changed", (long)at);
		assert_true(w->diag.code && strstr(w->diag.text, "thaw-task-77"));
		extra_free(&w->process);
		assert_int_equal(pwrite(fd, &byte, 1, at), 1);
	}
	for (off_t len = st.st_size - 1; len >= 0; len--) {
		assert_int_equal(ftruncate(fd, len), 0);
		if (extra_read(&w->restore, &w->process) >= 0)
			fail_msg("%ld bytes are enough", (long)len);
		extra_free(&w->process);
	}
	close(fd);
}

/* As CRIU leaves them when it dumps into the same directory: they say nothing of what is there now. */
static void test_of_another_dump(void **state)
{
	InventoryEntry inventory = INVENTORY_ENTRY__INIT;
	struct world *w = *state;
	struct image_dir *dir;
	char kept[160];

	snprintf(kept, sizeof(kept), "%s.kept", w->file);
	assert_int_equal(rename(w->file, kept), 0);
	image_dir_close(w->restore.dir);
	inventory.img_version = 2;
	assert_int_equal(image_dir_create(w->path, &dir, &w->diag), 0);
	assert_int_equal(image_dir_begin_run(dir, &w->diag), 0);
	inventory.dump_criu_run_id = (char *)image_dir_run_id(dir);
	assert_int_equal(image_write_one(dir, IMG_INVENTORY, 0, &inventory, &w->diag), 0);
	assert_int_equal(image_dir_commit(dir, &w->diag), 0);
	image_dir_close(dir);
	assert_int_equal(rename(kept, w->file), 0);
	assert_int_equal(image_dir_open(w->path, &w->restore.dir, &w->diag), 0);
	assert_int_equal(extra_read(&w->restore, &w->process), 0);
	assert_null(w->threads[0].extra);
}

static void test_other_threads(void **state)
{
	struct world *w = *state;

	w->threads[1].tid = 4;
	assert_int_equal(extra_read(&w->restore, &w->process), -EPROTO);
}

#define ROW(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		ROW(test_there_and_back), ROW(test_missing),	     ROW(test_damaged),
		ROW(test_other_threads),  ROW(test_of_another_dump),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
