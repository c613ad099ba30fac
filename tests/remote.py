# SPDX-License-Identifier: GPL-2.0-only
"""What the tests of remote dumps and restores share: page servers, clients, and a proxy that delays and cuts."""
import contextlib
import ctypes
import fcntl
import mmap
import os
import select
import shutil
import socket
import struct
import subprocess
import threading
import time
import traceback

import thawtest
from thawtest import Failure, check, tail

FIRST_PORT = 7700
_ports = iter(range(FIRST_PORT, FIRST_PORT + 2000))


def free_port():
    """The namespace is the test's own: nobody else takes ports."""
    return next(_ports)


def peer_pipes():
    """CRIU's page server wants a pipe of 256 MiB, which takes CAP_SYS_RESOURCE or this."""
    with contextlib.suppress(OSError), open("/proc/sys/fs/pipe-max-size", "r+") as f:
        if int(f.read()) < 1 << 30:
            f.seek(0)
            f.write(str(1 << 30))


class Service:
    """A command in the background that says on a descriptor when it listens."""

    def __init__(self, tool, name, images, *options):
        os.makedirs(images, exist_ok=True)
        self.images, self.log = images, os.path.join(images, f"{name}.log")
        self.out = os.path.join(images, f"{name}.out")
        r, w = os.pipe()
        with open(self.out, "w") as out:
            self.child = subprocess.Popen(tool.command(name, images, "--status-fd", str(w), *options),
                                          stdin=subprocess.DEVNULL, stdout=out, stderr=out, pass_fds=[w])
        os.close(w)
        said = os.read(r, 1)
        os.close(r)
        self.pid = self.child.pid
        if not said:
            raise Failure(f"{name} ended with {self.child.wait()}: {self.said()}")
        self.child.returncode = 0  # it is waited for by pid

    def wait(self):
        """Wait for its end. Returns its exit status, negative for a signal."""
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])

    def kill(self, sig):
        os.kill(self.pid, sig)

    def said(self):
        return tail(self.out) + tail(self.log, 12)


class PageServer(Service):
    def __init__(self, tool, images, *options):
        if not tool.own_server:
            peer_pipes()
        self.port = free_port()
        super().__init__(tool, "page-server", images, *self.where(), *options)

    def where(self):
        return "--address", "127.0.0.1", "--port", str(self.port)


class Source(Service):
    """A dump that serves its memory."""

    def __init__(self, tool, pid, images, *options):
        if not tool.own_server:
            peer_pipes()
        self.port = free_port()
        super().__init__(tool, "dump", images, "-t", str(pid), "--lazy-pages", *self.where(), *options)

    def where(self):
        return "--address", "127.0.0.1", "--port", str(self.port)


def dump(tool, pid, images, *options):
    """A dump that may fail. Returns (status, what it said)."""
    os.makedirs(images, exist_ok=True)
    return tool.run("dump", images, "-t", str(pid), "--address", "127.0.0.1", *options)


def merge(pages, images):
    """Put what a page server received beside the other images."""
    for name in os.listdir(pages):
        if name.startswith("page") and not name.startswith("page-server"):
            shutil.move(os.path.join(pages, name), images)


class Switch:
    """A number that processes on all hosts see: 0 all goes on, 1 the network is silent, 2 it is broken for good."""

    def __init__(self):
        self.memory = mmap.mmap(-1, 1)

    def set(self, value):
        self.memory[0] = value

    def get(self):
        return self.memory[0]


class Proxy:
    """Passes connections on to a port, each byte @delay seconds late and at most @rate bytes a second; breaks all
    connections once, after @cut_after bytes; keeps silent or breaks as @hold says; waits @stall() before each piece."""

    def __init__(self, port, delay=0.0, rate=None, cut_after=None, stall=None, hold=None, host="127.0.0.1",
                 listen="127.0.0.1"):
        self.target, self.delay, self.rate, self.stall, self.hold = (host, port), delay, rate, stall, hold
        self.cut_after, self.passed, self.connections = cut_after, 0, []
        self.lock = threading.Lock()
        self.server = socket.create_server((listen, 0))
        self.port = self.server.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def _state(self):
        return self.hold.get() if self.hold else 0

    def _accept(self):
        while True:
            try:
                near, _ = self.server.accept()
                far = socket.create_connection(self.target) if self._state() != 2 else None
            except OSError:
                near = far = None
            if not far:
                if self.server.fileno() < 0:
                    return
                if near:
                    near.close()
                continue
            for s in near, far:
                s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self.lock:
                self.connections.append((near, far))
            for a, b in (near, far), (far, near):
                threading.Thread(target=self._pump, args=(a, b), daemon=True).start()

    def _send(self, b, data):
        while self._state() == 1:
            time.sleep(0.005)
        if self._state() == 2:
            self.cut()
        b.sendall(data)
        if self.rate:
            time.sleep(len(data) / self.rate)

    def _pump(self, a, b):
        """One direction. A delay is kept by a queue of pieces that are due later, so that it costs no bandwidth."""
        queue, ended = [], False
        try:
            while queue or not ended:
                due = queue[0][0] - time.monotonic() if queue else None
                if due is not None and due <= 0:
                    self._send(b, queue.pop(0)[1])
                    continue
                room = not ended and len(queue) < 256
                if not select.select([a] if room else [], [], [], due)[0]:
                    continue
                data = a.recv(1 << 17)
                ended = not data
                self.passed += len(data)
                if self.cut_after is not None and self.passed > self.cut_after:
                    self.cut_after = None
                    self.cut()
                    return
                wait = self.delay + (self.stall() if self.stall else 0)
                if wait or queue:
                    queue.append((time.monotonic() + wait, data))
                elif data:
                    self._send(b, data)
            b.shutdown(socket.SHUT_WR)
        except (OSError, ValueError):
            pass

    def cut(self):
        """Break all connections at once; new ones are taken."""
        with self.lock:
            broken, self.connections = self.connections, []
        for pair in broken:
            for s in pair:
                with contextlib.suppress(OSError):
                    s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    s.shutdown(socket.SHUT_RDWR)
                    s.close()

    def close(self):
        with contextlib.suppress(OSError):
            self.server.shutdown(socket.SHUT_RDWR)
        self.server.close()
        self.cut()


CLONE_NEWNS, CLONE_NEWNET, CLONE_NEWPID = 0x20000, 0x40000000, 0x20000000


def _unshare(flags):
    libc = ctypes.CDLL(None, use_errno=True)
    check(libc.unshare(flags) == 0, f"unshare: {os.strerror(ctypes.get_errno())}")


def _first_process(work, flags, out):
    """The first process of a host: all orphans there are its children."""
    status = 1
    try:
        subprocess.run(["mount", "-t", "proc", "proc", "/proc"], check=True)
        with open("/proc/sys/kernel/ns_last_pid", "w") as f:
            f.write("20000")  # out of the way of those that are restored
        if flags & CLONE_NEWNET:
            loopback_up()
        work()
        status = 0
    except Failure as e:
        os.write(out, str(e).encode())
    except BaseException:
        os.write(out, traceback.format_exc().encode())
    os._exit(status)


class Host:
    """Another host: namespaces of its own, in which a function runs. The files are the same."""

    def __init__(self, work, net=False):
        self.said, w = os.pipe()
        flags = CLONE_NEWPID | CLONE_NEWNS | (CLONE_NEWNET if net else 0)
        self.ready, go = os.pipe(), os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            try:
                _unshare(flags & ~CLONE_NEWPID)
                subprocess.run(["mount", "--make-rprivate", "/"], check=True)
                _unshare(CLONE_NEWPID)  # whoever is forked next is its first process
                os.write(self.ready[1], b"1")
                os.read(go[0], 1)
                first = os.fork()
                if first == 0:
                    _first_process(work, flags, w)
                os._exit(0 if os.waitpid(first, 0)[1] == 0 else 1)
            except BaseException:
                os.write(w, traceback.format_exc().encode())
                os._exit(2)
        os.close(w)
        check(os.read(self.ready[0], 1), "no other host")
        self._go = go[1]

    def wire(self, here="10.77.0.1", there="10.77.0.2"):
        """Join its network to ours by a pair of devices."""
        name = f"to{self.pid}"
        inside = ["nsenter", "-t", str(self.pid), "-n"]
        for words in (["ip", "link", "add", name, "type", "veth", "peer", "name", "eth0", "netns", str(self.pid)],
                      ["ip", "addr", "add", f"{here}/24", "dev", name], ["ip", "link", "set", name, "up"],
                      [*inside, "ip", "addr", "add", f"{there}/24", "dev", "eth0"],
                      [*inside, "ip", "link", "set", "eth0", "up"]):
            subprocess.run(words, check=True)
        return self

    def start(self):
        """Let it begin; before, its network can be wired."""
        os.write(self._go, b"1")
        return self

    def wait(self):
        """Wait until its function is through. A failure there is one here."""
        status = os.waitpid(self.pid, 0)[1]
        text = b""
        while piece := os.read(self.said, 65536):
            text += piece
        check(status == 0 and not text, f"on the other host: {text.decode(errors='replace')}")


def loopback_up(name="lo"):
    with socket.socket() as s:
        fcntl.ioctl(s, 0x8914, struct.pack("16sh14x", name.encode(), 0x1 | 0x40))


def restore(tool, images, source):
    """Restore lazily with the server that listens already. Returns the root's pid."""
    pidfile = os.path.join(images, "restored.pid")
    with contextlib.suppress(FileNotFoundError):
        os.unlink(pidfile)
    tool.must("restore", images, "-d", "--lazy-pages", "--pidfile", pidfile)
    with open(pidfile) as f:
        return int(f.read())


def others_end(*but):
    """Wait until all our children but some have ended; a failure of theirs is one."""
    while thawtest.children() - set(but):
        pid, status = os.wait()
        check(not status and pid not in but, f"process {pid} ended with status {status}")


class Authority:
    """Signs certificates for tests."""

    def __init__(self, directory, name="test authority"):
        os.makedirs(directory, exist_ok=True)
        self.dir, self.cert = directory, os.path.join(directory, "ca.pem")
        self.key = os.path.join(directory, "ca.key")
        self._openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
                      "-subj", f"/CN={name}", "-keyout", self.key, "-out", self.cert)

    @staticmethod
    def _openssl(*words):
        done = subprocess.run(["openssl", *words], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True)
        check(done.returncode == 0, f"openssl {words[0]}: {done.stdout}")

    def options(self, who, address="127.0.0.1"):
        """The options of a command that shows a certificate for @address."""
        base = os.path.join(self.dir, who)
        with open(f"{base}.ext", "w") as f:
            f.write(f"subjectAltName=IP:{address},DNS:{who}\n")
        self._openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-subj",
                      f"/CN={address}", "-keyout", f"{base}.key", "-out", f"{base}.csr")
        self._openssl("x509", "-req", "-in", f"{base}.csr", "-CA", self.cert, "-CAkey", self.key, "-CAcreateserial",
                      "-days", "2", "-extfile", f"{base}.ext", "-out", f"{base}.pem")
        return ["--tls", "--tls-cacert", self.cert, "--tls-cert", f"{base}.pem", "--tls-key", f"{base}.key"]
