/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef THAW_IMAGES_IMAGE_H
#define THAW_IMAGES_IMAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/diag.h"

/*
 * Images: files of CRIU's image format, version 1.1.
 *
 *	u32 IMG_COMMON_MAGIC (0x54564319) or IMG_SERVICE_MAGIC (0x55105940)
 *	u32 magic of the kind
 *	entries: u32 size, then a protobuf message of that size; some kinds have raw bytes behind an entry
 *
 * All numbers are little-endian. pages-*.img are raw: no magic, only pages. A directory of images is complete when
 * inventory.img is in it: image_dir_commit() renames that one last.
 */

enum image_kind {
	IMG_INVENTORY,
	IMG_PSTREE,
	IMG_CORE,	   /* id: tid */
	IMG_IDS,	   /* id: pid */
	IMG_MM,		   /* id: pid */
	IMG_PAGEMAP,	   /* id: pid */
	IMG_PAGEMAP_SHMEM, /* id: shmid */
	IMG_FILES,
	IMG_FDINFO,	/* id: files_id */
	IMG_FS,		/* id: pid */
	IMG_PIPES_DATA, /* raw bytes behind each entry */
	IMG_FIFO_DATA,
	IMG_SK_QUEUES, /* raw bytes behind each entry */
	IMG_SECCOMP,
	IMG_TIMENS, /* id: namespace id, 0 */
	IMG_TTY_INFO,
	IMG_REMAP_FPATH,
	IMG_GHOST_FILE, /* id: remap id; raw content behind the entry */
	IMG_MEMFD_INODE,
	IMG_STATS_DUMP,
	IMG_STATS_RESTORE,
	IMG_CGROUP,
	IMG_FILE_LOCKS,
	IMG_TCP_STREAM, /* id: inode; both queues behind the entry */
	IMG_TTY_DATA,
	IMG_CPUINFO,
	IMG_UTSNS, /* id: namespace id, as all below */
	IMG_PIDNS,
	IMG_USERNS,
	IMG_IPC_VAR,
	IMG_IPC_SHM, /* content behind each entry */
	IMG_IPC_SEM, /* values behind each entry */
	IMG_IRMAP_CACHE,
	IMG_THAW_TASK, /* id: pid; Thaw's own, see thaw.proto */
	IMG_THAW_FILES,
	IMG_NR_KINDS
};

struct image_dir;
struct image_writer;
struct image_reader;

/**
 * image_dir_open() - Open a directory of images to read
 * @path: the directory
 * @out: set to a new object for image_dir_close()
 *
 * Return: 0, or -errno with a sentence in @diag (-ENOENT also when there is no inventory.img: not a finished dump)
 */
int image_dir_open(const char *path, struct image_dir **out, struct diag *diag);

/** image_dir_open_parent() - Open the images that @dir goes on from (link "parent"). Return: as image_dir_open() */
int image_dir_open_parent(struct image_dir *dir, struct image_dir **out, struct diag *diag);

/**
 * image_dir_set_parent() - Write images that go on from those in @prev, a directory as seen from @dir
 * @out: set to them, for image_dir_close()
 *
 * Return: 0, or -errno with a sentence
 */
int image_dir_set_parent(struct image_dir *dir, const char *prev, struct image_dir **out, struct diag *diag);

/**
 * image_dir_create() - Open a directory to write images into (it must exist)
 *
 * Files go to temporary names until image_dir_commit(). Leftovers of an interrupted dump are removed first,
 * and a previous dump's inventory.img is unlinked only at the commit. Only one writer at a time gets the directory.
 *
 * Files that are created in a directory of image_dir_open() get their name at image_finish(): for what is added to a
 * dump later.
 *
 * Return: 0, or -errno with a sentence in @diag (-EBUSY: another dump is writing there)
 */
int image_dir_create(const char *path, struct image_dir **out, struct diag *diag);

/** image_dir_commit() - Give all files written their names, inventory.img last. Return: 0, or -errno with a sentence */
int image_dir_commit(struct image_dir *dir, struct diag *diag);

/**
 * image_dir_begin_run() - Give the dump that is written into @dir a number of its own, a random UUID
 *
 * It goes into inventory.img; the files of Thaw's own that are written from here on name it too. So those that are left
 * beside the images of a later dump, by CRIU say, are known to be of another.
 *
 * Return: 0, or -errno with a sentence
 */
int image_dir_begin_run(struct image_dir *dir, struct diag *diag);

/** image_dir_run_id() - The number of the dump, owned by @dir, or NULL when it has none */
const char *image_dir_run_id(const struct image_dir *dir);

/** image_dir_withdraw() - What was committed is no finished dump after all */
void image_dir_withdraw(struct image_dir *dir);

/** image_dir_commit_part() - Give all files written their names, in a directory that gets, or has, the rest of its
 * images from elsewhere. Return: 0, or -errno with a sentence */
int image_dir_commit_part(struct image_dir *dir, struct diag *diag);

/** image_dir_close() - End with a directory; what was written and not committed is unlinked; takes NULL */
void image_dir_close(struct image_dir *dir);

/** image_dir_trust_pages() - Stores of pages that are opened from now on are read without comparing checksums */
void image_dir_trust_pages(struct image_dir *dir);

/** image_dir_trusts_pages() - Was that said? */
bool image_dir_trusts_pages(const struct image_dir *dir);

/** image_dir_fd() - The directory's descriptor, owned by @dir */
int image_dir_fd(const struct image_dir *dir);

/** image_dir_path() - The path it was opened by, for messages */
const char *image_dir_path(const struct image_dir *dir);

/**
 * image_create() - Start an image file
 * @kind: what it holds
 * @id: the number in its name, ignored for kinds without one
 * @out: set to a writer for image_finish()
 * @diag: for this and all later calls on the writer
 *
 * Return: 0, or -errno with a sentence in @diag
 */
int image_create(struct image_dir *dir, enum image_kind kind, uint64_t id, struct image_writer **out,
		 struct diag *diag);

/** image_put() - Append one entry; @msg is a protobuf-c message of the kind's type. Return: 0, or -errno with a
 * sentence */
int image_put(struct image_writer *w, const void *msg);

/** image_put_raw() - Append raw bytes behind the last entry. Return: 0, or -errno with a sentence */
int image_put_raw(struct image_writer *w, const void *data, size_t len);

/** image_finish() - Flush and close; takes NULL. Return: 0, or -errno with a sentence (ENOSPC comes out here or
 * earlier) */
int image_finish(struct image_writer *w);

/** image_abandon() - Close and unlink, for error paths; takes NULL */
void image_abandon(struct image_writer *w);

/** image_write_one() - An image with a single entry. Return: 0, or -errno with a sentence */
int image_write_one(struct image_dir *dir, enum image_kind kind, uint64_t id, const void *msg, struct diag *diag);

/** image_exists() - Is there such a file? */
bool image_exists(struct image_dir *dir, enum image_kind kind, uint64_t id);

/**
 * image_open() - Open an image to read and check its magic
 *
 * @diag: for this and all later calls on the reader
 *
 * Return: 0, or -errno with a sentence that names the file (-ENOENT: no such file; -EPROTO: foreign, damaged or newer)
 */
int image_open(struct image_dir *dir, enum image_kind kind, uint64_t id, struct image_reader **out, struct diag *diag);

/**
 * image_get() - Read the next entry
 * @msg: set to a protobuf-c message of the kind's type for image_free()
 *
 * Return: 1, 0 at the end of the file, or -errno with a sentence
 */
int image_get(struct image_reader *r, void *msg);

/** image_get_raw() - Read exactly @len raw bytes behind the last entry. Return: 0, or -errno with a sentence */
int image_get_raw(struct image_reader *r, void *data, size_t len);

/** image_raw_left() - Bytes from here to the end of the file */
uint64_t image_raw_left(const struct image_reader *r);

/** image_close() - End with a reader; takes NULL */
void image_close(struct image_reader *r);

/** image_read_one() - The only entry of an image; more or fewer is an error. Return: 0, or -errno with a sentence */
int image_read_one(struct image_dir *dir, enum image_kind kind, uint64_t id, void *msg, struct diag *diag);

/** image_free() - Free a message that image_get() or image_read_one() returned; takes NULL */
void image_free(void *msg);

/**
 * image_name() - The file's name for a kind and id, like "core-123.img"
 * @buf: at least 64 bytes
 *
 * Return: @buf
 */
const char *image_name(enum image_kind kind, uint64_t id, char *buf);

#endif
