/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef THAW_TESTS_IMAGE_DUMP_H
#define THAW_TESTS_IMAGE_DUMP_H

#include "tests/unit/image_sample.h"

/*
 * A small dump that holds together: process 100 with threads 100 and 101, its child 102, and the child's zombie 103.
 * Files: 1 the executable, 2 a directory, 3 a pipe, 4 a memfd, 5 a terminal, 6 a socket, 7 an unlinked file, 8 a FIFO.
 */

enum { REG, CWD, PIPE, MEMFD, TTY, SOCKET, GHOST, FIFO, NR_FILES };

struct dump {
	InventoryEntry inventory;
	PstreeEntry pstree[3];
	uint32_t threads[3];
	CoreEntry core[4]; /* by tid - 100 */
	ThreadInfoX86 info;
	UserX86RegsEntry regs;
	UserX86FpregsEntry fpregs;
	TaskCoreEntry tc, dead;
	ThreadCoreEntry thread;
	TaskKobjIdsEntry ids[2];
	MmEntry mm;
	VmaEntry vmas[4], *vmap[4];
	struct pagemap map, shmem, anon;
	FsEntry fs;
	FileEntry files[NR_FILES];
	FdinfoEntry fdinfo[NR_FILES];
	FownEntry fown;
	SkOptsEntry opts;
	RegFileEntry reg[3];
	PipeEntry pipe;
	FifoEntry fifo;
	MemfdFileEntry memfd;
	TtyFileEntry tty;
	UnixSkEntry sock;
	MemfdInodeEntry inode;
	TtyInfoEntry tty_info;
	PipeDataEntry pipe_data, fifo_data;
	SkPacketEntry packet;
	ScmEntry scm, *scms[1];
	uint32_t rights[1];
	RemapFilePathEntry remap;
	GhostFileEntry ghost;
	SeccompEntry seccomp;
	FileLockEntry lock;
	bool skip[IMG_NR_KINDS]; /* do not write images of this kind */
	uint64_t pages;		 /* in pages-1.img */
};

static inline void fill_processes(struct dump *d)
{
	inventory_entry__init(&d->inventory);
	d->inventory.img_version = 2;
	for (uint32_t i = 0; i < 3; i++) {
		pstree_entry__init(&d->pstree[i]);
		d->threads[i] = 100 + i;
	}
	d->pstree[0].pid = 100;
	d->pstree[1].pid = 102;
	d->pstree[2].pid = 103;
	d->pstree[1].ppid = 100;
	d->pstree[2].ppid = 102;
	d->pstree[0].n_threads = 2;
	d->pstree[0].threads = d->threads;
	d->pstree[1].n_threads = d->pstree[2].n_threads = 1;
	d->pstree[1].threads = d->pstree[2].threads = d->threads + 2; /* a zombie's are noise */
	thread_info_x86__init(&d->info);
	user_x86_regs_entry__init(&d->regs);
	user_x86_fpregs_entry__init(&d->fpregs);
	d->info.gpregs = &d->regs;
	d->info.fpregs = &d->fpregs;
	task_core_entry__init(&d->tc);
	task_core_entry__init(&d->dead);
	d->tc.comm = d->dead.comm = (char *)"sample";
	d->tc.task_state = 1;
	d->dead.task_state = 2;
	thread_core_entry__init(&d->thread);
	for (int i = 0; i < 4; i++) {
		core_entry__init(&d->core[i]);
		d->core[i].mtype = CORE_ENTRY__MARCH__X86_64;
		if (i == 3)
			continue;
		d->core[i].thread_info = &d->info;
		d->core[i].thread_core = &d->thread;
	}
	d->core[0].tc = d->core[2].tc = &d->tc;
	d->core[3].tc = &d->dead;
	task_kobj_ids_entry__init(&d->ids[0]);
	d->ids[0].vm_id = d->ids[0].files_id = d->ids[0].fs_id = d->ids[0].sighand_id = 2;
	d->ids[1] = d->ids[0]; /* the child shares all with its parent */
}

static inline void fill_memory(struct dump *d)
{
	mm_entry__init(&d->mm);
	d->mm.exe_file_id = 1;
	d->mm.n_vmas = 4;
	d->mm.vmas = d->vmap;
	for (int i = 0; i < 4; i++) {
		vma_entry__init(&d->vmas[i]);
		d->vmap[i] = &d->vmas[i];
		d->vmas[i].start = 0x400000ull + 0x10000ull * (uint64_t)i;
		d->vmas[i].end = d->vmas[i].start + (i < 2 ? 0x10000 : 0x4000);
		d->vmas[i].status = 0x201;
		d->vmas[i].fd = -1;
	}
	d->vmas[0].status = 0x41; /* the executable */
	d->vmas[0].shmid = 1;
	d->vmas[2].status = 0x101; /* shared memory */
	d->vmas[2].shmid = 10;
	d->vmas[3].status = 0x4081; /* the memfd */
	d->vmas[3].shmid = 4;
	d->map.pages_id = 1;
	d->pages = 5;
	assert_int_equal(pagemap_append(&d->map, 0x40f000, 3, PE_PRESENT), 0); /* across two mappings */
	assert_int_equal(pagemap_append(&d->map, 0x413000, 2, PE_PRESENT), 0);
	d->shmem.pages_id = 2;
	assert_int_equal(pagemap_append(&d->shmem, 0, 2, PE_PRESENT), 0);
	d->anon.pages_id = 3;
	assert_int_equal(pagemap_append(&d->anon, 0, 1, PE_PRESENT), 0);
}

static inline void fill_files(struct dump *d)
{
	static const FdTypes types[NR_FILES] = { FD_TYPES__REG, FD_TYPES__REG,	  FD_TYPES__PIPE, FD_TYPES__MEMFD,
						 FD_TYPES__TTY, FD_TYPES__UNIXSK, FD_TYPES__REG,  FD_TYPES__FIFO };

	fown_entry__init(&d->fown);
	sk_opts_entry__init(&d->opts);
	for (uint32_t i = 0; i < NR_FILES; i++) {
		file_entry__init(&d->files[i]);
		fdinfo_entry__init(&d->fdinfo[i]);
		d->files[i].type = d->fdinfo[i].type = types[i];
		d->files[i].id = d->fdinfo[i].id = i + 1;
		d->fdinfo[i].fd = i;
	}
	for (uint32_t i = 0; i < 3; i++) {
		reg_file_entry__init(&d->reg[i]);
		d->reg[i].fown = &d->fown;
		d->reg[i].name = (char *)"/some/file";
		d->reg[i].id = i == 2 ? 7 : i + 1;
		d->files[d->reg[i].id - 1].reg = &d->reg[i];
	}
	pipe_entry__init(&d->pipe);
	fifo_entry__init(&d->fifo);
	memfd_file_entry__init(&d->memfd);
	tty_file_entry__init(&d->tty);
	unix_sk_entry__init(&d->sock);
	d->pipe.fown = d->memfd.fown = d->tty.fown = d->sock.fown = &d->fown;
	d->pipe.id = 3;
	d->memfd.id = 4;
	d->tty.id = 5;
	d->sock.id = 6;
	d->fifo.id = 8;
	d->pipe.pipe_id = 33;
	d->fifo.pipe_id = 88;
	d->fifo.has_regf_id = true;
	d->fifo.regf_id = 1;
	d->memfd.inode_id = 44;
	d->tty.tty_info_id = 55;
	d->sock.opts = &d->opts;
	d->files[PIPE].pipe = &d->pipe;
	d->files[MEMFD].memfd = &d->memfd;
	d->files[TTY].tty = &d->tty;
	d->files[SOCKET].usk = &d->sock;
	d->files[FIFO].fifo = &d->fifo;
	fs_entry__init(&d->fs);
	d->fs.cwd_id = d->fs.root_id = 2;
}

static inline void fill_content(struct dump *d)
{
	memfd_inode_entry__init(&d->inode);
	d->inode.name = (char *)"memfd";
	d->inode.inode_id = 44;
	d->inode.size = 0x2000;
	d->inode.shmid = 9;
	tty_info_entry__init(&d->tty_info);
	d->tty_info.id = 55;
	pipe_data_entry__init(&d->pipe_data);
	pipe_data_entry__init(&d->fifo_data);
	d->pipe_data.pipe_id = 33;
	d->fifo_data.pipe_id = 88;
	d->pipe_data.bytes = d->fifo_data.bytes = 5;
	sk_packet_entry__init(&d->packet);
	scm_entry__init(&d->scm);
	d->packet.id_for = 6;
	d->packet.length = 5;
	d->packet.n_scm = 1;
	d->packet.scm = d->scms;
	d->scms[0] = &d->scm;
	d->scm.n_rights = 1;
	d->scm.rights = d->rights;
	d->rights[0] = 7;
	remap_file_path_entry__init(&d->remap);
	d->remap.orig_id = 7;
	d->remap.remap_id = 26;
	d->remap.has_remap_type = true;
	d->remap.remap_type = REMAP_TYPE__GHOST;
	ghost_file_entry__init(&d->ghost);
	seccomp_entry__init(&d->seccomp);
	file_lock_entry__init(&d->lock);
	d->lock.pid = 102;
}

static inline void fill_dump(struct dump *d)
{
	memset(d, 0, sizeof(*d));
	fill_processes(d);
	fill_memory(d);
	fill_files(d);
	fill_content(d);
}

/* Entries that lie in an array, @size apart, with five bytes behind each where the kind has raw bytes. */
static inline void put_array(struct fixture *f, struct image_dir *dir, const struct dump *d, enum image_kind kind,
			     uint64_t id, const void *msgs, size_t nr, size_t size)
{
	struct image_writer *w;

	if (d->skip[kind])
		return;
	assert_int_equal(image_create(dir, kind, id, &w, &f->diag), 0);
	for (size_t i = 0; i < nr; i++) {
		assert_int_equal(image_put(w, (const char *)msgs + i * size), 0);
		if (kind_of(kind)->tail)
			assert_int_equal(image_put_raw(w, "12345", 5), 0);
	}
	assert_int_equal(image_finish(w), 0);
}

#define PUT(kind, id, msg) put_array(f, dir, d, kind, id, &(msg), 1, 0)
#define PUT_ALL(kind, id, array) put_array(f, dir, d, kind, id, array, ARRAY_SIZE(array), sizeof((array)[0]))

static inline void put_pages(struct fixture *f, struct image_dir *dir, uint32_t pages_id, uint64_t nr)
{
	static const uint8_t page[PAGE_SIZE];
	struct page_writer *w;

	if (!nr)
		return;
	assert_int_equal(page_writer_create(dir, "raw", pages_id, &w, &f->diag), 0);
	for (uint64_t i = 0; i < nr; i++) {
		struct page_run run = { .nr_pages = 1, .index = i };

		assert_int_equal(page_writer_put(w, &run, 1, page), 0);
	}
	assert_int_equal(page_writer_finish(w), 0);
}

static inline void write_dump(struct fixture *f, struct dump *d)
{
	struct image_dir *dir;

	assert_int_equal(image_dir_create(f->path, &dir, &f->diag), 0);
	PUT(IMG_INVENTORY, 0, d->inventory);
	PUT_ALL(IMG_PSTREE, 0, d->pstree);
	for (uint32_t i = 0; i < 4; i++)
		PUT(IMG_CORE, 100 + i, d->core[i]);
	PUT(IMG_IDS, 100, d->ids[0]);
	PUT(IMG_IDS, 102, d->ids[1]);
	PUT(IMG_MM, 100, d->mm);
	PUT(IMG_FS, 100, d->fs);
	PUT_ALL(IMG_FILES, 0, d->files);
	PUT_ALL(IMG_FDINFO, 2, d->fdinfo);
	PUT(IMG_MEMFD_INODE, 0, d->inode);
	PUT(IMG_TTY_INFO, 0, d->tty_info);
	PUT(IMG_PIPES_DATA, 0, d->pipe_data);
	PUT(IMG_FIFO_DATA, 0, d->fifo_data);
	PUT(IMG_SK_QUEUES, 0, d->packet);
	PUT(IMG_REMAP_FPATH, 0, d->remap);
	PUT(IMG_GHOST_FILE, 26, d->ghost);
	PUT(IMG_SECCOMP, 0, d->seccomp);
	PUT(IMG_FILE_LOCKS, 0, d->lock);
	if (!d->skip[IMG_PAGEMAP])
		assert_int_equal(pagemap_write(dir, IMG_PAGEMAP, 100, &d->map, &f->diag), 0);
	if (!d->skip[IMG_PAGEMAP_SHMEM])
		assert_int_equal(pagemap_write(dir, IMG_PAGEMAP_SHMEM, 10, &d->anon, &f->diag), 0);
	if (!d->skip[IMG_PAGEMAP_SHMEM])
		assert_int_equal(pagemap_write(dir, IMG_PAGEMAP_SHMEM, 9, &d->shmem, &f->diag), 0);
	put_pages(f, dir, 1, d->pages);
	put_pages(f, dir, 2, 2);
	put_pages(f, dir, 3, 1);
	assert_int_equal(image_dir_commit(dir, &f->diag), 0);
	image_dir_close(dir);
	pagemap_free(&d->map);
	pagemap_free(&d->shmem);
	pagemap_free(&d->anon);
}

#endif
