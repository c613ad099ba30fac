// SPDX-License-Identifier: GPL-2.0-only
/* modes: plain eager lazy leave-running twice */
/* needs: root */
/*
 * Credentials that differ from thread to thread: the leader is a user with an ambient capability, and each thread is
 * somebody else, since the kernel's credentials are a thread's own.
 */
#include <grp.h>
#include <linux/capability.h>
#include <linux/securebits.h>
#include <libgen.h>
#include <pthread.h>
#include <sys/fsuid.h>
#include <sys/stat.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include "harness.h"

#define NR 3
#define BIT(cap) (1U << (cap))

static pthread_barrier_t barrier;

struct facts {
	char status[4096]; /* Uid to NoNewPrivs, less what changes */
	int securebits, dumpable;
};

static void read_facts(struct facts *f)
{
	static const char *const keys[] = { "Uid:",    "Gid:",	  "Groups:", "CapInh:",	   "CapPrm:",
					    "CapEff:", "CapBnd:", "CapAmb:", "NoNewPrivs:" };
	FILE *in = fopen("/proc/thread-self/status", "re");
	char line[1024];

	memset(f, 0, sizeof(*f));
	test_check(in);
	while (fgets(line, sizeof(line), in))
		for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
			if (!strncmp(line, keys[i], strlen(keys[i])))
				snprintf(f->status + strlen(f->status), sizeof(f->status) - strlen(f->status), "%s",
					 line);
	fclose(in);
	f->securebits = prctl(PR_GET_SECUREBITS);
	f->dumpable = prctl(PR_GET_DUMPABLE);
}

static void set_caps(uint32_t eff, uint32_t prm, uint32_t inheritable)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2] = { { eff, prm, inheritable } };

	test_check(!syscall(SYS_capset, &header, data));
}

static void become_daemon(void)
{
	test_check(!syscall(SYS_setgroups, 2, (gid_t[]){ 4, 70000 }));
	test_check(!prctl(PR_CAPBSET_DROP, CAP_NET_RAW));
	test_check(!prctl(PR_CAPBSET_DROP, CAP_SYS_BOOT));
	setfsgid(33);
	setfsuid(33);
	set_caps(BIT(CAP_SETUID), BIT(CAP_SETUID) | BIT(CAP_KILL), 0);
	test_check(!prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
}

static void become_user(uid_t uid)
{
	test_check(!syscall(SYS_setgroups, 0, NULL));
	test_check(!syscall(SYS_setresgid, uid, uid + 1, uid + 2));
	test_check(!syscall(SYS_setresuid, uid, uid + 1, uid + 2));
}

static void become_privileged_user(void)
{
	uint32_t caps = BIT(CAP_NET_BIND_SERVICE) | BIT(CAP_SETPCAP);

	test_check(!prctl(PR_SET_KEEPCAPS, 1));
	test_check(!syscall(SYS_setresuid, 65534, 65534, 65534));
	set_caps(caps, caps, BIT(CAP_NET_BIND_SERVICE));
	test_check(!prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_NET_BIND_SERVICE, 0, 0));
	test_check(!prctl(PR_SET_SECUREBITS, SECBIT_NOROOT | SECBIT_NOROOT_LOCKED | SECBIT_NO_CAP_AMBIENT_RAISE));
	set_caps(0, BIT(CAP_NET_BIND_SERVICE), BIT(CAP_NET_BIND_SERVICE));
}

static void compare(int who, const struct facts *before, const struct facts *after)
{
	if (strcmp(before->status, after->status) != 0)
		test_fail("thread %d: was\n%sis\n%s", who, before->status, after->status);
	if (before->securebits != after->securebits || before->dumpable != after->dumpable)
		test_fail("thread %d: securebits %#x dumpable %d, was %#x %d", who, after->securebits, after->dumpable,
			  before->securebits, before->dumpable);
}

static void *thread(void *arg)
{
	int who = (int)(intptr_t)arg;
	struct facts before, after;

	if (who == 1)
		become_daemon();
	if (who == 2)
		become_user(1000);
	pthread_barrier_wait(&barrier);
	pthread_barrier_wait(&barrier);
	read_facts(&before);
	pthread_barrier_wait(&barrier);
	pthread_barrier_wait(&barrier);
	read_facts(&after);
	compare(who, &before, &after);
	return NULL;
}

int main(int argc, char **argv)
{
	struct facts before, after;
	pthread_t t[NR];

	test_init(argc, argv);
	/* Another user is to write the verdict. */
	test_check(!chmod(dirname(strdup(test_result_path)), 0777));
	pthread_barrier_init(&barrier, NULL, NR);
	for (intptr_t i = 1; i < NR; i++)
		test_check(!pthread_create(&t[i], NULL, thread, (void *)i));
	pthread_barrier_wait(&barrier);
	become_privileged_user();
	test_check(!prctl(PR_SET_DUMPABLE, 1));
	pthread_barrier_wait(&barrier);
	read_facts(&before);
	pthread_barrier_wait(&barrier);
	test_ready();
	test_wait();
	read_facts(&after);
	compare(0, &before, &after);
	pthread_barrier_wait(&barrier);
	for (int i = 1; i < NR; i++)
		pthread_join(t[i], NULL);
	test_pass();
}
