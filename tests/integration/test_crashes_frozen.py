"""The crash matrix of frozen holds: kill -9 of each process that has a part in it, at its system calls, while connections
are frozen and thawed. Each client hears its own reply, or its connection is lost with the batch that the process had in
its hands (docs/frozen.md); mired has no hold left of it, and goes on freezing."""

import itertools
import json
import os
import select
import time

import pytest

from lib import netns, processes
from lib.crash import PROGRAM, KillAt, stops
from lib.frozen import ask, source, told
from lib.smtp import Client, Hung
from lib.waiting import PATIENCE, until

pytestmark = [
    pytest.mark.skipif(bool(netns.unable()), reason=netns.unable() or "able"),
    pytest.mark.skipif(os.geteuid() != 0 or not PROGRAM.exists(), reason="no kill-at, or not root"),
]
CLIENTS = 3
REPLY = "550 5.1.1"
LOST = 8  # seconds: a connection that is lost is not told so
# What clients may learn when a process dies that holds no connection.
MAY_BE = {"keeper": {"answered"}, "clerk": {"answered", "deferred"}, "web": {"answered"}}
# About half of the stops that docs/assurance.md has, and less where their number depends on the load. The master has
# none of freezing and thawing but those of its being watched, and a beat now and then.
LEAST = {
    "freezing and thawing": {"freezer": 34, "worker": 40, "keeper": 5, "clerk": 5, "master": 1},
    "a release": {"freezer": 30, "worker": 40, "web": 12, "master": 12},
    "a reload": {"freezer": 19},
    "an upgrade": {"freezer": 19},
}


def asks(m, n):
    """The n-th client; None where its connection ends before it has asked, or cannot be made."""
    try:
        return ask(m.port, n)
    except (AssertionError, OSError):
        return None


def outcome(client, end):
    """What a client that waits until `end` learns: its reply, a deferral, that the connection has ended, or nothing."""
    if not client:
        return "ended"
    for seconds in (max(0.5, end - time.monotonic()), 0.5):
        client.socket.settimeout(seconds)
        try:
            reply = client.reply()
            if reply.code == 451:  # nobody could look the recipient up
                return "deferred"
            return "answered" if reply.text.startswith(REPLY) else "ended" if reply.code in (0, 421) else reply.text
        except Hung:
            pass
        except OSError:
            return "ended"
        try:
            client.send("NOOP\r\n")
        except OSError:
            return "ended"
    return "nothing"


def status(m):
    told = m.control("--json", "status").stdout  # none while the web process starts
    return json.loads(told) if told else {}


def idle(m):
    return all(status(m).get(what) == 0 for what in ("held", "frozen", "open"))


def hold(m):
    """The tarpit answers and lets go by itself: nothing to do."""


def release(m, count=CLIENTS):
    """When all are frozen, they are released; again if a process that has a part in it dies meanwhile."""
    end = time.monotonic() + 3  # some may be lost already
    while time.monotonic() < end and processes.alive(m.pid) and status(m).get("frozen") != count:
        time.sleep(0.02)

    def released():
        m.control("release", "10.78.0.0/16")
        now = status(m)
        return now.get("held") == now.get("frozen") == 0

    until(lambda: not processes.alive(m.pid) or released())


def reload(m):
    """The next generation has a freezer of its own, because the level of the log changes."""
    text = m.file.read_text()
    before, after = ('"debug"', '"info"') if '"debug"' in text else ('"info"', '"debug"')
    m.file.write_text(text.replace(f"log_level = {before}", f"log_level = {after}"))
    assert m.control("reload").returncode == 0


def upgrade(m):
    assert m.control("upgrade").returncode == 0


WAYS = {"freezing and thawing": hold, "a release": release, "a reload": reload, "an upgrade": upgrade}


def answered_or_dead(clients, pid):
    """Until the kernel has something for each client, or the process has died."""
    waiting = {client.socket for client in clients if client}
    while waiting and processes.alive(pid):
        waiting -= set(select.select(list(waiting), [], [], 0.02)[0])


class Kills:
    """killed: where.  lost: how many clients have had no reply of mired's own."""

    def __init__(self, frozen, cable, role, way):
        self.frozen, self.cable, self.role, self.way = frozen, cable, role, way
        self.number, self.killed, self.lost, self.m = itertools.count(), [], 0, None

    def mired(self):
        """One that has not been killed too often. A hold that is to be released does not end before."""
        if self.m is None or len(self.killed) % 4 == 0:
            if self.m:
                self.m.stop()
            self.m = self.frozen(time=60 if self.way == "a release" else 1, workers=1, config="clerks = 1")
            self.m.deaths_expected = True
        return self.m

    def again(self):
        """A master that was killed is started again when its children have ended."""
        self.m.daemon.process.wait()
        assert not processes.wait_gone(processes.in_session(self.m.daemon.pid))
        self.cable.at_server(self.m.start)

    def change(self, clients, pid):
        way = WAYS[self.way]
        way(self.m)
        if self.role == "master":
            answered_or_dead(clients, pid)
            if not processes.alive(pid):
                self.again()
                way(self.m)

    def once(self, n):
        """Returns what kill-at says."""
        m = self.mired()
        pid = m.pid if self.role == "master" else until(lambda: m.processes(self.role))[0]
        killer = KillAt(pid, n)
        clients = [asks(m, next(self.number)) for _ in range(CLIENTS)]
        self.change(clients, pid)
        end = time.monotonic() + (PATIENCE if self.role in MAY_BE else LOST)
        outcomes = [outcome(client, end) for client in clients]
        said = killer.end()
        may_be = {"answered"} if said[0] == "alive" else MAY_BE.get(self.role, {"answered", "ended", "nothing"})
        assert set(outcomes) <= may_be, (said, outcomes)
        self.lost += outcomes.count("ended") + outcomes.count("nothing")
        for client in filter(None, clients):
            client.close()
        if self.role == "master" and said[0] == "killed" and m.pid == pid:  # when all had their reply
            self.again()
        return said

    def afterwards(self, said):
        """Mail passes, and the next hold is frozen and answered."""
        m = self.m
        until(lambda: self.role == "master" or m.processes(self.role))
        with Client(m.port, host=netns.SERVER, source=source(next(self.number))) as good:
            good.ehlo()
            assert good.message("a@b.test", "alice@example.test").code == 250
        client = ask(m.port, next(self.number))
        if self.way == "a release":
            release(m, 1)
        assert outcome(client, time.monotonic() + PATIENCE) == "answered", said
        client.close()
        until(lambda: idle(m))

    def at(self, places):
        """Returns how many stops there were."""
        for n in places:
            said = self.once(n)
            if said[0] == "alive":
                break
            self.killed.append(said)
            self.afterwards(said)
        calls = {(call, when) for _, _, call, when in self.killed}
        print(
            f"{self.role}: killed at {len(self.killed)} stops of {self.way} of {CLIENTS} clients, {len(calls)} kinds; "
            f"{self.lost} connections lost"
        )
        return len(self.killed)


@pytest.fixture
def kills(frozen, cable):
    return lambda role, way, places: Kills(frozen, cable, role, way).at(places)


@pytest.mark.long
def test_a_freezer_killed_at_a_call_leaves_no_hold_stuck(kills):
    assert kills("freezer", "freezing and thawing", range(2, 2000, 13)) >= 3


@pytest.mark.soak
@pytest.mark.parametrize("way, role", [(way, role) for way in WAYS for role in LEAST[way]])
def test_a_process_killed_at_each_call_leaves_no_hold_stuck(kills, way, role):
    assert kills(role, way, itertools.count(1)) >= LEAST[way][role]


@pytest.mark.parametrize("role", ["web", "store"])
def test_freezing_and_thawing_needs_no_call_of_who_has_no_part_in_it(frozen, role):
    m = frozen(time=1, workers=1)
    (pid,) = m.processes(role)
    idle = stops(pid, lambda: time.sleep(0.1))

    def freeze_and_thaw():
        told(ask(m.port))
        m.log.wait("thaws")

    assert stops(pid, freeze_and_thaw) <= idle
