// SPDX-License-Identifier: GPL-2.0-only
/* modes: plain eager lazy leave-running twice user new-pidns */
/*
 * Contexts of asynchronous I/O: one that was never used, one with events that wait behind others that have been taken,
 * one whose ring has gone round, a large one.
 */
#include <linux/aio_abi.h>
#include <sys/syscall.h>

#include "harness.h"

static int file;
static char buf[32];

static aio_context_t make(unsigned nr)
{
	aio_context_t ctx = 0;

	test_check(syscall(SYS_io_setup, nr, &ctx) == 0);
	return ctx;
}

static void submit(aio_context_t ctx, uint64_t data)
{
	struct iocb cb = {
		.aio_data = data,
		.aio_lio_opcode = IOCB_CMD_PREAD,
		.aio_fildes = (uint32_t)file,
		.aio_buf = (uintptr_t)buf,
		.aio_nbytes = data % 7 + 1,
	}, *cbs[] = { &cb };

	test_check(syscall(SYS_io_submit, ctx, 1, cbs) == 1);
}

static void take(aio_context_t ctx, uint64_t data)
{
	struct io_event e = { 0 };

	test_check(syscall(SYS_io_getevents, ctx, 1, 1, &e, NULL) == 1);
	if (e.data != data || e.res != (int64_t)(data % 7 + 1))
		test_fail("event %llu with result %lld instead of event %llu", e.data, e.res, (unsigned long long)data);
}

static void take_none(aio_context_t ctx)
{
	struct timespec now = { 0 };
	struct io_event e;

	test_check(syscall(SYS_io_getevents, ctx, 0, 1, &e, &now) == 0);
}

int main(int argc, char **argv)
{
	char name[] = "/tmp/thaw-test-XXXXXX";
	aio_context_t unused, some, round, large;

	test_init(argc, argv);
	file = mkstemp(name);
	test_check(file >= 0 && unlink(name) == 0 && write(file, "asynchronous", 12) == 12);
	unused = make(4);
	some = make(10);
	round = make(1);
	large = make(5000);
	for (uint64_t i = 0; i < 100; i++)
		submit(some, i);
	for (uint64_t i = 0; i < 70; i++)
		take(some, i);
	for (uint64_t i = 0; i < 1001; i++) {
		submit(round, i);
		if (i >= 20)
			take(round, i - 20);
	}
	for (uint64_t i = 0; i < 3000; i++)
		submit(large, i);
	test_ready();
	test_wait();

	take_none(unused);
	submit(unused, 5);
	take(unused, 5);
	for (uint64_t i = 70; i < 100; i++)
		take(some, i);
	take_none(some);
	for (uint64_t i = 981; i < 1001; i++)
		take(round, i);
	take_none(round);
	for (uint64_t i = 0; i < 300; i++) {
		submit(round, i);
		take(round, i);
	}
	submit(large, 3000);
	for (uint64_t i = 0; i <= 3000; i++)
		take(large, i);
	test_check(syscall(SYS_io_destroy, some) == 0 && syscall(SYS_io_destroy, large) == 0);
	test_pass();
}
