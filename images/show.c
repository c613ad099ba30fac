// SPDX-License-Identifier: GPL-2.0-only
#include "images/show.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "common/cleanup.h"
#include "common/util.h"
#include "images/codec.h"
#include "images/kinds.h"
#include "images/sums.h"
#include "images/tree.h"

/* All entries, each with the number of raw bytes behind it where there are any. */
static int load_entries(struct image_reader *r, struct json_object *list, bool people)
{
	void *msg;
	int ret;

	while ((ret = image_get(r, &msg)) > 0) {
		struct json_object *entry = tree_of_message(msg, people);
		uint64_t len = 0;

		ret = image_skip_raw(r, msg, &len);
		image_free(msg);
		if (!entry)
			return -ENOMEM;
		if (len)
			json_object_object_add(entry, "extra_bytes", json_object_new_uint64(len));
		json_object_array_add(list, entry);
		if (ret)
			return ret;
	}
	return ret;
}

/* How many pages a store holds: whole pages of the file, or the files of the directory. */
static struct json_object *count_pages(int dirfd, const char *name)
{
	_cleanup_closedir_ DIR *d = NULL;
	struct dirent *e;
	struct stat st;
	uint64_t nr = 0;
	int fd;

	if (fstatat(dirfd, name, &st, 0))
		return NULL;
	if (!S_ISDIR(st.st_mode))
		return json_object_new_uint64((uint64_t)st.st_size / PAGE_SIZE);
	fd = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	d = fd < 0 ? NULL : fdopendir(fd);
	if (!d && fd >= 0)
		close(fd);
	while (d && (e = readdir(d)))
		nr += strstr(e->d_name, ".gz") != NULL;
	return json_object_new_uint64(nr);
}

/* The header of a file of checksums, and whether it is whole. */
static int load_sums(int dirfd, const char *name, const char *path, struct json_object *tree, struct diag *diag)
{
	const struct sums_header *head;
	struct sums *sums;
	char self[24];
	int ret = sums_open(dirfd, name, path, &sums, diag);

	if (ret == -ENOENT)
		return diag_fail(diag, ENOENT, "there is no %s", path);
	if (ret)
		return ret;
	head = sums_head(sums);
	snprintf(self, sizeof(self), "0x%016llx", (unsigned long long)head->self);
	json_object_object_add(tree, "version", json_object_new_uint64(head->version));
	json_object_object_add(tree, "pages_id", json_object_new_uint64(head->pages_id));
	if (head->run)
		json_object_object_add(tree, "run", json_object_new_uint64(head->run));
	json_object_object_add(tree, "checksums", json_object_new_uint64(head->nr));
	json_object_object_add(tree, "own_checksum", json_object_new_string(self));
	ret = sums_whole(sums, diag);
	sums_close(sums);
	return ret;
}

static int load_image(int dirfd, const char *name, const char *path, enum image_kind kind, bool people,
		      struct json_object *tree, struct diag *diag)
{
	struct json_object *list;
	struct image_reader *r;
	int ret = image_open_at(dirfd, name, path, kind, &r, diag);

	if (ret)
		return ret;
	json_object_object_add(tree, "magic", json_object_new_string(kind_of(image_reader_kind(r))->name));
	list = json_object_new_array();
	json_object_object_add(tree, "entries", list);
	ret = list ? load_entries(r, list, people) : -ENOMEM;
	image_close(r);
	return ret;
}

/* One file as a tree: what could be read of it, and "error" or "note" on what could not, which is in @diag too. */
static int load_file(int dirfd, const char *name, const char *path, bool people, struct json_object *tree,
		     struct diag *diag)
{
	const char *base = strrchr(name, '/') ? strrchr(name, '/') + 1 : name;
	int ret;

	json_object_object_add(tree, "file", tree_text(base, strlen(base)));
	if (kind_pages(base)) {
		json_object_object_add(tree, "pages", count_pages(dirfd, name));
		return 0;
	}
	ret = kind_sums(base) ? load_sums(dirfd, name, path, tree, diag)
			      : load_image(dirfd, name, path, kind_by_name(base, NULL), people, tree, diag);
	if (ret)
		json_object_object_add(tree, ret == -ENOTSUP ? "note" : "error",
				       tree_text(diag->text, strlen(diag->text)));
	return ret;
}

static void print_text(struct json_object *tree, FILE *out)
{
	json_object_object_foreach(tree, key, value)
	{
		if (!strcmp(key, "file"))
			fprintf(out, json_object_object_get(tree, "magic") ? "%s" : "%s\n",
				json_object_get_string(value));
		else if (!strcmp(key, "magic"))
			fprintf(out, " (%s)\n", json_object_get_string(value));
		else if (!strcmp(key, "entries"))
			tree_print(value, 1, out);
		else
			fprintf(out, "  %s: %s\n", key, json_object_get_string(value));
	}
}

static int show_file(int dirfd, const char *name, const char *path, bool json, FILE *out, struct diag *diag)
{
	struct json_object *tree = json_object_new_object();
	int ret;

	if (!tree)
		return diag_fail(diag, ENOMEM, "out of memory");
	ret = load_file(dirfd, name, path, !json, tree, diag);
	if (json)
		fputs(json_object_to_json_string_ext(tree, JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_SPACED |
								   JSON_C_TO_STRING_NOSLASHESCAPE),
		      out);
	else
		print_text(tree, out);
	json_object_put(tree);
	return ret;
}

static int is_image(const struct dirent *e)
{
	size_t len = strlen(e->d_name);

	return kind_pages(e->d_name) || kind_sums(e->d_name) || kind_by_name(e->d_name, NULL) != IMG_NR_KINDS ||
	       (len > 4 && e->d_name[0] != '.' && !strcmp(e->d_name + len - 4, ".img"));
}

static int show_dir(const char *path, int dirfd, bool json, FILE *out, struct diag *diag)
{
	struct dirent **names;
	int nr = scandirat(dirfd, ".", &names, is_image, versionsort);
	int ret = 0;

	if (nr < 0)
		return diag_fail(diag, errno, "cannot list %s: %s", path, strerror(errno));
	if (json)
		fputs("[\n", out);
	for (int i = 0; i < nr; i++) {
		_cleanup_free_ char *full = NULL;
		struct diag own;
		int one = -ENOMEM;

		diag_init(&own, -1, DIAG_ERROR);
		if (asprintf(&full, "%s/%s", path, names[i]->d_name) >= 0)
			one = show_file(dirfd, names[i]->d_name, full, json, out, &own);
		else
			full = NULL;
		if (one && one != -ENOTSUP)
			ret = diag_fail(diag, -one, "%s", own.text);
		fputs(json && i + 1 < nr ? ",\n" : "\n", out);
		free(names[i]);
	}
	free(names);
	if (json)
		fputs("]\n", out);
	if (!nr)
		return diag_fail(diag, ENOENT, "%s holds no images", path);
	return ret;
}

int image_show(const char *path, bool json, FILE *out, struct diag *diag)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int ret;

	if (fd >= 0)
		return show_dir(path, fd, json, out, diag);
	if (errno != ENOTDIR)
		return diag_fail(diag, errno, "cannot open %s: %s", path, strerror(errno));
	ret = show_file(AT_FDCWD, path, path, json, out, diag);
	if (json)
		fputc('\n', out);
	return ret;
}
