// SPDX-License-Identifier: GPL-2.0-only
/* modes: plain eager lazy leave-running twice user new-pidns-lazy */
/*
 * One open file in several processes is one after the restore: a position that one moves is moved for all. Each process
 * has its own numbers, holes and close-on-exec flags.
 */
#include <sys/wait.h>

#include "harness.h"

#define CHILDREN 4

/* The n-th child knows the file by another number only, and reads a byte when it is asked to. */
static void child(int n, int shared, int ask, int answer)
{
	int own = dup2(shared, 50 + 10 * n);
	char c;

	if (own < 0 || close(shared) < 0 || (n % 2 && fcntl(own, F_SETFD, FD_CLOEXEC) < 0))
		_exit(1);
	while (read(ask, &c, 1) == 1)
		if (read(own, &c, 1) != 1 || write(answer, &c, 1) != 1)
			_exit(2);
	_exit(fcntl(own, F_GETFD) == (n % 2 ? FD_CLOEXEC : 0) && fcntl(shared, F_GETFD) < 0 ? 0 : 3);
}

int main(int argc, char **argv)
{
	int shared, ask[CHILDREN][2], answer[CHILDREN][2], status;
	pid_t pids[CHILDREN];
	char name[4096], c;

	test_init(argc, argv);
	snprintf(name, sizeof(name), "%s.data", argv[1]);
	shared = open(name, O_RDWR | O_CREAT | O_TRUNC, 0600);
	test_check(shared >= 0 && write(shared, "abcdefghijkl", 12) == 12 && lseek(shared, 1, SEEK_SET) == 1);
	for (int i = 0; i < CHILDREN; i++) {
		test_check(pipe(ask[i]) == 0 && pipe(answer[i]) == 0);
		pids[i] = fork();
		test_check(pids[i] >= 0);
		if (!pids[i]) {
			for (int j = 0; j <= i; j++) {
				close(ask[j][1]);
				close(answer[j][0]);
			}
			child(i, shared, ask[i][0], answer[i][1]);
		}
		close(ask[i][0]);
		close(answer[i][1]);
	}
	for (int i = 0; i < CHILDREN; i++) /* all are set up once they answer */
		test_check(write(ask[i][1], "x", 1) == 1 && read(answer[i][0], &c, 1) == 1 && c == "bcde"[i]);
	test_ready();
	test_wait();
	for (int i = 0; i < CHILDREN; i++)
		test_check(write(ask[i][1], "x", 1) == 1 && read(answer[i][0], &c, 1) == 1 && c == "fghi"[i]);
	test_check(lseek(shared, 0, SEEK_CUR) == 9);
	for (int i = 0; i < CHILDREN; i++)
		close(ask[i][1]);
	for (int i = 0; i < CHILDREN; i++)
		test_check(waitpid(pids[i], &status, 0) == pids[i] && status == 0);
	test_pass();
}
