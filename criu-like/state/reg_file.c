// SPDX-License-Identifier: GPL-2.0-only
/*
 * Files with a name: regular files, directories, device nodes without state of their own, O_PATH descriptors; and the
 * same as mapped files, executables and directories of a process.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "common/arena.h"
#include "common/cleanup.h"
#include "common/util.h"
#include "criu-like/inspect/build_id.h"
#include "criu-like/state/dead.h"
#include "criu-like/state/file_kind.h"
#include "criu-like/state/files.h"
#include "criu-like/state/ghost.h"
#include "criu-like/state/link_remap.h"

#define MEM_MAJOR 1
#define KERNEL_O_TMPFILE 020000000 /* without O_DIRECTORY, which comes with it */

/* Flags that a file is not opened with again. */
#define NOT_AGAIN ((uint32_t)(O_CREAT | O_EXCL | O_TRUNC | O_ASYNC | KERNEL_O_TMPFILE))

#define DELETED " (deleted)" /* what the kernel puts behind the name */

/* A mapped file, an executable or a directory in files.img. */
struct named_file {
	uint64_t dev, ino;
	const char *name;
	uint32_t id;
	struct named_file *next; /* same hash */
};

static bool is_deleted(const char *name)
{
	size_t len = strlen(name), suffix = strlen(DELETED);

	return len > suffix && !strcmp(name + len - suffix, DELETED);
}

static int put_build_id(struct dump *d, const char *name, RegFileEntry *e)
{
	_cleanup_close_ int fd = open(name, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	uint32_t words[BUILD_ID_MAX / 4] = { 0 };
	int len = fd < 0 ? -errno : build_id_read(fd, (uint8_t *)words);

	if (len < 0)
		return diag_fail(d->diag, -len, "cannot read %s: %s", name, strerror(-len));
	if (!len)
		return 0;
	e->n_build_id = ((size_t)len + 3) / 4;
	e->build_id = arena_array(d->arena, e->n_build_id, sizeof(uint32_t));
	if (!e->build_id)
		return no_memory(d->diag);
	memcpy(e->build_id, words, e->n_build_id * sizeof(uint32_t));
	return 0;
}

pid_t reg_file_proc_pid(const char *name)
{
	int pid = 0, len = 0;

	if (sscanf(name, "/proc/%d%n", &pid, &len) != 1)
		return 0;
	return name[len] == '/' || !name[len] || !strcmp(name + len, DELETED) ? pid : 0;
}

static bool is_of_tree(const struct tree *tree, const char *name)
{
	pid_t pid = reg_file_proc_pid(name);

	return pid > 0 && tree_find(tree, pid);
}

/* Does a name under /proc belong to a thread other than the leader? Those are made last. */
static bool is_thread(const char *name)
{
	int pid, tid;

	return sscanf(name, "/proc/%d/task/%d", &pid, &tid) == 2 && tid != pid;
}

static bool is_same(const char *name, const struct stat *st)
{
	struct stat now;

	return lstat(name, &now) == 0 && now.st_dev == st->st_dev && now.st_ino == st->st_ino;
}

/*
 * Another name in the same directory. sem_open(3) leaves one, for instance: it makes a semaphore under a temporary
 * name, links the right name to it, and deletes the first.
 *
 * Return: the name, in the arena, or NULL
 */
static const char *find_other_name(struct dump *d, const char *name, const struct stat *st)
{
	const char *slash = strrchr(name, '/'), *found = NULL;
	char path[PATH_MAX];
	struct dirent *e;
	DIR *dir;

	if (!slash || slash - name >= PATH_MAX - NAME_MAX - 2)
		return NULL;
	snprintf(path, sizeof(path), "%.*s/", (int)(slash - name), name);
	dir = opendir(path);
	while (dir && !found && (e = readdir(dir))) {
		strcpy(path + (slash - name) + 1, e->d_name);
		if (e->d_ino == st->st_ino && is_same(path, st))
			found = arena_strdup(d->arena, path);
	}
	if (dir)
		closedir(dir);
	return found;
}

/* Of a process that has ended, while no other has its pid. */
static bool is_of_dead(const struct process *p, const char *link, const char *name)
{
	char path[64];
	struct statfs fs;

	snprintf(path, sizeof(path), "/proc/%d/%s", p->pid, link);
	return reg_file_proc_pid(name) && kill(reg_file_proc_pid(name), 0) < 0 && errno == ESRCH &&
	       statfs(path, &fs) == 0 && fs.f_type == PROC_SUPER_MAGIC;
}

/* Does a name lead to the same file when it is opened again? @text: the name, may be changed to one that does. Return:
 * 1, 0 it has been deleted, or -errno with a sentence */
static int check_name(struct dump *d, const struct process *p, const char *link, const char **text,
		      const struct stat *st)
{
	const char *name = *text, *other;

	if (is_of_tree(&d->tree, name)) {
		if (!strncmp(link, "fd/", 3) && !is_thread(name) && access(name, F_OK) == 0)
			return 1;
		return diag_fail(
			d->diag, ENOTSUP,
			"%s of process %d is %s, which does not exist before the process does: close it before "
			"the dump",
			link, p->pid, name);
	}
	if (name[0] == '/' && is_same(name, st))
		return 1;
	if (is_of_dead(p, link, name))
		return 0;
	if (is_deleted(name) && (st->st_nlink == 0 || (S_ISDIR(st->st_mode) && st->st_nlink < 2)))
		return 0;
	other = is_deleted(name) ? find_other_name(d, name, st) : NULL;
	if (other) {
		*text = other;
		return 1;
	}
	if (is_deleted(name) && d->opt->link_remap)
		return 0;
	if (is_deleted(name))
		return diag_fail(
			d->diag, ENOTSUP,
			"%s of process %d is %s, a file that has other names: use --link-remap to have it linked "
			"beside its old name until the restore, close it, or give it its name back",
			link, p->pid, name);
	return diag_fail(d->diag, ENOTSUP,
			 "%s of process %d is %s, but that name does not lead to the file from here (another mount "
			 "namespace, or something mounted over it): dump from where it does",
			 link, p->pid, name);
}

static int note_deleted(struct dump *d, const struct process *p, const char *link, const struct stat *st,
			RegFileEntry *e)
{
	if (is_deleted(e->name))
		e->name[strlen(e->name) - strlen(DELETED)] = '\0';
	if (is_of_dead(p, link, e->name))
		return dead_note(d, e->id, reg_file_proc_pid(e->name));
	if (!strncmp(e->name, "/memfd:", 7))
		return diag_fail(d->diag, ENOTSUP,
				 "%s of process %d is a memfd (%s), which is not supported yet: close it", link, p->pid,
				 e->name);
	if (S_ISREG(st->st_mode) && st->st_nlink) {
		uint32_t link_id;
		int ret = link_remap_note(d, p, link, e, &link_id);

		return ret < 0 ? ret : ghost_note_linked(d, e->id, link_id);
	}
	return ghost_note(d, p, link, e->name, st, e->id);
}

int reg_file_entry(struct dump *d, const struct process *p, const char *link, const char *name, const struct stat *st,
		   uint32_t id, RegFileEntry **out)
{
	RegFileEntry *e = arena_alloc(d->arena, sizeof(*e));
	FownEntry *owner = arena_alloc(d->arena, sizeof(*owner));
	int there = check_name(d, p, link, &name, st);

	if (there < 0)
		return there;
	if (!e || !owner)
		return no_memory(d->diag);
	reg_file_entry__init(e);
	fown_entry__init(owner);
	e->id = id;
	e->fown = owner;
	e->name = arena_strdup(d->arena, name);
	if (!e->name)
		return no_memory(d->diag);
	e->has_mode = true;
	e->mode = st->st_mode;
	e->has_size = S_ISREG(st->st_mode);
	e->size = e->has_size ? (uint64_t)st->st_size : 0;
	*out = e;
	return there ? 0 : note_deleted(d, p, link, st, e);
}

static bool reg_match(const struct seen *s)
{
	if (S_ISCHR(s->st.st_mode) || S_ISBLK(s->st.st_mode))
		return s->flags & O_PATH || (S_ISCHR(s->st.st_mode) && major(s->st.st_rdev) == MEM_MAJOR);
	if (s->flags & O_PATH)
		return s->link[0] == '/';
	return (S_ISREG(s->st.st_mode) || S_ISDIR(s->st.st_mode)) && s->link[0] == '/' &&
	       strncmp(s->link, "/memfd:", 7) != 0;
}

static int reg_dump(struct seen *s, FileEntry *fe)
{
	char link[32];
	RegFileEntry *e;
	int ret;

	snprintf(link, sizeof(link), "fd/%d", s->fd);
	ret = reg_file_entry(s->d, s->p, link, s->link, &s->st, fe->id, &e);
	if (ret < 0)
		return ret;
	e->flags = s->flags;
	e->pos = s->info.pos;
	if ((e->flags & O_ACCMODE) == O_WRONLY && e->flags & O_APPEND)
		e->has_size = false; /* others may have appended as well */
	fe->reg = e;
	return file_owner(s, &e->fown);
}

static uint64_t hash_name(uint64_t dev, uint64_t ino, const char *name)
{
	uint64_t h = 0xcbf29ce484222325ULL ^ dev ^ ino << 20;

	for (; *name; name++)
		h = (h ^ (uint8_t)*name) * 0x100000001b3ULL;
	return h;
}

/* Find the named file that was added for the same device, inode and name. */
static struct named_file *find_named(struct dump *d, uint64_t dev, uint64_t ino, const char *name)
{
	struct named_file *n = idmap_get(&d->files->named, hash_name(dev, ino, name));

	while (n && (n->dev != dev || n->ino != ino || strcmp(n->name, name) != 0))
		n = n->next;
	return n;
}

/**
 * add_named() - Add the file behind a link of /proc/PID
 * @dev, @ino, @name: how it will be found again
 * @link: path of the link under the process's directory
 */
static int add_named(struct dump *d, struct process *p, uint64_t dev, uint64_t ino, const char *name, const char *link,
		     uint32_t *id)
{
	struct named_file *n = arena_alloc(d->arena, sizeof(*n));
	uint64_t hash = hash_name(dev, ino, name);
	char target[PATH_MAX];
	struct stat st;
	FileEntry *fe;
	ssize_t len;
	int ret;

	if (!n)
		return no_memory(d->diag);
	len = readlinkat(p->proc_fd, link, target, sizeof(target) - 1);
	if (len < 0 || fstatat(p->proc_fd, link, &st, 0) < 0)
		return diag_fail(d->diag, errno, "cannot follow /proc/%d/%s: %s", p->pid, link, strerror(errno));
	target[len] = '\0';
	fe = file_add(d, &reg_file_kind);
	if (!fe)
		return no_memory(d->diag);
	ret = reg_file_entry(d, p, link, target, &st, fe->id, &fe->reg);
	if (ret == 0 && S_ISREG(st.st_mode) && !is_deleted(target))
		ret = put_build_id(d, target, fe->reg);
	if (ret < 0)
		return ret;
	*n = (struct named_file){ .dev = dev, .ino = ino, .name = arena_strdup(d->arena, name), .id = fe->id };
	n->next = idmap_get(&d->files->named, hash);
	if (!n->name || idmap_put(&d->files->named, hash, n) < 0)
		return no_memory(d->diag);
	*id = fe->id;
	return 0;
}

int files_dump_link(struct dump *d, struct process *p, const char *name, uint32_t *id)
{
	struct named_file *n;
	char target[PATH_MAX];
	struct stat st;
	ssize_t len = readlinkat(p->proc_fd, name, target, sizeof(target) - 1);

	if (len < 0 || fstatat(p->proc_fd, name, &st, 0) < 0)
		return diag_fail(d->diag, errno, "cannot follow /proc/%d/%s: %s", p->pid, name, strerror(errno));
	target[len] = '\0';
	n = find_named(d, st.st_dev, st.st_ino, target);
	if (!n)
		return add_named(d, p, st.st_dev, st.st_ino, target, name, id);
	*id = n->id;
	return 0;
}

int files_dump_area(struct dump *d, struct process *p, const struct area *a, uint32_t *id, uint32_t *fdflags)
{
	uint64_t dev = makedev(a->dev_major, a->dev_minor);
	struct named_file *n = find_named(d, dev, a->ino, a->name);
	char link[64];

	/* A private mapping never writes to its file; a shared one may when its file was open for writing. */
	*fdflags = a->shared && a->vm_flags & AREA_VM_MAYWRITE ? O_RDWR : O_RDONLY;
	if (n) {
		*id = n->id;
		return 0;
	}
	snprintf(link, sizeof(link), "map_files/%lx-%lx", (unsigned long)a->start, (unsigned long)a->end);
	return add_named(d, p, dev, a->ino, a->name, link, id);
}

static int check_build_id(struct restore *r, const RegFileEntry *e, const struct stat *st)
{
	_cleanup_close_ int fd = -1;
	uint32_t words[BUILD_ID_MAX / 4] = { 0 };
	int len;

	if (!e->n_build_id || !S_ISREG(st->st_mode))
		return 0;
	fd = open(e->name, O_RDONLY | O_CLOEXEC);
	len = fd < 0 ? -errno : build_id_read(fd, (uint8_t *)words);
	if (len < 0)
		return diag_fail(r->diag, -len, "cannot read %s: %s", e->name, strerror(-len));
	if (((size_t)len + 3) / 4 == e->n_build_id && !memcmp(words, e->build_id, (size_t)len))
		return 0;
	return diag_fail(r->diag, ESTALE,
			 "%s has another build-id than at the dump: put back the version that the process was using",
			 e->name);
}

/* The file must be the one of the dump. */
static int check_file(struct restore *r, const RegFileEntry *e, int fd)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return diag_fail(r->diag, errno, "cannot stat %s: %s", e->name, strerror(errno));
	if (e->has_mode && e->mode != st.st_mode && !(r->opt->any_mode && !((e->mode ^ st.st_mode) & S_IFMT)))
		return diag_fail(r->diag, ESTALE,
				 "%s has mode %o, at the dump it was %o: restore its type and permissions", e->name,
				 st.st_mode, e->mode);
	if (e->has_size && S_ISREG(st.st_mode) && e->size != (uint64_t)st.st_size)
		return diag_fail(r->diag, ESTALE,
				 "%s has a size of %lld bytes, at the dump it was %llu: put back the file as it was",
				 e->name, (long long)st.st_size, (unsigned long long)e->size);
	return check_build_id(r, e, &st);
}

int reg_file_open(struct restore *r, const RegFileEntry *e, uint32_t flags)
{
	_cleanup_close_ int fd = -1;
	int ret;

	if (flags & KERNEL_O_TMPFILE)
		flags &= ~(uint32_t)O_DIRECTORY; /* said how the file was made, not what it is */
	flags &= ~NOT_AGAIN;
	if (dead_pid(r, e))
		return dead_open(r, e, dead_pid(r, e), flags);
	if (ghost_has(r, e->id))
		return ghost_open(r, e, flags);
	if (link_remap_has(r, e->id))
		return link_remap_open(r, e, flags);
	if (S_ISREG(e->mode) && !(flags & O_PATH))
		flags |= O_NONBLOCK; /* if there is a FIFO now, it shall be found out; opener_setup() clears it */
	fd = open(e->name, (int)(flags | O_CLOEXEC | O_NOCTTY));
	if (fd < 0)
		return diag_fail(r->diag, errno, "cannot open %s, which the process had open: %s", e->name,
				 strerror(errno));
	ret = check_file(r, e, fd);
	return ret < 0 ? ret : TAKE_FD(fd);
}

/* Files of a process of the tree, under /proc, are there when it is: each task that has one opens its own. */
static bool opened_by_tasks(const struct restore *r, const RegFileEntry *e)
{
	return is_of_tree(&r->tree, e->name);
}

static int reg_open(struct restore *r, struct opened_file *f)
{
	const RegFileEntry *e = f->entry->reg;
	int fd;

	if (opened_by_tasks(r, e))
		return opener_placeholder(r, f);
	fd = reg_file_open(r, e, e->flags);
	if (fd < 0)
		return fd;
	fd = opener_keep(r, fd);
	if (fd < 0)
		return fd;
	f->fd = fd;
	if (e->pos && e->pos != UINT64_MAX && lseek(fd, (off_t)e->pos, SEEK_SET) < 0)
		return diag_fail(r->diag, errno, "cannot set the position in %s: %s", e->name, strerror(errno));
	if (e->flags & O_PATH)
		return 0;
	return opener_setup(r, f, e->flags, e->fown);
}

static int reg_tell(struct restore *r, struct process *p, const FdinfoEntry *fde, struct opened_file *f,
		    struct batch *b)
{
	const RegFileEntry *e = f->entry->reg;
	uint64_t name;
	size_t made;

	if (!opened_by_tasks(r, e))
		return 0;
	name = batch_data(b, e->name, strlen(e->name) + 1);
	made = batch_call(b, BATCH_MUST, SYS_openat, (uint64_t)AT_FDCWD, name, e->flags & ~NOT_AGAIN, 0);
	opener_tell_made(p, fde, made, b);
	if (e->pos && e->pos != UINT64_MAX)
		batch_call(b, BATCH_MUST, SYS_lseek, fde->fd, e->pos, SEEK_SET);
	return 0;
}

/* Three calls, and room for the name. */
static size_t reg_records(const FileEntry *fe)
{
	return reg_file_proc_pid(fe->reg->name) ? 3 + strlen(fe->reg->name) / 32 : 0;
}

static int reg_open_mapped(struct restore *r, const struct opened_file *f, uint32_t flags)
{
	return reg_file_open(r, f->entry->reg, flags);
}

const struct file_kind reg_file_kind = {
	.type = FD_TYPES__REG,
	.name = "file",
	.member = offsetof(FileEntry, reg),
	.owner = offsetof(RegFileEntry, fown),
	.flags = offsetof(RegFileEntry, flags),
	.match = reg_match,
	.dump = reg_dump,
	.stop = link_remap_make,
	.write = ghost_write,
	.free_dump = ghost_free_dump,
	.read = ghost_read,
	.open = reg_open,
	.tell = reg_tell,
	.records = reg_records,
	.free_restore = ghost_free_restore,
	.open_mapped = reg_open_mapped,
};
