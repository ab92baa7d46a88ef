"""Nobody takes everything: one budget a client for connections, messages, envelopes, handshakes and time (field notes 26)."""

import itertools
import json
import os
import pathlib
import re
import select
import signal
import socket
import ssl
import tempfile
import threading
import time

import pytest

from lib import ports, scrape
from lib.certificates import Authority
from lib.mired import PASSWORDS
from lib.scripted import Scripted
from lib.smtp import Client, Hung
from lib.waiting import PATIENCE, until

QUIET = "time = 0"


def connect(port, source):
    """A connection with its greeting; None when it is refused."""
    try:
        c = Client(port, source=source)
    except (Hung, OSError):
        return None
    if c.greeting.code != 220:
        c.close()
        return None
    return c


def open_many(port, sources):
    return [c for source in sources if (c := connect(port, source))]


def close(clients):
    for c in clients:
        c.close()


TALKS = {
    "commands": "RCPT TO:<alice@example.test>\r\n",
    "a message": "DATA\r\nSubject: it never ends\r\n",
}


@pytest.mark.parametrize("talk", TALKS)
@pytest.mark.parametrize("behind", ["", "a balancer"])
def test_strangers_who_keep_talking_keep_no_known_sender_out(mired, talk, behind):
    """Eight addresses in eight networks take all places, without an offence and never silent. Both senders come through
    a balancer, or all do not: its connections have no claim of their own."""
    balanced = ports.free()
    config = f'connections_max = 64\nlisten "127.0.0.1:{balanced}" {{ proxy_protocol = {{ "127.66.9.1" }} }}'
    m = mired(workers=1, config=config)

    def come(source):
        if not behind:
            return Client(m.port, source=source)
        c = Client(balanced, source="127.66.9.1", greet=False)
        c.send(f"PROXY TCP4 {source} 127.0.0.1 4000 25\r\n")
        c.greeting = c.reply()
        return c

    known, unknown = ports.stranger(), ports.stranger()
    with Client(m.port, source=known) as c:
        c.ehlo()
        assert c.message("a@b.test", ["alice@example.test"]).code == 250
    m.booked()
    flood = []
    try:
        for n in range(64):
            flood.append(come(f"127.{70 + n % 8}.1.1"))
            flood[-1].ehlo()
            flood[-1].must("MAIL FROM:<a@flood.test>")
            flood[-1].must("RCPT TO:<alice@example.test>")
            flood[-1].send(TALKS[talk])
        with come(unknown) as c:
            assert c.greeting.code == 421
        for _ in range(5):
            with come(known) as c:
                assert c.greeting.code == 220, c.greeting.text
                c.ehlo()
                assert c.message("a@b.test", ["alice@example.test"]).code == 250
    finally:
        close(flood)


def test_few_addresses_with_many_connections_keep_nobody_out(mired):
    """They never fall silent for 10 s. A user who has to log in yet is a stranger, too."""
    m = mired(workers=1, config="connections_max = 200")
    flood = open_many(m.port, [f"127.{70 + n % 8}.1.1" for n in range(200)])
    try:
        assert len(flood) == 200
        with Client(m.submission, source=ports.stranger()) as c:
            assert c.greeting.code == 220, c.greeting.text
            c.ehlo()
            assert c.login("alice@example.test", PASSWORDS["alice@example.test"]).code == 235
    finally:
        close(flood)


@pytest.mark.parametrize("flood", ["one address", "one network"])
def test_a_client_that_only_connects_does_not_take_all_connections(mired, flood):
    m = mired(tarpit='time = 0 reserve = "0%"', workers=1, config="connections_max = 100")
    one = ports.stranger()
    sources = [one] * 120 if flood == "one address" else [f"127.8.8.{1 + n}" for n in range(120)]
    taken = open_many(m.port, sources)
    others = open_many(m.port, [ports.stranger() for _ in range(30)])
    try:
        assert 40 <= len(taken) <= 60  # nobody is limited while half of it is free
        assert len(others) >= 29  # one in 8,192 shares the flood's counter (worker/budget.h)
        with Client(m.port, source=ports.stranger()) as c:
            c.ehlo()
            assert c.message("a@b.test", ["alice@example.test"]).code == 250
    finally:
        close(taken + others)


def test_exempt_clients_and_balancers_may_take_all(mired):
    m = mired(tarpit='time = 0 reserve = "0%"', workers=1, config='connections_max = 60\nexempt = { "127.8.9.0/24" }')
    taken = open_many(m.port, ["127.8.9.1"] * 58)
    try:
        assert len(taken) == 58
    finally:
        close(taken)


def test_who_has_been_silent_makes_room(mired):
    """From very many networks: each has less than its share, and nothing is free."""
    m = mired(tarpit='time = 0 reserve = "0%"', workers=1, config="connections_max = 40")
    silent = open_many(m.port, [ports.stranger() for _ in range(40)])
    try:
        assert len(silent) == 40
        assert connect(m.port, ports.stranger()) is None  # nobody has been silent for 10 s
        served = until(lambda: connect(m.port, ports.stranger()), every=0.5)
        served.ehlo()
        assert served.message("a@b.test", ["alice@example.test"]).code == 250
        served.close()
    finally:
        close(silent)


def unfinished(port, source, octets):
    """A message of which all but the end has been sent; the code when it is refused meanwhile."""
    c = Client(port, source=source)
    c.ehlo()
    c.must("MAIL FROM:<a@b.test>")
    c.must("RCPT TO:<alice@example.test>")
    c.must("DATA", 354)
    line = b"x" * 78 + b"\r\n"
    c.send(line * (octets // len(line)))
    return c


def test_unfinished_messages_of_one_client_do_not_take_the_spool(mired):
    m = mired(tarpit=QUIET, workers=1, config="size_max = 300K\nspool_max = 3M")
    one = ports.stranger()
    stalled = [unfinished(m.port, one, 250_000) for _ in range(14)]
    try:
        for _ in range(4):
            with Client(m.port, source=ports.stranger()) as c:
                c.ehlo()
                assert c.message("a@b.test", ["alice@example.test"], b"y" * 70 + b"\r\n" + b"z\r\n" * 60000).code == 250
        ends = []
        for c in stalled:
            c.send(".\r\n")
            ends.append(c.reply().code)
        assert ends.count(452) >= 3 and ends.count(250) >= 5, ends
    finally:
        close(stalled)


def test_messages_in_hand_of_one_client_do_not_take_the_spool(mired):
    """Whose backend is slow: their octets fill the spool until it answers."""
    go_on = threading.Event()

    def slow(verb, argument, session):
        if verb == ".":
            go_on.wait(PATIENCE)

    with Scripted(slow) as backend:
        m = mired(
            backend=backend.block.replace("{ }", "{ connections = 20 }"), tarpit=QUIET, workers=1,
            config="size_max = 300K\nspool_max = 3M",
        )  # fmt: skip
        in_hand = lambda: len(re.findall("delivering", m.control("connections", "--phase", "delivering").stdout))  # noqa: E731
        one, clients = ports.stranger(), []

        def hand_over(source, octets):
            clients.append(c := unfinished(m.port, source, octets))
            before = in_hand()
            c.send(".\r\n")
            until(lambda: in_hand() > before or select.select([c.socket], [], [], 0)[0])
            return in_hand() > before

        try:
            of_one = sum(hand_over(one, 250_000) for _ in range(12))
            assert 5 <= of_one <= 7  # half of the spool
            assert all(hand_over(ports.stranger(), 180_000) for _ in range(4))
            go_on.set()
            codes = [c.reply().code for c in clients]
            assert codes.count(250) == of_one + 4 and codes.count(452) == 12 - of_one, codes
            go_on.clear()  # what it had is given back: it may have its eighth beside others
            assert all(hand_over(ports.stranger(), 250_000) for _ in range(6))
            assert hand_over(one, 250_000)
        finally:
            go_on.set()
            close(clients)


def test_a_worker_that_is_killed_leaves_nothing_in_the_count_of_the_spool(mired):
    """Otherwise the spool counts as full after a few such ends, and all mail is deferred until mired is started again."""
    web = ports.free()
    config = f'size_max = 900K\nspool_max = 1M\nweb {{ listen = "127.0.0.1:{web}" }}'
    m = mired(tarpit=QUIET, workers=2, config=config)
    m.deaths_expected = True
    chunk = (b"x" * 98 + b"\r\n") * 6000
    spooled = lambda: scrape.samples(web)["mired_spool_bytes"]  # noqa: E731
    for _ in range(4):
        with Client(m.port, source=ports.stranger()) as c:
            c.ehlo()
            c.must("MAIL FROM:<a@b.test>")
            c.must("RCPT TO:<alice@example.test>")
            c.send(f"BDAT {len(chunk)}\r\n".encode() + chunk)
            assert c.reply().code == 250
            assert spooled() == len(chunk)
            before = m.processes("worker")
            for pid in before:
                os.kill(pid, signal.SIGKILL)
            until(lambda: len(now := m.processes("worker")) == 2 and not set(now) & set(before))
    assert spooled() == 0
    with Client(m.port, source=ports.stranger()) as c:
        c.ehlo()
        assert c.message("a@b.test", ["alice@example.test"], chunk).code == 250


def test_a_client_that_goes_on_sending_does_not_make_room(mired):
    """The spool is short of room: a client that has stopped for 10 s makes some, not the one with the longer message."""
    m = mired(tarpit=QUIET, workers=1, config="size_max = 4M\nspool_max = 4M")
    going, stopped = unfinished(m.port, ports.stranger(), 2_200_000), unfinished(m.port, ports.stranger(), 1_200_000)
    try:
        for _ in range(24):
            going.send(b"x" * 98 + b"\r\n")
            time.sleep(0.5)
        going.send(".\r\n")
        assert going.reply().code == 250
        assert stopped.reply().code == 421
    finally:
        close([going, stopped])


def drip(c, octets, seconds, for_s, times=None):
    """Sends a piece at a time; how long it was listened to. times: gets when each piece was sent."""
    begun, times = time.monotonic(), [] if times is None else times
    c.socket.settimeout(seconds)
    while time.monotonic() - begun < for_s:
        try:
            times.append(time.monotonic())
            c.socket.sendall(octets)
            if c.socket.recv(1024).startswith(b"421"):
                return time.monotonic() - begun
            return None
        except TimeoutError:
            pass
        except OSError:
            return time.monotonic() - begun
    return None


@pytest.mark.parametrize("what", ["a command", "a message", "a chunk"])
def test_time_without_progress_ends(mired, what):
    """An octet now and then keeps no connection: neither a line that is never ended nor a message that hardly comes."""
    m = mired(tarpit=QUIET, config="timeout = 2s\ndata_rate = 100")
    with Client(m.port, source=ports.stranger()) as c:
        c.ehlo()
        if what != "a command":
            c.must("MAIL FROM:<a@b.test>")
            c.must("RCPT TO:<alice@example.test>")
            c.must("DATA", 354) if what == "a message" else c.send("BDAT 100000 LAST\r\n")
        ended = drip(c, b"x", 0.2, PATIENCE)
        assert ended and ended > 1.5


@pytest.mark.parametrize("rate", [100, 250])
def test_a_slow_message_that_comes_on_is_taken(mired, rate):
    """The slowest link has more than 100 octets a second (2G: some 1,000); the timer does not run while they come."""
    m = mired(tarpit=QUIET, config=f"timeout = 4s\ndata_rate = {rate // 2}")
    assert until(lambda: slow_message(m, b"x" * (rate // 5 - 2) + b"\r\n")) == "taken"


def slow_message(m, octets):
    """What becomes of a message that comes in these pieces. None: this machine was too busy to send them in time."""
    times = []
    with Client(m.port, source=ports.stranger()) as c:
        c.ehlo()
        c.must("MAIL FROM:<a@b.test>")
        c.must("RCPT TO:<alice@example.test>")
        c.must("DATA", 354)
        if drip(c, octets, 0.2, 10, times) is not None:
            busy = max(after - before for before, after in itertools.pairwise(times)) > 1
            return None if busy else "cut off"
        c.socket.settimeout(PATIENCE)
        return "taken" if c.say("\r\n.").code == 250 else "refused"


# ---- handshakes ----


@pytest.fixture(scope="module")
def authority():
    with tempfile.TemporaryDirectory(prefix="mired-room-") as path:
        pathlib.Path(path).chmod(0o755)
        yield Authority(pathlib.Path(path))


@pytest.mark.parametrize("how", ["implicit", "starttls"])
@pytest.mark.long
def test_who_does_not_begin_its_handshake_makes_room(mired, authority, how):
    """From very many networks: a client that says nothing costs a place for 10 s, before its handshake too."""
    certificate, key = authority.issue("mx.example.test")
    implicit = ports.free()
    config = f"""connections_max = 40
        tls {{ certificate = "{certificate}" key = "{key}" }}
        listen "127.0.0.1:{implicit}" {{ tls = implicit }}"""
    m = mired(tarpit='time = 0 reserve = "0%"', workers=1, config=config)
    silent = []
    for _ in range(40):
        if how == "starttls":
            silent.append(starttls(m.port, ports.stranger()))
        else:
            silent.append(Client(implicit, source=ports.stranger(), greet=False))
    begun = time.monotonic()
    try:
        until(lambda: json.loads(m.control("--json", "status").stdout)["open"] == 40)
        assert connect(m.port, ports.stranger()) is None
        served = until(lambda: connect(m.port, ports.stranger()), every=0.5)
        assert time.monotonic() - begun < 30  # it was a minute
        served.ehlo()
        assert served.message("a@b.test", ["alice@example.test"]).code == 250
        served.close()
    finally:
        close(silent)


@pytest.fixture
def encrypted(mired, authority):
    certificate, key = authority.issue("mx.example.test")
    return mired(tarpit=QUIET, workers=1, config=f'tls {{ certificate = "{certificate}" key = "{key}" }}')


def hello(authority):
    """A TLS client that has not got an answer, and its ClientHello."""
    context = ssl.create_default_context(cafile=authority.file)
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = context.wrap_bio(incoming, outgoing, server_hostname="mx.example.test")
    with pytest.raises(ssl.SSLWantReadError):
        tls.do_handshake()
    return tls, incoming, outgoing, outgoing.read()


def starttls(port, source):
    c = Client(port, source=source)
    c.ehlo()
    c.must("STARTTLS", 220)
    return c


def private_kb(m):
    (worker,) = m.processes("worker")
    return int(re.search(r"Pss_Anon:\s+(\d+)", pathlib.Path(f"/proc/{worker}/smaps_rollup").read_text())[1])


def test_half_a_client_hello_costs_nothing(encrypted, authority):
    octets = hello(authority)[3]
    halves, memory = [], []
    for _ in range(2):
        for _ in range(200):
            c = starttls(encrypted.port, ports.stranger())
            c.send(octets[: len(octets) // 2])
            halves.append(c)
        memory.append(private_kb(encrypted))
    close(halves)
    assert memory[1] - memory[0] < 200 * 8  # it was 49.5 KB each


@pytest.mark.parametrize("pieces", [1, 2, 4, 6, 50])
def test_a_client_hello_in_pieces_is_answered(encrypted, authority, pieces):
    tls, incoming, outgoing, octets = hello(authority)
    with starttls(encrypted.port, ports.stranger()) as c:
        size = -(-len(octets) // pieces) if pieces != 6 else 1
        at = 0
        for _ in range(pieces - 1):
            c.send(octets[at : at + size])
            at += size
            time.sleep(0.01)  # so that they come apart
        c.send(octets[at:])
        while True:
            try:
                tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                c.socket.sendall(outgoing.read())
                incoming.write(c.socket.recv(65536))
        assert tls.getpeercert()


def test_a_client_that_begins_many_handshakes_waits_and_others_do_not(encrypted, authority):
    one = ports.stranger()
    begun = []
    for _ in range(100):
        tls, incoming, _, octets = hello(authority)
        c = starttls(encrypted.port, one)
        c.send(octets)
        begun.append(c)
    try:
        context = ssl.create_default_context(cafile=authority.file)
        with starttls(encrypted.port, ports.stranger()) as c:  # while the hundred are under way
            context.wrap_socket(c.socket, server_hostname="mx.example.test").close()
        for c in begun:
            c.socket.settimeout(0.2)

        def is_answered(c):
            try:
                return bool(c.socket.recv(1, socket.MSG_PEEK))
            except TimeoutError:
                return False

        until(lambda: sum(map(is_answered, begun)) >= 64)
        assert sum(map(is_answered, begun)) == 64
        for c in begun[:50]:
            c.close()
        until(lambda: is_answered(begun[99]))
    finally:
        close(begun)


def wake_ups(pid):
    text = pathlib.Path(f"/proc/{pid}/status").read_text()
    return int(re.search(r"^voluntary_ctxt_switches:\s+(\d+)", text, re.MULTILINE)[1])


@pytest.mark.soak
def test_handshakes_that_wait_for_others_cost_nothing_and_end(encrypted, authority):
    """Beyond 64 of one client: they wait in line without a timer of their own, and have no more time than the others."""
    one = ports.stranger()
    begun = []
    for _ in range(150):
        c = starttls(encrypted.port, one)
        c.send(hello(authority)[3])
        begun.append(c)
    started = time.monotonic()
    (worker,) = encrypted.processes("worker")
    try:
        before = wake_ups(worker)
        time.sleep(4)  # what is measured is that nothing happens meanwhile
        assert wake_ups(worker) - before < 200  # it was 5 a second for each of 86
        is_open = lambda: json.loads(encrypted.control("--json", "status").stdout)["open"]  # noqa: E731
        assert is_open() == 150
        until(lambda: is_open() == 0, every=0.5)
        assert 50 < time.monotonic() - started < 80  # those in line had no end
    finally:
        close(begun)
