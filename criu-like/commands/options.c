// SPDX-License-Identifier: GPL-2.0-only
#include "criu-like/commands/options.h"

#include <ctype.h>
#include <errno.h>
#include <getopt.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/util.h"
#include "criu-like/commands/config.h"
#include "criu-like/commands/scripts.h"

#define MAX_OPTIONS 128
#define NAME_MAX_LEN 40
#define FIRST_LONG 256			    /* getopt_long() returns this plus the row for an option without a letter */
#define FIRST_NO (FIRST_LONG + MAX_OPTIONS) /* this plus the row for --no-NAME */

static const struct command_option common[] = {
	{ OPTION_TEXT, 'o', "log-file", offsetof(struct log_options, file), "FILE", "log to this file", 0, 0 },
};

/* All options of a command, and the forms of them that getopt_long(3) wants. */
struct parser {
	const struct command_option *rows[MAX_OPTIONS];
	size_t nr;
	char letters[3 * MAX_OPTIONS + 8];
	struct option longs[2 * MAX_OPTIONS + 4];
	char no_names[MAX_OPTIONS][NAME_MAX_LEN];
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
	fprintf(to,
		"\nThe other options of CRIU are accepted, or refused by name where they would change the outcome.\n");
	return to == stdout ? 2 : 1;
}

static bool has_row(const struct parser *p, const struct command_option *o)
{
	for (size_t i = 0; i < p->nr; i++)
		if (!strcmp(p->rows[i]->name, o->name))
			return true;
	return false;
}

static void add_rows(struct parser *p, const struct command_option *rows, size_t nr)
{
	for (size_t i = 0; i < nr && p->nr < MAX_OPTIONS; i++)
		if (!has_row(p, &rows[i]))
			p->rows[p->nr++] = &rows[i];
}

static bool letter_is_taken(const struct parser *p, size_t row)
{
	for (size_t i = 0; i < row; i++)
		if (p->rows[i]->letter == p->rows[row]->letter)
			return true;
	return false;
}

static int argument_kind(const struct command_option *o)
{
	return !o->arg ? no_argument : o->arg[0] == '[' ? optional_argument : required_argument;
}

static void fill_getopt(struct parser *p)
{
	char *letters = stpcpy(p->letters, "v::h");
	size_t n = 0;

	for (size_t i = 0; i < p->nr; i++) {
		const struct command_option *o = p->rows[i];
		int kind = argument_kind(o);

		p->longs[n++] = (struct option){ o->name, kind, NULL, FIRST_LONG + (int)i };
		if (!o->arg && strncmp(o->name, "no-", 3) != 0) {
			snprintf(p->no_names[i], NAME_MAX_LEN, "no-%s", o->name);
			p->longs[n++] = (struct option){ p->no_names[i], no_argument, NULL, FIRST_NO + (int)i };
		}
		if (o->letter && !letter_is_taken(p, i)) {
			*letters++ = o->letter;
			letters = stpcpy(letters, kind == no_argument ? "" : kind == optional_argument ? "::" : ":");
		}
	}
	p->longs[n++] = (struct option){ "verbosity", optional_argument, NULL, 'v' };
	p->longs[n++] = (struct option){ "help", no_argument, NULL, 'h' };
	p->longs[n] = (struct option){ 0 };
}

static const struct command_option *find_option(const struct parser *p, int c)
{
	if (c >= FIRST_LONG)
		return p->rows[(c - FIRST_LONG) % MAX_OPTIONS];
	for (size_t i = 0; i < p->nr; i++)
		if (p->rows[i]->letter == c)
			return p->rows[i];
	return NULL;
}

static int refuse(const char *command, const struct command_option *o)
{
	if (optarg && criu_option_harmless(o, optarg))
		return 0;
	fprintf(stderr, "thaw %s: --%s is not supported: %s\n", command, o->name, o->help);
	return 1;
}

static int set_size(const struct command_option *o, char *out)
{
	static const char suffixes[] = "KMG";
	const char *suffix;
	char *end;
	uint64_t n;

	errno = 0;
	n = strtoull(optarg, &end, 10);
	suffix = *end ? strchr(suffixes, toupper((unsigned char)*end)) : NULL;
	if (errno || end == optarg || *optarg == '-' || (*end && (!suffix || end[1]))) {
		fprintf(stderr, "thaw: --%s takes a number of bytes, like 4096, 64K, 16M or 1G, not '%s'\n", o->name,
			optarg);
		return 1;
	}
	*(uint64_t *)(out + o->offset) = suffix ? n << 10 * (suffix - suffixes + 1) : n;
	return 0;
}

static int add_text(const char *command, const struct command_option *o, struct text_list *list)
{
	if (list->nr == SCRIPTS_MAX) {
		fprintf(stderr, "thaw %s: --%s can be given %d times\n", command, o->name, SCRIPTS_MAX);
		return 1;
	}
	list->v[list->nr++] = optarg;
	return 0;
}

static int set_option(const char *command, const struct command_option *o, bool on, char *out)
{
	char name[48];
	long n;

	switch (o->kind) {
	case OPTION_FLAG:
		*(bool *)(out + o->offset) = on;
		return 0;
	case OPTION_TEXT:
		*(const char **)(out + o->offset) = optarg;
		return 0;
	case OPTION_TEXTS:
		return add_text(command, o, (struct text_list *)(out + o->offset));
	case OPTION_ACCEPTED:
		return 0;
	case OPTION_REFUSED:
		return on ? refuse(command, o) : 0;
	case OPTION_SIZE:
		return set_size(o, out);
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
	struct parser p = { .nr = 0 };
	int c;

	add_rows(&p, usage->options, usage->nr);
	add_rows(&p, common, ARRAY_SIZE(common));
	add_rows(&p, criu_options, nr_criu_options);
	fill_getopt(&p);
	if (config_arguments(&argc, &argv))
		return 1;
	while ((c = getopt_long(argc, argv, p.letters, p.longs, NULL)) != -1) {
		const struct command_option *o = c == 'h' || c == 'v' || c == '?' ? NULL : find_option(&p, c);

		if (c == 'h')
			return print_usage(stdout, usage);
		if (c == 'v')
			log->verbosity = command_verbosity(optarg, log->verbosity);
		else if (!o)
			return print_usage(stderr, usage);
		else if (set_option(argv[0], o, c < FIRST_NO, o == &common[0] ? (char *)log : out))
			return 1;
	}
	if (optind < argc) {
		fprintf(stderr, "thaw %s: '%s' is not an option\n", argv[0], argv[optind]);
		return 1;
	}
	return 0;
}
