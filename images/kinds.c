// SPDX-License-Identifier: GPL-2.0-only
#include "images/kinds.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/util.h"
#include "images/proto/all.h"

static uint64_t pipe_tail(const void *msg, bool head)
{
	return ((const PipeDataEntry *)msg)->bytes;
}

static uint64_t queue_tail(const void *msg, bool head)
{
	return ((const SkPacketEntry *)msg)->length;
}

static uint64_t stream_tail(const void *msg, bool head)
{
	const TcpStreamEntry *e = msg;

	return (uint64_t)e->inq_len + e->outq_len;
}

static uint64_t ghost_tail(const void *msg, bool head)
{
	const GhostFileEntry *file = msg;

	if (!head)
		return ((const GhostChunkEntry *)msg)->len;
	return file->has_chunks && file->chunks ? 0 : TAIL_REST;
}

static uint64_t shm_tail(const void *msg, bool head)
{
	const IpcShmEntry *e = msg;

	if (e->has_in_pagemaps && e->in_pagemaps)
		return 0;
	return e->size > UINT64_MAX - 4 ? TAIL_REST - 1 : (e->size + 3) & ~3ull;
}

static uint64_t sem_tail(const void *msg, bool head)
{
	return ((uint64_t)((const IpcSemEntry *)msg)->nsems * 2 + 7) & ~7ull;
}

#define COMMON IMG_COMMON_MAGIC
#define SERVICE IMG_SERVICE_MAGIC
#define D(x) &x##__descriptor

/* clang-format off */
static const struct kind kinds[IMG_NR_KINDS] = {
	[IMG_INVENTORY] = { "INVENTORY", "inventory", ".img", KIND_SINGLE, 0x58313116, 0, NULL, D(inventory_entry), NULL },
	[IMG_PSTREE] = { "PSTREE", "pstree", ".img", KIND_SINGLE, 0x50273030, COMMON, NULL, D(pstree_entry), NULL },
	[IMG_CORE] = { "CORE", "core-", ".img", KIND_DECIMAL, 0x55053847, COMMON, NULL, D(core_entry), NULL },
	[IMG_IDS] = { "IDS", "ids-", ".img", KIND_DECIMAL, 0x54432030, COMMON, NULL, D(task_kobj_ids_entry), NULL },
	[IMG_MM] = { "MM", "mm-", ".img", KIND_DECIMAL, 0x57492820, COMMON, NULL, D(mm_entry), NULL },
	[IMG_PAGEMAP] = { "PAGEMAP", "pagemap-", ".img", KIND_DECIMAL, 0x56084025, COMMON, D(pagemap_head), D(pagemap_entry), NULL },
	[IMG_PAGEMAP_SHMEM] = { "PAGEMAP", "pagemap-shmem-", ".img", KIND_DECIMAL, 0x56084025, COMMON, D(pagemap_head), D(pagemap_entry), NULL },
	[IMG_FILES] = { "FILES", "files", ".img", KIND_SINGLE, 0x56303138, COMMON, NULL, D(file_entry), NULL },
	[IMG_FDINFO] = { "FDINFO", "fdinfo-", ".img", KIND_DECIMAL, 0x56213732, COMMON, NULL, D(fdinfo_entry), NULL },
	[IMG_FS] = { "FS", "fs-", ".img", KIND_DECIMAL, 0x51403912, COMMON, NULL, D(fs_entry), NULL },
	[IMG_PIPES_DATA] = { "PIPES_DATA", "pipes-data", ".img", KIND_SINGLE, 0x56453709, COMMON, NULL, D(pipe_data_entry), pipe_tail },
	[IMG_FIFO_DATA] = { "FIFO_DATA", "fifo-data", ".img", KIND_SINGLE, 0x59333054, COMMON, NULL, D(pipe_data_entry), pipe_tail },
	[IMG_SK_QUEUES] = { "SK_QUEUES", "sk-queues", ".img", KIND_SINGLE, 0x56264026, COMMON, NULL, D(sk_packet_entry), queue_tail },
	[IMG_SECCOMP] = { "SECCOMP", "seccomp", ".img", KIND_SINGLE, 0x64413049, COMMON, NULL, D(seccomp_entry), NULL },
	[IMG_TIMENS] = { "TIMENS", "timens-", ".img", KIND_DECIMAL, 0x43114433, COMMON, NULL, D(timens_entry), NULL },
	[IMG_TTY_INFO] = { "TTY_INFO", "tty-info", ".img", KIND_SINGLE, 0x59453036, COMMON, NULL, D(tty_info_entry), NULL },
	[IMG_REMAP_FPATH] = { "REMAP_FPATH", "remap-fpath", ".img", KIND_SINGLE, 0x59133954, COMMON, NULL, D(remap_file_path_entry), NULL },
	[IMG_GHOST_FILE] = { "GHOST_FILE", "ghost-file-", ".img", KIND_HEX, 0x52583605, COMMON, D(ghost_file_entry), D(ghost_chunk_entry), ghost_tail },
	[IMG_MEMFD_INODE] = { "MEMFD_INODE", "memfd", ".img", KIND_SINGLE, 0x48453499, COMMON, NULL, D(memfd_inode_entry), NULL },
	[IMG_STATS_DUMP] = { "STATS", "stats-dump", "", KIND_SINGLE, 0x57093306, SERVICE, NULL, D(stats_entry), NULL },
	[IMG_STATS_RESTORE] = { "STATS", "stats-restore", "", KIND_SINGLE, 0x57093306, SERVICE, NULL, D(stats_entry), NULL },
	[IMG_CGROUP] = { "CGROUP", "cgroup", ".img", KIND_SINGLE, 0x59383330, COMMON, NULL, D(cgroup_entry), NULL },
	[IMG_FILE_LOCKS] = { "FILE_LOCKS", "filelocks", ".img", KIND_SINGLE, 0x54323616, COMMON, NULL, D(file_lock_entry), NULL },
	[IMG_TCP_STREAM] = { "TCP_STREAM", "tcp-stream-", ".img", KIND_HEX, 0x51465506, COMMON, NULL, D(tcp_stream_entry), stream_tail },
	[IMG_TTY_DATA] = { "TTY_DATA", "tty-data", ".img", KIND_SINGLE, 0x59413026, COMMON, NULL, D(tty_data_entry), NULL },
	[IMG_CPUINFO] = { "CPUINFO", "cpuinfo", ".img", KIND_SINGLE, 0x61404013, COMMON, NULL, D(cpuinfo_entry), NULL },
	[IMG_UTSNS] = { "UTSNS", "utsns-", ".img", KIND_DECIMAL, 0x54473203, COMMON, NULL, D(utsns_entry), NULL },
	[IMG_PIDNS] = { "PIDNS", "pidns-", ".img", KIND_DECIMAL, 0x61157326, COMMON, NULL, D(pidns_entry), NULL },
	[IMG_USERNS] = { "USERNS", "userns-", ".img", KIND_DECIMAL, 0x55474906, COMMON, NULL, D(userns_entry), NULL },
	[IMG_IPC_VAR] = { "IPC_VAR", "ipcns-var-", ".img", KIND_DECIMAL, 0x53115007, COMMON, NULL, D(ipc_var_entry), NULL },
	[IMG_IPC_SHM] = { "IPCNS_SHM", "ipcns-shm-", ".img", KIND_DECIMAL, 0x46283044, COMMON, NULL, D(ipc_shm_entry), shm_tail },
	[IMG_IPC_SEM] = { "IPCNS_SEM", "ipcns-sem-", ".img", KIND_DECIMAL, 0x59573019, COMMON, NULL, D(ipc_sem_entry), sem_tail },
	[IMG_IRMAP_CACHE] = { "IRMAP_CACHE", "irmap-cache", "", KIND_SINGLE, 0x57004059, SERVICE, NULL, D(irmap_cache_entry), NULL },
	[IMG_THAW_TASK] = { "THAW_TASK", "thaw-task-", "", KIND_DECIMAL, 0x54485754, COMMON, D(thaw_head), D(thaw_thread_entry), NULL },
	[IMG_THAW_FILES] = { "THAW_FILES", "thaw-files", "", KIND_SINGLE, 0x54484657, COMMON, D(thaw_head), D(thaw_file_entry), NULL },
};

/* The format has these too; Thaw can name them. Those of one open file each come from before there was files.img. */
static const struct {
	uint32_t magic;
	const char *name;
} foreign[] = {
	{ 0x54123737, "VMAS" }, { 0x56513555, "PIPES" }, { 0x58364939, "FIFO" }, { 0x55344201, "SIGACT" },
	{ 0x54373943, "UNIXSK" }, { 0x56443851, "INETSK" }, { 0x60454618, "PACKETSK" }, { 0x57464056, "ITIMERS" },
	{ 0x52603957, "POSIX_TIMERS" }, { 0x54023547, "CREDS" }, { 0x55453737, "IPCNS_MSG" },
	{ 0x50363636, "REG_FILES" }, { 0x59255641, "EXT_FILES" }, { 0x44523722, "EVENTFD_FILE" },
	{ 0x45023858, "EVENTPOLL_FILE" }, { 0x44433746, "EVENTPOLL_TFD" }, { 0x57323820, "SIGNALFD" },
	{ 0x48424431, "INOTIFY_FILE" }, { 0x54562009, "INOTIFY_WD" }, { 0x55563928, "MNTS" },
	{ 0x57373951, "NETDEV" }, { 0x55933752, "NETNS" }, { 0x59433025, "TTY_FILES" }, { 0x57113925, "RLIMIT" },
	{ 0x55096122, "FANOTIFY_FILE" }, { 0x56506035, "FANOTIFY_MARK" }, { 0x59255647, "SIGNAL" },
	{ 0x58005614, "NETLINK_SK" }, { 0x61394011, "NS_FILES" }, { 0x57143751, "TUNFILE" },
	{ 0x50493712, "TIMERFD" }, { 0x67343323, "BINFMT_MISC" }, { 0x49353943, "AUTOFS" },
	{ 0x57506142, "BPFMAP_FILE" }, { 0x64324033, "BPFMAP_DATA" }, { 0x59423047, "APPARMOR" },
	{ 0x54435556, "PIDFD" }, { 0x57023458, "KDAT" },
};
/* clang-format on */

const struct kind *kind_of(enum image_kind kind)
{
	return &kinds[kind];
}

/* Digits of @base without leading zeros, then exactly @suffix. */
static bool parse_number(const char *s, int base, const char *suffix, uint64_t *id)
{
	char *end;

	if (!isxdigit((unsigned char)*s) || (*s == '0' && isxdigit((unsigned char)s[1])))
		return false;
	errno = 0;
	*id = strtoull(s, &end, base);
	return !errno && end != s && !strcmp(end, suffix);
}

enum image_kind kind_by_name(const char *name, uint64_t *id)
{
	uint64_t number;

	for (enum image_kind i = 0; i < IMG_NR_KINDS; i++) {
		const struct kind *k = &kinds[i];
		size_t len = strlen(k->prefix);
		bool fits;

		number = 0;
		if (strncmp(name, k->prefix, len) != 0)
			continue;
		if (k->numbering == KIND_SINGLE)
			fits = !strcmp(name + len, k->suffix);
		else
			fits = parse_number(name + len, k->numbering == KIND_HEX ? 16 : 10, k->suffix, &number);
		if (!fits)
			continue;
		if (id)
			*id = number;
		return i;
	}
	return IMG_NR_KINDS;
}

enum image_kind kind_by_magic(uint32_t magic)
{
	for (enum image_kind i = 0; i < IMG_NR_KINDS; i++)
		if (kinds[i].magic == magic)
			return i;
	return IMG_NR_KINDS;
}

const char *kind_foreign(uint32_t magic)
{
	for (size_t i = 0; i < ARRAY_SIZE(foreign); i++)
		if (foreign[i].magic == magic)
			return foreign[i].name;
	return NULL;
}

bool kind_pages(const char *name)
{
	uint64_t id;

	if (strncmp(name, "pages-", 6) != 0)
		return false;
	return parse_number(name + 6, 10, ".img", &id) || parse_number(name + 6, 10, ".d", &id);
}

bool kind_sums(const char *name)
{
	uint64_t id;

	return !strncmp(name, "pages-", 6) && parse_number(name + 6, 10, ".sum", &id);
}

bool kind_wset(const char *name)
{
	uint64_t id;

	return !strncmp(name, "pages-", 6) && parse_number(name + 6, 10, ".wset", &id);
}

const char *image_name(enum image_kind kind, uint64_t id, char *buf)
{
	const struct kind *k = &kinds[kind];
	char number[24] = "";

	if (k->numbering != KIND_SINGLE)
		snprintf(number, sizeof(number), k->numbering == KIND_HEX ? "%llx" : "%llu", (unsigned long long)id);
	snprintf(buf, 64, "%s%s%s", k->prefix, number, k->suffix);
	return buf;
}
