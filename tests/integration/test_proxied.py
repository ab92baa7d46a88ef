"""Behind a balancer, and before a server that wants to know the client: the PROXY protocol both ways."""

import json
import re
import socket

import pytest

from lib import ports
from lib.haproxy import HAProxy
from lib.smtp import Client
from lib.waiting import until

USER = "alice@example.test"


@pytest.fixture
def m(mired):
    """A mired with one more listener, .behind, that believes 127.0.0.1."""
    behind = ports.free()
    started = mired(
        tarpit="time = 1s pace = false growth = 1",
        config=f'listen "127.0.0.1:{behind}" {{ proxy_protocol = {{ "127.0.0.1" }} }}\nlog_level = "debug"\nexempt = {{ "192.0.2.99" }}',
    )
    started.behind = behind
    return started


@pytest.fixture
def haproxy():
    started = []

    def start(*arguments, **options):
        started.append(HAProxy(*arguments, **options))
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
    m.log.wait(rf"event=session (?:level=debug )?client={re.escape(source)} ")
    m.booked()
    shown = m.control("show", source)
    assert shown.returncode == 0, shown.stderr


@pytest.mark.parametrize("how", ["send-proxy", "send-proxy-v2"])
def test_behind_haproxy_on_both_families_ipv4_clients_are_themselves(m, haproxy, how):
    """field notes 1: HAProxy says ::ffff:127.x.y.z of them."""
    front = haproxy(m.behind, how, both=True)
    sources = [ports.stranger() for _ in range(3)]
    for source in sources:
        with Client(front.port, source=source) as client:
            client.ehlo()
            assert client.message("a@b.test", USER).code == 250
    received = b"".join(m.delivered(USER, count=3))
    for source in sources:
        assert f"[{source}]".encode() in received
        m.log.wait(rf"event=session client={re.escape(source)} ")
    with Client(front.port, source=sources[0]) as client:  # what one does is that one's
        client.ehlo()
        client.must("MAIL FROM:<a@b.test>")
        assert client.say("RCPT TO:<nobody@example.test>").code == 550
    m.booked()
    for spelling in (sources[0], f"::ffff:{sources[0]}", f"[::ffff:{sources[0]}]"):
        assert "offences" in m.control("show", spelling).stdout
    shown = json.loads(m.control("--json", "show", sources[0]).stdout)
    assert shown["client"]["offences"] > 0.5
    assert json.loads(m.control("--json", "show", sources[1]).stdout)["client"]["offences"] == 0


V2 = b"\r\n\r\n\0\r\nQUIT\n"
MAPPED = b"\0" * 10 + b"\xff\xff"


def v2(source, target=b"\xc0\0\x02\x01", more=b"", mapped=True):
    ends = MAPPED + source + MAPPED + target if mapped else source + target
    body = ends + b"\x12\x67\0\x19" + more
    return V2 + (b"\x21\x21" if mapped else b"\x21\x11") + len(body).to_bytes(2, "big") + body


@pytest.mark.parametrize(
    "header",
    [
        b"PROXY TCP6 ::ffff:192.0.2.99 ::ffff:192.0.2.1 4711 25\r\n",
        b"PROXY TCP6 ::FFFF:c000:0263 2001:db8::1 4711 25\r\n",
        b"PROXY TCP6 64:ff9b::192.0.2.99 2001:db8::1 4711 25\r\n",
        v2(b"\xc0\0\x02\x63"),
        v2(b"\xc0\0\x02\x63", more=b"\x04" + (2032).to_bytes(2, "big") + b"x" * 2032),
        v2(b"\xc0\0\x02\x63", mapped=False, more=b"\x04" + (2000).to_bytes(2, "big") + b"x" * 2000),
    ],
    ids=["v1", "v1-hex", "v1-nat64", "v2", "v2-long", "v2-ipv4-long"],
)
def test_however_it_is_written_the_exempt_client_is_exempt(m, header):
    """field notes 1: 192.0.2.99 is exempt, and its address is in no other form in the log."""
    with say_header(m.behind, header, pieces=3) as client:
        assert client.reply().code == 220
        client.ehlo()
        client.must("MAIL FROM:<a@b.test>")
        assert client.say("RCPT TO:<nobody@example.test>").code == 550
    assert m.held("192.0.2.99") == 0


@pytest.mark.parametrize(
    "header, why",
    [
        (b"PROXY TCP6 192.0.2.8 192.0.2.1 4711 25\r\n", "TCP6 without two IPv6 addresses"),
        (b"PROXY TCP4 2001:db8::8 2001:db8::1 4711 25\r\n", "TCP4 without two IPv4 addresses"),
        (b"PROXY TCP4 192.0.2.8 192.0.2.1 4711\r\n", "its ports are invalid"),
        (V2 + b"\x21\x11\xff\xff", "it is longer than 4096 octets"),
        (b"EHLO x\r\n", "the connection begins with something else"),
    ],
)
def test_a_header_that_is_refused_is_logged_with_the_reason(m, header, why):
    """field notes 1"""
    with say_header(m.behind, header) as client:
        assert client.is_closed()
    m.log.wait(rf'event=proxy_header level=warn balancer=127\.0\.0\.1 result=refused text="{why}"')
    m.log.wait(rf'event=session client=127\.0\.0\.1 .*result="invalid PROXY header: {why}"')


@pytest.mark.parametrize("spelling", ["::ffff:{}", "::ffff:{}/128", "[::ffff:{}]"])
def test_a_mapped_address_in_the_configuration_is_the_ipv4_address(mired, spelling):
    """field notes 1"""
    source = ports.stranger()
    m = mired(tarpit="time = 2s growth = 1", config=f'exempt = {{ "{spelling.format(source)}" }}')
    with Client(m.port, source=source) as client:
        client.ehlo()
        client.must("MAIL FROM:<a@b.test>")
        assert client.say("RCPT TO:<nobody@example.test>").code == 550
    assert m.held(source) == 0


def test_a_mapped_address_in_a_dump_is_the_ipv4_address(m, tmp_path):
    """field notes 1: what another machine wrote, or a hand."""
    source = ports.stranger()
    line = {"kind": "client", "address": f"::ffff:{source}", "offences": 3.0, "good": 0.0}
    (tmp_path / "dump").write_text(json.dumps(line) + "\n")
    loaded = m.control("ledger", "load", str(tmp_path / "dump"))
    assert loaded.returncode == 0, loaded.stderr
    assert json.loads(m.control("--json", "show", source).stdout)["client"]["offences"] > 2


@pytest.mark.parametrize("spelling", ["::ffff:{}", "[::ffff:{}]", "::ffff:{}/128", "::FFFF:{}", "0:0:0:0:0:ffff:{}", "64:ff9b::{}"])
def test_a_mapped_address_to_mirectl_is_the_ipv4_address(mired, spelling):
    """field notes 1, 30: the way in that an administrator takes, who copies from a balancer's log."""
    m = mired(tarpit="time = 0")
    written, plain = spelling.format("198.51.100.7"), "198.51.100.7"

    def known():
        return json.loads(m.control("--json", "show", plain).stdout)["client"]

    assert m.control("penalise", written, "--offences", "3").returncode == 0
    assert known()["offences"] > 2.9
    assert m.control("penalise", "--undo", written).returncode == 0
    assert m.control("penalise", plain, "--offences", "4").returncode == 0
    assert m.control("release", written).returncode == 0
    assert m.control("show", plain).returncode == 1
    assert m.control("release", "--undo", written).returncode == 0
    assert known()["offences"] > 3.9
    assert m.control("exempt", written).returncode == 0
    assert known()["exempt"]
    assert m.control("exempt", "--remove", written).returncode == 0
    assert not known()["exempt"]
    assert m.control("penalise", plain).returncode == 0
    until(lambda: plain in m.control("log", written).stdout)  # it gathers the lines of the log a moment later


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
        assert client.say("RCPT TO:<nobody@example.test>").code == 550
    assert m.held("192.0.2.99") == 0  # it is exempt


def test_a_balancer_that_speaks_for_itself_is_its_own_client(m):
    with say_header(m.behind, b"PROXY UNKNOWN\r\n") as client:
        assert client.reply().code == 220
    m.log.wait(r"event=session (?:level=debug )?client=127\.0\.0\.1 ")


@pytest.mark.fast
def test_who_sends_no_header_is_not_served_there(m):
    with say_header(m.behind, b"EHLO x\r\n") as client:
        assert client.is_closed()
    m.log.wait(r'result="invalid PROXY header: ')


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
