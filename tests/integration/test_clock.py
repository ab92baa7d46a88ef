"""A wall clock that jumps by hours, both ways; forward it is also what a machine sees that was suspended. No hold is
stuck, no mail is lost, nobody hears a wrong 5xx."""

import json
import re
import time

import pytest

from lib import netns
from lib.crash import Sender
from lib.frozen import ask, told, wait_frozen
from lib.mired import UNDER
from lib.smtp import Client
from lib.waiting import until
from lib.wallclock import COMPILER, LIBRARY, Clock, WallClock

pytestmark = [
    pytest.mark.skipif(not LIBRARY.exists(), reason="libfaketime is not installed"),
    pytest.mark.skipif(UNDER, reason="valgrind's clock is its own"),
]
JUMPS = ["-5h", "+3h", "-1h", "+25h", "-50h", "+0"]
USERS = ("alice@example.test", "bob@example.test")


@pytest.fixture
def clock(tmp_path):
    return Clock(tmp_path)


def status(m, what):
    return json.loads(m.control("--json", "status").stdout)[what]


def test_mail_and_holds_go_on_whatever_the_clock_says(mired, clock):
    m = mired(tarpit="time = 2s growth = 1 pace = false", config='sandbox = false\nlog_level = "debug"', prefix=clock.prefix)
    senders = []
    for n, jump in enumerate(JUMPS):
        waits = Client(m.port)
        waits.ehlo()
        waits.must("MAIL FROM:<a@b.test>")
        mark = m.log.mark()
        waits.send("RCPT TO:<nobody@example.test>\r\n")
        m.log.wait("event=hold", since=mark)
        clock.set(jump)
        senders.append(Sender(m.port, USERS, f"{n}"))
        assert senders[-1].send() == 250 and senders[-1].heard == [250]
        reply = waits.reply()
        assert reply.code == 550 and 1.9 < reply.seconds
        assert waits.must("RCPT TO:<alice@example.test>", 250)
        waits.close()
    for user in USERS:
        assert len(m.delivered(user, count=len(senders))) == len(senders)
    until(lambda: status(m, "held") == 0)
    assert m.control("reload").returncode == 0


@pytest.mark.skipif(bool(netns.unable()), reason=netns.unable() or "able")
@pytest.mark.parametrize("jump", ["-5h", "-50h", "+3h"])
def test_frozen_holds_are_answered_whatever_the_clock_says(frozen, cable, clock, jump):
    m = frozen(time=8, config="sandbox = false", prefix=clock.prefix)
    before = [ask(m.port, n) for n in range(20)]
    wait_frozen(cable, 6)
    clock.set(jump)
    for client in before:
        assert told(client).seconds > 7.9
        client.close()
    after = [ask(m.port, 100 + n) for n in range(20)]
    wait_frozen(cable, 6)
    for client in after:
        assert told(client).seconds > 7.9
    until(lambda: status(m, "frozen") == 0)


@pytest.mark.skipif(bool(netns.unable()), reason=netns.unable() or "able")
def test_a_clock_that_was_set_back_while_mired_was_stopped_makes_no_hold_wait_for_it(frozen, cable, clock):
    m = frozen(time=15, config="sandbox = false", prefix=clock.prefix)
    client = ask(m.port)
    until(lambda: status(m, "frozen") == 1)
    assert m.stop() == []
    clock.set("-5h")
    cable.at_server(m.start)
    told(client)


DAY = 86400
WALL = pytest.mark.skipif(not COMPILER, reason="there is no C compiler")


@pytest.fixture
def wall(tmp_path):
    return WallClock(tmp_path)


def offences(m):
    return json.loads(m.control("--json", "show", "127.9.9.9").stdout)["client"]["offences"]


def offends(m, times):
    client = Client(m.port, source="127.9.9.9")
    client.ehlo()
    client.must("MAIL FROM:<a@b.test>")
    for n in range(times):
        client.send(f"RCPT TO:<nobody{n}@example.test>\r\n")
        client.reply()
    client.close()


@WALL
@pytest.mark.parametrize("ahead", [365 * DAY, 7200, -20000 * DAY])  # the last is 1972
@pytest.mark.parametrize("how", ["at once", "while it is stopped"])
def test_what_was_booked_by_another_clock_fades_all_the_same(mired, wall, ahead, how):
    wall.set(ahead)
    tarpit = 'time = 0s growth = 1 pace = false half_life = 10s'
    m = mired(tarpit=tarpit, config="sandbox = false", prefix=wall.prefix)
    offends(m, 3)
    m.booked()
    before, begun = offences(m), time.monotonic()
    assert before > 1
    if how == "at once":
        wall.set(0)
        offends(m, 1)
    else:
        assert m.stop() == []
        wall.set(0)
        m.start()
    m.log.wait(re.escape(f"the clock was set by {-ahead:+d} s; the ledger"))
    until(lambda: offences(m) < before / 8)
    assert time.monotonic() - begun > 20  # two half-lives: it has not forgiven them either


@WALL
def test_a_clock_that_jumps_forgives_nobody(mired, wall):
    m = mired(tarpit="time = 0s growth = 1 pace = false half_life = 30d", config="sandbox = false", prefix=wall.prefix)
    offends(m, 3)
    m.booked()
    before = offences(m)
    for ahead in (365 * DAY, 0, -12 * 3600, 0):
        mark = m.log.mark()
        wall.set(ahead)
        offends(m, 1)
        m.log.wait("the clock was set by", since=mark)
        assert offences(m) >= before
        assert 0 <= status(m, "up_seconds") < 366 * DAY
    assert m.control("reload").returncode == 0
