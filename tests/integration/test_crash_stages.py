"""kill -9 of each process, and a master that is stopped, at each stage of a delivery: what does not deliver a message
does not disturb it, and what does makes it late, never lost or doubled. A held client beside it hears its verdict. A few
stages in `make test`, all in `make soak`. test_crashes.py has the system calls."""

import itertools
import json
import os
import signal

import pytest

from lib import processes
from lib.crash import STAGES, Doubts, Sender, each_is_there
from lib.redis import Redis
from lib.smtp import Client
from lib.waiting import until

USERS = ("alice@example.test", "bob@example.test")
HOLD = "time = 300ms growth = 1 max = 300ms pace = false shield = 0 drip = 0 patience_offences = 0"
# These do not touch a message, so the try that is under way succeeds.
BESIDE = ("web", "keeper", "fleet", "stopped master")
# The worker asks the next store whether its predecessor has put the message into a mailbox, so the try succeeds, too.
STORE = ("store", "store and stopped master")
WITHIN = ("clerk", *STORE, "worker", "master")
ROLES = ("worker", "clerk", "store", "web", "keeper", "fleet")
KILLS = 4  # of one mired: after more, the master waits longer before it starts a process again


class Stages:
    def __init__(self, start):
        self.start, self.m, self.done, self.senders, self.doubts = start, None, 0, [], Doubts()

    def fresh(self):
        self.check()
        if self.m:
            assert self.m.stop() == []
        self.m, self.senders = self.start(), []
        self.m.deaths_expected = True

    def check(self):
        if self.m:
            self.doubts += each_is_there(self.m, USERS, self.senders)
            until(self.holds_nothing)

    def holds_nothing(self):
        told = self.m.control("status", "--json").stdout  # nothing while the web process starts
        return told and json.loads(told)["held"] == 0

    def harm(self, whom):
        """Returns what ends it: to be called when the client has sent its next octets."""
        m, role = self.m, whom.removesuffix(" and stopped master")
        victims = m.processes(role) if role in ROLES else []
        if "stopped" in whom:
            os.kill(m.pid, signal.SIGSTOP)
        if whom == "master":
            os.kill(m.pid, signal.SIGKILL)
            m.daemon.process.wait()
        for pid in victims:
            os.kill(pid, signal.SIGKILL)
        return lambda: os.kill(m.pid, signal.SIGCONT) if "stopped" in whom else None

    def at(self, whom, stage, lines):
        if self.done % KILLS == 0:
            self.fresh()
        self.done += 1
        m, after = self.m, []
        until(lambda: all(m.processes(role) for role in ROLES))
        held = Client(m.port, source=f"127.66.3.{self.done % 250 + 1}")
        held.ehlo()
        held.must("MAIL FROM:<a@b.test>")

        def reached(now):
            if now == stage and not after:
                held.send("RCPT TO:<nobody@example.test>\r\n")
                after.append(self.harm(whom))
            elif after and now != stage:
                self.end(after)

        sender = Sender(m.port, USERS, f"{whom.replace(' ', '-')}-{stage}-{lines}", lines=lines, at=reached)
        self.senders.append(sender)
        if whom.startswith("store and"):  # the next reply waits for a store that only the master starts
            sender.at = lambda now: (reached(now), self.end(after) if now == "dot" else None)
        sender.send(once=True)
        self.end(after)
        self.hear(held, whom)
        if whom == "master":
            assert not processes.wait_gone(processes.in_session(m.daemon.pid))
            m.start()
        assert after, f"{whom}: {stage} was not reached: {sender.heard}"
        assert sender.send() == 250 and max(sender.heard) < 500, (whom, stage, sender.heard)
        if whom in BESIDE + STORE:
            assert sender.heard == [250], (whom, stage, sender.heard)

    @staticmethod
    def end(after):
        if after and after[0]:
            after[0]()
            after[0] = None

    @staticmethod
    def hear(held, whom):
        """Its verdict, or the news that it has to come again."""
        try:
            code = held.reply().code
        except ConnectionError:
            code = 0
        held.close()
        assert code in ((550, 451) if whom not in ("worker", "master") else (550, 451, 421, 0)), (whom, code)
        assert whom not in BESIDE or code == 550


@pytest.fixture
def stages(mired):
    redis = Redis()
    redis.start()
    fleet = f'clerks = 1\nfleet {{ redis = {{ "{redis.url}" }} name = "mx" member = "mx1" }}\n'
    yield Stages(lambda: mired(tarpit=HOLD, workers=1, config=fleet))
    redis.stop()
    redis.remove()


def play(stages, whom, cases):
    for who, stage, lines in itertools.product(whom, *cases):
        stages.at(who, stage, lines)
    stages.check()
    print(f"{stages.done} deliveries; {stages.doubts}")


def test_what_does_not_deliver_may_die_amid_a_delivery(stages):
    play(stages, BESIDE, (("RCPT", "dot"), (200,)))


@pytest.mark.long
def test_what_delivers_may_die_amid_a_delivery(stages):
    play(stages, WITHIN, (("half", "dot"), (200,)))


@pytest.mark.soak
@pytest.mark.parametrize("whom", BESIDE + WITHIN)
def test_each_process_may_die_at_each_stage_of_a_delivery(stages, whom):
    play(stages, (whom,), (STAGES, (2, 2000, 60000)))
