"""Good mail: what was sent is what arrives, octet for octet, and 250 is said of nothing else."""

import concurrent.futures
import math
import random
import re

import pytest

from lib.mired import SANITIZED
from lib.smtp import Client, deliver

PEOPLE = ("alice@example.test", "bob@example.test", "carol@example.test")
ADDED = re.compile(rb"(Return-Path|Received|X-Original-To|Delivered-To):", re.I)


def random_message(dice, number):
    """A header and a body of 1 octet to 5 MB: dots, 8-bit octets, empty and long lines."""
    size = int(math.exp(dice.uniform(0, math.log(5_000_000)))) if dice.random() < 0.97 else 5_000_000
    lines, total = [], 0
    while total < size:
        kind = dice.random()
        if kind < 0.1:
            line = b"." * dice.randrange(0, 5)
        elif kind < 0.2:
            line = b"." + dice.randbytes(20).translate(CLEAN)
        elif kind < 0.9 or size - total < 2000:
            line = dice.randbytes(dice.randrange(0, 200)).translate(CLEAN)
        else:
            line = dice.randbytes(dice.randrange(0, min(60_000, size - total))).translate(CLEAN)
        lines.append(line[: size - total])
        total += len(lines[-1]) + 2
    header = b"From: a@b.test\r\nTo: x@y.test\r\nX-Number: %d\r\n\r\n" % number
    return header + b"\r\n".join(lines) + b"\r\n"


# Any octet may stand in a message but NUL, CR and LF.
CLEAN = bytes(octet if octet not in (0, 10, 13) else 0x2E for octet in range(256))


def as_sent(stored):
    """A stored message as it was on the wire, without the header lines that servers put on top of it."""
    lines = stored.split(b"\n")
    while lines and (ADDED.match(lines[0]) or lines[0][:1] in (b" ", b"\t")):
        lines.pop(0)
    return b"\r\n".join(lines)


def number_of(message):
    return int(re.search(rb"^X-Number: (\d+)", message, re.M).group(1))


def send_random(port, seed, numbers):
    """Sends one message for each number over a few connections; returns {number: (message, recipients)}."""
    dice, sent, client = random.Random(seed), {}, None
    for number in numbers:
        if client is None:
            client = Client(port)
            client.ehlo()
        message = random_message(dice, number)
        recipients = dice.sample(PEOPLE, dice.randrange(1, 4))
        assert all(r.ok for r in client.envelope(f"s{number}@b.test", recipients))
        if dice.random() < 0.5:
            reply = client.data(message)
        else:
            cuts = [dice.randrange(0, len(message) // 2 + 1) for _ in range(dice.randrange(0, 3))]
            reply = client.chunks(message, cuts)
        assert reply.code == 250, (number, reply)
        sent[number] = (message, recipients)
        if dice.random() < 0.2:
            client.quit()
            client = None
    return sent


def send_many(port, count, side_by_side=4):
    sent = {}
    with concurrent.futures.ThreadPoolExecutor(side_by_side) as pool:
        parts = [
            pool.submit(send_random, port, 1000 + n, range(n, count, side_by_side))
            for n in range(side_by_side)
        ]
        for part in parts:
            sent.update(part.result())
    return sent


def check_all_arrived(sent, delivered):
    """`delivered` maps an address to what is in its mailbox; each message is there once, unchanged."""
    for address in PEOPLE:
        expected = {n: message for n, (message, recipients) in sent.items() if address in recipients}
        found = {}
        for stored in delivered(address, len(expected)):
            message = as_sent(stored)
            number = number_of(message)
            assert number not in found, f"message {number} is there twice"
            found[number] = message
        assert found.keys() == expected.keys()
        changed = [n for n in expected if expected[n] != found[n]]
        assert not changed, f"messages {changed} were changed on the way"


COUNT = 100 if SANITIZED else 1000


@pytest.mark.fast
def test_random_messages_reach_the_maildir_octet_for_octet(mired):
    m = mired(tarpit="time = 20s")
    sent = send_many(m.port, COUNT)
    check_all_arrived(sent, lambda address, count: m.delivered(address, count=count))
    for folder in m.mail.glob("*/*/tmp"):
        assert not list(folder.iterdir())


def test_random_messages_reach_a_postfix_octet_for_octet(mired, postfix):
    backend = postfix()
    m = mired(tarpit="time = 20s", backend=f'backend "smtp://127.0.0.1:{backend.port}" {{ }}')
    sent = send_many(m.port, COUNT)
    check_all_arrived(sent, lambda address, count: backend.delivered(address, count=count))


def test_every_recipient_has_a_copy_and_the_store_tells_the_sender(mired):
    m = mired()
    assert deliver(m.port, "a@b.test", list(PEOPLE)).code == 250
    for address in PEOPLE:
        assert m.delivered(address)[0].startswith(b"Return-Path: <a@b.test>\n")


def test_the_tag_names_no_mailbox_of_its_own(mired):
    m = mired()
    assert deliver(m.port, "a@b.test", "alice+lists@example.test").code == 250
    assert len(m.delivered("alice@example.test")) == 1


def test_a_message_without_a_last_line_end_gets_one(mired):
    m = mired()
    with Client(m.port) as c:
        c.ehlo()
        c.envelope("a@b.test", ["alice@example.test"])
        assert c.chunks(b"X-Number: 1\r\n\r\nno end", []).code == 250
    assert m.delivered("alice@example.test")[0].endswith(b"\n\nno end\n")


def test_a_client_that_leaves_before_the_end_has_sent_nothing(mired):
    m = mired()
    with Client(m.port) as c:
        c.ehlo()
        c.envelope("a@b.test", ["alice@example.test"])
        c.must("DATA", 354)
        c.send(b"Subject: x\r\n\r\n" + b"half of it\r\n" * 50_000)
    assert deliver(m.port, "a@b.test", "bob@example.test").code == 250
    assert m.delivered("alice@example.test", timeout=0.3) == []
    assert not list((m.folder / "state").glob("spool/*"))


def test_what_the_backend_refuses_is_refused_with_its_own_words(mired, postfix):
    backend = postfix(extra="smtpd_recipient_restrictions = check_recipient_access static:{554 5.7.1 not today}")
    m = mired(tarpit="time = 0", backend=f'backend "smtp://127.0.0.1:{backend.port}" {{ }}')
    reply = deliver(m.port, "a@b.test", "alice@example.test")
    assert reply.code == 554 and "not today" in reply


def test_a_refused_recipient_is_told_on_the_retry_and_the_others_get_the_message(mired, postfix):
    """Mixed answers: the first try is put off as a whole, the second one is split."""
    backend = postfix(boxes=("alice@example.test",))  # it does not know bob
    m = mired(tarpit="time = 0", backend=f'backend "smtp://127.0.0.1:{backend.port}" {{ }}')
    with Client(m.port) as c:
        c.ehlo()
        assert c.message("a@b.test", ["alice@example.test", "bob@example.test"]).code == 451
        c.must("RSET")
        replies = c.envelope("a@b.test", ["alice@example.test", "bob@example.test"])
        assert [r.code for r in replies] == [250, 452]
        assert c.data(b"Subject: x\r\n\r\nhello\r\n").code == 250
        assert c.message("a@b.test", "bob@example.test").code == 550
    assert len(backend.delivered("alice@example.test")) == 1
