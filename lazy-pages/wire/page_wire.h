/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef THAW_LAZY_PAGE_WIRE_H
#define THAW_LAZY_PAGE_WIRE_H

#include <stdint.h>

#include "lazy-pages/net/link.h"

/*
 * The page server's protocol, as CRIU 4.2 has it. A message is 32 bytes, little-endian (CRIU: in the CPU's order):
 *
 *	u32 command	the low 16 bits are enum page_command, the high 16 the flags of a pagemap entry (PE_*)
 *	u32 unused
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
};

struct page_msg {
	uint16_t command; /* enum page_command, or whatever came */
	uint16_t flags;	  /* PE_* */
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
