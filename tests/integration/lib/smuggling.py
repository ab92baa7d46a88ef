"""The smuggling matrix: what a server may take for the end of the data, sent in every way that octets can arrive.

A cell is an end and a way to send it. Each cell is a connection of its own with one message for USER. The message
contains the end, and behind it the commands of a second message, for ANOTHER. A server that believes in the end sees
two messages."""

import collections
import itertools
import os
import re
import socket
import ssl
import struct
import time

from .waiting import PATIENCE

USER, ANOTHER = "alice@example.test", "bob@example.test"
SENDER, EVIL = "a@b.test", "evil@b.test"
TRUE_END = b"\r\n.\r\n"
HIDDEN = f"MAIL FROM:<{EVIL}>\r\nRCPT TO:<{ANOTHER}>\r\nDATA\r\nX-Smuggled: yes\r\nSubject: hidden\r\n\r\nx".encode()

# What servers of 2023 to 2026 took for the end of the data, and forms close to it.
NAMED = [
    b"\n.\n", b"\n.\r\n", b"\r.\r\n", b"\r.\r", b"\r.\n", b"\n.\r", b"\r\n.\n", b"\r\n.\r", b"\n\n.\r\n", b"\n\n.\n",
    b"\r\r\n.\r\r\n", b"\r\n.\r\r\n", b"\n\r.\r\n", b"\n\r.\n\r", b"\r\n.\n\r", b"\r\r.\r\r", b"\r\n\n.\n\r\n",
    b"\r\n\0.\r\n", b"\r\n.\0\r\n", b"\r\0\n.\r\n", b"\r\n.\r\0\n", b"\r\n\0\0.\r\n", b"\n\0.\n", b"\n.\0\n", b"\0.\0",
    b"\r\n..\r\n", b"\r\n..\n", b"\n..\n", b"\n..\r\n", b"\r\n...\r\n", b"\r\n. \r\n", b"\r\n.\t\r\n", b"\r\n .\r\n",
    b"\r\n.\x80\r\n", b"\r\n\x80.\r\n", b"\x8d\x8a\xae\x8d\x8a", b"\r\n\xae\r\n", b"\x85.\x85", b"\xc2\x85.\xc2\x85",
    "\u2028.\u2028".encode(), "\r\n\uff0e\r\n".encode(), b"\r\n.\x0b\r\n", b"\x0b.\x0b", b"\x0c.\x0c", b"\r\n.\x1a\r\n",
    b"\x1a\r\n.\x1a", b"\xc0\x8d\xc0\x8a.\xc0\x8d\xc0\x8a", b"\r\n\x7f.\r\n", b"\r\n.\b\r\n", b"=0D=0A.=0D=0A",
]  # fmt: skip

_BREAKS = [b"", b"\n", b"\r", b"\r\n", b"\n\r", b"\r\r\n", b"\r\n\n", b"\0\n", b"\r\0\n", b"\r\n\0", b"\0\r\n", b"\x8d\x8a", b"\x0b\r\n"]
_DOTS = [b".", b"..", b"\0.", b".\0", b". ", b"\xae"]
BUILT = [e for e in map(b"".join, itertools.product(_BREAKS, _DOTS, _BREAKS)) if TRUE_END not in e and e not in NAMED]

Cell = collections.namedtuple("Cell", "end way")


def ways(end):
    """How the octets of DATA arrive. `cut N`: in two parts, at the N-th octet of the end; under TLS, in two records."""
    yield from ("once", "octets", "tls", "records")
    yield from (f"cut {n}" for n in range(len(end) + 1))


def chunk_ways(end):
    """How chunks are cut: at the N-th octet of the end with the rest in the last, or followed by an empty last one."""
    yield from ("chunk", "chunk then none", "chunks of 1", "chunk under tls")
    yield from (f"chunks {n}" for n in range(len(end) + 1))
    yield from (f"chunks {n} then none" for n in range(len(end) + 1))


def matrix():
    """All cells. A true end is only for chunks, in which it ends nothing."""
    named = [Cell(end, way) for end in NAMED for way in (*ways(end), *chunk_ways(end))]
    built = [Cell(end, way) for end in BUILT for way in ("once", "octets", "chunk")]
    return named + built + [Cell(TRUE_END, way) for way in chunk_ways(TRUE_END)]


def message(number, end):
    return b"Subject: token-%d\r\n\r\nline" % number + end + HIDDEN


_context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
_context.check_hostname, _context.verify_mode = False, ssl.CERT_NONE


def unread(server, client):
    """Octets that the server's side of a connection has not read; both ends are (address, port). Linux's sock_diag(7)."""
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 4) as asking:  # NETLINK_SOCK_DIAG
        ends = struct.pack("!HH", server[1], client[1])
        ends += b"".join(socket.inet_aton(end[0]).ljust(16, b"\0") for end in (server, client)) + struct.pack("=III", 0, *[2**32 - 1] * 2)
        request = struct.pack("=BBBxI", socket.AF_INET, socket.IPPROTO_TCP, 0, 2**32 - 1) + ends
        asking.send(struct.pack("=IHHII", 16 + len(request), 20, 1, 0, 0) + request)  # SOCK_DIAG_BY_FAMILY
        answer = asking.recv(4096)
    kind = struct.unpack_from("=H", answer, 4)[0]
    return struct.unpack_from("=I", answer, 16 + 4 + 48 + 4)[0] if kind == 20 else 0


class Talk:
    """One conversation, which counts replies. `greeting` is EHLO, or LHLO."""

    def __init__(self, plain, greeting="EHLO"):
        self.socket, self.left = plain, b""
        plain.settimeout(PATIENCE)
        if plain.family != socket.AF_UNIX:
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.greeting = greeting
        self.reply()
        self.say(f"{greeting} client.test")

    def starttls(self):
        self.say("STARTTLS")
        self.socket = _context.wrap_socket(self.socket)
        self.say(f"{self.greeting} client.test")
        return self

    def more(self):
        try:
            octets = self.socket.recv(65536)
        except (ConnectionResetError, ssl.SSLError):
            octets = b""
        self.left += octets
        return octets

    def reply(self):
        """The code of the next reply; 0 at the end."""
        while True:
            found = re.match(rb"(?:\d{3}-[^\n]*\n)*(\d{3}) [^\n]*\n", self.left)
            if found:
                self.left = self.left[found.end() :]
                return int(found[1])
            if not self.more():
                return 0

    def say(self, line):
        self.socket.sendall(line.encode() + b"\r\n")
        return self.reply()

    def parts(self, parts):
        """Sends each part when the one before it has been read."""
        for part in parts:
            self.socket.sendall(part)
            self.wait_read()

    def wait_read(self):
        if self.socket.family != socket.AF_INET or isinstance(self.socket, ssl.SSLSocket):
            return  # records are cut where they were sent
        ends = self.socket.getpeername(), self.socket.getsockname()
        end = time.monotonic() + PATIENCE
        while unread(*ends):  # over loopback, what was sent is there
            assert time.monotonic() < end, "the server does not read"
            os.sched_yield()

    def to_the_end(self):
        """QUIT, and the codes of all replies until the other side closes."""
        try:
            self.socket.sendall(b"QUIT\r\n")
        except OSError:
            pass
        codes = []
        while code := self.reply():
            codes.append(code)
        self.socket.close()
        return codes


def _cut(text, end, way):
    """The parts in which the message of a cell is sent."""
    at = text.index(end)
    if way in ("octets", "records", "chunks of 1"):
        first, last = at - 1, at + len(end) + 1
        return [text[:first], *(text[i : i + 1] for i in range(first, last)), text[last:]]
    place = re.search(r"\d+", way)
    if place:
        at += int(place[0])
        return [text[:at], text[at:]]
    return [text]


def run(cell, number, talk):
    """Sends a cell; returns the codes of all replies to the message and what follows it, up to QUIT's."""
    way = cell.way
    if way in ("tls", "records", "chunk under tls"):
        talk.starttls()
    for command in (f"MAIL FROM:<{SENDER}>", f"RCPT TO:<{USER}>"):
        code = talk.say(command)
        assert code == 250, (command, code, cell)
    text = message(number, cell.end)
    if "chunk" not in way:
        code = talk.say("DATA")
        assert code == 354, (code, cell)
        parts = _cut(text, cell.end, way)
        talk.parts([*parts[:-1], parts[-1] + TRUE_END])
        return talk.to_the_end()
    parts = _cut(text, cell.end, way) + ([b""] if way.endswith("none") or way == "chunks of 1" else [])
    for part in parts[:-1]:
        talk.socket.sendall(b"BDAT %d\r\n" % len(part) + part)
        code = talk.reply()
        if code != 250:
            return [code, *talk.to_the_end()]
    talk.socket.sendall(b"BDAT %d LAST\r\n" % len(parts[-1]) + parts[-1])
    return talk.to_the_end()


def may_be_taken(cell, nul=False, mend=False):
    """True if mired should take the cell as one message: every CR and LF is of a CRLF, and there is no NUL; with the
    options `nul` and `mend` less strictly."""
    text = message(0, cell.end) + TRUE_END
    if mend and "chunk" in cell.way:
        text = re.sub(rb"(?<!\r)\n", b"\r\n", text)
    nuls = rb"(?m:^\0*\.\0|^\0+\.\r$)" if nul else rb"\0"
    return not re.search(rb"\r(?!\n)|(?<!\r)\n", text) and not re.search(nuls, text)


def head(mail):
    return mail.replace(b"\r\n", b"\n").split(b"\n\n")[0]


def wrong(mails, taken):
    """What is wrong with the mail that was delivered, when the messages of `taken` had 250."""
    heads = [head(mail) for mail in mails]
    tokens = collections.Counter(int(t) for h in heads for t in re.findall(rb"^Subject: token-(\d+)$", h, re.M))
    said = [f"message {t} came {tokens[t]} times" for t in set(tokens) | set(taken) if tokens[t] != (t in taken)]
    for h in heads:
        if re.search(rb"^(X-Smuggled|Subject: hidden)", h, re.M) or EVIL.encode() in h or ANOTHER.encode() in h:
            said.append(f"smuggled: {h!r}")
    return said
