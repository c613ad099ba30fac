// SPDX-License-Identifier: GPL-2.0-only
#include "lazy-pages/wire/page_wire.h"

#include <endian.h>
#include <errno.h>
#include <string.h>

#include "common/util.h"

void page_msg_encode(const struct page_msg *msg, uint8_t buf[static PAGE_MSG_LEN])
{
	uint32_t command = htole32((uint32_t)msg->flags << 16 | msg->command);
	uint32_t len = htole32(msg->len);
	uint64_t words[3] = { htole64(msg->nr_pages), htole64(msg->vaddr), htole64(msg->whose) };

	memcpy(buf, &command, sizeof(command));
	memcpy(buf + 4, &len, sizeof(len));
	memcpy(buf + 8, words, sizeof(words));
}

void page_msg_decode(const uint8_t buf[static PAGE_MSG_LEN], struct page_msg *msg)
{
	uint32_t command, len;
	uint64_t words[3];

	memcpy(&command, buf, sizeof(command));
	memcpy(&len, buf + 4, sizeof(len));
	memcpy(words, buf + 8, sizeof(words));
	command = le32toh(command);
	*msg = (struct page_msg){
		.command = (uint16_t)command,
		.flags = (uint16_t)(command >> 16),
		.len = le32toh(len),
		.nr_pages = le64toh(words[0]),
		.vaddr = le64toh(words[1]),
		.whose = le64toh(words[2]),
	};
}

const char *page_msg_check(const struct page_msg *msg, uint64_t end)
{
	if (!PAGE_ALIGNED(msg->vaddr))
		return "the address is not aligned to pages";
	if (!msg->nr_pages)
		return "there are no pages in it";
	if (msg->vaddr >= end || msg->nr_pages > (end - msg->vaddr) / PAGE_SIZE)
		return "it leaves the address space";
	return NULL;
}

int page_msg_send(struct link *l, const struct page_msg *msg, const void *data, size_t len)
{
	uint8_t head[PAGE_MSG_LEN];
	struct iovec iov[2] = { { head, sizeof(head) }, { (void *)data, len } };

	page_msg_encode(msg, head);
	return link_send(l, iov, len ? 2 : 1);
}

int page_msg_receive(struct link *l, struct page_msg *msg)
{
	uint8_t head[PAGE_MSG_LEN];
	int ret = link_receive(l, head, sizeof(head));

	if (!ret)
		page_msg_decode(head, msg);
	return ret;
}

int page_finish(struct link *l)
{
	const struct page_msg msg = { .command = PAGE_CLOSE };
	uint32_t status;
	int ret = page_msg_send(l, &msg, NULL, 0);

	if (!ret)
		ret = link_receive(l, &status, sizeof(status));
	return ret ? ret : status ? -EREMOTEIO : 0;
}

int page_finished(struct link *l, int status)
{
	uint32_t word = htole32((uint32_t)status);
	struct iovec iov = { &word, sizeof(word) };
	int ret = link_send(l, &iov, 1);
	char byte;

	if (!ret)
		ret = link_receive(l, &byte, 1);
	return ret == -ENODATA ? 0 : ret ? ret : -EPROTO;
}
