// SPDX-License-Identifier: GPL-2.0-only
/*
 * A directory of images, and how a dump becomes visible in it.
 *
 * All is written to temporary names (TEMP_PREFIX and the name). The commit then goes:
 *
 *	1. unlink the earlier dump's inventory.img: from here on the directory is no finished dump
 *	2. remove the images of the earlier dump that the new one does not have, and its directories of pages
 *	3. rename all new files but the inventory
 *	4. rename the inventory: from here on the directory is the new dump
 *
 * Whenever it is interrupted, what is in the directory either has no inventory or is whole. Descriptors and mappings
 * of the earlier dump's files stay valid. A lock on the directory keeps a second writer out, so what carries
 * the prefix when a writer starts is a leftover.
 */
#include "images/dir.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>

#include "common/cleanup.h"
#include "common/util.h"
#include "images/kinds.h"
#include "images/proto/all.h"

#define TEMP_PREFIX ".thaw-tmp."
#define PARENT_LINK "parent"
#define CHAIN_MAX 1000
#define NEWEST_VERSION 2 /* of inventory_entry.img_version: 1 is the format without a first magic number */

struct temp {
	char name[IMAGE_NAME_MAX];
	bool finished;
};

struct image_dir {
	int fd;
	char *path;
	bool writing;
	bool trust_pages;
	unsigned depth;	      /* in a chain: so many directories were begun with */
	char *run_id;	      /* NULL: none */
	pthread_mutex_t lock; /* of what follows */
	struct temp *temps;
	size_t nr, cap;
};

static void temp_name(const char *name, char buf[static IMAGE_NAME_MAX + 16])
{
	snprintf(buf, IMAGE_NAME_MAX + 16, TEMP_PREFIX "%s", name);
}

static int dir_new(const char *path, bool writing, struct image_dir **out, struct diag *diag)
{
	struct image_dir *dir = calloc(1, sizeof(*dir));
	int ret;

	if (!dir)
		return diag_fail(diag, ENOMEM, "out of memory");
	dir->writing = writing;
	pthread_mutex_init(&dir->lock, NULL);
	dir->path = strdup(path);
	dir->fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (!dir->path || dir->fd < 0) {
		ret = diag_fail(diag, dir->path ? errno : ENOMEM, "cannot open the image directory %s: %s", path,
				dir->path ? strerror(errno) : "out of memory");
		image_dir_close(dir);
		return ret;
	}
	*out = dir;
	return 0;
}

static int check_inventory(struct image_dir *dir, struct diag *diag)
{
	InventoryEntry *inv;
	uint32_t version;
	int ret;

	if (!image_exists(dir, IMG_INVENTORY, 0))
		return diag_fail(diag, ENOENT,
				 "%s has no inventory.img: it is not a finished dump; give the directory that the "
				 "dump wrote with -D",
				 dir->path);
	ret = image_read_one(dir, IMG_INVENTORY, 0, &inv, diag);
	if (ret)
		return ret;
	version = inv->img_version;
	dir->run_id = inv->dump_criu_run_id ? strdup(inv->dump_criu_run_id) : NULL;
	if (inv->dump_criu_run_id && !dir->run_id)
		ret = diag_fail(diag, ENOMEM, "out of memory");
	image_free(inv);
	if (ret)
		return ret;
	if (version > NEWEST_VERSION)
		return diag_fail(diag, EPROTO,
				 "%s was written by a newer format: version %u, this Thaw reads up to %u; use a "
				 "newer Thaw",
				 dir->path, version, NEWEST_VERSION);
	if (version < NEWEST_VERSION)
		return diag_fail(diag, EPROTO,
				 "%s was written in an old format: version %u, this Thaw reads %u; dump it again",
				 dir->path, version, NEWEST_VERSION);
	return 0;
}

int image_dir_open(const char *path, struct image_dir **out, struct diag *diag)
{
	struct image_dir *dir;
	int ret = dir_new(path, false, &dir, diag);

	if (ret)
		return ret;
	ret = check_inventory(dir, diag);
	if (ret)
		image_dir_close(dir);
	else
		*out = dir;
	return ret;
}

/* The images in @name, as seen from @dir, which go before those of @dir. */
static int open_before(struct image_dir *dir, const char *name, struct image_dir **out, struct diag *diag)
{
	_cleanup_free_ char *path = NULL;
	struct image_dir *parent;
	int ret;

	if (faccessat(dir->fd, name, F_OK, 0))
		return diag_fail(diag, EPROTO,
				 "pages are in the parent images, and there is no parent: %s/" PARENT_LINK
				 ": %s; copy all "
				 "directories of the chain",
				 dir->path, strerror(errno));
	if (dir->depth == CHAIN_MAX)
		return diag_fail(diag, EPROTO, "%s: a chain of more than %d parents; it leads in a circle?", dir->path,
				 CHAIN_MAX);
	if (asprintf(&path, "%s%s%s", name[0] == '/' ? "" : dir->path, name[0] == '/' ? "" : "/", name) < 0) {
		path = NULL;
		return diag_fail(diag, ENOMEM, "out of memory");
	}
	ret = dir_new(path, false, &parent, diag);
	if (ret)
		return ret;
	parent->depth = dir->depth + 1;
	parent->trust_pages = dir->trust_pages;
	if (image_exists(parent, IMG_INVENTORY, 0)) /* a pre-dump need not have one */
		ret = check_inventory(parent, diag);
	if (ret)
		image_dir_close(parent);
	else
		*out = parent;
	return ret;
}

int image_dir_open_parent(struct image_dir *dir, struct image_dir **out, struct diag *diag)
{
	return open_before(dir, PARENT_LINK, out, diag);
}

/* Remove a file, or a directory that holds only files. */
static int remove_any(int dirfd, const char *name)
{
	_cleanup_closedir_ DIR *d = NULL;
	struct dirent *e;
	int fd;

	if (!unlinkat(dirfd, name, 0))
		return 0;
	if (errno != EISDIR)
		return -errno;
	fd = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	d = fdopendir(fd);
	if (!d) {
		close(fd);
		return -ENOMEM;
	}
	while ((e = readdir(d)))
		if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
			unlinkat(fd, e->d_name, 0);
	return unlinkat(dirfd, name, AT_REMOVEDIR) ? -errno : 0;
}

/* Call @want for each name in the directory, and remove those that it wants gone. */
static int remove_matching(struct image_dir *dir, bool (*want)(const struct image_dir *dir, const char *name),
			   struct diag *diag)
{
	_cleanup_closedir_ DIR *d = NULL;
	struct dirent *e;
	int fd = openat(dir->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	d = fd < 0 ? NULL : fdopendir(fd);
	if (!d) {
		int code = errno;

		if (fd >= 0)
			close(fd);
		return diag_fail(diag, code, "cannot list the image directory %s: %s", dir->path, strerror(code));
	}
	while ((e = readdir(d))) {
		int ret = want(dir, e->d_name) ? remove_any(dir->fd, e->d_name) : 0;

		if (ret && ret != -ENOENT)
			return diag_fail(diag, -ret, "cannot remove the old %s/%s: %s", dir->path, e->d_name,
					 strerror(-ret));
	}
	return 0;
}

static bool is_leftover(const struct image_dir *dir, const char *name)
{
	return !strncmp(name, TEMP_PREFIX, strlen(TEMP_PREFIX));
}

int image_dir_create(const char *path, struct image_dir **out, struct diag *diag)
{
	struct image_dir *dir;
	int ret = dir_new(path, true, &dir, diag);

	if (ret)
		return ret;
	if (flock(dir->fd, LOCK_EX | LOCK_NB))
		ret = diag_fail(diag, errno == EWOULDBLOCK ? EBUSY : errno, "cannot write images into %s: %s", path,
				errno == EWOULDBLOCK ? "another dump is doing so; wait for it, or use another directory"
						     : strerror(errno));
	else
		ret = remove_matching(dir, is_leftover, diag);
	if (ret)
		image_dir_close(dir);
	else
		*out = dir;
	return ret;
}

int image_dir_begin_run(struct image_dir *dir, struct diag *diag)
{
	uint16_t r[8];

	if (getrandom(r, sizeof(r), 0) != sizeof(r))
		return diag_fail(diag, errno, "cannot get random numbers: %s", strerror(errno));
	free(dir->run_id);
	if (asprintf(&dir->run_id, "%04x%04x-%04x-4%03x-%04x-%04x%04x%04x", r[0], r[1], r[2], r[3] & 0xfff,
		     (r[4] & 0x3fff) | 0x8000, r[5], r[6], r[7]) < 0) {
		dir->run_id = NULL;
		return diag_fail(diag, ENOMEM, "out of memory");
	}
	return 0;
}

const char *image_dir_run_id(const struct image_dir *dir)
{
	return dir->run_id;
}

static struct temp *find_temp(const struct image_dir *dir, const char *name)
{
	for (size_t i = dir->nr; i-- > 0;) /* mostly it is the newest */
		if (!strcmp(dir->temps[i].name, name))
			return &dir->temps[i];
	return NULL;
}

static int add_temp(struct image_dir *dir, const char *name, struct diag *diag)
{
	int ret = 0;

	pthread_mutex_lock(&dir->lock);
	if (find_temp(dir, name))
		ret = -EEXIST;
	else
		ret = grow(&dir->temps, dir->nr, &dir->cap, sizeof(*dir->temps));
	if (!ret) {
		struct temp *t = &dir->temps[dir->nr++];

		snprintf(t->name, sizeof(t->name), "%s", name);
		t->finished = false;
	}
	pthread_mutex_unlock(&dir->lock);
	if (ret)
		diag_fail(diag, -ret, "cannot start %s/%s: %s", dir->path, name, strerror(-ret));
	return ret;
}

static void drop_temp(struct image_dir *dir, const char *name)
{
	struct temp *t;

	pthread_mutex_lock(&dir->lock);
	t = find_temp(dir, name);
	if (t)
		*t = dir->temps[--dir->nr];
	pthread_mutex_unlock(&dir->lock);
}

static int start_temp(struct image_dir *dir, const char *name, bool directory, struct diag *diag)
{
	char tmp[IMAGE_NAME_MAX + 16];
	int ret = add_temp(dir, name, diag);
	int fd = -1;

	if (ret)
		return ret;
	temp_name(name, tmp);
	remove_any(dir->fd, tmp);
	if (!directory)
		fd = openat(dir->fd, tmp, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	else if (!mkdirat(dir->fd, tmp, 0700))
		fd = openat(dir->fd, tmp, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0) {
		ret = diag_fail(diag, errno, "cannot create %s/%s: %s", dir->path, name, strerror(errno));
		drop_temp(dir, name);
		return ret;
	}
	return fd;
}

int image_dir_temp_file(struct image_dir *dir, const char *name, struct diag *diag)
{
	return start_temp(dir, name, false, diag);
}

int image_dir_temp_dir(struct image_dir *dir, const char *name, struct diag *diag)
{
	return start_temp(dir, name, true, diag);
}

static int give_name(struct image_dir *dir, const char *name, struct diag *diag)
{
	char tmp[IMAGE_NAME_MAX + 16];

	temp_name(name, tmp);
	if (renameat(dir->fd, tmp, dir->fd, name))
		return diag_fail(diag, errno, "cannot give %s/%s its name: %s", dir->path, name, strerror(errno));
	return 0;
}

int image_dir_finished(struct image_dir *dir, const char *name, struct diag *diag)
{
	int ret = 0;

	if (!dir->writing) {
		ret = give_name(dir, name, diag);
		if (!ret)
			drop_temp(dir, name);
		return ret;
	}
	pthread_mutex_lock(&dir->lock);
	find_temp(dir, name)->finished = true;
	pthread_mutex_unlock(&dir->lock);
	return 0;
}

int image_dir_end_file(struct image_dir *dir, const char *name, int fd, int error, struct diag *diag)
{
	int ret = error;

	if (close(fd) && !ret)
		ret = -errno;
	if (ret)
		ret = diag_fail(diag, -ret, "cannot write %s/%s: %s", dir->path, name, strerror(-ret));
	else
		ret = image_dir_finished(dir, name, diag);
	if (ret)
		image_dir_forget(dir, name);
	return ret;
}

void image_dir_forget(struct image_dir *dir, const char *name)
{
	char tmp[IMAGE_NAME_MAX + 16];

	temp_name(name, tmp);
	remove_any(dir->fd, tmp);
	drop_temp(dir, name);
}

/* Of an earlier dump, and in the way or misleading: rename() replaces files, but not directories. */
static bool is_stale(const struct image_dir *dir, const char *name)
{
	size_t len = strlen(name);

	if (kind_pages(name) && !strcmp(name + len - 2, ".d"))
		return true;
	return (kind_pages(name) || kind_sums(name) || kind_wset(name) || kind_by_name(name, NULL) != IMG_NR_KINDS) &&
	       !find_temp(dir, name);
}

static int check_finished(const struct image_dir *dir, struct diag *diag)
{
	for (size_t i = 0; i < dir->nr; i++)
		if (!dir->temps[i].finished)
			return diag_fail(diag, EINVAL, "cannot commit %s: %s is not finished", dir->path,
					 dir->temps[i].name);
	return 0;
}

int image_dir_set_parent(struct image_dir *dir, const char *prev, struct image_dir **out, struct diag *diag)
{
	char tmp[IMAGE_NAME_MAX + 16];
	struct stat here, there;
	int ret;

	if (fstatat(dir->fd, prev, &there, 0) || fstat(dir->fd, &here))
		return diag_fail(diag, errno, "cannot open the earlier images %s, seen from %s: %s", prev, dir->path,
				 strerror(errno));
	if (here.st_dev == there.st_dev && here.st_ino == there.st_ino)
		return diag_fail(diag, EINVAL, "%s cannot be its own parent: give another directory than -D", prev);
	ret = add_temp(dir, PARENT_LINK, diag);
	if (ret)
		return ret;
	temp_name(PARENT_LINK, tmp);
	if (symlinkat(prev, dir->fd, tmp)) {
		ret = diag_fail(diag, errno, "cannot make the link %s/" PARENT_LINK ": %s", dir->path, strerror(errno));
		drop_temp(dir, PARENT_LINK);
		return ret;
	}
	find_temp(dir, PARENT_LINK)->finished = true;
	return open_before(dir, prev, out, diag);
}

int image_dir_commit(struct image_dir *dir, struct diag *diag)
{
	char inventory[IMAGE_NAME_MAX];
	int ret = check_finished(dir, diag);

	if (ret)
		return ret;
	image_name(IMG_INVENTORY, 0, inventory);
	if (!find_temp(dir, inventory))
		return diag_fail(diag, EINVAL, "cannot commit %s: there is no inventory", dir->path);
	if (unlinkat(dir->fd, inventory, 0) && errno != ENOENT)
		return diag_fail(diag, errno, "cannot remove the old %s/%s: %s", dir->path, inventory, strerror(errno));
	ret = remove_matching(dir, is_stale, diag);
	for (size_t i = 0; !ret && i < dir->nr; i++)
		if (strcmp(dir->temps[i].name, inventory) != 0)
			ret = give_name(dir, dir->temps[i].name, diag);
	if (!ret)
		ret = give_name(dir, inventory, diag);
	if (!ret)
		dir->nr = 0;
	return ret;
}

void image_dir_withdraw(struct image_dir *dir)
{
	char inventory[IMAGE_NAME_MAX];

	unlinkat(dir->fd, image_name(IMG_INVENTORY, 0, inventory), 0);
}

int image_dir_commit_part(struct image_dir *dir, struct diag *diag)
{
	int ret = check_finished(dir, diag);

	while (!ret && dir->nr) {
		ret = give_name(dir, dir->temps[dir->nr - 1].name, diag);
		dir->nr -= !ret;
	}
	return ret;
}

void image_dir_close(struct image_dir *dir)
{
	if (!dir)
		return;
	while (dir->nr)
		image_dir_forget(dir, dir->temps[dir->nr - 1].name);
	if (dir->fd >= 0)
		close(dir->fd);
	pthread_mutex_destroy(&dir->lock);
	free(dir->temps);
	free(dir->run_id);
	free(dir->path);
	free(dir);
}

void image_dir_trust_pages(struct image_dir *dir)
{
	dir->trust_pages = true;
}

bool image_dir_trusts_pages(const struct image_dir *dir)
{
	return dir->trust_pages;
}

int image_dir_fd(const struct image_dir *dir)
{
	return dir->fd;
}

const char *image_dir_path(const struct image_dir *dir)
{
	return dir->path;
}

bool image_exists(struct image_dir *dir, enum image_kind kind, uint64_t id)
{
	char name[IMAGE_NAME_MAX];
	bool started;

	image_name(kind, id, name);
	if (!dir->writing)
		return !faccessat(dir->fd, name, F_OK, 0);
	pthread_mutex_lock(&dir->lock);
	started = find_temp(dir, name) != NULL;
	pthread_mutex_unlock(&dir->lock);
	return started;
}
