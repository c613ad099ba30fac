// SPDX-License-Identifier: GPL-2.0-only
#include "images/wset_show.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <json-c/json.h>

#include "common/cleanup.h"
#include "common/util.h"
#include "images/kinds.h"
#include "images/wset.h"

static struct json_object *range(uint64_t address, uint64_t pages)
{
	struct json_object *r = json_object_new_object();
	char text[24];

	snprintf(text, sizeof(text), "0x%llx", (unsigned long long)address);
	json_object_object_add(r, "address", json_object_new_string(text));
	json_object_object_add(r, "pages", json_object_new_uint64(pages));
	return r;
}

/* The ranges of a set; what follows the one before it, in the order of the set, is one with it. */
static struct json_object *ranges(const struct wset *set, const struct pagemap *map)
{
	struct json_object *list = json_object_new_array();
	uint64_t start = 0, end = 0, first;
	unsigned nr;

	for (size_t i = 0; i < set->nr; i++) {
		const struct wset_chunk *c = &set->chunks[i];

		for (unsigned bit = 0; (nr = wset_next(c, bit, &first)); bit = (unsigned)(first % WSET_CHUNK) + nr) {
			for (uint64_t page = first; page < first + nr; page++) {
				const struct page_run *run = pagemap_find_page(map, page);
				uint64_t at = run->vaddr + (page - run->index) * PAGE_SIZE;

				if (at != end) {
					if (end)
						json_object_array_add(list, range(start, (end - start) / PAGE_SIZE));
					start = at;
				}
				end = at + PAGE_SIZE;
			}
		}
	}
	if (end)
		json_object_array_add(list, range(start, (end - start) / PAGE_SIZE));
	return list;
}

/* The working set of a process, or of shared memory. Return: 0, with NULL when it has none, or -errno with a sentence
 */
static int load(struct image_dir *dir, enum image_kind kind, uint64_t id, struct json_object **out, struct diag *diag)
{
	struct json_object *tree = NULL;
	char name[IMAGE_NAME_MAX];
	struct pagemap map;
	struct wset set;
	int ret = pagemap_read_whole(dir, kind, id, &map, diag);

	if (ret)
		return ret;
	ret = wset_read(dir, &map, &set, diag);
	if (!ret) {
		wset_name(map.pages_id, name);
		tree = json_object_new_object();
		json_object_object_add(tree, "file", json_object_new_string(name));
		json_object_object_add(tree, kind == IMG_PAGEMAP ? "pid" : "shared_memory", json_object_new_uint64(id));
		json_object_object_add(tree, "pages", json_object_new_uint64(wset_pages(&set)));
		json_object_object_add(tree, "of", json_object_new_uint64(map.nr_present));
		json_object_object_add(tree, "ranges", ranges(&set, &map));
		wset_free(&set);
	}
	pagemap_free(&map);
	*out = tree;
	return ret == -ENOENT ? 0 : ret;
}

static uint64_t number(struct json_object *tree, const char *key)
{
	return json_object_get_uint64(json_object_object_get(tree, key));
}

static const char *text(struct json_object *tree, const char *key)
{
	return json_object_get_string(json_object_object_get(tree, key));
}

static void print_text(struct json_object *tree, FILE *out)
{
	struct json_object *list = json_object_object_get(tree, "ranges");
	uint64_t pages = number(tree, "pages"), of = number(tree, "of");
	const char *shared = text(tree, "shared_memory");

	fprintf(out, "%s: %s %s: %.1f MiB of %.1f MiB were touched, in this order:\n", text(tree, "file"),
		shared ? "shared memory" : "process", shared ? shared : text(tree, "pid"), (double)pages / 256,
		(double)of / 256);
	for (size_t i = 0; i < json_object_array_length(list); i++) {
		struct json_object *r = json_object_array_get_idx(list, i);

		fprintf(out, "  %s  %s pages\n", text(r, "address"), text(r, "pages"));
	}
}

static int is_pagemap(const struct dirent *e)
{
	enum image_kind kind = kind_by_name(e->d_name, NULL);

	return kind == IMG_PAGEMAP || kind == IMG_PAGEMAP_SHMEM;
}

/* All of them. Return: 0, or -errno with a sentence, the first; @list has what could be read. */
static int load_all(struct image_dir *dir, struct json_object *list, struct diag *diag)
{
	struct dirent **names;
	int nr = scandirat(image_dir_fd(dir), ".", &names, is_pagemap, versionsort), ret = 0;

	if (nr < 0)
		return diag_fail(diag, errno, "cannot list %s: %s", image_dir_path(dir), strerror(errno));
	for (int i = 0; i < nr; i++) {
		struct json_object *tree = NULL;
		uint64_t id;
		enum image_kind kind = kind_by_name(names[i]->d_name, &id);
		int one = load(dir, kind, id, &tree, diag);

		if (tree)
			json_object_array_add(list, tree);
		ret = ret ? ret : one;
		free(names[i]);
	}
	free(names);
	if (!ret && !json_object_array_length(list))
		ret = diag_fail(diag, ENOENT,
				"%s has no working set: restore it with --lazy-pages --record, and let it run",
				image_dir_path(dir));
	return ret;
}

int image_wset(const char *path, bool json, FILE *out, struct diag *diag)
{
	struct json_object *list;
	struct image_dir *dir;
	int ret = image_dir_open(path, &dir, diag);

	if (ret)
		return ret;
	list = json_object_new_array();
	ret = load_all(dir, list, diag);
	image_dir_close(dir);
	if (json && json_object_array_length(list))
		fprintf(out, "%s\n",
			json_object_to_json_string_ext(list, JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_SPACED));
	for (size_t i = 0; !json && i < json_object_array_length(list); i++)
		print_text(json_object_array_get_idx(list, i), out);
	json_object_put(list);
	return ret;
}
