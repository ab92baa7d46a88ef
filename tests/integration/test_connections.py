"""`mirectl connections`: which connections are open, and what each waits for (issue 14, item 8)."""

import contextlib
import json
import os
import re
import signal
import threading

import pytest

from lib import ports
from lib.scripted import Scripted
from lib.smtp import Client
from lib.waiting import PATIENCE, until


def connections(m, *arguments, unanswered=0):
    """What it tells when so many workers have not answered: on a busy machine any of them may be late once."""

    def told():
        done = m.control("--json", "connections", *arguments)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return until(lambda: (now := told())["unanswered"] == unanswered and now)


def page(m, *arguments):
    """The same as a table, of all workers."""
    return until(lambda: "did not answer" not in (now := m.control("connections", *arguments).stdout) and now)


def of(m, client):
    """The one connection of that client."""
    found = connections(m, "--client", client.source)["connections"]
    assert len(found) == 1
    return found[0]


def opened(m, stack, **options):
    client = Client(m.port, source=ports.stranger(), **options)
    return stack.enter_context(client)


@pytest.mark.fast
def test_each_connection_tells_its_phase_and_what_it_waits_for(mired):
    release = threading.Event()

    def answer(verb, argument, session):
        if verb == ".":
            release.wait(PATIENCE)

    with Scripted(answer) as server, contextlib.ExitStack() as stack:
        stack.callback(release.set)
        m = mired(tarpit="time = 60s max = 60s", backend=f'backend "smtp://127.0.0.1:{server.port}" {{ }}')
        reading, held, sending, delivering, asking = (opened(m, stack) for _ in range(5))
        for client in (held, sending, delivering, asking):
            client.ehlo()
            client.must("MAIL FROM:<a@b.test>")
        held.send("RCPT TO:<nobody@example.test>\r\n")
        for client in (sending, delivering):
            client.must("RCPT TO:<alice@example.test>")
            client.must("DATA", 354)
        delivering.send("Subject: x\r\n\r\nhello\r\n.\r\n")
        sending.send("Subject: x\r\n\r\nhel")
        clerks = m.processes("clerk")
        for clerk in clerks:
            os.kill(clerk, signal.SIGSTOP)
        try:
            asking.send("RCPT TO:<somebody.new@example.test>\r\n")
            until(lambda: of(m, asking)["phase"] == "asking")
            assert of(m, asking)["waits_for"] == "a clerk's answer about its recipient"
            assert len(connections(m, "--phase", "asking")["connections"]) == 1
        finally:
            for clerk in clerks:
                os.kill(clerk, signal.SIGCONT)
        until(lambda: of(m, delivering)["waits_for"].endswith(": final dot"))
        assert re.fullmatch(r"backend .*: final dot", of(m, delivering)["waits_for"])
        assert of(m, delivering)["phase"] == "delivering"
        until(lambda: of(m, held)["phase"] == "held")
        assert re.fullmatch(r"its 550, in \d+\.\d s", of(m, held)["waits_for"])
        assert (of(m, reading)["phase"], of(m, reading)["waits_for"]) == ("reading", "input from the client")
        until(lambda: of(m, sending)["waits_for"] == "more of its message")
        shown = page(m, "--client", held.source).splitlines()
        assert shown[0].split()[:4] == ["client", "id", "open", "phase"] and len(shown) == 2
        assert re.match(rf"{re.escape(held.source)} +\w{{10}} .* held .* its 550, in ", shown[1])
        release.set()
        assert delivering.reply().code == 250


def test_flags_have_names(mired):
    source = ports.stranger()
    m = mired(config=f'exempt = {{ "{source}" }}')
    with Client(m.port, source=source) as client:
        client.ehlo()
        assert of(m, client)["flags"] == ["exempt"]
        assert "[exempt]" in page(m)


def test_filters_choose_by_phase_and_by_network(mired):
    m = mired(tarpit="time = 60s max = 60s")
    with contextlib.ExitStack() as stack:
        first, second = opened(m, stack), opened(m, stack)
        second.ehlo()
        second.send("FROBNICATE\r\n")
        until(lambda: len(connections(m, "--phase", "held")["connections"]) == 1)
        assert [c["address"] for c in connections(m, "--phase", "held")["connections"]] == [second.source]
        assert [c["address"] for c in connections(m, "--phase", "reading")["connections"]] == [first.source]
        assert connections(m, "--phase", "reading", "--client", second.source)["connections"] == []
        network = first.source.rsplit(".", 1)[0] + ".0/24"
        assert [c["address"] for c in connections(m, "--client", network)["connections"]] == [first.source]
        assert len(connections(m)["connections"]) == 2


@pytest.mark.parametrize("words", [["--phase", "sleeping"], ["--client", "nonsense"], ["--phase"], ["all"]])
def test_wrong_arguments_are_refused(mired, words):
    m = mired()
    assert m.control("connections", *words).returncode == 2


def test_many_connections_are_counted_and_some_hundred_told(mired):
    """A line each for so many, the number of the rest; and nothing of it disturbs mail."""
    many = 450
    m = mired()
    with contextlib.ExitStack() as stack:
        for i in range(many):
            stack.enter_context(Client(m.port, source=f"127.99.{i % 25}.1"))
        told = connections(m)
        assert 100 <= len(told["connections"]) <= 200
        assert len(told["connections"]) + told["more"] == many
        # Another call, which may tell of more or fewer.
        text = page(m)
        lines = len(re.findall(r"\b127\.99\.\d+\.1\b", text))
        assert lines + int(re.search(r"^and (\d+) more$", text, re.M)[1]) == many


def test_a_worker_that_hangs_is_named_as_missing(mired):
    m = mired()
    m.deaths_expected = True
    with contextlib.ExitStack() as stack:
        for _ in range(40):  # the kernel picks the worker: so many do not all come to one
            opened(m, stack)
        worker = m.processes("worker")[0]
        os.kill(worker, signal.SIGSTOP)
        try:
            told = connections(m, unanswered=1)
            assert len(told["connections"]) < 40
            until(lambda: "1 worker did not answer" in m.control("connections").stdout)
        finally:
            os.kill(worker, signal.SIGCONT)
        until(lambda: len(connections(m)["connections"]) == 40)
