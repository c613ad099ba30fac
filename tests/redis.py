# SPDX-License-Identifier: GPL-2.0-only
"""A redis-server of our own, and as much of a client as tests and demo need."""
import random
import socket
import subprocess

from thawtest import Failure, alive, check, tail, wait_until

VALUE_BYTES = 1024


class Error(Exception):
    """What redis answers with a minus sign."""


class Client:
    """One connection; commands in, replies out (RESP2)."""

    def __init__(self, port, timeout=60):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=timeout)
        self.file = self.socket.makefile("rb")

    def close(self):
        """When this returns, the server has closed its end too."""
        self.socket.sendall(self.encode("QUIT"))
        while self.file.read(4096):
            pass
        self.file.close()
        self.socket.close()

    @staticmethod
    def encode(*words):
        words = [w if isinstance(w, bytes) else str(w).encode() for w in words]
        return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(w), w) for w in words)

    def reply(self):
        line = self.file.readline()
        if not line.endswith(b"\r\n"):
            raise ConnectionError("redis closed the connection")
        kind, rest = line[:1], line[1:-2]
        if kind == b"-":
            raise Error(rest.decode())
        if kind == b"$":
            return None if rest == b"-1" else self.file.read(int(rest) + 2)[:-2]
        if kind == b"*":
            return [self.reply() for _ in range(int(rest))]
        return int(rest) if kind == b":" else rest.decode()

    def command(self, *words):
        self.socket.sendall(self.encode(*words))
        return self.reply()


class Values:
    """The keys and their values: random bytes that depend on the key's number."""

    def __init__(self, count, seed=1):
        self.count = count
        self.pool = random.Random(seed).randbytes(1 << 20)

    def key(self, number):
        return b"key:%d" % number

    def value(self, number):
        start = number * 7919 % (len(self.pool) - VALUE_BYTES)
        return b"%016d" % number + self.pool[start:start + VALUE_BYTES - 16]

    def load(self, client, batch=1000):
        for first in range(0, self.count, batch):
            numbers = range(first, min(first + batch, self.count))
            client.socket.sendall(b"".join(client.encode(b"SET", self.key(n), self.value(n)) for n in numbers))
            for _ in numbers:
                client.reply()

    def verify_one(self, client, number):
        got = client.command("GET", self.key(number))
        check(got == self.value(number), f"redis answers key {number} with {got and got[:40]!r}")


class Server:
    """redis-server on loopback, without a configuration file, with its data under `directory`."""

    def __init__(self, directory, port, *options):
        self.port = port
        self.output = f"{directory}/redis.log"
        with open(self.output, "w") as out:
            child = subprocess.Popen(["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--dir", directory,
                                      "--save", "", "--enable-debug-command", "yes", "--daemonize", "no", *options],
                                     stdin=subprocess.DEVNULL, stdout=out, stderr=out, cwd=directory,
                                     start_new_session=True)
        child.returncode = 0  # it is waited for by pid, also after it was restored
        self.pid = child.pid

    def connect(self):
        """Connect as soon as it listens."""
        found = []

        def try_it():
            if not alive(self.pid):
                raise Failure(f"redis-server has ended: {tail(self.output)}")
            try:
                found.append(Client(self.port))
            except ConnectionRefusedError:
                return False
            return True
        wait_until("redis-server to listen", try_it)
        return found[0]
