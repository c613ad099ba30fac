// SPDX-License-Identifier: GPL-2.0-only
#include "criu-like/rpc/options.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/util.h"

struct translation {
	const RpcOptions *opts;
	const struct rpc_caller *caller;
	struct rpc_words *words;
	struct diag *diag;
};

/*
 * How a field gets to the command line. A row without add() is a plain value, whose kind is in the message's
 * description: a bool becomes --NAME, numbers and strings --NAME=VALUE, and a list one word for each.
 */
struct row {
	const char *field;
	const char *option; /* long name; NULL: the request's server sees to it */
	int (*add)(const struct translation *t, const struct row *row);
};

#define ADD(t, ...) rpc_words_add((t)->words, (t)->diag, __VA_ARGS__)

int rpc_words_add(struct rpc_words *w, struct diag *diag, const char *fmt, ...)
{
	char *word = NULL;
	va_list ap;
	int len;

	va_start(ap, fmt);
	len = vsnprintf(NULL, 0, fmt, ap);
	va_end(ap);
	if (len >= 0)
		word = arena_alloc(w->arena, (size_t)len + 1);
	if (word && w->nr + 2 > w->cap) {
		size_t cap = 2 * w->cap + 32;
		char **argv = arena_array(w->arena, cap, sizeof(*argv));

		if (argv && w->nr)
			memcpy(argv, w->argv, w->nr * sizeof(*argv));
		w->argv = argv;
		w->cap = argv ? cap : 0;
	}
	if (!word || !w->argv)
		return diag_fail(diag, ENOMEM, "out of memory for a request's options");
	va_start(ap, fmt);
	vsnprintf(word, (size_t)len + 1, fmt, ap);
	va_end(ap);
	w->argv[w->nr++] = word;
	w->argv[w->nr] = NULL;
	return 0;
}

static int refuse(const struct translation *t, const struct row *row)
{
	return diag_fail(t->diag, EBADRQC, "the request's option %s is not supported%s%s", row->field,
			 row->option ? ": " : "", row->option ?: "");
}

static int add_veths(const struct translation *t, const struct row *row)
{
	int ret = 0;

	for (size_t i = 0; !ret && i < t->opts->n_veths; i++)
		ret = ADD(t, "--%s=%s=%s", row->option, t->opts->veths[i]->if_in, t->opts->veths[i]->if_out);
	return ret;
}

static int add_mounts(const struct translation *t, const struct row *row)
{
	int ret = 0;

	for (size_t i = 0; !ret && i < t->opts->n_ext_mnt; i++)
		ret = ADD(t, "--%s=%s:%s", row->option, t->opts->ext_mnt[i]->key, t->opts->ext_mnt[i]->val);
	return ret;
}

static int add_all_mounts(const struct translation *t, const struct row *row)
{
	return ADD(t, "--%s=auto", row->option);
}

static int add_cgroup_roots(const struct translation *t, const struct row *row)
{
	int ret = 0;

	for (size_t i = 0; !ret && i < t->opts->n_cg_root; i++) {
		const RpcCgroupRoot *root = t->opts->cg_root[i];

		ret = ADD(t, "--%s=%s%s%s", row->option, root->ctrl ?: "", root->ctrl ? ":" : "", root->path);
	}
	return ret;
}

static int add_inherited(const struct translation *t, const struct row *row)
{
	int ret = 0;

	if (!t->caller->own)
		return diag_fail(t->diag, EBADRQC,
				 "%s is for `thaw swrk` only: a service does not have the caller's "
				 "descriptors",
				 row->field);
	for (size_t i = 0; !ret && i < t->opts->n_inherit_fd; i++)
		ret = ADD(t, "--%s=fd[%d]:%s", row->option, t->opts->inherit_fd[i]->fd, t->opts->inherit_fd[i]->key);
	return ret;
}

static int add_sibling(const struct translation *t, const struct row *row)
{
	if (!t->caller->own)
		return diag_fail(t->diag, EBADRQC, "%s is for `thaw swrk` only: a service is nobody's child",
				 row->field);
	return ADD(t, "--%s", row->option);
}

static int add_sockets(const struct translation *t, const struct row *row)
{
	int ret = 0;

	for (size_t i = 0; !ret && i < t->opts->n_unix_sk_ino; i++)
		ret = ADD(t, "--%s=%u", row->option, t->opts->unix_sk_ino[i]->inode);
	return ret;
}

static int add_cgroup_mode(const struct translation *t, const struct row *row)
{
	static const char *const modes[] = { "ignore", "none", "props", "soft", "full", "strict", "soft" };

	if (t->opts->has_manage_cgroups_mode) {
		if ((size_t)t->opts->manage_cgroups_mode >= ARRAY_SIZE(modes))
			return refuse(t, &(struct row){ .field = "manage_cgroups_mode" });
		return ADD(t, "--%s=%s", row->option, modes[t->opts->manage_cgroups_mode]);
	}
	return ADD(t, "--%s=soft", row->option);
}

static int add_empty_ns(const struct translation *t, const struct row *row)
{
	if (t->opts->empty_ns & ~(uint32_t)CLONE_NEWNET)
		return refuse(t, &(struct row){ row->field, "only that of the network (CLONE_NEWNET) can be", NULL });
	return t->opts->empty_ns ? ADD(t, "--%s=net", row->option) : 0;
}

static int add_join_ns(const struct translation *t, const struct row *row)
{
	int ret = 0;

	for (size_t i = 0; !ret && i < t->opts->n_join_ns; i++) {
		const RpcJoinNs *ns = t->opts->join_ns[i];

		ret = ADD(t, "--%s=%s:%s%s%s", row->option, ns->ns, ns->ns_file, ns->extra_opt ? "," : "",
			  ns->extra_opt ?: "");
	}
	return ret;
}

static int add_network_lock(const struct translation *t, const struct row *row)
{
	static const char *const methods[] = { "", "iptables", "nftables", "skip" };

	if (t->opts->network_lock < 1 || (size_t)t->opts->network_lock >= ARRAY_SIZE(methods))
		return refuse(t, &(struct row){ .field = row->field });
	return ADD(t, "--%s=%s", row->option, methods[t->opts->network_lock]);
}

static int add_pre_dump_mode(const struct translation *t, const struct row *row)
{
	return ADD(t, "--%s=%s", row->option, t->opts->pre_dump_mode == RPC_PRE_DUMP_MODE__READ_VM ? "read" : "splice");
}

/* Callers name a file that need not be there. */
static int add_config(const struct translation *t, const struct row *row)
{
	if (access(t->opts->config_file, F_OK) && errno == ENOENT)
		return 0;
	return ADD(t, "--%s=%s", row->option, t->opts->config_file);
}

static int add_page_server(const struct translation *t, const struct row *row)
{
	const RpcPageServer *ps = t->opts->ps;
	int ret = t->opts->lazy_pages ? 0 : ADD(t, "--%s", row->option);

	if (!ret && ps->address)
		ret = ADD(t, "--address=%s", ps->address);
	if (!ret && ps->has_port)
		ret = ADD(t, "--port=%d", ps->port);
	if (!ret && ps->has_fd && !t->caller->own)
		return diag_fail(t->diag, EBADRQC,
				 "the page server's fd is for `thaw swrk` only: a service does not have "
				 "the caller's descriptors");
	return !ret && ps->has_fd ? ADD(t, "--ps-socket=%d", ps->fd) : ret;
}

/* The descriptor stays open for the command. */
static int add_status_fd(const struct translation *t, const struct row *row)
{
	char path[48];
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/fd/%d", t->caller->pid, t->opts->status_fd);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return diag_fail(t->diag, errno, "cannot open the status descriptor %d of the caller, process %d: %s",
				 t->opts->status_fd, t->caller->pid, strerror(errno));
	return ADD(t, "--%s=%d", row->option, fd);
}

static const struct row rows[] = {
	{ "images_dir_fd", NULL, NULL },
	{ "images_dir", NULL, NULL },
	{ "work_dir_fd", NULL, NULL },
	{ "pid", NULL, NULL },
	{ "log_level", NULL, NULL },
	{ "log_file", NULL, NULL },
	{ "log_to_stderr", NULL, NULL },
	{ "notify_scripts", NULL, NULL },
	{ "exec_cmd", NULL, NULL },
	{ "leave_running", "leave-running", NULL },
	{ "leave_stopped", "leave-stopped", NULL },
	{ "ext_unix_sk", "ext-unix-sk", NULL },
	{ "unix_sk_ino", "ext-unix-sk", add_sockets },
	{ "tcp_established", "tcp-established", NULL },
	{ "tcp_close", "tcp-close", NULL },
	{ "tcp_skip_in_flight", "skip-in-flight", NULL },
	{ "network_lock", "network-lock", add_network_lock },
	{ "evasive_devices", "evasive-devices", NULL },
	{ "shell_job", "shell-job", NULL },
	{ "orphan_pts_master", "only terminals whose two ends are in the tree, or with shell_job", refuse },
	{ "file_locks", "file-locks", NULL },
	{ "link_remap", "link-remap", NULL },
	{ "ghost_limit", "ghost-limit", NULL },
	{ "force_irmap", "force-irmap", NULL },
	{ "irmap_scan_paths", "irmap-scan-path", NULL },
	{ "skip_file_rwx_check", "skip-file-rwx-check", NULL },
	{ "ps", "page-server", add_page_server },
	{ "lazy_pages", "lazy-pages", NULL },
	{ "parent_img", "prev-images-dir", NULL },
	{ "track_mem", "track-mem", NULL },
	{ "auto_dedup", "auto-dedup", NULL },
	{ "pre_dump_mode", "pre-dump-mode", add_pre_dump_mode },
	{ "pidfd_store_sk", "Thaw knows processes by their start time", refuse },
	{ "root", "root", NULL },
	{ "external", "external", NULL },
	{ "inherit_fd", "inherit-fd", add_inherited },
	{ "rst_sibling", "restore-sibling", add_sibling },
	{ "veths", "veth-pair", add_veths },
	{ "ext_mnt", "ext-mount-map", add_mounts },
	{ "auto_ext_mnt", "ext-mount-map", add_all_mounts },
	{ "ext_sharing", "enable-external-sharing", NULL },
	{ "ext_masters", "enable-external-masters", NULL },
	{ "skip_mnt", "skip-mnt", NULL },
	{ "enable_fs", "enable-fs", NULL },
	{ "mntns_compat_mode", "mntns-compat-mode", NULL },
	{ "empty_ns", "empty-ns", add_empty_ns },
	{ "join_ns", "join-ns", add_join_ns },
	{ "cg_root", "cgroup-root", add_cgroup_roots },
	{ "manage_cgroups", "manage-cgroups", add_cgroup_mode },
	{ "manage_cgroups_mode", "manage-cgroups", add_cgroup_mode },
	{ "cgroup_props", "cgroup-props", NULL },
	{ "cgroup_props_file", "cgroup-props-file", NULL },
	{ "cgroup_dump_controller", "cgroup-dump-controller", NULL },
	{ "cgroup_yard", "cgroup-yard", NULL },
	{ "freeze_cgroup", "freeze-cgroup", NULL },
	{ "timeout", "timeout", NULL },
	{ "cpu_cap", "cpu-cap", NULL },
	{ "weak_sysctls", "weak-sysctls", NULL },
	{ "unprivileged", "unprivileged", NULL },
	{ "status_fd", "status-fd", add_status_fd },
	{ "config_file", "config", add_config },
	{ "lsm_profile", "lsm-profile", NULL },
	{ "lsm_mount_context", "lsm-mount-context", NULL },
	{ "tls", "tls", NULL },
	{ "tls_cacert", "tls-cacert", NULL },
	{ "tls_cacrl", "tls-cacrl", NULL },
	{ "tls_cert", "tls-cert", NULL },
	{ "tls_key", "tls-key", NULL },
	{ "tls_no_cn_verify", "tls-no-cn-verify", NULL },
	{ "display_stats", "display-stats", NULL },
};

/* How many values are set: 0 or 1, or the length of a list. A bool that is false asks for nothing. */
static size_t count(const ProtobufCFieldDescriptor *f, const RpcOptions *opts)
{
	const char *base = (const char *)opts;

	if (f->label == PROTOBUF_C_LABEL_REPEATED)
		return *(const size_t *)(base + f->quantifier_offset);
	if (f->type == PROTOBUF_C_TYPE_STRING || f->type == PROTOBUF_C_TYPE_MESSAGE)
		return *(const void *const *)(base + f->offset) != NULL;
	if (f->label == PROTOBUF_C_LABEL_REQUIRED)
		return 1;
	return *(const protobuf_c_boolean *)(base + f->quantifier_offset) &&
	       (f->type != PROTOBUF_C_TYPE_BOOL || *(const protobuf_c_boolean *)(base + f->offset));
}

static int add_plain(const struct translation *t, const ProtobufCFieldDescriptor *f, const struct row *row)
{
	const void *at = (const char *)t->opts + f->offset;
	size_t nr = count(f, t->opts);
	int ret = 0;

	if (f->type == PROTOBUF_C_TYPE_BOOL)
		return ADD(t, "--%s", row->option);
	if (f->type == PROTOBUF_C_TYPE_UINT32)
		return ADD(t, "--%s=%u", row->option, *(const uint32_t *)at);
	if (f->label != PROTOBUF_C_LABEL_REPEATED)
		return ADD(t, "--%s=%s", row->option, *(const char *const *)at);
	for (size_t i = 0; !ret && i < nr; i++)
		ret = ADD(t, "--%s=%s", row->option, (*(char **const *)at)[i]);
	return ret;
}

static int add_field(const struct translation *t, const ProtobufCFieldDescriptor *f)
{
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		const struct row *row = &rows[i];

		if (strcmp(row->field, f->name) != 0)
			continue;
		if (row->add)
			return row->add(t, row);
		return row->option ? add_plain(t, f, row) : 0;
	}
	return refuse(t, &(struct row){ .field = f->name });
}

int rpc_options_words(const RpcOptions *opts, const struct rpc_caller *caller, struct rpc_words *w, struct diag *diag)
{
	const struct translation t = { opts, caller, w, diag };
	const ProtobufCMessageDescriptor *d = &rpc_options__descriptor;
	int ret = 0;

	if (!opts)
		return 0;
	if (opts->base.n_unknown_fields)
		return diag_fail(diag, EBADRQC,
				 "the request has an option that Thaw does not know, field %u: leave it out",
				 opts->base.unknown_fields[0].tag);
	for (size_t i = 0; !ret && i < d->n_fields; i++)
		if (count(&d->fields[i], opts))
			ret = add_field(&t, &d->fields[i]);
	return ret;
}

/* The name that the directory has, if it leads there; else the way through a descriptor that stays open. */
int rpc_directory(const char *name, int fd, const struct rpc_caller *caller, struct arena *arena, const char **path,
		  struct diag *diag)
{
	char link[48], target[4096];
	struct stat there, here;
	ssize_t len;
	int own;

	snprintf(link, sizeof(link), "/proc/%d/fd/%d", caller->pid, fd);
	own = open(link, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (own < 0)
		return diag_fail(diag, errno, "cannot open descriptor %d of the caller, process %d, as %s: %s", fd,
				 caller->pid, name, strerror(errno));
	len = readlink(link, target, sizeof(target) - 1);
	target[MAX(len, 0)] = 0;
	if (len > 0 && !stat(target, &there) && !fstat(own, &here) && there.st_dev == here.st_dev &&
	    there.st_ino == here.st_ino)
		close(own);
	else
		snprintf(target, sizeof(target), "/proc/self/fd/%d", own);
	*path = arena_strdup(arena, target);
	return *path ? 0 : diag_fail(diag, ENOMEM, "out of memory for a request");
}
