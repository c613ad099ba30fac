// SPDX-License-Identifier: GPL-2.0-only
/* The lazy-pages server: what it fills, what it leaves zero, and how it follows a process's changes to its memory. */
#include "tests/unit/lazy_rig.h"

#define PAGES 4096u /* 16 MiB */
#define AT(page) ((char *)RIG_BASE + (uint64_t)(page)*PAGE_SIZE)
#define IS(page, origin) rig_page_is(AT(page), (uint64_t)(uintptr_t)AT(origin))
#define ZERO(page) rig_page_is(AT(page), 0)
#define CHECK(what)                                                               \
	do {                                                                      \
		if (!(what)) {                                                    \
			fprintf(stderr, "child: line %d: %s\n", __LINE__, #what); \
			return 1;                                                 \
		}                                                                 \
	} while (0)

/* The region: pages [0, 3000) in the images, [3000, 3500) marked zero, the rest not mentioned. */
static void run(struct rig *r, int (*body)(void *arg), int want)
{
	rig_need_uffd();
	r->pages = PAGES;
	r->map.pages_id = 1;
	assert_int_equal(pagemap_append(&r->map, RIG_BASE, 3000, PE_PRESENT | PE_LAZY), 0);
	assert_int_equal(pagemap_append(&r->map, RIG_BASE + 3000 * PAGE_SIZE, 500, 0), 0);
	rig_child(r, body, NULL);
	rig_write_images(r);
	rig_serve(r);
	rig_go(r);
	assert_int_equal(rig_wait(&r->child), want);
	assert_int_equal(rig_wait(&r->server), 0);
}

static int all_there(void *arg)
{
	for (unsigned p = 0; p < PAGES; p++)
		CHECK(p < 3000 ? IS(p, p) : ZERO(p));
	return 0;
}

static void fills_everything(void **state)
{
	run(*state, all_there, 0);
}

static int backwards(void *arg)
{
	for (unsigned p = PAGES; p-- > 0;)
		CHECK(p < 3000 ? IS(p, p) : ZERO(p));
	return 0;
}

static void fills_backwards(void **state)
{
	run(*state, backwards, 0);
}

static void fills_from_files(void **state)
{
	((struct rig *)*state)->store = "files";
	run(*state, backwards, 0);
}

static int removes(void *arg)
{
	for (unsigned p = 0; p < 2900; p += 100)
		CHECK(!madvise(AT(p), 50 * PAGE_SIZE, MADV_DONTNEED));
	for (unsigned p = 0; p < 2900; p++)
		CHECK(p % 100 < 50 ? ZERO(p) : IS(p, p));
	return 0;
}

static void removed_is_zero(void **state)
{
	run(*state, removes, 0);
}

static int remaps(void *arg)
{
	char *to = mmap(NULL, 1000 * PAGE_SIZE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	CHECK(mremap(AT(1000), 500 * PAGE_SIZE, 500 * PAGE_SIZE, MREMAP_MAYMOVE | MREMAP_FIXED, to) == to);
	CHECK(!munmap(to + 100 * PAGE_SIZE, 50 * PAGE_SIZE));
	for (unsigned p = 0; p < 500; p++)
		if (p < 100 || p >= 150)
			CHECK(rig_page_is(to + p * PAGE_SIZE, (uint64_t)(uintptr_t)AT(1000 + p)));
	/* Something new in the old place has nothing to do with the images. */
	CHECK(mmap(AT(1000), 500 * PAGE_SIZE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == AT(1000));
	for (unsigned p = 0; p < 3000; p++)
		CHECK(p >= 1000 && p < 1500 ? ZERO(p) : IS(p, p));
	return 0;
}

static void moved_is_found(void **state)
{
	run(*state, remaps, 0);
}

static int kept_behind(void *arg)
{
	char *to = mremap(AT(1000), 500 * PAGE_SIZE, 500 * PAGE_SIZE, MREMAP_MAYMOVE | MREMAP_DONTUNMAP, NULL);

	CHECK(to != MAP_FAILED);
	for (unsigned p = 0; p < 500; p++)
		CHECK(ZERO(1000 + p) && rig_page_is(to + p * PAGE_SIZE, (uint64_t)(uintptr_t)AT(1000 + p)));
	return 0;
}

static void moved_leaves_zero(void **state)
{
	run(*state, kept_behind, 0);
}

static int forks(void *arg)
{
	int status;
	pid_t pid;

	CHECK(!madvise(AT(10), 10 * PAGE_SIZE, MADV_DONTNEED));
	pid = fork();
	if (!pid) {
		CHECK(!madvise(AT(100), 10 * PAGE_SIZE, MADV_DONTNEED));
		for (unsigned p = 0; p < PAGES; p++)
			CHECK(p >= 3000 || (p >= 10 && p < 20) || (p >= 100 && p < 110) ? ZERO(p) : IS(p, p));
		if (fork())
			_exit(all_there(NULL) ? 0 : 1); /* [10, 20) is zero: it must complain */
		for (unsigned p = PAGES; p-- > 3000;)
			CHECK(ZERO(p));
		_exit(0);
	}
	for (unsigned p = 20; p < 3000; p++)
		CHECK(IS(p, p));
	CHECK(waitpid(pid, &status, 0) == pid && status == 0);
	return 0;
}

static void child_has_the_same(void **state)
{
	run(*state, forks, 0);
}

static int protects(void *arg)
{
	/* Areas that are cut in pieces: no single fill can span two of them. */
	for (unsigned p = 0; p < 3000; p += 7)
		CHECK(!mprotect(AT(p), PAGE_SIZE, PROT_READ));
	return all_there(NULL);
}

static void cut_areas_are_filled(void **state)
{
	run(*state, protects, 0);
}

static int leaves(void *arg)
{
	return IS(5, 5) ? 7 : 1;
}

static void gone_process_ends_the_service(void **state)
{
	run(*state, leaves, 7);
}

static int kernel_faults(void *arg)
{
	int pipefd[2];
	_cleanup_free_ char *buf = malloc(16 * PAGE_SIZE);

	/* The kernel itself touches the memory. */
	CHECK(!pipe(pipefd));
	CHECK(write(pipefd[1], AT(700), 16 * PAGE_SIZE) == (ssize_t)(16 * PAGE_SIZE));
	CHECK(read(pipefd[0], AT(900), 16 * PAGE_SIZE) == (ssize_t)(16 * PAGE_SIZE));
	for (unsigned p = 0; p < 16; p++)
		CHECK(IS(900 + p, 700 + p));
	return 0;
}

static void kernel_may_touch(void **state)
{
	run(*state, kernel_faults, 0);
}

static void second_server_is_refused(void **state)
{
	struct rig *r = *state;
	struct lazy_options opt = { .images_dir = r->path, .status_fd = -1 };
	char path[128];

	rig_need_uffd();
	r->pages = PAGES;
	r->map.pages_id = 1;
	assert_int_equal(pagemap_append(&r->map, RIG_BASE, 3000, PE_PRESENT | PE_LAZY), 0);
	rig_child(r, leaves, NULL);
	rig_write_images(r);
	/* A dead server's socket is in the way. */
	snprintf(path, sizeof(path), "%s/lazy-pages.socket", r->path);
	close(restore_socket_listen(r->path, &r->diag));
	assert_int_equal(access(path, F_OK), 0);
	rig_serve(r);
	assert_int_equal(lazy_server_run(&opt, &r->diag), -EADDRINUSE);
	assert_non_null(strstr(r->diag.text, "listens"));
	rig_go(r);
	assert_int_equal(rig_wait(&r->child), 7);
	assert_int_equal(rig_wait(&r->server), 0);
	assert_int_equal(access(path, F_OK), -1);
}

static void socket_is_private(void **state)
{
	struct rig *r = *state;
	struct stat st;
	char path[128];
	int fd = restore_socket_listen(r->path, &r->diag), status, conn;
	pid_t pid;

	assert_true(fd >= 0);
	snprintf(path, sizeof(path), "%s/lazy-pages.socket", r->path);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	if (!geteuid() && !chmod(path, 0666) && !chmod(r->path, 0755)) {
		pid = fork();
		if (!pid) /* somebody else connects, if only the mode were wrong */
			_exit(setuid(65534) || restore_socket_connect(r->path, &r->diag) < 0);
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_int_equal(status, 0);
		conn = restore_socket_accept(fd);
		assert_true(conn >= 0);
		assert_true(restore_socket_came_from(conn, fd));
		assert_int_equal(restore_socket_check(conn), -EPERM);
		close(conn);
	}
	close(fd);
}

static int touch_all(void *arg)
{
	for (unsigned p = 0; p < 3000; p++)
		if (!IS(p, p))
			return 1;
	return 0;
}

/* The restore goes away before it is through. */
static void broken_restore_kills(void **state)
{
	struct rig *r = *state;
	int conn;

	rig_need_uffd();
	r->pages = PAGES;
	r->map.pages_id = 1;
	assert_int_equal(pagemap_append(&r->map, RIG_BASE, 3000, PE_PRESENT | PE_LAZY), 0);
	rig_child(r, touch_all, NULL);
	rig_write_images(r);
	rig_serve(r);
	conn = restore_socket_connect(r->path, &r->diag);
	assert_true(conn >= 0);
	assert_int_equal(restore_socket_send(conn, r->child, r->child, (int)syscall(SYS_userfaultfd, O_CLOEXEC)), 0);
	close(conn);
	assert_int_equal(rig_wait(&r->child), 1000 + SIGKILL);
	assert_int_equal(rig_wait(&r->server), 1);
	assert_true(rig_logged(r, "before it was through"));
}

/* A page of the "files" store that is damaged: the toucher gets SIGBUS, all others are right. */
static int sigbus_at_700(void *arg)
{
	for (unsigned p = 0; p < 3000; p++)
		if (p != 700)
			CHECK(IS(p, p));
	return IS(700, 700) ? 1 : 2; /* not reached */
}

static void bad_page_is_poison(void **state)
{
	struct rig *r = *state;
	char path[192];

	rig_need_uffd();
	r->store = "files";
	r->pages = PAGES;
	r->map.pages_id = 1;
	assert_int_equal(pagemap_append(&r->map, RIG_BASE, 3000, PE_PRESENT | PE_LAZY), 0);
	rig_child(r, sigbus_at_700, NULL);
	rig_write_images(r);
	snprintf(path, sizeof(path), "cd %s/pages-1.d && f=$(ls | grep -i %llx) && truncate -s 20 $f", r->path,
		 RIG_BASE + 700 * PAGE_SIZE);
	assert_int_equal(system(path), 0);
	rig_serve(r);
	rig_go(r);
	assert_int_equal(rig_wait(&r->child), 1000 + SIGBUS);
	rig_wait(&r->server);
	assert_true(rig_logged(r, "SIGBUS"));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, rig_setup, rig_teardown)
	const struct CMUnitTest tests[] = {
		TEST(fills_everything),	    TEST(fills_backwards),	    TEST(fills_from_files),
		TEST(removed_is_zero),	    TEST(moved_is_found),	    TEST(moved_leaves_zero),
		TEST(child_has_the_same),   TEST(cut_areas_are_filled),	    TEST(gone_process_ends_the_service),
		TEST(kernel_may_touch),	    TEST(second_server_is_refused), TEST(socket_is_private),
		TEST(broken_restore_kills), TEST(bad_page_is_poison),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
