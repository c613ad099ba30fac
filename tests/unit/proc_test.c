// SPDX-License-Identifier: GPL-2.0-only
#include "criu-like/inspect/proc.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/cleanup.h"
#include "common/util.h"

static const struct area *area_at(const struct area *areas, size_t nr, const void *addr)
{
	for (size_t i = 0; i < nr; i++)
		if (areas[i].start <= (uintptr_t)addr && (uintptr_t)addr < areas[i].end)
			return &areas[i];
	return NULL;
}

static void test_status(void **state)
{
	_cleanup_close_ int fd = proc_open(getpid());
	struct proc_status s;
	gid_t groups[1024];
	uid_t r, e, v;
	int nr = getgroups(1024, groups);
	sigset_t set, old;

	assert_true(fd >= 0);
	assert_int_equal(prctl(PR_SET_NAME, "x\nPPid:\t99"), 0);
	sigemptyset(&set);
	sigaddset(&set, SIGUSR2);
	assert_int_equal(sigprocmask(SIG_BLOCK, &set, &old), 0);
	assert_int_equal(raise(SIGUSR2), 0);
	assert_int_equal(proc_read_status(fd, "status", &s), 0);
	assert_int_equal(s.pid, getpid());
	assert_int_equal(s.tgid, getpid());
	assert_int_equal(s.ppid, getppid());
	assert_int_equal(s.state, 'R');
	assert_int_equal(s.threads, 1);
	assert_int_equal(getresuid(&r, &e, &v), 0);
	assert_int_equal(s.uid[0], r);
	assert_int_equal(s.uid[1], e);
	assert_int_equal(s.uid[2], v);
	assert_int_equal(s.nr_groups, nr);
	for (int i = 0; i < nr; i++)
		assert_int_equal(s.groups[i], groups[i]);
	assert_true(s.sig_pnd & 1UL << (SIGUSR2 - 1));
	assert_true(s.sig_blk & 1UL << (SIGUSR2 - 1));
	assert_false(s.sig_blk & 1UL << (SIGUSR1 - 1));
	proc_status_free(&s);
	sigwaitinfo(&set, NULL);
	sigprocmask(SIG_SETMASK, &old, NULL);
	assert_int_equal(proc_read_status(fd, "task/1/status", &s), -ENOENT);
}

static void test_stat(void **state)
{
	_cleanup_close_ int fd = proc_open(getpid());
	char path[64];
	struct proc_stat s;

	assert_int_equal(prctl(PR_SET_NAME, ") S 1 (\n) 2"), 0);
	snprintf(path, sizeof(path), "task/%d/stat", getpid());
	assert_int_equal(proc_read_stat(fd, path, &s), 0);
	assert_string_equal(s.comm, ") S 1 (\n) 2");
	assert_int_equal(s.ppid, getppid());
	assert_int_equal(s.pgrp, getpgrp());
	assert_int_equal(s.session, getsid(0));
	assert_int_equal(s.nice, getpriority(PRIO_PROCESS, 0));
	assert_true(s.start_time > 0);
	assert_true(s.start_code && s.start_code < s.end_code);
	assert_true(s.env_start <= (uintptr_t)environ[0] && (uintptr_t)environ[0] < s.env_end);
	assert_true(s.start_brk <= (uintptr_t)sbrk(0));
}

static void test_areas(void **state)
{
	_cleanup_close_ int proc = proc_open(getpid());
	char path[] = "/tmp/a b\nc-XXXXXX", want[64];
	_cleanup_close_ int fd = mkstemp(path);
	struct area *areas;
	const struct area *a;
	char *file, *anon;
	size_t nr;

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, 3 * PAGE_SIZE), 0);
	file = mmap(NULL, PAGE_SIZE, PROT_READ, MAP_SHARED, fd, 2 * PAGE_SIZE);
	anon = mmap(NULL, 3 * PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_ptr_not_equal(file, MAP_FAILED);
	assert_ptr_not_equal(anon, MAP_FAILED);
	assert_int_equal(mprotect(anon, PAGE_SIZE, PROT_NONE), 0);
	assert_int_equal(madvise(anon + PAGE_SIZE, PAGE_SIZE, MADV_DONTFORK), 0);
	assert_int_equal(madvise(anon + PAGE_SIZE, PAGE_SIZE, MADV_DONTDUMP), 0);
	unlink(path);
	assert_int_equal(proc_read_areas(proc, &areas, &nr), 0);

	a = area_at(areas, nr, file);
	assert_non_null(a);
	assert_int_equal(a->end - a->start, PAGE_SIZE);
	assert_int_equal(a->pgoff, 2 * PAGE_SIZE);
	assert_int_equal(a->prot, PROT_READ);
	assert_true(a->shared);
	assert_true(a->ino != 0);
	assert_true(a->vm_flags & AREA_VM_MAYREAD);
	snprintf(want, sizeof(want), "%s (deleted)", path);
	assert_string_equal(a->name, want);

	a = area_at(areas, nr, anon);
	assert_int_equal(a->prot, PROT_NONE);
	assert_false(a->shared);
	a = area_at(areas, nr, anon + PAGE_SIZE);
	assert_int_equal(a->prot, PROT_READ | PROT_WRITE);
	assert_int_equal(a->vm_flags & (AREA_VM_DONTCOPY | AREA_VM_DONTDUMP), AREA_VM_DONTCOPY | AREA_VM_DONTDUMP);
	assert_string_equal(a->name, "");
	a = area_at(areas, nr, anon + 2 * PAGE_SIZE);
	assert_int_equal(a->vm_flags & (AREA_VM_DONTCOPY | AREA_VM_DONTDUMP), 0);
	a = area_at(areas, nr, &nr);
	assert_string_equal(a->name, "[stack]");
	assert_true(a->vm_flags & AREA_VM_GROWSDOWN);
	for (size_t i = 1; i < nr; i++)
		assert_true(areas[i - 1].end <= areas[i].start);
	proc_areas_free(areas, nr);
	munmap(file, PAGE_SIZE);
	munmap(anon, 3 * PAGE_SIZE);
}

/* Many areas: all are found, across the edges of the buffer, whichever lines fall there. */
static void test_many_areas(void **state)
{
	enum { NR = 20000 };
	_cleanup_close_ int proc = proc_open(getpid());
	char *base = mmap(NULL, NR * PAGE_SIZE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	struct area *areas;
	size_t nr, found = 0;

	assert_ptr_not_equal(base, MAP_FAILED);
	for (size_t i = 0; i < NR; i += 2)
		assert_int_equal(mprotect(base + i * PAGE_SIZE, PAGE_SIZE, PROT_NONE), 0);
	assert_int_equal(proc_read_areas(proc, &areas, &nr), 0);
	for (size_t i = 0; i < nr; i++) {
		size_t page = (areas[i].start - (uintptr_t)base) / PAGE_SIZE;

		if (areas[i].start < (uintptr_t)base || page >= NR - 1 || page == 0)
			continue;
		assert_int_equal(areas[i].end - areas[i].start, PAGE_SIZE);
		assert_int_equal(areas[i].prot, page % 2 ? PROT_READ : PROT_NONE);
		assert_true(areas[i].vm_flags & AREA_VM_NORESERVE);
		found++;
	}
	assert_int_equal(found, NR - 2);
	proc_areas_free(areas, nr);
	munmap(base, NR * PAGE_SIZE);
}

static void test_numbers_and_children(void **state)
{
	_cleanup_close_ int proc = proc_open(getpid());
	pid_t kids[3], *pids;
	int *fds;
	size_t nr, found = 0;

	for (int i = 0; i < 3; i++) {
		kids[i] = fork();
		assert_true(kids[i] >= 0);
		if (!kids[i]) {
			pause();
			_exit(0);
		}
	}
	assert_int_equal(proc_read_children(proc, &pids, &nr), 0);
	assert_int_equal(nr, 3);
	for (size_t i = 0; i < nr; i++)
		for (int k = 0; k < 3; k++)
			found += pids[i] == kids[k];
	assert_int_equal(found, 3);
	free(pids);
	for (int i = 0; i < 3; i++) {
		kill(kids[i], SIGKILL);
		waitpid(kids[i], NULL, 0);
	}
	assert_int_equal(proc_read_children(proc, &pids, &nr), 0);
	assert_int_equal(nr, 0);
	free(pids);

	assert_int_equal(dup2(0, 700), 700);
	assert_int_equal(proc_read_numbers(proc, "fd", &fds, &nr), 0);
	assert_true(nr >= 4);
	assert_int_equal(fds[0], 0);
	for (size_t i = 1; i < nr; i++)
		assert_true(fds[i - 1] < fds[i]);
	assert_int_equal(fds[nr - 1], 700);
	free(fds);
	close(700);
}

static void test_auxv(void **state)
{
	_cleanup_close_ int proc = proc_open(getpid());
	uint64_t *words, phdr = 0;
	size_t nr;

	assert_int_equal(proc_read_auxv(proc, &words, &nr), 0);
	assert_true(nr >= 4 && nr % 2 == 0);
	assert_int_equal(words[nr - 2], AT_NULL);
	for (size_t i = 0; i < nr; i += 2)
		if (words[i] == AT_PHDR)
			phdr = words[i + 1];
	assert_int_equal(phdr, getauxval(AT_PHDR));
	free(words);
}

static void test_gone(void **state)
{
	pid_t pid = fork();
	int fd;
	struct area *areas;
	struct proc_status s;
	size_t nr;

	assert_true(pid >= 0);
	if (!pid)
		_exit(0);
	fd = proc_open(pid);
	waitpid(pid, NULL, 0);
	assert_true(fd >= 0);
	assert_true(proc_read_areas(fd, &areas, &nr) < 0);
	assert_true(proc_read_status(fd, "status", &s) < 0);
	close(fd);
	assert_int_equal(proc_open(pid), -ENOENT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_status),
		cmocka_unit_test(test_stat),
		cmocka_unit_test(test_areas),
		cmocka_unit_test(test_many_areas),
		cmocka_unit_test(test_numbers_and_children),
		cmocka_unit_test(test_auxv),
		cmocka_unit_test(test_gone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
