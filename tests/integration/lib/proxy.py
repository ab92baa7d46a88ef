"""A TCP proxy before a real backend that breaks a conversation at a place that the test names.

It passes octets both ways and follows the SMTP in them just far enough to know the stage. When the stage is
reached it calls the test's `fault`, once for each time that it was armed. Stages, in the order of a hand-over:
"connect", "greeting", "EHLO", "MAIL", "RCPT", "DATA" (before the command is passed on; BDAT counts as DATA), "body"
(some of the message has been), "dot" (before the final dot is, or the end of the last chunk), "answer" (the backend
has it all, before its reply is passed back).
"""

import selectors
import socket
import threading

from . import ports
from .waiting import PATIENCE

STAGES = ("connect", "greeting", "EHLO", "MAIL", "RCPT", "DATA", "body", "dot", "answer")


PIECE = 1000  # octets of a chunk that are passed on at once


class Cut(Exception):
    """Raised by a fault: this connection is to be dropped, both ways, with a reset."""


class Link:
    """One connection through the proxy."""

    def __init__(self, proxy, client):
        self.proxy, self.client = proxy, client
        self.server = None
        self.asked_data = self.in_data = self.ended = False
        self.tail = b"\r\n"
        self.chunk_left, self.last = 0, False

    def run(self):
        try:
            self.reach("connect")
            self.server = socket.create_connection(("127.0.0.1", self.proxy.target), timeout=PATIENCE)
            for end in (self.client, self.server):
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.reach("greeting")
            self.pump()
        except (Cut, OSError):
            pass
        finally:
            for end in (self.client, self.server):
                if end:
                    end.close()

    def reach(self, stage):
        if self.proxy.take(stage):
            self.proxy.fault()

    def pump(self):
        with selectors.DefaultSelector() as both:
            both.register(self.client, selectors.EVENT_READ)
            both.register(self.server, selectors.EVENT_READ)
            while True:
                for key, _ in both.select():
                    octets = key.fileobj.recv(65536)
                    if not octets:
                        return
                    if key.fileobj is self.client:
                        self.forward(octets)
                    else:
                        self.back(octets)

    def forward(self, octets):
        """Line by line while commands are expected, so that each stage is seen before it is passed on."""
        while octets:
            end = min(self.chunk_left, PIECE) if self.chunk_left else octets.find(b"\n") + 1 or len(octets)
            piece, octets = octets[:end], octets[end:]
            if self.chunk_left:
                self.chunk(piece)
            elif self.in_data:
                self.body(piece)
            else:
                self.command(piece)

    def command(self, line):
        verb, *words = line.decode("ascii", "replace").upper().split() or [""]
        self.reach({"LHLO": "EHLO", "HELO": "EHLO", "BDAT": "DATA"}.get(verb, verb))
        self.server.sendall(line)
        self.asked_data = verb == "DATA"
        if verb == "BDAT":
            self.chunk_left, self.last = int(words[0]), "LAST" in words

    def chunk(self, piece):
        self.chunk_left -= len(piece)
        if self.last and not self.chunk_left:
            self.reach("dot")
            self.server.sendall(piece)
            self.ended = True
            return
        self.server.sendall(piece)
        self.reach("body")

    def body(self, piece):
        whole = self.tail + piece
        if whole.endswith(b"\r\n.\r\n"):
            self.reach("dot")
            self.server.sendall(piece)
            self.in_data, self.ended = False, True
            return
        self.server.sendall(piece)
        self.tail = whole[-4:]
        self.reach("body")

    def back(self, octets):
        if self.asked_data and b"\n354" in b"\n" + octets:
            self.asked_data, self.in_data, self.tail = False, True, b"\r\n"
        elif self.ended:
            self.ended = False
            self.reach("answer")
        self.client.sendall(octets)


class FaultProxy:
    def __init__(self, target):
        self.target = target
        self.port = ports.free()
        self.fault = self.cut
        self.listener = socket.create_server(("127.0.0.1", self.port), backlog=256)
        self._lock = threading.Lock()
        self._armed = None
        self.hits = 0
        threading.Thread(target=self._accept, daemon=True).start()

    @staticmethod
    def cut():
        raise Cut

    def arm(self, stage, fault=None):
        """The next connection that reaches `stage` meets `fault` (a cut)."""
        with self._lock:
            self._armed = stage
            self.fault = fault or self.cut

    def disarm(self):
        with self._lock:
            self._armed = None

    def take(self, stage):
        with self._lock:
            if self._armed != stage:
                return False
            self._armed = None
            self.hits += 1
            return True

    def _accept(self):
        for client in ports.accepted(self.listener):
            threading.Thread(target=Link(self, client).run, daemon=True).start()

    def close(self):
        self.listener.close()
