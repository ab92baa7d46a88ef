"""The crash matrix of frozen holds: kill -9 of the freezer, and of the worker, at their system calls while connections
are frozen and thawed. Each client hears its own reply, or its connection is lost with the batch that the process had in
its hands (docs/frozen.md); mired has no hold left of it, and goes on freezing."""

import itertools
import json
import os
import time

import pytest

from lib import netns
from lib.crash import PROGRAM, KillAt
from lib.frozen import ask, source
from lib.smtp import Client, Hung
from lib.waiting import PATIENCE, until

pytestmark = [
    pytest.mark.skipif(bool(netns.unable()), reason=netns.unable() or "able"),
    pytest.mark.skipif(os.geteuid() != 0 or not PROGRAM.exists(), reason="no kill-at, or not root"),
]
CLIENTS = 3
REPLY = "550 5.1.1"


def outcome(client, end):
    """What a client that waits until `end` learns: its reply, that the connection has ended, or nothing."""
    for seconds in (max(1, end - time.monotonic()), 1):
        client.socket.settimeout(seconds)
        try:
            reply = client.reply()
            return "answered" if reply.text.startswith(REPLY) else "ended" if reply.code == 0 else reply.text
        except Hung:
            pass
        except OSError:
            return "ended"
        try:
            client.send("NOOP\r\n")
        except OSError:
            return "ended"
    return "nothing"


def idle(m):
    now = json.loads(m.control("--json", "status").stdout)
    return now["held"] == now["frozen"] == now["open"] == 0


def reload(m):
    """The next generation has a freezer of its own, because the level of the log changes."""
    text = m.file.read_text()
    before, after = ('"debug"', '"info"') if '"debug"' in text else ('"info"', '"debug"')
    m.file.write_text(text.replace(f"log_level = {before}", f"log_level = {after}"))
    assert m.control("reload").returncode == 0


def kills(frozen, cable, role, stops, change=None):
    number, killed, lost = itertools.count(), [], 0
    m = None
    for n in stops:
        if m is None or len(killed) % 4 == 0:
            if m:
                m.stop()
            m = frozen(time=1, workers=1)
            m.deaths_expected = True
        killer = KillAt(until(lambda: m.processes(role))[0], n)
        clients = [ask(m.port, next(number)) for _ in range(CLIENTS)]
        if change:
            change(m)
        end = time.monotonic() + 15  # a connection that is lost is not told so
        outcomes = [outcome(client, end) for client in clients]
        said = killer.end()
        assert set(outcomes) <= {"answered", "ended", "nothing"}, (said, outcomes)
        if said[0] == "alive":
            assert outcomes == ["answered"] * CLIENTS
            break
        killed.append(said)
        lost += CLIENTS - outcomes.count("answered")
        for client in clients:
            client.close()
        until(lambda: m.processes(role))
        with Client(m.port, host=netns.SERVER, source=source(next(number))) as good:
            good.ehlo()
            assert good.message("a@b.test", "alice@example.test").code == 250
        assert outcome(ask(m.port, next(number)), time.monotonic() + PATIENCE) == "answered", said
        until(lambda: idle(m))
    print(f"{role}: killed at {len(killed)} stops of freezing and thawing {CLIENTS} clients; {lost} connections lost")
    return len(killed)


@pytest.mark.long
def test_a_freezer_killed_at_a_call_leaves_no_hold_stuck(frozen, cable):
    assert kills(frozen, cable, "freezer", range(2, 2000, 13)) >= 3


@pytest.mark.soak
@pytest.mark.parametrize("role", ["freezer", "worker"])
def test_a_process_killed_at_each_call_of_freezing_and_thawing_leaves_no_hold_stuck(frozen, cable, role):
    assert kills(frozen, cable, role, itertools.count(1)) >= 40


@pytest.mark.soak
def test_a_freezer_killed_at_each_call_of_a_reload_leaves_no_hold_stuck(frozen, cable):
    assert kills(frozen, cable, "freezer", itertools.count(1), reload) >= 19
