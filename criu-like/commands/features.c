// SPDX-License-Identifier: GPL-2.0-only
/* `thaw check --feature NAME`, with the names of CRIU 4.2: whether Thaw can serve on this machine what stands behind
 * it. */
#include "criu-like/commands/features.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "common/util.h"
#include "criu-like/probe.h"

#define IN_EVERY_KERNEL "" /* that Thaw runs on */

static const struct {
	const char *name;
	const char *probe; /* the name of its probe, NULL: not served */
} features[] = {
	{ "aio_remap", IN_EVERY_KERNEL },
	{ "apparmor_stacking", NULL },
	{ "autofs", NULL },
	{ "breakpoints", IN_EVERY_KERNEL },
	{ "can_map_vdso", "mapping the vDSO" },
	{ "cgroupns", NULL },
	{ "clone3_set_tid", "clone3 with set_tid" },
	{ "compat_cr", NULL },
	{ "external_net_ns", NULL },
	{ "fdinfo_lock", IN_EVERY_KERNEL },
	{ "get_rseq_conf", "rseq areas by ptrace" },
	{ "has_ipt_legacy", NULL },
	{ "ipv6_freebind", IN_EVERY_KERNEL },
	{ "kcmp_epoll", "kcmp" },
	{ "link_nsid", NULL },
	{ "loginuid", NULL },
	{ "mem_dirty_track", IN_EVERY_KERNEL }, /* pages are compared */
	{ "memfd_hugetlb", IN_EVERY_KERNEL },
	{ "mnt_id", IN_EVERY_KERNEL },
	{ "move_mount_set_group", NULL },
	{ "net_diag_raw", NULL },
	{ "network_lock_nftables", "locking TCP connections by nftables" },
	{ "newifindex", NULL },
	{ "nftables", "locking TCP connections by nftables" },
	{ "ns_pid", IN_EVERY_KERNEL },
	{ "nsid", NULL },
	{ "openat2", IN_EVERY_KERNEL },
	{ "overlayfs_maps", IN_EVERY_KERNEL },
	{ "pagemap_scan", "PAGEMAP_SCAN" },
	{ "pagemap_scan_guard_pages", "PAGEMAP_SCAN" },
	{ "pidfd_store", "pidfd_getfd" },
	{ "seccomp_filters", "suspending seccomp filters" },
	{ "seccomp_suspend", "suspending seccomp filters" },
	{ "sk_ns", NULL },
	{ "sk_unix_file", IN_EVERY_KERNEL },
	{ "sockopt_buf_lock", IN_EVERY_KERNEL },
	{ "tcp_half_closed", "TCP repair mode" },
	{ "timens", IN_EVERY_KERNEL },
	{ "timer_cr_ids", "timers with given numbers" },
	{ "timerfd", IN_EVERY_KERNEL },
	{ "tun", NULL },
	{ "tun_ns", NULL },
	{ "uffd", "userfaultfd: fill private memory" },
	{ "uffd-noncoop", "userfaultfd: events of fork" },
	{ "userns", NULL },
};

static const struct probe *probe_of(const char *name)
{
	for (size_t i = 0; i < nr_probes; i++)
		if (!strcmp(probes[i].name, name))
			return &probes[i];
	return NULL;
}

static int try_probe(const char *name, const struct probe *probe)
{
	int ret = probe->run();

	if (ret < 0)
		printf("%s is not supported: %s: %s; %s\n", name, probe->name, strerror(-ret), probe->advice);
	else
		printf("%s is supported\n", name);
	return ret < 0;
}

int feature_served(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(features); i++) {
		const char *probe = features[i].probe;

		if (!strcmp(features[i].name, name))
			return probe && (!*probe || probe_of(probe)->run() >= 0);
	}
	return -ENOENT;
}

int feature_check(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(features); i++) {
		const char *probe = features[i].probe;

		if (strcmp(features[i].name, name) != 0)
			continue;
		if (probe && *probe)
			return try_probe(name, probe_of(probe));
		printf("%s is %s\n", name, probe ? "supported" : "not supported by Thaw");
		return probe ? 0 : 1;
	}
	fprintf(stderr, "thaw check: there is no feature '%s'; there are:", name);
	for (size_t i = 0; i < ARRAY_SIZE(features); i++)
		fprintf(stderr, " %s", features[i].name);
	fprintf(stderr, "\n");
	return 1;
}
