"""Kills a process at a system call of its own (tests/crash/kill_at.c), and mail that goes on meanwhile."""

import collections
import re
import signal
import subprocess
import time

from .mired import BUILD
from .smtp import Client
from .waiting import PATIENCE

STAGES = ("greeting", "EHLO", "MAIL", "RCPT", "DATA", "half", "dot")  # what the client has heard, or sent
PROGRAM = BUILD / "tests" / "crash" / "kill-at"


class KillAt:
    """Kills a process at its n-th stop; with 0 only counts. With `child`, not this process but the child-th one that it
    forks from now on, from its first call on. `end()` returns what happened: ("killed", stop, call,
    "before" or "after") or ("alive", stops)."""

    def __init__(self, pid, n, child=None):
        which = [str(child)] if child else []
        self.process = subprocess.Popen([PROGRAM, str(pid), str(n), *which], stdout=subprocess.PIPE, text=True)
        assert self.process.stdout.readline() == "ready\n"

    def end(self):
        self.process.send_signal(signal.SIGTERM)
        said = self.process.stdout.read().split()
        self.process.wait()
        return tuple(said)


def stops(pid, during):
    """How many stops a process has while during() goes on. That it is watched makes some by itself."""
    killer = KillAt(pid, 0)
    try:
        during()
    finally:
        said = killer.end()
    return int(said[1])


class Sender:
    """A mail server with one message: it retries until all recipients have taken it, or PATIENCE is over. Recipients that hear a 4xx at RCPT
    get a transaction of their own in the next try. `heard` has the code of each try: the last that is not 250; 0 where
    the connection was cut. Behind the final dot a try is in doubt if it does not end with a 250: `cut` counts those
    without a reply, `deferred` those with a 4xx. `at(stage)` is called when a try has reached it (STAGES)."""

    def __init__(self, port, recipients, token, lines=1, at=lambda stage: None, host="127.0.0.1", source="127.66.2.1"):
        self.port, self.recipients, self.token, self.host, self.source = port, recipients, token, host, source
        self.body = (b"x" * 70 + b"\r\n") * lines
        self.heard, self.cut, self.deferred, self.at = [], 0, 0, at
        self.left = list(recipients)

    @property
    def doubts(self):
        return self.cut + self.deferred

    def once(self):
        dotted = False
        try:
            with Client(self.port, host=self.host, source=self.source) as client:
                if client.greeting.code != 220:
                    return client.greeting.code
                self.at("greeting")
                for command in ("EHLO crash.test", "MAIL FROM:<a@b.test>"):
                    reply = client.say(command)
                    if reply.code != 250:
                        return reply.code
                    self.at(command[:4])
                taken, late = [], None
                for recipient in self.left:
                    reply = client.say(f"RCPT TO:<{recipient}>")
                    if reply.code == 250:
                        taken.append(recipient)
                        self.at("RCPT")
                    elif 400 <= reply.code < 500 and reply.code != 421:
                        late = reply.code
                    else:
                        return reply.code  # 0: the connection was cut
                if not taken:
                    return late
                reply = client.say("DATA")
                if reply.code != 354:
                    return reply.code
                self.at("DATA")
                client.send(b"Subject: token-%s\r\n\r\n%s" % (self.token.encode(), self.body[: len(self.body) // 2]))
                self.at("half")
                dotted = True
                client.send(self.body[len(self.body) // 2 :] + b".\r\n")
                self.at("dot")
                reply = client.reply()
                self.cut += reply.code == 0
                self.deferred += reply.code not in (0, 250)
                if reply.code != 250:
                    return reply.code
                self.left = [r for r in self.left if r not in taken]
                return late or 250
        except OSError:
            self.cut += dotted
            return 0

    def send(self, once=False):
        """Until it is taken, or one try; returns the last code."""
        end = time.monotonic() + PATIENCE
        while not self.heard or self.heard[-1] != 250:
            self.heard.append(self.once())
            if once or time.monotonic() > end:
                break
            if self.heard[-1] != 250:
                time.sleep(0.02)  # what has died is started again after a pause
        return self.heard[-1]


def copies_of(mails):
    """How many of these messages have which token."""
    return collections.Counter(re.search(rb"token-(\S+)", mail)[1].decode() for mail in mails)


class Doubts(collections.Counter):
    """What has become of tries that ended in doubt: cut, deferred, and how many further copies each of the two has made."""

    def __str__(self):
        return (
            f"behind the final dot {self['cut']} tries were cut, which made {self['cut copies']} further copies, "
            f"and {self['deferred']} heard 4xx, which made {self['deferred copies']}"
        )


def each_is_there(mired, users, senders):
    """In the end all have heard 250, and none a 5xx. Each message is there once; more often only where a try ended in
    doubt. Returns the Doubts."""
    wrong = [(s.token, s.heard) for s in senders if [c for c in s.heard if c >= 500] or s.heard[-1] != 250]
    assert not wrong, wrong
    doubts = Doubts(cut=sum(s.cut for s in senders), deferred=sum(s.deferred for s in senders))
    for user in users:
        copies = copies_of(mired.delivered(user, count=len(senders)))
        for s in senders:
            assert 1 <= copies[s.token] <= 1 + s.doubts, (s.token, copies[s.token], s.heard, s.doubts)
            further = copies[s.token] - 1
            doubts["cut copies"] += min(further, s.cut)
            doubts["deferred copies"] += max(further - s.cut, 0)
        assert set(copies) == {s.token for s in senders}
    return doubts
