// SPDX-License-Identifier: GPL-2.0-only
#include "criu-like/commands/options.h"

#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "common/util.h"

#define MAX_OPTIONS 64
#define FIRST_LONG 256 /* getopt_long() returns this plus the row for an option without a letter */

static const struct command_option common[] = {
	{ OPTION_TEXT, 'o', "log-file", offsetof(struct log_options, file), "FILE", "log to this file", 0, 0 },
};

static void print_option(FILE *to, const struct command_option *o)
{
	char left[64];
	int len = o->letter ? snprintf(left, sizeof(left), "-%c, --%s", o->letter, o->name)
			    : snprintf(left, sizeof(left), "    --%s", o->name);

	if (o->arg && len > 0 && (size_t)len < sizeof(left))
		snprintf(left + len, sizeof(left) - (size_t)len, " %s", o->arg);
	fprintf(to, "  %-26s %s\n", left, o->help);
}

static int print_usage(FILE *to, const struct command_usage *u)
{
	fprintf(to, "Usage: thaw %s\n\n%s\n", u->line, u->text);
	for (size_t i = 0; i < u->nr; i++)
		print_option(to, &u->options[i]);
	print_option(to, &common[0]);
	fprintf(to, "  %-26s %s\n", "-v[N], --verbosity[=N]",
		"what to log: 0 errors, 1 warnings, 2 information, 3 all");
	return to == stdout ? 2 : 1;
}

/* The rows in the form that getopt_long(3) wants. */
static void fill_getopt(const struct command_usage *u, char *letters, struct option *longs)
{
	size_t n = 0;

	for (size_t i = 0; i < u->nr + ARRAY_SIZE(common); i++) {
		const struct command_option *o = i < u->nr ? &u->options[i] : &common[i - u->nr];

		longs[n++] = (struct option){ o->name, o->arg ? required_argument : no_argument, NULL,
					      o->letter ? o->letter : FIRST_LONG + (int)i };
		if (o->letter) {
			*letters++ = o->letter;
			if (o->arg)
				*letters++ = ':';
		}
	}
	longs[n++] = (struct option){ "verbosity", optional_argument, NULL, 'v' };
	longs[n++] = (struct option){ "help", no_argument, NULL, 'h' };
	longs[n] = (struct option){ 0 };
	strcpy(letters, "v::h");
}

static const struct command_option *find_option(const struct command_usage *u, int c)
{
	if (c >= FIRST_LONG)
		return (size_t)(c - FIRST_LONG) < u->nr ? &u->options[c - FIRST_LONG] : NULL;
	for (size_t i = 0; i < u->nr; i++)
		if (u->options[i].letter == c)
			return &u->options[i];
	return NULL;
}

static int set_option(const struct command_option *o, char *out)
{
	char name[48];
	long n;

	switch (o->kind) {
	case OPTION_FLAG:
		*(bool *)(out + o->offset) = true;
		return 0;
	case OPTION_TEXT:
		*(const char **)(out + o->offset) = optarg;
		return 0;
	case OPTION_NUMBER:
	case OPTION_UNSIGNED:
		snprintf(name, sizeof(name), "--%s", o->name);
		if (command_number(name, optarg, o->min, o->max, &n))
			return 1;
		if (o->kind == OPTION_NUMBER)
			*(int *)(out + o->offset) = (int)n;
		else
			*(unsigned *)(out + o->offset) = (unsigned)n;
		return 0;
	}
	return 1;
}

int command_parse(const struct command_usage *usage, int argc, char **argv, void *out, struct log_options *log)
{
	char letters[2 * MAX_OPTIONS + 8];
	struct option longs[MAX_OPTIONS + 4];
	int c;

	if (usage->nr + ARRAY_SIZE(common) > MAX_OPTIONS)
		return 1;
	fill_getopt(usage, letters, longs);
	while ((c = getopt_long(argc, argv, letters, longs, NULL)) != -1) {
		const struct command_option *o = find_option(usage, c);

		if (c == 'h')
			return print_usage(stdout, usage);
		if (c == 'v')
			log->verbosity = command_verbosity(optarg, log->verbosity);
		else if (c == 'o' && !o)
			log->file = optarg;
		else if (!o)
			return print_usage(stderr, usage);
		else if (set_option(o, out))
			return 1;
	}
	if (optind < argc) {
		fprintf(stderr, "thaw %s: '%s' is not an option\n", argv[0], argv[optind]);
		return 1;
	}
	return 0;
}
