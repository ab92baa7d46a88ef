"""The page's HTTP: invalid requests, the Host that a request is for, slow clients. Field notes 20, 30, 32."""

import json
import os
import re
import socket
import time

import pytest

from lib import ports
from lib.smtp import Client
from lib.waiting import PATIENCE, until


@pytest.fixture
def paged(mired):
    def start(web="", config_more="", **options):
        port = ports.free()
        m = mired(config=f'web {{ listen = "127.0.0.1:{port}" {web} }}\n{config_more}', **options)
        m.web = port
        return m

    return start


def ask(m, octets, timeout=PATIENCE):
    """The status of the answer, and all of it."""
    with socket.create_connection(("127.0.0.1", m.web), timeout=timeout) as s:
        s.sendall(octets if isinstance(octets, bytes) else octets.encode())
        answer = b""
        while chunk := s.recv(65536):
            answer += chunk
    head = answer.decode(errors="replace")
    return int(head.split(" ")[1]), head


def request(path, *lines, method="GET", version="1.1"):
    return "\r\n".join([f"{method} {path} HTTP/{version}", *lines, "", ""])


WRONG = {
    "no Host": [],
    "two Hosts": ["Host: localhost", "Host: localhost"],
    "an empty Host": ["Host:"],
    "a made-up Host": ["Host: rebound.evil.test"],
    "another's address": ["Host: 192.0.2.1"],
    "a Host with a path": ["Host: localhost/x"],
    "a Host with a user": ["Host: me@localhost"],
    "a folded line": ["Host: localhost", "X: a", " b"],
    "a folded Host": ["Host: local", "\thost"],
    "a space before the colon": ["Host : localhost"],
    "a space before another's colon": ["Host: localhost", "X : y"],
    "no colon": ["Host: localhost", "what"],
}


@pytest.fixture(scope="module")
def shared():
    """One for all requests that change nothing."""
    from lib.mired import Mired

    port = ports.free()
    m = Mired(config=f'web {{ listen = "127.0.0.1:{port}" names = {{ "page.example.test" }} }}').start()
    m.web = port
    yield m
    assert not m.stop()
    m.remove()


@pytest.mark.parametrize("path", ["/", "/live", "/metrics", "/history", "/events"])
@pytest.mark.parametrize("wrong", WRONG)
def test_a_wrong_header_is_400_everywhere(shared, path, wrong):
    """field notes 32, and 30: DNS rebinding comes with the attacker's name as Host"""
    status, answer = ask(shared, request(path, *WRONG[wrong]))
    assert status == 400, answer
    assert "mired_" not in answer and "held" not in answer


@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST.", "127.0.0.1", "127.0.0.1:{port}", "[::1]:80", "mx.example.test", "page.example.test:1"]
)
def test_our_own_names_and_listed_ones_are_answered(shared, host):
    status, _ = ask(shared, request("/metrics", "Host: " + host.replace("{port}", str(shared.web))))
    assert status == 200


def test_http_1_0_needs_no_host(shared):
    assert ask(shared, request("/live", version="1.0"))[0] == 200


def test_large_requests_do_not_crawl(shared):
    """field notes 32: 24 kB of header took 5 s, 64 kB 63 s, a POST of 200 kB 10 s"""
    (web,) = shared.processes("web")
    before = cpu(web)
    assert ask(shared, request("/live", "Host: localhost", "X: " + "y" * 12000))[0] == 200
    assert ask(shared, request("/live", "Host: localhost", "X: " + "y" * 24000))[0] == 431
    assert ask(shared, request("/live", "Host: localhost", "X: " + "y" * 64000))[0] == 431
    body = "y" * 60000
    assert ask(shared, request("/unlock", "Host: localhost", "Content-Length: 60000", method="POST") + body)[0] == 403
    big = request("/unlock", "Host: localhost", "Content-Length: 200000", method="POST") + "y" * 200000
    assert ask(shared, big)[0] == 413
    assert cpu(web) - before < 15  # of the processor, which may be a slow one


def test_a_header_may_come_in_pieces(shared):
    with socket.create_connection(("127.0.0.1", shared.web), timeout=PATIENCE) as s:
        for octet in request("/live", "Host: localhost"):
            s.sendall(octet.encode())
        assert s.recv(15) == b"HTTP/1.1 200 OK"


def test_clients_that_drip_their_header_keep_nobody_out(paged):
    """field notes 32: 128 of them kept /metrics from being served for 75 s"""
    m = paged()
    drips = []
    for _ in range(300):
        s = socket.create_connection(("127.0.0.1", m.web), timeout=PATIENCE)
        s.sendall(b"GET /metrics HTTP/1.1\r\nHost: local")
        drips.append(s)
    for _ in range(5):
        assert ask(m, request("/metrics", "Host: localhost"))[0] == 200
    for s in drips[:200]:  # the oldest have made room
        with pytest.raises((ConnectionError, AssertionError)):
            assert s.recv(1), "closed"
    for s in drips:
        s.close()


def test_streams_of_one_address_leave_room_for_others(paged):
    m = paged()
    streams = [socket.create_connection(("127.0.0.1", m.web), timeout=PATIENCE) for _ in range(17)]
    for s in streams:
        s.sendall(request("/events", "Host: localhost").encode())
    statuses = [int(s.recv(64).split(b" ")[1]) for s in streams]
    assert statuses.count(200) == 16 and statuses.count(503) == 1
    other = socket.create_connection(("127.0.0.1", m.web), timeout=PATIENCE, source_address=("127.0.0.9", 0))
    other.sendall(request("/events", "Host: localhost").encode())
    assert other.recv(64).startswith(b"HTTP/1.1 200")
    for s in streams + [other]:
        s.close()


def seconds_until_closed(m, begin, drip, most):
    """How long a connection lasts that says `begin`, and then `drip` once a second."""
    with socket.create_connection(("127.0.0.1", m.web), timeout=PATIENCE) as s:
        begun = time.monotonic()
        s.sendall(begin.encode())
        s.settimeout(1)
        while time.monotonic() - begun < most:
            try:
                s.sendall(drip.encode())
                if s.recv(1) == b"":
                    break
            except socket.timeout:
                continue
            except OSError:
                break
        return time.monotonic() - begun


def test_a_body_that_drips_is_cut_off(paged):
    """An exchange has half a minute; the page itself and its events go on."""
    m = paged()
    begin = request("/unlock", "Host: localhost", "Content-Length: 60000", method="POST")
    assert 25 < seconds_until_closed(m, begin, "y", 90) < 90


def test_a_header_has_ten_seconds(paged):
    m = paged()
    assert 8 < seconds_until_closed(m, "GET / HTTP/1.1\r\n", "X: y\r\n", 60) < 60


def test_a_waiting_client_costs_no_processor(paged):
    """What has come stays in the socket until the header is whole: it is not told of over and over."""
    m = paged()
    (web,) = m.processes("web")
    with socket.create_connection(("127.0.0.1", m.web), timeout=PATIENCE) as s:
        s.sendall(b"GET / HTTP/1.1\r\nHost: local")
        before = cpu(web)
        time.sleep(2)  # the time is what is measured
        after = cpu(web)
    assert after - before < 0.5


# ---- for balancers ----


def health(m, path):
    status, answer = ask(m, request(path, version="1.0"))
    head, body = answer.split("\r\n\r\n")
    assert "application/json" in head and body.count("\n") == 1
    return status, json.loads(body)


def test_health_says_that_mired_runs_and_ready_that_mail_passes(paged):
    """field notes 20"""
    down = ports.free()
    m = paged(backend=f'backend "smtp://127.0.0.1:{down}" {{ }}')
    until(lambda: health(m, "/ready") == (503, {"ready": False, "why": "the backend is down"}))
    assert health(m, "/health")[0] == 200 and health(m, "/health")[1]["healthy"] is True
    up = paged()
    until(lambda: health(up, "/ready") == (200, {"ready": True}))


def test_ready_knows_when_nobody_can_say_who_exists(paged):
    m = paged(recipients=None, config_more='recipients "socketmap" { path = "/nonexistent" map = "x" }')
    with Client(m.port) as client:
        client.ehlo()
        client.must("MAIL FROM:<a@elsewhere.test>")
        assert client.say("RCPT TO:<alice@example.test>").code == 451
    until(lambda: "directory" in (now := health(m, "/ready"))[1].get("why", "") and now[0] == 503)
    assert health(m, "/health")[0] == 200


# ---- tokens ----


def test_wrong_tokens_are_logged_a_line_a_second(paged, tmp_path):
    """field notes 16"""
    token = tmp_path / "token"
    token.write_text("a long secret\n")
    m = paged(f'token_file = "{token}"')
    begun, times = time.monotonic(), 20
    for n in range(times):
        assert ask(m, request("/release?address=192.0.2.7", "Host: localhost", f"X-Mired-Token: guess{n}", method="POST"))[0] == 403
    seconds = time.monotonic() - begun
    line = m.log.wait(r'event=control level=warn command=release result="wrong token" by_page=127\.0\.0\.1')
    assert "guess" not in m.log.text and "more=" not in line
    time.sleep(1.1)  # the second is over
    assert ask(m, request("/x", "Host: localhost", method="POST"))[0] == 403
    m.log.wait("command=x result")
    lines = [line for line in m.log.text.splitlines() if 'result="wrong token"' in line]
    assert len(lines) <= seconds + 2  # one a second, and that of the last request
    assert len(lines) + sum(int(n) for n in re.findall(r" more=(\d+)", "\n".join(lines))) == times + 1


def cpu(pid):
    with open(f"/proc/{pid}/stat", encoding="ascii") as f:
        words = f.read().rsplit(")", 1)[1].split()
    return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")
