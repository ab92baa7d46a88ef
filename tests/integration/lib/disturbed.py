"""A proxy before a real backend that answers in its place now and then, closes connections, and is away for a while.

It takes one command at a time, so replies keep their order however much mired pipelines. What it says itself the
backend never hears. `doubts` has what nobody can know: a connection was closed when the backend had the whole message
and mired had no reply yet; such a message may come twice (RFC 1047)."""

import random
import re
import socket
import threading
import time

from . import ports

REFUSALS = ("450 4.2.1 disturbed, later", "451 4.3.0 disturbed", "452 4.2.2 disturbed, full", "550 5.7.1 disturbed, no",
            "552 5.2.2 disturbed, over quota", "554 5.6.0 disturbed, bad")  # fmt: skip


class Closed(Exception):
    pass


class Line:
    """One end: lines in, octets out."""

    def __init__(self, end):
        self.end, self.left = end, b""

    def line(self):
        while b"\n" not in self.left:
            octets = self.end.recv(65536)
            if not octets:
                raise Closed
            self.left += octets
        line, _, self.left = self.left.partition(b"\n")
        return line + b"\n"

    def reply(self):
        lines = [self.line()]
        while lines[-1][3:4] == b"-":
            lines.append(self.line())
        return b"".join(lines)

    def message(self):
        lines = [self.line()]
        while lines[-1] != b".\r\n":
            lines.append(self.line())
        return b"".join(lines)


class Talk:
    """One connection of mired's."""

    def __init__(self, proxy, client):
        self.proxy, self.client = proxy, Line(client)
        self.server = Line(proxy.dial())
        self.recipients = []
        self.number = None  # of the message that the backend has and mired does not know of

    def ends(self):
        return (self.client.end, self.server.end)

    def run(self):
        try:
            self.client.end.sendall(self.server.reply())
            while True:
                self.command(self.client.line())
        except (Closed, OSError):
            pass
        finally:
            if self.number is not None:
                self.proxy.doubt(self.number, self.recipients)
            for end in self.ends():
                end.close()

    def say(self, text):
        self.client.end.sendall(text if isinstance(text, bytes) else f"{text}\r\n".encode())

    def pass_on(self, line):
        self.server.end.sendall(line)
        return self.server.reply()

    def command(self, line):
        verb = line[:4].upper()
        fault = self.proxy.fault(verb) if verb in (b"MAIL", b"RCPT", b"DATA") else None
        if fault == "close":
            raise Closed
        if verb == b"MAIL":
            self.recipients, self.dot = [], self.proxy.fault(b"dot")
        if verb == b"DATA" and fault is None and self.recipients:
            self.data(line)
            return
        reply = fault.encode() + b"\r\n" if fault else self.pass_on(line)
        if verb == b"RCPT" and reply[:1] == b"2":
            self.recipients.append(re.search(rb"<(.*)>", line)[1].decode())
        self.say(reply)

    def data(self, line):
        count = len(self.recipients) if self.proxy.lmtp else 1
        if self.dot:  # the message stays here
            self.say("354 disturbed")
            self.client.message()
            if self.dot == "close":
                raise Closed
            self.say(f"{self.dot}\r\n".encode() * count)
            self.pass_on(b"RSET\r\n")
            return
        reply = self.pass_on(line)
        self.say(reply)
        if reply[:3] != b"354":
            return
        message = self.client.message()
        number = int(re.search(rb"Message-ID: <(\d+)@", message)[1])
        self.number = number
        self.server.end.sendall(message)
        if self.proxy.fault(b"answer") == "close":
            self.server.reply()
            raise Closed
        reply = b"".join(self.server.reply() for _ in range(count))
        self.say(reply)
        self.number = None


class Disturbed:
    """port: where mired finds the backend at `target` (a port, or the path of a unix socket).

    `share` of the transactions get a 4xx or 5xx at a random stage, `closes` of them lose the connection there."""

    def __init__(self, target, seed, lmtp=False, share=0.3, closes=0.03):
        self.target, self.lmtp, self.share, self.closes = target, lmtp, share, closes
        self.random = random.Random(seed)
        self.lock = threading.Lock()
        self.port = ports.free()
        self.talks, self.doubts, self.faults = set(), set(), 0
        self.listener = None
        self.come_back()

    def come_back(self):
        for _ in range(100):
            try:
                self.listener = socket.create_server(("127.0.0.1", self.port), backlog=256)
                break
            except OSError:  # the one before is still going
                time.sleep(0.02)
        threading.Thread(target=self.serve, args=(self.listener,), daemon=True).start()

    def go_away(self):
        """As a kill -9 of the backend: no connection is left and none can be made."""
        listener, self.listener = self.listener, None
        listener.shutdown(socket.SHUT_RDWR)  # else the thread that waits for a connection keeps the port
        listener.close()
        with self.lock:
            talks = list(self.talks)
        for talk in talks:
            for end in talk.ends():
                try:
                    end.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass

    def serve(self, listener):
        for client in ports.accepted(listener):
            threading.Thread(target=self.talk, args=(client,), daemon=True).start()

    def talk(self, client):
        try:
            talk = Talk(self, client)
        except OSError:
            client.close()
            return
        with self.lock:
            self.talks.add(talk)
        talk.run()
        with self.lock:
            self.talks.discard(talk)

    def dial(self):
        if isinstance(self.target, int):
            return socket.create_connection(("127.0.0.1", self.target), timeout=60)
        end = socket.socket(socket.AF_UNIX)
        end.settimeout(60)
        end.connect(str(self.target))
        return end

    def fault(self, stage):
        """What happens at this stage: nothing (None), "close", or a reply. The stages share the odds."""
        with self.lock:
            dice = self.random.random()
            if dice < self.closes / 5:
                self.faults += 1
                return "close"
            if stage == b"answer" or dice >= (self.closes + self.share) / 4:
                return None
            self.faults += 1
            return self.random.choice(REFUSALS)

    def doubt(self, number, recipients):
        with self.lock:
            self.doubts |= {(number, to) for to in recipients}

    def stop(self):
        if self.listener:
            self.go_away()
