"""The crash matrix: kill -9 of each process at its system calls, before and after each, while it does its part of a
delivery, a reload or an upgrade. No acknowledged message is lost or doubled, nobody hears a wrong 5xx, and what the
process did is done again. A part of the stops in `make test`, all of them in `make soak`.

test_crashes_frozen.py has frozen holds, test_crashes_start.py processes that are just starting."""

import contextlib
import itertools
import os
import subprocess
import threading
import time

import pytest

from lib import processes
from lib.crash import PROGRAM, Doubts, KillAt, Sender, each_is_there, stops
from lib.mired import CONTROL
from lib.redis import Redis
from lib.smtp import Client
from lib.waiting import until

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="only root may trace these processes"),
    pytest.mark.skipif(not PROGRAM.exists(), reason="no kill-at in this build"),
]
USERS = ("alice@example.test", "bob@example.test")
ROLES = ("worker", "clerk", "store")
BESIDE = ("keeper", "fleet", "web")  # a delivery does not wait for them
UNNOTICED = (*BESIDE, "store")  # a sender does not notice that one dies
# How many stops there are at least: about half of those that docs/assurance.md has, because their number depends on the
# load and on the mail that comes meanwhile. With fewer the killing itself is broken.
LEAST = {
    "delivery": {"worker": 37, "clerk": 8, "store": 21, "keeper": 4, "fleet": 10, "web": 12, "master": 2},
    "reload": {"master": 18, "worker": 10, "clerk": 8, "store": 13, "web": 29, "keeper": 6, "fleet": 15},
    "upgrade": {"master": 250, "worker": 35, "clerk": 2, "store": 25, "web": 27, "keeper": 6, "fleet": 15},
}
# An offence is booked, and held as long as a keeper needs to begin.
BOOKED = {"tarpit": "time = 300ms growth = 1 max = 300ms pace = false shield = 0 drip = 0 patience_offences = 0"}
KILLS = 4  # of one mired; beyond that the master waits longer than a test should before it starts a process again


class Matrix:
    """kills: what was killed where.  senders: all that have sent.  told(): how much the fleet process has told."""

    def __init__(self, start, told=None):
        self.start, self.told, self.kills, self.senders, self.doubts = start, told, [], [], Doubts()
        self.m = None

    def mired(self):
        """One that has not been killed too often."""
        if self.m is None or len(self.kills) % KILLS == 0:
            self.fresh()
        return self.m

    def fresh(self):
        if self.m:
            self.check()
            self.m.stop()
        self.m = self.start()
        self.m.deaths_expected = True
        self.senders = []
        self.send("warm")

    def sender(self, token, **options):
        self.senders.append(Sender(self.m.port, USERS, token, **options))
        return self.senders[-1]

    def send(self, token):
        sender = self.sender(token)
        assert sender.send() == 250, sender.heard
        return sender

    def check(self):
        self.doubts += each_is_there(self.m, USERS, self.senders)

    def kill(self, pid, n, during):
        """Kills at stop n while during() goes on. False when the process had no n-th stop then."""
        killer = KillAt(pid, n)
        try:
            during()
        finally:
            said = killer.end()
        if said[0] == "alive":
            return False
        self.kills.append(said)
        return True

    def again(self):
        """A master that was killed is started again when its children have ended."""
        self.m.daemon.process.wait()
        left = processes.wait_gone(processes.in_session(self.m.daemon.pid))
        assert not left, [processes.command(p) for p in left]
        self.m.start()

    def tell(self, role, what):
        calls = {(call, when) for _, _, call, when in self.kills}
        print(f"{role}: killed at {len(self.kills)} stops of {what}, {len(calls)} kinds; {self.doubts}")
        return len(self.kills)


@pytest.fixture
def redis():
    one = Redis()
    one.start()
    yield one
    one.stop()
    one.remove()


@pytest.fixture
def matrix(mired, request):
    """matrix(role): a Matrix whose mireds have that process."""

    def start(role, **options):
        config, told = "clerks = 1\n", None
        if role == "fleet":
            redis = request.getfixturevalue("redis")
            config += f'fleet {{ redis = {{ "{redis.url}" }} name = "mx" member = "mx1" }}\n'
            told = lambda: redis.ask("XLEN", "mx:{mx}:stream")  # noqa: E731
        return Matrix(lambda: mired(**{"tarpit": "time = 0", "workers": 1, "config": config, **options}), told)

    return start


def offence(m, n):
    """The keeper has something to book. The stranger hears its verdict whatever happens to the keeper."""
    with Client(m.port, source=f"127.66.{4 + n // 250}.{n % 250 + 1}") as client:
        client.ehlo()
        client.must("MAIL FROM:<a@b.test>")
        client.send("RCPT TO:<nobody@example.test>\r\n")
        assert client.reply().code == 550


def two_at_once(x, token):
    """The master has a part in this delivery: the second message needs another connection to the store, which it passes
    on. One try each."""
    ready = threading.Barrier(2)

    def at(stage):
        if stage == "half":
            with contextlib.suppress(threading.BrokenBarrierError):
                ready.wait(1)

    senders = [x.sender(f"{token}-{i}", at=at) for i in range(2)]
    threads = [threading.Thread(target=sender.send, kwargs={"once": True}) for sender in senders]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def deliver(x, role, n):
    """What goes on while the process is killed: a delivery in which it has a part."""
    m, token = x.m, f"{role}-{n}"
    if role == "master":
        two_at_once(x, token)
        return
    told = x.told and x.told()
    if role in ("keeper", "fleet"):
        offence(m, n)
    sender = x.send(token)
    if role == "web":  # it has none, but somebody asks it at the same time
        m.control("status")
    if role in UNNOTICED:
        assert sender.heard == [250], (token, sender.heard)
    if role == "fleet":  # the next one tells what this one has not
        until(lambda: x.told() > told)


def deliveries(x, role, at):
    for n in at:
        m = x.mired()
        (pid,) = [m.pid] if role == "master" else until(lambda: len(now := m.processes(role)) == 1 and now)
        if not x.kill(pid, n, lambda: deliver(x, role, n)):
            break
        if role == "master":
            x.again()
        for sender in x.senders:
            if sender.heard[-1] != 250:
                sender.send()
        x.send(f"{role}-{n}-after")
        if role == "keeper":
            m.booked()
        if role == "web":
            until(lambda: m.control("status").returncode == 0)
    x.check()
    return x.tell(role, "a delivery")


def booked(role):
    return BOOKED if role in ("keeper", "fleet") else {}


@pytest.mark.parametrize("role, step", [("worker", 6), ("clerk", 3), ("store", 6), ("keeper", 3), ("web", 11)])
def test_a_process_killed_at_a_call_of_a_delivery_costs_no_message(matrix, role, step):
    least = len(range(1, LEAST["delivery"][role] + 1, step))
    assert deliveries(matrix(role, **booked(role)), role, range(1, 400, step)) >= least


@pytest.mark.soak
@pytest.mark.parametrize("role", (*ROLES, *BESIDE, "master"))
def test_a_process_killed_at_each_call_of_a_delivery_costs_no_message(matrix, role):
    assert deliveries(matrix(role, **booked(role)), role, itertools.count(1)) >= LEAST["delivery"][role]


def test_a_delivery_needs_no_call_of_the_web_process(matrix):
    x = matrix("web")
    (pid,) = x.mired().processes("web")
    idle = stops(pid, lambda: time.sleep(0.1))
    assert stops(pid, lambda: [x.send(f"web-{n}") for n in range(5)]) <= idle


# ---- reload and upgrade ----


def order(m, command):
    return subprocess.Popen([CONTROL, "-s", m.folder / "run" / "control", command], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def changes(x, role, command, at):
    """Mail goes on while the order is carried out. When the order's process has ended, so has the change, or it failed.

    The process that is traced ends with its generation, so that what it does to end is among its stops, however fast
    the machine is. Only one generation is there when it is chosen: one that is ending already would make too few."""
    for n in at:
        m = x.mired()
        until(lambda: all(len(m.processes(r)) == 1 for r in {*ROLES, role} - {"master"}))
        pid = m.pid if role == "master" else m.processes(role)[0]

        def during():
            ordered = order(m, command)
            token = itertools.count()
            while ordered.poll() is None and processes.alive(m.pid):
                x.sender(f"{role}-{n}-{next(token)}").send(once=True)
            if processes.alive(m.pid):
                ordered.wait()
                if role != "master":
                    processes.wait_gone([pid])
            else:
                ordered.kill()
                ordered.wait()

        if not x.kill(pid, n, during):
            break
        if role == "master":
            x.again()
        for sender in x.senders:
            if sender.heard[-1] != 250:
                sender.send()
        x.send(f"{role}-{n}-after")
        until(lambda: m.control("reload").returncode == 0)  # the one before may still go on
    x.check()
    return x.tell(role, command)


@pytest.mark.parametrize("command, role, step", [
    ("reload", "master", 97), ("upgrade", "master", 131), ("reload", "worker", 61), ("reload", "clerk", 61),
    ("upgrade", "keeper", 61), ("upgrade", "fleet", 61),
])  # fmt: skip
@pytest.mark.long
def test_a_process_killed_at_a_call_of_a_change_costs_no_message(matrix, command, role, step):
    """The first two stops are certain: a process that ends waits for the note and reads it. How many of the others there
    are depends on the mail that comes meanwhile."""
    assert changes(matrix(role), role, command, (1, 3, *range(3 + step, 5000, step))) >= 2


# The master has thousands of stops in an upgrade, and the clerk some for each message. One that dies in an upgrade is not
# started again, so its clients wait until their queries time out.
STEPS = {("reload", "master"): 7, ("upgrade", "master"): 7, ("upgrade", "clerk"): 31}


@pytest.mark.soak
@pytest.mark.parametrize("command, role", [(command, role) for command in ("reload", "upgrade") for role in LEAST[command]])
def test_a_process_killed_at_each_call_of_a_change_costs_no_message(matrix, command, role):
    at = itertools.count(1, STEPS.get((command, role), 1))
    assert changes(matrix(role), role, command, at) >= LEAST[command][role]
