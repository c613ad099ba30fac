# SPDX-License-Identifier: GPL-2.0-only
"""What the tests of real programs share: a program in a session of its own, dumped and restored while it works."""
import contextlib
import http.client
import os
import signal
import socket
import subprocess
import threading
import urllib.request

import thawtest
from thawtest import Failure, Tool, alive, check, tail, wait_until

TCP_LISTEN = 10


class App:
    """A program, the root of the tree that is dumped. All it says goes to a file in `directory`."""

    def __init__(self, directory, argv, user=None, env=None, stdin=subprocess.DEVNULL, **popen):
        self.dir, self.argv, self.rounds = directory, argv, 0
        self.others = set()  # children of ours that are not dumped
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

    def cycle(self, lazy):
        """Dump it, and restore it; after a lazy restore before only when its memory has arrived."""
        images = os.path.join(self.dir, f"images{self.rounds}")
        if self.rounds:
            self.reap(but=self.pid)
        self.rounds += 1
        self.tool.dump(self.pid, images, "--tcp-established")
        status = self.reap().get(self.pid)
        check(status == -signal.SIGKILL, f"after the dump {self.argv[0]} ended with {status}, not by SIGKILL")
        pid = self.tool.restore(images, "--tcp-established", lazy=lazy)
        check(pid == self.pid, f"restored as {pid}, was {self.pid}")

    def reap(self, but=None):
        """Wait until our children have ended: the tree, a lazy-pages server, but for the others that the test has
        started, and the process `but`. Returns {pid: status} of those that failed."""
        failed = {}
        while True:
            left = thawtest.children() - self.others - {but}
            if not left:
                return failed
            for pid in left:
                status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
                if status:
                    failed[pid] = status

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
        self.reap()

    def end(self, sig=signal.SIGTERM, status=0):
        """Tell it to end, and check how it does."""
        os.kill(self.pid, sig)
        failed = self.reap()
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


def listens(port):
    """Does somebody listen at this port? Asks without connecting."""
    for table in "/proc/net/tcp", "/proc/net/tcp6":
        with open(table) as f:
            rows = [line.split() for line in f][1:]
        if any(row[1].endswith(f":{port:04X}") and int(row[3], 16) == TCP_LISTEN for row in rows):
            return True
    return False


class Load:
    """Clients of a HTTP server, each with one connection that lasts, asking as fast as they get answers."""

    def __init__(self, port, path, want, clients=4):
        self.done, self.why, self.stopping = [0] * clients, None, False
        self.threads = [threading.Thread(target=self.run, args=(n, port, path, want)) for n in range(clients)]
        for thread in self.threads:
            thread.start()

    def run(self, number, port, path, want):
        try:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
            connection.connect()
            connection.auto_open = False  # if it breaks, that is an error
            while not self.stopping:
                connection.request("GET", path)
                got = connection.getresponse().read()
                check(want(got), f"the answer was {got[:100]}")
                self.done[number] += 1
            connection.close()
        except (OSError, http.client.HTTPException, Failure) as e:
            self.why = f"client {number}, request {self.done[number]}: {e!r}"

    def goes_on(self, requests=20):
        """Wait until each client has got more answers."""
        before = list(self.done)
        wait_until("answers to all clients",
                   lambda: self.why or all(now >= was + requests for now, was in zip(self.done, before)))
        check(not self.why, self.why)

    def stop(self):
        self.stopping = True
        for thread in self.threads:
            thread.join()
        check(not self.why, self.why)


def modes(run):
    """The main program of a test: eager and lazy."""
    thawtest.script({"eager": lambda d: run(d, False), "lazy": lambda d: run(d, True)})
