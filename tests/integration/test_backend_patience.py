"""A server behind that loses its patience with a connection (Postfix: smtpd_soft_error_limit, 10 errors since it last took
a message). Refusals of many clients add up on one connection, and must not slow down good mail."""

import concurrent.futures
import re
import threading
import time

import pytest

from lib import ports
from lib.scripted import Scripted
from lib.smtp import transaction
from lib.waiting import PATIENCE, until

ALICE = "alice@example.test"
MESSAGE = b"Subject: x\r\n\r\nhello\r\n"
LIMIT = 10


def refused(m, count, code, recipients=1):
    """Messages of as many clients, from a sender that the backend refuses at RCPT."""
    people = [f"{n}@example.test" for n in range(recipients)]
    for _ in range(count):
        assert transaction(m.port, "a@refused.test", people, MESSAGE, ports.stranger())[0] == dict.fromkeys(people, code)


def accepted(m):
    assert transaction(m.port, "a@b.test", [ALICE], MESSAGE, ports.stranger())[0] == {ALICE: 250}


def errors(postfix):
    """The errors of each session that has ended."""
    ended = re.findall(r"disconnect from .* commands=(?:(\d+)/)?(\d+)$", postfix.log, re.M)
    return [int(all) - int(good) if good else 0 for good, all in ended]


@pytest.mark.parametrize("xforward", ["false", "true"])
def test_refusals_of_many_clients_end_a_connection_before_postfix_slows_down(mired, postfix, xforward):
    p = postfix(
        extra="smtpd_error_sleep_time = 1s\nsmtpd_authorized_xforward_hosts = 127.0.0.1\n"
        "smtpd_sender_restrictions = check_sender_access inline:{refused.test=REJECT}\n"
    )
    m = mired(
        backend=f'backend "smtp://127.0.0.1:{p.port}" {{ xforward = {xforward} }}',
        recipients=None, tarpit="time = 0", workers=1,
    )  # fmt: skip
    refused(m, 2 * LIMIT, 554)
    accepted(m)
    assert len(p.delivered(ALICE)) == 1
    assert not m.stop()
    until(lambda: p.log.count(" disconnect from ") == p.log.count(" connect from "))
    assert sum(errors(p)) >= 4 * LIMIT and max(errors(p)) < LIMIT, errors(p)  # two of each message: RCPT and DATA
    assert "too many errors" not in p.log


def test_a_connection_on_which_messages_are_taken_in_between_is_kept(mired):
    """Postfix counts from the last message that it took, so a new connection would only cost time."""

    def answer(verb, argument, session):
        return "550 5.7.1 not from you" if verb == "RCPT" and "refused" in session.sender else None

    with Scripted(answer) as backend:
        # One connection: a second one is opened while the first is still busy, and may be given only what is refused.
        one = backend.block.replace("{ }", "{ connections = 1 }")
        m = mired(backend=one, recipients=None, tarpit="time = 0", workers=1)
        for _ in range(LIMIT):
            refused(m, 3, 550)
            accepted(m)
        assert backend.copies(ALICE) == LIMIT
        assert "QUIT" not in backend.commands


@pytest.mark.soak
def test_a_backend_may_need_long_for_each_recipient(mired):
    """One that asks another server about each of them, for example. All together they need longer than mired waits for one
    reply."""

    def answer(verb, argument, session):
        if verb == "RCPT":
            time.sleep(22)

    people = [f"{n}@example.test" for n in range(3)]
    with Scripted(answer) as backend:
        m = mired(backend=backend.block, recipients=None, tarpit="time = 0", workers=1)
        codes = transaction(m.port, "a@b.test", people, MESSAGE, ports.stranger())[0]
        assert codes == dict.fromkeys(people, 250)
        assert [backend.copies(one) for one in people] == [1, 1, 1]


@pytest.mark.soak
def test_what_waits_for_a_backend_that_hangs_goes_to_another_one(mired):
    """The first one greets, so it is up. Its one connection is busy with one message after the other, each for a minute."""
    go_on = threading.Event()

    def hang(verb, argument, session):
        if verb == "RCPT":
            go_on.wait(PATIENCE)

    with Scripted(hang) as first, Scripted() as other, concurrent.futures.ThreadPoolExecutor(3) as pool:
        one = first.block.replace("{ }", "{ connections = 1 }")
        m = mired(backend=f"{one}\n{other.block}", recipients=None, tarpit="time = 0", workers=1)
        said = []
        for n in range(3):
            said.append(pool.submit(transaction, m.port, f"{n}@b.test", [ALICE], MESSAGE, ports.stranger()))
            until(lambda: m.control("connections", "--phase", "delivering").stdout.count(f":{first.port}") > n)
        assert said[2].result()[0] == {ALICE: 250}
        assert first.copies(ALICE) == 0
        go_on.set()
        assert [one.result()[0] for one in said] == [{ALICE: 250}] * 3
        assert first.copies(ALICE) + other.copies(ALICE) == 3


def test_a_message_with_many_refused_recipients_ends_its_connection(mired):
    def answer(verb, argument, session):
        return "450 4.2.0 greylisted" if verb == "RCPT" and "refused" in session.sender else None

    with Scripted(answer) as backend:
        m = mired(backend=backend.block, recipients=None, tarpit="time = 0", workers=1)
        refused(m, 1, 450, 30)
        assert backend.wait_said("QUIT")
        accepted(m)
