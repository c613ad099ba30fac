// SPDX-License-Identifier: GPL-2.0-only
/* The options of a request as words of a command line. */
#include <errno.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/util.h"
#include "criu-like/rpc/options.h"

struct fixture {
	struct arena *arena;
	struct rpc_words words;
	struct rpc_caller caller;
	RpcOptions opts;
	struct diag diag;
};

static void setup(struct fixture *f)
{
	*f = (struct fixture){ .arena = arena_new(), .caller = { getpid(), true } };
	assert_non_null(f->arena);
	f->words.arena = f->arena;
	rpc_options__init(&f->opts);
	diag_init(&f->diag, -1, DIAG_ERROR);
}

static int translate(struct fixture *f)
{
	return rpc_options_words(&f->opts, &f->caller, &f->words, &f->diag);
}

static void assert_words(struct fixture *f, const char *const *want)
{
	size_t i;

	assert_int_equal(translate(f), 0);
	for (i = 0; want[i]; i++) {
		assert_true(i < f->words.nr);
		assert_string_equal(f->words.argv[i], want[i]);
	}
	assert_int_equal(f->words.nr, i);
	arena_free(f->arena);
}

static void assert_refused(struct fixture *f, const char *text)
{
	assert_int_equal(translate(f), -EBADRQC);
	if (!strstr(f->diag.text, text))
		fail_msg("'%s' does not name %s", f->diag.text, text);
	arena_free(f->arena);
}

static void test_nothing_set(void **state)
{
	struct fixture f;

	setup(&f);
	assert_words(&f, (const char *const[]){ NULL });
	setup(&f);
	f.opts.has_leave_running = true; /* and false */
	f.opts.has_orphan_pts_master = true;
	assert_words(&f, (const char *const[]){ NULL });
}

static void test_plain_values(void **state)
{
	char *paths[] = { "/a", "/b c" };
	struct fixture f;

	setup(&f);
	f.opts.has_leave_running = f.opts.leave_running = true;
	f.opts.has_ghost_limit = true;
	f.opts.ghost_limit = 4000000000u;
	f.opts.root = "/r";
	f.opts.n_skip_mnt = 2;
	f.opts.skip_mnt = paths;
	assert_words(&f, (const char *const[]){ "--leave-running", "--root=/r", "--skip-mnt=/a", "--skip-mnt=/b c",
						"--ghost-limit=4000000000", NULL });
}

static void test_composed_values(void **state)
{
	RpcInheritFd inherit = RPC_INHERIT_FD__INIT, *inherits[] = { &inherit };
	RpcCgroupRoot root = RPC_CGROUP_ROOT__INIT, *roots[] = { &root };
	RpcPageServer ps = RPC_PAGE_SERVER__INIT;
	struct fixture f;

	inherit.fd = 7;
	inherit.key = "pipe:[1]";
	root.path = "/x";
	ps.address = "::1";
	ps.has_port = true;
	ps.port = 9;
	setup(&f);
	f.opts.ps = &ps;
	f.opts.n_inherit_fd = 1;
	f.opts.inherit_fd = inherits;
	f.opts.n_cg_root = 1;
	f.opts.cg_root = roots;
	f.opts.has_empty_ns = true;
	f.opts.empty_ns = CLONE_NEWNET;
	f.opts.has_manage_cgroups_mode = true;
	f.opts.manage_cgroups_mode = RPC_CGROUP_MODE__CGROUP_STRICT;
	assert_words(&f, (const char *const[]){ "--page-server", "--address=::1", "--port=9", "--cgroup-root=/x",
						"--inherit-fd=fd[7]:pipe:[1]", "--manage-cgroups=strict",
						"--empty-ns=net", NULL });
	setup(&f); /* with lazy pages it is where to serve them */
	f.opts.ps = &ps;
	f.opts.has_lazy_pages = f.opts.lazy_pages = true;
	assert_words(&f, (const char *const[]){ "--address=::1", "--port=9", "--lazy-pages", NULL });
}

static void test_refused(void **state)
{
	RpcInheritFd inherit = RPC_INHERIT_FD__INIT, *inherits[] = { &inherit };
	struct fixture f;

	inherit.key = "x";
	setup(&f);
	f.opts.has_rst_sibling = f.opts.rst_sibling = true;
	f.caller.own = false;
	assert_refused(&f, "rst_sibling");
	setup(&f);
	f.caller.own = false;
	f.opts.n_inherit_fd = 1;
	f.opts.inherit_fd = inherits;
	assert_refused(&f, "inherit_fd");
	setup(&f);
	f.opts.has_network_lock = true;
	f.opts.network_lock = 4;
	assert_refused(&f, "network_lock");
	setup(&f);
	f.opts.has_manage_cgroups_mode = true;
	f.opts.manage_cgroups_mode = 7;
	assert_refused(&f, "manage_cgroups_mode");
}

/* No field is without a row: an empty message for each, with only that field set. */
static void test_every_field_is_known(void **state)
{
	const ProtobufCMessageDescriptor *d = &rpc_options__descriptor;

	for (size_t i = 0; i < d->n_fields; i++) {
		const ProtobufCFieldDescriptor *field = &d->fields[i];
		struct fixture f;

		setup(&f);
		if (field->label == PROTOBUF_C_LABEL_OPTIONAL && field->type == PROTOBUF_C_TYPE_BOOL) {
			*(protobuf_c_boolean *)((char *)&f.opts + field->quantifier_offset) = true;
			*(protobuf_c_boolean *)((char *)&f.opts + field->offset) = true;
		} else if (field->label == PROTOBUF_C_LABEL_OPTIONAL && field->type == PROTOBUF_C_TYPE_STRING) {
			*(const char **)((char *)&f.opts + field->offset) = "/";
		}
		if (translate(&f) && strstr(f.diag.text, field->name) && !strchr(f.diag.text, ':'))
			fail_msg("%s: %s", field->name, f.diag.text);
		arena_free(f.arena);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_nothing_set),	     cmocka_unit_test(test_plain_values),
		cmocka_unit_test(test_composed_values),	     cmocka_unit_test(test_refused),
		cmocka_unit_test(test_every_field_is_known),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
