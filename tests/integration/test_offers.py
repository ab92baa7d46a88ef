"""What is offered to clients is what the backends have."""

import json
import threading

import pytest

from lib import ports
from lib.scripted import HELLO, Scripted
from lib.smtp import Client, deliver
from lib.waiting import PATIENCE, until

ALICE = "alice@example.test"
EXTENSIONS = {"8BITMIME", "SMTPUTF8", "DSN"}


def offered(m):
    """What EHLO offers of what depends on the backend; {keyword: argument}"""
    with Client(m.port) as client:
        words = [line[4:].partition(" ") for line in client.ehlo().lines]
    return {word: argument for word, _, argument in words if word in EXTENSIONS | {"SIZE"}}


def wait_offered(m, wanted):
    until(lambda: offered(m) == wanted, why=lambda: offered(m), every=0.05)


class Slow(Scripted):
    """Greets when it is told to."""

    def __init__(self, **options):
        self.may_greet = threading.Event()
        super().__init__(self.wait, **options)

    def wait(self, verb, argument, session):
        if verb == "GREETING":
            self.may_greet.wait(PATIENCE)


@pytest.mark.fast
def test_before_anything_is_known_nothing_is_offered(mired):
    """field notes 33: a backend that greets late."""
    with Slow(hello=("PIPELINING",)) as backend:
        m = mired(backend=backend.block, workers=1)
        assert not set(offered(m)) & EXTENSIONS
        with Client(m.port) as client:
            client.ehlo()
            assert client.say("MAIL FROM:<a@b.test> SMTPUTF8").code == 555
            assert client.say("MAIL FROM:<a@b.test> BODY=8BITMIME").code == 555
            assert client.say("MAIL FROM:<a@b.test> RET=FULL").code == 555
        backend.may_greet.set()
        assert deliver(m.port, "a@b.test", ALICE).code == 250


@pytest.mark.fast
def test_what_was_known_last_time_is_offered_at_once(mired):
    """field notes 33: a client that is not offered SMTPUTF8 bounces what needs it, so a restart must not take it away."""
    with Slow() as backend:
        backend.may_greet.set()
        m = mired(backend=backend.block, workers=1)
        wait_offered(m, dict.fromkeys(EXTENSIONS, "") | {"SIZE": "52428800"})
        m.stop()
        backend.may_greet.clear()
        m.start()
        assert set(offered(m)) >= EXTENSIONS
        backend.may_greet.set()


def test_a_client_that_connects_first_of_all_is_offered_what_there_is(mired):
    """field notes 33: it waits in the queue until the backend has said it."""
    with Scripted() as backend:
        # It waits for a second at most, within which a busy machine's backend may not answer once or twice.
        assert any(set(offered(mired(backend=backend.block, workers=1))) >= EXTENSIONS for _ in range(5))


@pytest.mark.fast
@pytest.mark.parametrize(
    "sizes, told",
    [
        (["SIZE 10240000"], "10240000"),
        (["SIZE 99999999999"], "52428800"),
        (["SIZE"], "52428800"),
        (["SIZE 0"], "52428800"),
        ([None], "52428800"),
        (["SIZE 1000", "SIZE 2000"], "2000"),
        (["SIZE 1000", "SIZE"], "52428800"),
    ],
)
def test_the_size_is_the_backends_where_that_is_smaller(mired, sizes, told):
    """field notes 7: 12 MB were sent and then refused."""
    backends = [
        Scripted(hello=tuple(h for h in (*HELLO[:1], *HELLO[2:], size) if h)) for size in sizes
    ]
    try:
        m = mired(backend="\n".join(b.block for b in backends), workers=1)
        wait_offered(m, dict.fromkeys(EXTENSIONS, "") | {"SIZE": told})
    finally:
        for backend in backends:
            backend.__exit__()


def test_a_message_beyond_the_backends_size_is_refused_before_its_data_and_is_no_offence(mired, postfix):
    """field notes 7: size_max 50M before a Postfix with 20 MB."""
    backend = postfix()
    m = mired(backend=f'backend "smtp://127.0.0.1:{backend.port}" {{ }}', workers=1, tarpit="time = 0")
    wait_offered(m, {"SIZE": "20000000", "8BITMIME": "", "SMTPUTF8": "", "DSN": ""})
    with Client(m.port) as client:
        client.ehlo()
        assert client.say("MAIL FROM:<a@b.test> SIZE=20000001").code == 552
        client.must("MAIL FROM:<a@b.test> SIZE=20000000", 250)
    m.log.wait(r"event=session .*offences=0")


def test_a_message_that_is_too_large_for_one_goes_to_the_other(mired):
    """field notes 7"""
    with Scripted(hello=("SIZE 1000",)) as small, Scripted(hello=("SIZE",)) as large:
        m = mired(backend=small.block + "\n" + large.block, workers=1)
        until(lambda: all(b["up"] for b in json.loads(m.control("--json", "status").stdout)["backends"]))
        message = b"Subject: x\r\n\r\n" + b"x" * 998 + b"\r\n" + b"y" * 998 + b"\r\n"
        assert deliver(m.port, "a@b.test", ALICE, message).code == 250
        assert deliver(m.port, "a@b.test", ALICE).code == 250
        assert (small.copies(ALICE), large.copies(ALICE)) == (1, 1)


def test_what_was_offered_is_not_taken_back_and_what_nobody_has_is_told_before_the_data(mired):
    """field notes 33: two backends of which only one can, and that one goes."""
    two = Scripted(hello=("PIPELINING",), port=ports.free())  # for it comes back there
    with Scripted() as one:
        m = mired(backend=one.block + "\n" + two.block, workers=1)
        wait_offered(m, {"SIZE": "52428800"})  # both are up: what only one has is not offered
        two.stop()
        assert deliver(m.port, "a@b.test", ALICE).code == 250
        wait_down(m, two, ALICE, one)
        wait_offered(m, {"SIZE": "52428800", "8BITMIME": "", "SMTPUTF8": "", "DSN": ""})
        client = Client(m.port)
        client.ehlo()
        client.must("MAIL FROM:<a@b.test> SMTPUTF8", 250)
        client.must("RSET")
        with Scripted(hello=("PIPELINING",), port=two.port):
            wait_offered(m, {"SIZE": "52428800"})
            client.must("MAIL FROM:<a@b.test> SMTPUTF8", 250)  # it was offered, and one has it
            client.must("RSET")
            one.stop()


            def refused():
                reply = client.say("MAIL FROM:<a@b.test> SMTPUTF8")
                if reply.code != 250:
                    return reply
                client.must("RSET")
                assert deliver(m.port, "a@b.test", ALICE).code == 250
                return None

            reply = until(refused)
            assert reply.code == 451 and "4.3.3" in reply
        client.close()


def wait_down(m, backend, person, other):
    """A backend's end is seen when its connection is wanted: mail goes to it first, and then elsewhere."""


    def seen():
        other.answer = at_most_once(other)
        deliver(m.port, "a@b.test", person)
        return f"{backend.port} is down" in m.log.text

    until(seen, every=0.05)


def at_most_once(backend):
    left = [1]

    def answer(verb, argument, session):
        if verb == "MAIL" and left[0]:
            left[0] = 0
            return "421 4.3.2 for a moment"
        return None

    return answer
