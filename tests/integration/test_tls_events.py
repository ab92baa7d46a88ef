"""What a client may do with TLS while its reply is held, or frozen: key updates, records without octets, alerts, another
handshake. Nothing ends a hold early, disturbs another client, or breaks a connection that a true client could have."""

import ssl
import subprocess

import pytest

from lib import netns
from lib.certificates import Authority
from lib.frozen import frozen_in, source
from lib.smtp import Client, deliver
from lib.tls_wire import Records, Wire
from lib.waiting import until

USER = "alice@example.test"
NOOP = b"NOOP\r\n"
# The session goes on behind these. OpenSSL accepts 32 empty records and 4 warnings in a row.
TRUE = {
    "key updates": lambda r: b"".join(r.key_update() for _ in range(200)),
    "key updates that want one back": lambda r: b"".join(r.key_update(True) for _ in range(200)),
    "empty records": lambda r: b"".join(r.record(r.DATA, b"") for _ in range(20)),
    "padding": lambda r: b"".join(r.record(r.DATA, b"", padding=9000) for _ in range(20)),
    "warnings": lambda r: b"".join(r.alert(1, 90) for _ in range(3)),
    "an octet, key update by key update": lambda r: b"".join(r.data(bytes([o])) + r.key_update() for o in NOOP),
}
COMMANDS = {"an octet, key update by key update": 1, "records of one octet": 40}
TRUE["records of one octet"] = lambda r: r.data(NOOP * 40, 1)
# Behind these OpenSSL reads no more.
BROKEN = {
    "empty records by the thousand": lambda r: b"".join(r.record(r.DATA, b"") for _ in range(3000)),
    "warnings by the hundred": lambda r: b"".join(r.alert(1, 90) for _ in range(300)),
    "an alert": lambda r: r.alert(2, 80),
    "a close_notify": lambda r: r.alert(1, 0),
    "another handshake": lambda r: r.record(r.HANDSHAKE, b"\x01\0\0\x02\x03\x03"),
    "a key update that is none": lambda r: r.record(r.HANDSHAKE, b"\x18\0\0\x02\0\0"),
    "a record of another key": lambda r: b"\x17\x03\x03\0\x20" + bytes(32),
    "octets in clear": lambda r: NOOP * 50,
}


@pytest.fixture(scope="module")
def issued(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("events")).issue("mx.example.test")


def tls_section(issued):
    return f'log_level = "debug" tls {{ certificate = "{issued[0]}" key = "{issued[1]}" }}'


class Talk:
    """A session under TLS whose records the test makes, up to a reply that is held."""

    def __init__(self, m, own, host="127.0.0.1"):
        self.own = own
        self.wire = Wire(m.port, host, own).keep_secret().shake()
        self.records = Records(self.wire)
        assert self.say(b"EHLO talk.test\r\n").startswith(b"250")
        assert self.say(b"MAIL FROM:<a@b.test>\r\n").startswith(b"250")
        self.wire.socket.sendall(self.records.data(b"RCPT TO:<nobody@example.test>\r\n"))

    def say(self, octets):
        self.wire.socket.sendall(self.records.data(octets))
        return self.wire.line()

    def lines(self, count):
        """So many lines of replies."""
        said = b""
        while said.count(b"\r\n") < count:
            more = self.wire.line()
            assert more, f"closed behind {said}"
            said += more
        return said.splitlines()

    def has_ended(self):
        """Whether nothing more comes than the end."""
        try:
            return self.wire.line() == b""
        except (ssl.SSLError, OSError):
            return True


def check_all(m, talks, hold):
    """Each hears 550 when its hold is over, and those of TRUE go on."""
    mark = 0
    for name, talk in talks.items():
        (refused,) = talk.lines(1)
        assert refused.startswith(b"550 5.1.1"), (name, refused)
        if name in TRUE:
            answered = COMMANDS.get(name, 0)
            assert all(line.startswith(b"250") for line in (talk.lines(answered) if answered else ())), name
            assert talk.say(b"RSET\r\n").startswith(b"250"), name
            assert talk.say(b"QUIT\r\n").startswith(b"221"), name
        assert talk.has_ended(), name
        assert m.held(talk.own, mark) >= hold - 0.1, name
        talk.wire.socket.close()


def test_events_of_tls_amid_a_hold_neither_end_it_nor_disturb_anybody(mired, issued):
    m = mired(tarpit="time = 4s growth = 1 pace = false", config=tls_section(issued), workers=1)
    (worker,) = m.processes("worker")
    talks = {}
    for n, (name, event) in enumerate((TRUE | BROKEN).items()):
        talks[name] = Talk(m, f"127.45.1.{n + 1}")
        m.log.wait(rf"event=hold .*client=127.45.1.{n + 1} ")
        talks[name].wire.socket.sendall(event(talks[name].records))
    assert deliver(m.port, "a@b.test", USER).code == 250
    check_all(m, talks, 4)
    assert deliver(m.port, "a@b.test", USER).code == 250
    if worker:
        assert m.processes("worker") == [worker]
    assert "busy loop" not in m.log.text


@pytest.mark.skipif(bool(netns.unable()), reason=netns.unable() or "able")
def test_events_of_tls_amid_a_frozen_hold_wait_for_its_end(frozen, cable, issued):
    """The client's kernel sends them again until the connection is thawed."""
    m = frozen(time=25, config=tls_section(issued))
    talks = {name: Talk(m, source(n), netns.SERVER) for n, name in enumerate(TRUE | BROKEN)}
    until(lambda: frozen_in(m) == len(talks))
    for name, event in (TRUE | BROKEN).items():
        talks[name].wire.socket.sendall(event(talks[name].records))
    check_all(m, talks, 25)
    until(lambda: frozen_in(m) == 0)
    with Client(m.port, host=netns.SERVER, source=source(500)) as client:
        assert client.ehlo().code == 250
    assert "busy loop" not in m.log.text


def test_a_flood_of_key_updates_leaves_the_worker_to_others(mired, issued):
    m = mired(tarpit="time = 1s", config=tls_section(issued), workers=1)
    (worker,) = m.processes("worker")
    flood = Wire(m.port, source="127.45.2.1").keep_secret().shake()
    records = Records(flood)
    flood.socket.sendall(records.data(b"EHLO x\r\n"))
    assert flood.line().startswith(b"250")
    for n in range(10):
        flood.socket.sendall(b"".join(records.key_update() for _ in range(1000)))
        assert deliver(m.port, "a@b.test", USER).code == 250
    flood.socket.sendall(records.data(NOOP))
    assert flood.line().startswith(b"250")
    assert m.processes("worker") == [worker]
    flood.socket.close()


def test_a_client_of_tls_1_2_that_wants_to_negotiate_again_ends_no_hold(mired, issued):
    """openssl s_client does so when a line that it reads begins with R."""
    m = mired(tarpit="time = 20s growth = 1 pace = false", config=tls_section(issued), workers=1)
    (worker,) = m.processes("worker")
    command = ["openssl", "s_client", "-connect", f"127.0.0.1:{m.port}", "-starttls", "smtp", "-tls1_2", "-crlf", "-no_ign_eof"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as client:
        for line, answer in (b"EHLO x", b"RCPTMAX"), (b"mail from:<a@b.test>", b"2.1.0"), (b"rcpt to:<nobody@example.test>", None):
            client.stdin.write(line + b"\n")
            client.stdin.flush()
            while answer and answer not in (heard := client.stdout.readline()):
                assert heard, "openssl has ended"
        m.log.wait("event=hold")
        client.stdin.write(b"R\n")
        client.stdin.close()
        said = client.stdout.read()  # it ends: its wish is refused
    assert b"RENEGOTIATING" in said and b"5.1.1" not in said.split(b"RENEGOTIATING")[0]
    until(lambda: "event=session" in m.log.text)
    assert deliver(m.port, "a@b.test", USER).code == 250
    assert m.processes("worker") == [worker]
