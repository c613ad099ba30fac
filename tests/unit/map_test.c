// SPDX-License-Identifier: GPL-2.0-only
/* The picture of an address space: what is where, and nothing in it breaks the SVG. */
#include "tests/unit/image_dump.h"

#include <ctype.h>

#include "images/map.h"
#include "images/wset.h"

static int draw(struct fixture *f, char **text)
{
	size_t len;
	FILE *out = open_memstream(text, &len);
	int ret;

	diag_clear(&f->diag);
	ret = image_map(f->path, out, &f->diag);
	fclose(out);
	return ret;
}

/* Every element that is opened is closed, and no text has a character of markup. */
static void assert_well_formed(const char *svg)
{
	char open[8][16];
	unsigned depth = 0;

	for (const char *at = strchr(svg, '<'); at; at = strchr(at + 1, '<')) {
		const char *end = strchr(at, '>');
		char name[16] = "";
		size_t n = 0;

		assert_non_null(end);
		assert_true(end == at + 1 + strcspn(at + 1, "<>"));
		for (const char *c = at + 1 + (at[1] == '/'); isalpha((unsigned char)*c) && n < 15; c++)
			name[n++] = *c;
		assert_true(n > 0);
		if (at[1] == '/') {
			assert_true(depth > 0);
			assert_string_equal(open[--depth], name);
		} else if (end[-1] != '/') {
			assert_true(depth < 8);
			strcpy(open[depth++], name);
		}
	}
	assert_int_equal(depth, 0);
	for (const char *at = strchr(svg, '&'); at; at = strchr(at + 1, '&'))
		assert_int_equal(at[1], '#');
}

static void mappings_are_drawn(void **state)
{
	struct wset_chunk chunk = { 0, 1 << 1 | 1 << 2 | 1 << 3 }; /* 0x410000, 0x411000, 0x413000 */
	const struct wset set = { &chunk, 1 };
	struct fixture *f = *state;
	_cleanup_free_ char *text = NULL, *with = NULL;
	struct image_dir *dir;
	struct pagemap map;
	static struct dump d;

	fill_dump(&d);
	d.reg[0].name = (char *)"/tmp/<a>&\"b\"\x01\xff";
	d.vmas[1].end = 0x411000 + (1ull << 40); /* a tebibyte */
	d.vmas[2].start += 1ull << 41;
	d.vmas[2].end += 1ull << 41;
	d.vmas[3].start += 1ull << 42;
	d.vmas[3].end += 1ull << 42;
	write_dump(f, &d);
	assert_int_equal(draw(f, &text), 0);
	assert_well_formed(text);
	assert_non_null(strstr(text, "Process 100: 1.0 TiB mapped, 20 KiB in the images, working set 0 KiB"));
	assert_non_null(strstr(text, "0x400000-0x410000: 16 pages, 1 in the images, 0 in the working set"));
	assert_non_null(strstr(text, "/tmp/&#60;a&#62;&#38;&#34;b&#34;??"));
	assert_non_null(strstr(text, ": 268435457 pages, 4 in the images, 0 in the working set"));
	assert_non_null(strstr(text, ": 4 pages, 1 in the images, 0 in the working set")); /* shared memory */
	assert_non_null(strstr(text, "memfd"));
	/* A page of sixteen is in the last cell of sixteen. */
	assert_non_null(strstr(text, "class=\"z\" x=\"500\" y=\"52\" width=\"64\" height=\"12\""));
	assert_non_null(strstr(text, "class=\"p\" x=\"560\" y=\"52\" width=\"4\" height=\"12\""));
	assert_null(strstr(text, "<rect class=\"w\" x=\"500\" y=\"5"));

	assert_int_equal(image_dir_open(f->path, &dir, &f->diag), 0);
	assert_int_equal(pagemap_read(dir, IMG_PAGEMAP, 100, &map, &f->diag), 0);
	assert_int_equal(wset_write(dir, &map, &set, &f->diag), 0);
	pagemap_free(&map);
	image_dir_close(dir);
	assert_int_equal(draw(f, &with), 0);
	assert_well_formed(with);
	assert_non_null(strstr(with, "working set 12 KiB"));
	assert_non_null(strstr(with, ": 268435457 pages, 4 in the images, 3 in the working set"));
}

static void what_is_no_dump_is_refused(void **state)
{
	struct fixture *f = *state;
	_cleanup_free_ char *text = NULL;
	static struct dump d;

	assert_int_equal(draw(f, &text), -ENOENT);
	free(TAKE_PTR(text));
	fill_dump(&d);
	d.vmas[1].end = d.vmas[1].start;
	write_dump(f, &d);
	assert_int_equal(draw(f, &text), -EPROTO);
	assert_non_null(strstr(f->diag.text, "mm-100.img"));
	assert_string_equal(text, "");
	free(TAKE_PTR(text));
	fill_dump(&d);
	d.skip[IMG_MM] = true;
	write_dump(f, &d);
	assert_int_equal(draw(f, &text), -ENOENT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(mappings_are_drawn, setup, teardown),
		cmocka_unit_test_setup_teardown(what_is_no_dump_is_refused, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
