"""A client that resets its connection before it hears what has become of its message: it retries, and there is one copy."""

import concurrent.futures
import contextlib
import socket
import threading

import pytest

from lib import ports
from lib.scripted import HELLO, Scripted
from lib.smtp import Client, transaction
from lib.waiting import PATIENCE, until

ALICE = "alice@example.test"
NAMED = b"Message-ID: <1@sender.test>\r\nSubject: one\r\n\r\nhello\r\n"
NAMELESS = b"Subject: one\r\n\r\nhello\r\n"


@contextlib.contextmanager
def silent_resolver():
    """Names of clients stay unknown, so messages wait a second for them."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.bind(("127.0.0.1", 0))
        yield f'resolver = {{ "127.0.0.1:{s.getsockname()[1]}" }}'


def delivering(m):
    return m.control("connections", "--phase", "delivering").stdout


def send_and_reset(m, message, source, when=None):
    """It resets the connection when the hand-over is seen at that point; None: at any."""
    with Client(m.port, source=source) as client:
        client.ehlo()
        client.envelope("a@sender.test", [ALICE])
        client.must("DATA", 354)
        client.send(message + b".\r\n")
        until(lambda: (when or source) in delivering(m))
        client.will_reset()


@pytest.mark.parametrize("message", [NAMED, NAMELESS], ids=["named", "nameless"])
@pytest.mark.parametrize("stage", ["names", "MAIL", "DATA"])
def test_after_a_reset_and_a_retry_there_is_one_copy(mired, stage, message):
    """stage: what the hand-over waits for when the client resets the connection."""
    go_on = threading.Event()

    def slow(verb, argument, session):
        if verb == ("MAIL" if stage == "names" else stage):
            go_on.wait(60)

    with Scripted(slow) as backend, silent_resolver() as resolver:
        m = mired(
            backend=backend.block.replace("{ }", f"{{ xclient = {'true' if stage == 'names' else 'false'} }}"),
            config=resolver, tarpit="time = 0", workers=1,
        )  # fmt: skip
        source = ports.stranger()
        send_and_reset(m, message, source)
        if message == NAMELESS:  # it is given up before the backend goes on
            until(lambda: source not in delivering(m))
        go_on.set()
        until(lambda: source not in delivering(m))
        m.booked()
        assert transaction(m.port, "a@sender.test", [ALICE], message, source)[0] == {ALICE: 250}
        assert backend.copies(ALICE) == 1


def test_a_message_that_is_given_up_leaves_its_connection_to_those_behind_it(mired):
    """Its connection is closed. The next message must not wait until it is given up, too, a minute later."""
    go_on = threading.Event()

    def slow(verb, argument, session):
        if verb == "MAIL" and "a@sender.test" in argument:
            go_on.wait(PATIENCE)

    with Scripted(slow) as backend, concurrent.futures.ThreadPoolExecutor(1) as pool:
        one = backend.block.replace("{ }", "{ connections = 1 }")
        m = mired(backend=one, tarpit="time = 0", workers=1)
        with Client(m.port, source=ports.stranger()) as client:
            client.ehlo()
            client.envelope("a@sender.test", [ALICE])
            client.must("DATA", 354)
            client.send(NAMELESS + b".\r\n")
            assert backend.wait_said("MAIL")
            said = pool.submit(transaction, m.port, "b@other.test", [ALICE], NAMED, ports.stranger())
            until(lambda: "a free connection" in delivering(m))
            client.will_reset()
        assert said.result()[0] == {ALICE: 250}
        assert backend.copies(ALICE) == 1
        go_on.set()


def test_a_nameless_message_that_a_backend_may_have_is_not_cut_off(mired):
    """After the final dot the backend decides, and what it takes is counted."""
    go_on = threading.Event()

    def slow(verb, argument, session):
        if verb == ".":
            go_on.wait(60)

    with Scripted(slow) as backend:
        m = mired(backend=backend.block, tarpit="time = 0", workers=1)
        source = ports.stranger()
        send_and_reset(m, NAMELESS, source, "final dot")
        until(lambda: "ended" in delivering(m))
        go_on.set()
        until(lambda: source not in delivering(m))
        assert backend.copies(ALICE) == 1
        m.log.wait(rf"event=message.*client={source}")


def next_alarm(m, recipients, source):
    """Of the codes only those matter that are for good: a queue sends to the others again, apart."""
    left = recipients
    for _ in range(4):
        codes, _ = transaction(m.port, "a@sender.test", left, NAMELESS, source)
        left = [to for to in left if codes[to] != 250]
        if not left:
            return
        m.booked()
    raise AssertionError(codes)


@pytest.mark.parametrize("end, copies", [("reset", 2), ("FIN and reset", 2), ("FIN", 1)])
@pytest.mark.parametrize("routes", [1, 2])
def test_a_mixed_answer_that_nobody_hears_costs_the_next_alarm_nothing(mired, routes, end, copies):
    """Alice has the message when its client ends, and bob's backend then defers. Without a Message-ID the next alarm has
    the same octets: only who may have heard 451 can be sending the first one again."""
    go_on = threading.Event()

    def hang(verb, argument, session):
        if verb == ("." if routes == 1 else "RCPT") and "bob" in argument and not go_on.is_set():
            go_on.wait(PATIENCE)
            return "450 4.2.0 later"
        return None

    bob = "bob@other.test"
    with Scripted(lmtp=True) as first, Scripted(hang, lmtp=True) as second:
        block = 'backend "lmtp://127.0.0.1:%d" { domains = { %s } }\n'
        both = '"example.test", "other.test"'
        one, two = (block % (b.port, d) for b, d in [(first, '"example.test"'), (second, '"other.test"')])
        m = mired(
            backend=one + two if routes == 2 else block % (second.port, both),
            domains=("example.test", "other.test"), recipients=(ALICE, bob), tarpit="time = 0", workers=1,
        )  # fmt: skip
        alice = first if routes == 2 else second
        source = ports.stranger()
        with Client(m.port, source=source) as client:
            client.ehlo()
            client.envelope("a@sender.test", [ALICE, bob])
            client.must("DATA", 354)
            client.send(NAMELESS + b".\r\n")
            until(lambda: alice.copies(ALICE) == 1)
            until(lambda: ("final dot" if routes == 1 else "rcpt") in delivering(m))
            if "FIN" in end:
                client.socket.shutdown(socket.SHUT_WR)
                until(lambda: "ended" in delivering(m))
            if "reset" in end:
                client.will_reset()
                client.close()
                until(lambda: "ended" in delivering(m))
            go_on.set()
            if end == "FIN":
                assert client.reply().code == 451
        until(lambda: source not in delivering(m))
        m.booked()
        next_alarm(m, [ALICE, bob], source)
        assert alice.copies(ALICE) == copies
        assert second.copies(bob) == 1


@pytest.mark.parametrize("message", [NAMED, NAMELESS], ids=["named", "nameless"])
def test_a_message_whose_bdat_is_refused_after_a_reset_is_not_doubled(mired, message):
    """It goes again with DATA only if its client may still hear of it, or its retry is known for one."""
    go_on = threading.Event()

    def slow(verb, argument, session):
        if verb == "BDAT" and argument.endswith("LAST"):
            go_on.wait(PATIENCE)
            return "503 5.5.1 bad sequence"
        return None

    with Scripted(slow, hello=[*HELLO, "CHUNKING"]) as backend:
        m = mired(backend=backend.block.replace("{ }", "{ chunking = true }"), tarpit="time = 0", workers=1)
        source = ports.stranger()
        send_and_reset(m, message, source, "final dot")
        backend.wait_said("BDAT")
        until(lambda: "ended" in delivering(m))
        go_on.set()
        until(lambda: source not in delivering(m))
        m.booked()
        assert transaction(m.port, "a@sender.test", [ALICE], message, source)[0] == {ALICE: 250}
        assert backend.copies(ALICE) == 1


@pytest.mark.fast
def test_a_reset_with_a_second_message_behind_the_first_hurts_nobody(mired):
    """The second message takes the first one's connection to the backend just before the worker finds that the client
    has gone. The sanitizers of the build for `fast` tests found that the connection was used once more."""
    go_on = threading.Event()

    def slow(verb, argument, session):
        if verb == ".":
            go_on.wait(PATIENCE)

    with Scripted(slow) as backend:
        m = mired(backend=backend.block, tarpit="time = 0", workers=1)
        source = ports.stranger()
        one = b"MAIL FROM:<a@b.test>\r\nRCPT TO:<postmaster@example.test>\r\nBDAT %d LAST\r\n%s" % (len(NAMED), NAMED)
        with Client(m.port, source=source) as client:
            client.ehlo()
            client.send(one + one.replace(b"<1@", b"<2@"))
            until(lambda: "final dot" in delivering(m))
            client.will_reset()
        until(lambda: "ended" in delivering(m))
        go_on.set()
        m.log.wait(f"event=session client={source} ")
        for n in range(3, 5):
            assert transaction(m.port, "a@b.test", [ALICE], NAMED.replace(b"<1@", b"<%d@" % n))[1].code == 250
