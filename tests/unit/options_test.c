// SPDX-License-Identifier: GPL-2.0-only
/* The command line: tables of options, and those of CRIU that are accepted or refused. */
#include <getopt.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "common/util.h"
#include "criu-like/commands/options.h"

struct values {
	bool flag;
	const char *text;
	int number;
	uint64_t size;
};

#define AT(member) offsetof(struct values, member)

static const struct command_option rows[] = {
	{ OPTION_FLAG, 'f', "flag", AT(flag), NULL, "", 0, 0 },
	{ OPTION_TEXT, 't', "tree", AT(text), "TEXT", "", 0, 0 },
	{ OPTION_NUMBER, 0, "number", AT(number), "N", "", 1, 9 },
	{ OPTION_SIZE, 0, "size", AT(size), "SIZE", "", 0, 0 },
};

static const struct command_usage usage = { "test", "", rows, ARRAY_SIZE(rows) };

#define parse(v, log, ...)                                                        \
	({                                                                        \
		char *_argv[] = { "test", __VA_ARGS__, NULL };                    \
		*(v) = (struct values){ 0 };                                      \
		*(log) = (struct log_options){ 0 };                               \
		optind = 0;                                                       \
		command_parse(&usage, (int)ARRAY_SIZE(_argv) - 1, _argv, v, log); \
	})

static void test_own(void **state)
{
	struct log_options log;
	struct values v;

	assert_int_equal(parse(&v, &log, "-f", "--tree", "x", "--number=7", "--size", "3", "-vv", "-o", "l"), 0);
	assert_true(v.flag);
	assert_string_equal(v.text, "x");
	assert_int_equal(v.number, 7);
	assert_int_equal(v.size, 3);
	assert_int_equal(log.verbosity, 2);
	assert_string_equal(log.file, "l");
	assert_int_equal(parse(&v, &log, "--flag", "--no-flag", "--log-file", "m"), 0);
	assert_false(v.flag);
	assert_string_equal(log.file, "m");
}

static void test_values(void **state)
{
	struct log_options log;
	struct values v;

	assert_int_equal(parse(&v, &log, "--number", "10"), 1);
	assert_int_equal(parse(&v, &log, "--size", "2k"), 0);
	assert_int_equal(v.size, 2048);
	assert_int_equal(parse(&v, &log, "--size", "5M"), 0);
	assert_int_equal(v.size, 5 << 20);
	assert_int_equal(parse(&v, &log, "--size", "1Q"), 1);
	assert_int_equal(parse(&v, &log, "--size", "-1"), 1);
	assert_int_equal(parse(&v, &log, "--size", "1KK"), 1);
	assert_int_equal(parse(&v, &log, "--nonsense"), 1);
	assert_int_equal(parse(&v, &log, "word"), 1);
	assert_int_equal(parse(&v, &log, "--help"), 2);
}

static void test_criu(void **state)
{
	struct log_options log;
	struct values v;

	assert_int_equal(parse(&v, &log, "--cpu-cap", "--cpu-cap=all", "-l", "-L", "/x", "--freeze-cgroup", "/y",
			       "--no-weak-sysctls", "-x", "--ext-unix-sk=5", "-j", "-d"),
			 0);
	assert_int_equal(parse(&v, &log, "--inherit-fd", "fd[1]:x"), 1);
	assert_int_equal(parse(&v, &log, "--stream"), 1);
	assert_int_equal(parse(&v, &log, "--no-stream"), 0);
	assert_int_equal(parse(&v, &log, "-r", "/x"), 1);
	assert_int_equal(parse(&v, &log, "--external", "mnt[]:"), 0);
	assert_int_equal(parse(&v, &log, "--external", "tty[1:2]"), 1);
	assert_int_equal(parse(&v, &log, "--manage-cgroups"), 1);
	assert_int_equal(parse(&v, &log, "--manage-cgroups=ignore"), 0);
	assert_int_equal(parse(&v, &log, "--manage-cgroups=full"), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_own),
		cmocka_unit_test(test_values),
		cmocka_unit_test(test_criu),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
