// SPDX-License-Identifier: GPL-2.0-only
#include "criu-like/inject/batch.h"

#include <errno.h>
#include <string.h>

#include "common/util.h"
#include "criu-like/inject/arch.h"

_Static_assert(sizeof(struct batch_record) == 80, "the stub knows the layout");

static struct batch_record *records(const struct batch *b)
{
	return (struct batch_record *)(b->local + PAGE_SIZE);
}

static size_t data_offset(const struct batch *b)
{
	return PAGE_SIZE + PAGE_UP(b->max_records * sizeof(struct batch_record));
}

size_t batch_size(size_t max_records, size_t data_cap)
{
	return PAGE_SIZE + PAGE_UP(max_records * sizeof(struct batch_record)) + PAGE_UP(data_cap);
}

void batch_init(struct batch *b, void *local, uint64_t remote, size_t max_records, size_t data_cap)
{
	*b = (struct batch){ .remote = remote, .local = local, .max_records = max_records, .data_cap = data_cap };
	memcpy(b->local, batch_stub_start, (size_t)(batch_stub_end - batch_stub_start));
}

void batch_reset(struct batch *b)
{
	memset(records(b), 0, b->nr_records * sizeof(struct batch_record));
	memset(b->local + data_offset(b), 0, b->data_len);
	b->nr_records = 0;
	b->data_len = 0;
	b->error = 0;
}

size_t batch_call6(struct batch *b, unsigned flags, long nr, const uint64_t arg[6])
{
	struct batch_record *r;

	if (b->nr_records == b->max_records) {
		b->error = -E2BIG;
		return 0;
	}
	r = &records(b)[b->nr_records];
	r->nr = (uint64_t)nr;
	memcpy(r->arg, arg, sizeof(r->arg));
	r->result = -ENOSYS;
	r->flags = flags;
	r->link = 0;
	return b->nr_records++;
}

void batch_store(struct batch *b, size_t from, size_t to, unsigned arg)
{
	struct batch_record *r = batch_record_at(b, from);

	if (!r || to >= b->nr_records || arg > 5)
		return;
	r->flags |= BATCH_STORE;
	r->link = batch_record_address(b, to) + offsetof(struct batch_record, arg) + arg * sizeof(uint64_t);
}

uint64_t batch_data(struct batch *b, const void *src, size_t len)
{
	size_t at = (b->data_len + 15) & ~(size_t)15;

	if (at > b->data_cap || len > b->data_cap - at) {
		b->error = -E2BIG;
		return b->remote + data_offset(b);
	}
	if (src)
		memcpy(b->local + data_offset(b) + at, src, len);
	b->data_len = at + len;
	return b->remote + data_offset(b) + at;
}

uint64_t batch_string(struct batch *b, const char *s)
{
	return batch_data(b, s, strlen(s) + 1);
}

void *batch_local(const struct batch *b, uint64_t remote)
{
	return b->local + (remote - b->remote);
}

size_t batch_begin(struct batch *b)
{
	return b->nr_records;
}

int batch_end(struct batch *b)
{
	batch_call(b, BATCH_END, 0);
	return b->error;
}

int64_t batch_result(const struct batch *b, size_t idx)
{
	const struct batch_record *r = batch_record_at(b, idx);

	return r ? r->result : -ERANGE;
}

struct batch_record *batch_record_at(const struct batch *b, size_t idx)
{
	return idx < b->nr_records ? &records(b)[idx] : NULL;
}

uint64_t batch_record_address(const struct batch *b, size_t idx)
{
	return b->remote + PAGE_SIZE + idx * sizeof(struct batch_record);
}

void batch_used(const struct batch *b, struct batch_span span[2])
{
	span[0] = (struct batch_span){ 0, PAGE_SIZE + b->nr_records * sizeof(struct batch_record) };
	span[1] = (struct batch_span){ data_offset(b), b->data_len };
}
