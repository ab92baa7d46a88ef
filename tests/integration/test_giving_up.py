"""Mail servers that keep a connection for many messages: the 421 for transactions that are given up (docs/configuration.md)
comes where they lose nothing. Good mail arrives once, and the rest ends with its own reason."""

import collections
import re

import pytest

from lib import ports, scrape
from lib.mired import PEOPLE
from lib.smtp import Client
from lib.waiting import until

MET = 'mired_sessions_total{result="too many commands"}'
# All that it has goes over one connection at a time, and it never closes that by itself.
ONE_CONNECTION = """
initial_destination_concurrency = 1
default_destination_concurrency_limit = 1
smtp_connection_cache_on_demand = yes
smtp_connection_cache_destinations = static:all
smtp_connection_cache_time_limit = 100s
connection_cache_ttl_limit = 100s
smtp_connection_reuse_count_limit = 100000
smtp_connection_reuse_time_limit = 1000s
"""
PATIENT = """
smtpd_error_sleep_time = 0
smtpd_soft_error_limit = 10000
smtpd_hard_error_limit = 10000
smtpd_junk_command_limit = 10000
"""


@pytest.fixture
def sender(postfix):
    def make(port, extra=""):
        return postfix(hostname="sender.test", domains="sender.test", boxes=("writer@sender.test",),
                       extra=f"relayhost = [127.0.0.1]:{port}\n{ONE_CONNECTION}{PATIENT}{extra}")  # fmt: skip

    return make


def hand_over(sender, messages):
    """(recipients, text) each, over one connection."""
    with Client(sender.port, source="127.0.0.1") as c:
        c.ehlo()
        for recipients, text in messages:
            data = f"Subject: {text}\r\nFrom: writer@sender.test\r\n\r\n{text}\r\n".encode()
            reply = c.message("writer@sender.test", recipients, data)
            assert reply.code == 250, reply


def said(sender):
    """What its log says of each recipient at example.test: (status, reason) each time that it tried."""
    tries = collections.defaultdict(list)
    for to, status, why in re.findall(r"to=<(\w+)@example\.test>.*status=(\w+) \((.*)\)", sender.log):
        tries[to].append((status, why))
    return tries


def wait_said(sender, count):
    until(lambda: sum(map(len, said(sender).values())) >= count, 300)
    assert "suspended" not in sender.log and "status=deferred" not in sender.log
    return said(sender)


@pytest.fixture
def front(mired):
    """A mired and the port of its page. On a fast machine its log leaves out lines of a client that has so many."""

    def make(**options):
        web = ports.free()
        m = mired(tarpit="time = 0s", config=f'web {{ listen = "127.0.0.1:{web}" }}', **options)
        m.web = web
        return m

    return make


def times_met(m):
    return scrape.samples(m.web).get(MET, 0)


def test_a_sender_with_unknown_recipients_and_good_mail_loses_none(front, sender):
    m = front()
    s = sender(m.port)
    messages, bad, good = [], 0, 0
    for run in (82, 83, 84, 85, 90, 175):  # the limit is met at the 84th in a row: at the last, and before and behind
        messages += [(f"nobody{bad + n}@example.test", f"bad {bad + n}") for n in range(run)]
        messages += [(PEOPLE[n % 3], f"good {good + n};") for n in range(6)]
        bad, good = bad + run, good + 6
    hand_over(s, messages)
    tries = wait_said(s, bad + good)
    for n in range(bad):
        ((status, why),) = tries[f"nobody{n}"]
        assert status == "bounced" and "550 5.1.1" in why and "RCPT TO" in why
    arrived = collections.Counter()
    for person in PEOPLE:
        assert [status for status, _ in tries[person.split("@")[0]]] == ["sent"] * (good // 3)
        for text in m.delivered(person, count=good // 3):
            arrived[re.search(rb"Subject: (good \d+;)", text)[1].decode()] += 1
    assert arrived == collections.Counter(f"good {n};" for n in range(good))
    s.wait_log(rf"(?s)(to=<writer@sender\.test>.*?status=sent.*?){{{bad}}}", 300)  # all of the bounces
    until(lambda: times_met(m) >= 4)  # counted when Postfix, which may keep what has ended, closes it
    print(f"the limit was met {times_met(m)} times")


@pytest.mark.parametrize("recipients", [1, 45])
def test_a_sender_whose_messages_are_refused_at_their_end_loses_none(front, postfix, sender, recipients):
    """It hears the 421 at the RSET that it says behind a refused message. At MAIL it would defer the next message, which
    may be a good one."""
    many = [f"u{n}@example.test" for n in range(recipients)]
    behind = postfix(boxes=many, extra=f"header_checks = regexp:{{ {{/^Subject: bad/ REJECT not wanted}} }}\n{PATIENT}")
    m = front(recipients=many, backend=f'backend "smtp://127.0.0.1:{behind.port}" {{ }}')
    s = sender(m.port)
    # A step for each recipient, one for DATA and four for the refusal: that many in a row meet the limit. Two good ones
    # among three times as many leave such a row, in whatever order Postfix sends them.
    run = 1000 // (recipients + 5) + 1
    messages = [(many, f"bad {n}") for n in range(run)] + [(many[:1], "good 0;")]
    messages += [(many, f"bad {n}") for n in range(run, 3 * run)] + [(many[:1], "good 1;")]
    hand_over(s, messages)
    tries = wait_said(s, 3 * run * recipients + 2)
    for n, address in enumerate(many):
        found = collections.Counter(status for status, _ in tries[address.split("@")[0]])
        assert found == ({"bounced": 3 * run, "sent": 2} if n == 0 else {"bounced": 3 * run})
    assert all("550 5.7.1" in why and "not wanted" in why for t in tries.values() for s, why in t if s == "bounced")
    assert len(behind.delivered(many[0], count=2)) == 2
    until(lambda: times_met(m) >= 1)  # counted when Postfix, which may keep what has ended, closes it
    print(f"the limit was met {times_met(m)} times")


def test_a_server_that_verifies_recipients_goes_on_behind_the_limit_and_its_mail_passes(front, sender):
    """Postfix asks with MAIL, RCPT and RSET. It hears the 421 at the 91st RSET of a connection, when it has its answer."""
    count = 60
    people = [f"u{n}@example.test" for n in range(count)]
    m = front(recipients=people)
    s = sender(m.port, """
smtpd_recipient_restrictions = reject_unverified_recipient
unverified_recipient_reject_code = 550
address_verify_map =
address_verify_poll_count = 1
""")  # fmt: skip

    def ask(addresses):
        with Client(s.port, source="127.0.0.1") as c:
            c.ehlo()
            c.must("MAIL FROM:<writer@sender.test>")
            return [c.say(f"RCPT TO:<{address}>").code for address in addresses]

    def answers(addresses):
        """When it knows them; until then it says 450, and asks."""
        return until(lambda: 450 not in (codes := ask(addresses)) and codes, 300, every=0.1)

    # Few at a time: verify(8) gives a question up when cleanup(8) is busy. So they also share a connection.
    for n in range(count):
        assert answers([people[n], f"nobody{n}@example.test"]) == [250, 550]
        if n >= count - 5:  # behind the limit, with questions between
            hand_over(s, [(people[n], f"good {n};")])
    for n in range(count - 5, count):
        (text,) = m.delivered(people[n], count=1)
        assert f"Subject: good {n};".encode() in text
    for address, tries in said(s).items():
        for status, why in tries:
            if address.startswith("u"):
                assert status in ("deliverable", "sent"), why
            else:
                assert status == "undeliverable" and "550 5.1.1" in why
    assert "suspended" not in s.log and "status=deferred" not in s.log
    until(lambda: times_met(m) >= 1)  # counted when Postfix, which may keep what has ended, closes it
    print(f"the limit was met {times_met(m)} times")
