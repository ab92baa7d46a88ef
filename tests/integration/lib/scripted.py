"""A backend that answers as a test wants: SMTP or LMTP, however wrong."""

import socket
import socketserver
import threading
import time

from . import ports
from .waiting import PATIENCE

HELLO = ("PIPELINING", "SIZE", "8BITMIME", "SMTPUTF8", "DSN", "ENHANCEDSTATUSCODES")


class Session(socketserver.StreamRequestHandler):
    disable_nagle_algorithm = True

    def handle(self):
        backend = self.server.backend
        self.client = None  # what XCLIENT said
        self.begin()
        with backend.lock:
            backend.connections += 1
            backend.open.add(self.connection)
            backend.served += 1
            self.refused = backend.served > backend.most
        try:
            if self.refused:
                self.refuse(backend.refusal)
                return
            if not self.tell("GREETING", "", "220 scripted"):
                return
            while line := self.rfile.readline():
                verb, _, argument = line.decode("utf-8", "surrogateescape").rstrip("\r\n").partition(" ")
                with backend.lock:
                    backend.commands.append(f"{verb} {argument}".rstrip())
                if not self.command(verb.upper(), argument):
                    return
        except OSError:
            pass
        finally:
            with backend.lock:
                backend.served -= 1

    def refuse(self, refusal):
        if refusal is HANG:
            while self.connection.recv(4096):
                pass
        elif refusal is not CLOSE:
            self.wfile.write(f"{refusal}\r\n".encode())

    def begin(self):
        self.sender, self.recipients, self.chunks = None, [], []

    def tell(self, verb, argument, usual, before=lambda: None):
        """Says what the test wants, or what is usual; False: the connection is closed. `before` is done before the
        other side can know what is said."""
        wanted = self.server.backend.answer(verb, argument, self)
        said = usual if wanted is None else wanted
        if said is CLOSE:
            return False
        self.said = said if isinstance(said, str) else ""
        before()
        self.wfile.write(said if isinstance(said, bytes) else f"{said}\r\n".encode())
        return True

    def command(self, verb, argument):
        backend = self.server.backend
        if verb in ("EHLO", "LHLO"):
            lines = ("scripted", *backend.hello)
            usual = "\r\n".join(f"250{'-' if i < len(lines) - 1 else ' '}{l}" for i, l in enumerate(lines))
            return self.tell(verb, argument, usual)
        if verb == "MAIL":
            self.begin()
            self.sender = argument
            return self.tell(verb, argument, "250 2.1.0 ok")
        if verb == "RCPT":
            told = self.tell(verb, argument, "250 2.1.5 ok")
            if told and self.said.startswith("2"):
                self.recipients.append(argument[argument.index("<") + 1 : argument.index(">")])
            return told
        if verb == "DATA":
            usual = "354 go" if self.recipients else "554 5.5.1 no valid recipients"
            if not self.tell(verb, argument, usual):
                return False
            return self.message() if self.said.startswith("354") else True
        if verb == "BDAT":
            return self.chunk(argument)
        if verb == "RSET":
            self.begin()
        if verb == "QUIT":
            self.tell(verb, argument, "221 bye")
            return False
        return self.tell(verb, argument, "220 again" if verb == "XCLIENT" else "250 2.0.0 ok")

    def message(self):
        lines = []
        while (line := self.rfile.readline()) not in (b".\r\n", b""):
            lines.append(line[1:] if line.startswith(b".") else line)
            if len(lines) == 100:
                wanted = self.server.backend.answer("BODY", "", self)
                if wanted is not None:
                    self.wfile.write(f"{wanted}\r\n".encode())
                    return False
        return line != b"" and self.whole(b"".join(lines))

    def chunk(self, argument):
        backend = self.server.backend
        size, _, last = argument.partition(" ")
        wanted = backend.answer("BDAT", argument, self)
        if isinstance(wanted, Unread):
            self.wfile.write(f"{wanted}\r\n".encode())
            return True
        octets = self.rfile.read(min(int(size), AMID))
        if int(size) > AMID:
            amid = backend.answer("BODY", "", self)
            if amid is not None:
                if amid is not CLOSE:
                    self.wfile.write(f"{amid}\r\n".encode())
                return False
            octets += self.rfile.read(int(size) - AMID)
        if wanted is CLOSE or len(octets) < int(size):
            return False
        self.chunks.append(octets)
        if wanted is None and last:
            return self.whole(b"".join(self.chunks))
        self.wfile.write(f"{wanted or f'250 2.0.0 {size} octets'}\r\n".encode())
        return True

    def whole(self, whole):
        for recipient in self.recipients if self.server.backend.lmtp else [", ".join(self.recipients)]:

            def keep():
                if self.said.startswith("250"):
                    for one in recipient.split(", "):
                        self.server.backend.keep(one, whole)

            if not self.tell(".", recipient, "250 2.0.0 taken", keep):
                return False
        self.begin()
        return True


CLOSE = object()
HANG = object()
AMID = 4096  # octets of a chunk before BODY is asked for


class Unread(str):
    """The reply of a server that does not know BDAT: it takes the chunk's octets for commands."""


class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 128


class Scripted:
    """answer(verb, argument, session) returns a reply, CLOSE, octets to be sent as they are, or None for what is
    usual. verb is that of a command, or GREETING, "." (the final dot; in LMTP once a recipient, which is the
    argument) or BODY (amid a message; the connection is closed behind it). A reply to BDAT is sent when the chunk has been
read, unless it is Unread.

    It serves `most` connections at a time. `refusal` is the reply to each further one before it is closed; or CLOSE, without
    a word; or HANG: it is kept, without a word."""

    def __init__(
        self, answer=lambda verb, argument, session: None, lmtp=False, hello=HELLO, port=0, most=10**6, refusal=CLOSE
    ):
        self.answer, self.lmtp, self.hello = answer, lmtp, hello
        self.most, self.refusal, self.served = most, refusal, 0
        self.lock = threading.Lock()
        self.mail = {}  # recipient: messages
        self.commands = []
        self.connections = 0
        self.open = set()
        self.server = Server(("127.0.0.1", port or ports.free()), Session)
        self.server.backend = self
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def stop(self):
        """Ends, with all of its connections."""
        self.server.shutdown()
        self.server.server_close()
        self.hang_up()

    def hang_up(self):
        """Ends all of its connections."""
        with self.lock:
            for connection in self.open:
                try:
                    connection.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass

    @property
    def block(self):
        """A line of mired.conf."""
        return f'backend "{"lmtp" if self.lmtp else "smtp"}://127.0.0.1:{self.port}" {{ }}'

    def keep(self, recipient, message):
        with self.lock:
            self.mail.setdefault(recipient, []).append(message)

    def copies(self, recipient):
        return len(self.mail.get(recipient, ()))

    def wait_said(self, prefix, count=1, timeout=PATIENCE):
        """Waits for a command that begins so; returns all of them."""
        end = time.monotonic() + timeout
        while True:
            with self.lock:
                found = [c for c in self.commands if c.startswith(prefix)]
            if len(found) >= count or time.monotonic() > end:
                return found
            time.sleep(0.01)
