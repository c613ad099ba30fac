# SPDX-License-Identifier: GPL-2.0-only
"""What the tests of real programs share: a program in a session of its own, dumped and restored while it works."""
import contextlib
import os
import signal
import socket
import subprocess
import urllib.request

import thawtest
from thawtest import Failure, Tool, alive, check, tail, wait_until

TCP_TIME_WAIT, TCP_LISTEN = 6, 10


class App:
    """A program, the root of the tree that is dumped. All it says goes to a file in `directory`."""

    def __init__(self, directory, argv, user=None, env=None, stdin=subprocess.DEVNULL, **popen):
        self.dir, self.argv, self.rounds = directory, argv, 0
        self.output = os.path.join(directory, "output")
        with open(self.output, "w") as out:
            child = subprocess.Popen(argv, cwd=directory, stdin=stdin, stdout=out, stderr=out, user=user, group=user,
                                     extra_groups=[] if user else None, env=dict(os.environ, **(env or {})),
                                     start_new_session=True, **popen)
        child.returncode = 0  # it is waited for by pid, also after it was restored
        self.pid = child.pid
        self.tool = Tool()

    def wait_for(self, what, condition):
        """Wait for what the program does, as long as it lives."""
        def look():
            if not alive(self.pid):
                raise Failure(f"{self.argv[0]} has ended, waiting for {what}: {tail(self.output)}")
            return condition()
        wait_until(what, look)

    def cycle(self, lazy, dump=(), restore=()):
        """Dump it, and restore it; after a lazy restore before only when its memory has arrived."""
        if self.rounds:
            self.drained()
        images = os.path.join(self.dir, f"images{self.rounds}")
        self.rounds += 1
        self.tool.dump(self.pid, images, *dump)
        failed = self.reap()
        check(failed == -signal.SIGKILL, f"after the dump {self.argv[0]} ended with {failed}, not by SIGKILL")
        pid = self.tool.restore(images, *restore, lazy=lazy)
        check(pid == self.pid, f"restored as {pid}, was {self.pid}")

    def reap(self):
        """Wait until nothing of it is left. Returns the root's status."""
        return thawtest.reap_all().get(self.pid, 0)

    def tail(self):
        """The last that it said."""
        return tail(self.output)

    def kill(self):
        """End it and all its children."""
        children = [self.pid]
        for pid in children:
            with contextlib.suppress(FileNotFoundError):
                for tid in os.listdir(f"/proc/{pid}/task"):
                    with open(f"/proc/{pid}/task/{tid}/children") as f:
                        children.extend(map(int, f.read().split()))
        for pid in children:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        thawtest.reap_all()

    def drained(self):
        """After a lazy restore: wait until the server has done its work, and check that it has."""
        thawtest.wait_drained(self.pid)

    def end(self, sig=signal.SIGTERM, status=0):
        """Tell it to end, and check how it does."""
        os.kill(self.pid, sig)
        failed = thawtest.reap_all()
        got = failed.pop(self.pid, 0)
        check(got == status, f"{self.argv[0]} ended with {got}, not {status}: {tail(self.output)}")
        check(not failed, f"processes ended with a failure: {failed}")


def get(port, path="/"):
    """What a HTTP server on loopback answers."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=20) as reply:
        return reply.read()


def say(port, words=b""):
    """Send words to a program that listens on loopback, and return all that it answers."""
    with socket.create_connection(("127.0.0.1", port), timeout=20) as s:
        s.sendall(words)
        s.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: s.recv(65536), b""))


def tcp_states(port):
    """The states of all TCP sockets that are bound to this port of loopback, asked without connecting."""
    states = []
    for table in "/proc/net/tcp", "/proc/net/tcp6":
        with open(table) as f:
            rows = [line.split() for line in f][1:]
        states += [int(row[3], 16) for row in rows if row[1].endswith(f":{port:04X}")]
    return states


def listens(port):
    return TCP_LISTEN in tcp_states(port)


def quiet(port):
    """Wait until the connections to this port are over."""
    wait_until(f"the end of all connections to port {port}",
               lambda: not set(tcp_states(port)) - {TCP_LISTEN, TCP_TIME_WAIT})


def modes(run):
    """The main program of a test: eager and lazy."""
    thawtest.script({"eager": lambda d: run(d, False), "lazy": lambda d: run(d, True)})
