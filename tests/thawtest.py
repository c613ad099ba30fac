# SPDX-License-Identifier: GPL-2.0-only
"""What the test scripts share: the tool under test, programs that are dumped, waiting without sleeping."""
import contextlib
import ctypes
import os
import select
import signal
import subprocess
import sys
import threading
import time

TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
BUILD = os.path.join(TOP, os.environ.get("BUILD", "build"))
THAW = os.environ.get("THAW", os.path.join(BUILD, "thaw"))
PEER = os.environ.get("PEER", os.path.join(TOP, "build/peer/criu"))


class Failure(Exception):
    """The test has failed; the text says why."""


class Skip(Exception):
    """The test cannot run here; the text says why."""


def become_subreaper():
    """Orphans of the namespace become our children, so that their ends can be waited for."""
    ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)


def check(condition, why):
    if not condition:
        raise Failure(why)


def rounds(default):
    """How often a test repeats: ROUNDS in the environment, or its own figure."""
    return int(os.environ.get("ROUNDS", default))


def tail(path, lines=8):
    try:
        with open(path, errors="replace") as f:
            return "".join(f.readlines()[-lines:])
    except OSError as e:
        return f"({e})\n"


class Tool:
    """Thaw, or a CRIU to compare with: the command line is the same, but CRIU's server is started by hand."""

    def __init__(self, path=THAW, verbosity=4):
        self.path, self.verbosity = path, verbosity
        self.own_server = not os.path.basename(path).startswith("criu")

    def command(self, name, images, *options):
        return [self.path, name, "-D", images, "-o", f"{name}.log", f"-v{self.verbosity}", *options]

    def run(self, name, images, *options):
        """Run a command to its end. Returns (exit status, what it said)."""
        done = subprocess.run(self.command(name, images, *options), stdin=subprocess.DEVNULL, text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, errors="replace")
        return done.returncode, done.stdout

    def image(self, *words):
        """thaw image ...: returns (exit status, what it said)."""
        done = subprocess.run([self.path, "image", *words], stdin=subprocess.DEVNULL, text=True, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, errors="replace")
        return done.returncode, done.stdout

    def must(self, name, images, *options):
        status, said = self.run(name, images, *options)
        if status:
            log = os.path.join(images, f"{name}.log")
            raise Failure(f"{os.path.basename(self.path)} {name} ended with {status}: {said}{tail(log, 5)}{log}")

    def dump(self, pid, images, *options):
        os.makedirs(images, exist_ok=True)
        self.must("dump", images, "-t", str(pid), *options)

    def restore(self, images, *options, lazy=False):
        """Restore detached. Returns the pid of the root."""
        pidfile = os.path.join(images, "restored.pid")
        if os.path.exists(pidfile):
            os.unlink(pidfile)
        if lazy:
            options = ("--lazy-pages", *options)
            if self.own_server:
                options = ("--stats", self.stats_file(images), *options)
            else:
                self.serve(images)
        self.must("restore", images, "-d", "--pidfile", pidfile, *options)
        with open(pidfile) as f:
            return int(f.read())

    @staticmethod
    def stats_file(images):
        return os.path.join(images, "lazy-pages.json")

    def serve(self, images, *options):
        """Start a lazy-pages server of its own and wait until it listens. Returns its pid."""
        r, w = os.pipe()
        with open(os.path.join(images, "lazy-pages.out"), "w") as out:
            server = subprocess.Popen(self.command("lazy-pages", images, "--status-fd", str(w), *options),
                                      stdin=subprocess.DEVNULL, stdout=out, stderr=out, pass_fds=[w])
        os.close(w)
        said = os.read(r, 1)
        os.close(r)
        if not said:
            raise Failure(f"the server ended with {server.wait()}: {tail(out.name)}")
        server.returncode = 0  # it is waited for by pid
        return server.pid


def numbers(pid):
    """The numbers that a process has, from here inwards."""
    with open(f"/proc/{pid}/status") as f:
        return next(list(map(int, line.split()[1:])) for line in f if line.startswith("NSpid:"))


@contextlib.contextmanager
def squatter(pid):
    """Some other process that has that pid."""
    with open("/proc/sys/kernel/ns_last_pid", "w") as f:
        f.write(str(pid - 1))
    child = subprocess.Popen(["sleep", "infinity"], stdin=subprocess.DEVNULL)
    check(child.pid == pid, f"wanted pid {pid} for another process, got {child.pid}")
    try:
        yield
    finally:
        child.kill()
        child.wait()


def open_and_wait(pid):
    """Wait until a process that need not be our child has ended."""
    try:
        fd = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    select.select([fd], [], [])
    os.close(fd)


def alive(pid):
    """Is there such a process, zombies not counted?"""
    try:
        with open(f"/proc/{pid}/stat") as f:
            return f.read().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def wait_exit(pid):
    """Wait for a child, or an orphan that has become ours. Returns its exit status, negative for a signal."""
    try:
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    except ChildProcessError:
        open_and_wait(pid)
        return None


def reap_all():
    """Wait until no process but this one is left in the namespace. Returns {pid: status} of those that failed."""
    failed = {}
    while True:
        try:
            pid, status = os.wait()
        except ChildProcessError:
            return failed
        if status:
            failed[pid] = os.waitstatus_to_exitcode(status)


def children():
    with open(f"/proc/self/task/{threading.get_native_id()}/children") as f:
        return set(map(int, f.read().split()))


def children_of(pid):
    """In the order of their births; none when it has ended."""
    try:
        with open(f"/proc/{pid}/task/{pid}/children") as f:
            return list(map(int, f.read().split()))
    except OSError:
        return []


def shares_memory(pid, other):
    """kcmp(2): as what the leak sanitizer starts at the end of a process does."""
    return ctypes.CDLL(None).syscall(312, pid, other, 1, 0, 0) == 0


def kill_server(guardian, sig=signal.SIGKILL):
    """The guardian's children are its deputy and, last, the server. Raises ProcessLookupError when there is none."""
    services = [pid for pid in children_of(guardian) if not shares_memory(pid, guardian)]
    if len(services) < 2:
        raise ProcessLookupError(f"the guardian {guardian} has no server")
    os.kill(services[-1], sig)


def kill_children():
    """End whoever has become our child, and theirs that become it."""
    while children():
        for pid in children():
            os.kill(pid, signal.SIGKILL)
        os.wait()


def wait_drained(root):
    """Wait until all our children but the restored root have ended: the lazy-pages server, above all."""
    failed = {}
    while True:
        if not children() - {root}:
            check(not failed, f"processes ended with a failure: {failed}")
            return
        pid, status = os.wait()
        check(pid != root, f"the restored process {root} ended, status {status}")
        if status:
            failed[pid] = os.waitstatus_to_exitcode(status)


def nothing_left(why, but=()):
    """After a failed restore: all its processes have ended, at the latest in a moment."""
    def ended():
        while children() - set(but) and os.waitpid(-1, os.WNOHANG)[0]:
            pass
        return not children() - set(but)
    try:
        wait_until("the end", ended, 10)
    except Failure:
        raise Failure(f"{why}: processes are left\n{proc_report()}\nfail: {why}: processes are left") from None


def wait_until(what, condition, seconds=30):
    """For states that nothing announces."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise Failure(f"waited {seconds} s for {what}")
        time.sleep(0.005)


def wait_unconnected(pid):
    """Wait until a server has no TCP connection any more: until each socket that it has open is one that listens. A
    client that is through has closed its own end only, and a closed socket that is still open is in no table."""
    def only_listens():
        with open("/proc/net/tcp") as f:
            listening = {f"socket:[{row[9]}]" for row in map(str.split, f) if row[3] == "0A"}
        return sockets(pid) <= listening
    wait_until(f"the end of the connections of process {pid}", only_listens)


def sockets(pid):
    """The sockets that a process has open, as their links in /proc name them."""
    found = set()
    for fd in os.listdir(f"/proc/{pid}/fd"):
        with contextlib.suppress(FileNotFoundError):  # closed since
            found.add(os.readlink(f"/proc/{pid}/fd/{fd}"))
    return {link for link in found if link.startswith("socket:")}


class Program:
    """A program of tests/programs, started in a session of its own."""

    def __init__(self, name, directory, uid=None, seed=None):
        self.name = name
        self.dir = directory
        os.makedirs(directory, exist_ok=True)
        if uid:
            os.chmod(directory, 0o777)
        self.result = os.path.join(directory, "result")
        fifo = os.path.join(directory, "ready")
        if not os.path.exists(fifo):
            os.mkfifo(fifo)
            os.chmod(fifo, 0o666)
        env = dict(os.environ, TEST_SEED=str(seed or 1))
        self.output = os.path.join(directory, "output")
        if uid and os.path.exists(self.output):
            os.unlink(self.output)
        with open(self.output, "w") as out:
            child = subprocess.Popen([os.path.join(BUILD, "programs", name), self.result, fifo], env=env, cwd=directory,
                                     stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True,
                                     user=uid, group=uid, extra_groups=[] if uid else None)
        child.returncode = 0  # it is waited for by pid, also after it was restored
        self.pid = child.pid
        with open(fifo) as f:
            said = f.readline()
        if said != "ready\n":
            wait_exit(self.pid)
            verdict = self.verdict()
            if verdict.startswith("skip: "):
                raise Skip(verdict[6:])
            raise Failure(f"{name} did not get ready: {verdict} {tail(self.output)}")

    def verdict(self):
        try:
            with open(self.result) as f:
                return f.read().strip()
        except OSError:
            return "no verdict"

    def gone(self):
        """After a dump that kills the tree: take the zombies, so that the pids are free."""
        status = reap_all().get(self.pid)
        check(status == -signal.SIGKILL, f"after the dump {self.name} ended with {status}, not by SIGKILL; "
                                         f"{self.verdict()}")

    def verify(self):
        """Tell it to verify its state, and take the verdict."""
        check(not os.path.exists(self.result), f"{self.name}, before it was told to verify: {self.verdict()}")
        os.kill(self.pid, signal.SIGUSR2)
        status = wait_exit(self.pid)
        verdict = self.verdict()
        check(verdict == "pass" and not status, f"{self.name}: {verdict}, ended with {status} {tail(self.output)}")
        os.unlink(self.result)


def proc_report():
    """What the processes of the namespace are doing, for the log of a test that hangs."""
    lines = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/cmdline") as f:
                lines.append(f"{pid}: {f.read().replace(chr(0), ' ')}")
            for tid in os.listdir(f"/proc/{pid}/task"):
                facts = []
                for name in ("stat", "wchan", "syscall"):
                    with open(f"/proc/{pid}/task/{tid}/{name}") as f:
                        facts.append(f.read().strip()[:100])
                lines.append(f"  {tid}: {' | '.join(facts)}")
        except OSError:
            continue
    return "\n".join(lines)


def script(cases):
    """The main program of a test script: argv[1] names the case. Exits with 0, 1 or 77, the reason on stdout."""
    name = sys.argv[1] if len(sys.argv) > 1 else None
    if name not in cases:
        sys.exit(f"Usage: {sys.argv[0]} {'|'.join(cases)}; run it through tests/run")
    directory = os.environ.get("TEST_DIR")
    if not directory:
        sys.exit("run this through tests/run")
    become_subreaper()
    try:
        cases[name](directory)
    except Skip as e:
        print(f"skip: {e}")
        sys.exit(77)
    except Failure as e:
        print(f"fail: {e}")
        sys.exit(1)
