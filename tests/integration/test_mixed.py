"""Mixed answers: a backend takes a message for some recipients and not for others."""

import contextlib
import itertools
import os
import re
import signal
import socket
import threading

import pytest

from lib import ports, processes, scrape
from lib.dovecot import full_mailbox
from lib.scripted import CLOSE, HELLO, Scripted
from lib.smtp import Client, deliver, transaction
from lib.waiting import PATIENCE, until

ALICE, BOB, CAROL = "alice@example.test", "bob@example.test", "carol@example.test"
PLAIN = b"Message-ID: <1@b.test>\r\nSubject: one\r\n\r\nhello\r\n"
MESSAGE = b"DKIM-Signature: v=1; d=b.test; b=c2lnbmVk\r\n" + PLAIN  # as a provider's

# As a provider's pools do, each try comes from another network.
NETWORKS = [f"127.{n}.{n}.{n}" for n in range(60, 70)]


def send(m, recipients, message=MESSAGE, source=None, sender="a@b.test", size=True):
    """One transaction; {recipient: code}, with the reply to the data for each that was taken at RCPT."""
    codes, _ = transaction(m.port, sender, recipients, message, source, f" SIZE={len(message)}" if size else "")
    m.booked()  # the next try may come to another worker
    return codes


def send_until_told(m, recipients, message=MESSAGE, size=True, sender="a@b.test", tries=12, networks=NETWORKS):
    """Sends as a queue does: again, from another network, to those that were put off. {recipient: last code}"""
    final, left = {}, list(recipients)
    for number, network in zip(range(tries), itertools.cycle(networks)):
        codes = send(m, left, message(number) if callable(message) else message, network, sender, size)
        final |= codes
        left = [to for to in left if 400 <= codes[to] < 500]
        if not left:
            return final, number + 1
    return final, tries


def refuses(*refused, stage=".", reply="552 5.2.2 over quota", message=b""):
    def answer(verb, argument, session):
        if verb == stage and any(to in argument for to in refused):
            return reply
        return None

    return answer


@pytest.mark.fast
@pytest.mark.parametrize("size", [True, False])
@pytest.mark.parametrize("stage, lmtp", [(".", True), ("RCPT", True), ("RCPT", False)])
def test_each_recipient_hears_the_backends_own_word_and_nobody_has_it_twice(mired, stage, lmtp, size):
    """field notes 4"""
    with Scripted(refuses(BOB, stage=stage), lmtp=lmtp) as backend:
        m = mired(backend=backend.block)
        final, tries = send_until_told(m, [ALICE, BOB, CAROL], size=size)
        assert final == {ALICE: 250, BOB: 552, CAROL: 250}
        assert tries <= 3
        assert [backend.copies(to) for to in (ALICE, BOB, CAROL)] == [1, 0, 1]


@pytest.mark.parametrize("stage, extensions", [("DATA", HELLO), ("DATA", ()), (".", HELLO)])
def test_a_refusal_of_the_data_is_no_word_about_a_deferred_recipient(mired, stage, extensions):
    """Only those whose RCPT was accepted are meant by it: the others would be bounced without a try."""
    asked = []

    def answer(verb, argument, session):
        if verb == "RCPT" and BOB in argument:
            asked.append(BOB)
            return "450 4.2.0 greylisted" if len(asked) == 1 else None
        return "554 5.7.1 not for alice" if verb == stage and session.recipients == [ALICE] else None

    with Scripted(answer, hello=extensions) as backend:
        m = mired(backend=backend.block)
        assert send(m, [ALICE, BOB]) == {ALICE: 451, BOB: 451}
        assert send_until_told(m, [ALICE, BOB])[0] == {ALICE: 554, BOB: 250}
        assert [backend.copies(to) for to in (ALICE, BOB)] == [0, 1]


def test_five_retries_to_all_of_them_leave_one_copy(mired):
    """field notes 4: a sender that does not take 452 for an answer."""
    with Scripted(refuses(BOB), lmtp=True) as backend:
        m = mired(backend=backend.block)
        for network in NETWORKS[:5]:
            send(m, [ALICE, BOB], source=network)
        assert backend.copies(ALICE) == 1


def handed_on(number):
    """What hosts of a pool write on the way."""
    return b"Received: from pool-%d.b.test by out-%d.b.test; Sat, 28 Nov 2026 10:%02d:00 +0000\r\n" % ((number,) * 3) + MESSAGE


def signed(number):
    """What a server that signs each try writes."""
    return b"DKIM-Signature: v=1; t=%d; b=%d\r\n" % (number, number) + PLAIN


@pytest.mark.parametrize("killed", [False, True])
def test_a_keeper_that_hangs_loses_no_message_with_the_same_octets(mired, killed):
    """An alarm without a Message-ID gets a mixed answer, then comes through; the keeper cannot withdraw what it has
    recorded. The next alarm has the same octets, and comes by any worker."""
    alarm = b"Subject: alarm\r\n\r\nthe pump has stopped\r\n"
    with Scripted(refuses(BOB, reply="452 4.2.2 later"), lmtp=True) as backend:
        m = mired(backend=backend.block, workers=2)
        m.deaths_expected = killed
        assert send(m, [ALICE, BOB], alarm, NETWORKS[0]) == {ALICE: 451, BOB: 451}
        backend.answer = lambda *_: None
        (keeper,) = [p for p in processes.children(m.pid) if processes.command(p).startswith("mired: keeper")]
        os.kill(keeper, signal.SIGSTOP)
        try:
            for n in range(1, 9):  # the first of them is the retry, for which the record counts
                left = [ALICE, BOB]
                for _ in range(4):
                    codes, _ = transaction(m.port, "a@b.test", left, alarm, NETWORKS[0], f" SIZE={len(alarm)}")
                    left = [to for to in left if codes[to] != 250]
                    if not left:
                        break
                assert not left
                assert [backend.copies(to) for to in (ALICE, BOB)] == [n, n]
        finally:
            os.kill(keeper, signal.SIGKILL if killed else signal.SIGCONT)
        m.booked()
        assert send_until_told(m, [ALICE, BOB], alarm, networks=NETWORKS[:1])[0] == {ALICE: 250, BOB: 250}
        assert [backend.copies(to) for to in (ALICE, BOB)] == [9, 9]


@pytest.mark.parametrize("killed", [False, True])
@pytest.mark.parametrize("workers", [1, 2])
def test_a_record_that_comes_after_the_retry_loses_no_message_with_the_same_octets(mired, workers, killed):
    """The keeper hangs while an alarm without a Message-ID gets a mixed answer, so its retry finds no record and is
    delivered to both. The record must not come into force then."""
    alarm = b"Subject: alarm\r\n\r\nthe pump has stopped\r\n"
    with Scripted(refuses(BOB, reply="452 4.2.2 later"), lmtp=True) as backend:
        m = mired(backend=backend.block, workers=workers)
        m.deaths_expected = killed
        (keeper,) = [p for p in processes.children(m.pid) if processes.command(p).startswith("mired: keeper")]
        os.kill(keeper, signal.SIGSTOP)
        try:
            for network in NETWORKS[:2]:  # of the second the worker does not wait for the keeper
                first, _ = transaction(m.port, "a@b.test", [ALICE, BOB], alarm, network)
                assert first == {ALICE: 451, BOB: 451}
            backend.answer = lambda *_: None
            assert transaction(m.port, "a@b.test", [ALICE, BOB], alarm)[0] == {ALICE: 250, BOB: 250}
        finally:
            os.kill(keeper, signal.SIGKILL if killed else signal.SIGCONT)
        m.booked()
        before = backend.copies(ALICE)
        assert send_until_told(m, [ALICE, BOB], alarm, networks=NETWORKS[:1])[0] == {ALICE: 250, BOB: 250}
        assert [backend.copies(to) for to in (ALICE, BOB)] == [before + 1, 2]


@pytest.mark.parametrize("changed, networks", [(handed_on, NETWORKS), (signed, NETWORKS[:1])])
def test_a_sender_that_adds_fields_and_declares_another_size_each_time_is_split_too(mired, changed, networks):
    """field notes 4"""
    with Scripted(refuses(BOB), lmtp=True) as backend:
        m = mired(backend=backend.block)
        final, tries = send_until_told(m, [ALICE, BOB], lambda n: changed(10 ** (n % 9)), networks=networks)
        assert final == {ALICE: 250, BOB: 552}
        assert tries <= 4
        assert backend.copies(ALICE) == 1


@pytest.mark.fast
@pytest.mark.parametrize("reply", ["550 5.7.1 virus found", "552 5.2.2 over quota", "554 5.6.0 bad", "550 no", "452 full"])
@pytest.mark.parametrize("other", [b"Message-ID: <2@b.test>\r\n\r\nother\r\n", b"Subject: none\r\n\r\nother\r\n"])
def test_what_was_said_of_one_message_is_not_said_of_another(mired, reply, other):
    """field notes 25"""

    def answer(verb, argument, session):
        return reply if verb == "." and BOB in argument and len(backend.mail) < 2 else None

    with Scripted(answer, lmtp=True) as backend:
        m = mired(backend=backend.block)
        assert send(m, [ALICE, BOB], source=NETWORKS[0]) == {ALICE: 451, BOB: 451}
        backend.answer = lambda *_: None
        assert send(m, [BOB], other, NETWORKS[0]) == {BOB: 250}
        assert send(m, [ALICE, BOB], other, NETWORKS[0]) == {ALICE: 250, BOB: 250}
        m.stop()
        m.start()
        assert send(m, [BOB], other + b"x\r\n", NETWORKS[0]) == {BOB: 250}
        assert backend.copies(BOB) == 3


def test_a_forged_sender_keeps_nobody_from_the_mail_of_the_real_one(mired):
    """field notes 25: without SIZE the memory is the sender's for all messages, and costs a transaction at most."""
    with Scripted(refuses(BOB), lmtp=True) as backend:
        m = mired(backend=backend.block)
        send(m, [ALICE, BOB], b"Subject: spam\r\n\r\nspam\r\n", NETWORKS[0], size=False)
        backend.answer = lambda *_: None
        final, tries = send_until_told(m, [ALICE, BOB], MESSAGE, size=False)
        assert final == {ALICE: 250, BOB: 250}
        assert tries <= 2
        assert backend.copies(BOB) == 1


def test_three_ways_of_answering_are_settled(mired):
    """field notes 4: taken, put off and refused in one answer; who is put off is taken in the end."""
    waits = {"left": 2}

    def answer(verb, argument, session):
        if verb == "." and BOB in argument:
            return "550 5.7.1 not this"
        if verb == "." and CAROL in argument and waits["left"]:
            waits["left"] -= 1
            return "450 4.2.0 later"
        return None

    with Scripted(answer, lmtp=True) as backend:
        m = mired(backend=backend.block)
        final, tries = send_until_told(m, [ALICE, BOB, CAROL])
        assert final == {ALICE: 250, BOB: 550, CAROL: 250}
        assert tries <= 5
        assert (backend.copies(ALICE), backend.copies(CAROL)) == (1, 1)


def test_a_backend_that_takes_fewer_recipients_gets_the_rest_by_the_retry(mired):
    """field notes 4: 452 to the second RCPT of each transaction."""

    def answer(verb, argument, session):
        return "452 4.5.3 too many" if verb == "RCPT" and session.recipients else None

    with Scripted(answer) as backend:
        m = mired(backend=backend.block)
        final, tries = send_until_told(m, [ALICE, BOB, CAROL])
        assert set(final.values()) == {250}
        assert [backend.copies(to) for to in (ALICE, BOB, CAROL)] == [1, 1, 1]


def test_who_was_told_before_the_connection_broke_has_it_once(mired):
    """field notes 4: LMTP, and the backend ends between two of its answers."""

    def answer(verb, argument, session):
        return CLOSE if verb == "." and BOB in argument and backend.copies(BOB) == 0 and not done else None

    done = []
    with Scripted(answer, lmtp=True) as backend:
        m = mired(backend=backend.block)
        assert send(m, [ALICE, BOB], source=NETWORKS[0]) == {ALICE: 451, BOB: 451}
        done.append(True)
        final, _ = send_until_told(m, [ALICE, BOB])
        assert final == {ALICE: 250, BOB: 250}
        assert (backend.copies(ALICE), backend.copies(BOB)) == (1, 1)


def test_chunks_and_data_are_the_same_message(mired):
    """field notes 4: the retry goes to a host that uses BDAT."""
    message = MESSAGE + b".dots\r\n..\r\n"
    with Scripted(refuses(BOB), lmtp=True) as backend:
        m = mired(backend=backend.block)
        assert send(m, [ALICE, BOB], message) == {ALICE: 451, BOB: 451}
        with Client(m.port) as c:
            c.ehlo()
            c.envelope("a@b.test", [ALICE], f" SIZE={len(message)}")
            assert c.chunks(message, [7, 30]).code == 250
        assert backend.copies(ALICE) == 1


@pytest.mark.parametrize("size", [True, False])
@pytest.mark.parametrize("lmtp, stage", [(True, "."), (False, "RCPT"), (True, "RCPT")])
def test_a_full_mailbox_that_comes_first_keeps_no_other_waiting(mired, lmtp, stage, size):
    """A queue sends in the same order each time. Whoever was put off began each transaction, so for as long as the
    mailbox was full, the others heard 452, try after try."""

    def answer(verb, argument, session):
        if verb == stage and ALICE in argument:
            return "452 4.2.2 mailbox full"
        return "550 5.7.1 not this" if verb == stage and CAROL in argument else None

    with Scripted(answer, lmtp=lmtp) as backend:
        m = mired(backend=backend.block, tarpit="time = 0")
        final, _ = send_until_told(m, [ALICE, BOB, CAROL], size=size)
        assert final == {ALICE: 452, BOB: 250, CAROL: 550}
        backend.answer = lambda *_: None
        assert send_until_told(m, [ALICE], size=size, tries=2)[0] == {ALICE: 250}
        assert (backend.copies(ALICE), backend.copies(BOB)) == (1, 1)


def test_full_mailboxes_keep_no_other_waiting_in_whatever_order(mired):
    """Two that are full take turns at the beginning."""
    with Scripted(lambda verb, argument, session: "452 4.2.2 full" if verb == "." and BOB not in argument else None, lmtp=True) as backend:
        m = mired(backend=backend.block, tarpit="time = 0")
        orders = itertools.cycle(([ALICE, BOB, CAROL], [ALICE, BOB, CAROL], [CAROL, BOB, ALICE]))
        for order, network in zip(orders, NETWORKS):
            codes = send(m, order, source=network)
            if codes[BOB] == 250:
                break
        assert codes == {ALICE: 452, BOB: 250, CAROL: 452}
        assert backend.copies(BOB) == 1


def test_who_is_put_off_after_all_keeps_no_other_waiting(mired):
    """alice might have had it, but for carol; then her server is busy, and bob's is not any more."""
    said = {ALICE: None, BOB: "452 4.2.2 full", CAROL: "550 5.7.1 no"}

    def answer(verb, argument, session):
        return next((said[to] for to in said if verb == "RCPT" and to in argument), None)

    with Scripted(answer) as backend:
        m = mired(backend=backend.block, tarpit="time = 0")
        assert set(send(m, [ALICE, BOB, CAROL]).values()) == {451}
        said |= {ALICE: "452 4.2.2 busy", BOB: None}
        final, _ = send_until_told(m, [ALICE, BOB, CAROL])
        assert final == {ALICE: 452, BOB: 250, CAROL: 550}
        assert backend.copies(BOB) == 1


UNNAMED = b"Subject: alarm\r\n\r\nthe door is open\r\n"  # as a device sends it again and again


@contextlib.contextmanager
def two_routes(mired, answer):
    """alice's mail goes to the first backend, bob's to the second, which answers as it is told."""
    with Scripted() as first, Scripted(answer) as second:
        rules = "\n".join(b.block.replace("{ }", f'{{ domains = {{ "{d}" }} }}') for b, d in ((first, "a.test"), (second, "b.test")))
        web = ports.free()
        m = mired(domains=("a.test", "b.test"), recipients=OF_TWO, backend=rules, config=f'web {{ listen = "127.0.0.1:{web}" }}')
        m.web = web
        yield m, first, second


OF_TWO = ("alice@a.test", "bob@b.test")


@pytest.mark.parametrize("message, again", [(UNNAMED, 1), (MESSAGE, 0)])
def test_after_the_250_the_same_octets_are_another_message_unless_they_have_a_name(mired, message, again):
    """Law 1: an alarm that was once put off for bob came to alice no more for a day, and its sender heard 250."""
    busy = ["452 4.2.2 later"]
    with two_routes(mired, lambda verb, *_: busy.pop() if verb == "." and busy else None) as (m, first, second):
        alice, bob = OF_TWO
        assert send_until_told(m, OF_TWO, message, networks=NETWORKS[:1])[0] == dict.fromkeys(OF_TWO, 250)
        assert (first.copies(alice), second.copies(bob)) == (1, 1)
        assert send_until_told(m, OF_TWO, message, networks=NETWORKS[:1])[0] == dict.fromkeys(OF_TWO, 250)
        assert (first.copies(alice), second.copies(bob)) == (1 + again, 2)


def test_an_alarm_that_comes_while_the_one_before_is_under_way_is_another_one(mired):
    """Law 1: bob's server was slow, so alice did not get the next alarm, and its sender heard 250."""
    slow, release = [True], threading.Event()

    def answer(verb, argument, session):
        if verb == "." and slow:
            slow.pop()
            release.wait(PATIENCE)

    with two_routes(mired, answer) as (m, first, second):
        alice, bob = OF_TWO
        before = threading.Thread(target=send, args=(m, OF_TWO, UNNAMED), daemon=True)
        before.start()
        second.wait_said("DATA")
        counted = f'mired_route_messages_total{{backend="smtp://127.0.0.1:{first.port}"}}'
        until(lambda: scrape.samples(m.web)[counted] == 1)  # the worker has read the reply
        m.booked()
        assert first.copies(alice) == 1
        assert send(m, [alice], UNNAMED) == {alice: 250}
        release.set()
        before.join()
        assert (first.copies(alice), second.copies(bob)) == (2, 1)


def test_a_client_that_ended_during_a_hold_gets_no_second_copy(mired):
    """Its end was seen while a reply was held, and not again when its message was handed over."""
    with Scripted() as backend:
        m = mired(recipients=(ALICE,), backend=backend.block)
        commands = [b"EHLO x.test", b"MAIL FROM:<a@b.test>", b"RCPT TO:<nobody@example.test>", b"RCPT TO:<%s>" % ALICE.encode()]
        with socket.create_connection(("127.0.0.1", m.port), PATIENCE) as s:
            s.recv(1000)
            s.sendall(b"\r\n".join([*commands, b"BDAT %d LAST" % len(MESSAGE), MESSAGE + b"QUIT\r\n"]))
            s.shutdown(socket.SHUT_WR)
            while s.recv(1000):
                pass
        assert backend.copies(ALICE) == 1
        m.booked()
        assert send(m, [ALICE], source="127.0.0.2") == {ALICE: 250}
        assert backend.copies(ALICE) == 1


def send_unheard(m, backend, message, source):
    """The client ends its side behind the final dot: it may not hear the reply."""
    go_on = threading.Event()
    backend.answer = lambda verb, *_: go_on.wait(PATIENCE) and None if verb == "." else None
    with Client(m.port, source=source) as client:
        client.ehlo()
        client.envelope("a@b.test", [ALICE, BOB])
        client.must("DATA", 354)
        client.send(message + b".\r\n")
        client.socket.shutdown(socket.SHUT_WR)
        until(lambda: "ended" in m.control("connections", "--phase", "delivering").stdout)
        go_on.set()
        assert client.reply().code == 250
    backend.answer = lambda *_: None
    m.booked()


@pytest.mark.parametrize(
    "first, then, copies",
    [(PLAIN, MESSAGE, 2), (b"DKIM-Signature: v=1; b=forged\r\n" + PLAIN, MESSAGE, 2), (PLAIN, PLAIN, 2), (MESSAGE, MESSAGE, 1)],
    ids=["unsigned", "another signature", "both unsigned", "the same signature"],
)
def test_a_copy_that_a_stranger_sends_first_does_not_stand_for_the_message(mired, first, then, copies):
    """Law 1: who knew a message sent it before its sender did, without its signature, and the backend may have thrown that
    copy away. The message itself heard 250 and went nowhere."""
    with Scripted() as backend:
        m = mired(backend=backend.block, tarpit="time = 0")
        send_unheard(m, backend, first, NETWORKS[0])
        assert send(m, [ALICE, BOB], then, NETWORKS[1]) == {ALICE: 250, BOB: 250}
        assert [backend.copies(to) for to in (ALICE, BOB)] == [copies, copies]
        assert send(m, [ALICE, BOB], first, NETWORKS[0]) == {ALICE: 250, BOB: 250}  # the retry of the first one
        assert [backend.copies(to) for to in (ALICE, BOB)] == [copies, copies]


def test_a_client_that_is_exempt_is_believed_by_all(mired):
    """As a backup MX, which hands on what a provider's pool has sent to both."""
    with Scripted() as backend:
        m = mired(backend=backend.block, tarpit="time = 0", config=f'exempt = {{ "{NETWORKS[0]}" }}')
        send_unheard(m, backend, PLAIN, NETWORKS[0])
        assert send(m, [ALICE, BOB], PLAIN, NETWORKS[1]) == {ALICE: 250, BOB: 250}
        assert [backend.copies(to) for to in (ALICE, BOB)] == [1, 1]


def good_mail(m, client):
    found = re.search(r"good mail \((\d+) recipient", m.control("show", client).stdout)
    return int(found[1]) if found else 0


def test_who_repeats_a_message_that_was_delivered_earns_nothing(mired):
    """R8: bots whose mail a backend would refuse repeated a message that it had taken from another, and counted as good
    senders."""
    with Scripted() as backend:
        m = mired(backend=backend.block, tarpit="time = 0")
        send_unheard(m, backend, MESSAGE, NETWORKS[0])
        assert send(m, [ALICE, BOB], MESSAGE, NETWORKS[1]) == {ALICE: 250, BOB: 250}
        assert backend.copies(ALICE) == 1
        assert (good_mail(m, NETWORKS[0]), good_mail(m, NETWORKS[1])) == (2, 0)


def test_a_mixed_answer_earns_what_was_delivered_and_its_retry_nothing_more(mired):
    """R8"""
    with Scripted(refuses(BOB, reply="452 4.2.2 later"), lmtp=True) as backend:
        m = mired(backend=backend.block, tarpit="time = 0")
        assert send(m, [BOB, ALICE], source=NETWORKS[0]) == {ALICE: 451, BOB: 451}
        assert good_mail(m, NETWORKS[0]) == 1
        assert send(m, [ALICE], source=NETWORKS[0]) == {ALICE: 250}
        assert good_mail(m, NETWORKS[0]) == 1
        backend.answer = lambda *_: None
        assert send_until_told(m, [BOB], networks=NETWORKS[:1])[0] == {BOB: 250}
        assert good_mail(m, NETWORKS[0]) == 2


@pytest.fixture
def full_box():
    """A real Dovecot in which bob's mailbox has room for nothing."""
    d = full_mailbox(BOB)
    yield d.start()
    d.stop()
    print(f"--- Dovecot's log\n{d.log[-5000:]}")
    d.remove()


def test_a_real_postfix_ends_its_retries_before_a_real_dovecot_with_a_full_mailbox(mired, postfix, full_box):
    """field notes 4, 25: one copy for alice, a bounce with the true reason for bob, and an empty queue."""
    m = mired(backend=f'backend "lmtp:{full_box.lmtp}" {{ }}', tarpit="time = 1s")
    sender = postfix(
        hostname="sender.test", domains="sender.test", boxes=("writer@sender.test",),
        extra=f"relayhost = [127.0.0.1]:{m.port}",
    )  # fmt: skip
    message = b"Subject: large\r\nFrom: writer@sender.test\r\n\r\n" + b"x" * 70 * 100 + b"\r\n"
    reply = deliver(sender.port, "writer@sender.test", [ALICE, BOB], message, source="127.0.0.1")
    assert reply.code == 250
    found = sender.wait_log(rf"to=<{BOB}>.*status=bounced \((.*)\)")
    assert "5.2.2" in found.group(1) and "uota" in found.group(1)
    sender.wait_log(rf"to=<{ALICE}>.*status=sent")
    assert b"5.2.2" in sender.delivered("writer@sender.test")[0]
    assert len(full_box.delivered(ALICE)) == 1
    reply = deliver(sender.port, "writer@sender.test", [ALICE, BOB], b"Subject: small\r\n\r\nx\r\n", source="127.0.0.1")
    assert reply.code == 250  # another message is the backend's to judge again
    assert len(full_box.delivered(ALICE, count=2)) == 2
    assert len(full_box.delivered(BOB)) == 1
