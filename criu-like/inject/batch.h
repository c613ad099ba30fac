/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef THAW_INJECT_BATCH_H
#define THAW_INJECT_BATCH_H

#include <stddef.h>
#include <stdint.h>

/*
 * Batches: system calls for another task, as data.
 *
 * A batch lives in one region of the task's address space: [stub code: 1 page][records][data]. The builder works on
 * local memory and knows the remote address, so that data can be referred to while the list is built. In a dump the
 * region is private memory of the frozen task, written before the run and read back after it; in a restore it is a
 * shared memory file that tracer and tasks both map, at one address.
 *
 * A list is a row of records that the stub walks; it ends with the task stopped. A record that MUST succeed and does
 * not stops the list there. Several lists may be built one after another in one region.
 */

#define BATCH_MUST (1u << 0)  /* stop the list when the call fails */
#define BATCH_STORE (1u << 1) /* write the result where link points (an argument of a later record, or data) */
#define BATCH_END (1u << 2)   /* no call: stop here */
#define BATCH_LARGE (1u << 3) /* no call: use the CPU's large registers, so that the kernel makes room for them */

struct batch_record {
	uint64_t nr;
	uint64_t arg[6];
	int64_t result; /* as the kernel returns it: -errno on failure */
	uint64_t flags;
	uint64_t link; /* remote address for BATCH_STORE */
};

struct batch {
	uint64_t remote; /* address of the region in the task */
	uint8_t *local;	 /* the region's bytes here; not owned */
	size_t max_records;
	size_t nr_records;
	size_t data_cap; /* bytes */
	size_t data_len;
	int error; /* sticky: -E2BIG once something did not fit; checked by batch_end() */
};

/** batch_size() - Bytes of a region for so many records and data bytes, whole pages */
size_t batch_size(size_t max_records, size_t data_cap);

/**
 * batch_init() - Start a region and put the stub into its first page
 * @local: batch_size(@max_records, @data_cap) bytes, zeroed, kept by the caller
 * @remote: the same region's address in the task
 */
void batch_init(struct batch *b, void *local, uint64_t remote, size_t max_records, size_t data_cap);

/** batch_reset() - Forget all records and data */
void batch_reset(struct batch *b);

/**
 * batch_call() - Append a system call
 * @flags: BATCH_MUST or 0
 * @nr: its number; then six arguments through the macro below, missing ones are 0
 *
 * Return: the record's index (also after an error, which is sticky)
 */
size_t batch_call6(struct batch *b, unsigned flags, long nr, const uint64_t arg[6]);
#define batch_call(b, flags, nr, ...) batch_call6(b, flags, nr, (const uint64_t[6]){ __VA_ARGS__ })

/** batch_store() - Have record @from's result written to argument @arg of record @to */
void batch_store(struct batch *b, size_t from, size_t to, unsigned arg);

/**
 * batch_data() - Reserve data, 16-byte aligned
 * @src: bytes to copy there, or NULL for zeroes
 *
 * Return: the remote address
 */
uint64_t batch_data(struct batch *b, const void *src, size_t len);

/** batch_string() - batch_data() for a C string with its NUL */
uint64_t batch_string(struct batch *b, const char *s);

/** batch_local() - Where data at @remote (from batch_data()) is here */
void *batch_local(const struct batch *b, uint64_t remote);

/** batch_begin() - Start a list. Return: index of its first record */
size_t batch_begin(struct batch *b);

/** batch_end() - End the list. Return: 0, or the sticky error */
int batch_end(struct batch *b);

/** batch_result() - The result of record @idx after the run */
int64_t batch_result(const struct batch *b, size_t idx);

/** batch_record_at() - Record @idx; NULL when out of range */
struct batch_record *batch_record_at(const struct batch *b, size_t idx);

/** batch_record_address() - Where record @idx is in the task */
uint64_t batch_record_address(const struct batch *b, size_t idx);

struct batch_span {
	size_t offset, len; /* bytes in the region */
};

/** batch_used() - The two spans of the region that hold something: stub with records, and data */
void batch_used(const struct batch *b, struct batch_span span[2]);

#endif
