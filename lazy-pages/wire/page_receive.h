/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef THAW_LAZY_PAGE_RECEIVE_H
#define THAW_LAZY_PAGE_RECEIVE_H

#include "images/image.h"
#include "lazy-pages/net/link.h"

/**
 * page_receive() - Receive the pages of a dump into a directory of images
 * @dir: of image_dir_create(); committed when the dump says that it is whole
 *
 * Return: 0, -ENODATA without a sentence when the other end closes before it says anything, or -errno with one
 */
int page_receive(struct link *l, struct image_dir *dir, struct diag *diag);

#endif
