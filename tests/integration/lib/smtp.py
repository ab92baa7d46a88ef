"""An SMTP client that does what it is told, however wrong, and knows when each answer came."""

import base64
import dataclasses
import socket
import struct
import time

from . import ports
from .waiting import PATIENCE, until


class Hung(AssertionError):
    """No complete reply came in time."""


@dataclasses.dataclass
class Reply:
    code: int
    lines: list  # as received, without CRLF
    seconds: float  # from the command to the reply's last line

    @property
    def text(self):
        return "\n".join(self.lines)

    @property
    def ok(self):
        return 200 <= self.code < 400

    def __contains__(self, words):
        return words in self.text


class Client:
    """One connection. Comes from a fresh loopback address unless told otherwise.

    `begun` is the time just before the last sending, from which replies are counted: taken behind it, a pause of
    this process would make a hold look short."""

    def __init__(self, port, host="127.0.0.1", source=None, timeout=PATIENCE, greet=True):
        if source is None and ":" not in host:
            source = ports.stranger()
        self.source = source
        self.begun = time.monotonic()
        self.socket = socket.create_connection(
            (host, port), timeout=timeout, source_address=(source, 0) if source else None
        )
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffer = b""
        self.greeting = self.reply() if greet else None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.socket.close()

    def will_reset(self):
        """From now on close() resets the connection."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    def send(self, octets):
        if isinstance(octets, str):
            octets = octets.encode()
        self.begun = time.monotonic()
        self.socket.sendall(octets)

    def line(self):
        """The next line without its CRLF, or None when the server has closed."""
        while b"\r\n" not in self.buffer:
            try:
                more = self.socket.recv(65536)
            except socket.timeout:
                raise Hung(f"no reply for {time.monotonic() - self.begun:.1f} s") from None
            except ConnectionResetError:
                more = b""
            if not more:
                return None
            self.buffer += more
        line, self.buffer = self.buffer.split(b"\r\n", 1)
        return line.decode("utf-8", "backslashreplace")

    def reply(self):
        """The next whole reply; code 0 when the server closed instead."""
        lines = []
        while True:
            line = self.line()
            if line is None:
                return Reply(0, lines, time.monotonic() - self.begun)
            lines.append(line)
            if line[3:4] != "-":
                return Reply(int(line[:3]), lines, time.monotonic() - self.begun)

    def say(self, command):
        """Sends a line and returns its reply."""
        self.send(command + "\r\n")
        return self.reply()

    def must(self, command, code=None):
        """As say(), for what has to work."""
        reply = self.say(command)
        assert (reply.code == code) if code else reply.ok, f"{command!r} got {reply.text!r}"
        return reply

    def is_closed(self, timeout=PATIENCE):
        """True once the server has closed and nothing more is to be read."""
        self.socket.settimeout(timeout)
        return self.line() is None

    def ehlo(self, name="client.elsewhere.test"):
        return self.must(f"EHLO {name}", 250)

    def login(self, user, password):
        token = base64.b64encode(f"\0{user}\0{password}".encode()).decode()
        return self.say(f"AUTH PLAIN {token}")

    def envelope(self, sender, recipients, parameters=""):
        """MAIL and RCPTs, one at a time; returns the replies to the RCPTs."""
        self.must(f"MAIL FROM:<{sender}>{parameters}")
        return [self.say(f"RCPT TO:<{r}>") for r in recipients]

    def data(self, message):
        """DATA with `message` (CRLF line ends) dot-stuffed; returns the reply to the final dot."""
        self.must("DATA", 354)
        stuffed = b"\r\n".join(
            b"." + line if line.startswith(b".") else line for line in message.split(b"\r\n")
        )
        self.send(stuffed + (b"" if message.endswith(b"\r\n") else b"\r\n") + b".\r\n")
        return self.reply()

    def chunks(self, message, sizes):
        """BDAT in chunks of the sizes given, the rest in the last; returns the last reply."""
        at = 0
        for size in sizes:
            part = message[at : at + size]
            at += len(part)
            self.send(b"BDAT %d\r\n" % len(part) + part)
            reply = self.reply()
            if not reply.ok:
                return reply
        self.send(b"BDAT %d LAST\r\n" % len(message[at:]) + message[at:])
        return self.reply()

    def message(self, sender, recipients, message=b"Subject: x\r\n\r\nhello\r\n"):
        """A whole transaction after EHLO; returns the reply to the data."""
        if isinstance(recipients, str):
            recipients = [recipients]
        for reply in self.envelope(sender, recipients):
            if not reply.ok:
                return reply
        return self.data(message)

    def quit(self):
        reply = self.say("QUIT")
        self.close()
        return reply


def deliver(port, sender, recipients, message=b"Subject: x\r\n\r\nhello\r\n", source=None):
    """Connects, delivers one message and quits; returns the deciding reply."""
    with Client(port, source=source) as client:
        if not client.greeting.ok:
            return client.greeting
        client.ehlo()
        return client.message(sender, recipients, message)


def wait_offered(port, extension):
    """Until a client is offered it. Each look is a connection: one that says EHLO without end is closed."""

    def offered():
        with Client(port) as client:
            return extension in client.ehlo()

    until(offered)


def transaction(port, sender, recipients, message, source=None, parameters=""):
    """({recipient: code}, the reply to the data or None); a recipient that RCPT took has the code of the reply to the data."""
    with Client(port, source=source) as client:
        client.ehlo()
        codes = {to: reply.code for to, reply in zip(recipients, client.envelope(sender, recipients, parameters))}
        reply = None
        if 250 in codes.values():
            reply = client.data(message)
            codes |= {to: reply.code for to, code in codes.items() if code == 250}
        return codes, reply
