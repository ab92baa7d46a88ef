"""TLS by hand over a socket: a test sees each octet of the other side, and may send what no TLS library would."""

import socket
import ssl

from .waiting import PATIENCE


class Wire:
    """TLS by hand over a socket, so that each octet of the other side is seen."""

    def __init__(self, port, host="127.0.0.1", source=None):
        self.socket = socket.create_connection((host, port), timeout=PATIENCE, source_address=(source, 0) if source else None)
        self.received = 0
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        self.context = context
        self.into, self.out = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self.into, self.out)

    def limit(self, version):
        self.context.maximum_version = version
        self.tls = self.context.wrap_bio(self.into, self.out)
        return self

    def do(self, step):
        """Carries out a step of TLS, however many octets it takes."""
        while True:
            try:
                result = step()
                self.flush()
                return result
            except ssl.SSLWantReadError:
                self.flush()
                more = self.socket.recv(65536)
                self.received += len(more)
                if more:
                    self.into.write(more)
                else:
                    self.into.write_eof()

    def flush(self):
        octets = self.out.read()
        if octets:
            self.socket.sendall(octets)

    def line(self):
        return self.do(lambda: self.tls.read(65536))

    def say(self, octets):
        self.tls.write(octets)
        self.flush()
        return self.line()

    def starttls(self):
        """From the greeting to EHLO under TLS."""
        self.plain_line()
        for command in (b"EHLO wire.test\r\n", b"STARTTLS\r\n"):
            self.socket.sendall(command)
            self.plain_line()
        self.do(self.tls.do_handshake)
        self.say(b"EHLO wire.test\r\n")
        return self

    def plain_line(self):
        return self.socket.recv(4096)

    def pending(self, octets):
        """Their records, not sent yet."""
        self.tls.write(octets)
        return self.out.read()

    def close_notify(self):
        """The alert's record, not sent yet."""
        try:
            self.tls.unwrap()
        except ssl.SSLWantReadError:
            pass
        return self.out.read()

    def rest(self):
        """All octets until the other side closes, as they come."""
        raw = b""
        while True:
            try:
                more = self.socket.recv(65536)
            except ConnectionResetError:
                return raw
            if not more:
                return raw
            raw += more


def all_records(raw):
    """True if the octets are whole records of TLS, so that nothing among them was in clear."""
    while raw:
        if len(raw) < 5 or raw[0] not in (21, 22, 23) or raw[1] != 3:
            return False
        raw = raw[5 + int.from_bytes(raw[3:5], "big") :]
    return True
