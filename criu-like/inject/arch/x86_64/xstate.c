// SPDX-License-Identifier: GPL-2.0-only
/*
 * Extended state: between the CPU's XSAVE area (Intel SDM volume 1, chapter 13; standard format, as ptrace gives it)
 * and the fields of the image format.
 *
 * The area is 512 bytes of FXSAVE, 64 bytes of header (the first word says which components are in use), then each
 * component at an offset that CPUID leaf 0xD tells. The format has a field for most components; AMX tiles and their
 * configuration go to Thaw's own file, and other components refuse the task while they are in use.
 */
#include <asm/prctl.h>
#include <cpuid.h>
#include <elf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>

#include "common/cleanup.h"
#include "common/util.h"
#include "criu-like/inject/arch.h"
#include "criu-like/inject/arch/x86_64/parts.h"

#define XSAVE_HEADER 512
#define XSAVE_MIN (512 + 64)
#define XSAVE_MAX 16384 /* bytes; AMX makes it 11008 */
#define XSTATE_X87_SSE 3ULL
#define XSTATE_TILE_CONFIG 17
#define XSTATE_TILES 18
#define XSTATE_LARGE (1ULL << XSTATE_TILE_CONFIG | 1ULL << XSTATE_TILES)

struct fxsave {
	uint16_t cwd, swd, twd, fop;
	uint64_t rip, rdp;
	uint32_t mxcsr, mxcsr_mask;
	uint32_t st_space[32];
	uint32_t xmm_space[64];
	uint32_t padding[24];
};
_Static_assert(sizeof(struct fxsave) == 512, "FXSAVE area");

/* A component with a field in UserX86XsaveEntry. */
static const struct component {
	unsigned bit;
	unsigned element;	/* bytes */
	size_t nr_field, field; /* where the message has count and pointer */
	const char *name;
} components[] = {
#define COMPONENT(bit, type, f, name)                                                                       \
	{                                                                                                   \
		bit, sizeof(type), offsetof(UserX86XsaveEntry, n_##f), offsetof(UserX86XsaveEntry, f), name \
	}
	COMPONENT(2, uint32_t, ymmh_space, "AVX"),	 COMPONENT(3, uint64_t, bndreg_state, "MPX"),
	COMPONENT(4, uint64_t, bndcsr_state, "MPX"),	 COMPONENT(5, uint64_t, opmask_reg, "AVX-512"),
	COMPONENT(6, uint64_t, zmm_upper, "AVX-512"),	 COMPONENT(7, uint64_t, hi16_zmm, "AVX-512"),
	COMPONENT(9, uint32_t, pkru, "protection keys"),
#undef COMPONENT
};

/* XGETBV 0: the components that the kernel has enabled. It does not leave a virtual machine. */
static uint64_t enabled_xstate(void)
{
	unsigned a, d;

	__asm__ volatile("xgetbv" : "=a"(a), "=d"(d) : "c"(0));
	return a | (uint64_t)d << 32;
}

void arch_cpu_read(struct arch_cpu *cpu)
{
	*cpu = (struct arch_cpu){ .xstate = enabled_xstate() };
	for (size_t i = 0; i < ARRAY_SIZE(components); i++) {
		unsigned bit = components[i].bit, c, d;

		if (cpu->xstate & 1ULL << bit)
			__cpuid_count(0xd, bit, cpu->component[bit].size, cpu->component[bit].offset, c, d);
	}
}

static size_t *count_of(const UserX86XsaveEntry *x, const struct component *c)
{
	return (size_t *)((char *)x + c->nr_field);
}

static void **pointer_of(const UserX86XsaveEntry *x, const struct component *c)
{
	return (void **)((char *)x + c->field);
}

static uint64_t known_components(void)
{
	uint64_t known = XSTATE_X87_SSE;

	for (size_t i = 0; i < ARRAY_SIZE(components); i++)
		known |= 1ULL << components[i].bit;
	return known;
}

static int encode_fxsave(struct arena *a, const struct fxsave *fx, UserX86FpregsEntry *f)
{
	f->cwd = fx->cwd;
	f->swd = fx->swd;
	f->twd = fx->twd;
	f->fop = fx->fop;
	f->rip = fx->rip;
	f->rdp = fx->rdp;
	f->mxcsr = fx->mxcsr;
	f->mxcsr_mask = fx->mxcsr_mask;
	f->n_st_space = ARRAY_SIZE(fx->st_space);
	f->n_xmm_space = ARRAY_SIZE(fx->xmm_space);
	f->st_space = arena_alloc(a, sizeof(fx->st_space));
	f->xmm_space = arena_alloc(a, sizeof(fx->xmm_space));
	if (!f->st_space || !f->xmm_space)
		return -ENOMEM;
	memcpy(f->st_space, fx->st_space, sizeof(fx->st_space));
	memcpy(f->xmm_space, fx->xmm_space, sizeof(fx->xmm_space));
	return 0;
}

static int encode_xsave(const struct arch_cpu *cpu, struct arena *a, const uint8_t *area, size_t len,
			UserX86XsaveEntry *x)
{
	memcpy(&x->xstate_bv, area + XSAVE_HEADER, sizeof(x->xstate_bv));
	for (size_t i = 0; i < ARRAY_SIZE(components); i++) {
		const struct component *c = &components[i];
		const unsigned offset = cpu->component[c->bit].offset, size = cpu->component[c->bit].size;
		void *copy;

		if (!size || offset + size > len)
			continue;
		copy = arena_alloc(a, size);
		if (!copy)
			return -ENOMEM;
		memcpy(copy, area + offset, size);
		*pointer_of(x, c) = copy;
		*count_of(x, c) = size / c->element;
	}
	return 0;
}

static UserX86FpregsEntry *alloc_fpregs(struct arena *a)
{
	UserX86FpregsEntry *f = arena_alloc(a, sizeof(*f));

	if (!f)
		return NULL;
	user_x86_fpregs_entry__init(f);
	f->xsave = arena_alloc(a, sizeof(*f->xsave));
	if (!f->xsave)
		return NULL;
	user_x86_xsave_entry__init(f->xsave);
	return f;
}

int arch_dump_xstate(const struct arch_cpu *cpu, struct arena *a, pid_t tid, ThreadInfoX86 *info, struct diag *diag)
{
	_Alignas(64) uint8_t area[XSAVE_MAX] = { 0 };
	struct iovec iov = { .iov_base = area, .iov_len = sizeof(area) };
	uint64_t in_use;
	int ret;

	if (ptrace(PTRACE_GETREGSET, tid, NT_X86_XSTATE, &iov) < 0)
		return diag_fail(diag, errno, "cannot read the extended registers of thread %d", tid);
	if (iov.iov_len < XSAVE_MIN)
		return diag_fail(diag, EPROTO, "the extended registers of thread %d are only %zu bytes", tid,
				 iov.iov_len);
	memcpy(&in_use, area + XSAVE_HEADER, sizeof(in_use));
	if (in_use & ~(known_components() | XSTATE_LARGE))
		return diag_fail(diag, EOPNOTSUPP,
				 "thread %d has CPU state that the image format has no place for (XSAVE components "
				 "0x%llx); dump it when they are released",
				 tid, (unsigned long long)(in_use & ~(known_components() | XSTATE_LARGE)));

	info->fpregs = alloc_fpregs(a);
	if (!info->fpregs)
		return -ENOMEM;
	ret = encode_fxsave(a, (const struct fxsave *)area, info->fpregs);
	return ret ? ret : encode_xsave(cpu, a, area, iov.iov_len, info->fpregs->xsave);
}

int arch_check_xstate(const struct arch_cpu *cpu, const UserX86FpregsEntry *f, pid_t tid, struct diag *diag)
{
	const UserX86XsaveEntry *x = f->xsave;
	uint64_t lacking;

	if (f->n_st_space != 32 || f->n_xmm_space != 64)
		return diag_fail(diag, EPROTO, "core-%d.img is damaged: %zu x87 and %zu SSE words instead of 32 and 64",
				 tid, f->n_st_space, f->n_xmm_space);
	if (!x)
		return 0;
	for (size_t i = 0; i < ARRAY_SIZE(components); i++) {
		const struct component *c = &components[i];
		const unsigned size = cpu->component[c->bit].size;

		if (!size && x->xstate_bv & 1ULL << c->bit)
			return diag_fail(diag, EOPNOTSUPP,
					 "thread %d uses %s, which this CPU does not have; restore it on one that has",
					 tid, c->name);
		if (size && *count_of(x, c) && *count_of(x, c) != size / c->element)
			return diag_fail(diag, EPROTO, "core-%d.img is damaged: %zu words of %s state instead of %u",
					 tid, *count_of(x, c), c->name, size / c->element);
	}
	lacking = x->xstate_bv & ~(cpu->xstate & (known_components() | XSTATE_LARGE));
	if (lacking)
		return diag_fail(diag, EOPNOTSUPP, "thread %d has CPU state 0x%llx that this CPU does not have", tid,
				 (unsigned long long)lacking);
	return 0;
}

static void decode_fxsave(const UserX86FpregsEntry *f, struct fxsave *fx)
{
	fx->cwd = (uint16_t)f->cwd;
	fx->swd = (uint16_t)f->swd;
	fx->twd = (uint16_t)f->twd;
	fx->fop = (uint16_t)f->fop;
	fx->rip = f->rip;
	fx->rdp = f->rdp;
	fx->mxcsr = f->mxcsr;
	fx->mxcsr_mask = f->mxcsr_mask;
	memcpy(fx->st_space, f->st_space, sizeof(fx->st_space));
	memcpy(fx->xmm_space, f->xmm_space, sizeof(fx->xmm_space));
}

/* MXCSR bits that this CPU reserves make the kernel refuse the whole area. */
static int write_area(pid_t tid, uint8_t *area, size_t len, struct diag *diag)
{
	struct iovec iov = { .iov_base = area, .iov_len = len };

	if (ptrace(PTRACE_SETREGSET, tid, NT_X86_XSTATE, &iov) < 0)
		return diag_fail(diag, errno, "the kernel refuses the extended registers of thread %d: %s", tid,
				 strerror(errno));
	return 0;
}

int arch_restore_xstate(const struct arch_cpu *cpu, pid_t tid, const UserX86FpregsEntry *f, struct diag *diag)
{
	_Alignas(64) uint8_t area[XSAVE_MAX] = { 0 };
	struct iovec iov = { .iov_base = area, .iov_len = sizeof(area) };
	const UserX86XsaveEntry *x = f->xsave;
	uint64_t bv = x ? x->xstate_bv & ~XSTATE_LARGE : XSTATE_X87_SSE;
	size_t len;

	/* The length that this CPU and kernel want is the length they give. */
	if (ptrace(PTRACE_GETREGSET, tid, NT_X86_XSTATE, &iov) < 0)
		return diag_fail(diag, errno, "cannot read the extended registers of thread %d", tid);
	len = iov.iov_len;
	memset(area, 0, XSAVE_HEADER - 48); /* the last 48 bytes are the kernel's: which components it saves */
	memset(area + XSAVE_HEADER, 0, len - XSAVE_HEADER);
	decode_fxsave(f, (struct fxsave *)area);
	memcpy(area + XSAVE_HEADER, &bv, sizeof(bv));
	for (size_t i = 0; x && i < ARRAY_SIZE(components); i++) {
		const struct component *c = &components[i];
		const unsigned offset = cpu->component[c->bit].offset, size = cpu->component[c->bit].size;

		if (size && *count_of(x, c) && offset + size <= len)
			memcpy(area + offset, *pointer_of(x, c), size);
	}
	return write_area(tid, area, len, diag);
}

void arch_ask_large(struct batch *b)
{
	batch_call(b, 0, SYS_arch_prctl, ARCH_GET_XCOMP_PERM, batch_data(b, NULL, sizeof(uint64_t)));
}

static void locate_large(unsigned bit, unsigned *offset, unsigned *size)
{
	unsigned c, d;

	*offset = *size = 0;
	if (enabled_xstate() & 1ULL << bit)
		__cpuid_count(0xd, bit, *size, *offset, c, d);
}

static int keep_component(struct arena *a, const uint8_t *area, size_t len, unsigned bit, ThawThreadEntry *e)
{
	unsigned offset, size;
	ThawXstateEntry *x;

	locate_large(bit, &offset, &size);
	if (!size || offset + size > len)
		return -EPROTO;
	x = arena_alloc(a, sizeof(*x));
	if (!x)
		return -ENOMEM;
	thaw_xstate_entry__init(x);
	x->component = bit;
	x->data.len = size;
	x->data.data = arena_alloc(a, size);
	if (!x->data.data)
		return -ENOMEM;
	memcpy(x->data.data, area + offset, size);
	e->xstate[e->n_xstate++] = x;
	return 0;
}

int arch_dump_large(struct arena *a, pid_t tid, uint64_t asked, ThawThreadEntry *e, struct diag *diag)
{
	_Alignas(64) uint8_t area[XSAVE_MAX] = { 0 };
	struct iovec iov = { .iov_base = area, .iov_len = sizeof(area) };
	uint64_t in_use;
	int ret = 0;

	e->xstate_permitted = asked & 1ULL << XSTATE_TILES;
	e->has_xstate_permitted = e->xstate_permitted;
	if (!e->has_xstate_permitted)
		return 0;
	if (ptrace(PTRACE_GETREGSET, tid, NT_X86_XSTATE, &iov) < 0)
		return diag_fail(diag, errno, "cannot read the extended registers of thread %d", tid);
	e->xstate = arena_array(a, 2, sizeof(ThawXstateEntry *));
	if (!e->xstate)
		return -ENOMEM;
	memcpy(&in_use, area + XSAVE_HEADER, sizeof(in_use));
	for (unsigned bit = XSTATE_TILE_CONFIG; !ret && bit <= XSTATE_TILES; bit++)
		if (in_use & 1ULL << bit)
			ret = keep_component(a, area, iov.iov_len, bit, e);
	return ret ? diag_fail(diag, -ret, "cannot keep the AMX tiles of thread %d: %s", tid, strerror(-ret)) : 0;
}

int arch_tell_large(struct batch *b, const CoreEntry *core, const ThawThreadEntry *e, pid_t tid, struct diag *diag)
{
	/* A configuration of one tile of one row of 4 bytes: the palette, the width at 16, the height at 48. */
	static const uint8_t one_tile[64] = { [0] = 1, [16] = 4, [48] = 1 };
	const UserX86FpregsEntry *f = core->thread_info ? core->thread_info->fpregs : NULL;
	const UserX86XsaveEntry *x = f ? f->xsave : NULL;
	uint64_t lost = x ? x->xstate_bv & XSTATE_LARGE : 0;

	for (size_t i = 0; e && i < e->n_xstate; i++)
		lost &= ~(1ULL << e->xstate[i]->component % 64);
	if (lost)
		return diag_fail(diag, EOPNOTSUPP, "thread %d uses AMX tiles, and the images do not hold them", tid);
	if (e && e->has_xstate_permitted && e->xstate_permitted)
		batch_call(b, BATCH_MUST, SYS_arch_prctl, ARCH_REQ_XCOMP_PERM, XSTATE_TILES);
	if (e && e->n_xstate)
		batch_call(b, BATCH_LARGE, -1, batch_data(b, one_tile, sizeof(one_tile)));
	return 0;
}

int arch_restore_large(pid_t tid, const ThawThreadEntry *e, struct diag *diag)
{
	_Alignas(64) uint8_t area[XSAVE_MAX] = { 0 };
	struct iovec iov = { .iov_base = area, .iov_len = sizeof(area) };
	uint64_t bv;

	if (!e->n_xstate)
		return 0;
	if (ptrace(PTRACE_GETREGSET, tid, NT_X86_XSTATE, &iov) < 0)
		return diag_fail(diag, errno, "cannot read the extended registers of thread %d", tid);
	memcpy(&bv, area + XSAVE_HEADER, sizeof(bv));
	for (size_t i = 0; i < e->n_xstate; i++) {
		const ThawXstateEntry *x = e->xstate[i];
		unsigned offset, size = 0;

		if (x->component < 64 && XSTATE_LARGE & 1ULL << x->component)
			locate_large(x->component, &offset, &size);
		if (!size || x->data.len != size || offset + size > iov.iov_len)
			return diag_fail(diag, EOPNOTSUPP,
					 "thread %d has %zu bytes of CPU state %u, which this CPU does not have", tid,
					 x->data.len, x->component);
		memcpy(area + offset, x->data.data, size);
		bv |= 1ULL << x->component;
	}
	memcpy(area + XSAVE_HEADER, &bv, sizeof(bv));
	return write_area(tid, area, iov.iov_len, diag);
}
