// SPDX-License-Identifier: GPL-2.0-only
/*
 * A connection of CRIU's RPC.
 *
 * A request names what to do and its options; the answer says whether it was done, an errno and the sentence that the
 * command would have printed. A connection ends after one request, but for requests that leave nothing behind and ask
 * for more (keep_open), and for PRE_DUMP, which a DUMP follows. With notify_scripts the other end is told of each
 * action (criu-like/action.h) by a reply of type NOTIFY while its request is being served, and answers each by a
 * request of that type.
 */
#include "criu-like/rpc/work.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/util.h"
#include "criu-like/commands/commands.h"
#include "criu-like/commands/features.h"
#include "criu-like/rpc/message.h"
#include "criu-like/rpc/options.h"

struct work {
	int sk;
	struct rpc_caller caller;
	struct arena *arena; /* of the request that is being served */
	struct diag diag;    /* of that */
	pid_t root;	     /* of the tree that was restored, 0: none yet */
	bool notify;
};

static const RpcOptions no_options = RPC_OPTIONS__INIT;

static const RpcOptions *options_of(const RpcRequest *req)
{
	return req->opts ?: &no_options;
}

/* Actions. */

static int notify(void *arg, enum action action, pid_t root, struct diag *diag)
{
	struct work *w = arg;
	RpcReply msg = RPC_REPLY__INIT;
	RpcAction what = RPC_ACTION__INIT;
	RpcRequest *answer = NULL;
	bool agreed;
	int ret;

	if (action == ACTION_POST_RESTORE)
		w->root = root;
	if (!w->notify)
		return 0;
	msg.type = RPC_TYPE__NOTIFY;
	msg.success = true;
	msg.notify = &what;
	what.script = (char *)action_name(action);
	what.has_pid = action == ACTION_POST_RESTORE;
	what.pid = root;
	ret = rpc_send(w->sk, &msg, diag);
	if (!ret)
		ret = rpc_receive(w->sk, &answer, diag);
	if (ret < 0)
		return ret;
	agreed = answer && answer->type == RPC_TYPE__NOTIFY && answer->notify_success;
	if (answer)
		rpc_request__free_unpacked(answer, NULL);
	if (!agreed)
		return diag_fail(diag, ECANCELED, "the caller, process %d, does not agree to the action %s",
				 w->caller.pid, action_name(action));
	return 0;
}

/* Commands. */

/* The command, its options, log file and level, and the directories. */
static int command_words(struct work *w, const char *name, const RpcOptions *opts, struct rpc_words *words)
{
	const char *images = opts->images_dir, *dir = NULL;
	int ret = rpc_words_add(words, &w->diag, "%s", name);

	if (!ret)
		ret = rpc_options_words(opts, &w->caller, words, &w->diag);
	if (ret)
		return ret;
	if (opts->images_dir_fd != -1)
		ret = rpc_directory("images_dir_fd", opts->images_dir_fd, &w->caller, w->arena, &images, &w->diag);
	else if (!images)
		ret = diag_fail(&w->diag, EBADRQC, "the request names no directory for the images: set images_dir_fd");
	if (!ret && opts->has_work_dir_fd)
		ret = rpc_directory("work_dir_fd", opts->work_dir_fd, &w->caller, w->arena, &dir, &w->diag);
	if (!ret)
		ret = rpc_words_add(words, &w->diag, "--images-dir=%s", images);
	if (!ret && dir)
		ret = rpc_words_add(words, &w->diag, "--work-dir=%s", dir);
	if (!ret && opts->log_file && strchr(opts->log_file, '/'))
		ret = diag_fail(&w->diag, EBADRQC, "the log file '%s' is to be in another directory: set work_dir_fd",
				opts->log_file);
	if (!ret && (opts->log_file || !opts->log_to_stderr))
		ret = rpc_words_add(words, &w->diag, "--log-file=%s", opts->log_file ?: RPC_LOG_FILE);
	return ret ? ret : rpc_words_add(words, &w->diag, "-v%d", MAX(opts->log_level, 0));
}

/* The first line that a command has printed, without its name. */
static int said(struct work *w, int fd)
{
	char text[512];
	ssize_t len = pread(fd, text, sizeof(text) - 1, 0);
	char *start;

	text[MAX(len, 0)] = 0;
	text[strcspn(text, "\n")] = 0;
	start = !strncmp(text, "thaw", 4) ? strstr(text, ": ") : NULL;
	return diag_fail(&w->diag, EBADRQC, "%s", start ? start + 2 : text);
}

/* Run a command in this process, with standard error kept for the answer. */
static int run_here(struct work *w, int (*call)(int argc, char **argv, struct command_call *call),
		    const struct rpc_words *words)
{
	const struct action_hook hook = { notify, w };
	_cleanup_close_ int old = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3), text = memfd_create("answer", MFD_CLOEXEC);
	struct command_call how = { .hook = &hook, .stderr_fd = old };
	int status;

	if (old < 0 || text < 0 || dup2(text, STDERR_FILENO) < 0)
		return diag_fail(&w->diag, errno, "cannot redirect standard error: %s", strerror(errno));
	optind = 0;
	status = call((int)words->nr, words->argv, &how);
	dup2(old, STDERR_FILENO);
	if (!status)
		return 0;
	if (how.diag.code)
		return diag_fail(&w->diag, how.diag.code, "%s", how.diag.text);
	return said(w, text);
}

static int serve_dump(struct work *w, const RpcRequest *req, RpcReply *reply)
{
	static RpcDumped not_restored = RPC_DUMPED__INIT;
	const RpcOptions *opts = options_of(req);
	struct rpc_words words = { .arena = w->arena };
	int ret = command_words(w, "dump", opts, &words);

	reply->dump = &not_restored;
	not_restored.has_restored = true;
	if (!ret)
		ret = rpc_words_add(&words, &w->diag, "--tree=%d", opts->has_pid ? opts->pid : w->caller.pid);
	return ret ? ret : run_here(w, call_dump, &words);
}

static int serve_restore(struct work *w, const RpcRequest *req, RpcReply *reply)
{
	const RpcOptions *opts = options_of(req);
	struct rpc_words words = { .arena = w->arena };
	RpcRestored *restored = arena_alloc(w->arena, sizeof(*restored));
	int ret;

	if (!restored)
		return diag_fail(&w->diag, ENOMEM, "out of memory for a request");
	rpc_restored__init(restored);
	restored->pid = -1;
	reply->restore = restored;
	ret = command_words(w, "restore", opts, &words);
	if (!ret)
		ret = rpc_words_add(&words, &w->diag, "--restore-detached");
	if (!ret)
		ret = run_here(w, call_restore, &words);
	if (!ret)
		restored->pid = w->root;
	return ret;
}

static int serve_check(struct work *w, const RpcRequest *req, RpcReply *reply)
{
	_cleanup_close_ int text = memfd_create("answer", MFD_CLOEXEC);
	char *argv[] = { "check", NULL }, found[4096], *failed;
	pid_t pid = text < 0 ? -1 : fork();
	ssize_t len;
	int status;

	if (pid < 0)
		return diag_fail(&w->diag, errno, "cannot check: %s", strerror(errno));
	if (pid == 0) {
		dup2(text, STDOUT_FILENO);
		dup2(text, STDERR_FILENO);
		optind = 0;
		exit(cmd_check(1, argv));
	}
	if (waitpid(pid, &status, 0) < 0)
		return diag_fail(&w->diag, errno, "cannot wait for the check: %s", strerror(errno));
	if (WIFEXITED(status) && !WEXITSTATUS(status))
		return 0;
	len = pread(text, found, sizeof(found) - 1, 0);
	found[MAX(len, 0)] = 0;
	failed = strstr(found, "FAIL");
	failed = failed ? failed + strspn(failed, "FAIL ") : found;
	failed[strcspn(failed, "\n")] = 0;
	return diag_fail(&w->diag, EOPNOTSUPP, "%s", failed);
}

static int serve_features(struct work *w, const RpcRequest *req, RpcReply *reply)
{
	RpcFeatures *have = arena_alloc(w->arena, sizeof(*have));

	if (!req->features)
		return diag_fail(&w->diag, EBADRQC, "the request asks for no feature");
	if (!have)
		return diag_fail(&w->diag, ENOMEM, "out of memory for a request");
	rpc_features__init(have);
	have->has_mem_track = have->has_lazy_pages = have->has_pidfd_store = true;
	have->mem_track = req->features->mem_track && feature_served("mem_dirty_track") > 0;
	have->lazy_pages = req->features->lazy_pages && feature_served("uffd-noncoop") > 0;
	reply->features = have;
	return 0;
}

static int serve_version(struct work *w, const RpcRequest *req, RpcReply *reply)
{
	static RpcVersion version = RPC_VERSION__INIT;

	/* What callers compare is the version of CRIU whose images and requests these are. */
	version.major_number = 4;
	version.minor_number = 2;
	version.has_sublevel = true;
	version.sublevel = 1;
	version.name = "Thaw " THAW_VERSION;
	reply->version = &version;
	return 0;
}

static int serve_wait(struct work *w, const RpcRequest *req, RpcReply *reply)
{
	if (waitpid((pid_t)req->pid, &reply->status, 0) < 0)
		return diag_fail(&w->diag, errno, "cannot wait for process %u: %s", req->pid, strerror(errno));
	reply->has_status = true;
	return 0;
}

/* Requests. */

enum more { MORE_NEVER, MORE_IF_ASKED, MORE_ALWAYS }; /* may another request follow? */

static const struct request {
	RpcType type;
	enum more more;
	int (*serve)(struct work *w, const RpcRequest *req, RpcReply *reply); /* NULL: refused */
	const char *why;
} requests[] = {
	{ RPC_TYPE__DUMP, MORE_NEVER, serve_dump, NULL },
	{ RPC_TYPE__RESTORE, MORE_NEVER, serve_restore, NULL },
	{ RPC_TYPE__CHECK, MORE_NEVER, serve_check, NULL },
	{ RPC_TYPE__FEATURE_CHECK, MORE_IF_ASKED, serve_features, NULL },
	{ RPC_TYPE__VERSION, MORE_IF_ASKED, serve_version, NULL },
	{ RPC_TYPE__WAIT_PID, MORE_NEVER, serve_wait, NULL },
	{ RPC_TYPE__PRE_DUMP, MORE_ALWAYS, NULL, "PRE_DUMP is not supported: ask for a whole DUMP" },
	{ RPC_TYPE__SINGLE_PRE_DUMP, MORE_NEVER, NULL, "SINGLE_PRE_DUMP is not supported: ask for a whole DUMP" },
	{ RPC_TYPE__PAGE_SERVER, MORE_IF_ASKED, NULL, "PAGE_SERVER is not supported: dump to a directory" },
	{ RPC_TYPE__PAGE_SERVER_CHLD, MORE_IF_ASKED, NULL, "PAGE_SERVER_CHLD is not supported: dump to a directory" },
	{ RPC_TYPE__CPUINFO_DUMP, MORE_IF_ASKED, NULL,
	  "CPUINFO_DUMP is not supported: each dump has the features that its threads may use, and RESTORE compares" },
	{ RPC_TYPE__CPUINFO_CHECK, MORE_IF_ASKED, NULL,
	  "CPUINFO_CHECK is not supported: each dump has the features that its threads may use, and RESTORE compares" },
};

static const struct request *find_request(RpcType type)
{
	for (size_t i = 0; i < ARRAY_SIZE(requests); i++)
		if (requests[i].type == type)
			return &requests[i];
	return NULL;
}

static int serve(struct work *w, const struct request *how, const RpcRequest *req, RpcReply *reply)
{
	if (!how)
		return diag_fail(&w->diag, EBADRQC, "there is no request of type %d", (int)req->type);
	if (req->keep_open && how->more == MORE_NEVER)
		return diag_fail(&w->diag, EBADRQC, "keep_open is not for this type of request, %d", (int)req->type);
	if (!how->serve)
		return diag_fail(&w->diag, EOPNOTSUPP, "%s", how->why);
	w->notify = options_of(req)->notify_scripts;
	return how->serve(w, req, reply);
}

/* Only after a restore that was asked for: this process is the parent of the tree. Does not return if it can be. */
static int become(const RpcOptions *opts, struct diag *diag)
{
	char **argv = calloc(opts->n_exec_cmd + 1, sizeof(*argv));
	sigset_t none;

	if (!argv)
		return -ENOMEM;
	memcpy(argv, opts->exec_cmd, opts->n_exec_cmd * sizeof(*argv));
	sigemptyset(&none); /* the restore has blocked them */
	sigprocmask(SIG_SETMASK, &none, NULL);
	execvp(argv[0], argv);
	free(argv);
	return diag_fail(diag, errno, "cannot run %s: %s", opts->exec_cmd[0], strerror(errno));
}

/* Return: 1 when there may be another request, 0 when there is none, or -errno */
static int answer(struct work *w, const RpcRequest *req)
{
	const struct request *how = find_request(req->type);
	RpcReply reply = RPC_REPLY__INIT;
	int ret = serve(w, how, req, &reply), sent;
	struct diag own;

	reply.type = how ? req->type : RPC_TYPE__EMPTY;
	/* Callers know one answer to all kinds of page servers and pre-dumps. */
	if (reply.type == RPC_TYPE__PAGE_SERVER_CHLD)
		reply.type = RPC_TYPE__PAGE_SERVER;
	reply.success = !ret;
	if (ret) {
		reply.has_cr_errno = true;
		reply.cr_errno = w->diag.code ?: -ret;
		reply.cr_errmsg = w->diag.text;
	}
	diag_init(&own, -1, DIAG_ERROR);
	sent = rpc_send(w->sk, &reply, &own);
	if (ret || sent)
		return ret ?: sent;
	if (req->type == RPC_TYPE__RESTORE && options_of(req)->n_exec_cmd)
		return become(options_of(req), &own);
	return how->more == MORE_ALWAYS || (how->more == MORE_IF_ASKED && req->keep_open);
}

/* Descriptors 0 to 2 may be closed: what is opened next must not become one of them. */
static int fill_standard_descriptors(void)
{
	int fd = open("/dev/null", O_RDWR);

	while (fd >= 0 && fd <= STDERR_FILENO)
		fd = dup(fd);
	if (fd < 0)
		return -errno;
	close(fd);
	return 0;
}

int rpc_work(int sk, bool own)
{
	struct work w = { .sk = sk, .caller.own = own };
	struct ucred cred = { 0 };
	socklen_t len = sizeof(cred);
	int ret = fill_standard_descriptors();

	if (!ret && getsockopt(sk, SOL_SOCKET, SO_PEERCRED, &cred, &len))
		ret = -errno;
	w.caller.pid = cred.pid;
	do {
		RpcRequest *req = NULL;

		if (ret < 0)
			break;
		diag_init(&w.diag, -1, DIAG_ERROR);
		w.arena = arena_new();
		ret = w.arena ? rpc_receive(sk, &req, &w.diag) : -ENOMEM;
		if (ret > 0)
			ret = answer(&w, req);
		if (req)
			rpc_request__free_unpacked(req, NULL);
		arena_free(w.arena);
	} while (ret > 0);
	return ret ? 1 : 0;
}
