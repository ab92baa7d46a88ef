"""A day of mixed traffic, made from a seed and compressed in time: real senders, attackers, tools, accidents.

`day(seed, count)` is a list of (second, source, kind, number); `play()` lets it happen against a port and returns what
each conversation heard, in order. The same day can be played against any number of servers: nothing in it depends on
what is heard, but for a closed connection, which ends its conversation."""

import base64
import collections
import concurrent.futures
import random
import ssl
import time

from .smtp import Client, Hung

PEOPLE = [f"p{n}@example.test" for n in range(20)]
TRAPS = ["trap@example.test", "old.hand@example.test"]
USER, PASSWORD = "owner@example.test", "right one"
SUSPECTS = "127.77.7.0/24"
IDLE = 5  # the server's `timeout`, in seconds
BODY = b"Subject: a day\r\n\r\nhello\r\n"
SPAM = b"Subject: spam\r\n\r\nbuy\r\n"

Heard = collections.namedtuple("Heard", "text seconds")


class Closed(Exception):
    """By the server."""


class Conversation:
    """One connection; heard is what came, in order."""

    def __init__(self, servers, source, number):
        self.servers, self.source, self.number = servers, source, number
        self.heard = []

    def connect(self, submission=False, greet=True):
        port = self.servers.submission if submission else self.servers.port
        self.c = Client(port, source=self.source, greet=False)
        if greet:
            self.take()

    def take(self):
        reply = self.c.reply()
        if reply.code == 0:
            raise Closed
        self.heard.append(Heard(reply.text, reply.seconds))
        return reply

    def say(self, *lines):
        """All at once; the replies one by one."""
        self.c.send("".join(f"{line}\r\n" for line in lines))
        return [self.take() for _ in lines][-1]

    def octets(self, octets):
        self.c.send(octets)
        return self.take()

    def start_tls(self):
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        self.say("STARTTLS")
        self.c.socket = context.wrap_socket(self.c.socket)
        self.say("EHLO again.test")

    # ---- who comes ----

    def sender(self, tls=False, body=BODY):
        """A mail server with a message, now and then with a typo."""
        self.connect()
        self.say("EHLO sender.test")
        if tls:
            self.start_tls()
        for n in range(1 + self.number % 2):
            self.say(f"MAIL FROM:<a@d{self.number % 7}.test>")
            self.say(f"RCPT TO:<{PEOPLE[(self.number + n) % len(PEOPLE)]}>")
            if self.number % 4 == 0:
                self.say("RCPT TO:<pp1@example.test>")
            self.say("DATA")
            self.octets(body + b".\r\n")
        self.say("QUIT")

    def secure(self):
        self.sender(tls=True)

    def spammer(self):
        """Its content is refused behind."""
        self.sender(body=SPAM)

    def pipeliner(self):
        self.connect()
        self.say("EHLO sender.test")
        self.say(
            "MAIL FROM:<list@d9.test>",
            *(f"RCPT TO:<{p}>" for p in (PEOPLE[0], "gone@example.test", PEOPLE[1], "left@example.test")),
            "DATA",
        )
        self.octets(BODY + b".\r\n")
        self.say("MAIL FROM:<list@d9.test>", "RCPT TO:<never@example.test>", "RSET", "NOOP", "QUIT")

    def harvester(self):
        self.connect()
        self.say("EHLO [127.0.0.1]")
        self.say("MAIL FROM:<>" if self.number % 3 == 0 else f"MAIL FROM:<x@m{self.number}.test>")
        for n in range(30):
            self.say(f"RCPT TO:<{PEOPLE[n % 20] if n % 10 == 9 else f'name{n}@example.test'}>")
        # and hangs up

    def hasty(self):
        """A connection for each guess."""
        self.connect()
        self.say("HELO x")
        self.say("MAIL FROM:<x@hasty.test>")
        self.say(f"RCPT TO:<g{self.number}@example.test>")

    def relay(self):
        self.connect()
        self.say("EHLO x")
        self.say("MAIL FROM:<x@y.test>", "RCPT TO:<victim@elsewhere.test>", "RCPT TO:<a%b@example.test>", "QUIT")

    def guesser(self):
        """Wrong passwords of one account; its owner logs in from elsewhere."""
        self.connect(submission=True)
        self.say("EHLO x")
        for n in range(4):
            word = PASSWORD if self.number % 5 == 0 and n == 3 else f"wrong{n}"
            token = base64.b64encode(f"\0{USER}\0{word}".encode()).decode()
            self.say(f"AUTH PLAIN {token}")
        self.say("QUIT")

    def walks_into_a_trap(self):
        self.connect()
        self.say("EHLO x")
        self.say("MAIL FROM:<x@trapped.test>")
        self.say(f"RCPT TO:<{TRAPS[self.number % 2]}>")
        self.say(f"RCPT TO:<{PEOPLE[0]}>")
        self.say("QUIT")

    def talks_early(self):
        self.connect(greet=False)
        self.c.send("EHLO early.test\r\nMAIL FROM:<a@b.test>\r\nRCPT TO:<nobody@example.test>\r\n")
        for _ in range(4):
            self.take()

    def flood(self):
        self.connect()
        self.say("EHLO x")
        self.say(*(["NOOP"] * 60), *(["VRFY root"] * 5), "WHAT", "EHLO", "QUIT")

    def nonsense(self):
        self.connect()
        self.say("MAIL FROM:<a@b", "RCPT TO:<p1@example.test>", "DATA", "X" * 500)
        self.octets(b"EHLO " + b"x" * 3000 + b"\r\n")
        self.say("QUIT")

    def browser(self):
        self.connect()
        self.say("GET / HTTP/1.1", "Host: x")

    def sleeper(self):
        """Is closed when it has been idle for `timeout`."""
        self.connect()
        self.say("EHLO x")
        self.take()

    def too_much(self):
        self.connect()
        self.say("EHLO x")
        self.say("MAIL FROM:<a@b.test> SIZE=99999999999")
        self.say("MAIL FROM:<a@b.test>")
        self.say(*(f"RCPT TO:<{PEOPLE[n % 20]}>" for n in range(40)))
        self.say("QUIT")

    def leaves(self):
        self.connect()
        self.c.send("EHLO x\r\nMAIL FROM:<a@b.test>\r\nRCPT TO:<nobody@example.test>\r\n")

    def probe(self):
        self.connect()
        self.say("QUIT")


KINDS = {
    Conversation.sender: 20,
    Conversation.secure: 6,
    Conversation.spammer: 5,
    Conversation.pipeliner: 5,
    Conversation.harvester: 8,
    Conversation.hasty: 15,
    Conversation.relay: 4,
    Conversation.guesser: 6,
    Conversation.walks_into_a_trap: 4,
    Conversation.talks_early: 4,
    Conversation.flood: 2,
    Conversation.nonsense: 4,
    Conversation.browser: 1,
    Conversation.sleeper: 2,
    Conversation.too_much: 2,
    Conversation.leaves: 3,
    Conversation.probe: 4,
}


def day(seed, count, seconds, addresses):
    """Good and bad share some of the addresses; some are of SUSPECTS."""
    lot = random.Random(seed)
    everybody = [*addresses, "127.77.7.7", "127.77.7.8"]
    kinds = list(KINDS) + lot.choices(list(KINDS), KINDS.values(), k=max(0, count - len(KINDS)))
    return sorted(
        ((lot.uniform(0, seconds), lot.choice(everybody), kind, n) for n, kind in enumerate(kinds)), key=lambda e: e[0]
    )


def play(servers, plan):
    """What each conversation of the plan heard: lists of Heard, in the plan's order."""
    begun = time.monotonic()

    def one(event):
        at, source, kind, number = event
        time.sleep(max(0, begun + at - time.monotonic()))
        talk = Conversation(servers, source, number)
        try:
            kind(talk)
        except (Closed, ConnectionError):
            talk.heard.append(Heard("closed", 0))
        except (Hung, OSError) as error:
            talk.heard.append(Heard(f"{type(error).__name__}", 0))
        finally:
            if hasattr(talk, "c"):
                talk.c.close()
        return talk.heard

    with concurrent.futures.ThreadPoolExecutor(32) as pool:
        return list(pool.map(one, plan))
