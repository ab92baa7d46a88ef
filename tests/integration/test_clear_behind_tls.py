"""Octets in clear where TLS has begun or ended: behind a close_notify amid a chunk (the kind of CVE-2026-45185), and
behind STARTTLS; with nothing, a hold and a frozen hold before them. None becomes a command, a message or its part."""

import itertools
import socket

import pytest

from lib import netns
from lib.certificates import Authority
from lib.frozen import source, wait_frozen
from lib.smtp import Client, deliver
from lib.tls_wire import Wire, all_records
from lib.waiting import PATIENCE

USER, ANOTHER = "alice@example.test", "bob@example.test"
TEXT = b"Subject: outer\r\n\r\n" + b"x" * 40 + b"\r\n"
HIDDEN = f"RSET\r\nMAIL FROM:<evil@b.test>\r\nRCPT TO:<{ANOTHER}>\r\nBDAT 16 LAST\r\nSubject: hidden\r\nQUIT\r\n".encode()
UNKNOWN = b"RCPT TO:<nobody@example.test>\r\n"
CLEAR = {
    "nothing": lambda missing: b"",
    "the rest": lambda missing: missing + HIDDEN,
    "commands": lambda missing: HIDDEN,
    "one octet": lambda missing: missing[:1] or b"\n",
    "a record": lambda missing: b"\x17\x03\x03\x00\x10" + b"\0" * 16 + HIDDEN,
    "a handshake": lambda missing: b"\x16\x03\x01\x00\x05\x01\x00\x00\x01\x03" + HIDDEN,
    "much": lambda missing: (missing + HIDDEN) * 2000,
}


@pytest.fixture(scope="module")
def issued(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("clear")).issue("mx.example.test")


def tls_section(issued):
    return f'tls {{ certificate = "{issued[0]}" key = "{issued[1]}" }}'


def chunk_cut(wire, at, last, clear, before=b""):
    """A chunk of TEXT that ends at its octet `at` with a close_notify, and octets in clear behind that."""
    octets = wire.pending(before + b"BDAT %d%s\r\n" % (len(TEXT), b" LAST" if last else b"") + TEXT[:at])
    return octets + wire.close_notify() + CLEAR[clear](TEXT[at:])


def send(wire, octets):
    """The other side may close while there is more to send."""
    try:
        wire.socket.sendall(octets)
        wire.socket.shutdown(socket.SHUT_WR)
    except OSError:
        pass


def nothing_came(m):
    """The next client is served, and the only message is its own."""
    assert deliver(m.port, "a@b.test", [USER, ANOTHER], b"Subject: after\r\n\r\nx\r\n").code == 250
    for person in (USER, ANOTHER):
        mails = m.delivered(person)
        assert len(mails) == 1 and b"Subject: after" in mails[0], mails


@pytest.mark.fast
@pytest.mark.parametrize("split", [False, True], ids=["together", "apart"])
def test_octets_in_clear_behind_a_close_notify_amid_a_chunk_are_nobodys(mired, issued, split):
    m = mired(tarpit="time = 0", config=tls_section(issued))
    for at, last, clear in itertools.product((0, 1, 17, len(TEXT) - 1, len(TEXT)), (False, True), CLEAR):
        wire = Wire(m.port, source="127.66.1.1").starttls()
        for command in (b"MAIL FROM:<a@b.test>\r\n", f"RCPT TO:<{USER}>\r\n".encode()):
            assert wire.say(command).startswith(b"250")
        whole = at == len(TEXT) and last
        octets = chunk_cut(wire, 17 if whole else at, last, clear)
        if split:
            try:
                for i in range(0, min(len(octets), 120), 7):
                    wire.socket.sendall(octets[i : i + 7])
            except OSError:  # it has closed behind the close_notify
                pass
            octets = octets[120 + (7 - 120 % 7) % 7 :]
        send(wire, octets)
        assert all_records(wire.rest()), (at, last, clear)
        wire.socket.close()
    nothing_came(m)


@pytest.mark.fast
def test_octets_in_clear_behind_a_close_notify_wait_with_a_hold_and_are_nobodys(mired, issued):
    m = mired(tarpit="time = 1s growth = 1 pace = false", config=f'log_level = "debug"\n{tls_section(issued)}', workers=1)
    wires = []
    for n, (at, clear) in enumerate(itertools.product((0, 17, len(TEXT) - 1), CLEAR)):
        wire = Wire(m.port, source=f"127.67.{n}.1").starttls()
        assert wire.say(b"MAIL FROM:<a@b.test>\r\n").startswith(b"250")
        assert wire.say(f"RCPT TO:<{USER}>\r\n".encode()).startswith(b"250")
        octets = chunk_cut(wire, at, True, clear, UNKNOWN)
        try:
            wire.socket.sendall(octets)
        except OSError:
            pass
        wires.append(wire)
    for wire in wires:
        assert all_records(wire.rest())
        wire.socket.close()
    nothing_came(m)


@pytest.mark.skipif(bool(netns.unable()), reason=netns.unable() or "able")
def test_octets_in_clear_behind_a_close_notify_wait_with_a_frozen_hold_and_are_nobodys(frozen, cable, issued):
    m = frozen(time=10, config=tls_section(issued))
    wires = []
    for n, (at, clear) in enumerate(itertools.product((0, 17), ("the rest", "commands", "a record", "much"))):
        wire = Wire(m.port, netns.SERVER, source(n)).starttls()
        assert wire.say(b"MAIL FROM:<a@b.test>\r\n").startswith(b"250")
        assert wire.say(f"RCPT TO:<{USER}>\r\n".encode()).startswith(b"250")
        wire.socket.sendall(wire.pending(UNKNOWN))
        wires.append((wire, at, clear))
    wait_frozen(cable, 6)
    for wire, at, clear in wires:  # while it has no socket there
        wire.socket.setblocking(False)
        try:
            wire.socket.send(chunk_cut(wire, at, True, clear))
        except OSError:
            pass
        wire.socket.settimeout(PATIENCE)
    for wire, at, clear in wires:
        assert all_records(wire.rest()), (at, clear)
        wire.socket.close()
    nothing_came_there(m)


def nothing_came_there(m):
    with Client(m.port, host=netns.SERVER, source=source(200)) as client:
        client.ehlo()
        assert client.message("a@b.test", [USER, ANOTHER], b"Subject: after\r\n\r\nx\r\n").code == 250
    for person in (USER, ANOTHER):
        mails = m.delivered(person)
        assert len(mails) == 1 and b"Subject: after" in mails[0], mails


# ---- behind STARTTLS ----

INJECTED = [HIDDEN, b"\r\n", b"\0", b"NOOP\r\n", b"STARTTLS\r\n", b"EHLO x\r\n" + HIDDEN, b"\x16\x03\x01", b"N"]


def refused(client):
    assert client.reply().text == "554 5.5.1 Commands pipelined behind STARTTLS"
    assert client.is_closed()


@pytest.mark.parametrize("injected", INJECTED, ids=range(len(INJECTED)))
def test_commands_behind_starttls_that_waited_with_a_hold_are_not_believed(mired, issued, injected):
    m = mired(tarpit="time = 1s growth = 1 pace = false", config=tls_section(issued))
    with Client(m.port) as client:
        client.ehlo()
        client.must("MAIL FROM:<a@b.test>")
        client.send(UNKNOWN + b"STARTTLS\r\n" + injected)
        assert client.reply().code == 550
        refused(client)
    nothing_came(m)


@pytest.mark.skipif(bool(netns.unable()), reason=netns.unable() or "able")
def test_commands_behind_starttls_that_waited_with_a_frozen_hold_are_not_believed(frozen, cable, issued):
    m = frozen(time=8, config=tls_section(issued))
    clients = []
    for n, injected in enumerate(INJECTED):
        client = Client(m.port, host=netns.SERVER, source=source(n))
        client.ehlo()
        client.must("MAIL FROM:<a@b.test>")
        client.send(UNKNOWN)
        clients.append((client, injected))
    wait_frozen(cable, 6)
    for client, injected in clients:
        client.send(b"STARTTLS\r\n" + injected)
    for client, injected in clients:
        assert client.reply().code == 550
        refused(client)
        client.close()
    nothing_came_there(m)


@pytest.mark.parametrize("clear", ids=range(6), argvalues=[HIDDEN, b"NOOP\r\n" * 1000, b"\r\n", b"\0" * 5, b"\x80\x2e\x01\x03\x01", b"\x16\x03\x01\x40\x01" + b"x" * 16385])
def test_octets_in_clear_instead_of_the_handshake_end_the_connection(mired, issued, clear):
    m = mired(tarpit="time = 0", config=tls_section(issued))
    with Client(m.port) as client:
        client.ehlo()
        client.must("STARTTLS", 220)
        wire = Wire.__new__(Wire)
        wire.socket = client.socket
        send(wire, clear)
        assert all_records(wire.rest())
    nothing_came(m)


def test_a_login_or_an_envelope_before_starttls_is_forgotten_behind_it(mired, issued):
    m = mired(tarpit="time = 0", config=tls_section(issued))
    wire = Wire(m.port, source="127.66.1.1")
    wire.plain_line()
    for command in (b"EHLO wire.test\r\n", b"MAIL FROM:<evil@b.test>\r\n", f"RCPT TO:<{ANOTHER}>\r\n".encode(), b"STARTTLS\r\n"):
        wire.socket.sendall(command)
        wire.plain_line()
    wire.do(wire.tls.do_handshake)
    assert wire.say(b"BDAT 1 LAST\r\nx").startswith(b"503")
    nothing_came(m)
