// SPDX-License-Identifier: GPL-2.0-only
/* The verifier: a dump that holds together passes, and each thing that is broken is named; whatever bytes are flipped.
 */
#include "tests/unit/image_dump.h"

#include <dirent.h>
#include <json-c/json.h>

#include "images/show.h"
#include "images/verify.h"

#define BREAK(name, code)                \
	static void name(struct dump *d) \
	{                                \
		code;                    \
	}

BREAK(nothing, (void)d)
BREAK(no_core, d->skip[IMG_CORE] = true)
BREAK(no_mm, d->skip[IMG_MM] = true)
BREAK(no_pagemap, d->skip[IMG_PAGEMAP] = true)
BREAK(no_shmem, d->skip[IMG_PAGEMAP_SHMEM] = true)
BREAK(no_fs, d->skip[IMG_FS] = true)
BREAK(no_ids, d->skip[IMG_IDS] = true)
BREAK(no_files, d->skip[IMG_FILES] = true)
BREAK(no_fdinfo, d->skip[IMG_FDINFO] = true)
BREAK(no_pstree, d->skip[IMG_PSTREE] = true)
BREAK(no_ghost, d->skip[IMG_GHOST_FILE] = true)
BREAK(no_memfd, d->skip[IMG_MEMFD_INODE] = true)
BREAK(no_tty, d->skip[IMG_TTY_INFO] = true)
BREAK(no_pages, d->pages = 0)
BREAK(few_pages, d->pages = 4)
BREAK(thread, d->threads[1] = 109)
BREAK(orphan, d->pstree[1].ppid = 77)
BREAK(twin, d->pstree[1].pid = 100)
BREAK(registers, d->core[1].thread_info = NULL)
BREAK(thread_part, d->core[1].thread_core = NULL)
BREAK(process_part, d->core[0].tc = NULL)
BREAK(filter, d->thread.has_seccomp_mode = true; d->thread.seccomp_mode = SECCOMP_MODE__filter;
      d->thread.has_seccomp_filter = true)
BREAK(executable, d->mm.exe_file_id = 3)
BREAK(cwd, d->fs.cwd_id = 30)
BREAK(root, d->fs.root_id = 31)
BREAK(descriptor, d->fdinfo[3].id = 40)
BREAK(descriptor_type, d->fdinfo[3].type = FD_TYPES__PIPE)
BREAK(member, d->files[PIPE].pipe = NULL)
BREAK(unknown_type, d->files[PIPE].type = 77)
BREAK(inner_id, d->pipe.id = 4)
BREAK(twin_file, d->files[CWD].id = d->reg[1].id = 1)
BREAK(vma_order, d->vmap[1] = &d->vmas[2]; d->vmap[2] = &d->vmas[1])
BREAK(vma_overlap, d->vmas[1].end = d->vmas[2].start + 4096)
BREAK(vma_align, d->vmas[2].start++)
BREAK(vma_empty, d->vmas[3].end = d->vmas[3].start)
BREAK(vma_file, d->vmas[0].shmid = 50)
BREAK(vma_shmem, d->vmas[2].shmid = 51)
BREAK(run_gap, pagemap_append(&d->map, 0x422000, 4, PE_LAZY))
BREAK(run_after, pagemap_append(&d->map, 0x500000, 4, PE_LAZY))
BREAK(run_parent, pagemap_append(&d->map, 0x416000, 1, PE_PARENT))
BREAK(memfd_size, d->inode.size = 4096)
BREAK(anon_pages, pagemap_append(&d->anon, 0x1000, 9, PE_PRESENT))
BREAK(pipe_data, d->pipe_data.pipe_id = 34)
BREAK(fifo_data, d->fifo_data.pipe_id = 34)
BREAK(fifo_path, d->fifo.regf_id = 34)
BREAK(queue, d->packet.id_for = 34)
BREAK(right, d->rights[0] = 34)
BREAK(remap, d->remap.orig_id = 34)
BREAK(link_target, d->remap.remap_type = REMAP_TYPE__LINKED)
BREAK(holder, d->lock.pid = 34)

static const struct {
	void (*brk)(struct dump *d);
	int faults;
	const char *words;
} cases[] = {
	{ nothing, 0, "" },
	{ no_core, 3, "core-103.img is missing" },
	{ no_mm, 1, "mm-100.img is missing" },
	{ no_pagemap, 1, "pagemap-100.img is missing" },
	{ no_shmem, 2, "pagemap-shmem-9.img, are missing" },
	{ no_fs, 1, "fs-100.img is missing" },
	{ no_ids, 2, "ids-100.img is missing" },
	{ no_files, 1, "files.img is missing" },
	{ no_fdinfo, 1, "fdinfo-2.img is missing" },
	{ no_pstree, 1, "pstree.img is missing" },
	{ no_ghost, 1, "ghost-file-1a.img, is missing" },
	{ no_memfd, 1, "file 4 is memfd 44" },
	{ no_tty, 1, "file 5 is terminal 55" },
	{ no_pages, 1, "no pages-1.img" },
	{ few_pages, 1, "pages-1.img is truncated: it holds 4 pages of 5" },
	{ thread, 1, "core-109.img is missing" },
	{ orphan, 1, "the parent of process 102, 77" },
	{ twin, 1, "process 100 is there twice" },
	{ registers, 1, "core-101.img has no registers" },
	{ thread_part, 1, "core-101.img has nothing of a thread" },
	{ process_part, 1, "core-100.img has nothing of a process" },
	{ filter, 3, "core-101.img: its filter 0" },
	{ executable, 1, "executable, file 3" },
	{ cwd, 1, "working directory, file 30" },
	{ root, 1, "root directory, file 31" },
	{ descriptor, 1, "descriptor 3 is of file 40" },
	{ descriptor_type, 1, "descriptor 3 is of file 4 of type 2" },
	{ member, 1, "file 3 has type PIPE (2), but nothing of it" },
	{ unknown_type, 1, "file 3 has type unknown (77)" },
	{ inner_id, 1, "file 3 of type PIPE has another id inside" },
	{ twin_file, 1, "two files of type REG with id 1" },
	{ vma_order, 1, "0x410000-0x420000 overlaps" },
	{ vma_overlap, 1, "0x420000-0x424000 overlaps" },
	{ vma_align, 1, "0x420001-0x424000 is none" },
	{ vma_empty, 1, "0x430000-0x430000 is none" },
	{ vma_file, 1, "file 50, which is not in files.img" },
	{ vma_shmem, 1, "pagemap-shmem-51.img, are missing" },
	{ run_gap, 1, "the run 0x422000-0x426000 leaves the mappings at 0x424000" },
	{ run_after, 1, "the run 0x500000-0x504000 leaves the mappings at 0x500000" },
	{ run_parent, 1, "there is no parent" },
	{ memfd_size, 1, "pagemap-shmem-9.img: there are pages beyond" },
	{ anon_pages, 1, "pagemap-shmem-10.img: " },
	{ pipe_data, 1, "pipes-data.img: pipe 34" },
	{ fifo_data, 1, "fifo-data.img: FIFO 34" },
	{ fifo_path, 1, "the path of FIFO 8, file 34" },
	{ queue, 1, "sk-queues.img: socket 34" },
	{ right, 1, "sk-queues.img: file 34" },
	{ remap, 1, "remap-fpath.img: file 34" },
	{ link_target, 1, "the link of file 7, file 26" },
	{ holder, 1, "filelocks.img: the holder of a lock, process 34" },
};

/* Verify, with what it says in @text. */
static int verify(struct fixture *f, char *text, size_t size)
{
	FILE *out = fmemopen(text, size, "w");
	int ret;

	assert_non_null(out);
	diag_clear(&f->diag);
	ret = image_verify(f->path, out, &f->diag);
	fclose(out);
	return ret;
}

static void test_broken(void **state)
{
	struct fixture *f = *state;
	static struct dump d;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		char text[8192] = "";
		int faults;

		fill_dump(&d);
		cases[i].brk(&d);
		write_dump(f, &d);
		faults = verify(f, text, sizeof(text));
		if (cases[i].faults ? faults < cases[i].faults : faults)
			fail_msg("case %zu (%s): %d faults: %s", i, cases[i].words, faults, text);
		if (!strstr(text, cases[i].words))
			fail_msg("case %zu: '%s' does not say '%s'", i, text, cases[i].words);
	}
}

/* Kinds that Thaw does not read are named and no fault; what is no image at all is one. */
static void test_others(void **state)
{
	struct fixture *f = *state;
	static struct dump d;
	char text[8192] = "";

	fill_dump(&d);
	write_dump(f, &d);
	store(f, "netdev-2.img", "\x19\x43\x56\x54\x51\x39\x37\x57", 8);
	store(f, "dump.log", "text", 4);
	assert_int_equal(verify(f, text, sizeof(text)), 0);
	assert_non_null(strstr(text, "note: netdev-2.img is an image of kind NETDEV"));
	store(f, "disk.img", "something", 9);
	store(f, "tcp-stream-1a.img", "", 0);
	assert_int_equal(verify(f, text, sizeof(text)), 2);
	assert_non_null(strstr(text, "disk.img is not an image"));
	assert_non_null(strstr(text, "tcp-stream-1a.img is truncated"));
	assert_int_equal(unlink(path_of(f, "inventory.img")), 0);
	assert_int_equal(verify(f, text, sizeof(text)), -ENOENT);
}

static void test_show_json(void **state)
{
	struct fixture *f = *state;
	_cleanup_free_ char *text = NULL;
	struct json_object *tree, *file;
	size_t size = 0, nr = 0;
	FILE *out;

	write_samples(f);
	store(f, "pages-1.img", "", 0);
	out = open_memstream(&text, &size);
	assert_int_equal(image_show(f->path, true, out, &f->diag), 0);
	fclose(out);
	tree = json_tokener_parse(text);
	assert_non_null(tree);
	assert_int_equal(json_object_array_length(tree), IMG_NR_KINDS + 1);
	for (size_t i = 0; i < json_object_array_length(tree); i++) {
		file = json_object_array_get_idx(tree, i);
		assert_non_null(json_object_object_get(file, "file"));
		nr += json_object_object_get(file, "pages")
			      ? 1
			      : json_object_array_length(json_object_object_get(file, "entries"));
	}
	assert_int_equal(nr, 1 + 1 + 1 + (IMG_NR_KINDS - 2) * 3);
	json_object_put(tree);
}

static void show_quietly(struct fixture *f, const char *path, bool json)
{
	_cleanup_free_ char *text = NULL;
	size_t size = 0;
	FILE *out = open_memstream(&text, &size);

	diag_clear(&f->diag);
	image_show(path, json, out, &f->diag);
	fclose(out);
	assert_true(size > 0);
	if (json) {
		struct json_object *tree = json_tokener_parse(text);

		assert_non_null(tree);
		json_object_put(tree);
	}
}

/* A small generator, so that each run does the same. */
static uint32_t next(uint32_t *seed)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 17;
	*seed ^= *seed << 5;
	return *seed;
}

/* Change some bytes of a file, or cut it, or repeat a part; then verify and show. Nothing may crash, leak or hang. */
static void mutate(struct fixture *f, const char *name, unsigned int times)
{
	static uint8_t good[65536], bad[65536];
	size_t len = load(f, name, good, sizeof(good) / 2);
	char text[16384], path[512];
	uint32_t seed = 2463534242u;

	snprintf(path, sizeof(path), "%s/%s", f->path, name);
	for (unsigned int i = 0; i < times; i++) {
		size_t cut = len, from = len ? next(&seed) % len : 0;

		memcpy(bad, good, len);
		for (uint32_t n = next(&seed) % 4; n && len; n--)
			bad[next(&seed) % len] = (uint8_t)(next(&seed) % 3 ? next(&seed) : 0xff);
		if (next(&seed) % 4 == 0)
			cut = from;
		if (next(&seed) % 8 == 0) {
			memcpy(bad + len, good + from, len - from);
			cut = len + len - from;
		}
		store(f, name, bad, cut);
		if (verify(f, text, sizeof(text)) < 0)
			assert_true(f->diag.text[0]);
		show_quietly(f, path, i % 2);
	}
	store(f, name, good, len);
}

static void test_mutated(void **state)
{
	struct fixture *f = *state;
	static struct dump d;
	struct dirent **names;
	char text[8192];
	int nr;

	fill_dump(&d);
	write_dump(f, &d);
	nr = scandir(f->path, &names, NULL, alphasort);
	assert_true(nr > 20);
	for (int i = 0; i < nr; i++) {
		if (names[i]->d_name[0] != '.' && !kind_pages(names[i]->d_name))
			mutate(f, names[i]->d_name, 200);
		free(names[i]);
	}
	free(names);
	assert_int_equal(verify(f, text, sizeof(text)), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_broken, setup, teardown),
		cmocka_unit_test_setup_teardown(test_others, setup, teardown),
		cmocka_unit_test_setup_teardown(test_show_json, setup, teardown),
		cmocka_unit_test_setup_teardown(test_mutated, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
