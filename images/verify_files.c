// SPDX-License-Identifier: GPL-2.0-only
/* What leads from one open file to another, and from images of content to open files. */
#include <stddef.h>

#include "common/util.h"
#include "images/proto/all.h"
#include "images/verify_int.h"

/* The field of file_entry that holds a file of each type. */
static const struct {
	FdTypes type;
	size_t offset;
} members[] = {
	{ FD_TYPES__REG, offsetof(FileEntry, reg) },	    { FD_TYPES__PIPE, offsetof(FileEntry, pipe) },
	{ FD_TYPES__FIFO, offsetof(FileEntry, fifo) },	    { FD_TYPES__INETSK, offsetof(FileEntry, isk) },
	{ FD_TYPES__UNIXSK, offsetof(FileEntry, usk) },	    { FD_TYPES__EVENTFD, offsetof(FileEntry, efd) },
	{ FD_TYPES__EVENTPOLL, offsetof(FileEntry, epfd) }, { FD_TYPES__INOTIFY, offsetof(FileEntry, ify) },
	{ FD_TYPES__SIGNALFD, offsetof(FileEntry, sgfd) },  { FD_TYPES__PACKETSK, offsetof(FileEntry, psk) },
	{ FD_TYPES__TTY, offsetof(FileEntry, tty) },	    { FD_TYPES__FANOTIFY, offsetof(FileEntry, ffy) },
	{ FD_TYPES__NETLINKSK, offsetof(FileEntry, nlsk) }, { FD_TYPES__NS, offsetof(FileEntry, nsf) },
	{ FD_TYPES__TUNF, offsetof(FileEntry, tunf) },	    { FD_TYPES__EXT, offsetof(FileEntry, ext) },
	{ FD_TYPES__TIMERFD, offsetof(FileEntry, tfd) },    { FD_TYPES__MEMFD, offsetof(FileEntry, memfd) },
	{ FD_TYPES__BPFMAP, offsetof(FileEntry, bpf) },	    { FD_TYPES__PIDFD, offsetof(FileEntry, pidfd) },
};

static const char *type_name(FdTypes type)
{
	const ProtobufCEnumValue *value = protobuf_c_enum_descriptor_get_value(&fd_types__descriptor, (int)type);

	return value ? value->name : "unknown";
}

static const ProtobufCMessage *file_member(const FileEntry *e)
{
	for (size_t i = 0; i < ARRAY_SIZE(members); i++)
		if (members[i].type == e->type)
			return *(ProtobufCMessage *const *)((const char *)e + members[i].offset);
	return NULL;
}

static void load_file(struct verify *v, const char *name, const void *msg)
{
	const FileEntry *e = msg;
	const ProtobufCMessage *member = file_member(e);
	const ProtobufCFieldDescriptor *id;

	if (set_has(&v->files, FILE_KEY(e->type, e->id)))
		fault(v, "%s: there are two files of type %s with id %u", name, type_name(e->type), e->id);
	set_add(v, &v->files, FILE_KEY(e->type, e->id));
	set_add(v, &v->file_ids, e->id);
	if (!member) {
		fault(v, "%s: file %u has type %s (%d), but nothing of it", name, e->id, type_name(e->type), e->type);
		return;
	}
	id = protobuf_c_message_descriptor_get_field_by_name(member->descriptor, "id");
	if (id && *(const uint32_t *)((const char *)member + id->offset) != e->id)
		fault(v, "%s: file %u of type %s has another id inside", name, e->id, type_name(e->type));
	if (e->type == FD_TYPES__PIPE)
		set_add(v, &v->pipes, e->pipe->pipe_id);
	else if (e->type == FD_TYPES__FIFO)
		set_add(v, &v->fifos, e->fifo->pipe_id);
}

static void load_tty(struct verify *v, const char *name, const void *msg)
{
	set_add(v, &v->ttys, ((const TtyInfoEntry *)msg)->id);
}

static void load_inode(struct verify *v, const char *name, const void *msg)
{
	set_add(v, &v->inodes, ((const MemfdInodeEntry *)msg)->inode_id);
}

static void load_filters(struct verify *v, const char *name, const void *msg)
{
	v->nr_filters += ((const SeccompEntry *)msg)->n_seccomp_filters;
}

void load_files(struct verify *v)
{
	each_entry(v, IMG_FILES, 0, true, load_file);
	each_entry(v, IMG_TTY_INFO, 0, false, load_tty);
	each_entry(v, IMG_MEMFD_INODE, 0, false, load_inode);
	each_entry(v, IMG_SECCOMP, 0, false, load_filters);
}

static void check_file(struct verify *v, const char *name, const void *msg)
{
	const FileEntry *e = msg;

	if (!file_member(e))
		return;
	if (e->type == FD_TYPES__MEMFD && !set_has(&v->inodes, e->memfd->inode_id))
		fault(v, "%s: file %u is memfd %u, which is not in memfd.img", name, e->id, e->memfd->inode_id);
	if (e->type == FD_TYPES__TTY && !set_has(&v->ttys, e->tty->tty_info_id))
		fault(v, "%s: file %u is terminal %u, which is not in tty-info.img", name, e->id, e->tty->tty_info_id);
	if (e->type == FD_TYPES__TTY && e->tty->has_regf_id &&
	    !set_has(&v->files, FILE_KEY(FD_TYPES__REG, e->tty->regf_id)))
		fault(v, "%s: the path of terminal %u, file %u, is missing", name, e->id, e->tty->regf_id);
	if (e->type == FD_TYPES__FIFO && e->fifo->has_regf_id &&
	    !set_has(&v->files, FILE_KEY(FD_TYPES__REG, e->fifo->regf_id)))
		fault(v, "%s: the path of FIFO %u, file %u, is missing", name, e->id, e->fifo->regf_id);
}

static void check_pipe(struct verify *v, const char *name, const void *msg)
{
	const PipeDataEntry *e = msg;

	if (!set_has(&v->pipes, e->pipe_id))
		fault(v, "%s: pipe %u is not in files.img", name, e->pipe_id);
}

static void check_fifo(struct verify *v, const char *name, const void *msg)
{
	const PipeDataEntry *e = msg;

	if (!set_has(&v->fifos, e->pipe_id))
		fault(v, "%s: FIFO %u is not in files.img", name, e->pipe_id);
}

static void check_queue(struct verify *v, const char *name, const void *msg)
{
	const SkPacketEntry *e = msg;

	if (!set_has(&v->file_ids, e->id_for))
		fault(v, "%s: socket %u is not in files.img", name, e->id_for);
	for (size_t i = 0; i < e->n_scm; i++)
		for (size_t n = 0; n < e->scm[i]->n_rights; n++)
			if (!set_has(&v->file_ids, e->scm[i]->rights[n]))
				fault(v, "%s: file %u, sent to socket %u, is not in files.img", name,
				      e->scm[i]->rights[n], e->id_for);
}

static void check_remap(struct verify *v, const char *name, const void *msg)
{
	const RemapFilePathEntry *e = msg;
	RemapType type = e->has_remap_type ? e->remap_type : REMAP_TYPE__LINKED;
	char ghost[64];

	if (!set_has(&v->file_ids, e->orig_id))
		fault(v, "%s: file %u is not in files.img", name, e->orig_id);
	if (type == REMAP_TYPE__LINKED && !set_has(&v->files, FILE_KEY(FD_TYPES__REG, e->remap_id)))
		fault(v, "%s: the link of file %u, file %u, is not in files.img", name, e->orig_id, e->remap_id);
	if (type == REMAP_TYPE__GHOST && !image_exists(v->dir, IMG_GHOST_FILE, e->remap_id))
		fault(v, "%s: the content of file %u, %s, is missing", name, e->orig_id,
		      image_name(IMG_GHOST_FILE, e->remap_id, ghost));
}

static void check_inode(struct verify *v, const char *name, const void *msg)
{
	const MemfdInodeEntry *e = msg;
	uint64_t pages = PAGE_UP(e->size) / PAGE_SIZE;
	struct pagemap map = { 0 };
	char shmem[64];

	image_name(IMG_PAGEMAP_SHMEM, e->shmid, shmem);
	if (!image_exists(v->dir, IMG_PAGEMAP_SHMEM, e->shmid)) {
		if (e->size)
			fault(v, "%s: the pages of memfd %llu, %s, are missing", name, (unsigned long long)e->inode_id,
			      shmem);
		return;
	}
	if (!check_pagemap(v, IMG_PAGEMAP_SHMEM, e->shmid, &map))
		return;
	if (map.nr && map.runs[map.nr - 1].vaddr / PAGE_SIZE + map.runs[map.nr - 1].nr_pages > pages)
		fault(v, "%s: there are pages beyond the %llu bytes of memfd %llu", shmem, (unsigned long long)e->size,
		      (unsigned long long)e->inode_id);
	pagemap_free(&map);
}

void check_files(struct verify *v)
{
	each_entry(v, IMG_FILES, 0, false, check_file);
	each_entry(v, IMG_PIPES_DATA, 0, false, check_pipe);
	each_entry(v, IMG_FIFO_DATA, 0, false, check_fifo);
	each_entry(v, IMG_SK_QUEUES, 0, false, check_queue);
	each_entry(v, IMG_REMAP_FPATH, 0, false, check_remap);
	each_entry(v, IMG_MEMFD_INODE, 0, false, check_inode);
}
