// SPDX-License-Identifier: GPL-2.0-only
/* modes: plain eager lazy twice new-pidns */
/*
 * Pseudo terminals: settings, window size, packet mode; a session with a controlling terminal, a job in its foreground
 * and /dev/tty; hanging up. One terminal is opened and closed before, so that numbers have a hole.
 */
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <termios.h>

#include "harness.h"

#define ROWS 33
#define COLUMNS 111

static int master_of(int *slave)
{
	int fd = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);

	test_check(fd >= 0 && grantpt(fd) == 0 && unlockpt(fd) == 0);
	*slave = open(ptsname(fd), O_RDWR | O_NOCTTY);
	test_check(*slave >= 0);
	return fd;
}

static void check_line(int from, int to, const char *want)
{
	char buf[64];
	ssize_t n;

	test_check(write(from, want, strlen(want)) == (ssize_t)strlen(want));
	n = read(to, buf, sizeof(buf));
	test_check(n == (ssize_t)strlen(want) && !memcmp(buf, want, (size_t)n));
}

/*
 * The job: in the foreground, it reads what is typed; in the background it would be stopped. Like a shell's job it goes
 * to the foreground itself, since it may come to read before the leader has put it there.
 */
static void job(int tty)
{
	char c;

	setpgid(0, 0);
	if (tcsetpgrp(tty, getpgrp()) < 0)
		_exit(2);
	signal(SIGTTOU, SIG_DFL);
	while (read(tty, &c, 1) == 1)
		if (c == 'q')
			_exit(tcgetpgrp(tty) == getpgrp() ? 0 : 1);
	_exit(2);
}

/* The session's leader: waits for its job, and says through the terminal how it ended. */
static void leader(int slave)
{
	int status, tty;
	pid_t child;

	signal(SIGTTOU, SIG_IGN);
	if (setsid() < 0 || ioctl(slave, TIOCSCTTY, 0) < 0)
		_exit(1);
	tty = open("/dev/tty", O_RDWR);
	child = fork();
	if (!child)
		job(tty);
	setpgid(child, child);
	if (tty < 0 || child < 0 || tcsetpgrp(tty, child) < 0 || write(slave, "set\n", 4) != 4)
		_exit(2);
	while (waitpid(child, &status, 0) < 0)
		;
	if (tcsetpgrp(tty, getpid()) < 0 || tcgetsid(slave) != getpid())
		_exit(3);
	dprintf(tty, "job %d\n", status);
	signal(SIGHUP, SIG_DFL);
	for (;;)
		pause();
}

int main(int argc, char **argv)
{
	int hole, hole_slave, plain, plain_slave, packets, packets_slave, control, control_slave, status;
	struct winsize size = { .ws_row = ROWS, .ws_col = COLUMNS };
	struct termios set, got;
	char buf[64], name[64];
	struct stat st;
	pid_t child;

	test_init(argc, argv);
	hole = master_of(&hole_slave);
	plain = master_of(&plain_slave);
	packets = master_of(&packets_slave);
	control = master_of(&control_slave);
	close(hole_slave);
	close(hole);
	test_check(tcgetattr(plain_slave, &set) == 0);
	cfmakeraw(&set);
	set.c_cc[VMIN] = 3;
	set.c_cc[VKILL] = 'k';
	test_check(tcsetattr(plain_slave, TCSANOW, &set) == 0 && ioctl(plain, TIOCSWINSZ, &size) == 0);
	snprintf(name, sizeof(name), "%s", ptsname(plain));
	test_check(chmod(name, 0622) == 0);
	test_check(ioctl(packets, TIOCPKT, &(int){ 1 }) == 0);
	child = fork();
	test_check(child >= 0);
	if (!child) {
		close(control);
		leader(control_slave);
	}
	close(control_slave);
	test_check(read(control, buf, sizeof(buf)) == 5 && !memcmp(buf, "set\r\n", 5));
	test_ready();
	test_wait();
	test_check(!strcmp(ptsname(plain), name) && stat(name, &st) == 0 && (st.st_mode & 0777) == 0622);
	test_check(tcgetattr(plain_slave, &got) == 0 && got.c_lflag == set.c_lflag && got.c_iflag == set.c_iflag &&
		   got.c_oflag == set.c_oflag && got.c_cflag == set.c_cflag && !memcmp(got.c_cc, set.c_cc, NCCS));
	memset(&size, 0, sizeof(size));
	test_check(ioctl(plain_slave, TIOCGWINSZ, &size) == 0 && size.ws_row == ROWS && size.ws_col == COLUMNS);
	test_check(fcntl(plain, F_GETFD) == FD_CLOEXEC && fcntl(plain_slave, F_GETFD) == 0);
	check_line(plain_slave, plain, "to the master");
	check_line(plain, plain_slave, "to the slave");
	test_check(write(packets_slave, "p", 1) == 1 && read(packets, buf, sizeof(buf)) == 2 && !buf[0] &&
		   buf[1] == 'p');
	test_check(write(control, "xq\n", 3) == 3);
	for (char *at = buf;;) { /* the echo comes first */
		ssize_t n = read(control, at, sizeof(buf) - (size_t)(at - buf) - 1);

		test_check(n > 0);
		at += n;
		*at = '\0';
		if (strstr(buf, "job 0\r\n"))
			break;
		test_check(!strstr(buf, "job 2") && !strstr(buf, "job 5"));
	}
	test_check(close(control) == 0); /* the leader is hung up on */
	test_check(waitpid(child, &status, 0) == child && WIFSIGNALED(status) && WTERMSIG(status) == SIGHUP);
	test_pass();
}
