"""Backends are tried before mail comes, and what is known of them is told."""

import json
import time

import pytest

from lib import ports
from lib.scripted import CLOSE, Scripted
from lib.smtp import deliver
from lib.waiting import until


def state(m):
    found = json.loads(m.control("--json", "status").stdout)["backends"][0]
    assert found["up"] is {"up": True, "down": False, "not tried yet": None}[found["state"]]
    return found["state"]


def shown(m):
    line = next(line for line in m.control("status").stdout.splitlines() if line.startswith("backends"))
    return line.rstrip().rpartition(": ")[2].lower()


def wait_state(m, wanted):
    """The web process hears of it a moment later."""
    until(lambda: state(m) == wanted == shown(m))


@pytest.mark.fast
def test_a_backend_that_was_never_up_is_named_and_found_when_it_comes_without_mail(mired):
    """field notes 20"""
    port = ports.free()
    m = mired(backend=f'backend "smtp://127.0.0.1:{port}" {{ }}', workers=1)
    m.log.wait(rf"backend smtp://127.0.0.1:{port} is down: Connection refused")
    wait_state(m, "down")
    with Scripted(port=port):
        m.log.wait(rf"backend smtp://127.0.0.1:{port} is up again")
        wait_state(m, "up")


@pytest.mark.fast
def test_a_backend_that_has_not_answered_is_not_tried_yet(mired):
    """field notes 20"""
    answer = {"greets": False}

    def wait(verb, argument, session):
        while verb == "GREETING" and not answer["greets"]:
            time.sleep(0.02)

    with Scripted(wait) as backend:
        m = mired(backend=backend.block, workers=1)
        assert state(m) == shown(m) == "not tried yet"
        answer["greets"] = True
        wait_state(m, "up")


@pytest.mark.fast
@pytest.mark.parametrize(
    "verb, reply, why",
    [
        ("GREETING", CLOSE, "it closed the connection"),
        ("GREETING", "554 go away", "it refuses mired"),
        ("EHLO", "450 later", "it refuses mired"),
        ("EHLO", "421 busy", "it refuses mired"),
    ],
)
def test_the_log_says_why_a_backend_is_down(mired, verb, reply, why):
    """field notes 20"""
    with Scripted(lambda v, argument, session: reply if v == verb else None) as backend:
        m = mired(backend=backend.block, workers=1)
        m.log.wait(rf"backend smtp://127.0.0.1:{backend.port} is down: {why}")


def test_a_backend_that_goes_while_nobody_sends_is_seen_to_be_down(mired):
    """field notes 20"""
    with Scripted() as backend:
        m = mired(backend=backend.block, workers=1)
        wait_state(m, "up")
        backend.stop()
        wait_state(m, "down")


def test_a_backend_that_is_down_is_tried_each_ten_seconds(mired):
    """field notes 20"""
    tries = []

    def refuse(verb, argument, session):
        if verb == "GREETING":
            tries.append(time.monotonic())
            return CLOSE
        return None

    with Scripted(refuse) as backend:
        m = mired(backend=backend.block, workers=1)
        m.log.wait("is down")
        until(lambda: len(tries) >= 7, every=0.1)
    pauses = [b - a for a, b in zip(tries, tries[1:])]
    assert max(pauses) < 30, pauses  # pauses that went on to double would come to 32 s


@pytest.mark.parametrize("verb, at", [("MAIL", "mail"), ("RCPT", "rcpt"), ("DATA", "data"), (".", "final dot")])
def test_the_log_says_why_a_message_is_deferred_although_the_backend_is_up(mired, verb, at):
    with Scripted(lambda v, argument, session: CLOSE if v == verb else None) as backend:
        m = mired(backend=backend.block, workers=1, tarpit="time = 0")
        assert deliver(m.port, "a@b.test", "alice@example.test").code == 451
        why = rf'why="(it closed the connection|Connection reset by peer) \({at}\)"'
        assert "text=" not in m.log.wait(f"event=message .*code=451 .*{why}")


def test_the_log_says_that_no_backend_can_take_a_message(mired):
    m = mired(backend=f'backend "smtp://127.0.0.1:{ports.free()}" {{ }}', workers=1, tarpit="time = 0")
    wait_state(m, "down")
    assert deliver(m.port, "a@b.test", "alice@example.test").code == 451
    m.log.wait('event=message .*code=451 .*why="no backend of its route can take it now"')


def test_a_backends_own_reply_is_reason_enough(mired):
    with Scripted(lambda v, argument, session: "451 4.3.2 later" if v == "RCPT" else None) as backend:
        m = mired(backend=backend.block, workers=1, tarpit="time = 0")
        assert deliver(m.port, "a@b.test", "alice@example.test").code == 451
        assert "why=" not in m.log.wait("event=message .*code=451 .*text=later")
