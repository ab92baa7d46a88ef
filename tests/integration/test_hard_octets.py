"""Octets that somebody behind us, or a part of ourselves, could read otherwise than we do."""

import socket
import ssl

import pytest

from lib import ports
from lib.certificates import Authority
from lib.smtp import Client
from lib.tls_wire import Wire

NAME = "mx.example.test"
USER = "alice@example.test"
BAD = "554 5.5.2 Bare CR or LF, or too long a line, in the message"


@pytest.fixture(scope="module")
def issued(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("octets")).issue(NAME)


@pytest.fixture
def m(mired, issued):
    implicit = ports.free()
    started = mired(
        tarpit="time = 0",
        config=f"""tls {{ certificate = "{issued[0]}" key = "{issued[1]}" }}
            listen "127.0.0.1:{implicit}" {{ submission = true tls = implicit }}""",
    )
    started.implicit = implicit
    return started


# ---- NUL (field notes 36) ----

SMUGGLED = b"MAIL FROM:<evil@b.test>\r\nRCPT TO:<bob@example.test>\r\nDATA\r\nSubject: smuggled\r\n\r\nx"
NULS = [b"\r\n\0.\r\n", b"\r\n.\0\r\n", b"\r\0\n.\r\n", b"\r\n.\r\0\n", b"\0"]


@pytest.mark.parametrize("end", NULS)
@pytest.mark.parametrize("how", ["data", "chunks"])
def test_a_nul_ends_no_message_and_begins_none(m, how, end):
    text = b"Subject: outer\r\n\r\nx" + end + SMUGGLED + b"\r\n"
    with Client(m.port) as client:
        client.ehlo()
        client.envelope("a@b.test", [USER])
        reply = client.data(text) if how == "data" else client.chunks(text, [7, 13])
        assert reply.text == "554 5.5.2 NUL in the message"
        assert client.message("a@b.test", USER, b"Subject: after\r\n\r\nx\r\n").code == 250
    (only,) = m.delivered(USER)
    assert b"Subject: after" in only
    assert not m.delivered("bob@example.test", timeout=0)


def test_a_nul_passes_where_it_is_allowed_but_not_beside_a_dot_that_could_end_the_data(mired):
    m = mired(tarpit="time = 0", config='nul = "allow"')
    with Client(m.port) as client:
        client.ehlo()
        for line in (b"\0.", b".\0", b".\0 more", b"\0\0.\0"):
            assert client.message("a@b.test", USER, b"Subject: x\r\n\r\na\r\n" + line + b"\r\n").text == (
                "554 5.5.2 NUL in the message" if line[:1] == b"\0" else "250 2.0.0 Ok"
            )
        assert client.message("a@b.test", USER, b"Subject: x\r\n\r\na\0b\r\n\0 .\r\n").code == 250
    assert m.delivered(USER, count=3)[-1].endswith(b"a\0b\n\0 .\n")  # the store writes lines as Maildir has them


# ---- bare LF in chunks (field notes 10) ----


def test_bare_newlines_in_chunks_are_mended_for_whom_they_are_to_be(mired):
    friend = ports.stranger()
    m = mired(
        tarpit="time = 0",
        config=f'bare_newline = "normalise"\nbare_newline_networks = {{ "{friend}" }}',
    )
    text = b"Subject: lines\n\nfirst\n.\nMAIL FROM:<evil@b.test>\n..\r\nlast\n"
    with Client(m.port, source=friend) as client:
        client.ehlo()
        for sizes in ([], [14], [15], [16, 5, 1, 1, 1]):
            client.envelope("a@b.test", [USER])
            assert client.chunks(text, sizes).code == 250
        client.envelope("a@b.test", [USER])
        assert client.data(text).text == BAD  # never behind DATA
    with Client(m.port) as client:
        client.ehlo()
        client.envelope("a@b.test", [USER])
        assert client.chunks(text, []).text == BAD
    mails = m.delivered(USER, count=4)
    assert len(mails) == 4
    for mail in mails:
        assert mail.endswith(text.replace(b"\r\n", b"\n"))


def test_chunking_can_be_left_out_of_a_listener(mired):
    other = ports.free()
    m = mired(tarpit="time = 0", config=f'listen "127.0.0.1:{other}" {{ chunking = false }}')
    with Client(m.port) as client:
        assert "CHUNKING" in client.ehlo()
    with Client(other) as client:
        assert "CHUNKING" not in client.ehlo()
        client.envelope("a@b.test", [USER])
        client.send(b"BDAT 6 LAST\r\nQUIT\r\n")
        assert client.reply().code == 500
        assert client.data(b"Subject: x\r\n\r\nx\r\n").code == 250


# ---- STARTTLS and close_notify (field notes 35) ----


@pytest.mark.parametrize("behind", [b"QUIT\r\n", b"N", b"EHLO x\r\nMAIL FROM:<a@b.test>\r\n", b"\x16\x03\x01"])
def test_what_comes_along_with_starttls_ends_the_session(m, behind):
    with Client(m.port) as client:
        client.ehlo()
        client.send(b"STARTTLS\r\n" + behind)
        assert client.reply().text == "554 5.5.1 Commands pipelined behind STARTTLS"
        try:
            client.send(b"OOP\r\n")  # the rest of it
        except ConnectionError:
            pass
        assert client.is_closed()


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize("said", [b"", b"EHLO x\r\n", b"EHLO x\r\nMAIL FROM:<a@b.test>\r\n"])
def test_a_close_notify_is_answered_by_one(m, version, said):
    wire = Wire(m.implicit).limit(version)
    wire.do(wire.tls.do_handshake)
    assert wire.line().startswith(b"220")
    for command in said.splitlines(keepends=True):
        wire.say(command)
    before = wire.received
    wire.do(wire.tls.unwrap)  # sends ours, and returns when theirs has come, or the end
    assert wire.received > before
    wire.socket.close()


def test_a_close_notify_amid_a_hold_is_answered_too(mired, issued):
    section = f'log_level = "debug"\ntls {{ certificate = "{issued[0]}" key = "{issued[1]}" }}'
    m = mired(tarpit="time = 30s", config=section)
    wire = Wire(m.port)
    wire.socket.recv(500)
    for command in (b"EHLO x\r\n", b"STARTTLS\r\n"):
        wire.socket.sendall(command)
        wire.socket.recv(500)
    wire.do(wire.tls.do_handshake)
    wire.say(b"EHLO x\r\n")
    wire.say(b"MAIL FROM:<a@b.test>\r\n")
    wire.tls.write(b"RCPT TO:<nobody@example.test>\r\n")
    wire.flush()
    m.log.wait("event=hold")
    with pytest.raises(ssl.SSLWantReadError):
        wire.tls.unwrap()
    wire.flush()
    wire.socket.shutdown(socket.SHUT_WR)
    before = wire.received
    wire.do(wire.tls.unwrap)
    assert wire.received > before
    m.log.wait(r'event=session .*result="gave up"')


def test_too_long_an_auth_line_has_its_own_code(m):
    with Client(m.submission) as client:
        client.ehlo()
        client.must("AUTH PLAIN", 334)
        assert client.say("A" * 12400).text == "500 5.5.6 Authentication exchange line is too long"
        client.must("NOOP", 250)


def test_behind_helo_auth_is_told_to_say_ehlo(m):
    """field notes 10"""
    with Client(m.submission) as client:
        client.must("HELO x")
        assert client.say("AUTH PLAIN AGEAYg==").text == "503 5.5.1 EHLO first"


# ---- whose octets they are (field notes 31) ----


def test_what_an_evicted_client_had_sent_is_not_read_as_anothers(mired):
    """The guard lets one go to make room for another, in the midst of what that other has pipelined."""
    m = mired(workers=1, tarpit="time = 3s growth = 1 max = 4s pace = false held_max = 1", config='log_level = "debug"')
    worse = Client(m.port)
    worse.ehlo()
    worse.send("NOSUCH\r\n")  # held by itself, and worse by the time the other comes
    worse.reply()
    mark = m.log.mark()
    worse.send("NOSUCH\r\n")
    m.log.wait("event=hold", since=mark)
    worse.send("HELP\r\n" * 200)  # lies in its socket
    better = Client(m.port)
    better.ehlo()
    better.send("NOSUCH\r\n" + "NOOP\r\n" * 50)
    assert better.reply().code == 500
    assert [better.reply().code for _ in range(50)] == [250] * 50
    assert worse.reply().text.startswith("421 4.7.0")
    m.log.wait("result=evicted")
    better.close()
    worse.close()
