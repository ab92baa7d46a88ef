"""The crash matrix: kill -9 of each process at its system calls, before and after each, while it does its part of a
delivery, a reload or an upgrade. No acknowledged message is lost or doubled, nobody hears a wrong 5xx, and what the
process did is done again. A part of the stops in `make test`, all of them in `make soak`."""

import itertools
import os
import subprocess

import pytest

from lib import processes
from lib.crash import PROGRAM, KillAt, Sender, each_is_there
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
# How many stops there are at least: about half of those that docs/assurance.md has, because their number depends on the
# load and on the mail that comes meanwhile. With fewer the killing itself is broken.
LEAST = {
    "delivery": {"worker": 37, "clerk": 8, "store": 21, "keeper": 4},
    "reload": {"master": 18, "worker": 10, "clerk": 8, "store": 13, "web": 29, "keeper": 6, "fleet": 15},
    "upgrade": {"master": 2, "worker": 35, "clerk": 2, "store": 25, "web": 27},
}
# An offence is booked, and held as long as a keeper needs to begin.
BOOKED = {"keeper": {"tarpit": "time = 300ms growth = 1 max = 300ms pace = false shield = 0 drip = 0 patience_offences = 0"}}
KILLS = 4  # of one mired; beyond that the master waits longer than a test should before it starts a process again


class Matrix:
    """kills: what was killed where.  senders: all that have sent."""

    def __init__(self, start):
        self.start, self.kills, self.senders, self.doubts = start, [], [], 0
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

    def sender(self, token):
        self.senders.append(Sender(self.m.port, USERS, token))
        return self.senders[-1]

    def send(self, token):
        sender = self.sender(token)
        assert sender.send() == 250, sender.heard
        return sender

    def check(self):
        each_is_there(self.m, USERS, self.senders)
        self.doubts += sum(s.doubts for s in self.senders)

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


@pytest.fixture
def matrix(mired):
    def start(config="", **options):
        return Matrix(lambda: mired(**{"tarpit": "time = 0", "workers": 1, "config": f"clerks = 1\n{config}", **options}))

    return start


def offence(m, n):
    """The keeper has something to book. The stranger hears its verdict whatever happens to the keeper."""
    with Client(m.port, source=f"127.66.{4 + n // 250}.{n % 250 + 1}") as client:
        client.ehlo()
        client.must("MAIL FROM:<a@b.test>")
        client.send("RCPT TO:<nobody@example.test>\r\n")
        assert client.reply().code == 550


def deliveries(x, role, stops):
    for n in stops:
        m = x.mired()
        (pid,) = until(lambda: len(now := m.processes(role)) == 1 and now)

        def during():
            if role == "keeper":
                offence(m, n)
            x.send(f"{role}-{n}")

        if not x.kill(pid, n, during):
            break
        x.send(f"{role}-{n}-after")
        if role == "keeper":
            m.booked()
    x.check()
    calls = {(call, when) for _, _, call, when in x.kills}
    print(f"{role}: killed at {len(x.kills)} stops of a delivery, {len(calls)} kinds, {x.doubts} in doubt")
    return len(x.kills)


@pytest.mark.parametrize("role, step", [("worker", 6), ("clerk", 3), ("store", 6), ("keeper", 3)])
def test_a_process_killed_at_a_call_of_a_delivery_costs_no_message(matrix, role, step):
    least = len(range(1, LEAST["delivery"][role] + 1, step))
    assert deliveries(matrix(**BOOKED.get(role, {})), role, range(1, 400, step)) >= least


@pytest.mark.soak
@pytest.mark.parametrize("role", (*ROLES, "keeper"))
def test_a_process_killed_at_each_call_of_a_delivery_costs_no_message(matrix, role):
    assert deliveries(matrix(**BOOKED.get(role, {})), role, itertools.count(1)) >= LEAST["delivery"][role]


# ---- reload and upgrade ----


def order(m, command):
    return subprocess.Popen([CONTROL, "-s", m.folder / "run" / "control", command], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def changes(x, role, command, stops):
    """Mail goes on while the order is carried out. When the order's process has ended, so has the change, or it failed.

    The process that is traced ends with its generation, so that what it does to end is among its stops, however fast
    the machine is. Only one generation is there when it is chosen: one that is ending already would make too few."""
    for n in stops:
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
            m.daemon.process.wait()
            left = processes.wait_gone(processes.in_session(m.daemon.pid))
            assert not left, [processes.command(p) for p in left]
            m.start()
        for sender in x.senders:
            if sender.heard[-1] != 250:
                sender.send()
        x.send(f"{role}-{n}-after")
        until(lambda: m.control("reload").returncode == 0)  # the one before may still go on
    x.check()
    print(f"{role}: killed at {len(x.kills)} stops of {command}")
    return len(x.kills)


@pytest.mark.parametrize("command, role, step", [("reload", "master", 97), ("upgrade", "master", 131), ("reload", "worker", 61), ("reload", "clerk", 61)])
@pytest.mark.long
def test_a_process_killed_at_a_call_of_a_change_costs_no_message(matrix, command, role, step):
    """The first two stops are certain: a process that ends waits for the note and reads it. How many of the others there
    are depends on the mail that comes meanwhile."""
    assert changes(matrix(), role, command, (1, 3, *range(3 + step, 5000, step))) >= 2


@pytest.mark.soak
@pytest.mark.parametrize("command", ["reload", "upgrade"])
@pytest.mark.parametrize("role, step", [("master", 7), ("worker", 1), ("clerk", 1), ("store", 1), ("web", 1)])
def test_a_process_killed_at_each_call_of_a_change_costs_no_message(matrix, command, role, step):
    assert changes(matrix(), role, command, itertools.count(1, step)) >= LEAST[command][role]


@pytest.mark.soak
def test_a_keeper_killed_at_each_call_of_a_reload_costs_no_message(matrix):
    assert changes(matrix(), "keeper", "reload", itertools.count(1)) >= LEAST["reload"]["keeper"]


@pytest.fixture
def fleet(matrix):
    redis = Redis()
    redis.start()
    yield matrix(config=f'fleet {{ redis = {{ "{redis.url}" }} name = "mx" member = "mx1" }}')
    redis.stop()
    redis.remove()


@pytest.mark.soak
def test_a_fleet_process_killed_at_each_call_of_a_reload_costs_no_message(fleet):
    assert changes(fleet, "fleet", "reload", itertools.count(1)) >= LEAST["reload"]["fleet"]
