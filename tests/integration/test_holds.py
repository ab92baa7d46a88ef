"""The hold: a 5xx to a stranger comes late, everything else at once (rules R1, R2, R11, R19)."""

import base64
import concurrent.futures
import json
import socket
import statistics
import time

import pytest

from lib import ports, processes
from lib.smtp import Client, deliver
from lib.waiting import until

CLASSIC = "growth = 1 pace = false shield = 0 drip = 0 patience_offences = 0"


def wrong_password():
    return base64.b64encode(b"\0alice@example.test\0guess").decode()


# What a stranger can do wrong: a name, the commands before, the command itself, the code that it earns.
ERRORS = {
    "unknown recipient": (["MAIL FROM:<a@b.test>"], "RCPT TO:<nobody@example.test>", 550),
    "foreign domain": (["MAIL FROM:<a@b.test>"], "RCPT TO:<alice@foreign.test>", 550),
    "unknown command": ([], "FROBNICATE", 500),
    "MAIL out of order": (["MAIL FROM:<a@b.test>"], "MAIL FROM:<c@d.test>", 503),
    "too long a line": ([], "NOOP " + "x" * 3000, 500),
    "failed AUTH": ([], "AUTH PLAIN " + wrong_password(), 535),
}


def commit(port, name, source=None):
    """Commits one of the errors from a fresh address; returns its reply."""
    before, command, _ = ERRORS[name]
    with Client(port, source=source) as client:
        client.ehlo()
        for line in before:
            client.must(line)
        return client.say(command)


def test_each_error_of_a_stranger_is_answered_after_the_tarpit_time_and_good_mail_at_once(mired):
    """The longest hold is read from mired's log: what the client measures has the load of its own machine in it."""
    m = mired(tarpit="time = 20s")
    sources = {name: ports.stranger() for name in ERRORS}
    good = [ports.stranger() for _ in range(30)]
    with concurrent.futures.ThreadPoolExecutor(len(ERRORS)) as pool:
        replies = {name: pool.submit(commit, m.port, name, sources[name]) for name in ERRORS}
        until(lambda: json.loads(m.control("--json", "status").stdout)["held"] > 0)
        took = []
        for source in good:
            begun = time.monotonic()
            assert deliver(m.port, "a@b.test", "alice@example.test", source=source).code == 250
            took.append(time.monotonic() - begun)
    seconds = {name: reply.result().seconds for name, reply in replies.items()}
    codes = {name: reply.result().code for name, reply in replies.items()}
    held = {name: m.held(sources[name]) for name in ERRORS}
    print(seconds, held, statistics.median(took))
    assert codes == {name: error[2] for name, error in ERRORS.items()}
    assert min(seconds.values()) >= 19.8
    assert max(held.values()) <= 40  # and not twice the time
    assert statistics.median(took) < 10 and [m.held(source) for source in good] == [0] * len(good)


@pytest.mark.fast
@pytest.mark.parametrize("name", ERRORS)
def test_the_hold_is_what_the_configuration_says(mired, name):
    m = mired(tarpit="time = 700ms")
    reply = commit(m.port, name)
    assert reply.code == ERRORS[name][2]
    assert reply.seconds >= 0.69


def test_an_authenticated_session_is_never_held(mired):
    m = mired(tarpit="time = 30s")
    with Client(m.submission) as client:
        client.ehlo()
        assert client.login("alice@example.test", "wonderland").code == 235
        for command in (
            "FROBNICATE",
            "NOOP " + "x" * 3000,
            "RCPT TO:<bob@example.test>",
        ):
            reply = client.say(command)
            assert 500 <= reply.code < 600 and reply.seconds < 25, reply
        client.must("MAIL FROM:<alice@example.test>")
        reply = client.say("RCPT TO:<nobody@example.test>")
        assert reply.code == 550 and reply.seconds < 25


@pytest.mark.fast
def test_no_tarpit_time_means_no_delay_but_recipients_are_filtered(mired):
    m = mired(tarpit="time = 0")
    for name, (_, _, code) in ERRORS.items():
        reply = commit(m.port, name)
        assert reply.code == code and reply.seconds < 25, name


def test_an_exempt_client_is_filtered_but_not_delayed(mired):
    ours, other = ports.stranger(), ports.stranger()
    m = mired(tarpit="time = 10s", config=f'exempt = {{ "{ours}" }}')
    seconds = {}
    for source in (ours, other):
        with Client(m.port, source=source) as client:
            client.ehlo()
            reply = client.envelope("a@b.test", ["nobody@example.test"])[0]
            assert reply.code == 550 and "5.1.1" in reply
            seconds[source] = reply.seconds
    assert seconds[ours] < 9.9
    assert seconds[other] >= 9.99


def test_replies_behind_a_held_one_keep_their_order(mired):
    m = mired(tarpit="time = 4s " + CLASSIC)
    with Client(m.port) as client:
        client.ehlo()
        client.send(
            "MAIL FROM:<a@b.test>\r\nRCPT TO:<nobody@example.test>\r\nRCPT TO:<alice@example.test>\r\n"
            "FROBNICATE\r\nNOOP\r\n"
        )
        replies = [client.reply() for _ in range(5)]
    assert [r.code for r in replies] == [250, 550, 250, 500, 250]
    assert replies[0].seconds < 3.9
    assert replies[1].seconds >= 3.99
    assert replies[3].seconds >= 7.99


def test_a_held_client_is_not_read(mired):
    m = mired(tarpit="time = 20s")
    with Client(m.port) as client:
        client.ehlo()
        client.send("FROBNICATE\r\n")
        client.socket.settimeout(1)
        sent = 0
        with pytest.raises(socket.timeout):
            while sent < 64 << 20:
                sent += client.socket.send(b"NOOP\r\n" * 10000)
    assert sent < 64 << 20


def test_a_long_hold_drips_whole_lines_and_the_first_says_it_all(mired):
    m = mired(tarpit="time = 12s drip = 1s")
    with Client(m.port) as client:
        client.ehlo()
        client.must("MAIL FROM:<a@b.test>")
        client.send("RCPT TO:<nobody@example.test>\r\n")
        first = client.line()
        assert first.startswith("550-5.1.1 ") and "nobody@example.test" in first
        assert time.monotonic() - client.begun < 11
        reply = client.reply()
        assert reply.code == 550
        assert all(line.startswith(("550-5.1.1", "550 5.1.1")) for line in reply.lines)
        assert reply.seconds >= 11.99


def test_held_clients_cost_no_process_and_no_thread(mired):
    m = mired(tarpit="time = 60s freeze = off")  # else a freezer may come later
    before = processes.in_session(m.pid)
    threads = sum(int(processes.status(p, "Threads")) for p in before)
    held = [Client(m.port) for _ in range(300)]
    for client in held:
        client.ehlo()
        client.send("FROBNICATE\r\n")
    assert deliver(m.port, "a@b.test", "alice@example.test").code == 250
    assert processes.in_session(m.pid) == before
    after = sum(int(processes.status(p, "Threads")) for p in before)
    assert after <= threads + 4  # the store's, one for each pooled connection
    for client in held:
        client.close()


def test_a_client_that_hangs_up_while_held_leaves_nothing_behind(mired):
    m = mired(tarpit="time = 30s")
    for _ in range(50):
        client = Client(m.port)
        client.ehlo()
        client.send("FROBNICATE\r\n")
        client.close()
    assert deliver(m.port, "a@b.test", "alice@example.test").code == 250
    m.log.wait(r"event=session .*gave up")
