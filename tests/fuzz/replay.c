// SPDX-License-Identifier: GPL-2.0-only
/* In place of libFuzzer: give each file that is named to the fuzz target, once. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/util.h"
#include "tests/fuzz/fuzz.h"

int main(int argc, char **argv)
{
	for (int i = 1; i < argc; i++) {
		int fd = open(argv[i], O_RDONLY);
		struct stat st;
		uint8_t *data;
		ssize_t len;

		if (fd < 0 || fstat(fd, &st) || !S_ISREG(st.st_mode)) {
			fprintf(stderr, "cannot read the file %s\n", argv[i]);
			return 1;
		}
		data = malloc((size_t)st.st_size + 1);
		len = data ? full_read(fd, data, (size_t)st.st_size) : -1;
		if (len >= 0)
			LLVMFuzzerTestOneInput(data, (size_t)len);
		free(data);
		close(fd);
	}
	printf("%d files\n", argc - 1);
	return 0;
}
