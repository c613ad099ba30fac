// SPDX-License-Identifier: GPL-2.0-only
#include "images/map.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "common/cleanup.h"
#include "common/util.h"
#include "images/kinds.h"
#include "images/pagestore.h"
#include "images/proto/all.h"
#include "images/vma_status.h"
#include "images/wset.h"

/* In pixels. */
#define WIDTH 1080
#define LINE 16
#define BAR_X 500
#define BAR_HEIGHT 12u
#define CELL 4u /* width */

#define CELLS 140u /* at most: each stands for the same number of pages, one at least */
#define NAME_LEN 42

struct range {
	uint64_t start, end;
};

struct ranges {
	struct range *v; /* ascending, not overlapping */
	size_t nr, cap;
};

struct file_name {
	uint32_t id;
	char *name;
};

struct picture {
	struct image_dir *dir;
	struct diag *diag;
	struct file_name *files;
	size_t nr_files, cap_files;
	FILE *out;  /* the body: how high the picture is shows at its end */
	unsigned y; /* where the next line goes */
};

struct layers {
	struct ranges present, wset;
};

/* One address space. */
struct space_picture {
	uint64_t pid;
	MmEntry *mm;
	struct layers layers;
};

static int add_range(struct ranges *r, uint64_t start, uint64_t end)
{
	if (r->nr && r->v[r->nr - 1].end == start) {
		r->v[r->nr - 1].end = end;
		return 0;
	}
	if (grow(&r->v, r->nr, &r->cap, sizeof(*r->v)))
		return -ENOMEM;
	r->v[r->nr++] = (struct range){ start, end };
	return 0;
}

static int add_runs(struct ranges *r, const struct pagemap *map, uint64_t shift)
{
	int ret = 0;

	for (size_t i = 0; i < map->nr && !ret; i++)
		if (map->runs[i].flags & (PE_PRESENT | PE_PARENT))
			ret = add_range(r, map->runs[i].vaddr + shift,
					map->runs[i].vaddr + shift + map->runs[i].nr_pages * PAGE_SIZE);
	return ret;
}

static int by_start(const void *a, const void *b)
{
	const struct range *ra = a, *rb = b;

	return ra->start < rb->start ? -1 : ra->start > rb->start;
}

static int add_set(struct ranges *r, const struct wset *set, const struct pagemap *map, uint64_t shift)
{
	int ret = 0;

	for (size_t i = 0; i < set->nr && !ret; i++) {
		uint64_t first;
		unsigned nr;

		for (unsigned bit = 0; !ret && (nr = wset_next(&set->chunks[i], bit, &first));
		     bit = (unsigned)(first % WSET_CHUNK) + nr) {
			for (uint64_t page = first; page < first + nr && !ret; page++) {
				const struct page_run *run = pagemap_find_page(map, page);
				uint64_t at = run->vaddr + (page - run->index) * PAGE_SIZE + shift;

				ret = add_range(r, at, at + PAGE_SIZE);
			}
		}
	}
	qsort(r->v, r->nr, sizeof(*r->v), by_start);
	return ret;
}

/* The working set, if there is one that is of use. */
static int add_wset(struct ranges *r, struct image_dir *dir, const struct pagemap *map, uint64_t shift)
{
	struct diag own;
	struct wset set;
	int ret;

	diag_init(&own, -1, DIAG_ERROR);
	if (wset_read(dir, map, &set, &own))
		return 0;
	ret = add_set(r, &set, map, shift);
	wset_free(&set);
	return ret;
}

/* How many bytes of [@start, @end) are in the ranges. */
static uint64_t overlap(const struct ranges *r, uint64_t start, uint64_t end)
{
	size_t low = 0, high = r->nr;
	uint64_t sum = 0;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (r->v[middle].end <= start)
			low = middle + 1;
		else
			high = middle;
	}
	for (; low < r->nr && r->v[low].start < end; low++)
		sum += MIN(r->v[low].end, end) - MAX(r->v[low].start, start);
	return sum;
}

static uint64_t all(const struct ranges *r)
{
	return overlap(r, 0, UINT64_MAX);
}

static void put_escaped(FILE *out, const char *text)
{
	for (; *text; text++) {
		if (strchr("&<>\"", *text))
			fprintf(out, "&#%d;", *text);
		else
			fputc((unsigned char)*text < ' ' || (unsigned char)*text > '~' ? '?' : *text, out);
	}
}

static const char *file_name(const struct picture *p, uint64_t id)
{
	for (size_t i = 0; i < p->nr_files; i++)
		if (p->files[i].id == id)
			return p->files[i].name;
	return "a file";
}

static const char *what(const struct picture *p, const VmaEntry *v)
{
	if (v->status & VMA_SYSVIPC)
		return "System V shared memory";
	if (v->status & VMA_MEMFD)
		return "memfd";
	if (v->status & (VMA_FILE_PRIVATE | VMA_FILE_SHARED))
		return file_name(p, v->shmid);
	if (v->status & VMA_ANON_SHARED)
		return "shared memory";
	if (v->status & (VMA_VDSO | VMA_VVAR | VMA_VSYSCALL))
		return "of the kernel";
	if (v->status & VMA_HEAP)
		return "heap";
	return v->flags & MAP_GROWSDOWN ? "stack" : "";
}

static const char *size(uint64_t bytes, char *buf, size_t len)
{
	static const char *const units[] = { "KiB", "MiB", "GiB", "TiB" };
	double value = (double)bytes / 1024;
	size_t unit = 0;

	for (; value >= 1024 && unit + 1 < ARRAY_SIZE(units); unit++)
		value /= 1024;
	snprintf(buf, len, value < 10 && unit ? "%.1f %s" : "%.0f %s", value, units[unit]);
	return buf;
}

/* A part of the bar, from cell @from to cell @to, in pixels from its foot. */
static void put_rect(struct picture *p, const char *class, uint64_t from, uint64_t to, unsigned height)
{
	if (height && to > from)
		fprintf(p->out, "<rect class=\"%s\" x=\"%lu\" y=\"%u\" width=\"%lu\" height=\"%u\"/>\n", class,
			BAR_X + from * CELL, p->y + BAR_HEIGHT - height, (to - from) * CELL, height);
}

/* How high a cell's bar is: what is there at all shows. */
static unsigned height(const struct ranges *r, uint64_t start, uint64_t end)
{
	return (unsigned)((overlap(r, start, end) * BAR_HEIGHT + (end - start) - 1) / (end - start));
}

/* One of the layers of a mapping's bar; cells of the same height are one rectangle. */
static void put_layer(struct picture *p, const char *class, const VmaEntry *v, const struct ranges *r, uint64_t step)
{
	uint64_t nr = (v->end - v->start + step - 1) / step, first = 0;
	unsigned last = 0;

	for (uint64_t i = 0; i < nr; i++) {
		uint64_t start = v->start + i * step;
		unsigned h = height(r, start, MIN(start + step, v->end));

		if (h == last)
			continue;
		put_rect(p, class, first, i, last);
		first = i;
		last = h;
	}
	put_rect(p, class, first, nr, last);
}

static void put_label(struct picture *p, const VmaEntry *v)
{
	const char *name = what(p, v), *tail = name;
	char text[32];

	if (strlen(name) > NAME_LEN) /* the end says more */
		tail = name + strlen(name) - NAME_LEN;
	fprintf(p->out, "<text x=\"8\" y=\"%u\">%012lx %c%c%c%c</text><text x=\"200\" y=\"%u\" class=\"e\">%s</text>",
		p->y + BAR_HEIGHT - 2, v->start, v->prot & PROT_READ ? 'r' : '-', v->prot & PROT_WRITE ? 'w' : '-',
		v->prot & PROT_EXEC ? 'x' : '-', v->flags & MAP_SHARED ? 's' : 'p', p->y + BAR_HEIGHT - 2,
		size(v->end - v->start, text, sizeof(text)));
	fprintf(p->out, "<text x=\"208\" y=\"%u\">%s", p->y + BAR_HEIGHT - 2, tail == name ? "" : "...");
	put_escaped(p->out, tail);
	fprintf(p->out, "</text>\n");
}

/* Load what an image of pages says; @shift leads from its addresses to those of the process. */
static int load_pages(struct picture *p, enum image_kind kind, uint64_t id, uint64_t shift, struct layers *out)
{
	struct pagemap map;
	int ret = image_exists(p->dir, kind, id) ? pagemap_read_whole(p->dir, kind, id, &map, p->diag) : -ENOENT;

	if (ret)
		return ret == -ENOENT ? 0 : ret;
	ret = add_runs(&out->present, &map, shift);
	if (!ret)
		ret = add_wset(&out->wset, p->dir, &map, shift);
	pagemap_free(&map);
	return ret ? diag_fail(p->diag, ENOMEM, "out of memory for the pages of %s", map.name) : 0;
}

static void free_layers(struct layers *l)
{
	free(l->present.v);
	free(l->wset.v);
}

/* Shared memory has its pages in an image of its own, by their place in it. */
static bool is_shared(const VmaEntry *v)
{
	return v->status & VMA_ANON_SHARED && !(v->status & VMA_SYSVIPC);
}

static int put_vma(struct picture *p, const struct space_picture *sp, const VmaEntry *v)
{
	uint64_t pages = (v->end - v->start) / PAGE_SIZE, step = MAX((pages + CELLS - 1) / CELLS, 1UL) * PAGE_SIZE;
	struct layers shared = { 0 };
	const struct layers *l = is_shared(v) ? &shared : &sp->layers;
	int ret;

	if (v->end <= v->start || !PAGE_ALIGNED(v->start) || !PAGE_ALIGNED(v->end))
		return diag_fail(p->diag, EPROTO, "mm-%lu.img: the mapping 0x%lx-0x%lx is none; see thaw image verify",
				 sp->pid, v->start, v->end);
	ret = is_shared(v) ? load_pages(p, IMG_PAGEMAP_SHMEM, v->shmid, v->start - v->pgoff, &shared) : 0;
	if (ret) {
		free_layers(&shared);
		return ret;
	}
	fprintf(p->out, "<g><title>0x%lx-0x%lx: %lu pages, %lu in the images, %lu in the working set</title>\n",
		v->start, v->end, pages, overlap(&l->present, v->start, v->end) / PAGE_SIZE,
		overlap(&l->wset, v->start, v->end) / PAGE_SIZE);
	put_label(p, v);
	put_rect(p, "z", 0, (v->end - v->start + step - 1) / step, BAR_HEIGHT);
	put_layer(p, "p", v, &l->present, step);
	put_layer(p, "w", v, &l->wset, step);
	fprintf(p->out, "</g>\n");
	p->y += LINE;
	free_layers(&shared);
	return 0;
}

static int put_space(struct picture *p, const struct space_picture *sp)
{
	char mapped[32], there[32], set[32];
	uint64_t sum = 0;
	int ret = 0;

	for (size_t i = 0; i < sp->mm->n_vmas; i++)
		if (!(sp->mm->vmas[i]->status & VMA_GUARD))
			sum += sp->mm->vmas[i]->end - sp->mm->vmas[i]->start;
	p->y += LINE;
	fprintf(p->out,
		"<text x=\"8\" y=\"%u\" class=\"h\">Process %lu: %s mapped, %s in the images, working set %s</text>\n",
		p->y + BAR_HEIGHT - 2, sp->pid, size(sum, mapped, sizeof(mapped)),
		size(all(&sp->layers.present), there, sizeof(there)), size(all(&sp->layers.wset), set, sizeof(set)));
	p->y += LINE + 4;
	for (size_t i = 0; i < sp->mm->n_vmas && !ret; i++)
		if (!(sp->mm->vmas[i]->status & VMA_GUARD))
			ret = put_vma(p, sp, sp->mm->vmas[i]);
	return ret;
}

static int draw_process(struct picture *p, uint64_t pid)
{
	struct space_picture sp = { .pid = pid };
	int ret = image_read_one(p->dir, IMG_MM, pid, &sp.mm, p->diag);

	if (ret)
		return ret;
	ret = load_pages(p, IMG_PAGEMAP, pid, 0, &sp.layers);
	if (!ret)
		ret = put_space(p, &sp);
	image_free(sp.mm);
	free_layers(&sp.layers);
	return ret;
}

static int load_names(struct picture *p)
{
	struct image_reader *r;
	FileEntry *e;
	int ret = image_exists(p->dir, IMG_FILES, 0) ? image_open(p->dir, IMG_FILES, 0, &r, p->diag) : -ENOENT;

	if (ret)
		return ret == -ENOENT ? 0 : ret;
	while ((ret = image_get(r, &e)) > 0) {
		if (e->reg && !grow(&p->files, p->nr_files, &p->cap_files, sizeof(*p->files))) {
			p->files[p->nr_files].name = strdup(e->reg->name);
			p->files[p->nr_files].id = e->id;
			p->nr_files += p->files[p->nr_files].name != NULL;
		}
		image_free(e);
	}
	image_close(r);
	return ret;
}

static int is_mm(const struct dirent *e)
{
	return kind_by_name(e->d_name, NULL) == IMG_MM;
}

static int draw_all(struct picture *p)
{
	struct dirent **names;
	int nr = scandirat(image_dir_fd(p->dir), ".", &names, is_mm, versionsort);
	int ret = nr < 0 ? diag_fail(p->diag, errno, "cannot list %s: %s", image_dir_path(p->dir), strerror(errno)) : 0;

	for (int i = 0; i < nr; i++) {
		uint64_t pid;

		kind_by_name(names[i]->d_name, &pid);
		if (!ret)
			ret = draw_process(p, pid);
		free(names[i]);
	}
	if (nr >= 0)
		free(names);
	if (!ret && !nr)
		ret = diag_fail(p->diag, ENOENT, "%s has no memory of any process", image_dir_path(p->dir));
	return ret;
}

static void put_picture(const struct picture *p, const char *body, FILE *out)
{
	static const struct {
		const char *class, *text;
		unsigned x;
	} legend[] = { { "w", "working set", BAR_X },
		       { "p", "in the images", BAR_X + 130 },
		       { "z", "zero, or in the file", BAR_X + 280 } };

	fprintf(out,
		"<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%u\" viewBox=\"0 0 %d %u\">\n"
		"<style>text{font:11px monospace;fill:#222}.h{font-weight:bold}.e{text-anchor:end}"
		".z{fill:#e4e4e4}.p{fill:#6f9fd8}.w{fill:#e8833a}</style>\n"
		"<rect width=\"100%%\" height=\"100%%\" fill=\"#fff\"/>\n",
		WIDTH, p->y + LINE, WIDTH, p->y + LINE);
	for (size_t i = 0; i < ARRAY_SIZE(legend); i++)
		fprintf(out,
			"<rect class=\"%s\" x=\"%u\" y=\"8\" width=\"12\" height=\"%u\"/>"
			"<text x=\"%u\" y=\"18\">%s</text>\n",
			legend[i].class, legend[i].x, BAR_HEIGHT, legend[i].x + 18, legend[i].text);
	fprintf(out, "%s</svg>\n", body);
}

int image_map(const char *path, FILE *out, struct diag *diag)
{
	struct picture p = { .diag = diag, .y = LINE };
	_cleanup_free_ char *body = NULL;
	size_t len;
	int ret = image_dir_open(path, &p.dir, diag);

	if (ret)
		return ret;
	p.out = open_memstream(&body, &len);
	ret = p.out ? load_names(&p) : diag_fail(diag, ENOMEM, "out of memory");
	if (!ret)
		ret = draw_all(&p);
	if (p.out && fclose(p.out) && !ret)
		ret = diag_fail(diag, ENOMEM, "out of memory for the picture of %s", path);
	if (!ret)
		put_picture(&p, body, out);
	for (size_t i = 0; i < p.nr_files; i++)
		free(p.files[i].name);
	free(p.files);
	image_dir_close(p.dir);
	return ret;
}
