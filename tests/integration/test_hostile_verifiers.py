"""A verifier or a directory that hangs, floods or lies: whoever needs another one does not notice. There is one clerk.

The hostile servers are the test's own; beside them are a real Dovecot, a real Postfix and a file."""

import base64
import contextlib
import itertools
import socket
import struct
import threading

import pytest

from lib import ports
from lib.dovecot import Dovecot
from lib.scram import Login
from lib.scripted import HELLO, Scripted
from lib.smtp import Client
from lib.waiting import PATIENCE, until

USER, PASSWORD = "alice@example.test", "wonderland"
HERS, OTHERS = "example.test", "other.test"  # domains: the second one's verifier is hostile
CHALLENGE = "s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"
DOVECOT_HELLO = b"VERSION\t1\t2\nMECH\tPLAIN\nMECH\tLOGIN\nMECH\tSCRAM-SHA-256\nSPID\t1\nCUID\t1\nCOOKIE\tx\nDONE\n"


def b64(text):
    return base64.b64encode(text.encode()).decode()


def plain(user, password="x"):
    return f"AUTH PLAIN {b64(chr(0) + user + chr(0) + password)}"


class Hostile:
    """A server that gives each connection to serve(socket), in a thread. `connections` is their number."""

    def __init__(self, serve, path=None):
        self.serve, self.taken = serve, []
        self.listener = socket.socket(socket.AF_UNIX if path else socket.AF_INET)
        self.listener.bind(str(path) if path else ("127.0.0.1", 0))
        if path:
            path.chmod(0o777)
        self.listener.listen(64)
        self.port = None if path else self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                connection = self.listener.accept()[0]
            except OSError:
                return
            self.taken.append(connection)
            threading.Thread(target=self.talk, args=(connection,), daemon=True).start()

    def talk(self, connection):
        with contextlib.suppress(OSError, ValueError):
            self.serve(connection)

    @property
    def connections(self):
        return len(self.taken)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for s in (self.listener, *self.taken):
            with contextlib.suppress(OSError):
                s.shutdown(socket.SHUT_RDWR)
            s.close()


# ---- Dovecot ----


def requests(connection):
    """The lines of AUTH and CONT: (command, number, fields)."""
    for line in connection.makefile("r"):
        words = line.rstrip("\n").split("\t")
        if words[0] in ("AUTH", "CONT"):
            yield words[0], words[1], words[2:]


def hangs_for_slow_users(connection):
    """Whoever is called slow... has a password database that hangs; all others are right at once."""
    connection.sendall(DOVECOT_HELLO)
    for command, number, fields in requests(connection):
        response = base64.b64decode(fields[-1].removeprefix("resp=")).decode()
        if "slow" in response:
            continue
        if "SCRAM-SHA-256" in fields:
            nonce = response.split("r=")[1]
            connection.sendall(f"CONT\t{number}\t{b64(f'r={nonce}more,{CHALLENGE}')}\n".encode())
        else:
            connection.sendall(f"OK\t{number}\tuser=bob\n".encode())


def floods(connection):
    connection.sendall(DOVECOT_HELLO)
    while True:
        connection.sendall(b"NOISE\t1\n" * 1000)


def floods_before_its_greeting(connection):
    while True:
        connection.sendall(b"MECH\tPLAIN\n" * 1000)


def half_a_line(connection):
    connection.sendall(DOVECOT_HELLO + b"OK\t")
    while connection.recv(1000):
        connection.sendall(b"1")


def reads_nothing(connection):
    connection.sendall(DOVECOT_HELLO)
    threading.Event().wait(PATIENCE)


def two_verifiers(tmp_path, real):
    """The configuration: example.test is the real Dovecot's, other.test the hostile one's."""
    tmp_path.chmod(0o755)
    return (
        f'clerks = 1\nauth "dovecot" {{ path = "{real.auth}" domains = "{HERS}" }}\n'
        f'auth "dovecot" {{ path = "{tmp_path}/hostile" domains = "{OTHERS}" }}'
    )


@pytest.fixture
def dovecot():
    real = Dovecot(mechanisms="plain login scram-sha-256")
    yield real.start()
    real.stop()
    real.remove()


def alice_logs_in(m):
    with Client(m.submission) as client:
        client.ehlo()
        assert client.login(USER, PASSWORD).code == 235
    with Client(m.submission) as client:
        client.ehlo()
        assert client.login(USER, PASSWORD + "x").code == 535


def recipients_are_known(m):
    with Client(m.port) as client:
        client.ehlo()
        replies = client.envelope("a@b.test", ["alice@example.test", "nobody@example.test"])
        assert [r.code for r in replies] == [250, 550]


@contextlib.contextmanager
def logins(m, commands):
    """Connections that have sent these, and whose replies are not read yet."""
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(Client(m.submission)) for _ in commands]
        for client, command in zip(clients, commands):
            client.ehlo()
            client.send(command + "\r\n")
        yield clients


@pytest.mark.parametrize(
    "hostile", [floods, half_a_line, *(pytest.param(f, marks=pytest.mark.soak) for f in (floods_before_its_greeting, reads_nothing))]
)
@pytest.mark.long
def test_logins_of_another_verifier_go_on(mired, dovecot, tmp_path, hostile):
    with Hostile(hostile, tmp_path / "hostile") as server:
        m = mired(tarpit="time = 0", passwords=None, domains=(HERS, OTHERS), config=two_verifiers(tmp_path, dovecot))
        with logins(m, [plain(f"bob{n}@{OTHERS}") for n in range(40)]) as clients:
            until(lambda: server.connections)
            for _ in range(5):
                alice_logs_in(m)
                recipients_are_known(m)
            assert {client.reply().code for client in clients} == {454}
        alice_logs_in(m)


@pytest.mark.long
def test_a_password_database_that_hangs_takes_only_its_own_users(mired, tmp_path):
    """Field: one Dovecot has several; that of one domain hangs. Its users' programs try again and again."""
    tmp_path.chmod(0o755)
    with Hostile(hangs_for_slow_users, tmp_path / "auth") as server:
        m = mired(tarpit="time = 0", passwords=None, config=f'clerks = 1\nauth "dovecot" {{ path = "{tmp_path}/auth" }}')
        until(lambda: offers_scram(m))
        before = server.connections  # more than one if the greeting was late
        slow = [plain(f"slow{n}@{HERS}") for n in range(20)]
        slow += [f"AUTH SCRAM-SHA-256 {b64(f'n,,n=slow{n}@{HERS},r=abc')}" for n in range(20)]
        with logins(m, slow) as clients:
            for n in range(12):
                with Client(m.submission) as client:
                    client.ehlo()
                    assert client.say(plain(f"bob{n}@{HERS}")).code == 235
                with Client(m.submission) as client:
                    client.ehlo()
                    assert client.say(f"AUTH SCRAM-SHA-256 {b64(f'n,,n=bob@{HERS},r=xyz{n}')}").code == 334
            codes = [client.reply().code for client in clients]
            assert codes == [454] * 40
        with Client(m.submission) as client:  # after they were given up: nothing rests, nothing was closed
            client.ehlo()
            assert client.say(plain(f"bob@{HERS}")).code == 235
        assert server.connections == before


@pytest.mark.long
def test_a_verifier_after_one_that_hangs_is_asked(mired, tmp_path):
    """The hostile Dovecot is the first of two, and each login waits its ten seconds for it; they wait together."""
    tmp_path.chmod(0o755)
    with Hostile(hangs_for_slow_users, tmp_path / "auth"):
        m = mired(
            tarpit="time = 0", passwords={f"slow{n}@{HERS}": "pw" for n in range(9)},
            config=f'clerks = 1\nauth "dovecot" {{ path = "{tmp_path}/auth" }}',
        )  # fmt: skip
        m.file.write_text(reordered(m.file.read_text()))
        m.reload()
        with logins(m, [plain(f"slow{n}@{HERS}", "pw") for n in range(9)]) as clients:
            assert [client.reply().code for client in clients] == [235] * 9


def reordered(text):
    """The file's verifier behind Dovecot."""
    lines = text.splitlines(keepends=True)
    file = [line for line in lines if line.startswith('auth "file"')]
    assert len(file) == 1
    return "".join([line for line in lines if line not in file] + file)


LIES = {
    "another nonce": ("r=other", CHALLENGE),
    "no nonce of its own": ("r={}", CHALLENGE),
    "no iterations": ("r={}more", "s=W22Z,i=0"),
    "a thousand million iterations": ("r={}more", "s=W22Z,i=1000000000"),
    "2^31 iterations": ("r={}more", "s=W22Z,i=2147483648"),
    "no salt": ("r={}more", "s=,i=4096"),
    "a giant salt": ("r={}more", f"s={'A' * 5000},i=4096"),
    "an extension": ("m=must,r={}more", CHALLENGE),
}


def some(cases, first):
    """All cases; those that are not the first ones are for `make soak`."""
    return [pytest.param(case, marks=[] if n < first else [pytest.mark.soak]) for n, case in enumerate(cases)]


@pytest.mark.parametrize("lie", some(LIES, 2))
def test_a_lie_in_scram_reaches_no_client(mired, dovecot, tmp_path, lie):
    nonce, rest = LIES[lie]

    def lies(connection):
        connection.sendall(DOVECOT_HELLO)
        for command, number, fields in requests(connection):
            theirs = base64.b64decode(fields[-1].removeprefix("resp=")).decode().split("r=")[-1]
            connection.sendall(f"CONT\t{number}\t{b64(f'{nonce.format(theirs)},{rest}')}\n".encode())

    with Hostile(lies, tmp_path / "hostile"):
        m = mired(tarpit="time = 0", passwords=None, domains=(HERS, OTHERS), config=two_verifiers(tmp_path, dovecot))
        until(lambda: offers_scram(m))
        with Client(m.submission) as client:
            client.ehlo()
            reply = client.say(f"AUTH SCRAM-SHA-256 {b64(f'n,,n=bob@{OTHERS},r=abcdef')}")
            assert reply.code == 454 and len(reply.lines) == 1
            assert Login(client, USER, PASSWORD).log_in().code == 235


def offers_scram(m):
    with Client(m.submission) as client:
        return "SCRAM-SHA-256" in client.ehlo().text


def test_a_login_without_a_right_signature_or_with_two_answers(mired, dovecot, tmp_path):
    """What Dovecot says to the second messages, in turn, and what the client then hears."""
    second = {
        "OK\t{}\tuser=eve\n": 454,
        f"OK\t{{}}\tuser=eve\tresp={b64('e=other-error')}\n": 454,
        f"OK\t{{}}\tuser=eve\tresp={b64('v=AAAA')}\n": 454,
        f"CONT\t{{}}\t{b64('once more')}\n": 454,
        "FAIL\t{0}\nOK\t{0}\tuser=eve\n": 535,
        "FAIL\t{0}\ttemp\nOK\t{0}\tuser=eve\n": 454,
    }
    says = iter(second)

    def lies(connection):
        connection.sendall(DOVECOT_HELLO + b"OK\t1\tuser=eve\nOK\t2\tuser=eve\nOK\t0\n")
        for command, number, fields in requests(connection):
            if command == "CONT":
                connection.sendall(next(says).format(number).encode())
                continue
            nonce = base64.b64decode(fields[-1].removeprefix("resp=")).decode().split("r=")[-1]
            connection.sendall(f"OK\t{int(number) + 1}\nCONT\t{number}\t{b64(f'r={nonce}more,{CHALLENGE}')}\n".encode())

    with Hostile(lies, tmp_path / "hostile"):
        m = mired(tarpit="time = 0", passwords=None, domains=(HERS, OTHERS), config=two_verifiers(tmp_path, dovecot))
        until(lambda: offers_scram(m))
        for code in second.values():
            with Client(m.submission) as client:
                client.ehlo()
                assert client.say(f"AUTH SCRAM-SHA-256 {b64(f'n,,n=bob@{OTHERS},r=abcdef')}").code == 334
                assert client.say(b64("c=biws,r=abcdefmore,p=eA==")).code == code
                client.must("MAIL FROM:<bob@other.test>", 530)
        with Client(m.submission) as client:
            client.ehlo()
            assert Login(client, USER, PASSWORD).log_in().code == 235


# ---- backends that check passwords ----


@pytest.mark.long
def test_a_backend_that_hangs_takes_no_login_of_another_companys(mired, postfix, dovecot):
    """One verifier, "backend", with sixteen threads; forty logins of the company whose server hangs wait for them."""
    release, asked = threading.Event(), threading.Semaphore(0)

    def hang(verb, argument, session):
        if verb == "AUTH":
            asked.release()
            while not release.wait(0.2):  # an octet now and then: mired's time for a reply is another one's
                session.connection.sendall(b"4")
            return "454 4.7.0 later"
        return None

    real = postfix(
        extra=f"smtpd_sasl_auth_enable = yes\nsmtpd_sasl_type = dovecot\nsmtpd_sasl_path = {dovecot.auth}\n"
        f"smtpd_sasl_local_domain = {HERS}"
    )
    with Scripted(hang, hello=(*HELLO, "AUTH PLAIN")) as hostile:
        m = mired(
            tarpit="time = 0", passwords=None, domains=(HERS, OTHERS), config=f'clerks = 1\nauth "backend" {{ domains = {{ "{HERS}", "{OTHERS}" }} }}',
            backend=f'backend "smtp://127.0.0.1:{real.port}" {{ domains = "{HERS}" }}\n'
            f'backend "smtp://127.0.0.1:{hostile.port}" {{ domains = "{OTHERS}" }}',
        )  # fmt: skip
        with logins(m, [plain(f"bob{n}@{OTHERS}") for n in range(40)]) as clients:
            for _ in range(15):
                assert asked.acquire(timeout=PATIENCE)
            for _ in range(6):
                alice_logs_in(m)
            assert {client.reply().code for client in clients} == {454}
        release.set()


# ---- directories ----


def users(answer):
    """A socketmap server; answer(address) returns octets."""

    def serve(connection):
        file = connection.makefile("rb")
        while True:
            length = b""
            while not length.endswith(b":"):
                octet = file.read(1)
                if not octet:
                    return
                length += octet
            address = file.read(int(length[:-1]) + 1)[:-1].decode().split(" ", 1)[1]
            for piece in answer(address):
                connection.sendall(piece)

    return serve


def drip(first, then, wait=0.2):
    """Octets without an end."""
    done = threading.Event()
    yield first
    while not done.wait(wait):
        yield then


def length_of(octets):
    return struct.pack(">I", octets)


def ldap(answer):
    """An LDAP server that lets everybody bind; answer(number of the message) gives the octets behind a search."""

    def serve(connection):
        while True:
            head = connection.recv(2, socket.MSG_WAITALL)
            if len(head) < 2:
                return
            size = head[1]
            if size & 0x80:
                size = int.from_bytes(connection.recv(size & 0x7F, socket.MSG_WAITALL), "big")
            request = connection.recv(size, socket.MSG_WAITALL)
            number = request[: 2 + request[1]]
            kind = request[len(number)]
            if kind == 0x60:  # bind
                connection.sendall(message(number, b"\x61\x07\x0a\x01\x00\x04\x00\x04\x00"))
            elif kind == 0x63:  # search
                for piece in answer(number):
                    connection.sendall(piece)

    return serve


def message(number, body):
    return b"\x30" + bytes([len(number) + len(body)]) + number + body


def entry(number):
    return message(number, b"\x64\x07\x04\x03o=x\x30\x00")


def smtp(answer):
    """An SMTP server whose replies to some commands are those of answer(verb)."""

    def serve(connection):
        def reply(verb, usual):
            for piece in answer(verb) or [usual]:
                connection.sendall(piece)

        reply("GREETING", b"220 hostile.test ESMTP\r\n")
        for line in connection.makefile("rb"):
            verb = line.split()[0].decode().upper()
            reply(verb, b"250-hostile.test\r\n250 8BITMIME\r\n" if verb == "EHLO" else b"250 2.0.0 ok\r\n")

    return serve


WELL = {
    "socketmap": users(lambda address: [b"4:OK 1,"]),
    "ldap": ldap(lambda number: [entry(number), message(number, b"\x65\x07\x0a\x01\x00\x04\x00\x04\x00")]),
    "backend": smtp(lambda verb: None),
}
DIRECTORIES = {
    "socketmap: an octet now and then": ("socketmap", users(lambda address: drip(b"99999:OK ", b"x"))),
    "ldap: half a message": ("ldap", ldap(lambda number: [b"\x30\x0c" + number])),
    "ldap: entries without end": ("ldap", ldap(lambda number: itertools.repeat(entry(number) * 100))),
    "backend: an octet now and then": ("backend", smtp(lambda verb: drip(b"250", b"-") if verb == "RCPT" else None)),
    "socketmap: half a length": ("socketmap", users(lambda address: [b"12"])),
    "socketmap: no length": ("socketmap", users(lambda address: drip(b"x" * 50000, b"x" * 50000, wait=0.01))),
    "ldap: an octet now and then": ("ldap", ldap(lambda number: drip(b"\x30\x84" + length_of(200000), b"\x02"))),
    "ldap: a message of 2 GB": ("ldap", ldap(lambda number: [b"\x30\x84" + length_of(0x7FFFFFFF) + b"\0" * 100000])),
    "backend: a reply without end": ("backend", smtp(lambda verb: drip(b"250-a\r\n" * 100, b"250-more\r\n" * 100, wait=0.01) if verb == "RCPT" else None)),
    "backend: a greeting without end": ("backend", smtp(lambda verb: drip(b"220-a\r\n", b"220-a\r\n") if verb == "GREETING" else None)),
}  # fmt: skip


@pytest.mark.parametrize("case", some(DIRECTORIES, 4))
def test_a_directory_that_hangs_takes_no_query_of_another_one(mired, case, tmp_path):
    """example.test has a file; other.test's directory is hostile, and is asked about more people than there are threads.
    Once it answers on new connections, mired has left the old ones, which hang on."""
    kind, hostile = DIRECTORIES[case]
    well = threading.Event()
    tmp_path.chmod(0o755)

    def serve(connection):
        (WELL[kind] if well.is_set() else hostile)(connection)

    with Hostile(serve, tmp_path / "map" if kind == "socketmap" else None) as server:
        section = {
            "socketmap": f'recipients "socketmap" {{ path = "{tmp_path}/map" map = "users" domains = "{OTHERS}" }}',
            "ldap": f'recipients "ldap" {{ url = "ldap://127.0.0.1:{server.port}" base = "o=x" filter = "(mail=%s)" domains = "{OTHERS}" }}',
            "backend": f'recipients "backend" {{ domains = "{OTHERS}" }}',
        }[kind]
        known = tmp_path / "known"
        known.write_text(f"{USER}\n")
        backend = server.port if kind == "backend" else ports.free()
        m = mired(
            tarpit="time = 0", recipients=None, domains=(HERS, OTHERS), backend=f'backend "smtp://127.0.0.1:{backend}" {{ }}',
            config=f'clerks = 1\nlookups = 4\nrecipients "file" {{ path = "{known}" domains = "{HERS}" }}\n{section}',
        )  # fmt: skip
        with contextlib.ExitStack() as stack:
            clients = [stack.enter_context(Client(m.port)) for _ in range(12)]
            for n, client in enumerate(clients):
                client.ehlo()
                client.must("MAIL FROM:<a@b.test>")
                client.send(f"RCPT TO:<bob{n}@{OTHERS}>\r\n")
            until(lambda: server.connections)
            for _ in range(5):
                recipients_are_known(m)
            assert {client.reply().code for client in clients} == {451}
        well.set()

        def bob_is_known():
            with Client(m.port) as client:
                client.ehlo()
                return [r.code for r in client.envelope("a@b.test", [f"bob@{OTHERS}"])] == [250]

        until(bob_is_known, every=0.5)
