"""Floods: many connections of one kind from a process of their own, as other machines would send them.

Each kind is a function that yields what one connection does, piece by piece: octets to send, a number of replies to wait
for (of all that came so far), or SPENT, when it costs the server what it is meant to. Run as a program: floods.py KIND
CONNECTIONS PORTS [SECONDS [again]]; it opens the connections, at several ports (1,2) in turn, prints "open" when all are
SPENT, or have sent their first pieces, goes on until its time is up or it is ended, and prints what happened as JSON; at
SIGUSR1 what has happened so far. With `again` a connection that ends is followed by another one."""

import functools
import itertools
import json
import pathlib
import random
import selectors
import signal
import socket
import ssl
import struct
import subprocess
import sys
import time

EHLO = b"EHLO flood.test\r\n"
MAIL = b"MAIL FROM:<a@flood.test>\r\n"
GOOD = b"RCPT TO:<alice@example.test>\r\n"
BALANCER = "127.66.9.1"
SLOW = 2  # seconds between two octets
PACE = 0.2  # and between two larger pieces: it is not the line that is tried
STORM = 1000  # connections of each member of a storm
SPENT = "spent"
RESET = struct.pack("ii", 1, 0)  # SO_LINGER: what is closed is reset


def commands(n):
    """An octet of a command now and then."""
    for octet in b"EHLO " + b"x" * 10000:
        yield bytes([octet])


def data(n):
    yield EHLO + MAIL + GOOD + b"DATA\r\n"
    for octet in b"Subject: x" * 10000:
        yield bytes([octet])


def before_handshake(n):
    """Every second connection is at the port of STARTTLS, and a handshake begins there behind the reply."""
    if n % 2:
        yield 1
        yield EHLO
        yield 2
        yield b"STARTTLS\r\n"
        yield 3


@functools.cache
def client_hello():
    out = ssl.MemoryBIO()
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).wrap_bio(ssl.MemoryBIO(), out, server_hostname="mx.example.test")
    try:
        tls.do_handshake()
    except ssl.SSLWantReadError:
        return out.read()


def handshake(n):
    """A ClientHello that never ends."""
    yield from before_handshake(n)
    yield b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"
    yield SPENT
    for octet in b"\0" * 1000:
        yield bytes([octet])


def hello(n):
    """A whole ClientHello, and no answer to what the server says then."""
    yield from before_handshake(n)
    yield client_hello()
    yield SPENT


def proxy(n):
    """A PROXY header that never ends; half of them of version 2."""
    for octet in (b"PROXY TCP4 192.0.2.1 " + b"1" * 80) if n % 2 else b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x02\x00" + b"\0" * 500:
        yield bytes([octet])


def recipients(n):
    """10,000 pipelined recipients that do not exist."""
    yield EHLO + MAIL + b"".join(b"RCPT TO:<r%d@example.test>\r\n" % i for i in range(10_000))


def giant(n):
    """A command of 20 MB."""
    yield b"EHLO "
    yield from itertools.repeat(b"x" * 16384, 1280)


def headers(n):
    """A message whose header does not end: 30 MB each."""
    yield EHLO + MAIL + GOOD + b"DATA\r\n"
    yield from itertools.repeat(b"X-Header: of the flood, to be continued for ever\r\n" * 300, 2000)


def window(n):
    """Commands whose replies the client never reads, as many as their limit allows: 78 KB."""
    yield EHLO + MAIL + GOOD * 2990


def junk(n):
    """2,200 commands that bring no mail forward."""
    yield EHLO * 200 + b"NOOP\r\nHELP\r\nRSET\r\nVRFY root\r\n" * 500


def transactions(n):
    """2,000 transactions that are given up."""
    yield EHLO + (MAIL + GOOD + b"RSET\r\n") * 2000


def chunks(n):
    """A message in 200,000 chunks of an octet each, every one of which wants a reply."""
    yield EHLO + MAIL + GOOD
    yield from itertools.repeat(b"BDAT 1\r\nx" * 1000, 200)


def logins(n):
    """Wrong passwords."""
    yield EHLO + b"AUTH PLAIN AGFsaWNlAHdyb25n\r\n" * 300


def storm(n):
    """Nothing: Fickle goes at once."""
    yield b""


KINDS = {
    f.__name__: f
    for f in (commands, data, handshake, hello, proxy, recipients, giant, headers, window, junk, transactions, chunks, logins, storm)
}
HALF_OPEN = ("handshake", "hello")


did = {"connections": 0, "sent": 0, "heard": 0}  # the last two in octets


class One:
    REST = 0.02  # seconds between two turns

    def __init__(self, kind, n, port):
        self.pieces, self.out, self.socket = KINDS[kind](n), b"", socket.socket()
        self.reads = kind != "window"
        if not self.reads:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        self.socket.bind((BALANCER if kind == "proxy" else f"127.67.{n % 40}.1", 0))
        self.socket.setblocking(False)
        self.socket.connect_ex(("127.0.0.1", port))
        did["connections"] += 1
        self.due, self.spent = 0, False
        self.marks = kind in HALF_OPEN
        self.line, self.replies, self.awaited = b"", 0, 0

    def hear(self, got):
        """Counts replies: their last lines have a space behind the code."""
        lines = (self.line + got).split(b"\n")
        self.line = lines.pop()[:4]
        self.replies += sum(line[3:4] == b" " for line in lines)

    def turn(self, now):
        """Sends what it may; False when the connection has ended, or has nothing more to do."""
        try:
            if self.reads:
                while got := self.socket.recv(65536):
                    did["heard"] += len(got)
                    if self.awaited is not None:
                        self.hear(got)
                if got == b"":
                    return False
        except BlockingIOError:
            pass
        except OSError:
            return False
        if not self.out and now >= self.due and self.replies >= (self.awaited or 0):
            self.out = next(self.pieces, None)
            if self.out is None:
                self.out, self.due = b"", now + 3600
            elif self.out is SPENT:
                self.out, self.spent, self.awaited = b"", True, None
            elif isinstance(self.out, int):
                self.out, self.awaited = b"", self.out
            else:
                self.due = now + (SLOW if len(self.out) == 1 else PACE)
        try:
            if self.out:
                sent = self.socket.send(self.out)
                did["sent"] += sent
                self.out = self.out[sent:]
                self.spent |= not self.marks
        except BlockingIOError:
            pass
        except OSError:
            return False
        return True


class Fickle:
    """A member of a storm: it connects and leaves, again and again: at once, at once with a reset, when there is a greeting
    that it does not read, or behind commands whose replies it does not read."""

    REST = 0

    def __init__(self, kind, n, port):
        self.n, self.port, self.made, self.spent, self.leaves, self.socket = n, port, 0, False, 0, socket.socket()

    def turn(self, now):
        if now < self.leaves:
            return True
        self.socket.close()
        self.spent |= self.made > 0
        if self.made == STORM:
            return False
        self.socket = socket.socket()
        way = (self.n // 40 + self.made) % 4
        if way == 1:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        self.socket.bind((f"127.67.{self.n % 40}.1", 0))
        self.socket.setblocking(False)
        self.socket.connect_ex(("127.0.0.1", self.port))
        try:
            if way == 3:
                self.socket.send(EHLO + MAIL)
        except OSError:
            pass
        self.leaves = now + (PACE if way == 2 else 0)
        self.made += 1
        did["connections"] += 1
        return True


def main(kind, count, targets, seconds=60, again=None):
    member, at = Fickle if kind == "storm" else One, [int(port) for port in targets.split(",")]
    make = lambda n: member(kind, n, at[n % len(at)])  # noqa: E731
    flood = [make(n) for n in range(int(count))]
    begun, said, ended, due = time.monotonic(), False, 0, []

    def tell(*_):
        print(json.dumps({"ended": ended, "open": len(flood), **(did if again else {})}), flush=True)

    signal.signal(signal.SIGUSR1, tell)
    try:
        while (flood or due) and time.monotonic() < begun + float(seconds):
            now = time.monotonic()
            left = [one for one in flood if one.turn(now)]
            for one in set(flood) - set(left):
                one.socket.close()
            gone = len(flood) - len(left)
            ended += gone
            due += [now + PACE] * gone if again else []
            while due and due[0] <= now:
                due.pop(0)
                left.append(make(ended + len(left)))
                left[-1].spent |= said
            flood = left
            if not said and all(one.spent for one in flood):
                said = True
                print("open", flush=True)
            time.sleep(member.REST)
    except KeyboardInterrupt:
        pass
    if not said:
        print("never open", flush=True)
    tell()


def stranger(n, lot):
    """A PROXY header of the n-th of many addresses, every second of them IPv6."""
    if n % 2:
        return f"PROXY TCP6 2001:db8:{n & 0xFFFF:x}:{n >> 16:x}::{lot.getrandbits(16):x} 2001:db8::1 4000 25\r\n".encode()
    return f"PROXY TCP4 {11 + (n >> 16) % 80}.{n >> 8 & 255}.{n & 255}.{1 + n % 250} 192.0.2.1 4000 25\r\n".encode()


def strangers(first, end, port):
    """Connections through the balancer, each of another address: a wrong recipient, and gone. 50 at a time."""
    lot, done = random.Random(int(first)), 0
    for some in range(int(first), int(end), 50):
        sockets = []
        for n in range(some, min(some + 50, int(end))):
            s = socket.socket()
            s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)  # no port stays behind
            s.bind((BALANCER, 0))
            s.connect(("127.0.0.1", int(port)))
            s.sendall(stranger(n, lot) + EHLO + MAIL + b"RCPT TO:<nobody@example.test>\r\n")
            s.settimeout(60)
            sockets.append(s)
        for s in sockets:
            try:
                done += s.recv(10) != b""
            except OSError:
                pass
            s.close()
    print(json.dumps({"done": done}), flush=True)


class Flood:
    """One that runs beside the test, with less claim to the processors, which are not the attacker's."""

    def __init__(self, *arguments):
        command = ["nice", "-n", "15", sys.executable, pathlib.Path(__file__), *map(str, arguments)]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)

    def wait_open(self):
        assert self.process.stdout.readline() == "open\n"
        return self

    def so_far(self):
        """What it has done; of one that goes on again."""
        self.process.send_signal(signal.SIGUSR1)
        return json.loads(self.process.stdout.readline())

    def end(self):
        if self.process.poll() is None:
            self.process.send_signal(2)
        said = self.process.stdout.read().splitlines()
        self.process.wait()
        return json.loads(said[-1]) if said and said[-1].startswith("{") else None


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job has it ignored
    if sys.argv[1] == "strangers":
        strangers(*sys.argv[2:])
    else:
        main(*sys.argv[1:])
