/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef THAW_STATE_PAGE_OUT_H
#define THAW_STATE_PAGE_OUT_H

#include "criu-like/process.h"
#include "criu-like/state/page_copy.h"

/**
 * page_out_run() - Copy pages to where the dump's go: a store and a pagemap among the images, or a page server
 * @kind: IMG_PAGEMAP or IMG_PAGEMAP_SHMEM
 * @id: pid or shmid
 * @copy: what to copy; its map is filled
 *
 * Return: 0, or -errno with a sentence
 */
int page_out_run(struct dump *d, enum image_kind kind, uint64_t id, struct page_copy *copy);

#endif
