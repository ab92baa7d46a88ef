"""Kills a process at a system call of its own (tests/crash/kill_at.c), and mail that goes on meanwhile."""

import signal
import subprocess

from .mired import BUILD
from .smtp import Client

PROGRAM = BUILD / "tests" / "crash" / "kill-at"


class KillAt:
    """Kills a process at its n-th stop; with 0 only counts. `end()` returns what happened: ("killed", stop, call,
    "before" or "after") or ("alive", stops)."""

    def __init__(self, pid, n):
        self.process = subprocess.Popen([PROGRAM, str(pid), str(n)], stdout=subprocess.PIPE, text=True)
        assert self.process.stdout.readline() == "ready\n"

    def end(self):
        self.process.send_signal(signal.SIGTERM)
        said = self.process.stdout.read().split()
        self.process.wait()
        return tuple(said)


class Sender:
    """A mail server with one message: it retries until the message is taken. `heard` has the code of each try; 0 where
    the connection was cut. `doubts` counts tries that ended between the final dot and a reply, or with a 4xx then."""

    def __init__(self, port, recipients, token, tries=40, lines=1):
        self.port, self.recipients, self.token, self.tries = port, recipients, token, tries
        self.body = (b"x" * 70 + b"\r\n") * lines
        self.heard, self.doubts = [], 0

    def once(self):
        dotted = False
        try:
            with Client(self.port, source="127.66.2.1", timeout=30) as client:
                if client.greeting.code != 220:
                    return client.greeting.code
                for command in ("EHLO crash.test", "MAIL FROM:<a@b.test>", *(f"RCPT TO:<{r}>" for r in self.recipients)):
                    reply = client.say(command)
                    if reply.code != 250:
                        return reply.code
                reply = client.say("DATA")
                if reply.code != 354:
                    return reply.code
                dotted = True
                client.send(b"Subject: token-%s\r\n\r\n%s.\r\n" % (self.token.encode(), self.body))
                reply = client.reply()
                self.doubts += reply.code != 250
                return reply.code
        except OSError:
            self.doubts += dotted
            return 0

    def send(self, once=False):
        """Until it is taken, or one try; returns the last code."""
        tries = 1 if once else self.tries
        while tries and (not self.heard or self.heard[-1] != 250):
            self.heard.append(self.once())
            tries -= 1
        return self.heard[-1]
