// SPDX-License-Identifier: GPL-2.0-only
/* The codec: all kinds there and back; nothing damaged, foreign or newer gets past the reader. */
#include "tests/unit/image_sample.h"

#include "images/codec.h"
#include "images/wire.h"

/* Read an image to its end. The error, if any, names the file. */
static int read_all(struct fixture *f, const void *data, size_t len, const char *name, enum image_kind kind,
		    unsigned int *entries)
{
	char nothing[1];
	FILE *file = len ? fmemopen((void *)data, len, "r") : fmemopen(nothing, 1, "r");
	struct image_reader *r;
	uint64_t skipped;
	void *msg;
	int ret;

	*entries = 0;
	diag_clear(&f->diag);
	assert_non_null(file);
	ret = image_open_stream(file, len, name, kind, &r, &f->diag);
	if (!ret) {
		while ((ret = image_get(r, &msg)) > 0) {
			++*entries;
			ret = image_skip_raw(r, msg, &skipped);
			image_free(msg);
			if (ret)
				break;
		}
		image_close(r);
	}
	if (ret && !strstr(f->diag.text, name))
		fail_msg("'%s' does not name %s", f->diag.text, name);
	return ret;
}

static void assert_same_message(const ProtobufCMessage *a, const ProtobufCMessage *b)
{
	_cleanup_free_ uint8_t *x = malloc(protobuf_c_message_get_packed_size(a));
	_cleanup_free_ uint8_t *y = malloc(protobuf_c_message_get_packed_size(b));
	size_t len = protobuf_c_message_pack(a, x);

	assert_ptr_equal(a->descriptor, b->descriptor);
	assert_int_equal(len, protobuf_c_message_pack(b, y));
	assert_memory_equal(x, y, len);
}

static void test_round_trip(void **state)
{
	struct fixture *f = *state;
	struct image_dir *dir;

	write_samples(f);
	assert_int_equal(image_dir_open(f->path, &dir, &f->diag), 0);
	for (enum image_kind kind = 1; kind < IMG_NR_KINDS; kind++) {
		const struct kind *k = kind_of(kind);
		struct image_reader *r;

		assert_true(image_exists(dir, kind, 18));
		assert_int_equal(image_open(dir, kind, 18, &r, &f->diag), 0);
		for (int i = 0; i < (kind == IMG_GHOST_FILE ? 1 : 3); i++) {
			bool head = !i && k->head;
			ProtobufCMessage *want = make_message(head ? k->head : k->entry, 0);
			uint64_t len = k->tail ? k->tail(want, head) : 0;
			ProtobufCMessage *msg = NULL;
			char raw[4096];

			assert_int_equal(image_get(r, &msg), 1);
			assert_same_message(want, msg);
			if (len == TAIL_REST) {
				assert_int_equal(image_raw_left(r), 100);
				len = 100;
			}
			assert_int_equal(image_get_raw(r, raw, len), 0);
			if (len)
				assert_memory_equal(raw, "raw bytes", MIN(len, 9));
			image_free(want);
			image_free(msg);
		}
		assert_int_equal(image_raw_left(r), 0);
		assert_int_equal(image_get(r, &(void *){ NULL }), 0);
		image_close(r);
	}
	image_dir_close(dir);
}

static void test_names(void **state)
{
	char buf[64];
	uint64_t id;

	assert_string_equal(image_name(IMG_CORE, 123, buf), "core-123.img");
	assert_string_equal(image_name(IMG_PAGEMAP_SHMEM, UINT64_MAX, buf), "pagemap-shmem-18446744073709551615.img");
	assert_string_equal(image_name(IMG_GHOST_FILE, 26, buf), "ghost-file-1a.img");
	assert_string_equal(image_name(IMG_STATS_DUMP, 5, buf), "stats-dump");
	for (enum image_kind kind = 0; kind < IMG_NR_KINDS; kind++) {
		assert_int_equal(kind_by_name(image_name(kind, 0xabc, buf), &id), kind);
		assert_int_equal(id, kind_of(kind)->numbering == KIND_SINGLE ? 0 : 0xabc);
	}
	assert_int_equal(kind_by_name("core-.img", NULL), IMG_NR_KINDS);
	assert_int_equal(kind_by_name("core-01.img", NULL), IMG_NR_KINDS);
	assert_int_equal(kind_by_name("core--1.img", NULL), IMG_NR_KINDS);
	assert_int_equal(kind_by_name("core-1.img.bak", NULL), IMG_NR_KINDS);
	assert_int_equal(kind_by_name("core-99999999999999999999.img", NULL), IMG_NR_KINDS);
	assert_true(kind_pages("pages-3.img") && kind_pages("pages-3.d"));
	assert_false(kind_pages("pages-shmem-3.img") || kind_pages("pages-3.txt"));
}

/* Cut each file at each byte: whole entries up to there, or an error. */
static void test_truncated(void **state)
{
	struct fixture *f = *state;
	uint8_t good[16384];
	char name[64];

	write_samples(f);
	for (enum image_kind kind = 0; kind < IMG_NR_KINDS; kind++) {
		size_t len = load(f, image_name(kind, 18, name), good, sizeof(good));
		unsigned int whole = 0, all, entries;

		assert_int_equal(read_all(f, good, len, name, kind, &all), 0);
		for (size_t cut = 0; cut < len; cut++) {
			int ret = read_all(f, good, cut, name, kind, &entries);

			assert_true(ret == 0 || ret == -EPROTO);
			assert_true(entries <= all);
			if (ret)
				assert_true(strstr(f->diag.text, "truncated") != NULL);
			else
				whole++;
		}
		/* It ends well behind the magic and behind each entry but the last; a ghost file anywhere in its
		 * content. */
		assert_int_equal(whole, kind == IMG_GHOST_FILE ? 101 : all);
	}
}

/* Flip each bit of each file. */
static void test_flipped(void **state)
{
	struct fixture *f = *state;
	uint8_t good[16384] = { 0 };
	char name[64];

	write_samples(f);
	for (enum image_kind kind = 0; kind < IMG_NR_KINDS; kind++) {
		size_t len = load(f, image_name(kind, 18, name), good, sizeof(good));
		size_t step = len > 1000 ? 5 : 1;

		for (size_t bit = 0; bit < len * 8; bit += step) {
			unsigned int entries;
			int ret;

			good[bit / 8] ^= (uint8_t)(1 << bit % 8);
			ret = read_all(f, good, len, name, kind, &entries);
			good[bit / 8] ^= (uint8_t)(1 << bit % 8);
			assert_true(ret == 0 || ret == -EPROTO);
			if (bit < (kind == IMG_INVENTORY ? 32 : 64))
				assert_int_equal(ret, -EPROTO);
		}
	}
}

static void expect_sentence(struct fixture *f, const void *data, size_t len, const char *sentence)
{
	unsigned int entries;

	assert_int_equal(read_all(f, data, len, "pstree.img", IMG_PSTREE, &entries), -EPROTO);
	if (!strstr(f->diag.text, sentence))
		fail_msg("'%s' does not say '%s'", f->diag.text, sentence);
}

static void test_foreign(void **state)
{
	struct fixture *f = *state;

	expect_sentence(f, "", 0, "no magic number");
	expect_sentence(f, "\x19\x43\x56", 3, "no magic number");
	expect_sentence(f, "\x19\x43\x56\x54\x30\x30", 6, "half a magic number");
	expect_sentence(f,
			"\x7f"
			"ELF\2\1\1\0",
			8, "is not an image of kind PSTREE: its magic number is 0x464c457f");
	expect_sentence(f, "\x19\x43\x56\x54\x47\x38\x05\x55", 8, "of kind PSTREE, but of kind CORE");
	expect_sentence(f, "\x19\x43\x56\x54\x51\x39\x37\x57", 8, "of kind PSTREE, but of kind NETDEV");
	expect_sentence(f, "\x40\x59\x10\x55\x30\x30\x27\x50", 8, "not of format 1.1");
	expect_sentence(f, "\x30\x30\x27\x50\0\0\0\0", 8, "not of format 1.1");
}

static void test_huge_size(void **state)
{
	struct fixture *f = *state;

	expect_sentence(f, "\x19\x43\x56\x54\x30\x30\x27\x50\xff\xff\xff\xff\0", 13,
			"truncated in entry 1: 4294967294 bytes");
	expect_sentence(f, "\x19\x43\x56\x54\x30\x30\x27\x50\xff\xff\xff\x7f\0", 13, "truncated in entry 1");
	expect_sentence(f, "\x19\x43\x56\x54\x30\x30\x27\x50\x01\0\0", 11, "truncated in the size of entry 1");
	expect_sentence(f, "\x19\x43\x56\x54\x30\x30\x27\x50\0\0\0\0", 12, "damaged in entry 1: it is no pstree_entry");
}

static void test_versions(void **state)
{
	struct fixture *f = *state;
	InventoryEntry inv = INVENTORY_ENTRY__INIT;
	struct image_dir *dir;

	for (inv.img_version = 0; inv.img_version < 5; inv.img_version++) {
		int want = inv.img_version == 2 ? 0 : -EPROTO;

		diag_clear(&f->diag);
		assert_int_equal(image_dir_create(f->path, &dir, &f->diag), 0);
		assert_int_equal(image_write_one(dir, IMG_INVENTORY, 0, &inv, &f->diag), 0);
		assert_int_equal(image_dir_commit(dir, &f->diag), 0);
		image_dir_close(dir);
		assert_int_equal(image_dir_open(f->path, &dir, &f->diag), want);
		if (inv.img_version == 3)
			assert_non_null(strstr(f->diag.text,
					       "was written by a newer format: version 3, this Thaw reads up to 2"));
		if (!want)
			image_dir_close(dir);
	}
}

/* A field that this Thaw has no name for goes through a round trip. */
static void test_unknown_fields(void **state)
{
	uint8_t packed[] = { 0x08, 3, 0x42, 2, 8, 1, 0xa0, 6, 42 }, again[sizeof(packed)];
	CoreEntry *core = core_entry__unpack(NULL, sizeof(packed), packed);

	assert_non_null(core);
	assert_int_equal(core->mtype, CORE_ENTRY__MARCH__AARCH64);
	assert_int_equal(core->base.n_unknown_fields, 2);
	assert_int_equal(core_entry__get_packed_size(core), sizeof(packed));
	core_entry__pack(core, again);
	assert_memory_equal(packed, again, sizeof(packed));
	image_free(core);
}

/* Groups within groups, deeper than the stack: @levels of cgroup_dir_entry, each with its (empty) name. */
static size_t nest(uint8_t *end, unsigned int levels)
{
	uint8_t *p = end;

	for (unsigned int i = 0; i < levels; i++) {
		size_t len = (size_t)(end - p);

		*--p = 0;
		*--p = 0x0a;
		len += 2;
		*--p = (uint8_t)(len >> 14 & 0x7f);
		*--p = (uint8_t)(len >> 7 | 0x80);
		*--p = (uint8_t)(len | 0x80);
		*--p = 0x12;
	}
	return (size_t)(end - p);
}

static void test_nesting(void **state)
{
	struct fixture *f = *state;
	_cleanup_free_ uint8_t *buf = malloc(1 << 20);
	uint8_t *end = buf + (1 << 20);
	unsigned int entries;
	size_t len = nest(end, 100000);
	uint32_t head[] = { IMG_COMMON_MAGIC, 0x59383330, (uint32_t)len };

	memcpy(end - len - sizeof(head), head, sizeof(head));
	assert_int_equal(read_all(f, end - len - sizeof(head), len + sizeof(head), "cgroup.img", IMG_CGROUP, &entries),
			 -EPROTO);
	assert_true(wire_nesting_ok(&cgroup_dir_entry__descriptor, end - nest(end, 31), nest(end, 31), 32));
	assert_false(wire_nesting_ok(&cgroup_dir_entry__descriptor, end - nest(end, 32), nest(end, 32), 32));
}

static void test_wrong_messages(void **state)
{
	struct fixture *f = *state;
	TaskCoreEntry tc = TASK_CORE_ENTRY__INIT;
	PagemapEntry run = PAGEMAP_ENTRY__INIT;
	PagemapHead head = PAGEMAP_HEAD__INIT;
	CoreEntry core = CORE_ENTRY__INIT;
	struct image_writer *w;
	struct image_dir *dir;

	assert_int_equal(image_dir_create(f->path, &dir, &f->diag), 0);
	assert_int_equal(image_create(dir, IMG_CORE, 1, &w, &f->diag), 0);
	assert_int_equal(image_put(w, &run), -EINVAL);
	core.tc = &tc;
	tc.comm = NULL;
	assert_int_equal(image_put(w, &core), -EINVAL);
	tc.comm = (char *)"name";
	assert_int_equal(image_put(w, &core), 0);
	assert_int_equal(image_finish(w), 0);
	assert_int_equal(image_create(dir, IMG_CORE, 1, &w, &f->diag), -EEXIST);
	assert_int_equal(image_create(dir, IMG_PAGEMAP, 1, &w, &f->diag), 0);
	assert_int_equal(image_put(w, &run), -EINVAL);
	assert_int_equal(image_put(w, &head), 0);
	assert_int_equal(image_put(w, &head), -EINVAL);
	assert_int_equal(image_put(w, &run), 0);
	image_abandon(w);
	image_dir_close(dir);
}

static void test_read_one(void **state)
{
	struct fixture *f = *state;
	struct image_dir *dir;
	void *msg = NULL;

	write_samples(f);
	assert_int_equal(image_dir_open(f->path, &dir, &f->diag), 0);
	assert_int_equal(image_read_one(dir, IMG_FS, 18, &msg, &f->diag), -EPROTO);
	assert_non_null(strstr(f->diag.text, "more than the one entry"));
	diag_clear(&f->diag);
	store(f, "fs-18.img", "\x19\x43\x56\x54\x12\x39\x40\x51", 8);
	assert_int_equal(image_read_one(dir, IMG_FS, 18, &msg, &f->diag), -EPROTO);
	assert_non_null(strstr(f->diag.text, "no entry"));
	diag_clear(&f->diag);
	assert_int_equal(image_read_one(dir, IMG_FS, 19, &msg, &f->diag), -ENOENT);
	assert_non_null(strstr(f->diag.text, "fs-19.img is missing"));
	assert_null(msg);
	image_dir_close(dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_round_trip, setup, teardown),
		cmocka_unit_test(test_names),
		cmocka_unit_test_setup_teardown(test_truncated, setup, teardown),
		cmocka_unit_test_setup_teardown(test_flipped, setup, teardown),
		cmocka_unit_test_setup_teardown(test_foreign, setup, teardown),
		cmocka_unit_test_setup_teardown(test_huge_size, setup, teardown),
		cmocka_unit_test_setup_teardown(test_versions, setup, teardown),
		cmocka_unit_test(test_unknown_fields),
		cmocka_unit_test_setup_teardown(test_nesting, setup, teardown),
		cmocka_unit_test_setup_teardown(test_wrong_messages, setup, teardown),
		cmocka_unit_test_setup_teardown(test_read_one, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
