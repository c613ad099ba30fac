// SPDX-License-Identifier: GPL-2.0-only
#include "criu-like/inspect/proc.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/util.h"

/* smaps is taken in pieces of this size; a line (a path with its escapes) is far shorter. */
#define SMAPS_BUFFER (256UL * 1024)

int proc_open(pid_t pid)
{
	char path[32];
	int fd;

	snprintf(path, sizeof(path), "/proc/%d", pid);
	fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

static uint64_t take_hex(const char **s)
{
	uint64_t v = 0;

	for (;; (*s)++) {
		unsigned c = (unsigned char)**s;

		if (c - '0' < 10)
			v = v << 4 | (c - '0');
		else if (c - 'a' < 6)
			v = v << 4 | (c - 'a' + 10);
		else
			return v;
	}
}

static uint64_t take_dec(const char **s)
{
	uint64_t v = 0;

	for (; (unsigned)(**s - '0') < 10; (*s)++)
		v = v * 10 + (unsigned)(**s - '0');
	return v;
}

static bool take_char(const char **s, char c)
{
	if (**s != c)
		return false;
	(*s)++;
	return true;
}

/* status: one "Key:\tvalue" a line. The name's newlines are escaped, so that no key can be forged. */

struct status_key {
	const char *name;
	enum { KEY_STATE, KEY_OCT32, KEY_DEC32, KEY_HEX64, KEY_IDS, KEY_GROUPS } type;
	size_t offset;
};

#define KEY(name, type, field)                                      \
	{                                                           \
		name ":", type, offsetof(struct proc_status, field) \
	}

static const struct status_key status_keys[] = {
	KEY("Umask", KEY_OCT32, umask),
	KEY("State", KEY_STATE, state),
	KEY("Tgid", KEY_DEC32, tgid),
	KEY("Pid", KEY_DEC32, pid),
	KEY("PPid", KEY_DEC32, ppid),
	KEY("TracerPid", KEY_DEC32, tracer),
	KEY("Uid", KEY_IDS, uid),
	KEY("Gid", KEY_IDS, gid),
	KEY("Groups", KEY_GROUPS, groups),
	KEY("Threads", KEY_DEC32, threads),
	KEY("SigPnd", KEY_HEX64, sig_pnd),
	KEY("ShdPnd", KEY_HEX64, shd_pnd),
	KEY("SigBlk", KEY_HEX64, sig_blk),
	KEY("SigIgn", KEY_HEX64, sig_ign),
	KEY("SigCgt", KEY_HEX64, sig_cgt),
	KEY("CapInh", KEY_HEX64, cap_inh),
	KEY("CapPrm", KEY_HEX64, cap_prm),
	KEY("CapEff", KEY_HEX64, cap_eff),
	KEY("CapBnd", KEY_HEX64, cap_bnd),
	KEY("CapAmb", KEY_HEX64, cap_amb),
	KEY("NoNewPrivs", KEY_DEC32, no_new_privs),
	KEY("Seccomp", KEY_DEC32, seccomp),
};

static int take_groups(const char *v, struct proc_status *out)
{
	size_t cap = 0;

	for (;;) {
		while (*v == ' ')
			v++;
		if (!isdigit((unsigned char)*v))
			return 0;
		if (out->nr_groups == PROC_NR_GROUPS_MAX)
			return -EPROTO;
		if (grow(&out->groups, out->nr_groups, &cap, sizeof(*out->groups)))
			return -ENOMEM;
		out->groups[out->nr_groups++] = (uint32_t)take_dec(&v);
	}
}

static int take_status_value(const struct status_key *key, const char *v, struct proc_status *out)
{
	char *field = (char *)out + key->offset;
	uint32_t u32 = 0;
	uint64_t u64;

	while (*v == ' ' || *v == '\t')
		v++;
	switch (key->type) {
	case KEY_STATE:
		*field = *v;
		return 0;
	case KEY_GROUPS:
		return take_groups(v, out);
	case KEY_HEX64:
		u64 = take_hex(&v);
		memcpy(field, &u64, sizeof(u64));
		return 0;
	case KEY_OCT32:
		for (; (unsigned)(*v - '0') < 8; v++)
			u32 = u32 * 8 + (unsigned)(*v - '0');
		memcpy(field, &u32, sizeof(u32));
		return 0;
	case KEY_DEC32:
		u32 = (uint32_t)take_dec(&v);
		memcpy(field, &u32, sizeof(u32));
		return 0;
	case KEY_IDS:
		for (int i = 0; i < 4; i++, v++) {
			u32 = (uint32_t)take_dec(&v);
			memcpy(field + i * sizeof(u32), &u32, sizeof(u32));
			if (i < 3 && *v != '\t')
				return -EPROTO;
		}
		return 0;
	}
	return 0;
}

int proc_read_status(int proc_fd, const char *path, struct proc_status *out)
{
	_cleanup_free_ char *text = NULL;
	struct proc_status s = { 0 };
	ssize_t len = read_text(proc_fd, path, &text);
	unsigned long seen = 0;

	if (len < 0)
		return (int)len;
	for (const char *line = text; *line;) {
		const char *end = strchrnul(line, '\n');

		for (size_t i = 0; i < ARRAY_SIZE(status_keys); i++) {
			size_t klen = strlen(status_keys[i].name);
			int ret;

			if (strncmp(line, status_keys[i].name, klen) != 0 || seen & 1UL << i)
				continue;
			ret = take_status_value(&status_keys[i], line + klen, &s);
			if (ret < 0) {
				proc_status_free(&s);
				return ret;
			}
			seen |= 1UL << i;
			break;
		}
		line = *end ? end + 1 : end;
	}
	if (seen != (1UL << ARRAY_SIZE(status_keys)) - 1) {
		proc_status_free(&s);
		return -EPROTO;
	}
	*out = s;
	return 0;
}

void proc_status_free(struct proc_status *s)
{
	if (!s)
		return;
	free(s->groups);
	s->groups = NULL;
	s->nr_groups = 0;
}

/* stat: "pid (name) S" and numbers from field 4 on; the name may hold anything, so that the last parenthesis counts. */

#define STAT_FIRST 4
#define STAT_LAST 52

static int take_stat_numbers(const char *v, int64_t n[STAT_LAST + 1])
{
	for (int i = STAT_FIRST; i <= STAT_LAST; i++) {
		bool minus;

		if (!take_char(&v, ' '))
			return -EPROTO;
		minus = take_char(&v, '-');
		if (!isdigit((unsigned char)*v))
			return -EPROTO;
		n[i] = (int64_t)take_dec(&v);
		if (minus)
			n[i] = -n[i];
	}
	return 0;
}

int proc_read_stat(int proc_fd, const char *path, struct proc_stat *out)
{
	_cleanup_free_ char *text = NULL;
	ssize_t len = read_text(proc_fd, path, &text);
	const char *open, *close;
	int64_t n[STAT_LAST + 1];
	int ret;

	if (len < 0)
		return (int)len;
	open = strchr(text, '(');
	close = strrchr(text, ')');
	if (!open || !close || close < open || (size_t)(close - open - 1) >= sizeof(out->comm) || close[1] != ' ' ||
	    !close[2])
		return -EPROTO;
	ret = take_stat_numbers(close + 3, n);
	if (ret < 0)
		return ret;
	*out = (struct proc_stat){
		.state = close[2],
		.ppid = (pid_t)n[4],
		.pgrp = (pid_t)n[5],
		.session = (pid_t)n[6],
		.tty_nr = (uint32_t)n[7],
		.flags = (uint32_t)n[9],
		.nice = (int32_t)n[19],
		.start_time = (uint64_t)n[22],
		.start_code = (uint64_t)n[26],
		.end_code = (uint64_t)n[27],
		.start_stack = (uint64_t)n[28],
		.rt_priority = (uint32_t)n[40],
		.policy = (uint32_t)n[41],
		.start_data = (uint64_t)n[45],
		.end_data = (uint64_t)n[46],
		.start_brk = (uint64_t)n[47],
		.arg_start = (uint64_t)n[48],
		.arg_end = (uint64_t)n[49],
		.env_start = (uint64_t)n[50],
		.env_end = (uint64_t)n[51],
		.exit_code = (int32_t)n[52],
	};
	memcpy(out->comm, open + 1, (size_t)(close - open - 1));
	return 0;
}

/*
 * smaps: for each area a line as in maps, which begins with a hexadecimal digit, then "Key: value" lines, which begin
 * with a capital; of these only VmFlags counts. Nothing is scanned twice but the names.
 */

static const struct {
	char letters[3];
	uint64_t flag;
} vm_flags[] = {
	{ "gd", AREA_VM_GROWSDOWN },  { "lo", AREA_VM_LOCKED },	      { "io", AREA_VM_IO },
	{ "pf", AREA_VM_PFNMAP },     { "dc", AREA_VM_DONTCOPY },     { "de", AREA_VM_DONTEXPAND },
	{ "ac", AREA_VM_ACCOUNT },    { "nr", AREA_VM_NORESERVE },    { "ht", AREA_VM_HUGETLB },
	{ "dd", AREA_VM_DONTDUMP },   { "hg", AREA_VM_HUGEPAGE },     { "nh", AREA_VM_NOHUGEPAGE },
	{ "mg", AREA_VM_MERGEABLE },  { "sr", AREA_VM_SEQ_READ },     { "rr", AREA_VM_RAND_READ },
	{ "wf", AREA_VM_WIPEONFORK }, { "um", AREA_VM_UFFD_MISSING }, { "uw", AREA_VM_UFFD_WP },
	{ "ui", AREA_VM_UFFD_MINOR }, { "ss", AREA_VM_SHADOW_STACK }, { "sl", AREA_VM_SEALED },
	{ "mr", AREA_VM_MAYREAD },    { "mw", AREA_VM_MAYWRITE },     { "me", AREA_VM_MAYEXEC },
	{ "ms", AREA_VM_MAYSHARE },   { "sd", AREA_VM_SOFTDIRTY },    { "dp", AREA_VM_DROPPABLE },
};

static uint64_t take_vm_flags(const char *s)
{
	uint64_t flags = 0;

	for (; s[0]; s += s[2] ? 3 : 2) {
		while (*s == ' ')
			s++;
		if (!s[0] || !s[1])
			break;
		for (size_t i = 0; i < ARRAY_SIZE(vm_flags); i++)
			if (vm_flags[i].letters[0] == s[0] && vm_flags[i].letters[1] == s[1])
				flags |= vm_flags[i].flag;
	}
	return flags;
}

/* A name as it is: the kernel writes a newline as \012 and nothing else. */
static char *take_name(const char *s)
{
	char *name, *to;

	while (*s == ' ')
		s++;
	name = strdup(s);
	if (!name || !strstr(name, "\\012"))
		return name;
	for (to = name; *s; to++) {
		bool newline = strncmp(s, "\\012", 4) == 0;

		*to = newline ? '\n' : *s;
		s += newline ? 4 : 1;
	}
	*to = '\0';
	return name;
}

static int take_area(const char *s, struct area *a)
{
	*a = (struct area){ 0 };
	a->start = take_hex(&s);
	if (!take_char(&s, '-'))
		return -EPROTO;
	a->end = take_hex(&s);
	if (!take_char(&s, ' ') || strnlen(s, 5) < 5 || s[4] != ' ' || a->end <= a->start)
		return -EPROTO;
	a->prot = (s[0] == 'r' ? PROT_READ : 0u) | (s[1] == 'w' ? PROT_WRITE : 0u) | (s[2] == 'x' ? PROT_EXEC : 0u);
	a->shared = s[3] == 's';
	s += 5;
	a->pgoff = take_hex(&s);
	if (!take_char(&s, ' '))
		return -EPROTO;
	a->dev_major = (uint32_t)take_hex(&s);
	if (!take_char(&s, ':'))
		return -EPROTO;
	a->dev_minor = (uint32_t)take_hex(&s);
	if (!take_char(&s, ' '))
		return -EPROTO;
	a->ino = take_dec(&s);
	a->name = take_name(s);
	return a->name ? 0 : -ENOMEM;
}

struct area_list {
	struct area *areas;
	size_t nr, cap;
};

static int take_smaps_line(const char *line, struct area_list *list)
{
	int ret;

	if (line[0] == 'V' && strncmp(line, "VmFlags:", 8) == 0) {
		if (!list->nr)
			return -EPROTO;
		list->areas[list->nr - 1].vm_flags = take_vm_flags(line + 8);
		return 0;
	}
	if (!isxdigit((unsigned char)line[0]) || isupper((unsigned char)line[0]))
		return 0;
	ret = grow(&list->areas, list->nr, &list->cap, sizeof(*list->areas));
	if (ret < 0)
		return ret;
	ret = take_area(line, &list->areas[list->nr]);
	if (ret == 0)
		list->nr++;
	return ret;
}

/* Take the whole lines of buf[0..len). Return: the bytes taken, or -errno. */
static ssize_t take_smaps_lines(char *buf, size_t len, struct area_list *list)
{
	char *line = buf, *end;

	while ((end = memchr(line, '\n', len - (size_t)(line - buf)))) {
		int ret;

		*end = '\0';
		ret = take_smaps_line(line, list);
		if (ret < 0)
			return ret;
		line = end + 1;
	}
	return line - buf;
}

static int read_smaps(int fd, char *buf, struct area_list *list)
{
	size_t len = 0;

	for (;;) {
		ssize_t n = full_read(fd, buf + len, SMAPS_BUFFER - len);
		ssize_t taken;

		if (n < 0)
			return (int)n;
		if (n == 0)
			return len ? -EPROTO : 0;
		len += (size_t)n;
		taken = take_smaps_lines(buf, len, list);
		if (taken < 0)
			return (int)taken;
		if (taken == 0)
			return -EPROTO;
		len -= (size_t)taken;
		memmove(buf, buf + taken, len);
	}
}

int proc_read_areas(int proc_fd, struct area **areas, size_t *nr)
{
	_cleanup_close_ int fd = openat(proc_fd, "smaps", O_RDONLY | O_CLOEXEC);
	_cleanup_free_ char *buf = NULL;
	struct area_list list = { 0 };
	int ret;

	if (fd < 0)
		return -errno;
	buf = malloc(SMAPS_BUFFER);
	if (!buf)
		return -ENOMEM;
	ret = read_smaps(fd, buf, &list);
	if (ret < 0) {
		proc_areas_free(list.areas, list.nr);
		return ret;
	}
	*areas = list.areas;
	*nr = list.nr;
	return 0;
}

void proc_areas_free(struct area *areas, size_t nr)
{
	if (!areas)
		return;
	for (size_t i = 0; i < nr; i++)
		free(areas[i].name);
	free(areas);
}

static int compare_ints(const void *a, const void *b)
{
	int x = *(const int *)a, y = *(const int *)b;

	return (x > y) - (x < y);
}

static DIR *open_directory(int proc_fd, const char *path)
{
	int fd = openat(proc_fd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	int err = errno;

	if (!dir && fd >= 0)
		close(fd);
	errno = err;
	return dir;
}

int proc_read_numbers(int proc_fd, const char *path, int **numbers, size_t *nr)
{
	_cleanup_closedir_ DIR *dir = open_directory(proc_fd, path);
	_cleanup_free_ int *list = NULL;
	size_t n = 0, cap = 0;
	struct dirent *de;

	if (!dir)
		return -errno;
	while (errno = 0, de = readdir(dir)) {
		const char *s = de->d_name;

		if (!isdigit((unsigned char)*s))
			continue;
		if (grow(&list, n, &cap, sizeof(*list)))
			return -ENOMEM;
		list[n++] = (int)take_dec(&s);
	}
	if (errno)
		return -errno;
	if (n)
		qsort(list, n, sizeof(*list), compare_ints);
	*numbers = TAKE_PTR(list);
	*nr = n;
	return 0;
}

struct pid_list {
	pid_t *pids;
	size_t nr, cap;
};

static int add_children(int proc_fd, int tid, struct pid_list *list)
{
	_cleanup_free_ char *text = NULL;
	char path[64];
	ssize_t len;

	snprintf(path, sizeof(path), "task/%d/children", tid);
	len = read_text(proc_fd, path, &text);
	if (len == -ENOENT) {
		/* The thread has ended, or the kernel does not tell children. */
		snprintf(path, sizeof(path), "task/%d", tid);
		return faccessat(proc_fd, path, F_OK, 0) == 0 ? -EOPNOTSUPP : 0;
	}
	if (len < 0)
		return len == -ESRCH ? 0 : (int)len;
	for (const char *s = text; isdigit((unsigned char)*s); take_char(&s, ' ')) {
		if (grow(&list->pids, list->nr, &list->cap, sizeof(*list->pids)))
			return -ENOMEM;
		list->pids[list->nr++] = (pid_t)take_dec(&s);
	}
	return 0;
}

int proc_read_children(int proc_fd, pid_t **pids, size_t *nr)
{
	_cleanup_free_ int *tids = NULL;
	struct pid_list list = { 0 };
	size_t nr_tids = 0;
	int ret = proc_read_numbers(proc_fd, "task", &tids, &nr_tids);

	for (size_t i = 0; ret == 0 && i < nr_tids; i++)
		ret = add_children(proc_fd, tids[i], &list);
	if (ret < 0) {
		free(list.pids);
		return ret;
	}
	*pids = list.pids;
	*nr = list.nr;
	return 0;
}

int proc_read_auxv(int proc_fd, uint64_t **words, size_t *nr)
{
	_cleanup_free_ char *text = NULL;
	ssize_t len = read_text(proc_fd, "auxv", &text);
	size_t n;

	if (len < 0)
		return (int)len;
	n = (size_t)len / sizeof(uint64_t);
	if (n < 2 || (size_t)len % (2 * sizeof(uint64_t)) || ((uint64_t *)(void *)text)[n - 2] != 0)
		return -EPROTO;
	*words = (uint64_t *)(void *)TAKE_PTR(text);
	*nr = n;
	return 0;
}
