"""Hours of mixed traffic against a mired whose clocks run fast: who comes, and what arrives.

`Letter` is a message that must reach each of its recipients once, however many tries that takes. `Stranger` has those
that want something else: the attackers, tools and accidents of lib.traffic, and clients that break off. `Traffic` lets
them come, at times that a seed decides, and can bring all of it to rest. All times in a plan are those of mired's clocks.
Clients come over a cable (lib.netns), where holds can be frozen."""

import base64
import collections
import concurrent.futures
import heapq
import itertools
import os
import random
import re
import socket
import ssl
import threading
import time
import traceback

from . import netns, traffic
from .scripted import Scripted
from .smtp import Client, Hung
from .waiting import PATIENCE, until

OTHERS = [f"q{n}@mixed.test" for n in range(10)]  # their backend is not the store
ACCOUNTS = [f"u{n}@example.test" for n in range(5)]  # nobody guesses at these
SLOW = 100  # seconds that a slow client takes for a message
TOKEN = re.compile(rb"^Message-ID: <letter-(\d+)@senders\.test>\r?$", re.M)
CONTEXT = ssl.create_default_context()
CONTEXT.check_hostname, CONTEXT.verify_mode = False, ssl.CERT_NONE


class Colleague(Scripted):
    """The backend of OTHERS, by LMTP. It defers some recipients at first, so that answers are mixed."""

    def __init__(self):
        self.copies_of, self.deferred = collections.Counter(), set()
        super().__init__(self._answer, lmtp=True)

    def _answer(self, verb, argument, session):
        letter = re.search(r"letter-(\d+)@", session.sender or "")
        if verb != "." or not letter or int(letter[1]) % 3:
            return None
        with self.lock:
            if (letter[1], argument) in self.deferred:
                return None
            self.deferred.add((letter[1], argument))
        return "452 4.2.2 later"

    def keep(self, recipient, message):
        with self.lock:
            self.copies_of[token(message), recipient] += 1


def token(message):
    found = TOKEN.search(message[:8192])
    return found and int(found[1])


def stored(mail):
    """Counter of (number of the letter, recipient) in the store's mailboxes."""
    copies = collections.Counter()
    for path in mail.glob("*/*/new/*"):
        with open(path, "rb") as f:
            copies[token(f.read(8192)), f"{path.parts[-3]}@{path.parts[-4]}"] += 1
    return copies


class Letter:
    """left: recipients that have not got it yet.  wrong: replies that it must never get."""

    def __init__(self, number, lot, wrong):
        self.number, self.wrong = number, wrong
        self.recipients = lot.sample(traffic.PEOPLE, lot.choice((1, 1, 1, 2, 3)))
        if number % 5 == 0:
            self.recipients += lot.sample(OTHERS, lot.choice((1, 2)))
        self.left = list(self.recipients)
        self.doubts = collections.Counter()  # tries whose outcome the sender has not heard
        self.source = f"10.78.{lot.randrange(128, 192)}.{lot.randrange(1, 8)}"
        self.login, self.slow, self.chunks = lot.random() < 0.2, lot.random() < 0.05, lot.random() < 0.2
        if self.login:
            self.account = lot.randrange(len(ACCOUNTS))
            self.source = f"10.78.{192 + self.account}.{lot.randrange(1, 8)}"
        self.secure, self.typo = self.login or lot.random() < 0.4, lot.random() < 0.1
        length = lot.choice((200, 2000, 2000, 20_000, 300_000, 1_500_000 if number % 50 == 0 else 4000))
        self.text = b"Message-ID: <letter-%d@senders.test>\r\nSubject: half a day\r\n\r\n" % number
        self.text += (b"x" * 70 + b"\r\n") * (length // 72)
        self.tries = 0

    def must(self, reply, *codes):
        """Whether it may go on; a reply that is neither that nor one to try again later is wrong."""
        if reply.code not in codes and not 400 <= reply.code < 500 and reply.code:
            self.wrong.append(f"letter {self.number}: {reply.text!r} in try {self.tries}")
        return reply.code in codes

    def run(self, day):
        self.tries += 1
        port = day.submission if self.login else day.port
        client = Client(port, host=netns.SERVER, source=self.source, greet=False)
        day.opened(client)
        with client:
            if self.must(client.reply(), 220) and self.must(client.say("EHLO senders.test"), 250) and self._enter(client):
                self._transaction(client, day)

    def _enter(self, client):
        if self.secure:
            if not self.must(client.say("STARTTLS"), 220):
                return False
            client.socket = CONTEXT.wrap_socket(client.socket)
            if not self.must(client.say("EHLO senders.test"), 250):
                return False
        return not self.login or self.must(client.login(ACCOUNTS[self.account], traffic.PASSWORD), 235)

    def _transaction(self, client, day):
        sender = f"letter-{self.number}@senders.test"
        if not self.must(client.say(f"MAIL FROM:<{sender}>"), 250):
            return
        if self.typo and self.tries == 1:
            self.must(client.say("RCPT TO:<qq@example.test>"), 550)
        taken = [to for to in self.left if self.must(client.say(f"RCPT TO:<{to}>"), 250)]
        if not taken:
            return
        if not self.chunks and not self.must(client.say("DATA"), 354):
            return
        slow = self.slow and self.tries == 1
        pieces = 8 if slow else 1
        step = -(-len(self.text) // pieces)
        for at in range(0, len(self.text), step):
            piece = self.text[at : at + step]
            if slow:
                day.pause(SLOW / pieces)
            if not self.chunks:
                client.send(piece)
            elif at + step < len(self.text):
                client.send(b"BDAT %d\r\n%s" % (len(piece), piece))
                if not self.must(client.reply(), 250):
                    return
        self.doubts.update(taken)
        client.send(b"BDAT %d LAST\r\n%s" % (len(piece), piece) if self.chunks else b".\r\n")
        reply = client.reply()
        if reply.code:
            self.doubts.subtract(taken)
        if self.must(reply, 250):
            self.left = [to for to in self.left if to not in taken]
            client.say("QUIT")


class Stranger(traffic.Conversation):
    """One connection of somebody whose fate nobody follows; it is hung up on when there shall be rest."""

    def __init__(self, day, source, number):
        super().__init__(day, source, number)
        self.day = day

    def connect(self, submission=False, greet=True):
        port = self.day.submission if submission else self.day.port
        self.c = Client(port, host=netns.SERVER, source=self.source, greet=False)
        self.day.opened(self.c, stranger=True)
        if greet:
            self.take()

    def guesses(self):
        """Wrong passwords of one account, and now and then the right one."""
        self.connect(submission=True)
        self.say("EHLO x")
        self.start_tls()
        for n in range(4):
            word = traffic.PASSWORD if self.number % 5 == 0 and n == 3 else f"wrong{n}"
            token = base64.b64encode(f"\0{traffic.USER}\0{word}".encode()).decode()
            self.say(f"AUTH PLAIN {token}")
        self.say("QUIT")

    def says_no_tls(self):
        self.connect()
        self.say("EHLO x")
        self.say("STARTTLS")
        self.c.send(b"EHLO in clear\r\n" if self.number % 2 else os.urandom(300))
        self.take()

    def leaves_amid_the_handshake(self):
        self.connect()
        self.say("EHLO x")
        self.say("STARTTLS")
        self.c.send(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")
        self.day.pause(5 if self.number % 2 else 90)

    def breaks_off(self):
        """Amid a message, with a reset or without."""
        self.connect()
        self.say("EHLO x")
        if self.number % 3 == 0:
            self.start_tls()
        self.say("MAIL FROM:<a@b.test>")
        self.say(f"RCPT TO:<{traffic.PEOPLE[0]}>")
        if self.number % 2:
            self.say("DATA")
            self.c.send(b"Subject: x\r\n\r\n" + b"y" * 70_000)
        else:
            self.c.send(b"BDAT 100000\r\n" + b"y" * 70_000)
            self.c.will_reset()
        self.day.pause(self.number % 30)

    def creeps(self):
        """A command in octets."""
        self.connect()
        for octet in b"EHLO creeps.test\r\n":
            self.c.send(bytes([octet]))
            self.day.pause(5)
        self.take()

    def reads_nothing(self):
        self.connect()
        self.c.send("EHLO x\r\nMAIL FROM:<a@b.test>\r\n" + "RCPT TO:<p1@example.test>\r\n" * 900)
        self.day.pause(60)


STRANGERS = {
    **{kind: weight for kind, weight in traffic.KINDS.items() if kind.__name__ not in ("sender", "secure", "guesser")},
    Stranger.guesses: 6,
    Stranger.says_no_tls: 4,
    Stranger.leaves_amid_the_handshake: 3,
    Stranger.breaks_off: 6,
    Stranger.creeps: 2,
    Stranger.reads_nothing: 2,
}
COMMANDS = [
    ["status"], ["--json", "status"], ["clients"], ["connections"], ["config"], ["log", "10.78.1.1"], ["show", "10.78.1.1"],
    ["show", traffic.USER], ["exempt", "10.78.250.1", "--for", "1h"], ["exempt", "--list"], ["release", "10.78.1.1"],
    ["route", "p1@example.test"], ["recipient", "p1@example.test"], ["cache", "flush"], ["ledger", "dump"], ["traps", "--suggest"],
    ["advise"], ["observe"],
]  # fmt: skip
PAGES = ["/", "/metrics", "/live", "/history", "/health", "/ready", "/observed?since=7d", "/client?address=10.78.1.1", "/events", "/x"]


class Traffic:
    """letters: all that were sent.  strangers: how many came.  said: exit statuses of mirectl and answers of the page."""

    def __init__(self, mired, cable, web, speed, seed, again):
        self.mired, self.cable, self.web, self.speed = mired, cable, web, speed
        self.again = again  # seconds after which a mail server tries again, from and to
        self.port, self.submission = mired.port, mired.submission
        self.lot = random.Random(seed)
        self.letters, self.wrong, self.said, self.faults = [], [], collections.Counter(), []
        self.strangers = collections.Counter()
        self.pool = concurrent.futures.ThreadPoolExecutor(400)
        self.rest = threading.Event()
        self._lock = threading.Lock()
        self._open = set()  # sockets of strangers
        self._running = set()  # futures
        self._waiting = []  # letters that come again: (when, number, letter)
        self._number = itertools.count(1)
        self.begun = time.monotonic()

    def now(self):
        """Seconds since the beginning, on mired's clocks."""
        return (time.monotonic() - self.begun) * self.speed

    def pause(self, seconds):
        """Of mired's clocks; shorter when there shall be rest."""
        self.rest.wait(seconds / self.speed)

    def opened(self, client, stranger=False):
        client.socket.settimeout(PATIENCE)
        if stranger:
            with self._lock:
                self._open.add(client)

    # ---- what happens ----

    def _submit(self, do, *arguments):
        def guarded():
            try:
                do(*arguments)
            except (OSError, Hung, traffic.Closed, ValueError):
                pass  # the connection ended: a letter comes again
            except Exception:  # pylint: disable=broad-except
                self.faults.append(traceback.format_exc())

        self._running.add(self.pool.submit(guarded))

    def letter(self, letter):
        try:
            letter.run(self)
        finally:
            if letter.left:
                with self._lock:
                    at = self.now() + random.uniform(*self.again)
                    heapq.heappush(self._waiting, (at, letter.number, letter))

    def stranger(self, kind, source, number):
        talk = Stranger(self, source, number)
        try:
            kind(talk)
        finally:
            if hasattr(talk, "c"):
                with self._lock:
                    self._open.discard(talk.c)
                talk.c.close()

    def command(self, n):
        arguments = COMMANDS[n % len(COMMANDS)]
        done = self.mired.control(*arguments)
        self.said[" ".join(arguments[:2]), done.returncode] += 1

    def page(self, n):
        path = PAGES[n % len(PAGES)]
        s = self.cable.at_server(lambda: socket.create_connection(("127.0.0.1", self.web), PATIENCE))
        with s:
            s.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
            status = s.recv(65536).split(b" ", 2)[1:2]
            if path == "/events":
                self.pause(60)
            else:
                while s.recv(65536):
                    pass
        self.said[path, b"".join(status).decode()] += 1

    def plan(self, seconds, each_minute, others=()):
        """Events of so many seconds: (when, order, what to do, arguments); half of the conversations are letters'."""
        lot, events = self.lot, []
        for _ in range(round(seconds / 60 * each_minute)):
            n = next(self._number)
            if lot.random() < 0.5:
                self.letters.append(Letter(n, lot, self.wrong))
                do, arguments = self.letter, (self.letters[-1],)
            else:
                (kind,) = lot.choices(list(STRANGERS), STRANGERS.values())
                net, host = lot.choice(((lot.randrange(64), lot.randrange(1, 250)), (lot.randrange(4), lot.randrange(1, 50))))
                self.strangers[kind.__name__] += 1
                do, arguments = self.stranger, (kind, f"10.78.{net}.{host}", n)
            events.append((lot.uniform(0, seconds), n, do, arguments))
        for every, do in ((97, self.command), (61, self.page)):
            at = lot.uniform(0, every)
            while at < seconds:
                n = next(self._number)
                events.append((at, n, do, (n,)))
                at += every
        events += [(at, next(self._number), do, ()) for at, do in others]
        return sorted(events, key=lambda e: e[:2])

    def play(self, events):
        """Returns when all of them have begun."""
        begun = self.now()
        for at, _, do, arguments in events:
            self._again(begun + at)
            self._submit(do, *arguments)

    def _again(self, end):
        """Waits, and sends the letters that come again meanwhile."""
        while True:
            self._running = {f for f in self._running if not f.done()}
            now = self.now()
            with self._lock:
                due = []
                while self._waiting and self._waiting[0][0] <= now:
                    due.append(heapq.heappop(self._waiting)[2])
            for letter in due:
                self._submit(self.letter, letter)
            if now >= end:
                return
            time.sleep(min(end - now, 10) / self.speed)

    def wait(self, seconds):
        self._again(self.now() + seconds)

    def wait_at_rest(self, seconds):
        """No letter comes again meanwhile."""
        time.sleep(seconds / self.speed)

    def come_to_rest(self):
        """Strangers are hung up on, and what the others have begun they end. Letters that come again wait."""
        self.rest.set()
        end = time.monotonic() + 3 * PATIENCE
        while self._running:
            with self._lock:
                for client in self._open:
                    try:
                        socket.socket.shutdown(client.socket, socket.SHUT_RDWR)
                    except OSError:
                        pass
            concurrent.futures.wait(self._running, 0.2)
            self._running = {f for f in self._running if not f.done()}
            assert time.monotonic() < end, f"{len(self._running)} conversations do not end"
        self.rest.clear()

    def deliver_the_rest(self):
        until(lambda: self.wait(60) or (not self._waiting and not self._running), 5 * PATIENCE, self._missing)

    def _missing(self):
        return f"letters that do not arrive: {[(l.number, l.left, l.tries) for l in self.letters if l.left]}"

    def close(self):
        self.rest.set()
        self.pool.shutdown(cancel_futures=True)
