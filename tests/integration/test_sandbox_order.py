"""The sandbox stands before the first octet from outside: the order of each process's system calls, as strace sees it.

What test_sandbox.py and test_taken_over.py show of the sandbox is worth nothing for what a process has read before.

Outside is what a stranger may have written, or a process of mired that reads what strangers write:
  worker: its listeners and what they accept, the answers of clerks, what a freezer gives back, backends, the DNS
  clerk: the queues of workers and of web, directories, verifiers, the DNS
  store: its socket, and the pair over which the master passes connections of workers on
  freezer: the pairs to workers
  web: the control socket, the listener of the page, the answers of clerks
  keeper: the bells of workers, and their proposals, which are memory: no call shows when they are read
  fleet: Redis, the DNS

So every socket, pipe and eventfd counts, and every connect(2), but not a process's channel from the master, nor
netlink, where the kernel speaks. Of files, those below the state folder count, because other processes write there. The
administrator's files and the machine's do not: without them a process does not know what its sandbox must allow.

What stays is in READ_BEFORE: what another process of the same role has written for its successor.
"""

import collections
import os
import pathlib
import re
import signal
import subprocess
import threading
import urllib.request

import pytest

from lib import netns, ports, power, processes
from lib.frozen import frozen_in, told, waits_frozen
from lib.mired import BUILD, SANITIZED, Mired
from lib.redis import Redis
from lib.scripted import Scripted
from lib.smtp import Client, deliver
from lib.waiting import until

pytestmark = [
    pytest.mark.skipif(SANITIZED, reason="a sanitizer needs calls that no role needs"),
    pytest.mark.skipif(not pathlib.Path(power.PROGRAM).exists(), reason="strace is not installed"),
]

DOOR = BUILD / "tests" / "door" / "mired-door"
ROLES = ("worker", "clerk", "store", "freezer", "web", "keeper", "fleet")
# Below the state folder: the heads of mapped files, and copies of lists of suspects, behind which a worker needs no right
# to read files. Each is checked as it is read.
READ_BEFORE = {"worker": "worker-lists/suspects-", "freezer": "frozen", "web": "history"}

# Not io_uring_enter(2): the freezer's ring reads nothing (SECURITY.md), and tries itself when it is made.
TAKING = ("accept", "accept4", "connect", "read", "readv", "pread64", "preadv", "preadv2", "recvfrom", "recvmsg",
          "recvmmsg", "splice", "sendfile", "copy_file_range")  # fmt: skip
STARTING = ("clone", "clone3", "fork", "vfork")
TRACED = ",".join((*TAKING, *STARTING, "socketpair", "prctl", "seccomp", "landlock_restrict_self"))

Call = collections.namedtuple("Call", "name said result")
LINE = re.compile(r"(\w+)\((.*)\) += (-?\d+|\?)")
PAIR = re.compile(r"\[\d+<[^:]+:\[(\d+)[^\]]*\]>, \d+<[^:]+:\[(\d+)[^\]]*\]>\]")


def calls_of(file):
    """Process or thread -> its calls in order. One that has not returned has no result."""
    calls, begun = collections.defaultdict(list), {}
    for line in file.read_text(errors="backslashreplace").splitlines():
        thread, _, rest = line.partition(" ")
        rest = rest.strip()
        if rest.endswith("<unfinished ...>"):
            begun[thread] = rest.removesuffix("<unfinished ...>")
            continue
        rest = re.sub(r"^<\.\.\. \w+ resumed>", lambda _: begun.pop(thread, ""), rest)
        if found := LINE.match(rest):
            calls[int(thread)].append(Call(*found.groups()))
    for thread, rest in begun.items():
        name, _, said = rest.partition("(")
        calls[int(thread)].append(Call(name, said, ""))
    return calls


def children_of(calls, master):
    """Child -> the inode of its channel: its end of the pair that the master made last before it."""
    found, channel = {}, None
    for call in calls[master]:
        if call.name == "socketpair" and (made := PAIR.search(call.said)):
            channel = made[2]
        elif call.name in STARTING and call.result.isdigit():
            found[int(call.result)] = channel
    return found


def role_of(calls):
    """None: a process that has no role, as the one that tries whether Landlock may be used."""
    for call in calls:
        if call.name == "prctl" and (named := re.match(r'PR_SET_NAME, "mired (\w+)', call.said)):
            return named[1]
    return None


def is_outside(call, channel, state, role):
    if call.name in STARTING:
        return "CLONE_THREAD" in call.said or call.name != "clone"  # a thread would stay outside the sandbox
    if call.name not in TAKING:
        return False
    found = re.match(r"\d+<(.*?)>(?=[,)(]|$)", call.said)
    what = found[1] if found else call.said
    if what.startswith("NETLINK:") or re.search(rf":\[{channel}\b", what):
        return False
    if what.startswith(f"{state}/"):
        return role not in READ_BEFORE or not what.startswith(f"{state}/{READ_BEFORE[role]}")
    return not what.startswith("/")


def is_seccomp(call):
    return call.name == "prctl" and call.said.startswith("PR_SET_SECCOMP, SECCOMP_MODE_FILTER") and call.result == "0"


def is_landlock(call):
    return call.name == "landlock_restrict_self" and call.result == "0"


class Order:
    """The processes of a mired under strace; `prefix` starts it so."""

    def __init__(self, folder):
        self.file = folder / "calls"
        self.prefix = [power.PROGRAM, "-D", "-f", "-qq", "-yy", "-e", "signal=none", "-e", f"trace={TRACED}", "-o", self.file]
        self.before = set()  # processes that were there at the last check

    def look(self, mired, roles):
        """What is wrong with any process, and those of `roles` of which no new process has taken anything from outside."""
        state, calls = str(mired.folder / "state"), calls_of(self.file)
        wrong, missing = [], set(roles)
        for pid, channel in children_of(calls, mired.pid).items():
            role = role_of(calls[pid])
            if not role:
                continue
            assert channel, "the pair of its channel is not in the trace"
            lacks = {"seccomp": is_seccomp, "Landlock": is_landlock}
            for call in calls[pid]:
                lacks = {part: enters for part, enters in lacks.items() if not enters(call)}
                if is_outside(call, channel, state, role):
                    if lacks:
                        wrong.append(f"{role} {pid} without {' and '.join(lacks)}: {call.name}({call.said})")
                    elif pid not in self.before:
                        missing.discard(role)
                    break
        return wrong, missing

    def check(self, mired, roles, when):
        """Waits until a new process of each of these roles has taken something from outside, and was confined by then."""
        found = [[], set(roles)]

        def over():
            found[:] = self.look(mired, roles)
            return found[0] or not found[1]

        until(over, why=lambda: f"{when}: nothing comes to {found[1]}", every=0.5)
        assert not found[0], f"{when}:\n" + "\n".join(found[0])
        self.before |= set(children_of(calls_of(self.file), mired.pid))


class Clients:
    """They come without end, so that something waits for each process when it starts: for a worker, and so for clerks,
    the store, a backend and the keeper; for web over the control socket and the page."""

    def __init__(self, mired, page):
        self.mired, self.page, self.over = mired, page, threading.Event()
        self.threads = [threading.Thread(target=self._repeat, args=(do,)) for do in (self._mail, self._look)]
        for thread in self.threads:
            thread.start()

    def _repeat(self, do):
        while not self.over.wait(0.05):
            try:
                do()
            except (OSError, AssertionError, subprocess.TimeoutExpired):
                pass  # nobody is there to answer at this moment

    def _mail(self):
        with Client(self.mired.port, timeout=20) as client:
            client.ehlo()
            client.message("a@b.test", ["alice@example.test"], b"Subject: x\r\n\r\nhello\r\n")
            client.message("a@b.test", ["bob@example.org"], b"Subject: x\r\n\r\nhello\r\n")

    def _look(self):
        self.mired.control("clients", timeout=20)
        urllib.request.urlopen(f"http://127.0.0.1:{self.page}/health", timeout=20).close()

    def end(self):
        self.over.set()
        for thread in self.threads:
            thread.join()


@pytest.fixture
def everything(tmp_path):
    """A mired with each kind of process, under strace, and all that its processes speak to."""
    page, order = ports.free(), Order(tmp_path)
    redis = Redis()
    redis.start()
    (tmp_path / "suspects").write_text("192.0.2.0/24\n")
    (tmp_path / "allowances").write_text("alice@example.test 500 5000\n")
    with Scripted(lambda *_: None) as backend:
        mired = Mired(
            prefix=order.prefix,
            domains=("example.test", "example.org"),
            recipients=("alice@example.test", "bob@example.org"),
            passwords=None,
            tarpit='time = 100ms freeze = "auto"',
            config=f'{backend.block[:-1]} domains = {{ "example.org" }} }}\n'
            f'dnsbl "bl.test" {{ }}\nresolver = "127.0.0.1:{ports.free()}"\n'
            f'auth "dovecot" {{ path = "/nonexistent/dovecot" }}\n'
            f'suspect = {{ "file:{tmp_path}/suspects" }}\nallowance {{ file = "{tmp_path}/allowances" }}\n'
            f'fleet {{ redis = {{ "{redis.url}" }} name = "mx" member = "mx1" }}\nweb {{ listen = {{ "127.0.0.1:{page}" }} }}\n',
        )
        mired.deaths_expected = True
        clients = Clients(mired, page)
        try:
            mired.start()
            yield mired, order
        finally:
            clients.end()
            print(mired.log.text[-20000:])
            wrong = mired.stop()
            mired.remove()
            redis.stop()
            redis.remove()
    assert not wrong


def test_each_process_is_confined_before_it_takes_anything_from_outside(everything):
    """At a start, a reload, a restart of each after its death, and an upgrade. What a freezer takes is in the next test."""
    mired, order = everything
    taking = set(ROLES) - {"freezer"}
    until(lambda: all(mired.processes(role) for role in ROLES))
    order.check(mired, taking, "the start")
    earlier = [pid for role in taking - {"store"} for pid in mired.processes(role)]
    assert mired.control("reload").returncode == 0
    order.check(mired, taking - {"store"}, "a reload")  # which keeps the store
    assert not processes.wait_gone(earlier)  # nobody follows one of these
    for role in ROLES:
        (pid, *_) = mired.processes(role)
        os.kill(pid, signal.SIGKILL)
        until(lambda: (now := mired.processes(role)) and pid not in now)
        order.check(mired, {role} & taking, f"the death of a {role}")
    assert mired.control("upgrade").returncode == 0
    order.check(mired, taking - {"store"}, "an upgrade")
    assert deliver(mired.port, "a@b.test", "alice@example.test").code == 250


@pytest.mark.skipif(bool(netns.unable()), reason=netns.unable() or "able")
def test_a_freezer_is_confined_before_it_takes_connections(frozen, tmp_path):
    order = Order(tmp_path)
    mired = frozen(time=4, prefix=order.prefix)
    mired.deaths_expected = True
    for n, when in enumerate(("the start", "its death"), 1):
        told(waits_frozen(mired, n))
        order.check(mired, {"freezer"}, when)
        if n == 1:
            later = waits_frozen(mired, 9)
            (pid,) = mired.processes("freezer")
            os.kill(pid, signal.SIGKILL)
            until(lambda: (now := mired.processes("freezer")) and pid not in now)
    told(later)
    until(lambda: frozen_in(mired) == 0)


def test_a_keeper_is_confined_before_it_reads_proposals(mired):
    """A worker may have written anything there, and the keeper before this one may have died of it."""
    m = mired(program=DOOR, tarpit="time = 100ms")
    m.deaths_expected = True
    for turn in range(1, 4):
        assert deliver(m.port, "a@b.test", "alice@example.test").code == 250
        until(lambda: m.log.text.count("door: proposals are read") == turn)
        if turn == 1:
            (pid,) = m.processes("keeper")
            os.kill(pid, signal.SIGKILL)
            until(lambda: (now := m.processes("keeper")) and pid not in now)
        elif turn == 2:
            assert m.control("reload").returncode == 0
    assert "before the sandbox" not in m.log.text
