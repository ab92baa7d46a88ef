"""Behind a balancer, and before a server that wants to know the client: the PROXY protocol both ways."""

import re
import socket

import pytest

from lib import ports
from lib.haproxy import HAProxy
from lib.smtp import Client

USER = "alice@example.test"


@pytest.fixture
def m(mired):
    """A mired with one more listener, .behind, that believes 127.0.0.1."""
    behind = ports.free()
    started = mired(
        tarpit="time = 1s pace = false growth = 1",
        config=f'listen "127.0.0.1:{behind}" {{ proxy_protocol = {{ "127.0.0.1" }} }}\nexempt = {{ "192.0.2.99" }}',
    )
    started.behind = behind
    return started


@pytest.fixture
def haproxy():
    started = []

    def start(*arguments):
        started.append(HAProxy(*arguments))
        return started[-1].start()

    yield start
    for h in started:
        h.stop()
        h.remove()


@pytest.mark.parametrize("how", ["send-proxy", "send-proxy-v2"])
def test_behind_haproxy_the_client_is_the_client(m, haproxy, how):
    front = haproxy(m.behind, how)
    source = ports.stranger()
    with Client(front.port, source=source) as client:
        client.ehlo()
        assert client.message("a@b.test", USER).code == 250
        client.must("MAIL FROM:<a@b.test>")
        reply = client.say("RCPT TO:<nobody@example.test>")
        assert reply.code == 550 and reply.seconds >= 0.99
    assert f"[{source}]".encode() in m.delivered(USER)[0]
    m.log.wait(rf"event=session client={re.escape(source)} ")
    shown = m.control("show", source)
    assert shown.returncode == 0, shown.stderr


def say_header(port, header, source="127.0.0.1", pieces=1):
    """A connection that says `header` first, in so many pieces; whose greeting has not been read."""
    client = Client(port, source=source, greet=False)
    size = -(-len(header) // pieces)
    for i in range(0, len(header), size):
        client.send(header[i : i + size])
    return client


def test_a_header_may_come_in_pieces_and_what_is_behind_it_is_the_clients(m):
    header = b"PROXY TCP4 192.0.2.99 198.51.100.1 56324 25\r\n"
    with say_header(m.behind, header, pieces=9) as client:
        assert client.reply().code == 220
        client.ehlo()
        client.must("MAIL FROM:<a@b.test>")
        reply = client.say("RCPT TO:<nobody@example.test>")
        assert reply.code == 550 and reply.seconds < 0.9  # 192.0.2.99 is exempt


def test_a_balancer_that_speaks_for_itself_is_its_own_client(m):
    with say_header(m.behind, b"PROXY UNKNOWN\r\n") as client:
        assert client.reply().code == 220
    m.log.wait(r"event=session client=127\.0\.0\.1 ")


@pytest.mark.fast
def test_who_sends_no_header_is_not_served_there(m):
    with say_header(m.behind, b"EHLO x\r\n") as client:
        assert client.is_closed()
    m.log.wait(r'result="no PROXY header"')


def test_a_header_from_anyone_else_is_not_believed(m):
    with Client(m.behind, source=ports.stranger()) as client:
        assert client.say("PROXY TCP4 192.0.2.99 198.51.100.1 56324 25").code == 500
        client.ehlo()
        client.must("MAIL FROM:<a@b.test>")
        assert client.say("RCPT TO:<nobody@example.test>").seconds >= 0.99


def test_a_balancer_that_says_nothing_holds_nobody_up(m):
    silent = [socket.create_connection(("127.0.0.1", m.behind)) for _ in range(30)]
    with say_header(m.behind, b"PROXY TCP4 192.0.2.7 198.51.100.1 56324 25\r\n") as client:
        assert client.reply().code == 220
    for s in silent:
        s.close()


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_postfix_is_told_the_client_of_each_message(mired, postfix, version):
    backend = postfix(extra="smtpd_upstream_proxy_protocol = haproxy", greets=False)
    m = mired(backend=f'backend "smtp://127.0.0.1:{backend.port}" {{ proxy_protocol = {version} connections = 2 }}')
    sources = [ports.stranger() for _ in range(3)]
    for source in sources:
        with Client(m.port, source=source) as client:
            client.ehlo()
            for _ in range(2):
                assert client.message("a@b.test", USER).code == 250
    assert len(backend.delivered(USER, count=6)) == 6
    for source in sources:
        backend.wait_log(rf"client=unknown\[{re.escape(source)}\]")


def test_many_at_once_share_the_connections_to_such_a_backend(mired, postfix):
    backend = postfix(extra="smtpd_upstream_proxy_protocol = haproxy", greets=False)
    m = mired(backend=f'backend "smtp://127.0.0.1:{backend.port}" {{ proxy_protocol = v2 connections = 2 }}', workers=1)
    clients = [Client(m.port) for _ in range(20)]
    for client in clients:
        client.ehlo()
        client.must("MAIL FROM:<a@b.test>")
        client.must(f"RCPT TO:<{USER}>")
        client.must("DATA", 354)
    for client in clients:
        client.send("Subject: one of many\r\n\r\nx\r\n.\r\n")
    assert {client.reply().code for client in clients} == {250}
    assert len(backend.delivered(USER, count=20)) == 20
    for client in clients:
        client.close()
