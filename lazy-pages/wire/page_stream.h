/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef THAW_LAZY_PAGE_STREAM_H
#define THAW_LAZY_PAGE_STREAM_H

#include "images/image.h"
#include "images/pagestore.h"
#include "lazy-pages/net/link.h"

/*
 * The dump's end of the page server's protocol: pages go out as they are copied.
 */
struct page_stream;

/**
 * page_stream_connect() - Connect to a page server
 * @interrupted: asked while the server keeps us waiting; returns 0, or -errno with a sentence to give up
 *
 * Return: 0, or -errno with a sentence
 */
int page_stream_connect(const struct net_options *opt, int (*interrupted)(void *arg), void *arg,
			struct page_stream **out, struct diag *diag);

/**
 * page_stream_open() - The pages of another process or shared object follow
 * @kind: IMG_PAGEMAP or IMG_PAGEMAP_SHMEM
 * @id: pid or shmid
 *
 * Return: 0, or -errno with a sentence
 */
int page_stream_open(struct page_stream *s, enum image_kind kind, uint64_t id);

/**
 * page_stream_put() - Send runs, in ascending order over all calls
 * @data: the pages of all runs with PE_PRESENT, nothing between
 *
 * Return: 0, or -errno with a sentence
 */
int page_stream_put(struct page_stream *s, const struct page_run *runs, size_t nr, const void *data);

/** page_stream_finish() - Wait until the server says that all is safe. Return: 0, or -errno with a sentence */
int page_stream_finish(struct page_stream *s);

/** page_stream_close() - Close; without page_stream_finish() the server keeps nothing. Takes NULL */
void page_stream_close(struct page_stream *s);

#endif
