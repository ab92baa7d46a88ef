"""The crash matrix of processes that are just starting: kill -9 at their system calls, before and after each, from the
first one behind the fork until they serve, when mired starts, at a reload and after a death. Mail flows, a hold is
frozen, and the process that comes next serves. A part of the stops in `make test`, more of them in `make soak`."""

import itertools
import os
import re
import subprocess
import threading

import pytest

from lib import netns, processes
from lib.crash import PROGRAM, KillAt, Sender, each_is_there
from lib.frozen import FROZEN, ask, source
from lib.mired import CONTROL
from lib.redis import Redis
from lib.waiting import until

pytestmark = [
    pytest.mark.skipif(bool(netns.unable()), reason=netns.unable() or "able"),
    pytest.mark.skipif(os.geteuid() != 0 or not PROGRAM.exists(), reason="no kill-at, or not root"),
]
USERS = ("alice@example.test", "bob@example.test")
STARTED = ("keeper", "fleet", "web", "freezer", "store", "clerk", "worker")  # in this order
WAITS = 'read -r go <"$0" && exec "$@"'  # for kill-at


class Starts:
    """One mired whose processes all have something to do. Each way to start returns what kill-at said."""

    def __init__(self, mired, cable, redis):
        self.number, self.senders, self.killed = itertools.count(), [], []
        self.levels, self.cable = itertools.cycle(("info", "debug")), cable
        config = f'log_level = "debug"\nclerks = 1\nfleet {{ redis = {{ "{redis.url}" }} name = "mx" member = "mx1" }}\n'
        self.m = cable.at_server(lambda: mired(tarpit=FROZEN.format(time=1), host="0.0.0.0", config=config, workers=1))
        self.m.deaths_expected = True
        self.gate = self.m.folder / "gate"
        os.mkfifo(self.gate)

    def sender(self):
        self.senders.append(Sender(self.m.port, USERS, f"n{next(self.number)}", host=netns.SERVER, source=source(next(self.number))))
        return self.senders[-1]

    def ask(self):
        return ask(self.m.port, next(self.number))

    def serves(self, role):
        """A child is SCHED_BATCH until it has begun (base/scheduling.h)."""
        try:
            now = [os.sched_getscheduler(pid) for pid in self.m.processes(role)]
        except ProcessLookupError:
            return False
        return now and os.SCHED_BATCH not in now

    def restarted(self, role, n):
        """After a death."""
        killer = KillAt(self.m.pid, n, 1)
        before = self.m.processes(role)
        processes.kill_all(before)
        assert not processes.wait_gone(before)
        self.sender().send(once=True)
        until(lambda: self.serves(role))
        said = killer.end()  # before a stranger asks, who would hear 451 from a clerk that dies then
        assert self.order().wait() == 0  # others, which did not die
        return said

    def reloaded(self, role, n):
        """All processes are replaced, because the level of the log changes."""
        killer = KillAt(self.m.pid, n, STARTED.index(role) + 1)
        client = self.ask()
        ordered = self.order()
        self.sender().send(once=True)
        ordered.wait()
        said = killer.end()
        assert client.reply().code == 550  # whichever process died, it held nobody yet
        client.close()
        return said

    def started(self, role, n):
        assert self.m.stop() == []
        self.m.prefix = ["sh", "-c", WAITS, self.gate]
        killer = []

        def attach():
            daemon = until(lambda: self.m.daemon)
            killer.append(KillAt(daemon.pid, n, STARTED.index(role) + 1))
            self.gate.write_text("go\n")

        attaching = threading.Thread(target=attach)
        attaching.start()
        self.cable.at_server(self.m.start)
        attaching.join()
        return killer[0].end()

    def order(self):
        text = self.m.file.read_text()
        self.m.file.write_text(re.sub(r'log_level = "\w+"', f'log_level = "{next(self.levels)}"', text))
        return subprocess.Popen([CONTROL, "-s", self.m.folder / "run" / "control", "reload"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def again(self):
        """All that was not taken is taken now, and a hold ends."""
        for sender in self.senders:
            if not sender.heard or sender.heard[-1] != 250:
                assert sender.send() == 250, sender.heard
        assert self.sender().send() == 250
        client = self.ask()
        assert client.reply().code == 550
        client.close()

    def check(self):
        return each_is_there(self.m, USERS, self.senders)


@pytest.fixture
def starts(mired, cable):
    redis = Redis()
    cable.at_server(redis.start)
    yield lambda: Starts(mired, cable, redis)
    redis.stop()
    redis.remove()


def play(x, how, role, stops):
    for n in stops:
        said = getattr(x, how)(role, n)
        x.again()
        if said[0] == "alive":
            break
        x.killed.append(said)
    doubts, kinds = x.check(), len({call for _, _, call, _ in x.killed})
    print(f"{role} that is {how}: killed at {len(x.killed)} stops, {kinds} kinds of calls; {said}; {doubts}")
    return len(x.killed)


@pytest.mark.long
def test_a_worker_killed_at_some_calls_of_its_start_costs_no_message(starts):
    assert play(starts(), "reloaded", "worker", range(1, 200, 67)) >= 2


@pytest.mark.soak
@pytest.mark.parametrize("how, step, least", [("reloaded", 1, 70), ("restarted", 41, 2), ("started", 61, 2)])
@pytest.mark.parametrize("role", STARTED)
def test_a_process_killed_while_it_starts_costs_no_message(starts, how, step, least, role):
    """At each stop there are at least half of those of the role that has the fewest."""
    assert play(starts(), how, role, itertools.count(1, step)) >= least
