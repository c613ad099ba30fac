// SPDX-License-Identifier: GPL-2.0-only
/*
 * The page server that receives a dump: a pagemap and a page store for each process and shared object that is opened.
 * Nothing has its name before the other end has said that it was all.
 */
#include "lazy-pages/wire/page_receive.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/util.h"
#include "images/pagestore.h"
#include "lazy-pages/wire/page_wire.h"

#define PIECE 256UL /* pages that are received at once */

struct receiver {
	struct link *link;
	struct image_dir *dir;
	struct diag *diag;
	void *buf; /* PIECE pages */
	bool open;
	uint64_t whose; /* what is open, as the messages say it */
	enum image_kind kind;
	uint64_t id;
	uint64_t end; /* of the last run, in bytes */
	struct pagemap map;
	struct page_writer *out;
	uint32_t last_pages_id;
	uint64_t pages;
};

static int connection_broke(struct receiver *r, int error)
{
	return diag_fail(r->diag, error == -ENODATA ? ECONNRESET : -error,
			 "the dump from %s broke off: %s; nothing of it was kept", link_peer(r->link),
			 error == -ENODATA ? "the connection was closed" : strerror(-error));
}

static int bad_message(struct receiver *r, const struct page_msg *msg, const char *why)
{
	return diag_fail(r->diag, EPROTO,
			 "%s sent what no dump sends (command 0x%x, %llu pages at 0x%llx of 0x%llx): %s; nothing was "
			 "kept",
			 link_peer(r->link), msg->command, (unsigned long long)msg->nr_pages,
			 (unsigned long long)msg->vaddr, (unsigned long long)msg->whose, why);
}

/* What the pages of a message belong to. Return: 0, or -errno with a sentence */
static int decode_whose(struct receiver *r, const struct page_msg *msg, enum image_kind *kind, uint64_t *id)
{
	*id = msg->whose >> 8;
	*kind = (msg->whose & 0xff) == PAGE_OF_PROCESS ? IMG_PAGEMAP : IMG_PAGEMAP_SHMEM;
	if (*kind == IMG_PAGEMAP_SHMEM && (msg->whose & 0xff) != PAGE_OF_SHMEM)
		return bad_message(r, msg, "there is no such kind of memory");
	if (*kind == IMG_PAGEMAP && (!*id || *id > INT32_MAX))
		return bad_message(r, msg, "that is no pid");
	return 0;
}

static bool has_parent(const struct receiver *r, enum image_kind kind, uint64_t id)
{
	char path[96], name[64];

	snprintf(path, sizeof(path), "parent/%s", image_name(kind, id, name));
	return !faccessat(image_dir_fd(r->dir), path, F_OK, 0);
}

/* Finish what is open. */
static int finish_pages(struct receiver *r)
{
	int ret;

	if (!r->open)
		return 0;
	r->open = false;
	ret = page_writer_finish(TAKE_PTR(r->out));
	if (!ret)
		ret = pagemap_write(r->dir, r->kind, r->id, &r->map, r->diag);
	r->pages += r->map.nr_present;
	pagemap_free(&r->map);
	return ret;
}

static int on_open(struct receiver *r, const struct page_msg *msg)
{
	enum image_kind kind;
	uint8_t parent;
	struct iovec iov = { &parent, sizeof(parent) };
	uint64_t id;
	int ret = decode_whose(r, msg, &kind, &id);

	if (!ret)
		ret = finish_pages(r);
	if (ret)
		return ret;
	if (image_exists(r->dir, kind, id))
		return bad_message(r, msg, "its pages have come already");
	r->map = (struct pagemap){ .pages_id = ++r->last_pages_id };
	ret = page_writer_create(r->dir, "raw", r->map.pages_id, &r->out, r->diag);
	if (ret)
		return ret;
	r->open = true;
	r->whose = msg->whose;
	r->kind = kind;
	r->id = id;
	r->end = 0;
	parent = has_parent(r, kind, id);
	ret = msg->command == PAGE_OPEN2 ? link_send(r->link, &iov, 1) : 0;
	return ret ? connection_broke(r, ret) : 0;
}

static int on_parent(struct receiver *r, const struct page_msg *msg)
{
	uint32_t answer;
	struct iovec iov = { &answer, sizeof(answer) };
	enum image_kind kind;
	uint64_t id;
	int ret = decode_whose(r, msg, &kind, &id);

	if (ret)
		return ret;
	answer = htole32(has_parent(r, kind, id));
	ret = link_send(r->link, &iov, 1);
	return ret ? connection_broke(r, ret) : 0;
}

static const char *run_fault(const struct receiver *r, const struct page_msg *msg, uint32_t flags)
{
	const char *why = page_msg_check(msg, r->kind == IMG_PAGEMAP ? PAGEMAP_ADDRESS_END : PAGEMAP_OFFSET_END);

	if (why)
		return why;
	if (flags & ~PAGEMAP_FLAGS || ((flags & PE_PRESENT) && (flags & PE_PARENT)))
		return "there are no such flags";
	if (msg->vaddr < r->end)
		return "it overlaps the run before it, or comes too late";
	if (flags & PE_PARENT && !has_parent(r, r->kind, r->id))
		return "it wants pages of parent images, and there are none";
	return NULL;
}

/* The pages of a run, which have the numbers from @index on in the store. */
static int receive_pages(struct receiver *r, uint64_t vaddr, uint64_t nr, uint64_t index)
{
	while (nr) {
		struct page_run run = { .vaddr = vaddr, .nr_pages = MIN(nr, PIECE), .index = index };
		int ret = link_receive(r->link, r->buf, run.nr_pages * PAGE_SIZE);

		if (ret)
			return connection_broke(r, ret);
		ret = page_writer_put(r->out, &run, 1, r->buf);
		if (ret)
			return ret;
		vaddr += run.nr_pages * PAGE_SIZE;
		index += run.nr_pages;
		nr -= run.nr_pages;
	}
	return 0;
}

static int on_run(struct receiver *r, const struct page_msg *msg)
{
	uint32_t flags = msg->command == PAGE_ADD_F ? msg->flags : msg->command == PAGE_ADD ? PE_PRESENT : PE_PARENT;
	uint64_t index = r->map.nr_present;
	const char *why;

	if (!r->open || msg->whose != r->whose)
		return bad_message(r, msg, "it was not opened");
	why = run_fault(r, msg, flags);
	if (why)
		return bad_message(r, msg, why);
	if (pagemap_append(&r->map, msg->vaddr, msg->nr_pages, flags))
		return diag_fail(r->diag, ENOMEM, "out of memory for the runs of a pagemap");
	r->end = msg->vaddr + msg->nr_pages * PAGE_SIZE;
	return flags & PE_PRESENT ? receive_pages(r, msg->vaddr, msg->nr_pages, index) : 0;
}

/* That was all: give it its names, then say so. */
static int on_close(struct receiver *r)
{
	int ret = finish_pages(r), sent;

	if (!ret)
		ret = image_dir_commit_part(r->dir, r->diag);
	if (!ret)
		diag_info(r->diag, "Received %llu pages from %s", (unsigned long long)r->pages, link_peer(r->link));
	sent = page_finished(r->link, ret);
	if (sent && !ret)
		diag_warn(r->diag, "all pages are here, but %s was perhaps not told so: %s", link_peer(r->link),
			  strerror(-sent));
	return ret;
}

static int receive_all(struct receiver *r)
{
	bool first = true;

	for (;;) {
		struct page_msg msg;
		int ret = page_msg_receive(r->link, &msg);

		if (ret)
			return ret == -ENODATA && first ? ret : connection_broke(r, ret);
		first = false;
		switch (msg.command) {
		case PAGE_OPEN:
		case PAGE_OPEN2:
			ret = on_open(r, &msg);
			break;
		case PAGE_PARENT:
			ret = on_parent(r, &msg);
			break;
		case PAGE_ADD:
		case PAGE_ADD_F:
		case PAGE_HOLE:
			ret = on_run(r, &msg);
			break;
		case PAGE_CLOSE:
		case PAGE_FORCE_CLOSE:
			return on_close(r);
		case PAGE_GET:
			ret = bad_message(r, &msg,
					  "it wants pages, and this server receives a dump; start it with "
					  "--lazy-pages to serve pages");
			break;
		default:
			ret = bad_message(r, &msg, "there is no such command");
		}
		if (ret)
			return ret;
	}
}

int page_receive(struct link *l, struct image_dir *dir, struct diag *diag)
{
	struct receiver r = { .link = l, .dir = dir, .diag = diag, .buf = aligned_alloc(PAGE_SIZE, PIECE * PAGE_SIZE) };
	int ret = r.buf ? receive_all(&r) : diag_fail(diag, ENOMEM, "out of memory to receive pages");

	page_writer_abandon(r.out);
	pagemap_free(&r.map);
	free(r.buf);
	return ret;
}
