/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef THAW_LAZY_PAGE_WIRE_H
#define THAW_LAZY_PAGE_WIRE_H

#include <stdbool.h>
#include <stdint.h>

#include "lazy-pages/net/link.h"

/*
 * The page server's protocol, as CRIU 4.2 has it. A message is 32 bytes, little-endian (CRIU: in the CPU's order):
 *
 *	u32 command	the low 16 bits are enum page_command, the high 16 the flags of a pagemap entry (PE_*)
 *	u32 unused; in Thaw's own messages the number of bytes that follow
 *	u64 nr_pages
 *	u64 vaddr
 *	u64 whose	a process: its pid as the images have it. PAGE_GET and its answers say the plain number; the
 *			others shift it left by 8 and add PAGE_OF_PROCESS, or PAGE_OF_SHMEM and a shared object's number
 *
 *	to a server that receives a dump
 *	PAGE_OPEN2	pages of a process or shared object follow; answer: u8, whether there are parent images of it
 *	PAGE_OPEN	the same without an answer
 *	PAGE_PARENT	answer: i32, whether there are parent images of it
 *	PAGE_ADD_F	a run of its pagemap, with its flags; with PE_PRESENT the pages follow
 *	PAGE_ADD	the same with PE_PRESENT; PAGE_HOLE: with PE_PARENT
 *
 *	to a server that serves memory
 *	PAGE_GET	answer: PAGE_ADD_F and as many pages as it says, at most those wanted
 *
 *	to both
 *	PAGE_CLOSE	that was all; answer: i32 0, when all is safe
 *	PAGE_FORCE_CLOSE	the same
 *
 * Thaw's own protocol. A client begins with PAGE_PARENT of THAW_PROCESS, which no dump has: CRIU's server answers that
 * there are no parent images of it, and all stays as above; Thaw's answers THAW_ANSWER. Then the client has two
 * connections, one for what is urgent and one for the bulk. Numbers and addresses are those of a process's pagemap, and
 * all its pages lie in one run of that.
 *
 *	client, first on each
 *	THAW_HELLO	nr_pages: the codec that it would like; vaddr: 0, or the session that the urgent connection
 *			belongs to. Answer: THAW_HELLO, vaddr: the session
 *	client, bulk
 *	THAW_WANT	pages that it lacks; pages that nobody said are not sent in bulk
 *	THAW_CREDIT	nr_pages more may be sent in bulk
 *	THAW_FROM	the bulk goes on from vaddr
 *	THAW_DROP	pages that will never be asked for again
 *	PAGE_CLOSE	as above
 *	client, urgent
 *	PAGE_GET	pages that somebody waits for; answered with THAW_PAGES, in any pieces
 *	server
 *	THAW_PAGES	pages; see page_pack.h
 *	THAW_LACK	pages that cannot be had
 */

#define PAGE_MSG_LEN 32
#define PAGE_OF_PROCESS 1
#define PAGE_OF_SHMEM 2

enum page_command {
	PAGE_ADD = 1,
	PAGE_HOLE = 2,
	PAGE_OPEN = 3,
	PAGE_OPEN2 = 4,
	PAGE_PARENT = 5,
	PAGE_ADD_F = 6,
	PAGE_GET = 7,
	PAGE_CLOSE = 0x1023,
	PAGE_FORCE_CLOSE = 0x1024,

	THAW_HELLO = 0x5401,
	THAW_WANT = 0x5402,
	THAW_CREDIT = 0x5403,
	THAW_FROM = 0x5404,
	THAW_DROP = 0x5405,
	THAW_PAGES = 0x5406,
	THAW_LACK = 0x5407,
};

#define THAW_PROCESS ((uint64_t)0x54484157 << 8 | PAGE_OF_PROCESS) /* "THAW", larger than any pid */
#define THAW_ANSWER 0x54480001u					   /* the low half is the version */

struct page_msg {
	uint16_t command; /* enum page_command, or whatever came */
	uint16_t flags;	  /* PE_*; of THAW_PAGES enum page_codec */
	uint32_t len;	  /* bytes that follow, of Thaw's own messages */
	uint64_t nr_pages, vaddr, whose;
};

/** page_msg_encode() - The bytes of a message */
void page_msg_encode(const struct page_msg *msg, uint8_t buf[static PAGE_MSG_LEN]);

/** page_msg_decode() - A message from its bytes, whatever they are */
void page_msg_decode(const uint8_t buf[static PAGE_MSG_LEN], struct page_msg *msg);

/**
 * page_msg_check() - May a message speak of these pages?
 * @end: of the address space, in bytes
 *
 * Return: NULL, or what is wrong with address and number
 */
const char *page_msg_check(const struct page_msg *msg, uint64_t end);

/** page_msg_send() - Send a message, and @len bytes behind it. Return: 0, or -errno */
int page_msg_send(struct link *l, const struct page_msg *msg, const void *data, size_t len);

/** page_msg_receive() - Receive a message. Return: 0, or -errno as link_receive() */
int page_msg_receive(struct link *l, struct page_msg *msg);

/** page_finish() - Say PAGE_CLOSE and wait for the answer. Return: 0, -EREMOTEIO when it is not 0, or -errno */
int page_finish(struct link *l);

/** page_finished() - Answer a PAGE_CLOSE, with @status 0 or -errno, and wait for the other end to close. Return: 0, or
 * -errno */
int page_finished(struct link *l, int status);

#endif
