"""Moves of the game in docs/tarpit.md, live: attackers who have read the rules, and enemies who aim them at others."""

import concurrent.futures
import json
import socket
import threading
import time

import pytest

from lib import ports
from lib.daemon import Daemon
from lib.mired import BUILD
from lib.smtp import Client, Hung
from lib.waiting import until

REAL = [f"real{n}@example.test" for n in range(20)]
GUESSES = [f"name{n}@example.test" for n in range(400)]


@pytest.fixture
def sink():
    """A backend that takes everything, as a line of the configuration."""
    port = ports.free()
    daemon = Daemon([BUILD / "bench" / "sink", f"127.0.0.1:{port}"])
    daemon.wait_listening(port)
    yield f'backend "smtp://127.0.0.1:{port}" {{ }}'
    daemon.stop()


def pour(port, source, recipients, messages):
    """So many messages with all these recipients, on one connection."""
    with Client(port, source=source) as c:
        c.ehlo()
        for _ in range(messages):
            c.must("MAIL FROM:<a@b.test>")
            c.send("".join(f"RCPT TO:<{r}>\r\n" for r in recipients))
            assert all(c.reply().ok for _ in recipients)
            assert c.data(b"Subject: x\r\n\r\nhello\r\n").ok


def told_in_time(port, source, names, seconds, patience=0.5):
    """Which of the names are told to exist, by 20 connections that take silence for a no and come again."""
    end, told, left, lock = time.monotonic() + seconds, set(), list(names), threading.Lock()

    def one(_):
        while time.monotonic() < end:
            try:
                with Client(port, source=source, timeout=3) as c:
                    c.ehlo()
                    c.must("MAIL FROM:<a@b.test>")
                    c.socket.settimeout(patience)
                    while time.monotonic() < end:
                        with lock:
                            if not left:
                                return
                            name = left.pop()
                        if c.say(f"RCPT TO:<{name}>").code == 250:
                            told.add(name)
            except (Hung, OSError, AssertionError):
                pass

    with concurrent.futures.ThreadPoolExecutor(20) as pool:
        list(pool.map(one, range(20)))
    return told


def test_one_mailbox_a_thousand_times_buys_no_names(mired, sink):
    """Field notes G1: credit is mailboxes, not words. On the first edition all twenty real names were told within 20 s."""
    m = mired(tarpit="", recipients=["postmaster@example.test", *REAL], backend=sink, config='log_level = "warn"')
    source = ports.stranger()
    pour(m.port, source, ["postmaster@example.test"] * 1000, 5)
    m.booked()
    names = [n for pair in zip(GUESSES[:200], REAL * 10) for n in pair]
    assert len(told_in_time(m.port, source, names, 15)) <= 5


def talk_early(port, source, times):
    for _ in range(times):
        with socket.socket() as s:
            s.bind((source, 0))
            s.connect(("127.0.0.1", port))
            s.sendall(b"EHLO early.test\r\n")


def debt(m, address):
    m.booked()
    shown = m.control("show", address, "--json")
    return json.loads(shown.stdout)["client"]["debt"] if shown.returncode == 0 else 0


def test_a_loud_neighbour_costs_nothing(mired, sink):
    """Field notes G2: one host in debt talks before the greeting, again and again; a neighbour in its /24 has never sent."""
    m = mired(tarpit="", backend=sink, config='log_level = "warn"')
    network = ports.stranger().rsplit(".", 1)[0]
    loud, neighbour = f"{network}.7", f"{network}.200"
    with Client(m.port, source=loud) as c:
        c.send("EHLO x.test\r\nNONSENSE\r\n")
        c.reply()
        until(lambda: debt(m, loud) > 0)
        with pytest.raises(Hung):  # from now on its greetings wait
            Client(m.port, source=loud, timeout=2)


        def is_loud():
            talk_early(m.port, loud, 200)  # one that has hung up before it is looked at counts for nothing
            return debt(m, loud) > 20

        until(is_loud)
    with Client(m.port, source=neighbour, timeout=60) as c:  # the loud one's greeting waits for minutes
        c.ehlo()
        assert c.message("a@good.test", "alice@example.test").ok


def test_bounces_to_forged_senders_do_not_slow_a_servers_own_mail(mired, sink):
    """Field notes G3: somebody forges a trap and unknown people of ours as senders; a good server's bounces come to us."""
    m = mired(tarpit='traps = { "trap@example.test" }', backend=sink, config='log_level = "warn"')
    source = ports.stranger()
    clients = [Client(m.port, source=source) for _ in range(20)]
    for c in clients:
        c.ehlo()
        c.must("MAIL FROM:<>")
    for n, c in enumerate(clients):
        c.send(f"RCPT TO:<{'trap' if n % 5 == 0 else f'nobody{n}'}@example.test>\r\n")
    until(lambda: json.loads(m.control("--json", "status").stdout)["held"] > 0)
    m.booked()
    with Client(m.port, source=source) as c:  # as <> it is in debt
        c.ehlo()
        c.socket.settimeout(2)
        with pytest.raises(Hung):
            c.say("MAIL FROM:<>")
    with Client(m.port, source=source, timeout=60) as c:
        c.ehlo()
        assert c.message("a@good.test", "alice@example.test").ok
    for c in clients:
        c.close()
