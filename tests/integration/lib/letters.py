"""Random messages, their way to a server cut at random, and what has to arrive of them."""

import random
import ssl

from .smtp import Client

PLAIN = bytes(range(1, 256)).translate(None, b"\r\n")


def sizes(random_, count, most):
    """From 1 octet to `most`, as many of each magnitude, both ends included."""
    drawn = [int(most ** random_.random()) for _ in range(count - 2)]
    return random_.sample([1, most, *drawn], count)


def octets(random_, count):
    """Octets of any value that may stand in a line."""
    raw = random_.randbytes(count)
    return raw.translate(bytes(b if b not in b"\0\r\n" else 46 for b in range(256)))


def letter(random_, size):
    """A message of about `size` octets with lines of all lengths and a line end at its end. Half of them have dots at the
    start of lines; the others have none, so that they can go with BDAT."""
    dots = random_.random() < 0.5
    if size < 100:
        line = octets(random_, size)
        return b"\r\n" + (line if dots else line.lstrip(b".")) + b"\r\n"  # without a header
    lines, left = [b"Subject: %d\r\n\r\n" % size], size
    longest = random_.choice((40, 78, 300, 1900))
    pool = octets(random_, 1 << 16)
    while left > 0:
        start = random_.randrange(1 << 15)
        line = pool[start : start + random_.randint(0, min(longest, left))]
        if not dots:
            line = line.lstrip(b".")
        elif random_.random() < 0.1:
            line = b"." * random_.randint(1, 3) + line
        lines.append(line)
        lines.append(b"\r\n")
        left -= len(line) + 2
    return b"".join(lines)


def stuffed(message):
    return (b"." if message.startswith(b".") else b"") + message.replace(b"\r\n.", b"\r\n..")


class Sender(Client):
    """Sends the octets of a message in pieces cut at random; with TLS, each piece in records of its own."""

    def __init__(self, port, random_, tls):
        super().__init__(port)
        self.random = random_
        self.ehlo()
        if tls:
            self.must("STARTTLS", 220)
            context = ssl._create_unverified_context()
            self.socket = context.wrap_socket(self.socket)
            self.ehlo()

    def pieces(self, octets_):
        most = self.random.choice((3000, 17000, 70000, 1 << 20)) if len(octets_) > 3000 else 40
        at = 0
        while at < len(octets_):
            cut = self.random.randint(1, most)
            self.send(octets_[at : at + cut])
            at += cut

    def by_data(self, message):
        self.must("DATA", 354)
        self.pieces(stuffed(message) + b".\r\n")
        return self.reply()

    def by_bdat(self, message):
        at, reply = 0, None
        while at < len(message) or reply is None:
            size = self.random.randint(0, self.random.choice((100, 20000, len(message))))
            if self.random.random() < 0.3:
                size = len(message) - at
            chunk = message[at : at + size]
            at += len(chunk)
            last = b" LAST" if at >= len(message) else b""
            self.pieces(b"BDAT %d%s\r\n" % (len(chunk), last) + chunk)
            reply = self.reply()
            if not reply.ok:
                break
        return reply

    def letter(self, sender, recipient, message, chunks):
        for reply in self.envelope(sender, [recipient]):
            assert reply.code == 250, reply.text
        return self.by_bdat(message) if chunks else self.by_data(message)
