"""TLS by hand over a socket: a test sees each octet of the other side, and may send what no TLS library would."""

import ctypes
import ctypes.util
import hashlib
import hmac
import socket
import ssl
import tempfile

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

    def keep_secret(self):
        """For secret(): before the handshake."""
        self.keys = tempfile.NamedTemporaryFile("r")
        self.context.keylog_filename = self.keys.name
        self.tls = self.context.wrap_bio(self.into, self.out)
        return self

    def secret(self):
        """The secret of what it sends after the handshake."""
        (line,) = [words for words in map(str.split, self.keys.readlines()) if words[0] == "CLIENT_TRAFFIC_SECRET_0"]
        return bytes.fromhex(line[2])

    def shake(self):
        """From the greeting to the end of the handshake, in which nothing is said."""
        self.plain_line()
        for command in (b"EHLO wire.test\r\n", b"STARTTLS\r\n"):
            self.socket.sendall(command)
            self.plain_line()
        self.do(self.tls.do_handshake)
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
        self.shake()
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


class Seal:
    """A cipher of TLS 1.3, of OpenSSL's libcrypto."""

    GET_TAG = 16
    crypto = None

    @classmethod
    def load(cls):
        cls.crypto = ctypes.CDLL(ctypes.util.find_library("crypto"))
        for function in ("EVP_CIPHER_CTX_new", "EVP_aes_128_gcm", "EVP_aes_256_gcm", "EVP_chacha20_poly1305"):
            getattr(cls.crypto, function).restype = ctypes.c_void_p

    def __init__(self, name, key):
        if not self.crypto:
            self.load()
        self.context = ctypes.c_void_p(self.crypto.EVP_CIPHER_CTX_new())
        self.cipher, self.key = ctypes.c_void_p(getattr(self.crypto, f"EVP_{name}")()), key

    def __del__(self):
        self.crypto.EVP_CIPHER_CTX_free(self.context)

    def seal(self, nonce, text, head):
        length, out, tag = ctypes.c_int(), ctypes.create_string_buffer(len(text) + 16), ctypes.create_string_buffer(16)
        more = ctypes.byref(length)
        steps = (
            self.crypto.EVP_EncryptInit_ex(self.context, self.cipher, None, self.key, nonce),
            self.crypto.EVP_EncryptUpdate(self.context, None, more, head, len(head)),
            self.crypto.EVP_EncryptUpdate(self.context, out, more, text, len(text)),
            self.crypto.EVP_EncryptFinal_ex(self.context, None, more),
            self.crypto.EVP_CIPHER_CTX_ctrl(self.context, self.GET_TAG, 16, tag),
        )
        assert steps == (1,) * 5
        return out.raw[: len(text)] + tag.raw


class Records:
    """What a client of TLS 1.3 sends after its handshake, record by record: a test chooses their kinds and contents.

    `wire` must have shaken hands with keep_secret() and sent nothing since. What comes back is read by the wire."""

    HANDSHAKE, ALERT, DATA = 22, 21, 23

    def __init__(self, wire):
        self.wire, self.sequence = wire, 0
        name = wire.tls.cipher()[0]
        self.hash = "sha384" if name.endswith("SHA384") else "sha256"
        self.cipher = "chacha20_poly1305" if "CHACHA20" in name else "aes_128_gcm" if "AES_128" in name else "aes_256_gcm"
        self.key_octets = 16 if "AES_128" in name else 32
        self.secret = wire.secret()
        self._take_keys()

    def _label(self, label, length):
        """HKDF-Expand-Label (RFC 8446 7.1); each needs one or two blocks."""
        full = b"tls13 " + label
        info = length.to_bytes(2, "big") + bytes([len(full)]) + full + b"\0"
        out = block = b""
        for n in range(1, 9):
            block = hmac.digest(self.secret, block + info + bytes([n]), self.hash)
            out += block
        return out[:length]

    def _take_keys(self):
        self.sequence = 0
        self.aead = Seal(self.cipher, self._label(b"key", self.key_octets))
        self.iv = int.from_bytes(self._label(b"iv", 12), "big")

    def record(self, kind, content, padding=0):
        inner = content + bytes([kind]) + bytes(padding)
        head = b"\x17\x03\x03" + (len(inner) + 16).to_bytes(2, "big")
        nonce = (self.iv ^ self.sequence).to_bytes(12, "big")
        self.sequence += 1
        return head + self.aead.seal(nonce, inner, head)

    def data(self, octets, piece=None):
        piece = piece or len(octets)
        return b"".join(self.record(self.DATA, octets[i : i + piece]) for i in range(0, len(octets), piece))

    def alert(self, level, what):
        return self.record(self.ALERT, bytes([level, what]))

    def key_update(self, wants_one=False):
        octets = self.record(self.HANDSHAKE, b"\x18\0\0\x01" + bytes([wants_one]))
        self.secret = self._label(b"traffic upd", hashlib.new(self.hash).digest_size)
        self._take_keys()
        return octets
