"""A reload or an upgrade that changes what kind of backend there is: sessions that have begun end with the old one.

Old workers deliver to where they have always delivered, so nobody hears a 4xx because of the change, and a message that
reached some of its recipients before it reaches only the others behind it."""

import os
import shutil
import signal

import pytest

from lib import processes
from lib.dovecot import full_mailbox
from lib.mired import PROGRAM
from lib.scripted import Scripted
from lib.smtp import Client, deliver, transaction
from lib.waiting import until

ALICE, BOB, CAROL = "alice@example.test", "bob@example.test", "carol@example.test"
STORE = 'backend "maildir" { }'
HOWS = ("reload", "upgrade")


@pytest.fixture
def program(tmp_path):
    """A copy of the program, which an upgrade runs again."""
    tmp_path.chmod(0o755)
    shutil.copy(PROGRAM.resolve(), tmp_path / "mired")
    return tmp_path / "mired"


def change(m, how, before, after):
    """Another backend, by a reload or an upgrade."""
    text = m.file.read_text()
    assert before in text
    m.file.write_text(text.replace(before, after))
    done = m.control(how)
    assert done.returncode == 0, done.stdout + done.stderr


def begun(m, recipient=ALICE):
    """A client that has begun a message."""
    client = Client(m.port)
    client.ehlo()
    client.must("MAIL FROM:<a@b.test>")
    client.must(f"RCPT TO:<{recipient}>")
    return client


def ends(client, subject):
    """The reply to the message that it has begun."""
    return client.data(f"Subject: {subject}\r\n\r\nx\r\n".encode()).code


def has(messages, subject):
    return sum(f"Subject: {subject}".encode() in message for message in messages)


@pytest.mark.parametrize("how", HOWS)
def test_from_the_store_to_a_server_a_message_that_has_begun_is_still_stored(mired, program, how):
    with Scripted() as backend:
        m = mired(program=program, backend=STORE)
        with begun(m) as early, begun(m, BOB) as amid:
            amid.must("DATA", 354)
            amid.send("Subject: amid\r\n\r\n")
            change(m, how, STORE, backend.block)
            assert deliver(m.port, "a@b.test", ALICE, b"Subject: late\r\n\r\nx\r\n").code == 250
            assert ends(early, "early") == 250
            amid.send("x\r\n.\r\n")
            assert amid.reply().code == 250
            # and another message of the same session
            assert early.message("a@b.test", CAROL, b"Subject: next\r\n\r\nx\r\n").code == 250
            assert len(m.processes("store")) == 1
        assert [has(m.delivered(to), s) for to, s in ((ALICE, "early"), (BOB, "amid"), (CAROL, "next"))] == [1, 1, 1]
        assert [has(m.delivered(ALICE), "late"), backend.copies(ALICE), backend.copies(BOB)] == [0, 1, 0]
        until(lambda: not m.processes("store"))  # with the last worker that used it


def test_the_store_serves_each_earlier_generation_and_is_started_again_if_it_dies(mired):
    with Scripted() as backend:
        m = mired(backend=STORE)
        m.deaths_expected = True
        with begun(m) as first:
            change(m, "reload", "time = 1s", "time = 2s")  # the second generation keeps the store
            with begun(m) as second:
                change(m, "reload", STORE, backend.block)
                change(m, "reload", "time = 2s", "time = 3s")
                with begun(m) as third:
                    assert ends(second, "second") == 250
                    second.close()  # the store is not of its generation alone
                    (store,) = m.processes("store")
                    os.kill(store, signal.SIGKILL)
                    until(lambda: (now := m.processes("store")) and now != [store])
                    assert ends(third, "third") == 250
                assert ends(first, "first") == 250
        assert [has(m.delivered(ALICE, count=2), s) for s in ("first", "second", "third")] == [1, 1, 0]
        assert backend.copies(ALICE) == 1
        until(lambda: not m.processes("store"))


def test_there_and_back_there_is_one_store(mired):
    with Scripted() as backend:
        m = mired(backend=STORE)
        with begun(m) as first:
            change(m, "reload", STORE, backend.block)
            with begun(m) as second:
                (before,) = m.processes("store")
                change(m, "reload", backend.block, STORE)
                until(lambda: before not in m.processes("store"))
                assert len(m.processes("store")) == 1
                assert [ends(first, "first"), ends(second, "second")] == [250, 250]
            assert deliver(m.port, "a@b.test", ALICE, b"Subject: third\r\n\r\nx\r\n").code == 250
        assert [has(m.delivered(ALICE, count=2), s) for s in ("first", "second", "third")] == [1, 0, 1]
        assert backend.copies(ALICE) == 1


@pytest.mark.parametrize("how", HOWS)
@pytest.mark.parametrize("before, after, mailbox", [("+", "", "alice"), ("", "+", "alice+x"), ("+", "-", "alice")])
def test_a_tag_is_one_where_its_recipient_was_accepted(mired, program, before, after, mailbox, how):
    """Behind another `recipient_delimiter` the address is another mailbox, which perhaps nobody reads."""
    tagged, whose = "alice+x@example.test", f"{mailbox}@example.test"
    m = mired(program=program, backend=STORE, config=f'recipient_delimiter = "{before}"', recipients=(whose,))
    with begun(m, tagged) as early, begun(m, tagged) as amid:
        amid.must("DATA", 354)
        amid.send("Subject: amid\r\n\r\n")
        change(m, how, f'recipient_delimiter = "{before}"', f'recipient_delimiter = "{after}"')
        amid.send("x\r\n.\r\n")
        assert [amid.reply().code, ends(early, "early")] == [250, 250]
        assert early.message("a@b.test", tagged, b"Subject: next\r\n\r\nx\r\n").code == 250
    assert [has(m.delivered(whose, count=3), s) for s in ("early", "amid", "next")] == [1, 1, 1]
    assert [box.name for box in (m.mail / "example.test").iterdir()] == [mailbox]


@pytest.mark.parametrize("how", HOWS)
def test_a_bare_postmaster_is_one_where_it_was_accepted(mired, program, how):
    boxes = ("postmaster@example.test", "postmaster@other.test")
    m = mired(program=program, backend=STORE, domains=("example.test", "other.test"), recipients=boxes)
    with begun(m, "postmaster") as client:
        change(m, how, '{ "example.test", "other.test" }', '{ "other.test", "example.test" }')
        assert ends(client, "early") == 250
        with begun(m, "postmaster") as late:
            assert ends(late, "late") == 250
    assert [has(m.delivered(box), s) for box, s in zip(boxes, ("early", "late"))] == [1, 1]


@pytest.mark.parametrize("how", HOWS)
@pytest.mark.parametrize("lmtp", [False, True])
def test_from_a_server_to_the_store_or_another_kind_each_message_goes_where_it_has_begun(mired, program, lmtp, how):
    with Scripted(lmtp=lmtp) as old, Scripted(lmtp=not lmtp) as new:
        m = mired(program=program, backend=old.block)
        with begun(m) as first:
            change(m, how, old.block, new.block)
            with begun(m) as second:
                change(m, how, new.block, STORE)
                with begun(m) as third:
                    assert [ends(third, "third"), ends(second, "second"), ends(first, "first")] == [250] * 3
        assert [has(box.mail[ALICE], s) for box, s in ((old, "first"), (new, "second"))] == [1, 1]
        assert [old.copies(ALICE), new.copies(ALICE), len(m.delivered(ALICE))] == [1, 1, 1]


# ---- mixed answers ----

MESSAGE = b"DKIM-Signature: v=1; d=b.test; b=c2lnbmVk\r\nMessage-ID: <1@b.test>\r\nSubject: mixed\r\n\r\nhello\r\n"


def refuses_bob(verb, argument, session):
    return "452 4.2.2 later" if verb == "." and BOB in argument else None


def retry_until_taken(m, recipients):
    """As a sender's queue does. The number of tries."""
    left = list(recipients)
    for tries in range(1, 9):
        codes, _ = transaction(m.port, "a@b.test", left, MESSAGE, f"127.61.1.{tries}")
        m.booked()
        left = [to for to in left if codes[to] != 250]
        if not left:
            return tries
    pytest.fail(f"{left} are never taken")


@pytest.mark.parametrize("how", HOWS)
@pytest.mark.parametrize("then", ["a server", "the store"])
def test_a_mixed_answer_before_the_change_leaves_one_copy_behind_it(mired, program, then, how):
    with Scripted(refuses_bob, lmtp=True) as old, Scripted() as new:
        m = mired(program=program, backend=old.block)
        codes, _ = transaction(m.port, "a@b.test", [ALICE, BOB, CAROL], MESSAGE, "127.61.1.100")
        assert codes == {ALICE: 451, BOB: 451, CAROL: 451}
        m.booked()
        change(m, how, old.block, new.block if then == "a server" else STORE)
        retry_until_taken(m, [ALICE, BOB, CAROL])
        assert [old.copies(to) for to in (ALICE, BOB, CAROL)] == [1, 0, 1]
        if then == "a server":
            assert [new.copies(to) for to in (ALICE, BOB, CAROL)] == [0, 1, 0]
        else:
            assert len(m.delivered(BOB)) == 1
            assert not (m.mail / "example.test" / "alice").exists()


@pytest.mark.parametrize("how", HOWS)
def test_a_mixed_answer_amid_the_change_leaves_one_copy(mired, program, how):
    """The session began before; the backend answers it behind the change."""
    with Scripted(refuses_bob, lmtp=True) as old, Scripted() as new:
        m = mired(program=program, backend=old.block)
        keepers = m.processes("keeper")
        with begun(m) as client:
            client.must(f"RCPT TO:<{BOB}>")
            client.must("DATA", 354)
            change(m, how, old.block, new.block)
            client.send(MESSAGE + b".\r\n")
            assert client.reply().code == 451
        assert not processes.wait_gone(keepers)  # it has booked all; booked() asks only the new generation
        retry_until_taken(m, [ALICE, BOB])
        assert [box.copies(to) for box in (old, new) for to in (ALICE, BOB)] == [1, 0, 0, 1]


@pytest.fixture
def full_box():
    """A Dovecot in which bob's mailbox has room for nothing."""
    if os.geteuid() != 0:
        pytest.skip("Dovecot needs root")
    d = full_mailbox(BOB)
    yield d.start()
    d.stop()
    d.remove()


@pytest.mark.parametrize("how", HOWS)
def test_a_real_dovecots_mixed_answer_counts_behind_the_change(mired, program, full_box, how):
    large = MESSAGE + b"x" * 70 * 100 + b"\r\n"
    before = f'backend "lmtp:{full_box.lmtp}" {{ }}'
    with Scripted() as new:
        m = mired(program=program, backend=before)
        keepers = m.processes("keeper")
        with begun(m) as client:
            client.must(f"RCPT TO:<{BOB}>")
            client.must("DATA", 354)
            change(m, how, before, new.block)
            client.send(large + b".\r\n")
            assert client.reply().code == 451
        assert not processes.wait_gone(keepers)
        assert len(full_box.delivered(ALICE)) == 1
        codes, _ = transaction(m.port, "a@b.test", [ALICE], large, "127.61.1.1")
        assert codes == {ALICE: 250}
        assert len(full_box.delivered(ALICE)) == 1 and new.copies(ALICE) == 0
