/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef THAW_IMAGES_DIR_H
#define THAW_IMAGES_DIR_H

#include "images/image.h"

/*
 * What the writers inside images/ share: files and directories under temporary names, known to the image_dir, which
 * gives them their names at the commit. All of it may be called from several threads.
 */

#define IMAGE_NAME_MAX 64

/** image_dir_temp_file() - Start a file. Return: a descriptor that the caller closes, or -errno with a sentence */
int image_dir_temp_file(struct image_dir *dir, const char *name, struct diag *diag);

/** image_dir_temp_dir() - Start a directory of files. Return: as above */
int image_dir_temp_dir(struct image_dir *dir, const char *name, struct diag *diag);

/** image_dir_finished() - A file is whole and may be committed. Return: 0, or -errno with a sentence */
int image_dir_finished(struct image_dir *dir, const char *name, struct diag *diag);

/**
 * image_dir_end_file() - Close what was started under @name: it is whole, or forgotten
 * @fd: of image_dir_temp_file()
 * @error: 0, or the -errno that writing came to
 *
 * Return: 0, or -errno with a sentence
 */
int image_dir_end_file(struct image_dir *dir, const char *name, int fd, int error, struct diag *diag);

/** image_dir_forget() - Remove what was started under @name */
void image_dir_forget(struct image_dir *dir, const char *name);

#endif
