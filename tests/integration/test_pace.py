"""The tarpit over several connections: one client is one client, however it comes (rules R3 to R15)."""

import concurrent.futures
import re
import time

import pytest

from lib import ports
from lib.smtp import Client, Hung, deliver

FLAT = "growth = 1 drip = 0 patience_offences = 0 "


def typo(port, source, sender="a@b.test", recipient="nobody@example.test"):
    """A wrong recipient from `source`; returns the reply."""
    with Client(port, source=source) as c:
        c.ehlo()
        return c.envelope(sender, [recipient])[0]


def harvest(port, source, seconds, connections):
    """Asks for made-up addresses over some connections for a while; returns the codes that came back."""
    deadline = time.monotonic() + seconds

    def one(n):
        codes = []
        try:
            with Client(port, source=source, timeout=max(0.1, deadline - time.monotonic())) as c:
                c.say("EHLO x.test")
                c.say("MAIL FROM:<a@b.test>")
                while (left := deadline - time.monotonic()) > 0:
                    c.socket.settimeout(left)
                    codes.append(c.say(f"RCPT TO:<u{n}.{len(codes)}@example.test>").code)
        except (Hung, OSError):
            pass
        return codes

    with concurrent.futures.ThreadPoolExecutor(connections) as pool:
        return [code for codes in pool.map(one, range(connections)) for code in codes]


def test_a_client_in_debt_waits_in_its_next_conversation_too(mired):
    """R3"""
    m = mired(tarpit="time = 3s " + FLAT, config='log_level = "debug"')
    source = ports.stranger()
    first = Client(m.port, source=source)
    first.ehlo()
    first.must("MAIL FROM:<a@b.test>")
    first.send("RCPT TO:<nobody@example.test>\r\n")
    m.log.wait("event=hold")
    m.booked()
    with Client(m.port, source=source) as second:
        assert second.greeting.code == 220
        assert time.monotonic() - first.begun >= 2.99  # not before the hold of the first is over
    assert first.reply().code == 550
    first.close()
    with Client(m.port) as stranger:
        stranger.quit()
    assert m.held(stranger.source) == 0


@pytest.mark.alone
def test_ten_connections_learn_no_more_than_one(mired):
    """R4, P1: verdicts in a window W are at most W/T + 1."""
    m = mired(tarpit="time = 1s max = 20s pace_after = 0 shield = 0 " + FLAT, workers=4)
    with concurrent.futures.ThreadPoolExecutor(2) as pool:  # two clients, at the same time
        told = pool.map(lambda n: harvest(m.port, ports.stranger(), 8, n).count(550), (1, 10))
        alone, many = told
    print(f"verdicts in 8 s: {alone} over one connection, {many} over ten")
    assert 4 <= alone <= 9
    assert 4 <= many <= 9


def test_a_verdict_whose_turn_is_too_far_away_is_masked(mired):
    """R5, R6: and so is the one for a recipient that exists."""
    m = mired(tarpit="time = 1s max = 2s pace_after = 0 shield = 0 " + FLAT)
    source = ports.stranger()
    clients = [Client(m.port, source=source) for _ in range(12)]
    for c in clients:  # all of them before the first is in debt
        c.ehlo()
        c.must("MAIL FROM:<a@b.test>")
    for n, c in enumerate(clients):
        c.send(f"RCPT TO:<u{n}@example.test>\r\n")
    codes = [c.reply().code for c in clients]
    for c in clients:
        c.close()
    assert codes.count(450) >= 3 and codes.count(550) >= 1, codes


def test_the_shield_tells_nobody_from_nobody_else(mired):
    """R7"""
    m = mired(tarpit="time = 200ms max = 1s shield = 4 " + FLAT)
    source = ports.stranger()
    with Client(m.port, source=source) as c:
        c.ehlo()
        c.envelope("a@b.test", [f"u{n}@example.test" for n in range(8)])
    m.booked()
    replies = [typo(m.port, source, recipient=r) for r in ("nobody@example.test", "alice@example.test")]
    assert [r.code for r in replies] == [450, 450]
    assert replies[0].lines[0].split()[:2] == replies[1].lines[0].split()[:2]


def test_good_mail_pays_for_a_typo(mired):
    """R8: the typo itself still waits, nothing else does."""
    people = [f"p{n}@example.test" for n in range(20)]
    m = mired(
        tarpit="time = 3s good_ratio = 10 " + FLAT, recipients=["alice@example.test", *people], config='log_level = "debug"'
    )
    source = ports.stranger()
    assert deliver(m.port, "a@b.test", people, source=source).code == 250
    m.booked()
    typist = Client(m.port, source=source)
    typist.ehlo()
    typist.must("MAIL FROM:<a@b.test>")
    typist.send("RCPT TO:<nobody@example.test>\r\n")
    m.log.wait("event=hold")
    m.booked()
    mark = m.log.mark()
    assert deliver(m.port, "a@b.test", "alice@example.test", source=source).code == 250
    assert m.held(source, since=mark) == 0
    assert typist.reply().seconds >= 2.99
    typist.close()


def test_holds_grow_with_each_offence(mired):
    """R1"""
    m = mired(tarpit="time = 500ms growth = 2 max = 10s shield = 0 drip = 0 patience_offences = 0")
    with Client(m.port) as c:
        c.ehlo()
        c.must("MAIL FROM:<a@b.test>")
        seconds = [c.say(f"RCPT TO:<n{n}@example.test>").seconds for n in range(3)]
    assert seconds[0] >= 0.49
    assert seconds[1] >= 0.98  # offences fade a little meanwhile, so not quite the double
    assert seconds[2] >= 1.9


def test_a_client_that_hung_up_is_answered_sooner_next_time(mired):
    """R12: within 0.8 of its patience."""
    m = mired(tarpit="time = 8s growth = 1 drip = 0 pace = false patience_offences = 5")
    source = ports.stranger()
    with Client(m.port, source=source) as c:
        c.ehlo()
        c.must("MAIL FROM:<a@b.test>")
        c.send("RCPT TO:<nobody@example.test>\r\n")
        time.sleep(2)  # its patience
    m.log.wait("event=session .*gave up")
    m.booked()
    mark = m.log.mark()
    assert typo(m.port, source).code == 550
    assert m.held(source, since=mark) < 6


def test_a_call_out_is_held_for_a_moment_only(mired):
    """R13"""
    m = mired(tarpit="time = 20s null_sender_max = 1s")
    source = ports.stranger()
    assert typo(m.port, source, sender="").code == 550
    assert 1 <= m.held(source) < 15  # of 20 s; a busy worker answers a little later


def test_who_writes_to_a_trap_is_shielded_at_once(mired):
    """R15"""
    m = mired(
        tarpit='time = 500ms max = 2s traps = { "bait@example.test" } ' + FLAT,
        recipients=("alice@example.test", "bait@example.test"),
    )
    source = ports.stranger()
    assert typo(m.port, source, recipient="bait@example.test").code >= 400
    m.booked()
    assert typo(m.port, source, recipient="alice@example.test").code == 450
    assert deliver(m.port, "a@b.test", "alice@example.test").code == 250


def test_a_suspect_pays_for_its_first_error_what_others_pay_for_their_fourth(mired):
    """R16"""
    m = mired(
        tarpit="time = 500ms growth = 2 max = 10s drip = 0 freeze = off",
        config='suspect = { "127.211.0.0/16" }',
    )
    source = ports.stranger()
    typo(m.port, source)
    assert 0.5 <= m.held(source) < 3  # the fourth's takes 4 s
    reply = typo(m.port, "127.211.7.7")
    assert reply.code == 550 and reply.seconds > 3.8
    m.booked()
    assert re.search(r"^listed by +suspect:127\.211\.0\.0/16$", m.control("show", "127.211.7.7").stdout, re.MULTILINE)


def test_the_ledger_outlives_a_kill_of_everything(mired):
    m = mired(tarpit="time = 4s " + FLAT, config='log_level = "debug"')
    m.deaths_expected = True
    source = ports.stranger()
    c = Client(m.port, source=source)
    c.ehlo()
    c.must("MAIL FROM:<a@b.test>")
    c.send("RCPT TO:<nobody@example.test>\r\n")
    m.log.wait("event=hold")
    m.booked()
    m.kill_all()
    c.close()
    m.start()
    with Client(m.port, source=source) as again:
        assert again.greeting.code == 220
        assert time.monotonic() - c.begun >= 3.5
