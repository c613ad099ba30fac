// SPDX-License-Identifier: GPL-2.0-only
#include "criu-like/inspect/build_id.h"

#include <elf.h>
#include <errno.h>
#include <string.h>

#include "common/util.h"

#define NOTES_MAX 4096 /* build-ids stand in the first of few notes */
#define ALIGN4(x) (((size_t)(x) + 3) & ~(size_t)3)

static int find_note(const uint8_t *notes, size_t len, uint8_t *id)
{
	size_t at = 0;

	while (at + sizeof(Elf64_Nhdr) <= len) {
		Elf64_Nhdr n;
		size_t name = at + sizeof(n), desc;

		memcpy(&n, notes + at, sizeof(n));
		if (n.n_namesz > NOTES_MAX || n.n_descsz > NOTES_MAX)
			return 0;
		desc = name + ALIGN4(n.n_namesz);
		at = desc + ALIGN4(n.n_descsz);
		if (desc + n.n_descsz > len)
			return 0;
		if (n.n_type != NT_GNU_BUILD_ID || n.n_namesz != 4 || memcmp(notes + name, "GNU", 4) != 0)
			continue;
		if (n.n_descsz > BUILD_ID_MAX)
			return 0;
		memcpy(id, notes + desc, n.n_descsz);
		return (int)n.n_descsz;
	}
	return 0;
}

int build_id_read(int fd, uint8_t *id)
{
	uint8_t notes[NOTES_MAX];
	Elf64_Ehdr eh;
	ssize_t got = full_pread(fd, &eh, sizeof(eh), 0);

	if (got == -EISDIR)
		return 0;
	if (got < 0)
		return (int)got;
	if (got < (ssize_t)sizeof(eh) || memcmp(eh.e_ident, ELFMAG, SELFMAG) != 0 ||
	    eh.e_ident[EI_CLASS] != ELFCLASS64 || eh.e_phentsize != sizeof(Elf64_Phdr))
		return 0;
	for (unsigned i = 0; i < eh.e_phnum; i++) {
		Elf64_Phdr ph;
		int len;

		got = full_pread(fd, &ph, sizeof(ph), (off_t)(eh.e_phoff + i * sizeof(ph)));
		if (got < (ssize_t)sizeof(ph))
			return got < 0 ? (int)got : 0;
		if (ph.p_type != PT_NOTE)
			continue;
		got = full_pread(fd, notes, MIN(ph.p_filesz, sizeof(notes)), (off_t)ph.p_offset);
		if (got < 0)
			return (int)got;
		len = find_note(notes, (size_t)got, id);
		if (len)
			return len;
	}
	return 0;
}
