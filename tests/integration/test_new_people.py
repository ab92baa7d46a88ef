"""Field notes 11: a person who has just been added to a directory is known within seconds, and soon after a flush or reload."""

import os
import subprocess
import time

import pytest

from lib import ports
from lib.scripted import Scripted
from lib.smtp import Client
from lib.waiting import until

LATE = "late@example.test"


def ask(m, recipient=LATE, source=None):
    with Client(m.port, source=source) as client:
        client.ehlo()
        return client.envelope("a@b.test", [recipient])[0].code


def known_after(m, recipient, seconds):
    """Asks all the while; an attempt that begins when the time is over is let in, however slow the machine is."""
    begun = time.monotonic()
    while time.monotonic() < begun + seconds:
        ask(m, recipient)
        time.sleep(0.1)
    assert ask(m, recipient) == 250


class Pinned:
    """A server whose conversations know the people of when they began, as Postfix' do."""

    def __init__(self):
        self.people = {"alice@example.test"}
        self.questions = 0

    def __call__(self, verb, argument, session):
        if verb == "GREETING":
            session.people = set(self.people)
        if verb != "RCPT":
            return None
        self.questions += 1
        known = argument[argument.index("<") + 1 : argument.index(">")] in session.people
        return None if known else "550 5.1.1 user unknown"


@pytest.fixture
def pinned(mired):
    """The people, and a mired that asks a server that knows them."""
    server = Pinned()
    with Scripted(server) as backend:
        more = 'recipients "backend" { }\nclerks = 1\nlookups = 1'
        server.backend = backend
        yield server, mired(recipients=None, backend=backend.block, config=more, tarpit="time = 0")


def test_who_has_just_come_is_known_within_five_seconds(pinned):
    server, m = pinned
    assert ask(m, "alice@example.test") == 250 and ask(m) == 550
    server.people.add(LATE)
    known_after(m, LATE, 5)


def test_a_sender_that_has_heard_no_tries_again_and_is_let_in(pinned):
    """The usual way: a customer's mail bounces, the administrator adds the address, and the customer tries again."""
    server, m = pinned
    customer = ports.stranger()
    assert ask(m, source=customer) == 550
    time.sleep(2.1)  # the conversation that said no is no longer young
    assert ask(m, source=customer) == 550
    server.people.add(LATE)
    time.sleep(2.1)
    assert ask(m, source=customer) == 250


def test_a_kept_conversation_pins_nobody(pinned):
    """It is kept busy with good mail, so it does not end by itself."""
    server, m = pinned
    assert ask(m, "alice@example.test") == 250
    begun = time.monotonic()
    while time.monotonic() < begun + 2.5:
        m.control("cache", "flush")
        assert ask(m, "alice@example.test") == 250
        time.sleep(0.1)
    server.people.add(LATE)  # nobody has asked for it before
    assert ask(m) == 250


# ---- the connection that delivers ----


@pytest.fixture
def delivering(mired):
    """As `pinned`, with a file that says who exists, and one connection for mail that is kept."""
    server = Pinned()
    with Scripted(server) as backend:
        server.backend = backend
        people = ("alice@example.test", LATE)
        yield server, mired(
            recipients=people, backend=f'backend "smtp://127.0.0.1:{backend.port}" {{ connections = 1 }}', workers=1, tarpit="time = 0"
        )


def send(m, *recipients):
    with Client(m.port) as client:
        client.ehlo()
        return client.message("a@b.test", list(recipients)).code


def test_a_kept_connection_refuses_nobody_who_is_new(delivering):
    """Its "no such user" was passed on: the mail was bounced after the directory had said that there is somebody."""
    server, m = delivering
    assert send(m, "alice@example.test") == 250
    server.people.add(LATE)
    time.sleep(2.5)
    assert send(m, LATE) == 250
    server.people.remove(LATE)
    time.sleep(2.5)
    assert send(m, "alice@example.test") == 250


@pytest.mark.parametrize("recipients, code", [((LATE,), 550), (("alice@example.test", LATE), 451)])
def test_a_young_connection_is_believed(delivering, recipients, code):
    """One more question, not one a message for ever; and of those together that are answered apart each hears its own."""
    server, m = delivering
    assert send(m, "alice@example.test") == 250
    time.sleep(2.5)
    before = server.questions
    assert send(m, *recipients) == code
    assert server.questions == before + 2 * len(recipients)


def test_who_is_in_debt_hears_the_cached_no(pinned):
    """A harvester makes no more questions than before."""
    server, m = pinned
    source = ports.stranger()
    m.control("penalise", source, "--offences", "10")
    assert ask(m, source=source) == 550
    time.sleep(2.5)  # longer than it counts for others
    before = server.questions
    assert ask(m, source=source) == 550
    assert server.questions == before
    assert ask(m) == 550
    assert server.questions > before


def test_while_the_directory_is_away_a_cached_no_stands(pinned):
    server, m = pinned
    assert ask(m) == 550
    server.backend.__exit__()
    server.backend.answer = lambda verb, argument, session: "421 4.3.2 away"
    time.sleep(2.5)
    assert ask(m) == 550
    assert ask(m, "other@example.test") == 451


@pytest.mark.parametrize("of", ["Late@Example.TEST", "backend", None])
def test_a_flush_forgets_what_it_names(pinned, of):
    server, m = pinned
    source = ports.stranger()
    m.control("penalise", source, "--offences", "10")
    assert ask(m, "alice@example.test") == 250 and ask(m, source=source) == 550
    server.people = {LATE}
    server.backend.answer = server
    time.sleep(2.1)  # the conversation is no longer young
    done = m.control("cache", "flush", *([of] if of else []))
    assert done.returncode == 0 and "forgotten" in done.stdout, done.stderr
    assert ask(m, source=source) == 250
    alice = ask(m, "alice@example.test")
    assert alice == (250 if of and "@" in of else 550)  # who has gone is only known to have when she is forgotten too
    m.log.wait("event=control command=.?cache flush")


@pytest.mark.parametrize(
    "words, status", [(["flush", "ldap"], 1), (["flush", "nonsense"], 1), (["flush", "@example.test"], 2), (["flush", "a", "b"], 2), (["drop"], 2), ([], 2)]
)
def test_a_flush_of_what_is_not_there_says_so(pinned, words, status):
    done = pinned[1].control("cache", *words)
    assert done.returncode == status and done.stderr


def test_a_reload_forgets_who_was_unknown(pinned):
    server, m = pinned
    source = ports.stranger()
    m.control("penalise", source, "--offences", "10")
    assert ask(m, source=source) == 550
    server.people.add(LATE)
    m.reload()
    assert ask(m, source=source) == 250


@pytest.mark.parametrize("how", ["aliases", "boxes"])
def test_a_new_alias_of_a_real_postfix_is_soon_known(mired, postfix, how):
    """`newaliases; postfix reload`: an address was unknown for 142 s. How soon depends on Postfix' reload, too."""
    behind = postfix(extra="virtual_alias_maps = hash:$config_directory/aliases" if how == "aliases" else "")
    aliases = behind.folder / "conf" / "aliases"

    def write(text):
        aliases.write_text(text)
        subprocess.run(["postmap", "-c", behind.folder / "conf", f"hash:{aliases}"], check=True)

    write("")
    m = mired(
        recipients=None, backend=f'backend "smtp://127.0.0.1:{behind.port}" {{ }}', config='recipients "backend" { }', tarpit="time = 0"
    )
    assert ask(m, "alice@example.test") == 250 and ask(m) == 550
    if how == "aliases":
        write(f"{LATE} alice@example.test\n")
    else:
        with (behind.folder / "conf" / "boxes").open("a") as f:
            f.write(f"{LATE} example.test/late/\n")
    os.utime(behind.folder / "conf" / "main.cf", (time.time() - 86400,) * 2)
    subprocess.run(["postfix", "-c", behind.folder / "conf", "reload"], check=True, capture_output=True)
    until(lambda: ask(m, LATE) == 250, every=0.1)
