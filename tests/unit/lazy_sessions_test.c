// SPDX-License-Identifier: GPL-2.0-only
/*
 * One server for many restores: --keep-serving. Each guest is the first process of a PID namespace of its own, so that
 * all are restored from the images of process 1.
 */
#include <json-c/json.h>
#include <poll.h>
#include <sys/pidfd.h>

#include "tests/unit/lazy_rig.h"

#define PAGES 2000u
#define AT(page) ((char *)RIG_BASE + (uint64_t)(page)*PAGE_SIZE)
#define IS(page) rig_page_is(AT(page), (uint64_t)(uintptr_t)AT(page))
#define GUESTS 8u

static int reads_all(void *arg)
{
	for (unsigned p = PAGES; p-- > 0;)
		if (!IS(p))
			return 1;
	return 0;
}

/* Touches a page, tells so, waits until it is told to, and reads all. @arg: four descriptors, two pipes */
static int tells_and_waits(void *arg)
{
	const int *fd = arg;
	char byte;

	return IS(7) && write(fd[1], "", 1) == 1 && read(fd[2], &byte, 1) == 1 ? reads_all(NULL) : 2;
}

static void start(struct rig *r)
{
	rig_need_uffd();
	if (geteuid()) {
		print_message("PID namespaces take root\n");
		skip();
	}
	r->keep_serving = r->own_pidns = true;
	r->pages = PAGES;
	r->map.pages_id = 1;
	assert_int_equal(pagemap_append(&r->map, RIG_BASE, PAGES, PE_PRESENT | PE_LAZY), 0);
	rig_write_images(r);
	rig_serve(r);
}

/* Start the guest with that number, and let it hand itself over. */
static void guest(struct rig *r, unsigned nr, int (*body)(void *arg), void *arg)
{
	rig_child(r, body, arg);
	r->guests[nr] = r->child;
	r->child = 0;
	rig_go(r);
}

static void end(struct rig *r)
{
	assert_int_equal(kill(r->server, SIGTERM), 0);
	assert_int_equal(rig_wait(&r->server), 0);
}

static uint64_t figure(json_object *obj, const char *key)
{
	json_object *value;

	assert_true(json_object_object_get_ex(obj, key, &value));
	return json_object_get_uint64(value);
}

/* The figures that the server has left. The caller's. */
static json_object *figures(const struct rig *r)
{
	json_object *root;
	char path[128];

	snprintf(path, sizeof(path), "%s/stats.json", r->path);
	root = json_object_from_file(path);
	assert_non_null(root);
	return root;
}

/* Pages that were filled, or not wanted any more. */
static uint64_t pages(json_object *obj)
{
	json_object *pages;

	assert_true(json_object_object_get_ex(obj, "pages", &pages));
	return figure(pages, "fault") + figure(pages, "drain") + figure(pages, "gone");
}

static void at_once_and_one_after_another(void **state)
{
	json_object *root, *sessions;
	struct rig *r = *state;

	start(r);
	for (unsigned i = 0; i < GUESTS; i++)
		guest(r, i, reads_all, NULL);
	for (unsigned i = 0; i < GUESTS; i++)
		assert_int_equal(rig_wait(&r->guests[i]), 0);
	for (unsigned i = 0; i < 3; i++) {
		guest(r, i, reads_all, NULL);
		assert_int_equal(rig_wait(&r->guests[i]), 0);
	}
	end(r);
	root = figures(r);
	assert_int_equal(figure(root, "restores"), GUESTS + 3);
	assert_int_equal(figure(root, "failed_restores"), 0);
	assert_int_equal(figure(root, "processes"), GUESTS + 3);
	assert_int_equal(pages(root), (GUESTS + 3) * PAGES);
	assert_true(json_object_object_get_ex(root, "sessions", &sessions));
	assert_int_equal(json_object_array_length(sessions), GUESTS + 3);
	for (size_t i = 0; i < GUESTS + 3; i++)
		assert_int_equal(pages(json_object_array_get_idx(sessions, i)), PAGES);
	json_object_put(root);
}

static unsigned mappings_of(pid_t pid, const char *file)
{
	_cleanup_free_ char *text = NULL;
	unsigned nr = 0;
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/maps", pid);
	assert_true(read_text(AT_FDCWD, path, &text) > 0);
	for (const char *at = text; (at = strstr(at, file)); at++)
		nr++;
	return nr;
}

static void pages_are_mapped_once(void **state)
{
	int fd[4];
	struct rig *r = *state;
	char byte;

	assert_int_equal(pipe2(fd, O_CLOEXEC) || pipe2(fd + 2, O_CLOEXEC), 0);
	start(r);
	for (unsigned i = 0; i < 4; i++)
		guest(r, i, tells_and_waits, fd);
	for (unsigned i = 0; i < 4; i++)
		assert_int_equal(read(fd[0], &byte, 1), 1);
	assert_int_equal(mappings_of(rig_server_pid(r), "/pages-1.img"), 1);
	assert_int_equal(write(fd[3], "....", 4), 4);
	for (unsigned i = 0; i < 4; i++)
		assert_int_equal(rig_wait(&r->guests[i]), 0);
	end(r);
	for (unsigned i = 0; i < 4; i++)
		close(fd[i]);
}

/* A restore that goes away before it is through takes its own process with it, and nobody else's. */
static void one_failure_is_its_own(void **state)
{
	struct rig *r = *state;
	json_object *root;
	int fd[4], conn, inert = (int)syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);
	char byte;

	assert_int_equal(pipe2(fd, O_CLOEXEC) || pipe2(fd + 2, O_CLOEXEC), 0);
	start(r);
	guest(r, 0, tells_and_waits, fd);
	assert_int_equal(read(fd[0], &byte, 1), 1);

	rig_child(r, reads_all, NULL); /* it waits all the time */
	conn = restore_socket_connect(r->path, &r->diag);
	assert_true(conn >= 0);
	assert_int_equal(restore_socket_send(conn, 4711, 4711, inert), 0); /* no such process in the images */
	close(conn);
	conn = restore_socket_connect(r->path, &r->diag);
	assert_true(conn >= 0);
	assert_int_equal(write(conn, "\0\0\0", 4), 4); /* no word of the protocol */
	close(conn);
	assert_int_equal(kill(r->child, SIGKILL), 0);
	rig_wait(&r->child);
	close(r->go);
	close(inert);

	guest(r, 1, reads_all, NULL);
	assert_int_equal(rig_wait(&r->guests[1]), 0);
	assert_int_equal(write(fd[3], "", 1), 1);
	assert_int_equal(rig_wait(&r->guests[0]), 0);
	end(r);
	root = figures(r);
	assert_int_equal(figure(root, "restores"), 4);
	assert_int_equal(figure(root, "failed_restores"), 2);
	assert_int_equal(figure(root, "processes"), 2);
	json_object_put(root);
	for (unsigned i = 0; i < 4; i++)
		close(fd[i]);
}

/* The pages that are mapped are those of the first dump: nobody may be restored from another's with them. */
static void other_images_are_refused(void **state)
{
	struct rig *r = *state;
	char path[128];

	start(r);
	guest(r, 0, reads_all, NULL);
	assert_int_equal(rig_wait(&r->guests[0]), 0);
	snprintf(path, sizeof(path), "%s/inventory.img", r->path);
	assert_int_equal(utimensat(AT_FDCWD, path, NULL, 0), 0);
	guest(r, 0, reads_all, NULL);
	assert_int_not_equal(rig_wait(&r->guests[0]), 0);
	end(r);
	assert_true(rig_logged(r, "are others than when this server began"));
}

/* SIGTERM: no more restores, but those that are there get all they need, and whoever waits at the socket his turn. */
static void terminated_server_serves_to_the_end(void **state)
{
	struct rig *r = *state;
	char path[128], byte;
	pid_t server;
	int fd[4];

	assert_int_equal(pipe2(fd, O_CLOEXEC) || pipe2(fd + 2, O_CLOEXEC), 0);
	r->modes.on_demand = true;
	start(r);
	guest(r, 0, tells_and_waits, fd);
	assert_int_equal(read(fd[0], &byte, 1), 1);
	server = rig_server_pid(r);
	assert_int_equal(kill(server, SIGSTOP), 0);
	rig_child(r, tells_and_waits, fd);
	assert_int_equal(kill(r->server, SIGTERM), 0);
	rig_go(r); /* it may connect before the server wakes up to the signal, or after it */
	assert_int_equal(kill(server, SIGCONT), 0);
	assert_int_equal(rig_wait(&r->server), 0);
	snprintf(path, sizeof(path), "%s/lazy-pages.socket", r->path);
	assert_int_equal(access(path, F_OK), -1);
	assert_int_equal(write(fd[3], "..", 2), 2);
	assert_int_equal(rig_wait(&r->guests[0]), 0); /* with nobody to serve it */
	switch (rig_wait(&r->child)) {
	case 0:
	case RIG_NOT_TAKEN:
		break;
	default:
		fail();
	}
	for (unsigned i = 0; i < 4; i++)
		close(fd[i]);
}

static void idle_server_ends_at_once(void **state)
{
	struct rig *r = *state;

	start(r);
	end(r);
}

/* The guardian's next server goes on with all of them, also with one whose connection is just being accepted. */
static void killed_server_is_succeeded(void **state)
{
	struct rig *r = *state;
	json_object *root;

	start(r);
	for (unsigned round = 0; round < 4; round++) {
		for (unsigned i = 0; i < GUESTS; i++) {
			guest(r, i, reads_all, NULL);
			if (i % 2) {
				pid_t server = rig_server_pid(r);

				if (server)
					kill(server, SIGKILL);
			}
		}
		for (unsigned i = 0; i < GUESTS; i++)
			assert_int_equal(rig_wait(&r->guests[i]), 0);
	}
	end(r);
	root = figures(r);
	assert_int_equal(figure(root, "restores"), 4 * GUESTS);
	assert_int_equal(figure(root, "failed_restores"), 0);
	assert_true(figure(root, "takeovers") > 0);
	json_object_put(root);
}

/* The number that follows @words in the server's log, once it is there. */
static pid_t logged_pid(const struct rig *r, const char *words)
{
	for (unsigned i = 0; i < 2000; i++) {
		_cleanup_free_ char *text = NULL;
		const char *at = NULL;
		char path[128];

		snprintf(path, sizeof(path), "%s/lazy.log", r->path);
		if (read_text(AT_FDCWD, path, &text) > 0)
			at = strstr(text, words);
		if (at)
			return (pid_t)atoi(at + strlen(words));
		usleep(5000);
	}
	fail_msg("not in the log: %s", words);
	return 0;
}

/* Guardian and server are killed at once: the deputy goes on with all sessions, and takes SIGTERM. */
static void killed_guardian_is_succeeded(void **state)
{
	struct rig *r = *state;
	int fd[4], deputy;
	char byte;

	assert_int_equal(pipe2(fd, O_CLOEXEC) || pipe2(fd + 2, O_CLOEXEC), 0);
	r->modes.on_demand = true;
	start(r);
	for (unsigned i = 0; i < 4; i++)
		guest(r, i, tells_and_waits, fd);
	for (unsigned i = 0; i < 4; i++)
		assert_int_equal(read(fd[0], &byte, 1), 1);
	assert_int_equal(kill(rig_server_pid(r), SIGKILL), 0);
	assert_int_equal(kill(r->server, SIGKILL), 0);
	assert_int_equal(rig_wait(&r->server), 1000 + SIGKILL);
	deputy = pidfd_open(logged_pid(r, "its deputy (pid "), 0);
	assert_true(deputy >= 0);
	guest(r, 4, reads_all, NULL);
	assert_int_equal(rig_wait(&r->guests[4]), 0);
	assert_int_equal(pidfd_send_signal(deputy, SIGTERM, NULL, 0), 0);
	assert_int_equal(poll(&(struct pollfd){ deputy, POLLIN, 0 }, 1, 20000), 1);
	close(deputy);
	assert_int_equal(write(fd[3], "....", 4), 4);
	for (unsigned i = 0; i < 4; i++)
		assert_int_equal(rig_wait(&r->guests[i]), 0);
	for (unsigned i = 0; i < 4; i++)
		close(fd[i]);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, rig_setup, rig_teardown)
	const struct CMUnitTest tests[] = {
		TEST(at_once_and_one_after_another),
		TEST(pages_are_mapped_once),
		TEST(one_failure_is_its_own),
		TEST(other_images_are_refused),
		TEST(terminated_server_serves_to_the_end),
		TEST(idle_server_ends_at_once),
		TEST(killed_server_is_succeeded),
		TEST(killed_guardian_is_succeeded),
	};

	cmocka_set_test_filter(getenv("LAZY_TEST"));
	return cmocka_run_group_tests(tests, NULL, NULL);
}
