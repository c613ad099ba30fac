// SPDX-License-Identifier: GPL-2.0-only
/* What ioctl_tty(2) reads and sets of a terminal, with the kernel's own termios: the C library's has more characters.
 */
#include "criu-like/state/tty_settings.h"

#include <asm/ioctls.h>
#include <asm/termbits.h>

#include "common/arena.h"

/* <sys/ioctl.h> has these too, but does not go together with <asm/termbits.h>. */
struct winsize {
	unsigned short ws_row, ws_col, ws_xpixel, ws_ypixel;
};
extern int ioctl(int fd, unsigned long request, ...);

static TermiosEntry *make_termios(struct dump *d, const struct termios *t)
{
	TermiosEntry *e = arena_alloc(d->arena, sizeof(*e));
	uint32_t *cc = arena_array(d->arena, NCCS, sizeof(*cc));

	if (!e || !cc)
		return NULL;
	termios_entry__init(e);
	e->c_iflag = t->c_iflag;
	e->c_oflag = t->c_oflag;
	e->c_cflag = t->c_cflag;
	e->c_lflag = t->c_lflag;
	e->c_line = t->c_line;
	e->n_c_cc = NCCS; /* so many words, of which the first hold the bytes */
	e->c_cc = cc;
	memcpy(cc, t->c_cc, NCCS);
	return e;
}

int tty_settings_dump(struct seen *s, TtyInfoEntry *e)
{
	struct termios now, locked;
	WinsizeEntry *w = arena_alloc(s->d->arena, sizeof(*w));
	struct winsize size;

	if (!w)
		return no_memory(s->d->diag);
	if (ioctl(s->lfd, TCGETS, &now) < 0 || ioctl(s->lfd, TIOCGLCKTRMIOS, &locked) < 0 ||
	    ioctl(s->lfd, TIOCGWINSZ, &size) < 0)
		return file_fail(s, errno, "reading the terminal's settings");
	winsize_entry__init(w);
	w->ws_row = size.ws_row;
	w->ws_col = size.ws_col;
	w->ws_xpixel = size.ws_xpixel;
	w->ws_ypixel = size.ws_ypixel;
	e->winsize = w;
	e->termios = make_termios(s->d, &now);
	e->termios_locked = make_termios(s->d, &locked);
	return e->termios && e->termios_locked ? 0 : no_memory(s->d->diag);
}

static bool get_termios(const TermiosEntry *e, struct termios *t)
{
	if (!e || e->n_c_cc < (NCCS + 3) / 4)
		return false;
	*t = (struct termios){
		.c_iflag = e->c_iflag,
		.c_oflag = e->c_oflag,
		.c_cflag = e->c_cflag,
		.c_lflag = e->c_lflag,
		.c_line = (cc_t)e->c_line,
	};
	memcpy(t->c_cc, e->c_cc, NCCS);
	return true;
}

int tty_settings_restore(int fd, const TtyInfoEntry *e)
{
	struct termios now, locked;
	struct winsize size = { 0 };

	if (e->winsize)
		size = (struct winsize){ (unsigned short)e->winsize->ws_row, (unsigned short)e->winsize->ws_col,
					 (unsigned short)e->winsize->ws_xpixel, (unsigned short)e->winsize->ws_ypixel };
	if ((get_termios(e->termios, &now) && ioctl(fd, TCSETS, &now) < 0) ||
	    (e->winsize && ioctl(fd, TIOCSWINSZ, &size) < 0) ||
	    (get_termios(e->termios_locked, &locked) && ioctl(fd, TIOCSLCKTRMIOS, &locked) < 0))
		return -1;
	return 0;
}
