// SPDX-License-Identifier: GPL-2.0-only
/* modes: plain eager lazy leave-running twice user new-pidns */
/*
 * Who the process is: arguments, environment, name, executable, auxiliary vector, program break, working directory,
 * umask, limits, credentials, and the other facts that /proc and prctl tell. All must read the same after the restore.
 */
#include <grp.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "harness.h"

#define TEXT_MAX 16384

static const char *const proc_files[] = { "cmdline",	   "environ",	  "comm",     "auxv",	      "limits",
					  "oom_score_adj", "personality", "loginuid", "timerslack_ns" };
static const char *const proc_links[] = { "exe", "cwd", "root" };
#define NR_FILES (sizeof(proc_files) / sizeof(proc_files[0]))
#define NR_LINKS (sizeof(proc_links) / sizeof(proc_links[0]))

struct facts {
	size_t len[NR_FILES + NR_LINKS];
	char text[NR_FILES + NR_LINKS][TEXT_MAX];
	void *brk;
	mode_t umask;
	pid_t pid, sid, pgid;
	uid_t uid[3];
	gid_t gid[3];
	int nr_groups;
	gid_t groups[64];
	int dumpable, no_new_privs, child_subreaper, keepcaps, thp_disable, tsc;
	int nice;
};

static struct facts before, after;

static void read_facts(struct facts *f)
{
	char path[64];

	for (size_t i = 0; i < NR_FILES; i++) {
		int fd;

		snprintf(path, sizeof(path), "/proc/self/%s", proc_files[i]);
		fd = open(path, O_RDONLY | O_CLOEXEC);
		if (fd < 0)
			continue;
		for (ssize_t n = 1; n > 0 && f->len[i]<TEXT_MAX; f->len[i] += n> 0 ? (size_t)n : 0)
			n = read(fd, f->text[i] + f->len[i], TEXT_MAX - f->len[i]);
		close(fd);
	}
	for (size_t i = 0; i < NR_LINKS; i++) {
		ssize_t n;

		snprintf(path, sizeof(path), "/proc/self/%s", proc_links[i]);
		n = readlink(path, f->text[NR_FILES + i], TEXT_MAX);
		f->len[NR_FILES + i] = n > 0 ? (size_t)n : 0;
	}
	f->brk = sbrk(0);
	f->umask = umask(0);
	umask(f->umask);
	f->pid = getpid();
	f->sid = getsid(0);
	f->pgid = getpgid(0);
	test_check(!getresuid(&f->uid[0], &f->uid[1], &f->uid[2]));
	test_check(!getresgid(&f->gid[0], &f->gid[1], &f->gid[2]));
	f->nr_groups = getgroups(64, f->groups);
	f->dumpable = prctl(PR_GET_DUMPABLE);
	f->no_new_privs = prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0);
	test_check(!prctl(PR_GET_CHILD_SUBREAPER, &f->child_subreaper));
	f->keepcaps = prctl(PR_GET_KEEPCAPS);
	f->thp_disable = prctl(PR_GET_THP_DISABLE, 0, 0, 0, 0);
	test_check(!prctl(PR_GET_TSC, &f->tsc));
	f->nice = getpriority(PRIO_PROCESS, 0);
}

static void compare(void)
{
	for (size_t i = 0; i < NR_FILES + NR_LINKS; i++) {
		const char *name = i < NR_FILES ? proc_files[i] : proc_links[i - NR_FILES];

		if (before.len[i] != after.len[i] || memcmp(before.text[i], after.text[i], before.len[i]))
			test_fail("/proc/self/%s: %zu bytes %.60s, was %zu bytes %.60s", name, after.len[i],
				  after.text[i], before.len[i], before.text[i]);
	}
#define SAME(field, format)                                                                         \
	do {                                                                                        \
		if (before.field != after.field)                                                    \
			test_fail(#field " is " format ", was " format, after.field, before.field); \
	} while (0)
	SAME(brk, "%p");
	SAME(umask, "%o");
	SAME(pid, "%d");
	SAME(sid, "%d");
	SAME(pgid, "%d");
	for (int i = 0; i < 3; i++) {
		SAME(uid[i], "%u");
		SAME(gid[i], "%u");
	}
	SAME(nr_groups, "%d");
	for (int i = 0; i < before.nr_groups; i++)
		SAME(groups[i], "%u");
	SAME(dumpable, "%d");
	SAME(no_new_privs, "%d");
	SAME(child_subreaper, "%d");
	SAME(keepcaps, "%d");
	SAME(thp_disable, "%d");
	SAME(tsc, "%d");
	SAME(nice, "%d");
}

int main(int argc, char **argv)
{
	struct rlimit limit = { 123, 456 };
	char *heap, *wide = getenv("TEST_WIDE");

	test_init(argc, argv);
	if (wide) /* the environment can hold pages of zeros */
		memset(wide + 1, 0, strlen(wide + 1));
	umask(0035);
	test_check(!setrlimit(RLIMIT_NOFILE, &limit));
	test_check(!prctl(PR_SET_NAME, "odd) (name"));
	test_check(!prctl(PR_SET_CHILD_SUBREAPER, 1));
	test_check(!prctl(PR_SET_TIMERSLACK, 77777));
	test_check(setpriority(PRIO_PROCESS, 0, 5) == 0);
	test_check(personality(ADDR_NO_RANDOMIZE) >= 0);
	test_check(mkdir("identity.cwd", 0777) == 0 || errno == EEXIST);
	test_check(!chdir("identity.cwd"));
	heap = sbrk(100000);
	test_check(heap != (void *)-1);
	memset(heap, 'h', 100000);
	read_facts(&before);
	test_ready();
	test_wait();
	read_facts(&after);
	compare();
	for (int i = 0; i < 100000; i++)
		if (heap[i] != 'h')
			test_fail("byte %d below the break is %#x", i, heap[i]);
	test_check(sbrk(4096) == before.brk);
	test_pass();
}
