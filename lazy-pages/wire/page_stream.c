// SPDX-License-Identifier: GPL-2.0-only
#include "lazy-pages/wire/page_stream.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/util.h"
#include "lazy-pages/wire/page_wire.h"

struct page_stream {
	struct link *link;
	struct diag *diag;
	uint64_t whose;
};

static int broke(struct page_stream *s, int error)
{
	if (s->diag->code) /* it has been said why to give up */
		return error;
	return diag_fail(s->diag, error == -ENODATA ? ECONNRESET : -error,
			 "the page server at %s does not take the pages: %s; its log may say why", link_peer(s->link),
			 error == -ENODATA ? "it closed the connection" : strerror(-error));
}

int page_stream_connect(const struct net_options *opt, int (*interrupted)(void *arg), void *arg,
			struct page_stream **out, struct diag *diag)
{
	struct page_stream *s = calloc(1, sizeof(*s));
	int ret;

	if (!s)
		return diag_fail(diag, ENOMEM, "out of memory");
	s->diag = diag;
	ret = link_connect(opt, &s->link, diag);
	if (ret) {
		free(s);
		return ret;
	}
	link_interruptible(s->link, interrupted, arg);
	*out = s;
	return 0;
}

int page_stream_open(struct page_stream *s, enum image_kind kind, uint64_t id)
{
	struct page_msg msg = { .command = PAGE_OPEN2,
				.whose = id << 8 | (kind == IMG_PAGEMAP ? PAGE_OF_PROCESS : PAGE_OF_SHMEM) };
	uint8_t parent;
	int ret = page_msg_send(s->link, &msg, NULL, 0);

	s->whose = msg.whose;
	if (!ret)
		ret = link_receive(s->link, &parent, sizeof(parent));
	return ret ? broke(s, ret) : 0;
}

int page_stream_put(struct page_stream *s, const struct page_run *runs, size_t nr, const void *data)
{
	const char *pages = data;

	for (size_t i = 0; i < nr; i++) {
		const struct page_msg msg = { .command = PAGE_ADD_F,
					      .flags = (uint16_t)runs[i].flags,
					      .nr_pages = runs[i].nr_pages,
					      .vaddr = runs[i].vaddr,
					      .whose = s->whose };
		size_t len = runs[i].flags & PE_PRESENT ? runs[i].nr_pages * PAGE_SIZE : 0;
		int ret = page_msg_send(s->link, &msg, pages, len);

		if (ret)
			return broke(s, ret);
		pages += len;
	}
	return 0;
}

int page_stream_finish(struct page_stream *s)
{
	int ret = page_finish(s->link);

	return ret ? broke(s, ret) : 0;
}

void page_stream_close(struct page_stream *s)
{
	if (!s)
		return;
	link_close(s->link);
	free(s);
}
