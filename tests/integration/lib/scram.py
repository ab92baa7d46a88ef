"""The client's side of SCRAM-SHA-256 (RFC 5802, 7677), step by step, and what servers store of a password."""

import base64
import hashlib
import hmac
import os


def b64(octets):
    return base64.b64encode(octets).decode()


def keys(password, salt, iterations):
    """ClientKey, StoredKey, ServerKey."""
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, iterations)
    client = hmac.digest(salted, b"Client Key", "sha256")
    return client, hashlib.sha256(client).digest(), hmac.digest(salted, b"Server Key", "sha256")


def stored(password, iterations=4096, salt=None):
    """As `doveadm pw -s SCRAM-SHA-256` writes it."""
    salt = salt or os.urandom(16)
    _, key, server = keys(password, salt, iterations)
    return f"{{SCRAM-SHA-256}}{iterations},{b64(salt)},{b64(key)},{b64(server)}"


def password_file(passwords, **options):
    return "".join(f"{user}:{stored(word, **options)}\n" for user, word in passwords.items())


class Login:
    """One login over a lib.smtp.Client. Steps may be taken one by one, or all by log_in()."""

    def __init__(self, client, user, password, header="n,,", binding=b"", mechanism="SCRAM-SHA-256"):
        self.client, self.user, self.password = client, user, password
        self.header, self.binding, self.mechanism = header, binding, mechanism
        self.nonce = b64(os.urandom(18))

    def begin(self):
        """The first message; afterwards .salt and .iterations are what the server has said."""
        self.bare = f"n={self.user.replace('=', '=3D').replace(',', '=2C')},r={self.nonce}"
        reply = self.client.say(f"AUTH {self.mechanism} {b64((self.header + self.bare).encode())}")
        if reply.code == 334:
            self.challenge = base64.b64decode(reply.lines[0][4:]).decode()
            parts = dict(part.split("=", 1) for part in self.challenge.split(","))
            assert parts["r"].startswith(self.nonce) and len(parts["r"]) >= len(self.nonce) + 18
            self.whole, self.salt, self.iterations = parts["r"], parts["s"], int(parts["i"])
        return reply

    def prove(self):
        """The second message; a 334 must show that the server knows the password as well."""
        client, key, server = keys(self.password, base64.b64decode(self.salt), self.iterations)
        final = f"c={b64(self.header.encode() + self.binding)},r={self.whole}"
        said = f"{self.bare},{self.challenge},{final}".encode()
        proof = bytes(a ^ b for a, b in zip(client, hmac.digest(key, said, "sha256")))
        reply = self.client.say(b64(f"{final},p={b64(proof)}".encode()))
        if reply.code == 334:
            shown = base64.b64decode(reply.lines[0][4:]).decode()
            assert shown == f"v={b64(hmac.digest(server, said, 'sha256'))}", shown
        return reply

    def log_in(self):
        for step in (self.begin, self.prove):
            reply = step()
            if reply.code != 334:
                return reply
        return self.client.say("")
