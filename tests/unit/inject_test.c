// SPDX-License-Identifier: GPL-2.0-only
#include "criu-like/inject/inject.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/cleanup.h"
#include "common/util.h"
#include "criu-like/inspect/proc.h"

/* A child under trace, which reads from a pipe all the while and exits with what it reads. */
struct subject {
	struct tracee t;
	struct injection inj;
	struct diag diag;
	int mem_fd, to;
	pid_t pid;
};

static void find_vdso(pid_t pid, uint64_t *start, uint64_t *end)
{
	_cleanup_close_ int fd = proc_open(pid);
	struct area *areas;
	size_t nr;

	assert_int_equal(proc_read_areas(fd, &areas, &nr), 0);
	*start = *end = 0;
	for (size_t i = 0; i < nr; i++)
		if (!strcmp(areas[i].name, "[vdso]")) {
			*start = areas[i].start;
			*end = areas[i].end;
		}
	proc_areas_free(areas, nr);
	assert_int_not_equal(*end, 0);
}

static void start_subject(struct subject *s)
{
	uint64_t vdso, vdso_end;
	sigset_t chld;
	char path[32];
	int fds[2];

	memset(s, 0, sizeof(*s));
	diag_init(&s->diag, -1, DIAG_ERROR);
	sigemptyset(&chld);
	sigaddset(&chld, SIGCHLD);
	sigprocmask(SIG_BLOCK, &chld, NULL);
	assert_int_equal(pipe(fds), 0);
	s->pid = fork();
	if (!s->pid) {
		char byte = 99;
		ssize_t n = read(fds[0], &byte, 1);

		_exit(n == 1 ? byte : 98);
	}
	close(fds[0]);
	s->to = fds[1];
	find_vdso(s->pid, &vdso, &vdso_end);
	assert_int_equal(tracee_seize(&s->t, s->pid, s->pid, 0), 0);
	assert_int_equal(tracee_wait(&s->t), 0);
	snprintf(path, sizeof(path), "/proc/%d/mem", s->pid);
	s->mem_fd = open(path, O_RDWR | O_CLOEXEC);
	assert_true(s->mem_fd >= 0);
	assert_int_equal(inject_open(&s->inj, &s->t, s->mem_fd, inject_find_syscall(s->mem_fd, vdso, vdso_end), 64,
				     4096, &s->diag),
			 0);
}

static size_t run_list(struct subject *s, size_t first)
{
	size_t at;

	assert_int_equal(batch_end(&s->inj.batch), 0);
	assert_int_equal(inject_write(&s->inj, &s->diag), 0);
	assert_int_equal(tracee_start_list(&s->t, &s->inj.batch, first), 0);
	assert_int_equal(tracee_finish_list(&s->t, &s->inj.batch, &at), 0);
	assert_int_equal(inject_read(&s->inj, &s->diag), 0);
	return at;
}

/* Its own system call goes on as if nothing had been. */
static void end_subject(struct subject *s)
{
	int status;

	assert_int_equal(inject_close(&s->inj, &s->diag), 0);
	assert_int_equal(tracee_release(&s->t), 0);
	assert_int_equal(write(s->to, "\x07", 1), 1);
	assert_int_equal(waitpid(s->pid, &status, 0), s->pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 7);
	close(s->to);
	close(s->mem_fd);
}

static void test_results_and_data(void **state)
{
	struct subject s;
	size_t first, pid, write_to, name;
	uint64_t buf;
	int out[2];
	char got[6] = "";

	assert_int_equal(pipe(out), 0);
	start_subject(&s);
	first = batch_begin(&s.inj.batch);
	pid = batch_call(&s.inj.batch, BATCH_MUST, SYS_getpid);
	write_to = batch_call(&s.inj.batch, BATCH_MUST, SYS_write, (uint64_t)out[1],
			      batch_string(&s.inj.batch, "hello"), 6);
	buf = batch_data(&s.inj.batch, NULL, 16);
	name = batch_call(&s.inj.batch, BATCH_MUST, SYS_prctl, 16 /* PR_GET_NAME */, buf);
	run_list(&s, first);
	assert_int_equal(batch_result(&s.inj.batch, pid), s.pid);
	assert_int_equal(batch_result(&s.inj.batch, write_to), 6);
	assert_int_equal(batch_result(&s.inj.batch, name), 0);
	assert_string_equal(batch_local(&s.inj.batch, buf), "inject_test");
	end_subject(&s);
	assert_int_equal(read(out[0], got, 6), 6);
	assert_string_equal(got, "hello");
	close(out[0]);
	close(out[1]);
}

static void test_result_into_argument(void **state)
{
	struct subject s;
	size_t first, map, unmap;

	start_subject(&s);
	first = batch_begin(&s.inj.batch);
	map = batch_call(&s.inj.batch, BATCH_MUST, SYS_mmap, 0, PAGE_SIZE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS,
			 (uint64_t)-1);
	unmap = batch_call(&s.inj.batch, BATCH_MUST, SYS_munmap, 0, PAGE_SIZE);
	batch_store(&s.inj.batch, map, unmap, 0);
	run_list(&s, first);
	assert_int_equal(batch_record_at(&s.inj.batch, unmap)->arg[0], batch_result(&s.inj.batch, map));
	assert_int_equal(batch_result(&s.inj.batch, unmap), 0);
	end_subject(&s);
}

static void test_must_stops_the_list(void **state)
{
	struct subject s;
	size_t first, may, must, never;

	start_subject(&s);
	first = batch_begin(&s.inj.batch);
	may = batch_call(&s.inj.batch, 0, SYS_close, 12345);
	must = batch_call(&s.inj.batch, BATCH_MUST, SYS_close, 12345);
	never = batch_call(&s.inj.batch, BATCH_MUST, SYS_getpid);
	assert_int_equal(run_list(&s, first), must);
	assert_int_equal(batch_result(&s.inj.batch, may), -EBADF);
	assert_int_equal(batch_result(&s.inj.batch, must), -EBADF);
	assert_int_equal(batch_result(&s.inj.batch, never), -ENOSYS);
	end_subject(&s);
}

/* A signal that comes while the task is ours stays pending until it is not. */
static void test_signals_wait(void **state)
{
	struct subject s;
	size_t first;
	int status;

	start_subject(&s);
	first = batch_begin(&s.inj.batch);
	batch_call(&s.inj.batch, BATCH_MUST, SYS_kill, (uint64_t)s.pid, SIGTERM);
	run_list(&s, first);
	assert_int_equal(inject_close(&s.inj, &s.diag), 0);
	assert_int_equal(tracee_release(&s.t), 0);
	assert_int_equal(waitpid(s.pid, &status, 0), s.pid);
	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), SIGTERM);
	close(s.to);
	close(s.mem_fd);
}

static void test_region_is_gone(void **state)
{
	struct subject s;
	uint64_t at;
	char byte;

	start_subject(&s);
	at = s.inj.batch.remote;
	assert_int_equal(pread(s.mem_fd, &byte, 1, (off_t)at), 1);
	assert_int_equal(inject_close(&s.inj, &s.diag), 0);
	assert_int_equal(pread(s.mem_fd, &byte, 1, (off_t)at), -1);
	end_subject(&s);
}

static void test_full_batch_is_an_error(void **state)
{
	static uint8_t mem[4 * PAGE_SIZE];
	struct batch b;

	assert_true(batch_size(2, 64) <= sizeof(mem));
	batch_init(&b, mem, 0x10000, 2, 64);
	batch_call(&b, 0, SYS_getpid);
	assert_int_equal(batch_end(&b), 0);
	assert_int_equal(batch_end(&b), -E2BIG);
	batch_reset(&b);
	assert_int_equal(batch_data(&b, NULL, 10) % 16, 0);
	assert_int_equal(batch_data(&b, NULL, 48) % 16, 0);
	assert_int_equal(b.error, 0);
	batch_data(&b, NULL, 1);
	assert_int_equal(batch_end(&b), -E2BIG);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_results_and_data),    cmocka_unit_test(test_result_into_argument),
		cmocka_unit_test(test_must_stops_the_list), cmocka_unit_test(test_signals_wait),
		cmocka_unit_test(test_region_is_gone),	    cmocka_unit_test(test_full_batch_is_an_error),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
