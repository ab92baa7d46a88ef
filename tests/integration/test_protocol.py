"""SMTP as strangers speak it: RFC 5321 and its extensions, and the limits of bad input."""

import contextlib
import socket
import threading

import pytest

from lib.mired import SANITIZED
from lib.smtp import Client, wait_offered
from lib.waiting import PATIENCE

QUIET = "time = 0"


@pytest.fixture
def client(mired):
    """A connection past EHLO to a mired that delays nothing."""
    m = mired(tarpit=QUIET, config="size_max = 1M")
    with Client(m.port) as c:
        c.mired = m
        c.ehlo()
        yield c


@pytest.mark.fast
def test_the_greeting_names_the_host_and_ehlo_what_is_offered(mired):
    m = mired(tarpit=QUIET)
    with Client(m.port) as c:
        assert c.greeting.code == 220 and "mx.example.test ESMTP" in c.greeting
        words = {line[4:].split()[0] for line in c.ehlo().lines}
    assert {"PIPELINING", "SIZE", "8BITMIME", "ENHANCEDSTATUSCODES", "CHUNKING"} <= words


def test_the_limits_in_ehlo_are_those_of_a_connection(mired):
    """RFC 9422. The count of recipients is tried here, that of messages too: all 50,000."""
    m = mired(tarpit=QUIET)
    with Client(m.port) as c:
        limits = next(line for line in c.ehlo().lines if line[4:].startswith("LIMITS")).split()[1:]
        recipients, mails = (int(limit.split("=")[1]) for limit in sorted(limits, reverse=True))
        assert sorted(limits) == [f"MAILMAX={mails}", f"RCPTMAX={recipients}"]
        codes = [r.code for r in c.envelope("a@b.test", ["alice@example.test"] * (recipients + 1))]
        assert codes == [250] * recipients + [452]
    with Client(m.port) as c:
        c.ehlo()
        left = mails
        while left:  # pipelined; after 90 that are given up there must be a message
            some = min(left - 1, 90)
            c.send("MAIL FROM:<a@b.test>\r\nRCPT TO:<alice@example.test>\r\nRSET\r\n" * some)
            assert [c.reply().code for _ in range(3 * some)] == [250] * 3 * some
            assert c.message("a@b.test", "alice@example.test").code == 250
            left -= some + 1
        reply = c.say("MAIL FROM:<a@b.test>")
        assert reply.code == 421 and c.is_closed()


def test_the_store_offers_everything(mired):
    m = mired(tarpit=QUIET)
    wait_offered(m.port, "SMTPUTF8")
    wait_offered(m.port, "DSN")


def test_helo_gets_one_line(mired):
    m = mired(tarpit=QUIET)
    with Client(m.port) as c:
        assert len(c.must("HELO client.test", 250).lines) == 1
        assert c.message("a@b.test", "alice@example.test").code == 250


def test_vrfy_and_expn_tell_nothing(client):
    assert client.say("VRFY alice").code == 252
    assert client.say("VRFY nobody").code == 252
    assert client.say("EXPN list").code == 502


def test_commands_that_bring_no_mail_forward_have_a_limit(mired):
    m = mired(tarpit=QUIET)
    with Client(m.port) as c:
        c.ehlo()
        for _ in range(3):  # a pool of connections asks whether they live: each message sets the count to 0
            c.send("NOOP\r\nRSET\r\n" * 50)
            assert [c.reply().code for _ in range(100)] == [250] * 100
            assert c.message("a@b.test", "alice@example.test").code == 250
        c.send("NOOP\r\n" * 110)
        assert [c.reply().code for _ in range(101)] == [250] * 100 + [421]
        assert c.is_closed()
    m.log.wait(rf'event=session client={c.source} .*result="too many commands"')


def test_the_last_answer_before_the_limit_is_held_and_comes_first(mired):
    """What is pipelined behind a held reply is not read before it is due, and a bad line is held in any place."""
    m = mired(tarpit="time = 1s growth = 1 max = 1s pace = false")
    with Client(m.port) as c:
        c.ehlo()
        c.must("MAIL FROM:<a@b.test>")
        c.send("RCPT TO:<nobody@example.test>\r\n" + "NOOP\r\n" * 99 + "XYZZY\r\n")
        replies = [c.reply() for _ in range(101)]
        assert [r.code for r in replies] == [550] + [250] * 99 + [421]
        assert replies[0].seconds >= 0.99
        assert replies[100].seconds >= 1.99
        assert c.is_closed()


def test_noop_help_and_quit(client):
    assert client.say("NOOP whatever").code == 250
    assert client.say("HELP").code == 214
    assert client.say("QUIT").code == 221
    assert client.is_closed()


def test_rset_forgets_the_envelope(client):
    client.envelope("a@b.test", ["alice@example.test"])
    client.must("RSET", 250)
    assert client.say("RCPT TO:<bob@example.test>").code == 503
    assert client.message("a@b.test", "bob@example.test").code == 250


def test_several_messages_go_over_one_connection(client):
    for _ in range(5):
        assert client.message("a@b.test", "carol@example.test").code == 250
    assert len(client.mired.delivered("carol@example.test", count=5)) == 5


@pytest.mark.fast
def test_a_pipelined_transaction_is_answered_in_order(client):
    client.send(
        "MAIL FROM:<a@b.test>\r\nRCPT TO:<alice@example.test>\r\nRCPT TO:<nobody@example.test>\r\nDATA\r\n"
    )
    assert [client.reply().code for _ in range(4)] == [250, 250, 550, 354]
    client.send("Subject: x\r\n\r\n.\r\nMAIL FROM:<c@d.test>\r\nQUIT\r\n")
    assert [client.reply().code for _ in range(3)] == [250, 250, 221]


def test_octet_by_octet_is_as_good_as_a_burst(client):
    for octet in b"MAIL FROM:<a@b.test>\r\nRCPT TO:<alice@example.test>\r\nDATA\r\n":
        client.send(bytes([octet]))
    assert [client.reply().code for _ in range(3)] == [250, 250, 354]
    for octet in b"Subject: x\r\n\r\n..dot\r\n.\r\n":
        client.send(bytes([octet]))
    assert client.reply().code == 250
    assert client.mired.delivered("alice@example.test")[0].endswith(b"\n\n.dot\n")


def test_a_message_that_says_it_is_too_large_is_refused_early(client):
    reply = client.say("MAIL FROM:<a@b.test> SIZE=2000000")
    assert reply.code == 552 and "5.3.4" in reply


def test_a_message_that_is_too_large_is_refused(client):
    client.envelope("a@b.test", ["alice@example.test"])
    reply = client.data(b"Subject: x\r\n\r\n" + b"y" * 70 * 15000 + b"\r\n")
    assert reply.code in (552, 554)
    assert client.message("a@b.test", "alice@example.test").code == 250


def test_bdat_in_several_chunks_is_one_message(client):
    client.envelope("a@b.test", ["alice@example.test"])
    assert client.chunks(b"Subject: x\r\n\r\n.one\r\n.\r\ntwo\r\n", [3, 12, 1, 0]).code == 250
    assert client.mired.delivered("alice@example.test")[0].endswith(b"\n\n.one\n.\ntwo\n")


def test_smtputf8_is_asked_for_by_who_needs_it(mired):
    m = mired(tarpit=QUIET, recipients=("jürgen@example.test",))
    wait_offered(m.port, "SMTPUTF8")
    with Client(m.port) as c:
        c.ehlo()
        c.must("MAIL FROM:<a@b.test>")
        reply = c.say("RCPT TO:<jürgen@example.test>")
        assert reply.code == 553 and "5.6.7" in reply
        c.must("RSET")
        c.must("MAIL FROM:<ä@b.test> SMTPUTF8")
        assert c.say("RCPT TO:<jürgen@example.test>").code == 250


def test_dsn_parameters_are_understood(client):
    wait_offered(client.mired.port, "DSN")
    client.ehlo()
    client.must("MAIL FROM:<a@b.test> RET=HDRS ENVID=abc")
    client.must("RCPT TO:<alice@example.test> NOTIFY=NEVER ORCPT=rfc822;alice@example.test")


def test_a_parameter_that_nobody_knows_is_refused(client):
    assert client.say("MAIL FROM:<a@b.test> FOO=BAR").code in (501, 555)


@pytest.mark.parametrize(
    "ending", [b"\n.\n", b"\n.\r\n", b"\r.\r", b"\r\n.\n", b"\r\n.\r", b"\n\n.\r\n"]
)
def test_no_line_end_but_crlf_ends_the_data(client, ending):
    """What a laxer server behind would take for a second message is nowhere."""
    client.envelope("a@b.test", ["alice@example.test"])
    client.must("DATA", 354)
    smuggled = b"MAIL FROM:<x@y.test>\r\nRCPT TO:<bob@example.test>\r\nDATA\r\nsmuggled\r\n.\r\n"
    client.send(b"Subject: x\r\n\r\nhello" + ending + smuggled)
    reply = client.reply()
    assert reply.code in (500, 554) and "5.5.2" in reply
    assert client.must("NOOP", 250)
    assert client.mired.delivered("bob@example.test", timeout=0.2) == []
    assert client.mired.delivered("alice@example.test", timeout=0.2) == []


@pytest.mark.parametrize("command", [b"NOOP\n", b"NO\rOP\r\n", b"NOOP\0\r\n"])
def test_bare_line_ends_and_nuls_in_commands_are_refused(client, command):
    client.send(command if command.endswith(b"\r\n") else command + b"\r\n")
    assert client.reply().code == 500


def test_the_line_after_too_long_a_one_is_read_as_usual(client):
    assert client.say("NOOP " + "x" * 100_000).code == 500
    assert client.say("NOOP").code == 250


def cut_off(client, octets, code):
    """Sends them without end, until the other side reads no more; the last thing that it says has this code."""

    def pour():
        with contextlib.suppress(OSError):
            while True:
                client.socket.sendall(octets)

    pouring = threading.Thread(target=pour, daemon=True)
    pouring.start()
    reply = client.reply()
    pouring.join(PATIENCE)
    assert not pouring.is_alive() and reply.code == code
    client.mired.log.wait(f'event=session client={client.source} .*result="too many commands"')


def test_a_line_without_an_end_is_not_read_on(client):
    cut_off(client, b"x" * 65536, 500)


@pytest.mark.soak
def test_a_refused_message_without_an_end_is_not_read_on(client):
    """1,500 MiB: its sender hears 552, and not only the end."""
    client.must("MAIL FROM:<a@b.test>")
    client.must("RCPT TO:<alice@example.test>")
    client.must("DATA", 354)
    cut_off(client, (b"x" * 70 + b"\r\n") * 14000, 552)


def test_a_long_line_in_the_message_is_passed_on(client):
    line = b"x" * 60_000
    assert client.message("a@b.test", "alice@example.test", b"S: x\r\n\r\n" + line + b"\r\n").code == 250
    assert line in client.mired.delivered("alice@example.test")[0]


def test_more_than_a_thousand_recipients_are_put_off(mired):
    m = mired(tarpit=QUIET, recipients=("@example.test",))
    with Client(m.port) as c:
        c.ehlo()
        c.must("MAIL FROM:<a@b.test>")
        c.send("".join(f"RCPT TO:<u{n}@example.test>\r\n" for n in range(1001)))
        replies = [c.reply() for _ in range(1001)]
    assert {r.code for r in replies[:1000]} == {250}
    assert replies[1000].code == 452 and "4.5.3" in replies[1000]


def test_a_mail_loop_is_broken(client):
    received = b"Received: from a by b; Mon, 1 Jan 2024 00:00:00 +0000\r\n" * 101
    reply = client.message("a@b.test", "alice@example.test", received + b"\r\nhello\r\n")
    assert reply.code == 554 and "5.4.6" in reply


def test_a_hundred_hops_are_no_loop(client):
    received = b"Received: from a by b; Mon, 1 Jan 2024 00:00:00 +0000\r\n" * 99
    assert client.message("a@b.test", "alice@example.test", received + b"\r\nhello\r\n").code == 250


def test_an_idle_client_is_sent_away(mired):
    m = mired(tarpit=QUIET, config="timeout = 1s")
    with Client(m.port) as c:
        reply = c.reply()
        assert reply.code == 421 and c.is_closed()


def test_a_client_that_only_sends_noise_is_survived(mired):
    import random

    noise = random.Random(7)
    m = mired(tarpit=QUIET)
    for _ in range(10 if SANITIZED else 50):
        with Client(m.port) as c:
            try:
                c.send(noise.randbytes(noise.randrange(1, 20_000)) + b"\r\n")
                c.socket.shutdown(socket.SHUT_WR)
                while c.line() is not None:
                    pass
            except OSError:
                pass
    with Client(m.port) as c:
        c.ehlo()
        assert c.message("a@b.test", "alice@example.test").code == 250


def test_ipv6_clients_are_served(mired):
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as s:
            s.bind(("::1", 0))
    except OSError:
        pytest.skip("no IPv6 here")
    m = mired(tarpit="time = 600ms", host="::1")
    with Client(m.port, host="::1") as c:
        c.ehlo()
        assert c.message("a@b.test", "alice@example.test").code == 250
        reply = c.envelope("a@b.test", ["nobody@example.test"])[0]
        assert reply.code == 550 and reply.seconds >= 0.59
    assert b"IPv6:::1" in m.delivered("alice@example.test")[0]


def test_a_received_line_says_where_the_message_came_from(client):
    assert client.message("a@b.test", "alice@example.test").code == 250
    message = client.mired.delivered("alice@example.test")[0]
    assert message.startswith(b"Return-Path: <a@b.test>\nReceived: from client.elsewhere.test ")
    header = message.split(b"\n\n")[0].replace(b"\n\t", b" ")
    assert f"[{client.source}]".encode() in header
    assert b"by mx.example.test" in header and b"ESMTP" in header
