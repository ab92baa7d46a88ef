"""A machine that is suspended for an hour: all processes stop where they are, and the clocks have jumped when they go on.

While Linux is suspended its monotonic clock stands and its wall clock goes on. In a virtual machine that its host stops,
both may jump. Clients and the backend are elsewhere and go on meanwhile: what they send waits in the kernel. No message
is lost or doubled, nobody hears a wrong 5xx, no hold is stuck, and no process is ended."""

import contextlib
import json
import os
import random
import signal
import threading

import pytest

from lib import netns, processes, sockets
from lib.frozen import ask, frozen_in, told
from lib.mired import UNDER
from lib.scripted import Scripted
from lib.smtp import Client, deliver
from lib.waiting import PATIENCE, until
from lib.wallclock import LIBRARY, Clock

pytestmark = [
    pytest.mark.skipif(not LIBRARY.exists(), reason="libfaketime is not installed"),
    pytest.mark.skipif(UNDER, reason="valgrind's clock is its own"),
]
ALICE = "alice@example.test"


@contextlib.contextmanager
def suspended(m, clock, jump, seed):
    """All of mired's processes are stopped; afterwards they go on in any order, and the clock has jumped."""
    everybody = [m.pid, *processes.children(m.pid)]
    dice = random.Random(seed)
    dice.shuffle(everybody)
    for pid in everybody:
        os.kill(pid, signal.SIGSTOP)
    for pid in everybody:
        until(lambda: (processes._stat(pid) or {}).get("state") == "T")
    try:
        yield
    finally:
        clock.set(jump)
        dice.shuffle(everybody)
        for pid in everybody:
            os.kill(pid, signal.SIGCONT)


def body(subject):
    return f"Subject: {subject}\r\n\r\n" + "x\r\n" * 2000


def copies(backend, subject):
    return sum(f"Subject: {subject}\r\n".encode() in message for message in backend.mail.get(ALICE, ()))


def in_mail(m):
    client = Client(m.port)
    client.ehlo()
    client.must("MAIL FROM:<a@b.test>")
    return client


def in_data(m, subject):
    """A client that has sent half of a message."""
    client = in_mail(m)
    client.must(f"RCPT TO:<{ALICE}>")
    client.must("DATA", 354)
    text = body(subject)
    client.send(text[: len(text) // 2])
    return client, text[len(text) // 2 :] + ".\r\n"


def status(m, what):
    return json.loads(m.control("--json", "status").stdout)[what]


class Slow:
    """A backend's answer to the final dot of "slow" messages: it comes when the test lets it."""

    def __init__(self):
        self.asked, self.go = threading.Event(), threading.Event()

    def __call__(self, verb, argument, session):
        if verb == "MAIL" and "slow@" in argument:
            session.slow = True
        if verb == "." and getattr(session, "slow", False):
            self.asked.set()
            self.go.wait(PATIENCE)
        return None


@pytest.mark.parametrize("jump", ["+1h", "-1h"])
@pytest.mark.parametrize("monotonic", [False, True])
def test_a_suspended_machine_loses_nothing_and_holds_nobody_for_ever(mired, tmp_path, monotonic, jump):
    if monotonic and jump == "-1h":
        pytest.skip("no monotonic clock goes back")
    clock, slow = Clock(tmp_path, monotonic), Slow()
    with Scripted(slow) as backend, contextlib.ExitStack() as stack:
        m = mired(
            tarpit="time = 4s growth = 1 pace = false", backend=backend.block, prefix=clock.prefix,
            config='sandbox = false\nlog_level = "debug"',
        )  # fmt: skip
        m.log.wait("(not )?freezing connections")  # clients are served before there is a freezer
        enter = stack.enter_context
        before = sorted(processes.children(m.pid))
        idle, (half, rest) = enter(in_mail(m)), in_data(m, "half")
        enter(half)
        whole, end = in_data(m, "whole")
        enter(whole)
        held = enter(in_mail(m))
        mark = m.log.mark()
        held.send("RCPT TO:<nobody@example.test>\r\n")
        m.log.wait("event=hold", since=mark)
        waits = enter(Client(m.port))
        waits.ehlo()
        waits.must("MAIL FROM:<slow@b.test>")
        waits.must(f"RCPT TO:<{ALICE}>")
        waits.must("DATA", 354)
        waits.send(body("slow") + ".\r\n")
        assert slow.asked.wait(PATIENCE)
        with suspended(m, clock, jump, f"{monotonic} {jump}"):
            whole.send(end)
            idle.send(f"RCPT TO:<{ALICE}>\r\nDATA\r\n")
            late = enter(Client(m.port, greet=False))  # waits in the queue of the listener
            slow.go.set()
            until(lambda: any(s.unread for s in sockets.tcp() if s.peer_port == backend.port))  # its reply has come
        heard = {"whole": whole.reply().code, "slow": waits.reply().code}
        assert [held.reply().code, late.reply().code] == [550, 220]
        told_idle = [idle.reply().code, idle.reply().code]
        half.send(rest)
        heard["half"] = half.reply().code
        # what has come meanwhile is served, whatever the clock says; an hour without the rest of a message is too long
        assert told_idle == [250, 354] and heard["whole"] == heard["slow"] == 250
        assert heard["half"] in ((250, 421, 0) if monotonic else (250,))
        for subject, code in heard.items():
            assert copies(backend, subject) == (code == 250), (subject, code)
        assert deliver(m.port, "a@b.test", ALICE, body("after").encode()).code == 250
        until(lambda: status(m, "held") == 0)
        assert sorted(processes.children(m.pid)) == before
        assert m.control("reload").returncode == 0


@pytest.mark.skipif(bool(netns.unable()), reason=netns.unable() or "able")
@pytest.mark.parametrize("monotonic", [False, True])
def test_frozen_holds_of_a_suspended_machine_are_answered(frozen, cable, tmp_path, monotonic):
    clock = Clock(tmp_path, monotonic)
    m = frozen(time=20, config="sandbox = false", prefix=clock.prefix)
    before = sorted(processes.children(m.pid))
    clients = [ask(m.port, n) for n in range(12)]
    until(lambda: frozen_in(m) == 12)
    with suspended(m, clock, "+1h", f"{monotonic}"):
        for client in clients[::3]:
            client.send("NOOP\r\n")  # meets a closed port, or waits
    for client in clients:
        if monotonic:  # no client waits for an hour: its connection may be closed
            assert client.reply().code in (550, 0)
        else:
            told(client)
    until(lambda: frozen_in(m) == 0)
    assert sorted(processes.children(m.pid)) == before
    again = ask(m.port, 500)
    told(again)
    for client in (*clients, again):
        client.close()
