// SPDX-License-Identifier: GPL-2.0-only
#include "criu-like/commands/config.h"

#include <ctype.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/util.h"

struct words {
	char **v;
	size_t nr, cap;
	size_t own; /* of the file: those from the second on */
};

static int add(struct words *w, char *word)
{
	int ret = grow(&w->v, w->nr, &w->cap, sizeof(*w->v));

	if (!ret)
		w->v[w->nr++] = word;
	return ret;
}

static const char *find_file(int argc, char **argv)
{
	static const char name[] = "--config";
	const char *file = NULL;

	for (int i = 1; i < argc; i++) {
		if (!strcmp(argv[i], name) && i + 1 < argc)
			file = argv[i + 1];
		else if (!strncmp(argv[i], name, sizeof(name) - 1) && argv[i][sizeof(name) - 1] == '=')
			file = argv[i] + sizeof(name);
	}
	return file;
}

/* The value begins at @v: up to a comment or the end, without the spaces or quotes around it. */
static char *value_of(char *v)
{
	char *end;

	v += strspn(v, " \t");
	if (*v == '"') {
		end = strchr(v + 1, '"');
		if (end)
			*end = '\0';
		return v + 1;
	}
	end = v + strcspn(v, "#");
	while (end > v && isspace((unsigned char)end[-1]))
		end--;
	*end = '\0';
	return *v ? v : NULL;
}

static int add_line(struct words *w, char *line)
{
	size_t len;
	char *option, *value;

	line += strspn(line, " \t");
	len = strcspn(line, " \t#");
	if (!len)
		return 0;
	value = line[len] && line[len] != '#' ? value_of(line + len + 1) : NULL;
	line[len] = '\0';
	if (asprintf(&option, value ? "--%s=%s" : "--%s", line, value) < 0)
		return -1;
	if (add(w, option)) {
		free(option);
		return -1;
	}
	w->own++;
	return 0;
}

static void free_words(int status, void *arg)
{
	struct words *w = arg;

	(void)status;
	for (size_t i = 1; i <= w->own; i++)
		free(w->v[i]);
	free(w->v);
	free(w);
}

int config_arguments(int *argc, char ***argv)
{
	const char *file = find_file(*argc, *argv);
	_cleanup_free_ char *text = NULL;
	struct words *w;
	ssize_t len;
	int ret;

	if (!file)
		return 0;
	len = read_text(AT_FDCWD, file, &text);
	if (len < 0) {
		fprintf(stderr, "thaw: cannot read the configuration %s: %s\n", file, strerror((int)-len));
		return 1;
	}
	w = calloc(1, sizeof(*w));
	ret = w ? on_exit(free_words, w) : -1;
	if (!ret)
		ret = add(w, (*argv)[0]);
	for (char *save, *line = strtok_r(text, "\n", &save); !ret && line; line = strtok_r(NULL, "\n", &save))
		ret = add_line(w, line);
	for (int i = 1; !ret && i <= *argc; i++)
		ret = add(w, i < *argc ? (*argv)[i] : NULL);
	if (ret) {
		fprintf(stderr, "thaw: out of memory\n");
		return 1;
	}
	*argc = (int)w->nr - 1;
	*argv = w->v;
	return 0;
}
