"""A backend that accepts few connections is not down; the workers share what it accepts."""

import concurrent.futures
import json
import threading
import time

import pytest

from lib import ports
from lib.scripted import CLOSE, HANG, HELLO, Scripted
from lib.smtp import Client, deliver, transaction
from lib.waiting import PATIENCE, until

BUSY = "421 4.7.0 too many connections"
TO = "alice@example.test"


def slow(seconds):
    """Each message takes so long."""

    def answer(verb, argument, session):
        if verb == ".":
            time.sleep(seconds)

    return answer


def send(m, count):
    """That many messages at once: their codes, and how long the last one took."""
    begun = time.monotonic()
    with concurrent.futures.ThreadPoolExecutor(count) as pool:
        codes = list(pool.map(lambda n: deliver(m.port, "a@b.test", TO).code, range(count)))
    return codes, time.monotonic() - begun


def is_up(m):
    return json.loads(m.control("--json", "status").stdout)["backends"][0]["up"]


def check(m, rounds=3, count=24):
    for _ in range(rounds):
        codes, seconds = send(m, count)
        print(f"{seconds:.2f} s, {codes.count(250)} of {count}")
        assert codes == [250] * count, codes
    assert "is down" not in m.log.text
    assert is_up(m)


@pytest.mark.parametrize("workers", [1, 2, 3])
@pytest.mark.parametrize("most", [1, 2, 5])
@pytest.mark.parametrize("refusal", [CLOSE, BUSY], ids=["close", "421"])
def test_a_backend_that_accepts_few_connections_gets_all_mail_over_those(mired, refusal, most, workers):
    with Scripted(slow(0.02), most=most, refusal=refusal) as backend:
        m = mired(backend=backend.block, workers=workers, tarpit="time = 0")
        check(m)
        assert backend.copies(TO) == 72


@pytest.mark.parametrize("most", [1, 3])
@pytest.mark.parametrize("told", ["xclient = true", "proxy_protocol = v1"])
def test_a_connection_for_each_message(mired, told, most):
    """The backend may still count the last one when the next one begins."""

    def answer(verb, argument, session):
        if verb == ".":
            time.sleep(0.02)
        return b"" if verb == "PROXY" else None

    with Scripted(answer, most=most, hello=(*HELLO, "XCLIENT NAME ADDR PORT PROTO HELO LOGIN")) as backend:
        m = mired(backend=backend.block.replace("{ }", f"{{ {told} }}"), workers=2, tarpit="time = 0")
        check(m, rounds=2, count=12)
        assert backend.copies(TO) == 24


def test_a_worker_gives_an_idle_connection_to_one_that_has_none(mired):
    with Scripted(most=1) as backend:
        m = mired(backend=backend.block, workers=3, tarpit="time = 0")
        took = []
        for _ in range(12):
            begun = time.monotonic()
            assert deliver(m.port, "a@b.test", TO).code == 250
            took.append(time.monotonic() - begun)
        print([f"{seconds:.2f}" for seconds in took])
        assert "is down" not in m.log.text
        assert max(took) < 10  # an idle connection would be kept for 60 s


def test_a_backend_that_leaves_further_connections_unanswered_is_not_down(mired):
    """As Dovecot does when its processes are used up."""
    with Scripted(slow(1), most=2, refusal=HANG) as backend:
        m = mired(backend=backend.block, workers=1, tarpit="time = 0")
        check(m, rounds=1, count=24)  # 12 s: longer than a connection may take


@pytest.mark.parametrize("workers", [1, 2])
def test_a_backend_with_a_limit_that_goes_is_soon_seen_to_be_down(mired, workers):
    with Scripted(slow(0.02), most=2, refusal=BUSY) as backend:
        m = mired(backend=backend.block, workers=workers, tarpit="time = 0")
        check(m, rounds=1)
        backend.stop()
        begun = time.monotonic()
        assert deliver(m.port, "a@b.test", TO).code == 451
        until(lambda: not is_up(m))
        print(f"{time.monotonic() - begun:.1f} s")
        assert time.monotonic() - begun < 8
    with Scripted(port=backend.port):
        m.log.wait("is up again")
        assert deliver(m.port, "a@b.test", TO).code == 250


@pytest.mark.parametrize("refusal", [CLOSE, BUSY], ids=["close", "421"])
@pytest.mark.parametrize("clerks", [1, 2])
def test_logins_are_checked_over_few_connections(mired, clerks, refusal):
    """One of them is a worker's, for mail."""

    def answer(verb, argument, session):
        if verb != "AUTH":
            return None
        time.sleep(0.1)
        return "235 2.7.0 ok"

    def login(m):
        with Client(m.submission) as client:
            client.ehlo()
            return client.login(TO, "x").code

    with Scripted(answer, most=3, refusal=refusal, hello=(*HELLO, "AUTH PLAIN")) as backend:
        m = mired(backend=backend.block, workers=1, passwords=None, config=f'auth "backend" {{ }} clerks = {clerks}')
        with concurrent.futures.ThreadPoolExecutor(16) as pool:
            codes = list(pool.map(lambda _: login(m), range(32)))
        assert codes == [235] * 32, codes


def test_a_login_hears_soon_that_the_backend_is_gone(mired):
    with Scripted(lambda verb, *_: "235 2.7.0 ok" if verb == "AUTH" else None, hello=(*HELLO, "AUTH PLAIN")) as backend:
        m = mired(backend=backend.block, passwords=None, config='auth "backend" { }')
        for gone in (False, True):
            begun = time.monotonic()
            with Client(m.submission) as client:
                client.ehlo()
                assert client.login(TO, "x").code == (454 if gone else 235)
            assert time.monotonic() - begun < 10
            backend.stop()


@pytest.mark.parametrize("workers", [1, 2])
def test_postfix_with_a_limit_of_connections_gets_all_mail(mired, postfix, workers):
    backend = postfix(extra="smtpd_client_connection_count_limit = 2\nsmtpd_client_event_limit_exceptions =\nsmtpd_end_of_data_restrictions = sleep 1")
    m = mired(backend=f'backend "smtp://127.0.0.1:{backend.port}" {{ }}', workers=workers, tarpit="time = 0")
    check(m, rounds=2, count=12)
    assert len(backend.delivered(TO, count=24)) == 24
    assert "Connection concurrency limit exceeded" in backend.log


REFUSALS = {"554": "554 5.7.1 not from there", "421": "421 4.7.0 too many from there", "close": CLOSE}


def by_client(refused, refusal, then=lambda verb, session: None):
    """A backend that reads a PROXY header before it greets, and does not want one of the clients."""

    def answer(verb, argument, session):
        if verb == "GREETING":
            session.named = session.rfile.readline().decode().split()[2]
            return refusal if session.named == refused else None
        return then(verb, session)

    return answer


class Enemy:
    """Sends messages that its address has refused, without an end and without reading the answers."""

    def __init__(self, m, source, pause=0.05):
        self.port, self.source, self.pause = m.port, source, pause
        self.sent, self.ends = 0, threading.Event()
        self.thread = threading.Thread(target=self.run, daemon=True)

    def run(self):
        clients = []
        while not self.ends.wait(self.pause):
            client = Client(self.port, source=self.source)
            clients.append(client)
            client.ehlo()
            assert all(reply.ok for reply in client.envelope("bad@b.test", [TO]))
            client.must("DATA", 354)
            client.send("Subject: x\r\n\r\nx\r\n.\r\n")
            self.sent += 1
            if len(clients) > 20:
                clients.pop(0).close()
        for client in clients:
            client.close()

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.ends.set()
        self.thread.join()


def says_nothing_of_all(m):
    for words in ("is down", "is up again", "refuses mired", "refuses more than", "refuses all connections"):
        assert words not in m.log.text, words


@pytest.mark.parametrize("refusal", REFUSALS)
def test_a_client_that_the_backend_refuses_takes_no_connection_from_others(mired, refusal):
    """Ten messages are at the backend at once, each time, whatever it says to another client meanwhile."""
    bad, together = ports.stranger(), threading.Barrier(10)

    def hold(verb, session):
        if verb == "." and session.named != bad:
            together.wait(PATIENCE)

    with Scripted(by_client(bad, REFUSALS[refusal], hold)) as backend:
        m = mired(backend=backend.block.replace("{ }", "{ connections = 10  proxy_protocol = v1 }"), workers=1, tarpit="time = 0")
        with Enemy(m, bad) as enemy:
            until(lambda: enemy.sent >= 3)
            for _ in range(5):
                codes, seconds = send(m, 10)
                print(f"{seconds:.2f} s")
                assert codes == [250] * 10, codes
        assert backend.copies(TO) == 50
        says_nothing_of_all(m)
        if refusal != "close":
            assert m.log.text.count(f"refuses the client {bad}, not its mail, at the connection: {refusal}") == 1  # a minute


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("refusal", REFUSALS)
def test_a_client_that_the_backend_refuses_does_not_make_it_seem_down(mired, refusal, workers):
    """Nobody else sends."""
    bad = ports.stranger()
    with Scripted(by_client(bad, REFUSALS[refusal])) as backend:
        m = mired(backend=backend.block.replace("{ }", "{ proxy_protocol = v1 }"), workers=workers, tarpit="time = 0")
        until(lambda: is_up(m))
        with Enemy(m, bad, 0.02) as enemy:
            until(lambda: enemy.sent >= 60)
        assert deliver(m.port, "a@b.test", TO).code == 250
        says_nothing_of_all(m)
        if refusal == "554":
            with Client(m.port, source=bad) as client:
                client.ehlo()
                assert client.message("bad@b.test", TO).code == 451
            m.log.wait(r"event=message .*code=451 .*why=\"it refuses the client \(greeting\)\"")


def test_a_backend_that_refuses_everybody_behind_a_header_is_down(mired):
    with Scripted(lambda verb, argument, session: "554 5.7.1 no" if verb == "GREETING" and session.rfile.readline() else None) as backend:
        m = mired(backend=backend.block.replace("{ }", "{ proxy_protocol = v1 }"), workers=1, tarpit="time = 0")
        m.log.wait("is down: it refuses mired")
        assert deliver(m.port, "a@b.test", TO).code == 451


def test_a_client_with_a_limit_of_its_own_gets_its_mail_through_beside_others(mired, postfix):
    """Postfix counts the connections of each client that the header names."""
    backend = postfix(
        extra="smtpd_upstream_proxy_protocol = haproxy\nsmtpd_client_connection_count_limit = 1\n"
        "smtpd_client_event_limit_exceptions =\nsmtpd_end_of_data_restrictions = sleep 1",
        greets=False,
    )
    m = mired(backend=f'backend "smtp://127.0.0.1:{backend.port}" {{ proxy_protocol = v2 }}', workers=1, tarpit="time = 0")
    bulk, codes = ports.stranger(), []

    def message(source):
        with Client(m.port, source=source) as client:
            client.ehlo()
            codes.append(client.message("a@b.test", TO).code)

    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        for source in [bulk] * 5 + [ports.stranger() for _ in range(5)]:
            pool.submit(message, source)
    assert codes == [250] * 10, codes
    assert len(backend.delivered(TO, count=10)) == 10
    assert "too many connections" in backend.log or "Connection concurrency limit exceeded" in backend.log
    says_nothing_of_all(m)


@pytest.mark.parametrize("told", ["", "proxy_protocol = v1"])
def test_a_client_with_many_messages_delays_one_of_another_by_one_turn(mired, told):
    """Its messages wait for the only connection of a slow backend before the other's message comes."""
    go_on = threading.Event()

    def answer(verb, argument, session):
        if verb == "RCPT":
            go_on.wait(PATIENCE)
        return b"" if verb == "PROXY" else None

    with Scripted(answer) as backend, concurrent.futures.ThreadPoolExecutor(16) as pool:
        one = backend.block.replace("{ }", f"{{ connections = 1 {told} }}")
        m = mired(backend=one, recipients=None, tarpit="time = 0", workers=1)
        enemy, good, said = ports.stranger(), ports.stranger(), []

        def send(sender, client):
            said.append(pool.submit(transaction, m.port, sender, [TO], b"Subject: x\r\n\r\nhello\r\n", client))
            until(lambda: m.control("connections", "--phase", "delivering").stdout.count(f":{backend.port}") >= len(said))

        for _ in range(8):
            send("enemy@a.test", enemy)
        send("good@b.test", good)
        go_on.set()
        assert [one.result()[0] for one in said] == [{TO: 250}] * 9
        senders = ["good" if "good@" in line else "enemy" for line in backend.commands if line.startswith("MAIL")]
        assert senders.index("good") == 2, senders  # behind the one that was being sent, and one more
        assert backend.copies(TO) == 9
